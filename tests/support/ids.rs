// SPDX-License-Identifier: MIT
//! The ids of a thread.

use std::ffi::c_long;
use std::fs;
use std::io;

// The first id calls of 32-bit kernels have ids of 16 bits; these have 32.
#[cfg(not(any(target_arch = "x86", target_arch = "arm")))]
pub use libc::{
    SYS_getresgid, SYS_getresuid, SYS_setfsgid, SYS_setfsuid, SYS_setregid, SYS_setresgid, SYS_setresuid, SYS_setreuid,
};
#[cfg(any(target_arch = "x86", target_arch = "arm"))]
pub use libc::{
    SYS_getresgid32 as SYS_getresgid, SYS_getresuid32 as SYS_getresuid, SYS_setfsgid32 as SYS_setfsgid,
    SYS_setfsuid32 as SYS_setfsuid, SYS_setregid32 as SYS_setregid, SYS_setresgid32 as SYS_setresgid,
    SYS_setresuid32 as SYS_setresuid, SYS_setreuid32 as SYS_setreuid,
};

/// All ids of the thread: real, effective, saved and filesystem uid, then gid.
pub fn ids() -> [u32; 8] {
    ids_of(&fs::read_to_string("/proc/thread-self/status").expect("/proc"))
}

/// The same of the thread with this `status`, proc(5).
pub fn ids_of(status: &str) -> [u32; 8] {
    let ids =
        |name| status.lines().find_map(|line: &str| line.strip_prefix(name)).expect("a line of ids").split_whitespace();
    let all: Vec<u32> = ids("Uid:").chain(ids("Gid:")).map(|id| id.parse().expect("an id")).collect();
    all.try_into().expect("eight ids")
}

/// Sets ids of the thread by system call; -1 leaves one as it is.
#[track_caller]
pub fn set_ids(number: c_long, [real, effective, saved]: [i64; 3]) {
    // SAFETY: takes numbers only.
    let answer = unsafe { libc::syscall(number, real as c_long, effective as c_long, saved as c_long) };
    assert_eq!(answer, 0, "setres*id {real} {effective} {saved}: {}", io::Error::last_os_error());
}

/// Does something under these real ids.
pub fn with_real_ids<T>(uid: u32, gid: u32, body: impl FnOnce() -> T) -> T {
    let before = ids();
    set_ids(SYS_setresgid, [gid.into(), -1, -1]);
    set_ids(SYS_setresuid, [uid.into(), -1, -1]);
    let result = body();
    set_ids(SYS_setresuid, [before[0].into(), -1, -1]);
    set_ids(SYS_setresgid, [before[4].into(), -1, -1]);
    result
}

/// Makes `uids` and `gids` (real, effective, saved) the thread's.
#[track_caller]
pub fn become_ids(uids: [u32; 3], gids: [u32; 3]) {
    set_ids(SYS_setresgid, gids.map(i64::from));
    set_ids(SYS_setresuid, uids.map(i64::from));
}
