// SPDX-License-Identifier: MIT
//! The real ids of the calling thread: taken on for the user, and given back.
//!
//! The kernel gives a new session keyring to the real ids, and finds the user keyring by the real uid, keyrings(7).
//! Effective and saved ids are never touched: a change of the effective uid would cost the caller its parent-death
//! signal and its dumpable flag, prctl(2). All calls are for the calling thread alone.
#![forbid(unsafe_code)]

use crate::error::{Error, Failure};
use crate::sys::{self, Kind};

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
    pub fn take_on(uid: u32, gid: u32) -> Result<Identity, Failure> {
        let group = Taken::take_on(&sys::GROUP, gid)?;
        match Taken::take_on(&sys::USER, uid) {
            Ok(user) => Ok(Identity { user, group }),
            Err(failure) => Identity { user: None, group }.give_back().and(Err(failure)),
        }
    }

    /// Gives the thread its own real uid, then gid back. The second is tried also when the first fails.
    ///
    /// # Errors
    /// [`Error::GiveBack`]: the thread has a wrong real or filesystem id.
    pub fn give_back(self) -> Result<(), Failure> {
        let user = self.user.map_or(Ok(()), Taken::give_back);
        let group = self.group.map_or(Ok(()), Taken::give_back);
        user.and(group)
    }
}

/// One real id that was changed.
struct Taken {
    kind: &'static Kind,
    real: u32,
    /// The filesystem id, where it was not the effective one: setresuid(2) makes it that.
    filesystem: Option<u32>,
}

impl Taken {
    fn take_on(kind: &'static Kind, id: u32) -> Result<Option<Taken>, Failure> {
        let refused = |errno| Error::TakeOn.because(errno);
        let [real, effective, saved] = sys::thread_ids(kind).map_err(refused)?;
        if real == id {
            return Ok(None);
        }
        // The kernel lets a thread have a real id again that is its effective or saved one, and any if it is capable. But
        // it takes all capabilities away when the last of the three uids stops being 0, capabilities(7).
        let capable = || sys::thread_is_capable(kind).map_err(refused);
        let real_decides = kind.decides_capabilities && effective != 0 && saved != 0 && (real == 0 || id == 0);
        let no_way_back =
            if real_decides { real == 0 || capable()? } else { real != effective && real != saved && !capable()? };
        if no_way_back {
            return Err(Error::NoWayBack.into());
        }
        let filesystem = sys::set_thread_fs_id(kind, u32::MAX);
        sys::set_thread_real_id(kind, id).map_err(refused)?;
        Ok(Some(Taken { kind, real, filesystem: (filesystem != effective).then_some(filesystem) }))
    }

    fn give_back(self) -> Result<(), Failure> {
        let Taken { kind, real, filesystem } = self;
        sys::set_thread_real_id(kind, real).map_err(|errno| Error::GiveBack.because(errno))?;
        if let Some(id) = filesystem {
            sys::set_thread_fs_id(kind, id);
            if sys::set_thread_fs_id(kind, u32::MAX) != id {
                return Err(Error::GiveBack.into());
            }
        }
        Ok(())
    }
}
