// SPDX-License-Identifier: MIT
//! What a case makes of its process before the module comes, and what is to stay of it: ids, capabilities, flags.

use caps::{CapSet, Capability, CapsHashSet, securebits};
use nix::sys::prctl::{get_dumpable, get_pdeathsig, set_dumpable, set_pdeathsig};
use nix::sys::signal::Signal;

use super::Who;
use crate::support::ids::{self, SYS_setfsgid, SYS_setfsuid};
pub use crate::support::ids::{become_ids, ids, ids_of};

pub fn set_fs_uid(uid: u32) {
    // SAFETY: takes a number only.
    unsafe { libc::syscall(SYS_setfsuid, uid) };
}

pub fn set_fs_gid(gid: u32) {
    // SAFETY: takes a number only.
    unsafe { libc::syscall(SYS_setfsgid, gid) };
}

/// Does something under the real ids of `who`.
pub fn with_real_ids<T>(who: Who, body: impl FnOnce() -> T) -> T {
    ids::with_real_ids(who.uid, who.gid, body)
}

/// The owner of a new key is the filesystem uid, who may also change its permissions; the user keyring is found by the real
/// one.
pub fn in_the_name_of<T>(who: Who, body: impl FnOnce() -> T) -> T {
    with_real_ids(who, || {
        let before = ids()[3];
        set_fs_uid(who.uid);
        let result = body();
        set_fs_uid(before);
        result
    })
}

/// Becomes a caller that is not root, but may set ids, as file capabilities(7) make one.
pub fn become_capable(uids: [u32; 3], gids: [u32; 3]) {
    securebits::set_keepcaps(true).expect("a flag");
    become_ids(uids, gids);
    let both = CapsHashSet::from([Capability::CAP_SETUID, Capability::CAP_SETGID]);
    caps::set(None, CapSet::Effective, &both).expect("capabilities");
    caps::set(None, CapSet::Permitted, &both).expect("capabilities");
    securebits::set_keepcaps(false).expect("a flag");
}

/// From now on a change of uids takes no capabilities.
pub fn keep_capabilities_whatever_the_uids() {
    const NO_SETUID_FIXUP: libc::c_ulong = 1 << 2; // linux/securebits.h
    // SAFETY: takes numbers only.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_SECUREBITS, NO_SETUID_FIXUP, 0, 0, 0) }, 0, "capable");
}

/// What [`flags`] are in a case that sets them.
pub const SET: (Option<Signal>, bool) = (Some(Signal::SIGUSR1), true);

pub fn set_flags() {
    set_pdeathsig(Signal::SIGUSR1).expect("a signal");
    set_dumpable(true).expect("a flag");
}

/// The parent-death signal and the dumpable flag, prctl(2).
pub fn flags() -> (Option<Signal>, bool) {
    (get_pdeathsig().expect("a signal"), get_dumpable().expect("a flag"))
}
