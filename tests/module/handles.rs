// SPDX-License-Identifier: MIT
//! Several handles, threads and processes: the module keeps nothing but what libpam's handle keeps for it.

use std::thread;

use crate::Stage;
use crate::stage::{ALICE, BOB, GRACE, HEIDI, assert_own_keyring, assert_revoked, in_child, live_session};
use crate::support::keys;
use crate::support::pam::{Pam, SUCCESS};

crate::cases! {
    Anyone:
        the_end_of_a_handle_ends_no_session
        a_child_that_ends_its_handle_ends_no_session
        nothing_is_written_to_stdout_or_stderr_and_no_file_stays_open
        many_sessions_on_a_handle_take_no_more_memory => "many-sessions";
    Root:
        two_handles_in_a_thread_have_a_keyring_each => "two-handles"
        sessions_in_threads_have_a_keyring_each => "threads";
}

fn the_end_of_a_handle_ends_no_session(stage: &Stage) {
    let mut pam = stage.session("force revoke");
    assert_eq!(pam.open(), SUCCESS);
    let keyring = live_session();
    drop(pam);
    assert_eq!(assert_own_keyring(stage.user), keyring);
}

fn a_child_that_ends_its_handle_ends_no_session(stage: &Stage) {
    let mut pam = Some(stage.session("force revoke"));
    assert_eq!(pam.as_mut().map(Pam::open), Some(SUCCESS));
    let keyring = live_session();
    in_child(|| drop(pam.take()));
    assert_eq!(assert_own_keyring(stage.user), keyring);
    assert_eq!(pam.as_mut().map(Pam::close), Some(SUCCESS));
    assert_revoked(keyring);
}

fn nothing_is_written_to_stdout_or_stderr_and_no_file_stays_open(stage: &Stage) {
    let open_files = || std::fs::read_dir("/proc/self/fd").expect("/proc").count();
    let output = std::fs::File::create(stage.directory.join("output")).expect("a file");
    let mut pam = stage.session("force revoke debug unknown");
    assert_eq!([pam.open(), pam.close()], [SUCCESS; 2], "syslog has its socket now");
    let before = open_files();
    let kept = [1, 2].map(|fd| {
        // SAFETY: descriptors of this process, which has one thread.
        let kept = unsafe { libc::dup(fd) };
        // SAFETY: as above.
        unsafe { libc::dup2(std::os::fd::AsRawFd::as_raw_fd(&output), fd) };
        kept
    });
    stage.log(); // a full queue would make it wait
    assert_eq!([pam.open(), pam.close(), pam.close()], [SUCCESS; 3]);
    keys::join(None).expect("a keyring");
    stage.log();
    assert_eq!([pam.open(), pam.close()], [SUCCESS; 2]);
    for (kept, fd) in kept.into_iter().zip([1, 2]) {
        // SAFETY: as above.
        unsafe { libc::dup2(kept, fd) };
        // SAFETY: as above.
        unsafe { libc::close(kept) };
    }
    assert_eq!(output.metadata().expect("a file").len(), 0);
    assert_eq!(open_files(), before);
}

fn many_sessions_on_a_handle_take_no_more_memory(stage: &Stage) {
    // SAFETY: reads the allocator's own figures.
    let in_use = || unsafe { libc::mallinfo2() }.uordblks;
    let mut pam = stage.session("force revoke");
    assert_eq!([pam.open(), pam.close()], [SUCCESS; 2]);
    let before = in_use();
    for _ in 0..50 {
        assert_eq!([pam.open(), pam.close()], [SUCCESS; 2]);
    }
    assert_eq!(in_use(), before);
}

fn two_handles_in_a_thread_have_a_keyring_each(stage: &Stage) {
    let lines = &["session MODULE force revoke"];
    let (mut first, mut second) = (stage.login(ALICE, lines), stage.login(BOB, lines));
    assert_eq!(first.open(), SUCCESS);
    let alices = assert_own_keyring(ALICE);
    keys::add("of-alice", "secret", keys::SESSION).expect("a key");
    assert_eq!(second.open(), SUCCESS);
    let bobs = assert_own_keyring(BOB);
    assert_ne!(alices, bobs);
    keys::request("of-alice").expect_err("alice's key is not in bob's session");
    assert_eq!(second.close(), SUCCESS);
    assert_revoked(bobs);
}

/// Credentials, the session keyring among them, belong to a thread.
fn sessions_in_threads_have_a_keyring_each(stage: &Stage) {
    let mut pam = stage.login(GRACE, &["session MODULE force revoke"]);
    assert_eq!(pam.open(), SUCCESS, "it stays open while others begin and end");
    let (pam_d, keyring) = (stage.directory.join("pam.d"), assert_own_keyring(GRACE));
    thread::scope(|scope| {
        for who in [GRACE, HEIDI, GRACE, HEIDI] {
            let pam_d = &pam_d;
            scope.spawn(move || {
                for _ in 0..50 {
                    let mut pam = Pam::start(pam_d, "keyinit-test", Some(who.name.as_bytes()));
                    assert_eq!(pam.open(), SUCCESS);
                    let keyring = assert_own_keyring(who);
                    assert_eq!(pam.close(), SUCCESS);
                    assert_revoked(keyring);
                }
            });
        }
    });
    assert_eq!(assert_own_keyring(GRACE), keyring);
    assert_eq!(pam.close(), SUCCESS);
    assert_revoked(keyring);
    stage.assert_silent();
}
