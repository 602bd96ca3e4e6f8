// SPDX-License-Identifier: MIT
//! What can go wrong: the code that libpam gets for it, and what the log says.
#![forbid(unsafe_code)]

use core::ffi::{CStr, c_int};
use core::fmt;

use crate::identity::Kind;
use crate::keyring::Operation;
use crate::pam::{Code, Level};

/// Why a call failed. Its `Display` is the line for the log: what was tried, the reason, what to do.
#[derive(thiserror::Error, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error<'call> {
    /// A negative argc, no argv, or a null pointer in it.
    #[error("called with a broken argument list; nothing was done")]
    Arguments,
    /// `pam_get_user` answered this code.
    #[error("libpam does not tell the user's name: PAM error {0}")]
    NoUser(Code),
    /// `pam_set_data` answered this code.
    #[error("libpam does not keep the state of the session: PAM error {0}")]
    NoState(Code),
    /// malloc(3) returned null.
    #[error("no memory for the state of the session")]
    NoMemory,
    /// No passwd entry.
    #[error("user {} is not known", Escaped(.0))]
    UnknownUser(&'call CStr),
    /// A passwd entry with an id that setresuid(2) takes for "leave as it is".
    #[error("the passwd entry of user {} has uid {uid}, gid {gid}: 4294967295 is no id; correct the entry", Escaped(.name))]
    InvalidId {
        /// Whose entry.
        name: &'call CStr,
        /// Its uid.
        uid: u32,
        /// Its gid.
        gid: u32,
    },
    /// The real id could not be set. The thread has the ids it had before.
    #[error("cannot take on the user's {kind} {id}: {errno}{}", id_hint(.errno))]
    TakeOn {
        /// Which real id.
        kind: Kind,
        /// The user's.
        id: u32,
        /// The kernel's reason.
        errno: Errno,
    },
    /// The real id was not touched, because the kernel would not have let the thread have its own back.
    #[error("cannot take on the user's {kind}: the caller could not get its real {kind} {id} back")]
    NoWayBack {
        /// Which real id.
        kind: Kind,
        /// The caller's.
        id: u32,
    },
    /// The thread is left with a wrong real or filesystem id.
    #[error("cannot give the caller its {kind} {id} back: {errno}; end this process")]
    GiveBack {
        /// Which id.
        kind: Kind,
        /// The caller's.
        id: u32,
        /// The kernel's reason.
        errno: Errno,
    },
    /// keyctl(2) failed.
    #[error("cannot {operation}: {errno}{}", keyctl_hint(*.operation, *.errno))]
    Keyctl {
        /// What was asked of it.
        operation: Operation,
        /// The kernel's reason.
        errno: Errno,
    },
}

impl Error<'_> {
    /// What libpam gets; `system` is the calling function's code for a system error.
    pub fn code(self, system: Code) -> Code {
        match self {
            Error::NoUser(code) | Error::NoState(code) => code,
            Error::NoMemory => Code::BUF_ERR,
            Error::UnknownUser(_) => Code::USER_UNKNOWN,
            _ => system,
        }
    }

    /// How much it matters to who reads the log.
    pub fn level(self) -> Level {
        match self {
            Error::UnknownUser(_) => Level::Notice,
            Error::GiveBack { .. } => Level::Critical,
            _ => Level::Error,
        }
    }
}

/// An errno of the kernel. `Display` is its name and what it means here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errno(pub c_int);

impl Errno {
    /// Whether it says that the keyring is gone: revoked, expired or collected.
    pub fn is_dead_key(self) -> bool {
        matches!(self.0, libc::EKEYREVOKED | libc::EKEYEXPIRED | libc::ENOKEY)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            libc::EPERM => "EPERM (not permitted)",
            libc::EINTR => "EINTR (interrupted)",
            libc::EAGAIN => "EAGAIN (try again)",
            libc::ENOMEM => "ENOMEM (no memory)",
            libc::EACCES => "EACCES (permission denied)",
            libc::EINVAL => "EINVAL (invalid argument)",
            libc::ENFILE => "ENFILE (keyring full)",
            libc::ENOSYS => "ENOSYS (no such system call)",
            libc::EDQUOT => "EDQUOT (key quota exceeded)",
            libc::ENOKEY => "ENOKEY (no such key)",
            libc::EKEYEXPIRED => "EKEYEXPIRED (key expired)",
            libc::EKEYREVOKED => "EKEYREVOKED (key revoked)",
            number => return write!(f, "errno {number}"),
        })
    }
}

/// What an administrator can do when an id cannot be set, setresuid(2).
fn id_hint(errno: &Errno) -> &'static str {
    match errno.0 {
        libc::EPERM => "; the caller needs CAP_SETUID and CAP_SETGID",
        libc::EINVAL => "; the id is not mapped in this user namespace",
        libc::EAGAIN => "; see RLIMIT_NPROC",
        _ => "",
    }
}

/// What an administrator can do when keyctl(2) fails.
fn keyctl_hint(operation: Operation, errno: Errno) -> &'static str {
    match (errno.0, operation) {
        (libc::ENOSYS, _) => "; the kernel has no CONFIG_KEYS, or a seccomp filter hides it",
        (libc::EPERM, _) => "; see the seccomp filter of the container or service",
        (libc::EDQUOT, _) => "; see /proc/key-users, raise kernel.keys.maxkeys and kernel.keys.maxbytes",
        // The kernel says ENOKEY too where it could not make the user's keyrings: measured, docs/design.md.
        (libc::ENOKEY, Operation::Link | Operation::GetUserSession) => {
            "; the user's key quota may be full (/proc/key-users, kernel.keys.maxkeys, kernel.keys.maxbytes), or SELinux \
             denies the user's keyrings"
        }
        (libc::EACCES, Operation::Revoke) => {
            "; this thread does not possess it: another thread opened the session, or another session keyring was joined since"
        }
        (libc::EACCES, _) => "; see the keyring's permissions and the security module's log",
        (libc::ENFILE, _) => "; unlink keys from it",
        (libc::ENOMEM, _) => "; free memory and log in again",
        _ => "",
    }
}

/// Text that somebody else chose, made fit for one line of the log: printable ASCII stays, every other byte and the
/// backslash become `\xNN`, and what is too long is cut.
pub struct Escaped<'a>(pub &'a CStr);

impl Escaped<'_> {
    /// Bytes that are shown.
    const LENGTH: usize = 64;
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        f.write_char('"')?;
        let bytes = self.0.to_bytes();
        for &byte in bytes.iter().take(Self::LENGTH) {
            match byte {
                b' '..=b'~' if byte != b'\\' && byte != b'"' => f.write_char(byte as char)?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        f.write_str(if bytes.len() > Self::LENGTH { "...\"" } else { "\"" })
    }
}
