// SPDX-License-Identifier: MIT
//! Real logins: the system's own programs with their own files in /etc/pam.d, and the module in the place of the
//! system's. The shell of the users reports what it finds, see `probe`.

use std::process::{Child, Command, Stdio};

use nix::pty::openpty;

use crate::Stage;
use crate::probe::Process;
use crate::stage::{ALICE, ids};

crate::cases! {
    Root:
        su_gives_the_user_a_session_keyring_that_ends_at_logout
        login_gives_the_user_a_session_keyring_that_ends_at_logout;
}

fn su_gives_the_user_a_session_keyring_that_ends_at_logout(stage: &Stage) {
    go_through_two_logins(stage, "su", || {
        Command::new("su").args(["-l", ALICE.name]).stdin(Stdio::null()).spawn().expect("su")
    });
}

fn login_gives_the_user_a_session_keyring_that_ends_at_logout(stage: &Stage) {
    // Both sides of the terminals stay open until the logins are over.
    let mut terminals = Vec::new();
    go_through_two_logins(stage, "login", || {
        let terminal = openpty(None, None).expect("a terminal");
        // As its controlling terminal, in a session of the kernel's as well.
        let mut login = Command::new("setsid");
        login.args(["--ctty", "login", "-f", ALICE.name]).stdin(terminal.slave.try_clone().expect("a descriptor"));
        login.stdout(terminal.slave.try_clone().expect("a descriptor"));
        login.stderr(terminal.slave.try_clone().expect("a descriptor"));
        terminals.push(terminal);
        login.spawn().expect("login")
    });
}

/// Two sessions of one user at the same time, and what outlives the first.
fn go_through_two_logins(stage: &Stage, program: &str, mut start: impl FnMut() -> Child) {
    let before = ids();
    let switchboard = stage.install();
    let mut log_in = || (start(), switchboard.answer(program));
    let (mut first_program, mut first) = log_in();
    let (mut second_program, mut second) = log_in();

    let keyring = first.look().assert_own_session(ALICE);
    assert_ne!(second.look().assert_own_session(ALICE), keyring, "a keyring for each session");
    first.add("of-the-first").expect("a key");
    assert_eq!(first.find("of-the-first"), Ok("secret".to_owned()));
    assert_eq!(second.find("of-the-first"), Err(libc::ENOKEY), "sessions do not see each other's keys");

    let mut left = first.leave_behind(&switchboard);
    assert_eq!(left.find("of-the-first"), Ok("secret".to_owned()));
    log_out(first, &mut first_program);
    assert_eq!(left.look().session, Err(libc::EKEYREVOKED));
    assert!(left.find("of-the-first").is_err(), "the key is gone with its session");
    second.look().assert_own_session(ALICE);
    log_out(second, &mut second_program);
    assert_eq!(ids(), before);
}

/// Ends the shell, and waits until its login program has ended the session.
#[track_caller]
fn log_out(shell: Process, program: &mut Child) {
    drop(shell);
    let status = program.wait().expect("a child");
    assert!(status.success(), "{status}");
}
