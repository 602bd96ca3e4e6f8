// SPDX-License-Identifier: MIT
//! Filters, seccomp(2), that refuse one system call of the modules' at a time, as containers and security modules do.

use std::ffi::c_long;
use std::fmt;

use libc::{
    KEYCTL_CHOWN, KEYCTL_CLEAR, KEYCTL_DESCRIBE, KEYCTL_GET_KEYRING_ID, KEYCTL_INVALIDATE, KEYCTL_JOIN_SESSION_KEYRING,
    KEYCTL_LINK, KEYCTL_READ, KEYCTL_REVOKE, KEYCTL_SEARCH, KEYCTL_SETPERM, KEYCTL_UNLINK,
};

use crate::case::{CALLERS, Call, Case, LINES, Lines, MORE_LINES, Start};
use crate::rules::Allows::{Both, Ours};
use crate::rules::{Rule, Step};
use crate::state::{State, Which};
use crate::support::ids;
use crate::support::keys::{SESSION, USER, USER_SESSION};
use crate::support::pam::{CRED_ERR, IGNORE, SUCCESS};
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

/// All of them.
pub fn all() -> Vec<Refusal> {
    let errnos = [libc::ENOSYS, libc::EPERM, libc::EACCES];
    REFUSED.into_iter().flat_map(|(name, calls)| errnos.map(|errno| Refusal { name, calls, errno })).collect()
}

/// The lines that ask for different things, and with words that the C module ignores.
fn lines() -> impl Iterator<Item = &'static Lines> {
    LINES[..4].iter().chain(&MORE_LINES[..3])
}

/// A session, and credentials, with each refusal, from each kind of start, for each caller.
pub fn sequences() -> Vec<(Case, Vec<Call>)> {
    let mut all = Vec::new();
    for lines in lines() {
        for start in [Start::None, Start::Own, Start::SomebodyElses] {
            for caller in CALLERS {
                for refusal in self::all() {
                    let case = Case { lines, start, caller, refusal: Some(refusal) };
                    all.push((case, vec![Call::Open, Call::Close]));
                    all.push((case, vec![Call::Establish, Call::Delete]));
                }
            }
        }
    }
    all
}

pub const RULES: [Rule; 4] = [
    Rule::parts("no-keyctl", Both(|step| step.refuses_keyctl() && no_worse(step))),
    Rule::parts("absent-calls", Both(|step| !step.refuses_keyctl() && no_worse(step))),
    Rule::parts("clear", Both(clear)),
    Rule::parts("link-again", Ours(not_linked)),
];

/// A start where the user keyring could not be linked before, and cannot be: the C module's succeeds.
fn not_linked(step: &Step) -> Option<State> {
    let is_incomplete = step.was_made() && step.isolation(step.before()) == 1;
    (step.call().makes() && is_incomplete && step.they_keep(SUCCESS)).then(|| step.before().still(step.error()))
}

/// What works with the C module works, and what fails there may work.
fn no_worse(step: &Step) -> bool {
    let (theirs, ours) = step.both();
    let rights = |state: &State| ([0, 1, 4, 5].map(|place| state.ids[place]), state.capabilities);
    let they_work = matches!(theirs.code, SUCCESS | IGNORE) && rights(theirs) == rights(&step.theirs[0]);
    let works = !they_work || ours.code == theirs.code || ours.code == SUCCESS;
    let is_session_no_worse = if step.call().makes() {
        step.isolation(ours) >= step.isolation(theirs)
    } else {
        ours.session == theirs.session || ours.session.is_err()
    };
    works && is_session_no_worse
}

/// The end of a keyring with `clear`, which the C module leaves. It fails where it failed to make it complete.
fn clear(step: &Step) -> bool {
    let (_, ours) = step.both();
    let is_complete = step.ours[step.calls.len() - 1].code == SUCCESS;
    let works = ours.code == SUCCESS || (step.call() == Call::Delete && !is_complete && ours.code == CRED_ERR);
    step.call().ends() && step.asks_for("clear") && works
}

impl Step<'_> {
    /// Whether it is keyctl(2) that is refused, as a whole or in part.
    fn refuses_keyctl(&self) -> bool {
        let calls = self.case.refusal.map_or_else(Vec::new, |refusal| (refusal.calls)());
        calls.iter().all(|(number, _)| *number == libc::SYS_keyctl)
    }

    /// How much a session has of its own: a keyring, and the user keyring in it.
    fn isolation(&self, state: &State) -> u32 {
        let Ok(session) = &state.session else { return 0 };
        let is_own = session.which != Which::OfTheStart
            && session.keyring.as_ref().is_some_and(|keyring| keyring.name == "_ses");
        u32::from(is_own) + u32::from(is_own && session.links == [format!("_uid.{}", self.users.user)])
    }
}
