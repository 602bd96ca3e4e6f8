// SPDX-License-Identifier: MIT
//! The real ids of the calling thread: taken on for the user, and given back.
//!
//! The kernel gives a new session keyring to the real ids, and finds the user keyring by the real uid, keyrings(7).
//! The effective ids stay: a change of the effective uid would cost the caller its parent-death signal and its dumpable
//! flag, prctl(2). All calls are for the calling thread alone.
#![forbid(unsafe_code)]

use core::ffi::c_int;

use crate::error::{Error, Failure};
use crate::sys::{self, Kind, ThreadIds};

/// What a user namespace shows for an id that it does not map, user_namespaces(7).
const OVERFLOW_ID: u32 = 65534;

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
    /// id.
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
    /// [`Error::GiveBack`]: it has a wrong id.
    pub fn give_back(self) -> Result<(), Failure> {
        let given_back = self.user.map_or(Ok(()), Own::give_back);
        self.group.map_or(Ok(()), Own::give_back).and(given_back)
    }
}

/// Calls `body` with the filesystem uid `uid`, by which the kernel decides what may be searched. It clears the parent-death signal
/// and the dumpable flag with it, which are set again.
///
/// # Errors
/// [`Error::TakeOnFilesystemId`]: `body` was not called, or the flags are cleared. [`Error::GiveBack`]: the thread has a wrong
/// filesystem uid.
pub fn with_filesystem_uid<T>(uid: u32, body: impl FnOnce() -> T) -> Result<T, Failure> {
    let refused = |errno| Error::TakeOnFilesystemId.because(errno);
    let own = sys::set_thread_fs_id(&sys::USER, u32::MAX).map_err(refused)?;
    if own == uid {
        return Ok(body());
    }
    let cleared = sys::cleared_by_fs_id().map_err(refused)?;
    let taken_on = set_fs_id(&sys::USER, uid, Error::TakeOnFilesystemId).map(|()| body());
    set_fs_id(&sys::USER, own, Error::GiveBack)?;
    sys::set_cleared_by_fs_id(&cleared).map_err(refused).and(taken_on)
}

/// Sets the filesystem id. Whether it is set only another look tells.
fn set_fs_id(kind: &Kind, id: u32, error: Error) -> Result<(), Failure> {
    let refused = |errno| error.because(errno);
    sys::set_thread_fs_id(kind, id).map_err(refused)?;
    let now = sys::set_thread_fs_id(kind, u32::MAX).map_err(refused)?;
    if now == id { Ok(()) } else { Err(error.into()) }
}

/// The thread's own ids of one kind, while its real one is another's.
struct Own {
    kind: &'static Kind,
    ids: ThreadIds,
    meanwhile: ThreadIds,
    /// Where it is not the effective one.
    filesystem: Option<u32>,
}

impl Own {
    /// Makes `id` the thread's real id. None if it is that already.
    fn exchange(kind: &'static Kind, id: u32) -> Result<Option<Own>, Failure> {
        let ids @ [real, effective, saved] = sys::thread_ids(kind).map_err(cannot_take_on)?;
        if real == id {
            return Ok(None);
        }
        // The last of three uids that are not 0 takes all capabilities with it when it is given back, capabilities(7).
        let gains_root = kind.decides_capabilities && id == 0 && !ids.contains(&0);
        if gains_root && !sys::thread_keeps_capabilities() {
            return Err(Error::NoWayBack.into());
        }
        let mut meanwhile = meanwhile(kind, ids, id);
        // Changing the others makes it the effective one. Where it cannot be seen, that is what it is taken for.
        let filesystem = sys::set_thread_fs_id(kind, u32::MAX).ok().filter(|&id| id != effective);
        if ids.contains(&id) && !ids.iter().all(|id| meanwhile.contains(id)) {
            // The way back takes a capability, and taking on `id` does not. So does this, and it can be undone.
            let other = (1..).find(|other| !ids.contains(other)).unwrap_or_default();
            let tried = Own { kind, ids, meanwhile: [real, effective, other], filesystem };
            sys::set_thread_ids(kind, ids, tried.meanwhile).or(Err(Error::NoWayBack))?;
            tried.give_back()?;
        }
        if real == OVERFLOW_ID && filesystem.is_none() {
            // It may stand for an id without a mapping. Then it cannot be set, now or on the way back.
            sys::set_thread_ids(kind, [id, effective, saved], ids).map_err(cannot_take_on)?;
        }
        let mut taken_on = sys::set_thread_ids(kind, ids, meanwhile);
        if taken_on.is_err() && effective == saved && real != 0 && meanwhile != [id, effective, saved] {
            // A filter may forbid setresuid(2). Without it the caller has to be as capable as the C module's.
            meanwhile = [id, effective, saved];
            taken_on = sys::set_thread_ids(kind, ids, meanwhile);
        }
        taken_on.map_err(cannot_take_on)?;
        Ok(Some(Own { kind, ids, meanwhile, filesystem }))
    }

    /// Gives the thread its ids back, and its filesystem id also where that fails.
    fn give_back(self) -> Result<(), Failure> {
        let given_back = sys::set_thread_ids(self.kind, self.meanwhile, self.ids);
        if let Some(id) = self.filesystem {
            set_fs_id(self.kind, id, Error::GiveBack)?;
        }
        given_back.map_err(|errno| Error::GiveBack.because(errno))
    }
}

fn cannot_take_on(errno: c_int) -> Failure {
    Error::TakeOn.because(errno)
}

/// The ids for a thread that has `own` and is to have the real id `id` for a while, chosen for the way back.
///
/// The kernel lets a thread set each of the three to what one of them is, and to anything if it is capable, setresuid(2). So
/// it can always return to ids that it has in some place all the time. It takes the capabilities away when the
/// last of three uids stops being 0, and makes them ineffective when the effective one does, capabilities(7).
fn meanwhile(kind: &Kind, own: ThreadIds, id: u32) -> ThreadIds {
    let [real, effective, saved] = own;
    let (plain, swapped) = ([id, effective, saved], [id, effective, real]);
    if real == effective || real == saved {
        plain // holds all three
    } else if saved == effective || saved == id || kind.decides_capabilities && real == 0 {
        swapped // so does this; or a uid stays 0, with which a capable thread stays so, and the effective one stays what it is
    } else if effective == id {
        [id, real, saved] // holds all three
    } else {
        plain // only a capable thread can take `id` on, and here none stops being 0
    }
}
