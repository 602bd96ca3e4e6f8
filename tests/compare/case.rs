// SPDX-License-Identifier: MIT
//! What is compared: calls, and where a sequence of them begins.

use std::fmt;

use crate::deed::{Deed, Remains};
use crate::identity::Ids;
use crate::refusal::Refusal;
use crate::support::pam::{DELETE, ESTABLISH, Pam, REFRESH, REINITIALIZE};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    Authenticate,
    Refresh,
    Reinitialize,
    Open,
    Close,
    Establish,
    Delete,
    /// None of the module's: something is done to the session keyring.
    Between(Deed),
}
use Call::*;

/// First those that neither open nor end anything. A sequence that differs is made shorter, and then of calls that stand
/// further left.
pub const CALLS: [Call; 7] = [Authenticate, Refresh, Reinitialize, Open, Close, Establish, Delete];

impl Call {
    /// Calls the module, or does what stands between its calls.
    pub fn of(self, pam: &mut Pam, users: Users, remains: &mut Remains) -> i32 {
        match self {
            Authenticate => pam.authenticate(),
            Refresh => pam.setcred(REFRESH),
            Reinitialize => pam.setcred(REINITIALIZE),
            Open => pam.open(),
            Close => pam.close(),
            Establish => pam.setcred(ESTABLISH),
            Delete => pam.setcred(DELETE),
            Between(deed) => deed.of(users, remains),
        }
    }

    /// Whether it makes a keyring where there is none.
    pub fn makes(self) -> bool {
        matches!(self, Open | Establish)
    }

    /// Whether it ends the keyring, if no other session is open.
    pub fn ends(self) -> bool {
        matches!(self, Close | Delete)
    }
}

/// The session keyring in which a sequence begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    None,
    /// The user-session keyring, installed.
    UserSession,
    Own,
    SomebodyElses,
    Revoked,
}

pub const STARTS: [Start; 5] = [Start::None, Start::UserSession, Start::Own, Start::SomebodyElses, Start::Revoked];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caller {
    RootForRoot,
    RootForUser,
    UserForItself,
    UserForAnother,
    /// Somebody with these ids, for the user.
    Of(Ids),
}

pub const CALLERS: [Caller; 4] =
    [Caller::RootForRoot, Caller::RootForUser, Caller::UserForItself, Caller::UserForAnother];

/// The lines of a service.
#[derive(PartialEq, Eq, Debug)]
pub struct Lines {
    pub auth: &'static str,
    pub session: &'static str,
    /// How often each stands there.
    pub times: usize,
}

const fn lines(times: usize, auth: &'static str, session: &'static str) -> Lines {
    Lines { auth, session, times }
}

/// Of which the C module knows all words.
pub const LINES: [Lines; 10] = [
    lines(1, "", ""),
    lines(1, "force", "force"),
    lines(1, "revoke", "revoke"),
    lines(1, "force revoke", "force revoke"),
    lines(1, "force revoke debug", "force revoke debug"),
    lines(2, "", ""),
    lines(2, "force", "force"),
    lines(2, "revoke", "revoke"),
    lines(2, "force revoke", "force revoke"),
    lines(1, "force", "revoke"),
];

/// Those of the other comparisons, with words that the C module ignores.
pub const MORE_LINES: [Lines; 5] = [
    lines(1, "own revoke", "own revoke"),
    lines(1, "clear", "clear"),
    lines(1, "force clear", "force clear"),
    lines(1, "force own revoke clear", "force own revoke clear"),
    lines(2, "own clear", "own clear"),
];

impl Lines {
    /// Whether the lines that `call` runs ask for `word`.
    pub fn ask(&self, call: Call, word: &str) -> bool {
        let line = if matches!(call, Open | Close) { self.session } else { self.auth };
        line.split(' ').any(|one| one == word)
    }
}

/// Whether all is to be compared, which takes minutes.
pub fn full() -> bool {
    std::env::var_os("PAM_KEYINIT_COMPARE").is_some_and(|value| value == "full")
}

/// Where a sequence begins.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub lines: &'static Lines,
    pub start: Start,
    pub caller: Caller,
    /// What the kernel refuses to the modules.
    pub refusal: Option<Refusal>,
}

pub fn all() -> impl Iterator<Item = Case> {
    LINES.iter().flat_map(|lines| {
        STARTS
            .into_iter()
            .flat_map(move |start| CALLERS.into_iter().map(move |caller| Case { lines, start, caller, refusal: None }))
    })
}

impl fmt::Display for Case {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Case { lines: Lines { auth, session, times }, start, caller, refusal } = self;
        write!(to, "auth [{auth}] and session [{session}], {times} of each, session keyring {start:?}, {caller:?}")?;
        refusal.map_or(Ok(()), |refusal| write!(to, ", {refusal:?}"))
    }
}

/// Who plays in a sequence.
#[derive(Clone, Copy)]
pub struct Users {
    pub caller: u32,
    pub user: u32,
    pub somebody_else: u32,
    /// The first of them; the second one is the next.
    pub first: u32,
}

impl Case {
    /// `first` and the two after it are of users whom only this sequence has.
    pub fn users(&self, first: u32) -> Users {
        let (caller, user) = match self.caller {
            Caller::RootForRoot => (0, 0),
            Caller::RootForUser => (0, first),
            Caller::UserForItself => (first, first),
            Caller::UserForAnother => (first + 1, first),
            Caller::Of(ids) => (0, if ids.for_root { 0 } else { first }),
        };
        Users { caller, user, somebody_else: first + 2, first }
    }
}

/// The gid of a user, which is nobody's uid.
pub fn gid(uid: u32) -> u32 {
    if uid == 0 { 0 } else { uid + 1000 }
}
