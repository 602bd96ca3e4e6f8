// SPDX-License-Identifier: MIT
//! System calls that the kernel refuses from now on, by a seccomp filter.

use std::collections::BTreeMap;
use std::ffi::c_long;

use nix::sys::prctl::set_no_new_privs;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

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
    let program = filter(calls, SeccompAction::Errno(errno.unsigned_abs()));
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut().cast() };
    set_no_new_privs().expect("a flag"); // without it only root may have a filter
    // By prctl(2): valgrind 3.19 does not know seccomp(2).
    // SAFETY: a program, which the kernel copies.
    let answer = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(answer, 0, "the filter is in force");
}

/// A filter with this `action` for these calls.
pub fn filter(calls: &[Call], action: SeccompAction) -> BpfProgram {
    // linux/audit.h
    const X86_64: u32 = 0xc000_003e;
    let this = match std::env::consts::ARCH {
        "x86_64" => X86_64,
        "x86" => 0x4000_0003,
        "aarch64" => 0xc000_00b7,
        "arm" => 0x4000_0028,
        "riscv64" => 0xc000_00f3,
        "powerpc64" => 0xc000_0015, // ppc64le
        "s390x" => 0x8000_0016,
        other => panic!("no constant for {other}"),
    };
    let mut rules = BTreeMap::<i64, Vec<SeccompRule>>::new();
    for (number, conditions) in calls {
        let is_keyctl = *number == libc::SYS_keyctl;
        #[allow(clippy::useless_conversion, reason = "on 32-bit systems it is none")]
        let number = i64::from(*number);
        let rules = rules.entry(number).or_default();
        let conditions: Vec<_> = conditions
            .iter()
            .map(|&(index, value)| {
                // Operations of keyctl(2) as a whole, of which the kernel takes 32 bits: keys::pass_filters.
                let length = if is_keyctl && index == 0 { SeccompCmpArgLen::Qword } else { SeccompCmpArgLen::Dword };
                SeccompCondition::new(index, length, SeccompCmpOp::Eq, value.into()).expect("a condition")
            })
            .collect();
        if !conditions.is_empty() {
            rules.push(SeccompRule::new(conditions).expect("a rule"));
        }
    }
    // seccompiler knows three architectures. Its program for one of them does for all, once it asks for the other, and on big-endian
    // ones finds the halves of arguments (16 bytes behind) in the other order.
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, seccompiler::TargetArch::x86_64);
    let mut program: BpfProgram = filter.expect("a filter").try_into().expect("a program");
    for instruction in &mut program {
        match instruction.k {
            X86_64 => instruction.k = this,
            16.. if cfg!(target_endian = "big") && instruction.code == LOAD => instruction.k ^= 4,
            _ => {}
        }
    }
    program
}
