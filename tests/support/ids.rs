// SPDX-License-Identifier: MIT
//! The ids of a thread.

use std::ffi::c_long;
use std::fs;
use std::io;

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
    let answer = unsafe { libc::syscall(number, real, effective, saved) };
    assert_eq!(answer, 0, "setres*id {real} {effective} {saved}: {}", io::Error::last_os_error());
}

/// Makes `uids` and `gids` (real, effective, saved) the thread's.
#[track_caller]
pub fn become_ids(uids: [u32; 3], gids: [u32; 3]) {
    set_ids(libc::SYS_setresgid, gids.map(i64::from));
    set_ids(libc::SYS_setresuid, uids.map(i64::from));
}
