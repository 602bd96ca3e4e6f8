// SPDX-License-Identifier: MIT
//! What can be seen of a process after a call, and of one that no call has changed.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::thread;

use serde::{Deserialize, Serialize};

use crate::case::{Call, Caller, Case, Start, Users, gid};
use crate::deed::{self, Remains};
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
    /// What has become of what was stored in the session.
    pub stored: Option<Stored>,
}

/// What a process of the session can do with the key that was stored in it, and with the keyring that it was stored in.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Stored {
    /// The key is found as programs do.
    pub found: bool,
    /// By its serial number.
    pub read: bool,
    /// The keyring is revoked, invalid or has expired.
    pub ended: bool,
    /// It is the session keyring, or was it before that could not be seen any more.
    pub here: bool,
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
    let status = File::open("/proc/thread-self/status").expect("/proc");
    // The serial numbers, where there are keyrings.
    let mut seen = Vec::<Option<i32>>::new();
    let mut state = |code, stored: Option<deed::Stored>| {
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
        let last = seen.iter().rev().find_map(|serial| *serial);
        let stored = stored.map(|stored| stored.look(users.user, last));
        let (ids, capabilities) = rights(&status);
        State { code, ids, capabilities, session, stored }
    };
    let mut remains = Remains::default();
    tell(state(0, None));
    if let Some(refusal) = case.refusal {
        refusal.take_effect();
    }
    for call in calls {
        let code = call.of(pam, users, &mut remains);
        tell(state(code, remains.stored));
    }
    remains.end();
}

/// The ids and the capabilities, permitted and effective, that a thread's status tells, proc(5).
fn rights(status: &File) -> ([u32; 8], [u64; 2]) {
    let mut text = [0; 4096];
    let length = status.read_at(&mut text, 0).expect("/proc");
    let status = String::from_utf8_lossy(&text[..length]);
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

    /// This one, after one more call that has ended with success, and has ended the session keyring or put this one, in which
    /// nothing was stored, in its place.
    pub fn with(&self, session: Result<Session, i32>) -> State {
        let stored = self.stored.map(|stored| {
            let here = stored.here && session.is_err();
            Stored { ended: stored.ended || here, here, ..Stored::default() }
        });
        State { code: 0, session, stored, ..self.clone() }
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
        let State { code, ids, capabilities, session, stored } = self;
        write!(to, "code {code}, ids {ids:?}, ")?;
        if capabilities.iter().any(|set| *set != 0) {
            write!(to, "capabilities {capabilities:x?}, ")?;
        }
        if let Some(stored) = stored {
            write!(to, "{stored:?}, ")?;
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
