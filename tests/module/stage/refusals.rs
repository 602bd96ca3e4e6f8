// SPDX-License-Identifier: MIT
//! The system calls of the module, and what comes of it when the kernel refuses one (contract, section 5).

use std::ffi::c_long;

use libc::{
    EACCES, EAGAIN, EDQUOT, EINTR, EINVAL, EKEYEXPIRED, EKEYREVOKED, ENFILE, ENOKEY, ENOMEM, ENOSYS, EPERM,
    KEYCTL_DESCRIBE, KEYCTL_GET_KEYRING_ID, KEYCTL_INVALIDATE, KEYCTL_JOIN_SESSION_KEYRING, KEYCTL_LINK, KEYCTL_READ,
    KEYCTL_REVOKE, KEYCTL_SEARCH, KEYCTL_SETPERM, KEYCTL_UNLINK,
};

use super::scenes::{Keyring, Scene};
use super::{CRITICAL, DEBUG, ERROR, NOTICE, WARNING, Who};
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
    Search,
    Join,
    JoinShared,
    FindShared,
    ShareWithUser,
    KeepShared,
    /// The filesystem uid is the user's while it is joined; then what that clears is set again.
    SeeFilesystemId,
    SeeParentDeathSignal,
    SeeDumpable,
    TakeOnFilesystemId,
    CheckTakenOn,
    ReturnFilesystemId,
    CheckReturned,
    SetParentDeathSignal,
    SetDumpable,
    Link,
    Read,
    Unlink,
    Revoke,
    /// These two are made only after a refusal.
    SetPermissions,
    Invalidate,
}

/// All that are made where nothing is refused, once each.
pub fn all() -> Vec<Call> {
    use Call::*;
    let of = |kind| {
        [LookAtIds, LookAtFilesystemId, TakeOn, GiveBack, GiveBackFilesystemId, CheckFilesystemId]
            .map(|call| call(kind))
    };
    let others = [LookAtSession, LookAtUserSession, LookAtUser, Describe, Search, Join, Link, Read, Unlink, Revoke];
    let shared = [JoinShared, FindShared, ShareWithUser, KeepShared];
    [&of(Kind::Gid)[..], &of(Kind::Uid), &others, &shared, &FILESYSTEM_ID, &FLAGS].concat()
}

/// The calls of setfsuid(2) around [`Call::JoinShared`], in their order.
const FILESYSTEM_ID: [Call; 5] = [
    Call::SeeFilesystemId,
    Call::TakeOnFilesystemId,
    Call::CheckTakenOn,
    Call::ReturnFilesystemId,
    Call::CheckReturned,
];

/// Those of prctl(2).
const FLAGS: [Call; 4] = [Call::SeeParentDeathSignal, Call::SeeDumpable, Call::SetParentDeathSignal, Call::SetDumpable];

/// The numbers of the system calls that they are made by.
pub const NUMBERS: [c_long; 10] = [
    ids::SYS_getresgid,
    ids::SYS_getresuid,
    ids::SYS_setfsgid,
    ids::SYS_setfsuid,
    ids::SYS_setregid,
    ids::SYS_setresgid,
    ids::SYS_setreuid,
    ids::SYS_setresuid,
    libc::SYS_keyctl,
    libc::SYS_prctl,
];

/// What this system call is for, in a call of the module for `who` that has made the `earlier` ones. None: the module has
/// no such.
pub fn recognise(call: SystemCall, who: Who, earlier: &[Call]) -> Option<Call> {
    use Call::*;
    let [first, second] = [0, 1].map(|index| call.arguments[index] as i32);
    let set_id = |kind, users: u32| match [first, second] {
        [id, -1] if id as u32 == users => Some(TakeOn(kind)),
        [_, -1] if earlier.contains(&TakeOn(kind)) => Some(GiveBack(kind)),
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
        ids::SYS_setfsgid => set_filesystem_id(Kind::Gid),
        ids::SYS_setfsuid if earlier.contains(&TakeOn(Kind::Uid)) && !earlier.contains(&GiveBack(Kind::Uid)) => {
            FILESYSTEM_ID.into_iter().find(|call| !earlier.contains(call))
        }
        ids::SYS_setfsuid => set_filesystem_id(Kind::Uid),
        libc::SYS_prctl => match first {
            libc::PR_GET_PDEATHSIG => Some(SeeParentDeathSignal),
            libc::PR_GET_DUMPABLE => Some(SeeDumpable),
            libc::PR_SET_PDEATHSIG => Some(SetParentDeathSignal),
            libc::PR_SET_DUMPABLE => Some(SetDumpable),
            _ => None,
        },
        ids::SYS_setregid | ids::SYS_setresgid => set_id(Kind::Gid, who.gid),
        ids::SYS_setreuid | ids::SYS_setresuid => set_id(Kind::Uid, who.uid),
        libc::SYS_keyctl => match (first.unsigned_abs(), second) {
            (KEYCTL_GET_KEYRING_ID, SESSION) => Some(LookAtSession),
            (KEYCTL_GET_KEYRING_ID, USER_SESSION) => Some(LookAtUserSession),
            (KEYCTL_GET_KEYRING_ID, USER) => Some(LookAtUser),
            (KEYCTL_DESCRIBE, _) => Some(Describe),
            (KEYCTL_JOIN_SESSION_KEYRING, 0) => Some(Join),
            (KEYCTL_JOIN_SESSION_KEYRING, _) => Some(JoinShared),
            (KEYCTL_LINK, USER) => Some(Link),
            (KEYCTL_LINK, _) => Some(KeepShared),
            (KEYCTL_READ, _) => Some(Read),
            (KEYCTL_UNLINK, _) => Some(Unlink),
            (KEYCTL_REVOKE, _) => Some(Revoke),
            (KEYCTL_SEARCH, USER_SESSION) => Some(FindShared),
            (KEYCTL_SEARCH, _) => Some(Search),
            (KEYCTL_SETPERM, _) if earlier.contains(&JoinShared) => Some(ShareWithUser),
            (KEYCTL_SETPERM, _) => Some(SetPermissions),
            (KEYCTL_INVALIDATE, _) => Some(Invalidate),
            _ => None,
        },
        _ => None,
    }
}

/// What comes of a call of the module in which a system call was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It succeeds, as if nothing had been refused.
    AsEver,
    /// It succeeds. A new session keyring is made.
    Makes,
    /// It succeeds. The session keyring is kept, and nothing is said of its owner.
    Keeps,
    /// It succeeds. A new session keyring is made, which belongs to the caller.
    Charges,
    /// It succeeds. The shared session keyring cannot be had, and a new session keyring is made.
    MakesInstead,
    /// It succeeds without a session keyring of its own, which matters so much.
    GoesOn(u8),
    /// It succeeds, in the session keyring that `own` would replace.
    Stays,
    /// It succeeds. There is a new session keyring, without the link to the user keyring.
    DoesWithoutLink,
    /// It fails, and nothing was done.
    Fails,
    /// It fails. There is a new session keyring all the same.
    FailsInOwn,
    /// It fails. There is a new session keyring, without the link to the user keyring.
    LacksLink,
    /// It fails and is critical: an id of the caller is not what it was.
    Loses,
    /// It succeeds. The session keyring is cleared.
    Clears,
    /// It succeeds. The session keyring is invalidated.
    Invalidates,
    /// It succeeds: there is nothing left to end.
    IsOver,
    /// The session keyring is empty, without the user keyring. close succeeds all the same.
    Empties,
}
use Outcome::*;

/// Opening a session, or PAM_ESTABLISH_CRED.
pub fn at_start(call: Call, errno: i32, scene: &Scene) -> Outcome {
    use Call::*;
    let [own, force, shared] = ["own", "force", "user-session"].map(|word| scene.asks_for(word));
    // What the C module would keep.
    let only_own = own && scene.keyring != Keyring::None;
    match (call, errno) {
        // There is another way to see them, or to set them if the caller is capable.
        (LookAtIds(_) | LookAtFilesystemId(_), _) => AsEver,
        (TakeOn(_), _) => {
            if scene.capable {
                AsEver
            } else {
                Fails
            }
        }
        (GiveBack(_) | GiveBackFilesystemId(_) | CheckFilesystemId(_), _) => Loses,
        // The filesystem uid is given back with the others all the same.
        (ReturnFilesystemId | CheckReturned, _) => Loses,
        (JoinShared, ENOSYS) => GoesOn(DEBUG),
        (JoinShared, EPERM) => GoesOn(NOTICE),
        // As if it had not been there.
        (FindShared, _) => AsEver,
        (Link | Describe, _) if shared => MakesInstead,
        (
            JoinShared | ShareWithUser | KeepShared | SeeFilesystemId | TakeOnFilesystemId | CheckTakenOn
            | SeeParentDeathSignal | SeeDumpable | SetParentDeathSignal | SetDumpable,
            _,
        ) => MakesInstead,
        // What only `own` replaces was there before, and the user keyring can be found from one that is the user's.
        (Join, ENOSYS | EPERM | EACCES) if only_own => Stays,
        (Link, EPERM | EACCES) if only_own => DoesWithoutLink,
        // The kernel has no keyrings, or no more than JOIN.
        (LookAtSession | LookAtUserSession | Join, ENOSYS) => GoesOn(DEBUG),
        (Link, ENOSYS) => DoesWithoutLink,
        // The first keyctl(2): a filter forbids it.
        (LookAtSession, EPERM) => GoesOn(NOTICE),
        (Join, EPERM) if force => GoesOn(NOTICE),
        // The session keyring is dead, or the security module keeps it from the user.
        (LookAtSession, EKEYREVOKED | EKEYEXPIRED | ENOKEY) => Makes,
        (LookAtSession, EACCES) if own => Makes,
        // The user has no user-session keyring, so this is another one.
        (LookAtUserSession, ENOKEY) if scene.keyring != Keyring::None => AsEver,
        (LookAtUserSession, ENOKEY) => Keeps,
        (LookAtSession | LookAtUserSession, _) => FailsInOwn,
        // Nobody's keyring, or one that leads nowhere.
        (Describe | Search | LookAtUser, _) => {
            if own {
                Makes
            } else {
                Keeps
            }
        }
        (Join | Link, EDQUOT) => Charges,
        (Link, _) => LacksLink,
        _ => Fails,
    }
}

/// Closing the last session, or PAM_DELETE_CRED.
pub fn at_end(call: Call, errno: i32, scene: &Scene) -> Outcome {
    use Call::*;
    match (call, errno) {
        (GiveBack(_) | GiveBackFilesystemId(_) | CheckFilesystemId(_), _) => Loses,
        (Revoke | Read, EKEYREVOKED | EKEYEXPIRED | ENOKEY) => IsOver,
        (Revoke, _) => Invalidates,
        // All goes, and the user keyring is linked again.
        (LookAtUser | LookAtIds(_) | LookAtFilesystemId(_), _) => Clears,
        (Link, _) => Empties,
        (TakeOn(_), _) if scene.capable => Clears,
        // The keyring's permissions are nobody's to change here: the caller is not its owner.
        _ => Invalidates,
    }
}

/// What the log is to say.
pub struct Told {
    pub level: u8,
    pub start: &'static str,
    /// Whether the errno is behind the start.
    pub with_errno: bool,
    /// What is behind that.
    pub state: &'static str,
}

impl Outcome {
    pub fn told(self, call: Call, scene: &Scene) -> Option<Told> {
        let done = |start| Some(Told { level: DEBUG, start, with_errno: false, state: "" });
        let refused = |level, state| Some(Told { level, start: call.text(), with_errno: true, state });
        match self {
            AsEver if scene.asks_for("user-session") => done("the session shares session keyring"),
            AsEver if !scene.makes() && scene.keyring == Keyring::Roots => Some(Told {
                level: NOTICE,
                start: "the user stays in root's session keyring",
                with_errno: false,
                state: "",
            }),
            AsEver if !scene.makes() => done("the process has and keeps session keyring"),
            Makes if call == Call::LookAtSession && scene.asks_for("own") => done(""),
            Makes if call == Call::LookAtSession => done("the session keyring was dead, made session keyring"),
            AsEver | Makes => done("made session keyring"),
            Keeps => done(""),
            Clears => done("cleared session keyring"),
            MakesInstead if call == Call::Describe => Some(Told {
                level: WARNING,
                start: "the keyring that has the name of the one that the user's sessions share is somebody else's, or cannot",
                with_errno: false,
                state: "; the session has one of its own instead, session keyring ",
            }),
            MakesInstead => refused(WARNING, "; the session has one of its own instead, session keyring "),
            Charges => refused(WARNING, "; the session has a keyring that is charged to the caller, session keyring "),
            GoesOn(level) => refused(level, "; the login goes on without a session keyring of its own"),
            Stays => refused(WARNING, "; the session is left in session keyring "),
            DoesWithoutLink => refused(NOTICE, WITHOUT_LINK),
            LacksLink => refused(ERROR, WITHOUT_LINK),
            Fails if call == Call::Join => refused(ERROR, "; the session is left in session keyring "),
            Fails => refused(ERROR, "; the session is left in its caller's session keyring"),
            FailsInOwn => refused(ERROR, "; the session was given session keyring "),
            Invalidates => refused(NOTICE, "; invalidated instead: session keyring "),
            Empties => refused(ERROR, "; nothing is left in session keyring "),
            Loses => refused(CRITICAL, ""),
            IsOver => None,
        }
    }
}

const WITHOUT_LINK: &str = "; the session has, without the user keyring, session keyring ";

impl Call {
    /// What the log says that could not be done.
    fn text(self) -> &'static str {
        use Call::*;
        match self {
            TakeOn(_) => "cannot take on the user's real uid and gid",
            GiveBack(_) | GiveBackFilesystemId(_) | CheckFilesystemId(_) | ReturnFilesystemId | CheckReturned => LOST,
            JoinShared => {
                "cannot join the session keyring that the user's sessions share (KEYCTL_JOIN_SESSION_KEYRING)"
            }
            ShareWithUser | KeepShared => {
                "cannot keep the shared session keyring for later sessions (KEYCTL_SETPERM, KEYCTL_LINK)"
            }
            SeeFilesystemId | TakeOnFilesystemId | CheckTakenOn | SeeParentDeathSignal | SeeDumpable
            | SetParentDeathSignal | SetDumpable => {
                "cannot take on the user's filesystem uid to find the session keyring that the user's sessions share, and undo that"
            }
            LookAtSession => "cannot look at the session keyring (KEYCTL_GET_KEYRING_ID)",
            LookAtUserSession => "cannot look at the user-session keyring (KEYCTL_GET_KEYRING_ID)",
            Join => "cannot make a session keyring (KEYCTL_JOIN_SESSION_KEYRING)",
            Link => "cannot link the user keyring into the session keyring (KEYCTL_LINK)",
            Read => "cannot see what is in the session keyring (KEYCTL_READ)",
            Unlink => "cannot clear the session keyring (KEYCTL_UNLINK)",
            Revoke => "cannot revoke the session keyring (KEYCTL_REVOKE)",
            LookAtIds(_)
            | LookAtFilesystemId(_)
            | Describe
            | Search
            | LookAtUser
            | SetPermissions
            | Invalidate
            | FindShared => {
                unreachable!("nothing is said of it")
            }
        }
    }
}

/// What the log says from then on.
pub const LOST: &str = "cannot give the caller its own uid and gid back; end this process";
