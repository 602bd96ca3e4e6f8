// SPDX-License-Identifier: MIT
//! A login that is killed, at every system call of it.

use std::fs;

use crate::Stage;
use crate::stage::{Who, in_the_name_of, users, wait_until};
use crate::support::keys;
use crate::support::pam::SUCCESS;
use crate::support::trace::{self, Traced};

cases! {
    Root:
        a_login_that_is_killed_leaves_no_keyring
        a_login_out_of_a_daemon_s_keyring_that_is_killed_leaves_no_keyring => "own";
}

fn a_login_that_is_killed_leaves_no_keyring(stage: &Stage) {
    kill_everywhere(stage, users(stage, 4141)[0], "force revoke", || ());
}

fn a_login_out_of_a_daemon_s_keyring_that_is_killed_leaves_no_keyring(stage: &Stage) {
    kill_everywhere(stage, users(stage, 4142)[0], "own clear", || _ = keys::join(None).expect("a keyring"));
}

/// Kills a process before and after each system call of open and close, libpam's and libc's among them.
fn kill_everywhere(stage: &Stage, who: Who, arguments: &str, prepare: fn()) {
    let mut pam = stage.login(who, &[&format!("session MODULE {arguments}")]);
    let (mut kills, mut with_keyring) = (0, 0);
    loop {
        let login = Traced::start(|| {
            prepare();
            trace::begin();
            assert_eq!(pam.open(), SUCCESS);
            keys::add("of-the-session", "secret", keys::SESSION).expect("a key");
            assert_eq!(pam.close(), SUCCESS);
        });
        if (0..=kills).any(|_| login.go_on().is_none()) {
            break; // it has ended before
        }
        with_keyring += usize::from(!session_keyrings(who).is_empty());
        login.kill();
        kills += 1;
        wait_until("the end of the keyring", || session_keyrings(who).is_empty());
    }
    assert!(0 < with_keyring && with_keyring < kills, "{with_keyring} of {kills}");
    stage.assert_silent();
    println!("`{arguments}`: {kills} kills, {with_keyring} of them while there was a session keyring");
}

/// The session keyrings that somebody has or that somebody can reach, as the kernel shows them to their owner.
fn session_keyrings(owner: Who) -> Vec<String> {
    let keys = in_the_name_of(owner, || fs::read_to_string("/proc/keys").expect("/proc"));
    let is_theirs = |line: &&str| {
        // Serial number, flags, uses, timeout, permissions, uid, gid, type, name and what is in it.
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields[5] == owner.uid.to_string() && fields[7] == "keyring" && fields[8] == "_ses:"
    };
    keys.lines().filter(is_theirs).map(str::to_owned).collect()
}
