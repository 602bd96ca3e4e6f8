// SPDX-License-Identifier: MIT
//! The cases once more under valgrind's memcheck: no byte is read that nobody wrote, none outside of what was allocated, and
//! none stays allocated when a handle has ended.
//!
//! Valgrind follows a case into its children: each ends with a code of valgrind's if there is something to find.

use std::env;
use std::path::Path;
use std::process::Command;

use crate::Case;

/// Set: the cases run under memcheck.
const MEMCHECK: &str = "PAM_KEYINIT_MEMCHECK";

/// Files with cases that would only run programs which valgrind does not look into, or take very long, or need what it takes
/// over: allocations, ptrace(2), seccomp(2).
const FILES_LEFT_OUT: &[&str] = &[
    "absent",
    "examples",
    "faults",
    "kerberos",
    "killed",
    "load",
    "log",
    "memory",
    "nested",
    "programs",
    "quota",
    "stacks",
    "unwinding",
];
/// Cases of many threads, which valgrind lets run one at a time, and of system calls that it does not know.
const CASES_LEFT_OUT: &[&str] = &[
    "sessions_in_threads_have_a_keyring_each",
    "other_threads_keep_their_ids_and_sleep_on",
    "a_squatter_who_comes_meanwhile_is_not_joined",
    "two_that_begin_at_once_share_it",
    "sessions_of_sshd_su_and_cron_share_it",
];

pub fn is_on() -> bool {
    env::var_os(MEMCHECK).is_some()
}

pub fn leaves_out(case: &Case) -> bool {
    let mut names = case.name().split("::");
    let mut is_in = |list: &[&str]| names.next().is_some_and(|name| list.contains(&name));
    is_in(FILES_LEFT_OUT) || is_in(CASES_LEFT_OUT)
}

/// `program` under memcheck. libpam unloads the module in pam_end(3), before valgrind tells what it has found.
pub fn command(program: &Path) -> Command {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--quiet", "--leak-check=full", "--keep-debuginfo=yes", "--error-exitcode=99"]);
    valgrind
        .arg(concat!("--suppressions=", env!("CARGO_MANIFEST_DIR"), "/tests/module/stage/memcheck.supp"))
        .arg(program);
    valgrind
}
