// SPDX-License-Identifier: MIT
//! What can go wrong, and what the log says of it.
#![forbid(unsafe_code)]

use core::ffi::c_int;

use crate::line::Line;

/// What could not be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// Called with a null handle.
    NoHandle,
    /// Called with a negative argc, no argv, or a null pointer in it.
    Arguments,
    /// pam_get_user(3) failed.
    NoUser,
    /// pam_set_data(3) failed.
    NoState,
    /// malloc(3) returned null.
    NoMemory,
    /// No passwd entry.
    UnknownUser,
    /// A passwd entry with an id that setresuid(2) takes for "leave as it is".
    InvalidId,
    /// The real ids could not be set. The thread has those it had before.
    TakeOn,
    /// The real ids were not touched, because the kernel would not have let the thread have all its own back.
    NoWayBack,
    /// The thread is left with a wrong real or filesystem id.
    GiveBack,
    /// `KEYCTL_GET_KEYRING_ID` of `KEY_SPEC_SESSION_KEYRING`.
    LookAtSession,
    /// `KEYCTL_GET_KEYRING_ID` of `KEY_SPEC_USER_SESSION_KEYRING`.
    LookAtUserSession,
    /// `KEYCTL_JOIN_SESSION_KEYRING`.
    Join,
    /// `KEYCTL_JOIN_SESSION_KEYRING` by name.
    JoinShared,
    /// The filesystem uid could not be set. The thread has the one it had before.
    TakeOnFilesystemId,
    /// Somebody else's keyring has the name.
    NameTaken,
    /// `KEYCTL_SETPERM`, or `KEYCTL_LINK` into the user-session keyring.
    Share,
    /// `KEYCTL_LINK`.
    Link,
    /// `KEYCTL_REVOKE`.
    Revoke,
    /// `KEYCTL_READ`.
    Read,
    /// `KEYCTL_UNLINK`.
    Unlink,
}

impl Error {
    /// It in words.
    fn text(self) -> &'static str {
        match self {
            Error::NoHandle => "pam_keyinit called without a handle; nothing was done",
            Error::Arguments => "called with a broken argument list; nothing was done",
            Error::NoUser => "libpam does not give the user's name",
            Error::NoState => "libpam does not keep the state of the session",
            Error::NoMemory => "no memory for the state of the session",
            Error::UnknownUser => "unknown user",
            Error::InvalidId => "the user's passwd entry has 4294967295 for uid or gid, which is no id; correct it",
            Error::TakeOn => "cannot take on the user's real uid and gid",
            Error::NoWayBack => {
                "cannot take on the user's real uid and gid: the caller could not get its own ids or capabilities back"
            }
            Error::GiveBack => "cannot give the caller its own uid and gid back; end this process",
            Error::LookAtSession => "cannot look at the session keyring (KEYCTL_GET_KEYRING_ID)",
            Error::LookAtUserSession => "cannot look at the user-session keyring (KEYCTL_GET_KEYRING_ID)",
            Error::Join => "cannot make a session keyring (KEYCTL_JOIN_SESSION_KEYRING)",
            Error::JoinShared => {
                "cannot join the session keyring that the user's sessions share (KEYCTL_JOIN_SESSION_KEYRING)"
            }
            Error::TakeOnFilesystemId => {
                "cannot take on the user's filesystem uid to find the session keyring that the user's sessions share, and undo that"
            }
            Error::NameTaken => {
                "the keyring that has the name of the one that the user's sessions share is somebody else's, or cannot be \
                 viewed; look for it in /proc/keys"
            }
            Error::Share => "cannot keep the shared session keyring for later sessions (KEYCTL_SETPERM, KEYCTL_LINK)",
            Error::Link => "cannot link the user keyring into the session keyring (KEYCTL_LINK)",
            Error::Revoke => "cannot revoke the session keyring (KEYCTL_REVOKE)",
            Error::Read => "cannot see what is in the session keyring (KEYCTL_READ)",
            Error::Unlink => "cannot clear the session keyring (KEYCTL_UNLINK)",
        }
    }

    /// The failure with the errno of the kernel, or the code of libpam, that says why.
    pub fn because(self, reason: c_int) -> Failure {
        Failure { error: self, reason }
    }
}

/// Why a call failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failure {
    /// What could not be done.
    pub error: Error,
    /// The kernel's errno; libpam's code for what libpam could not do; 0 where this module found out by itself.
    pub reason: c_int,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        error.because(0)
    }
}

impl Failure {
    /// Writes what could not be done, the reason, and what to do.
    pub fn write(self, line: &mut Line) {
        line.text(self.error.text());
        if self.reason != 0 {
            let advice = self.advice();
            line.text(": ").text(advice);
            if advice.ends_with(' ') {
                line.text(if self.reason < 0 { "-" } else { "" }).number(self.reason.unsigned_abs());
            }
        }
    }

    /// Whether the kernel says that the session keyring is gone: revoked, expired or collected.
    pub fn keyring_is_dead(self) -> bool {
        matches!(self.error, Error::LookAtSession | Error::Revoke | Error::Read)
            && matches!(self.reason, libc::EKEYREVOKED | libc::EKEYEXPIRED | libc::ENOKEY)
    }

    /// The reason in words, with what to do. A text that ends in a blank wants the number of the reason behind it.
    fn advice(self) -> &'static str {
        match (self.reason, self.error) {
            (_, Error::NoUser | Error::NoState) => "PAM error ",
            (libc::EPERM, Error::TakeOn | Error::GiveBack | Error::TakeOnFilesystemId) => {
                "EPERM, not permitted; the caller needs CAP_SETUID and CAP_SETGID"
            }
            (libc::ENOSYS, Error::TakeOn | Error::GiveBack | Error::TakeOnFilesystemId) => {
                "ENOSYS, no such system call; a seccomp filter hides it"
            }
            (libc::EPERM, _) => "EPERM, not permitted; see the seccomp filter of the container or service",
            (libc::EINTR, _) => "EINTR, interrupted",
            (libc::EAGAIN, _) => "EAGAIN, out of a resource; see RLIMIT_NPROC",
            (libc::ENOMEM, _) => "ENOMEM, out of memory; see the kernel's log",
            (libc::EACCES, Error::Link | Error::Revoke | Error::Read | Error::Unlink) => {
                "EACCES, this thread does not possess it (another thread opened the session, or another keyring was \
                 joined since), or its permissions were changed"
            }
            (libc::EACCES, _) => {
                "EACCES, permission denied; see the keyring's permissions and the security module's log"
            }
            (libc::EINVAL, Error::TakeOn | Error::GiveBack) => {
                "EINVAL, invalid; the id is not mapped in this user namespace"
            }
            (libc::EINVAL, _) => "EINVAL, invalid",
            (libc::ENFILE, _) => "ENFILE, the keyring is full; unlink keys from it",
            (libc::ENOSYS, _) => {
                "ENOSYS, no such system call; the kernel lacks CONFIG_KEYS, or a sandbox or seccomp filter hides it"
            }
            (libc::EDQUOT, _) => {
                "EDQUOT, the user's key quota is used up (/proc/key-users); look for leftovers (the user's lines in \
                 /proc/keys, keyctl show @u), drop them, and only then raise kernel.keys.maxkeys or \
                 kernel.keys.maxbytes"
            }
            // Measured: the kernel says ENOKEY also where it could not make the user's keyrings.
            (libc::ENOKEY, Error::Link | Error::LookAtUserSession) => {
                "ENOKEY, no such key; the user's key quota may be used up (/proc/key-users; look for leftovers in \
                 /proc/keys before raising kernel.keys.maxkeys or kernel.keys.maxbytes), or SELinux denies the user's \
                 keyrings"
            }
            (libc::ENOKEY, _) => "ENOKEY, no such key",
            (libc::EKEYEXPIRED, _) => "EKEYEXPIRED, the key has expired",
            (libc::EKEYREVOKED, _) => "EKEYREVOKED, the key has been revoked",
            _ => "errno ",
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::line::tests::shown;

    pub const ALL: [Error; 21] = [
        Error::NoHandle,
        Error::Arguments,
        Error::NoUser,
        Error::NoState,
        Error::NoMemory,
        Error::UnknownUser,
        Error::InvalidId,
        Error::TakeOn,
        Error::NoWayBack,
        Error::GiveBack,
        Error::LookAtSession,
        Error::LookAtUserSession,
        Error::Join,
        Error::JoinShared,
        Error::TakeOnFilesystemId,
        Error::NameTaken,
        Error::Share,
        Error::Link,
        Error::Revoke,
        Error::Read,
        Error::Unlink,
    ];

    #[test]
    fn advice_begins_with_the_name_of_the_errno() {
        for (errno, name) in [
            (libc::EPERM, "EPERM"),
            (libc::EINTR, "EINTR"),
            (libc::EAGAIN, "EAGAIN"),
            (libc::ENOMEM, "ENOMEM"),
            (libc::EACCES, "EACCES"),
            (libc::EINVAL, "EINVAL"),
            (libc::ENFILE, "ENFILE"),
            (libc::ENOSYS, "ENOSYS"),
            (libc::EDQUOT, "EDQUOT"),
            (libc::ENOKEY, "ENOKEY"),
            (libc::EKEYEXPIRED, "EKEYEXPIRED"),
            (libc::EKEYREVOKED, "EKEYREVOKED"),
        ] {
            for error in [Error::TakeOn, Error::LookAtSession, Error::LookAtUserSession, Error::Link, Error::Revoke] {
                let advice = error.because(errno).advice();
                assert!(advice.starts_with(&format!("{name}, ")), "{advice}");
            }
        }
    }

    /// Only keyctl(2) may be absent because the kernel was built without it.
    #[test]
    fn advice_is_for_the_call_that_is_absent() {
        for error in ALL {
            let is_of_ids = matches!(error, Error::TakeOn | Error::GiveBack | Error::TakeOnFilesystemId);
            let is_of_libpam = matches!(error, Error::NoUser | Error::NoState);
            assert_eq!(error.because(libc::ENOSYS).advice().contains("CONFIG_KEYS"), !is_of_ids && !is_of_libpam);
        }
    }

    #[test]
    fn a_code_of_libpam_is_shown_with_its_sign() {
        for code in [-31, 31] {
            let mut line = Line::new();
            Error::NoState.because(code).write(&mut line);
            assert!(shown(&line).ends_with(&format!(": PAM error {code}")), "{}", shown(&line));
        }
    }
}
