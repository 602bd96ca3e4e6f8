// SPDX-License-Identifier: MIT
//! The keyctl(2) operations that a session needs, and nothing around them.
#![forbid(unsafe_code)]

use crate::error::{Error, Failure};
use crate::sys::{self, Operation};

/// The serial number of a keyring: positive, unique on the machine while the keyring lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keyring(i32);

impl Keyring {
    /// Its serial number, as keyctl(1) shows it.
    pub fn serial(self) -> u32 {
        self.0.unsigned_abs()
    }

    /// The thread's session keyring. A thread that has none is given the user-session keyring of its real uid by this
    /// very call, keyrings(7).
    ///
    /// # Errors
    /// `EKEYREVOKED`, `EKEYEXPIRED`, `ENOKEY`: the session keyring is dead.
    pub fn of_session() -> Result<Keyring, Failure> {
        keyctl(Error::LookAtSession, Operation::GetKeyringId, libc::KEY_SPEC_SESSION_KEYRING, 0)
    }

    /// The user-session keyring of the thread's real uid.
    ///
    /// # Errors
    /// `ENOKEY`, also when the kernel could not make it for lack of quota or by order of SELinux.
    pub fn of_user_session() -> Result<Keyring, Failure> {
        keyctl(Error::LookAtUserSession, Operation::GetKeyringId, libc::KEY_SPEC_USER_SESSION_KEYRING, 0)
    }

    /// Puts a new, anonymous session keyring in the place of the thread's, owned by the thread's real ids.
    ///
    /// # Errors
    /// `EDQUOT`, `ENOMEM`.
    pub fn join() -> Result<Keyring, Failure> {
        keyctl(Error::Join, Operation::JoinSessionKeyring, 0, 0)
    }

    /// Links the user keyring of the thread's real uid into this one, which the thread must possess.
    ///
    /// # Errors
    /// `EDQUOT`, `ENOKEY`, `EKEYREVOKED`, `EACCES`, `ENFILE`, `ENOMEM`.
    pub fn link_user_keyring(self) -> Result<(), Failure> {
        keyctl(Error::Link, Operation::Link, libc::KEY_SPEC_USER_KEYRING, self.0).map(drop)
    }

    /// Makes this keyring, which the thread must possess, and all that only it links unusable for everybody.
    ///
    /// # Errors
    /// `EACCES` without possession, `ENOKEY`, `EKEYREVOKED`, `EPERM`.
    pub fn revoke(self) -> Result<(), Failure> {
        keyctl(Error::Revoke, Operation::Revoke, self.0, 0).map(drop)
    }
}

/// keyctl(2). `error` says what it was for, should it fail.
fn keyctl(error: Error, operation: Operation, first: i32, second: i32) -> Result<Keyring, Failure> {
    sys::keyctl(operation, first, second).map(Keyring).map_err(|errno| error.because(errno))
}
