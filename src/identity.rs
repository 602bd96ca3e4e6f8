// SPDX-License-Identifier: MIT
//! The real ids of the calling thread: taken on for the user, and given back.
//!
//! The kernel gives a new session keyring to the real ids, and finds the user keyring by the real uid, keyrings(7).
//! Effective and saved ids are never touched: a change of the effective uid would cost the caller its parent-death
//! signal and its dumpable flag, prctl(2). All calls are for the calling thread alone.
#![forbid(unsafe_code)]

use crate::error::{Error, Failure};
use crate::sys::{self, Kind};

/// The caller's ids while the thread has a user's: what is needed to give them back.
#[must_use = "the thread keeps the user's ids until they are given back"]
pub struct Identity {
    user: Option<Own>,
    group: Option<Own>,
}

impl Identity {
    /// Makes these ids the thread's real ones. An id that is right already costs no change.
    ///
    /// # Errors
    /// [`Error::TakeOn`], [`Error::NoWayBack`]: the thread has the ids it had before. [`Error::GiveBack`]: it has a wrong
    /// real or filesystem id.
    pub fn take_on(uid: u32, gid: u32) -> Result<Identity, Failure> {
        let group = Own::exchange(&sys::GROUP, gid)?;
        match Own::exchange(&sys::USER, uid) {
            Ok(user) => Ok(Identity { user, group }),
            Err(refused) => {
                Identity { user: None, group }.give_back()?;
                Err(refused)
            }
        }
    }

    /// Gives the thread its own ids back: the group's also where the user's fail.
    ///
    /// # Errors
    /// [`Error::GiveBack`]: it has a wrong real or filesystem id.
    pub fn give_back(self) -> Result<(), Failure> {
        let given_back = self.user.map_or(Ok(()), Own::give_back);
        self.group.map_or(Ok(()), Own::give_back).and(given_back)
    }
}

/// The thread's own ids of one kind, while its real one is another's.
struct Own {
    kind: &'static Kind,
    real: u32,
    /// Where it is not the effective one.
    filesystem: Option<u32>,
}

impl Own {
    /// Makes `id` the thread's real id. None if it is that already.
    fn exchange(kind: &'static Kind, id: u32) -> Result<Option<Own>, Failure> {
        let refused = |errno| Error::TakeOn.because(errno);
        let [real, effective, saved] = sys::thread_ids(kind).map_err(refused)?;
        if real == id {
            return Ok(None);
        }
        // The kernel lets a thread have a real id again that is its effective or saved one, and any if it is capable. But
        // it takes all capabilities away when the last of the three uids stops being 0, capabilities(7).
        let real_decides = kind.decides_capabilities && effective != 0 && saved != 0 && (real == 0 || id == 0);
        let capable = || sys::thread_is_capable(kind);
        if if real_decides { real == 0 || capable() } else { real != effective && real != saved && !capable() } {
            return Err(Error::NoWayBack.into());
        }
        // setresuid(2) makes the filesystem id the effective one.
        let filesystem = sys::set_thread_fs_id(kind, u32::MAX).map_err(refused)?;
        sys::set_thread_real_id(kind, id).map_err(refused)?;
        Ok(Some(Own { kind, real, filesystem: (filesystem != effective).then_some(filesystem) }))
    }

    /// Gives the thread its real id back, and its filesystem id also where that fails.
    fn give_back(self) -> Result<(), Failure> {
        let lost = |errno| Error::GiveBack.because(errno);
        let given_back = sys::set_thread_real_id(self.kind, self.real).map_err(lost);
        if let Some(id) = self.filesystem {
            sys::set_thread_fs_id(self.kind, id).map_err(lost)?;
            // Whether it is set only another look tells.
            if sys::set_thread_fs_id(self.kind, u32::MAX).map_err(lost)? != id {
                return Err(Error::GiveBack.into());
            }
        }
        given_back
    }
}
