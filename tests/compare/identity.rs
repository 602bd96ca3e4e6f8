// SPDX-License-Identifier: MIT
//! Callers with ids of all kinds, in each place: root's, the user's and somebody else's; and with capabilities that stay.

use caps::{CapSet, securebits};

use crate::case::{Call, Caller, Case, LINES, Lines, Start, Users, gid};
use crate::rules::Allows::{Both, TheEnd};
use crate::rules::{Rule, Step};
use crate::state::{Session, State};
use crate::support::ids::become_ids;
use crate::support::pam::{IGNORE, SUCCESS};

/// Whose an id is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    Root,
    User,
    Another,
}
use Whose::*;

const ALL: [Whose; 3] = [Root, User, Another];

/// What keeps the kernel from taking the capabilities away with the last uid 0, capabilities(7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keeps {
    Nothing,
    /// `PR_SET_KEEPCAPS`: those that are permitted.
    Permitted,
    /// So, and they are made effective again.
    PermittedAndRaised,
    /// `SECBIT_NO_SETUID_FIXUP`.
    All,
}

const KEEPS: [Keeps; 4] = [Keeps::Nothing, Keeps::Permitted, Keeps::PermittedAndRaised, Keeps::All];

/// Real, effective and saved ids of a caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ids {
    uids: [Whose; 3],
    gids: [Whose; 3],
    keeps: Keeps,
    /// Of one thread only: the others stay root.
    pub of_thread: bool,
    /// Root logs in, not the user.
    pub for_root: bool,
}

impl Ids {
    /// Whether the uids are the same in all places, or the gids.
    fn is_plain(self) -> bool {
        [self.uids, self.gids].iter().any(|ids| *ids == [ids[0]; 3])
    }

    /// Makes them the calling thread's.
    pub fn take_on(self, users: Users) {
        match self.keeps {
            Keeps::Nothing => (),
            Keeps::Permitted | Keeps::PermittedAndRaised => securebits::set_keepcaps(true).expect("a flag"),
            Keeps::All => set_no_setuid_fixup(),
        }
        let uid = |whose| match whose {
            Root => 0,
            User => users.first,
            Another => users.first + 1,
        };
        become_ids(self.uids.map(uid), self.gids.map(|whose| gid(uid(whose))));
        if self.keeps == Keeps::PermittedAndRaised {
            let permitted = caps::read(None, CapSet::Permitted).expect("capabilities");
            caps::set(None, CapSet::Effective, &permitted).expect("capabilities");
        }
    }
}

fn set_no_setuid_fixup() {
    const NO_SETUID_FIXUP: libc::c_ulong = 1 << 2; // linux/securebits.h
    // SAFETY: takes numbers only.
    let answer = unsafe { libc::prctl(libc::PR_SET_SECUREBITS, NO_SETUID_FIXUP) };
    assert_eq!(answer, 0, "PR_SET_SECUREBITS");
}

/// All that three ids can be.
fn triples() -> impl Iterator<Item = [Whose; 3]> {
    ALL.into_iter()
        .flat_map(|real| ALL.into_iter().flat_map(move |effective| ALL.map(|saved| [real, effective, saved])))
}

/// All callers. As one thread of a process of root's only those with the same uid, or gid, in all places.
pub fn all() -> Vec<Ids> {
    let mut all = Vec::new();
    for uids in triples() {
        for gids in triples() {
            for keeps in KEEPS {
                for (for_root, of_thread) in [(false, false), (true, false), (false, true), (true, true)] {
                    let ids = Ids { uids, gids, keeps, of_thread, for_root };
                    if !of_thread || ids.is_plain() {
                        all.push(ids);
                    }
                }
            }
        }
    }
    all
}

/// All callers with a session, and the plain ones once more with credentials.
pub fn sequences() -> Vec<(Case, Vec<Call>)> {
    let lines: &'static Lines = &LINES[3];
    assert_eq!(lines.session, "force revoke");
    let mut list = Vec::new();
    for ids in all() {
        let case = Case { lines, start: Start::SomebodyElses, caller: Caller::Of(ids), refusal: None };
        list.push((case, vec![Call::Open, Call::Close]));
        if ids.is_plain() {
            list.push((case, vec![Call::Establish, Call::Open, Call::Delete]));
        }
    }
    list
}

pub const RULES: [Rule; 4] = [
    Rule::parts("no-way-back", Both(no_way_back)),
    Rule::parts("ids-lost", Both(ids_lost)),
    Rule::parts("saved-gid", Both(saved_gid)),
    // glibc ends a process of which not all threads may change their ids.
    Rule::parts("all-threads", TheEnd),
];

/// The C module does not bring the caller back, and ours refuses.
fn no_way_back(step: &Step) -> bool {
    // The real and effective ids, and the capabilities.
    let rights = |state: &State| ([0, 1, 4, 5].map(|place| state.ids[place]), state.capabilities);
    let (theirs, ours) = step.both();
    step.call().makes() && rights(theirs) != rights(step.before()) && *ours == step.before().still(step.error())
}

/// The C module fails, or does not bring all ids back; ours does what was asked for, or changes nothing where both fail.
fn ids_lost(step: &Step) -> bool {
    let (theirs, ours) = step.both();
    let fails = theirs.code == step.error();
    let lost = theirs.ids != step.before().ids;
    let is_new = |session: &Session| *session == Session { which: session.which, ..Session::new(step.users.user) };
    let is_kept = *ours == step.before().still(SUCCESS) && !step.asks_for("force");
    let works = match &ours.session {
        _ if ![SUCCESS, IGNORE].contains(&ours.code) => false, // the second of two lines has nothing to delete
        Ok(session) => step.call().makes() && (is_kept || is_new(session)),
        Err(errno) => step.call().ends() && *errno == libc::EKEYREVOKED,
    };
    works && (fails || lost) || fails && lost && *ours == step.before().still(step.error())
}

/// The end of a session: the C module loses the saved gid, or the effective capabilities.
fn saved_gid(step: &Step) -> bool {
    let (theirs, ours) = step.both();
    let mut given_back = theirs.clone();
    (given_back.ids[6], given_back.capabilities[1]) = (ours.ids[6], ours.capabilities[1]);
    step.call().ends() && given_back == *ours
}
