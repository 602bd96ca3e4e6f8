// SPDX-License-Identifier: MIT
//! su, sudo and runuser from within a session: who is called goes on with the caller's keys, but not with `own`.

use std::process::{Command, Stdio};

use crate::Stage;
use crate::stage::probe::SHELL;
use crate::stage::sessions::{Caller, end_of, with_line, with_pam_d};
use crate::stage::{ROOT, SEVERAL, Who};
use crate::support::keys;

cases! {
    Root:
        su_goes_on_with_the_caller_s_keys
        sudo_goes_on_with_the_caller_s_keys
        runuser_goes_on_with_the_caller_s_keys;
}

const CALLER: Who = SEVERAL[12];
const CALLED: Who = SEVERAL[13];

fn su_goes_on_with_the_caller_s_keys(stage: &Stage) {
    call(stage, CALLER, "su", &format!("su {}", CALLED.name));
}

fn sudo_goes_on_with_the_caller_s_keys(stage: &Stage) {
    stage.put_over("/etc/sudoers", &format!("Defaults use_pty\n{} ALL=(ALL) NOPASSWD: ALL\n", CALLER.name));
    call(stage, CALLER, "sudo", &format!("sudo -n -u {} {}", CALLED.name, stage.directory.join(SHELL).display()));
}

fn runuser_goes_on_with_the_caller_s_keys(stage: &Stage) {
    call(stage, ROOT, "runuser", &format!("runuser {}", CALLED.name));
}

/// Lets `caller` log in by `su -l` and call `command` with lines of each kind in the file of its `service`.
#[track_caller]
fn call(stage: &Stage, caller: Who, service: &str, command: &str) {
    for arguments in [None, Some("revoke"), Some("own revoke"), Some("force revoke")] {
        // Nobody has a password.
        let text = format!("auth sufficient pam_permit.so\n{}", with_line(service, arguments));
        with_pam_d(stage, &[(service, text)], Caller::WithoutKeyring, || {
            let switchboard = stage.install();
            let mut login = Command::new("su").args(["-l", caller.name]).stdin(Stdio::null()).spawn().expect("su");
            let mut outer = switchboard.answer("su -l");
            outer.add("of-the-caller", keys::SESSION).expect("a key");
            let session = outer.look().session.expect("a session keyring");

            let pid = outer.run(&format!("{command} >/dev/null 2>&1 & echo $!")).output;
            let mut inner = switchboard.answer(command);
            let called = inner.look().session.expect("a session keyring");
            let found = inner.find("of-the-caller");
            let assert_apart = || {
                assert_eq!((called.description.uid, called.description.gid), (CALLED.uid, CALLED.gid));
                assert_eq!(found, Err(libc::ENOKEY));
            };
            match arguments {
                Some("force revoke") => assert_apart(),
                Some("own revoke") => stage.differs("own", assert_apart),
                _ => assert_eq!((called.serial, found), (session.serial, Ok("secret".to_owned())), "{arguments:?}"),
            }

            let end = end_of(pid.trim().parse().expect("a process id"));
            drop(inner);
            switchboard.stage.wait_for("the end of the call", end);
            assert_eq!(outer.look().session, Ok(session), "the caller's goes on");
            drop(outer);
            assert!(login.wait().expect("a child").success());
        });
    }
}
