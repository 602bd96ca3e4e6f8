// SPDX-License-Identifier: MIT
//! Filters, seccomp(2), that refuse one system call of the modules' at a time, as containers and security modules do.

use std::ffi::c_long;
use std::fmt;

use libc::{
    KEYCTL_CHOWN, KEYCTL_CLEAR, KEYCTL_DESCRIBE, KEYCTL_GET_KEYRING_ID, KEYCTL_INVALIDATE, KEYCTL_JOIN_SESSION_KEYRING,
    KEYCTL_LINK, KEYCTL_READ, KEYCTL_REVOKE, KEYCTL_SEARCH, KEYCTL_SETPERM, KEYCTL_UNLINK,
};

use crate::case::{CALLERS, Call, Case, LINES, Lines, MORE_LINES, STARTS};
use crate::rules::Allows::Both;
use crate::rules::{Rule, Step};
use crate::state::{State, Which};
use crate::support::ids;
use crate::support::keys::{SESSION, USER, USER_SESSION};
use crate::support::pam::{IGNORE, SUCCESS};
use crate::support::seccomp::{self, keyctl};

type Calls = fn() -> Vec<seccomp::Call>;

/// System calls of one name, or of all that a system lacks.
#[derive(Clone, Copy)]
pub struct Refusal {
    name: &'static str,
    calls: Calls,
    errno: i32,
}

impl fmt::Debug for Refusal {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} is refused with errno {}", self.name, self.errno)
    }
}

impl Refusal {
    /// It is in force from now on.
    pub fn take_effect(self) {
        seccomp::refuse(&(self.calls)(), self.errno);
    }
}

fn call(number: c_long) -> Vec<seccomp::Call> {
    vec![(number, Vec::new())]
}

fn get(special: i32) -> Vec<seccomp::Call> {
    vec![(libc::SYS_keyctl, vec![(0, KEYCTL_GET_KEYRING_ID), (1, special as u32)])]
}

/// What can be refused: all that either module asks of the kernel, and what it might. And the whole of what some systems lack.
#[rustfmt::skip]
const REFUSED: [(&str, Calls); 33] = [
    ("getuid", || call(libc::SYS_getuid)),
    ("geteuid", || call(libc::SYS_geteuid)),
    ("getgid", || call(libc::SYS_getgid)),
    ("getegid", || call(libc::SYS_getegid)),
    ("getresuid", || call(ids::SYS_getresuid)),
    ("getresgid", || call(ids::SYS_getresgid)),
    ("setuid", || call(libc::SYS_setuid)),
    ("setgid", || call(libc::SYS_setgid)),
    ("setreuid", || call(ids::SYS_setreuid)),
    ("setregid", || call(ids::SYS_setregid)),
    ("setresuid", || call(ids::SYS_setresuid)),
    ("setresgid", || call(ids::SYS_setresgid)),
    ("setfsuid", || call(ids::SYS_setfsuid)),
    ("setfsgid", || call(ids::SYS_setfsgid)),
    ("capget", || call(libc::SYS_capget)),
    ("prctl", || call(libc::SYS_prctl)),
    ("keyctl", || call(libc::SYS_keyctl)),
    ("GET_KEYRING_ID of @s", || get(SESSION)),
    ("GET_KEYRING_ID of @us", || get(USER_SESSION)),
    ("GET_KEYRING_ID of @u", || get(USER)),
    ("JOIN_SESSION_KEYRING", || vec![keyctl(KEYCTL_JOIN_SESSION_KEYRING)]),
    ("LINK", || vec![keyctl(KEYCTL_LINK)]),
    ("UNLINK", || vec![keyctl(KEYCTL_UNLINK)]),
    ("REVOKE", || vec![keyctl(KEYCTL_REVOKE)]),
    ("INVALIDATE", || vec![keyctl(KEYCTL_INVALIDATE)]),
    ("SETPERM", || vec![keyctl(KEYCTL_SETPERM)]),
    ("DESCRIBE", || vec![keyctl(KEYCTL_DESCRIBE)]),
    ("READ", || vec![keyctl(KEYCTL_READ)]),
    ("SEARCH", || vec![keyctl(KEYCTL_SEARCH)]),
    ("CLEAR", || vec![keyctl(KEYCTL_CLEAR)]),
    ("setfsuid, setfsgid and keyctl", || [ids::SYS_setfsuid, ids::SYS_setfsgid, libc::SYS_keyctl].map(call).concat()),
    ("all that gVisor lacked", || gvisor()),
    ("capget, prctl, DESCRIBE, READ and SEARCH", || {
        let mut calls = [libc::SYS_capget, libc::SYS_prctl].map(call).concat();
        calls.extend([KEYCTL_DESCRIBE, KEYCTL_READ, KEYCTL_SEARCH].map(keyctl));
        calls
    }),
];

/// gVisor's keyctl(2) has few operations, and it has no filesystem ids.
fn gvisor() -> Vec<seccomp::Call> {
    let mut calls = [ids::SYS_setfsuid, ids::SYS_setfsgid].map(call).concat();
    calls.extend([USER_SESSION, USER].map(get).concat());
    calls.extend(
        [
            KEYCTL_LINK,
            KEYCTL_UNLINK,
            KEYCTL_REVOKE,
            KEYCTL_INVALIDATE,
            KEYCTL_READ,
            KEYCTL_SEARCH,
            KEYCTL_CLEAR,
            KEYCTL_CHOWN,
        ]
        .map(keyctl),
    );
    calls
}

/// The lines: of the C module's words, and those with words that it ignores.
fn lines() -> impl Iterator<Item = &'static Lines> {
    LINES.iter().filter(|lines| lines.times == 1).chain(&MORE_LINES[..3])
}

/// A session, and credentials, with each refusal, from each start, for each caller.
pub fn sequences() -> Vec<(Case, Vec<Call>)> {
    let mut all = Vec::new();
    for lines in lines() {
        for start in STARTS {
            for caller in CALLERS {
                for (name, calls) in REFUSED {
                    for errno in [libc::ENOSYS, libc::EPERM, libc::EACCES] {
                        let case = Case { lines, start, caller, refusal: Some(Refusal { name, calls, errno }) };
                        all.push((case, vec![Call::Open, Call::Close]));
                        all.push((case, vec![Call::Establish, Call::Delete]));
                    }
                }
            }
        }
    }
    all
}

pub const RULES: [Rule; 1] = [Rule::parts("absent-calls", Both(no_worse))];

/// What works with the C module works, and what fails there may work.
fn no_worse(step: &Step) -> bool {
    let (theirs, ours) = step.both();
    let works = |state: &State| matches!(state.code, SUCCESS | IGNORE);
    let rights = |state: &State| ([state.ids[0], state.ids[1], state.ids[4], state.ids[5]], state.capabilities);
    let they_work = works(theirs) && rights(theirs) == rights(&step.theirs[0]);
    let code = !they_work || ours.code == theirs.code || ours.code == SUCCESS;
    let session = if step.call().makes() {
        step.isolation(ours) >= step.isolation(theirs)
    } else {
        ours.session == theirs.session || ours.session.is_err() || (step.asks_for("clear") && step.isolation(ours) > 0)
    };
    code && session
}

impl Step<'_> {
    /// How much a session has of its own: a keyring, and the user keyring in it.
    fn isolation(&self, state: &State) -> u32 {
        let Ok(session) = &state.session else { return 0 };
        let is_own = session.which != Which::OfTheStart
            && session.keyring.as_ref().is_some_and(|keyring| keyring.name == "_ses");
        u32::from(is_own) + u32::from(is_own && session.links == [format!("_uid.{}", self.users.user)])
    }
}
