// SPDX-License-Identifier: MIT
//! The real ids of the calling thread: taken on for the user, and given back.
//!
//! The kernel gives a new session keyring to the real ids, and finds the user keyring by the real uid, keyrings(7).
//! Effective and saved ids are never touched: a change of the effective uid would cost the caller its parent-death
//! signal and its dumpable flag, prctl(2). All calls are for the calling thread alone.
#![forbid(unsafe_code)]

use core::fmt;

use crate::error::{Errno, Error};
use crate::sys;

/// Uids or gids.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Uids.
    User,
    /// Gids.
    Group,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::User => "uid",
            Kind::Group => "gid",
        })
    }
}

/// The capabilities that lift the restrictions of setresuid(2) and setresgid(2); their numbers are the kernel's,
/// linux/capability.h.
#[derive(Clone, Copy)]
pub enum Capability {
    /// `CAP_SETGID`.
    SetGid = 6,
    /// `CAP_SETUID`.
    SetUid = 7,
}

/// What [`Identity::give_back`] has to undo.
#[must_use = "the thread goes on under the user's real ids until they are given back"]
pub struct Identity {
    user: Option<Taken>,
    group: Option<Taken>,
}

impl Identity {
    /// Makes `gid`, then `uid` the thread's real ids. One that is right already costs no change.
    ///
    /// # Errors
    /// [`Error::TakeOn`], [`Error::NoWayBack`]: the thread has the ids it had before. [`Error::GiveBack`]: it has not.
    pub fn take_on(uid: u32, gid: u32) -> Result<Identity, Error<'static>> {
        let group = Taken::take_on(Kind::Group, gid)?;
        match Taken::take_on(Kind::User, uid) {
            Ok(user) => Ok(Identity { user, group }),
            Err(error) => {
                Identity { user: None, group }.give_back()?;
                Err(error)
            }
        }
    }

    /// Gives the thread its own real uid, then gid back. The second is tried also when the first fails.
    ///
    /// # Errors
    /// [`Error::GiveBack`]: the thread has a wrong real or filesystem id.
    pub fn give_back(self) -> Result<(), Error<'static>> {
        let user = self.user.map_or(Ok(()), Taken::give_back);
        let group = self.group.map_or(Ok(()), Taken::give_back);
        user.and(group)
    }
}

/// One real id that was changed.
struct Taken {
    kind: Kind,
    real: u32,
    /// The filesystem id, where it was not the effective one: setresuid(2) makes it that.
    filesystem: Option<u32>,
}

impl Taken {
    fn take_on(kind: Kind, id: u32) -> Result<Option<Taken>, Error<'static>> {
        let failed = |errno| Error::TakeOn { kind, id, errno };
        let [real, effective, saved] = sys::thread_ids(kind).map_err(failed)?;
        if real == id {
            return Ok(None);
        }
        if !can_give_back(kind, [real, effective, saved]).map_err(failed)? {
            return Err(Error::NoWayBack { kind, id: real });
        }
        let filesystem = sys::set_thread_fs_id(kind, u32::MAX);
        sys::set_thread_real_id(kind, id).map_err(failed)?;
        Ok(Some(Taken { kind, real, filesystem: (filesystem != effective).then_some(filesystem) }))
    }

    fn give_back(self) -> Result<(), Error<'static>> {
        let Taken { kind, real, filesystem } = self;
        sys::set_thread_real_id(kind, real).map_err(|errno| Error::GiveBack { kind, id: real, errno })?;
        if let Some(id) = filesystem {
            sys::set_thread_fs_id(kind, id);
            if sys::set_thread_fs_id(kind, u32::MAX) != id {
                return Err(Error::GiveBack { kind, id, errno: Errno(libc::EPERM) });
            }
        }
        Ok(())
    }
}

/// Whether the kernel would let the thread have its real id again: it does so for an id that is also the effective or
/// the saved one, and for a thread with the capability. A thread whose only id 0 is the real uid loses its
/// capabilities with it, capabilities(7).
fn can_give_back(kind: Kind, [real, effective, saved]: [u32; 3]) -> Result<bool, Errno> {
    if real == effective || real == saved {
        return Ok(true);
    }
    match kind {
        Kind::Group => sys::thread_is_capable(Capability::SetGid),
        Kind::User => Ok(real != 0 && sys::thread_is_capable(Capability::SetUid)?),
    }
}
