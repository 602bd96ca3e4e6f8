// SPDX-License-Identifier: MIT
//! The real ids of the calling thread: taken on for the user, and given back.
//!
//! The kernel gives a new session keyring to the real ids, and finds the user keyring by the real uid, keyrings(7).
//! Effective and saved ids are never touched: a change of the effective uid would cost the caller its parent-death
//! signal and its dumpable flag, prctl(2). All calls are for the calling thread alone.
#![forbid(unsafe_code)]

use crate::error::{Error, Failure};
use crate::sys::{self, Kind};

/// A user's ids, as in passwd(5).
#[derive(Clone, Copy, Default)]
pub struct Ids {
    pub uid: u32,
    pub gid: u32,
}

/// What is to be done under the user's ids, to a `C`.
type Work<C, T> = fn(&mut C) -> Result<T, Failure>;

/// Does `work` with the user's ids as the thread's real ones, and gives the thread its own back whatever comes of it. An id
/// that is right already costs no change.
///
/// # Errors
/// [`Error::TakeOn`], [`Error::NoWayBack`]: nothing was done, and the thread has the ids it had before.
/// [`Error::GiveBack`]: it has a wrong real or filesystem id. Else what `work` failed with.
pub fn as_user<C, T>(user: Ids, context: &mut C, work: Work<C, T>) -> Result<T, Failure> {
    under(&[(&sys::GROUP, user.gid), (&sys::USER, user.uid)], context, work)
}

/// Takes on the first of `ids`, goes on with the others, and gives the first back also where one of the others failed.
fn under<C, T>(ids: &[(&Kind, u32)], context: &mut C, work: Work<C, T>) -> Result<T, Failure> {
    let Some((&(kind, id), others)) = ids.split_first() else { return work(context) };
    let refused = |errno| Error::TakeOn.because(errno);
    let [real, effective, saved] = sys::thread_ids(kind).map_err(refused)?;
    if real == id {
        return under(others, context, work);
    }
    // The kernel lets a thread have a real id again that is its effective or saved one, and any if it is capable. But it
    // takes all capabilities away when the last of the three uids stops being 0, capabilities(7).
    let real_decides = kind.decides_capabilities && effective != 0 && saved != 0 && (real == 0 || id == 0);
    let capable = || sys::thread_is_capable(kind);
    if if real_decides { real == 0 || capable() } else { real != effective && real != saved && !capable() } {
        return Err(Error::NoWayBack.into());
    }
    // setresuid(2) makes the filesystem id the effective one.
    let filesystem = sys::set_thread_fs_id(kind, u32::MAX).map_err(refused)?;
    sys::set_thread_real_id(kind, id).map_err(refused)?;
    let done = under(others, context, work);
    give_back(kind, real, (filesystem != effective).then_some(filesystem))?;
    done
}

/// Gives the thread its real id back, and its filesystem id also where that fails.
fn give_back(kind: &Kind, real: u32, filesystem: Option<u32>) -> Result<(), Failure> {
    let lost = |errno| Error::GiveBack.because(errno);
    let given_back = sys::set_thread_real_id(kind, real).map_err(lost);
    if let Some(id) = filesystem {
        sys::set_thread_fs_id(kind, id).map_err(lost)?;
        // Whether it is set only another look tells.
        if sys::set_thread_fs_id(kind, u32::MAX).map_err(lost)? != id {
            return Err(Error::GiveBack.into());
        }
    }
    given_back
}
