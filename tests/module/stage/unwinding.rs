// SPDX-License-Identifier: MIT
//! A login in a C program, and what gdb(1) makes of it and of a core file of it.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Stage;

/// Lets gdb stop a login with `stop`, in what `callee` of another library does for the module, and asserts that the
/// backtrace leads to `main`, there and in a core file of it.
#[track_caller]
pub fn assert_leads_to_main(stage: &Stage, stop: &str, callee: &str) {
    let login = pam_login(stage);
    let core = stage.directory.join("core").display().to_string();
    let live =
        gdb(&login, &["set breakpoint pending on", stop, "run", "backtrace", &format!("generate-core-file {core}")]);
    let dead = gdb(&login, &[&format!("core-file {core}"), "backtrace"]);
    for (what, said) in [("the process", live), ("the core file", dead)] {
        assert!(leads_to_main(&stage.module, callee, &said), "backtrace of {what}:\n{said}");
    }
}

/// Whether a backtrace comes from `callee` to the module, from there to libpam, and from there to `main`. The module has no
/// names of functions, and libpam has none if its debug information is not here.
fn leads_to_main(module: &Path, callee: &str, said: &str) -> bool {
    let module = module.file_name().expect("a file").to_string_lossy();
    let frames: Vec<&str> = said.lines().filter(|line| line.starts_with('#')).collect();
    let mut groups = frames.split(|frame| frame.ends_with(&*module));
    let (before, after) = (groups.next(), groups.next_back());
    let Some((before, [libpam @ .., log_in, main])) = before.zip(after) else { return false };
    groups.all(<[&str]>::is_empty) // the module's own frames stand together
        && before.iter().any(|frame| frame.contains(&format!("{callee} (")))
        && !libpam.is_empty()
        && libpam.iter().all(|frame| frame.contains("libpam.so.0") || frame.contains("pam_dispatch"))
        && log_in.contains(" log_in (")
        && main.contains(" main (")
}

/// What gdb says of the program when it is given these commands.
fn gdb(login: &Command, commands: &[&str]) -> String {
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-batch", "-ex", "set print frame-arguments none"]).env_remove("DEBUGINFOD_URLS");
    commands.iter().for_each(|command| _ = gdb.args(["-ex", command]));
    let output = gdb.arg("--args").arg(login.get_program()).args(login.get_args()).output().expect("gdb");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// A program that logs the stage's user in.
#[track_caller]
pub fn pam_login(stage: &Stage) -> Command {
    drop(stage.session("force revoke debug")); // its service file
    let program = stage.directory.join("pam_login");
    let source = program.with_extension("c");
    fs::write(&source, include_str!("pam_login.c")).expect("a file");
    let mut cc = Command::new("cc");
    cc.args(["-fexceptions", "-pthread", "-o"]).args([&program, &source]).arg("-l:libpam.so.0");
    let status = cc.status().expect("cc");
    assert!(status.success(), "{status}");
    let mut login = Command::new(program);
    login.arg(stage.directory.join("pam.d")).args(["keyinit-test", stage.user.name]);
    login
}
