// SPDX-License-Identifier: MIT
//! A debugger that finds a login in the module, or what is left of one, sees who called it: up to `main`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Stage;

crate::cases! {
    Root:
        a_backtrace_from_a_system_call_leads_to_main
        a_backtrace_from_the_log_leads_to_main
        a_backtrace_from_the_user_s_look_up_leads_to_main;
}

fn a_backtrace_from_a_system_call_leads_to_main(stage: &Stage) {
    assert_leads_to_main(stage, "catch syscall keyctl", "syscall");
}

fn a_backtrace_from_the_log_leads_to_main(stage: &Stage) {
    assert_leads_to_main(stage, "break send", "pam_vsyslog");
}

fn a_backtrace_from_the_user_s_look_up_leads_to_main(stage: &Stage) {
    assert_leads_to_main(stage, "break getpwnam_r", "pam_modutil_getpwnam");
}

/// Lets gdb stop a login with `stop`, in what `callee` of another library does for the module, and asserts where the
/// backtrace leads: there, and in a core file of it.
#[track_caller]
fn assert_leads_to_main(stage: &Stage, stop: &str, callee: &str) {
    drop(stage.session("force revoke debug")); // its service file
    let (program, core) = (pam_login(stage), stage.directory.join("core"));
    let login = [&*stage.directory.join("pam.d").to_string_lossy(), "keyinit-test", stage.user.name].join(" ");
    let save = format!("generate-core-file {}", core.display());
    let live = gdb(&program, &["set breakpoint pending on", stop, &format!("run {login}"), "backtrace", &save]);
    let dead = gdb(&program, &[&format!("core-file {}", core.display()), "backtrace"]);
    for (what, said) in [("a process", live), ("a core file", dead)] {
        assert!(leads_to_main(&stage.module, callee, &said), "backtrace of {what}:\n{said}");
    }
}

/// Whether a backtrace comes from `callee` to the module, from there to libpam, and from there to `main`.
fn leads_to_main(module: &Path, callee: &str, said: &str) -> bool {
    let module = module.file_name().expect("a file").to_string_lossy();
    let frames: Vec<&str> = said.lines().filter(|line| line.starts_with('#')).collect();
    // The module has no symbols, and libpam only with its debug information.
    let is_module = |frame: &&str| frame.ends_with(&*module);
    let is_libpam = |frame: &&str| frame.contains("libpam.so.0") || frame.contains("pam_dispatch");
    let mut groups = frames.split(is_module);
    let (before, after) = (groups.next(), groups.next_back());
    let between = groups.all(<[&str]>::is_empty); // all of the module's frames stand together
    let Some(([libpam @ .., main], before)) = after.zip(before) else { return false };
    between
        && before.iter().any(|frame| frame.contains(&format!(" {callee} (")))
        && !libpam.is_empty()
        && libpam.iter().all(|frame| is_libpam(&frame))
        && main.contains(" main (")
}

/// What gdb says to these commands.
fn gdb(program: &Path, commands: &[&str]) -> String {
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-batch", "-ex", "set print frame-arguments none"]).env_remove("DEBUGINFOD_URLS");
    commands.iter().for_each(|command| _ = gdb.args(["-ex", command]));
    let output = gdb.arg(program).output().expect("gdb");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// A program that logs somebody in, with symbols, as C programs have them.
fn pam_login(stage: &Stage) -> PathBuf {
    let program = stage.directory.join("pam_login");
    let source = program.with_extension("c");
    fs::write(&source, include_str!("pam_login.c")).expect("a file");
    let status =
        Command::new("cc").arg("-O2").arg("-o").arg(&program).arg(&source).arg("-l:libpam.so.0").status().expect("cc");
    assert!(status.success(), "{status}");
    program
}
