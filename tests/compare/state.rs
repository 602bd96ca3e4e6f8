// SPDX-License-Identifier: MIT
//! What can be seen of a process after a call, and of one that no call has changed.

use std::fmt;
use std::fs;
use std::thread;

use serde::{Deserialize, Serialize};

use crate::case::{Call, Caller, Case, Start, Users, gid};
use crate::deed;
use crate::support::ids::{become_ids, ids_of};
use crate::support::keys;
use crate::support::pam::Pam;

#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct State {
    /// What the call has answered; 0 at the start.
    pub code: i32,
    pub ids: [u32; 8],
    /// Permitted and effective.
    pub capabilities: [u64; 2],
    /// The session keyring, or the errno of a look at it.
    pub session: Result<Session, i32>,
    /// Whether the key that was stored in the session can be found, and read.
    pub finds: Option<[bool; 2]>,
}

#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Session {
    pub which: Which,
    pub keyring: Option<keys::Description>,
    pub links: Vec<String>,
}

/// Which session keyring it is: serial numbers are never the same.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    OfTheStart,
    AsBefore,
    Another,
}

/// Does all `calls` where `case` begins, and tells the states at the start and after each call.
pub fn after_each(pam: &mut Pam, case: &Case, users: Users, calls: &[Call], mut tell: impl FnMut(State)) {
    begin(case, users);
    // The serial numbers, where there are keyrings.
    let mut seen = Vec::<Option<i32>>::new();
    let mut state = |code, stored: Option<i32>| {
        // A look installs the user-session keyring where there is none: another thread's look, for that thread.
        let looked = if case.start == Start::None { thread::spawn(look).join().expect("no panic") } else { look() };
        let serial = looked.as_ref().ok().map(|(serial, ..)| *serial);
        seen.push(serial);
        let which = match seen[..] {
            [first, ..] if first == serial => Which::OfTheStart,
            [.., last, _] if last == serial => Which::AsBefore,
            _ => Which::Another,
        };
        let session = looked.map(|(_, keyring, links)| Session { which, keyring, links });
        let finds = stored.map(|stored| deed::finds(users.user, stored));
        let (ids, capabilities) = rights();
        State { code, ids, capabilities, session, finds }
    };
    let mut stored = None;
    tell(state(0, stored));
    if let Some(refusal) = case.refusal {
        refusal.take_effect();
    }
    for call in calls {
        let code = call.of(pam, users, &mut stored);
        tell(state(code, stored));
    }
}

/// The ids and the capabilities, permitted and effective, of this thread.
fn rights() -> ([u32; 8], [u64; 2]) {
    let status = fs::read_to_string("/proc/thread-self/status").expect("/proc");
    let capabilities = ["CapPrm:", "CapEff:"].map(|name| {
        let set = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of capabilities");
        u64::from_str_radix(set.trim(), 16).expect("a set")
    });
    (ids_of(&status), capabilities)
}

/// Makes this thread, which is root's, the caller's, with the session keyring of the start.
fn begin(case: &Case, users: Users) {
    let start = case.start;
    let join = || keys::join(None).expect("a keyring");
    if start == Start::SomebodyElses {
        become_ids([users.somebody_else, 0, 0], [0; 3]);
        join();
    }
    match case.caller {
        Caller::Of(ids) => ids.take_on(users),
        _ => become_ids([users.caller; 3], [gid(users.caller); 3]),
    }
    match start {
        Start::None | Start::SomebodyElses => (),
        Start::UserSession => drop(keys::id(keys::SESSION).expect("a keyring")),
        Start::Own => drop(join()),
        Start::Revoked => keys::revoke(join()).expect("revoked"),
    }
}

/// The session keyring: its serial number, what it is, the names of what it links. Or the errno.
fn look() -> Result<(i32, Option<keys::Description>, Vec<String>), i32> {
    let serial = keys::id(keys::SESSION).map_err(|error| error.raw_os_error().unwrap_or_default())?;
    let name = |link| keys::describe(link).map_or_else(|error| error.to_string(), |key| key.name);
    let links = keys::links(serial).unwrap_or_default().into_iter().map(name).collect();
    Ok((serial, keys::describe(serial).ok(), links))
}

impl State {
    /// This one still, after one more call with this answer.
    pub fn still(&self, code: i32) -> State {
        let mut state = State { code, ..self.clone() };
        if let Ok(Session { which: which @ Which::Another, .. }) = &mut state.session {
            *which = Which::AsBefore;
        }
        state
    }

    /// This one, after one more call that has ended with success and this session keyring, in which nothing was stored.
    pub fn with(&self, session: Result<Session, i32>) -> State {
        State { code: 0, session, finds: self.finds.map(|_| [false; 2]), ..self.clone() }
    }
}

impl Session {
    /// As the module makes it for `user`.
    pub fn new(user: u32) -> Session {
        let keyring = keys::Description {
            kind: "keyring".to_owned(),
            uid: user,
            gid: gid(user),
            permissions: 0x3f03_0000,
            name: "_ses".to_owned(),
        };
        Session { which: Which::Another, keyring: Some(keyring), links: vec![format!("_uid.{user}")] }
    }
}

impl fmt::Display for State {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State { code, ids, capabilities, session, finds } = self;
        write!(to, "code {code}, ids {ids:?}, ")?;
        if capabilities.iter().any(|set| *set != 0) {
            write!(to, "capabilities {capabilities:x?}, ")?;
        }
        if let Some([finds, reads]) = finds {
            write!(to, "key found {finds}, read {reads}, ")?;
        }
        write!(to, "session keyring ")?;
        match session {
            Ok(Session { which, keyring: Some(keyring), links }) => {
                let keys::Description { uid, gid, permissions, name, .. } = keyring;
                write!(to, "{which:?}: {name} of {uid}:{gid}, {permissions:x}, links {links:?}")
            }
            Ok(Session { which, keyring: None, .. }) => write!(to, "{which:?}, which may not be viewed"),
            Err(errno) => write!(to, "errno {errno}"),
        }
    }
}
