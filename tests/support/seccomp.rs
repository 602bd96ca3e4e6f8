// SPDX-License-Identifier: MIT
//! System calls that the kernel refuses from now on, by a seccomp filter.

use std::ffi::c_long;

use libc::sock_filter;
use nix::sys::prctl::set_no_new_privs;

use super::ids::{SYS_setregid, SYS_setresgid, SYS_setresuid, SYS_setreuid};

/// A system call with conditions on its arguments.
pub type Call = (c_long, Vec<(u8, u32)>);

/// keyctl(2) with this operation.
pub fn keyctl(operation: u32) -> Call {
    (libc::SYS_keyctl, vec![(0, operation)])
}

/// The change to `uid` as the real one, by whatever system call.
pub fn change_of_uid(uid: u32) -> [Call; 2] {
    [SYS_setresuid, SYS_setreuid].map(|number| (number, vec![(0, uid)]))
}

/// The change to `gid` as the real one.
pub fn change_of_gid(gid: u32) -> [Call; 2] {
    [SYS_setresgid, SYS_setregid].map(|number| (number, vec![(0, gid)]))
}

/// Makes the kernel answer `errno` to these calls of this process from now on.
pub fn refuse(calls: &[Call], errno: i32) {
    let mut program = filter(calls, libc::SECCOMP_RET_ERRNO | errno.unsigned_abs());
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    set_no_new_privs().expect("a flag"); // without it only root may have a filter
    // By prctl(2): valgrind 3.19 does not know seccomp(2).
    // SAFETY: a program, which the kernel copies.
    let answer = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(answer, 0, "the filter is in force");
}

/// A filter that has this `answer`, one of seccomp(2), to these calls, and lets all others pass. By hand: seccompiler makes none for
/// half of the architectures, and none at all on big-endian ones.
pub fn filter(calls: &[Call], answer: u32) -> Vec<sock_filter> {
    // linux/audit.h
    let architecture = match std::env::consts::ARCH {
        "x86_64" => 0xc000_003e,
        "x86" => 0x4000_0003,
        "aarch64" => 0xc000_00b7,
        "arm" => 0x4000_0028,
        "riscv64" => 0xc000_00f3,
        "powerpc64" => 0xc000_0015, // ppc64le
        "s390x" => 0x8000_0016,
        other => panic!("no constant for {other}"),
    };
    let mut program = Vec::new();
    for (number, conditions) in calls {
        // Where in struct seccomp_data, and what has to be there.
        let mut fields = vec![(4, architecture), (0, *number as u32)];
        for &(index, value) in conditions {
            let argument = 16 + 8 * u32::from(index);
            let (low, high) = if cfg!(target_endian = "big") { (4, 0) } else { (0, 4) };
            fields.push((argument + low, value));
            // Operations of keyctl(2) as a whole, of which the kernel takes 32 bits: keys::pass_filters.
            if *number == libc::SYS_keyctl && index == 0 {
                fields.push((argument + high, 0));
            }
        }
        // To the next call, where one does not fit: over two instructions for each field that is left, and over the answer.
        for (left, (offset, value)) in (0..fields.len()).rev().zip(fields) {
            program.push(instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0));
            program.push(instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value, 2 * left + 1));
        }
        program.push(instruction(libc::BPF_RET | libc::BPF_K, answer, 0));
    }
    program.push(instruction(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0));
    program
}

/// An instruction, after which, where it is a comparison that does not hold, so many are passed over.
fn instruction(code: u32, k: u32, otherwise: usize) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: u8::try_from(otherwise).expect("a short filter"), k }
}
