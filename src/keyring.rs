// SPDX-License-Identifier: MIT
//! The keyctl(2) operations that a session needs, and nothing around them.
#![forbid(unsafe_code)]

use crate::error::{Error, Failure};
use crate::line::Line;
use crate::sys::{self, Answer, Operation, Query};

/// The permissions of a new session keyring: possessor all, owner view and read, linux/keyctl.h.
const AS_MADE: i32 = 0x3f03_0000;

/// The serial number of a keyring: positive, unique on the machine while the keyring lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keyring(pub i32);

impl Keyring {
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

    /// The user keyring of the thread's real uid.
    ///
    /// # Errors
    /// `ENOKEY`, as for the user-session keyring.
    fn of_user() -> Result<Keyring, Failure> {
        keyctl(Error::Link, Operation::GetKeyringId, libc::KEY_SPEC_USER_KEYRING, 0)
    }

    /// Whose it is; None if the thread may not view it. In a user namespace all owners that it does not map are 65534.
    pub fn owner(self) -> Option<u32> {
        // "keyring;UID;GID;PERMISSIONS;NAME", where the kernel writes a uid as a signed number.
        let description = self.query(Query::Describe).ok()?;
        let owner = description.strip_prefix(b"keyring;")?;
        let (mut uid, mut negative) = (0_u32, false);
        for &byte in owner.iter().take_while(|&&byte| byte != b';') {
            match byte {
                b'-' => negative = true,
                digit => uid = uid.wrapping_mul(10).wrapping_add(digit.wrapping_sub(b'0').into()),
            }
        }
        Some(if negative { uid.wrapping_neg() } else { uid })
    }

    /// Whether the thread, whose real uid is `uid`, finds its user keyring from this one. Anybody can give a keyring that
    /// name, so it is compared by number.
    pub fn leads_to_user_keyring(self, uid: u32) -> bool {
        let mut name = Line::new();
        let found = sys::keyctl_search(self.0, name.text("_uid.").number(uid).as_c_str());
        found.is_ok_and(|found| Keyring::of_user() == Ok(Keyring(found)))
    }

    /// Puts a new, anonymous session keyring in the place of the thread's, owned by the thread's real ids.
    ///
    /// # Errors
    /// `EDQUOT`, `ENOMEM`.
    pub fn join() -> Result<Keyring, Failure> {
        sys::keyctl_join(None).map(Keyring).map_err(|errno| Error::Join.because(errno))
    }

    /// Puts the session keyring that all sessions of `uid` share in the place of the thread's. `uid` is the thread's real and
    /// filesystem uid. The kernel finds it by its name, which anybody can give to a keyring that all may search: if it has found
    /// somebody else's, the thread gets a new, anonymous session keyring, or a dead one where there can be none.
    ///
    /// It is not the user-session keyring: the kernel replaces that as soon as a program adds a key to its session keyring,
    /// `lookup_user_key` in security/keys/process_keys.c. But it is linked there, so that it lives as long.
    ///
    /// # Errors
    /// [`Error::JoinShared`]: `EDQUOT`, `ENOMEM`. [`Error::NameTaken`]: with what the thread has now. [`Error::Share`],
    /// [`Error::Link`]: `EDQUOT`, `ENOKEY`, `EACCES`.
    pub fn join_shared(uid: u32) -> Result<Keyring, Failure> {
        const SHARED: i32 = AS_MADE | 0x0008_0000; // and owner search
        let mut name = Line::new();
        let name = name.text("_ses.").number(uid).as_c_str();
        let kept = || sys::keyctl_search(libc::KEY_SPEC_USER_SESSION_KEYRING, name).map(Keyring);
        let mut gives_way = true;
        loop {
            let joined = Keyring(sys::keyctl_join(Some(name)).map_err(|errno| Error::JoinShared.because(errno))?);
            if joined.owner() != Some(uid) {
                Keyring::join().inspect_err(|_| _ = joined.invalidate())?;
                return Err(Error::NameTaken.into());
            }
            if kept() != Ok(joined) {
                keyctl(Error::Share, Operation::SetPermissions, joined.0, SHARED)?;
                // Until now no other session could find it, and one that began meanwhile has made and kept its own.
                if gives_way && kept().is_ok_and(|others| others != joined) {
                    gives_way = false;
                    keyctl(Error::Share, Operation::SetPermissions, joined.0, AS_MADE)?;
                    continue;
                }
                keyctl(Error::Share, Operation::Link, joined.0, libc::KEY_SPEC_USER_SESSION_KEYRING)?;
            }
            return joined.link_user_keyring().and(Ok(joined));
        }
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

    /// Makes this keyring unfindable for everybody. It asks for less than [`revoke`](Keyring::revoke): that the thread may
    /// search it.
    ///
    /// # Errors
    /// As for revoking.
    pub fn invalidate(self) -> Result<(), Failure> {
        keyctl(Error::Revoke, Operation::Invalidate, self.0, 0).map(drop)
    }

    /// Unlinks all from this keyring, which the thread must possess, but the user keyring of the thread's real uid. Where
    /// the session has taken the right to do so away, it is taken back first, if that right is left.
    ///
    /// # Errors
    /// [`Error::Link`]: it is empty, and the user keyring is not in it. Others: keys are left.
    pub fn clear(self) -> Result<(), Failure> {
        self.unlink_all().or_else(|refused| {
            if refused.keyring_is_dead() || refused.error == Error::Link {
                return Err(refused);
            }
            keyctl(Error::Unlink, Operation::SetPermissions, self.0, AS_MADE).or(Err(refused))?;
            self.unlink_all()
        })
    }

    /// If the user keyring is there it stays at every moment, so no process that goes on misses it; if not, it is linked
    /// at the end.
    fn unlink_all(self) -> Result<(), Failure> {
        // Not seen when the user's quota is full, but what else is there has to go all the same.
        let user_keyring = Keyring::of_user().ok();
        let links = self.query(Query::Read)?;
        let (mut cleared, mut linked) = (Ok(()), false);
        let mut rest: &[u8] = &links;
        while let Some((link, after)) = rest.split_first_chunk() {
            rest = after;
            let link = i32::from_ne_bytes(*link);
            if user_keyring == Some(Keyring(link)) {
                linked = true;
                continue;
            }
            match keyctl(Error::Unlink, Operation::Unlink, link, self.0) {
                Err(Failure { reason: libc::ENOENT, .. }) => (), // somebody else has unlinked it
                unlinked => cleared = cleared.and(unlinked.map(drop)),
            }
        }
        cleared?;
        if linked { Ok(()) } else { self.link_user_keyring() }
    }

    fn query(self, query: Query) -> Result<Answer, Failure> {
        sys::keyctl_query(query, self.0).map_err(|errno| Error::Read.because(errno))
    }
}

/// keyctl(2). `error` says what it was for, should it fail.
fn keyctl(error: Error, operation: Operation, first: i32, second: i32) -> Result<Keyring, Failure> {
    sys::keyctl(operation, first, second).map(Keyring).map_err(|errno| error.because(errno))
}
