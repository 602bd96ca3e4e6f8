// SPDX-License-Identifier: MIT
//! The keyctl(2) operations that a session needs, and nothing around them.
#![forbid(unsafe_code)]

use core::fmt;

use crate::error::Error;
use crate::sys;

/// A keyctl(2) operation, as the log names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// `KEYCTL_GET_KEYRING_ID` of `KEY_SPEC_SESSION_KEYRING`.
    GetSession,
    /// `KEYCTL_GET_KEYRING_ID` of `KEY_SPEC_USER_SESSION_KEYRING`.
    GetUserSession,
    /// `KEYCTL_JOIN_SESSION_KEYRING` without a name.
    Join,
    /// `KEYCTL_LINK` of `KEY_SPEC_USER_KEYRING`.
    Link,
    /// `KEYCTL_REVOKE`.
    Revoke,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::GetSession => "look at the session keyring (KEYCTL_GET_KEYRING_ID)",
            Operation::GetUserSession => "look at the user-session keyring (KEYCTL_GET_KEYRING_ID)",
            Operation::Join => "make a session keyring (KEYCTL_JOIN_SESSION_KEYRING)",
            Operation::Link => "link the user keyring into the session keyring (KEYCTL_LINK)",
            Operation::Revoke => "revoke the session keyring (KEYCTL_REVOKE)",
        })
    }
}

/// The serial number of a keyring: positive, unique on the machine while the keyring lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keyring(i32);

impl Keyring {
    /// The thread's session keyring. A thread that has none is given the user-session keyring of its real uid by this
    /// very call, keyrings(7).
    ///
    /// # Errors
    /// `EKEYREVOKED`, `EKEYEXPIRED`, `ENOKEY`: the session keyring is dead.
    pub fn of_session() -> Result<Keyring, Error<'static>> {
        get(Operation::GetSession, libc::KEY_SPEC_SESSION_KEYRING)
    }

    /// The user-session keyring of the thread's real uid.
    ///
    /// # Errors
    /// `ENOKEY`, also when the kernel could not make it for lack of quota or by order of SELinux.
    pub fn of_user_session() -> Result<Keyring, Error<'static>> {
        get(Operation::GetUserSession, libc::KEY_SPEC_USER_SESSION_KEYRING)
    }

    /// Puts a new, anonymous session keyring in the place of the thread's, owned by the thread's real ids.
    ///
    /// # Errors
    /// `EDQUOT`, `ENOMEM`.
    pub fn join() -> Result<Keyring, Error<'static>> {
        call(Operation::Join, libc::KEYCTL_JOIN_SESSION_KEYRING, 0, 0).map(Keyring)
    }

    /// Links the user keyring of the thread's real uid into this one, which the thread must possess.
    ///
    /// # Errors
    /// `EDQUOT`, `ENOKEY`, `EKEYREVOKED`, `EACCES`, `ENFILE`, `ENOMEM`.
    pub fn link_user_keyring(self) -> Result<(), Error<'static>> {
        call(Operation::Link, libc::KEYCTL_LINK, libc::KEY_SPEC_USER_KEYRING, self.0).map(drop)
    }

    /// Makes this keyring, which the thread must possess, and all that only it links unusable for everybody.
    ///
    /// # Errors
    /// `EACCES` without possession, `ENOKEY`, `EKEYREVOKED`, `EPERM`.
    pub fn revoke(self) -> Result<(), Error<'static>> {
        call(Operation::Revoke, libc::KEYCTL_REVOKE, self.0, 0).map(drop)
    }
}

impl fmt::Display for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `KEYCTL_GET_KEYRING_ID` that creates nothing by itself.
fn get(operation: Operation, special: i32) -> Result<Keyring, Error<'static>> {
    call(operation, libc::KEYCTL_GET_KEYRING_ID, special, 0).map(Keyring)
}

fn call(operation: Operation, number: u32, first: i32, second: i32) -> Result<i32, Error<'static>> {
    sys::keyctl(number, first, second).map_err(|errno| Error::Keyctl { operation, errno })
}
