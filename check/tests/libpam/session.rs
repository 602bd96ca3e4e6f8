// SPDX-License-Identifier: MIT
//! What `--session` says of each kind of session keyring, to root and to a user.

use std::ffi::CString;
use std::process::Command;

use crate::alice::{UID, join, join_named};
use crate::support::{child, ids, keys, seccomp};

const OTHER: u32 = 4712;

/// Runs the command as this user, in the session keyring that `prepare` leaves, and compares the state that it tells.
fn assert_state(uid: u32, state: &str, status: i32, prepare: impl FnOnce()) {
    child::in_child(|| {
        child::say_where((uid, state.to_owned()));
        prepare();
        ids::become_ids([uid; 3], [uid; 3]);
        let (told, ended) = told(&[]);
        assert_eq!((&*told, ended), (state, Some(status)));
    });
}

/// The state that the command tells, and its exit status.
fn told(arguments: &[&str]) -> (String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_pam_keyinit_check"))
        .args(["--format", "json", "--session"])
        .args(arguments)
        .output()
        .expect("the command");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let state = text.split("\"state\": \"").nth(1).and_then(|rest| rest.split('"').next());
    (state.unwrap_or(&*String::from_utf8_lossy(&output.stderr)).to_owned(), output.status.code())
}

pub fn assert_states() {
    for uid in [0, UID] {
        assert_state(uid, "user-session", 1, || {});
        assert_state(uid, "own", 0, || join(uid, true));
        let shared = CString::new(format!("_ses.{uid}")).expect("no NUL");
        assert_state(uid, "shared", 0, || join_named(uid, Some(&shared), true));
        assert_state(uid, "unlinked", 1, || join(uid, false));
        assert_state(uid, "another-users", 1, || join(OTHER, true));
        assert_state(uid, "revoked", 1, || {
            join(uid, true);
            keys::revoke(keys::SESSION).expect("revoked");
        });
        assert_state(uid, "expired", 1, || {
            join(uid, true);
            keys::set_timeout(keys::SESSION, 1).expect("a timeout");
            child::wait_until("the end of the keyring", || keys::id(keys::SESSION).is_err());
        });
        for errno in [libc::EPERM, libc::ENOSYS] {
            assert_state(uid, "forbidden", 1, || seccomp::refuse(&[(libc::SYS_keyctl, vec![])], errno));
        }
    }
    assert_state(UID, "daemons", 1, || join(0, true));
}

pub fn assert_others() {
    child::in_child(|| {
        let other = child::leave_behind(|| {}).start();
        assert_eq!(told(&["1"]).0, "unknown");
        assert_eq!(told(&[&std::process::id().to_string()]).0, "unknown", "the test's own, which is not the command's");
        other.finish();
    });
    let (message, status) = told(&["2147483647"]);
    assert!(message.contains("process 2147483647"), "{message}");
    assert_eq!(status, Some(2));
}
