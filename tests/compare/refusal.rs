// SPDX-License-Identifier: MIT
//! Filters, seccomp(2), that refuse one system call of the modules' at a time, as containers and security modules do.

use std::ffi::c_long;
use std::fmt;
use std::ops::Range;

use libc::{
    KEYCTL_CHOWN, KEYCTL_CLEAR, KEYCTL_DESCRIBE, KEYCTL_GET_KEYRING_ID, KEYCTL_INVALIDATE, KEYCTL_JOIN_SESSION_KEYRING,
    KEYCTL_LINK, KEYCTL_READ, KEYCTL_REVOKE, KEYCTL_SEARCH, KEYCTL_SETPERM, KEYCTL_UNLINK,
};

use crate::case::{CALLERS, Call, Caller, Case, LINES, Lines, MORE_LINES, Start};
use crate::identity::Ids;
use crate::rules::Allows::{Both, Ours};
use crate::rules::{Rule, Step};
use crate::state::{Session, State, Which};
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

/// All operations of keyctl(2), linux/keyctl.h: one by one, so that this program's own looks pass, `keys::pass_filters`.
const OPERATIONS: Range<u32> = 0..33;

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
    ("keyctl", || OPERATIONS.map(keyctl).collect()),
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
    ("setfsuid, setfsgid and keyctl", || {
        let calls = [ids::SYS_setfsuid, ids::SYS_setfsgid].map(call).concat();
        calls.into_iter().chain(OPERATIONS.map(keyctl)).collect()
    }),
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
pub fn lines() -> impl Iterator<Item = &'static Lines> {
    LINES[..4].iter().chain(&MORE_LINES[..3])
}

/// Those of all comparisons, and setuid programs.
fn callers() -> impl Iterator<Item = Caller> {
    CALLERS.into_iter().chain([false, true].map(|for_root| Caller::Of(Ids::of_setuid_program(for_root))))
}

/// A session, and credentials, with each refusal, from each kind of start, for each caller.
pub fn sequences() -> Vec<(Case, Vec<Call>)> {
    let mut all = Vec::new();
    for lines in lines() {
        for start in [Start::None, Start::Own, Start::SomebodyElses] {
            for caller in callers() {
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

/// A start where the user keyring could not be linked before, and cannot be: the C module's succeeds. After a close ours makes
/// another keyring first.
fn not_linked(step: &Step) -> Option<State> {
    let is_incomplete = step.was_made() && step.isolation(step.before()) == 1;
    let session = if step.closed() {
        Ok(Session { links: Vec::new(), ..Session::new(step.users.user) })
    } else {
        step.before().still(0).session
    };
    (step.call().makes() && is_incomplete && step.they_keep(SUCCESS))
        .then(|| State { code: step.error(), ..step.before().with(session) })
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
        ours.session == theirs.session || matches!(ours.session, Err(libc::EKEYREVOKED | libc::ENOKEY))
    };
    let goes_on = !step.is_without_keyctl() || ours.code == SUCCESS;
    works && goes_on && is_session_no_worse
}

/// The end of a keyring with `clear`, which the C module leaves: nothing is in it but the user keyring, or it is invalid where that
/// cannot be seen to. It fails where it failed to make the keyring complete.
fn clear(step: &Step) -> bool {
    let ((theirs, ours), before) = (step.both(), step.before());
    let they_leave = [SUCCESS, IGNORE].contains(&theirs.code) && *theirs == before.still(theirs.code);
    let is_complete = before.code == SUCCESS;
    let works = *ours == before.still(SUCCESS) || *ours == before.with(Err(libc::ENOKEY));
    let fails = step.call() == Call::Delete && !is_complete && *ours == before.still(CRED_ERR);
    step.call().ends() && step.asks_for("clear") && they_leave && (works || fails)
}

impl Step<'_> {
    /// Whether it is keyctl(2) that is refused, as a whole or in part.
    fn refuses_keyctl(&self) -> bool {
        let calls = self.case.refusal.map_or_else(Vec::new, |refusal| (refusal.calls)());
        calls.iter().all(|(number, _)| *number == libc::SYS_keyctl)
    }

    /// Whether the call is a start, and has to go on without a session keyring: all of keyctl(2) that it needs is absent, or
    /// forbidden from the first on.
    fn is_without_keyctl(&self) -> bool {
        let Some(Refusal { calls, errno, .. }) = self.case.refusal else { return false };
        let forced = self.case.lines.ask(self.call(), "force");
        let first = if forced { vec![keyctl(KEYCTL_JOIN_SESSION_KEYRING)] } else { get(SESSION) };
        let is_first = |(number, conditions): &seccomp::Call| {
            first.iter().any(|(of, all)| number == of && all.starts_with(conditions))
        };
        let is_refused = errno == libc::ENOSYS || errno == libc::EPERM && calls().iter().any(is_first);
        self.call().makes() && self.calls.len() == 1 && self.refuses_keyctl() && is_refused
    }

    /// How much a session has of its own: a keyring, and the user keyring in it.
    fn isolation(&self, state: &State) -> u32 {
        let Ok(session) = &state.session else { return 0 };
        let is_own = session.which != Which::OfTheStart
            && session.keyring.as_ref().is_some_and(|keyring| keyring.name == "_ses");
        u32::from(is_own) + u32::from(is_own && session.links == [format!("_uid.{}", self.users.user)])
    }
}
