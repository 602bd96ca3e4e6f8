// SPDX-License-Identifier: MIT
//! The system calls of the module, and what comes of it when the kernel refuses one (contract, section 5).

use std::ffi::c_long;

use libc::{
    EACCES, EAGAIN, EDQUOT, EINTR, EINVAL, EKEYEXPIRED, EKEYREVOKED, ENFILE, ENOKEY, ENOMEM, ENOSYS, EPERM,
    KEYCTL_DESCRIBE, KEYCTL_GET_KEYRING_ID, KEYCTL_JOIN_SESSION_KEYRING, KEYCTL_LINK, KEYCTL_READ, KEYCTL_REVOKE,
    KEYCTL_UNLINK,
};

use super::{CRITICAL, DEBUG, ERROR, NOTICE, Who};
use crate::support::ids;
use crate::support::keys::{SESSION, USER, USER_SESSION};
use crate::support::trace::SystemCall;

/// What the kernel may answer.
pub const ERRNOS: [(i32, &str); 12] = [
    (ENOSYS, "ENOSYS"),
    (EPERM, "EPERM"),
    (EACCES, "EACCES"),
    (ENOMEM, "ENOMEM"),
    (EDQUOT, "EDQUOT"),
    (ENOKEY, "ENOKEY"),
    (EKEYREVOKED, "EKEYREVOKED"),
    (EKEYEXPIRED, "EKEYEXPIRED"),
    (ENFILE, "ENFILE"),
    (EINTR, "EINTR"),
    (EAGAIN, "EAGAIN"),
    (EINVAL, "EINVAL"),
];

/// Kinds of ids.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    Gid,
    Uid,
}

/// What the module makes a system call for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Call {
    LookAtIds(Kind),
    LookAtCapabilities,
    LookAtFilesystemId(Kind),
    TakeOn(Kind),
    GiveBack(Kind),
    GiveBackFilesystemId(Kind),
    /// Whether it was given back.
    CheckFilesystemId(Kind),
    LookAtSession,
    LookAtUserSession,
    LookAtUser,
    Describe,
    Join,
    Link,
    Read,
    Unlink,
    Revoke,
}

/// All of them, once each.
pub fn all() -> Vec<Call> {
    use Call::*;
    let of = |kind| {
        [LookAtIds, LookAtFilesystemId, TakeOn, GiveBack, GiveBackFilesystemId, CheckFilesystemId]
            .map(|call| call(kind))
    };
    let others =
        [LookAtCapabilities, LookAtSession, LookAtUserSession, LookAtUser, Describe, Join, Link, Read, Unlink, Revoke];
    [&of(Kind::Gid)[..], &of(Kind::Uid), &others].concat()
}

/// The numbers of the system calls that they are made by.
pub const NUMBERS: [c_long; 8] = [
    ids::SYS_getresgid,
    ids::SYS_getresuid,
    libc::SYS_capget,
    ids::SYS_setfsgid,
    ids::SYS_setfsuid,
    ids::SYS_setresgid,
    ids::SYS_setresuid,
    libc::SYS_keyctl,
];

/// What this system call is for, in a call of the module for `who` that has made the `earlier` ones. None: the module has
/// no such.
pub fn recognise(call: SystemCall, who: Who, earlier: &[Call]) -> Option<Call> {
    use Call::*;
    let [first, second, third] = [0, 1, 2].map(|index| call.arguments[index] as i32);
    let set_id = |kind, users: u32| match [first, second, third] {
        [id, -1, -1] if id as u32 == users => Some(TakeOn(kind)),
        [_, -1, -1] if earlier.contains(&TakeOn(kind)) => Some(GiveBack(kind)),
        _ => None,
    };
    let set_filesystem_id = |kind| {
        Some(match (first, earlier.contains(&GiveBack(kind))) {
            (-1, false) => LookAtFilesystemId(kind),
            (-1, true) => CheckFilesystemId(kind),
            (_, true) => GiveBackFilesystemId(kind),
            _ => return None,
        })
    };
    match call.number {
        ids::SYS_getresgid => Some(LookAtIds(Kind::Gid)),
        ids::SYS_getresuid => Some(LookAtIds(Kind::Uid)),
        libc::SYS_capget => Some(LookAtCapabilities),
        ids::SYS_setfsgid => set_filesystem_id(Kind::Gid),
        ids::SYS_setfsuid => set_filesystem_id(Kind::Uid),
        ids::SYS_setresgid => set_id(Kind::Gid, who.gid),
        ids::SYS_setresuid => set_id(Kind::Uid, who.uid),
        libc::SYS_keyctl => match (first.unsigned_abs(), second) {
            (KEYCTL_GET_KEYRING_ID, SESSION) => Some(LookAtSession),
            (KEYCTL_GET_KEYRING_ID, USER_SESSION) => Some(LookAtUserSession),
            (KEYCTL_GET_KEYRING_ID, USER) => Some(LookAtUser),
            (KEYCTL_DESCRIBE, _) => Some(Describe),
            (KEYCTL_JOIN_SESSION_KEYRING, 0) => Some(Join),
            (KEYCTL_LINK, USER) => Some(Link),
            (KEYCTL_READ, _) => Some(Read),
            (KEYCTL_UNLINK, _) => Some(Unlink),
            (KEYCTL_REVOKE, _) => Some(Revoke),
            _ => None,
        },
        _ => None,
    }
}

/// What comes of a call of the module in which a system call was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It succeeds. A new session keyring is made.
    Makes,
    /// It succeeds. The session keyring is kept.
    Keeps,
    /// It succeeds without a session keyring of its own, which matters so much.
    GoesOn(u8),
    /// It fails, and nothing was done.
    Fails,
    /// It fails. There is a new session keyring, without the link to the user keyring.
    LacksLink,
    /// It fails and is critical: an id of the caller is not what it was.
    Loses,
    /// It succeeds. The session keyring is cleared.
    Clears,
    /// It succeeds: there is nothing left to end.
    IsOver,
    /// The end fails. close succeeds all the same.
    CannotEnd,
}
use Outcome::*;

/// Opening a session, or PAM_ESTABLISH_CRED.
pub fn at_start(call: Call, errno: i32, asks_for: impl Fn(&str) -> bool) -> Outcome {
    use Call::*;
    match (call, errno) {
        (LookAtIds(_) | LookAtCapabilities | LookAtFilesystemId(_) | TakeOn(_), _) => Fails,
        (GiveBack(_) | GiveBackFilesystemId(_) | CheckFilesystemId(_), _) => Loses,
        // The kernel has no keyrings.
        (LookAtSession | LookAtUserSession | Join, ENOSYS) => GoesOn(DEBUG),
        // The first keyctl(2): a filter forbids it.
        (LookAtSession, EPERM) => GoesOn(NOTICE),
        (Join, EPERM) if asks_for("force") => GoesOn(NOTICE),
        // The session keyring is dead.
        (LookAtSession, EKEYREVOKED | EKEYEXPIRED | ENOKEY) => Makes,
        // Nobody's keyring.
        (Describe, _) if asks_for("own") => Makes,
        (Describe, _) => Keeps,
        (Link, _) => LacksLink,
        _ => Fails,
    }
}

/// Closing the last session, or PAM_DELETE_CRED.
pub fn at_end(call: Call, errno: i32) -> Outcome {
    use Call::*;
    match (call, errno) {
        (GiveBack(_) | GiveBackFilesystemId(_) | CheckFilesystemId(_), _) => Loses,
        (Revoke | Read, EKEYREVOKED | EKEYEXPIRED | ENOKEY) => IsOver,
        // All goes, and the user keyring is linked again.
        (LookAtUser, _) => Clears,
        _ => CannotEnd,
    }
}

impl Outcome {
    /// Level and beginning of what the log says, with the errno behind it if that is so.
    pub fn line(self, call: Call) -> Option<(u8, &'static str, bool)> {
        match self {
            Makes if call == Call::LookAtSession => {
                Some((DEBUG, "the session keyring was dead, made session keyring", false))
            }
            Makes => Some((DEBUG, "made session keyring", false)),
            Keeps => Some((DEBUG, "the process has and keeps session keyring", false)),
            Clears => Some((DEBUG, "cleared session keyring", false)),
            GoesOn(level) => Some((level, call.text(), true)),
            // These were looked at by the module, and the kernel has told nothing.
            Fails | CannotEnd if call == Call::LookAtCapabilities => Some((ERROR, call.text(), false)),
            Fails | LacksLink | CannotEnd => Some((ERROR, call.text(), true)),
            Loses => Some((CRITICAL, call.text(), true)),
            IsOver => None,
        }
    }
}

impl Call {
    /// What the log says that could not be done.
    fn text(self) -> &'static str {
        use Call::*;
        match self {
            LookAtIds(_) | LookAtFilesystemId(_) | TakeOn(_) => "cannot take on the user's real uid and gid",
            LookAtCapabilities => {
                "cannot take on the user's real uid and gid: the caller could not get its own ids or capabilities back"
            }
            GiveBack(_) | GiveBackFilesystemId(_) | CheckFilesystemId(_) => LOST,
            LookAtSession => "cannot look at the session keyring (KEYCTL_GET_KEYRING_ID)",
            LookAtUserSession => "cannot look at the user-session keyring (KEYCTL_GET_KEYRING_ID)",
            Join => "cannot make a session keyring (KEYCTL_JOIN_SESSION_KEYRING)",
            Link => "cannot link the user keyring into the session keyring (KEYCTL_LINK)",
            Read => "cannot see what is in the session keyring (KEYCTL_READ)",
            Unlink => "cannot clear the session keyring (KEYCTL_UNLINK)",
            Revoke => "cannot revoke the session keyring (KEYCTL_REVOKE)",
            Describe | LookAtUser => unreachable!("nothing is said of it"),
        }
    }
}

/// What the log says from then on.
pub const LOST: &str = "cannot give the caller its own uid and gid back; end this process";
