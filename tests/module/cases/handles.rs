// SPDX-License-Identifier: MIT
//! Several handles and processes: the module keeps nothing but what libpam's handle keeps for it.

use crate::Stage;
use crate::stage::{
    ALICE, BOB, ERROR, Waiting, assert_own_keyring, assert_revoked, ids, in_child, leave_behind, live_session, session,
};
use crate::support::keys;
use crate::support::pam::{DATA_SILENT, Pam, SUCCESS};

cases! {
    Anyone:
        the_end_of_a_handle_ends_no_session
        a_child_that_ends_its_handle_ends_no_session
        a_child_uses_its_handle_while_the_parent_goes_on
        a_handle_opened_in_a_child_is_not_open_in_the_parent
        nothing_is_written_to_stdout_or_stderr_and_no_file_stays_open
        many_sessions_on_a_handle_take_no_more_memory => "many-sessions";
    Root:
        two_handles_in_a_thread_have_a_keyring_each => "two-handles"
        ten_handles_are_closed_in_any_order => "two-handles"
        ten_handles_without_force_share_the_keyring_of_the_first => "two-handles";
}

fn the_end_of_a_handle_ends_no_session(stage: &Stage) {
    let mut pam = stage.session("force revoke");
    assert_eq!(pam.open(), SUCCESS);
    let keyring = live_session();
    drop(pam);
    assert_eq!(assert_own_keyring(stage.user), keyring);
    let mut next = stage.session("force revoke");
    assert_eq!([next.close(), next.open()], [SUCCESS; 2]);
    assert_ne!(assert_own_keyring(stage.user), keyring);
}

fn a_child_that_ends_its_handle_ends_no_session(stage: &Stage) {
    let mut pam = Some(stage.session("force revoke"));
    assert_eq!(pam.as_mut().map(Pam::open), Some(SUCCESS));
    let keyring = live_session();
    for status in [SUCCESS, DATA_SILENT, SUCCESS | DATA_SILENT] {
        in_child(|| {
            let code = pam.take().map(|pam| pam.end(status));
            assert_eq!(code, Some(SUCCESS));
            assert_eq!(live_session(), keyring);
        });
        assert_eq!(assert_own_keyring(stage.user), keyring);
    }
    assert_eq!(pam.as_mut().map(Pam::close), Some(SUCCESS));
    assert_revoked(keyring);
}

/// A copy of the handle that counts for itself: what the child opens and closes is not the parent's.
fn a_child_uses_its_handle_while_the_parent_goes_on(stage: &Stage) {
    let mut pam = stage.session("force revoke");
    assert_eq!(pam.open(), SUCCESS);
    let keyring = live_session();
    in_child(|| {
        assert_eq!([pam.open(), pam.open(), pam.close(), pam.close()], [SUCCESS; 4]);
        assert_eq!(assert_own_keyring(stage.user), keyring);
    });
    assert_eq!([pam.open(), pam.close()], [SUCCESS; 2]);
    assert_eq!(assert_own_keyring(stage.user), keyring, "the parent's first session is open");
    in_child(|| {
        assert_eq!(pam.close(), SUCCESS);
        assert_revoked(keyring);
    });
    assert_revoked(keyring);
    assert_eq!(pam.close(), SUCCESS);
    stage.assert_silent();
}

fn a_handle_opened_in_a_child_is_not_open_in_the_parent(stage: &Stage) {
    let mut pam = stage.session("force revoke");
    let before = live_session();
    let child = leave_behind(|| assert_eq!(live_session(), before));
    in_child(|| {
        assert_eq!(pam.open(), SUCCESS);
        assert_own_keyring(stage.user);
    });
    assert_eq!([live_session(), pam.close()], [before, SUCCESS]);
    assert_eq!(pam.open(), SUCCESS);
    let keyring = assert_own_keyring(stage.user);
    in_child(|| assert_eq!(assert_own_keyring(stage.user), keyring));
    child.go_on();
    assert_eq!(pam.close(), SUCCESS);
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

/// Orders of ten handles: as opened, backwards, the last in the middle, and twice every third.
const ORDERS: [[usize; 10]; 5] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
    [4, 0, 8, 2, 9, 7, 1, 6, 3, 5],
    [0, 3, 6, 9, 2, 5, 8, 1, 4, 7],
    [9, 6, 3, 0, 7, 4, 1, 8, 5, 2],
];

/// The thread is in the last keyring. It possesses no other, so only that one can be revoked; a program that waits for the
/// end of a session holds each.
fn ten_handles_are_closed_in_any_order(stage: &Stage) {
    for order in ORDERS {
        in_child(|| {
            let before = ids();
            let (mut handles, mut keyrings, mut programs) = (Vec::new(), Vec::new(), Vec::new());
            for who in [ALICE, BOB].repeat(5) {
                let mut pam = stage.login(who, &["session MODULE force revoke"]);
                assert_eq!(pam.open(), SUCCESS);
                let keyring = assert_own_keyring(who);
                assert!(!keyrings.contains(&keyring));
                let is_last = keyrings.len() == 9;
                programs.push(leave_behind(move || match is_last {
                    true => assert_eq!(session(), Err(libc::EKEYREVOKED)),
                    false => assert_eq!(assert_own_keyring(who), keyring),
                }));
                handles.push(pam);
                keyrings.push(keyring);
            }
            for number in order {
                assert_eq!(handles[number].close(), SUCCESS);
                match number {
                    9 => assert_revoked(keyrings[9]),
                    _ => stage.assert_logged(ERROR, &["KEYCTL_REVOKE", "EACCES", "another keyring was joined since"]),
                }
            }
            stage.assert_silent();
            assert_eq!(ids(), before);
            programs.into_iter().for_each(Waiting::go_on);
        });
    }
}

fn ten_handles_without_force_share_the_keyring_of_the_first(stage: &Stage) {
    for order in ORDERS {
        in_child(|| {
            let mut handles: Vec<_> = (0..10).map(|_| stage.session("revoke")).collect();
            assert!(handles.iter_mut().all(|pam| pam.open() == SUCCESS));
            let keyring = assert_own_keyring(ALICE);
            let mut revoked = false;
            for number in order {
                assert_eq!(handles[number].close(), SUCCESS);
                revoked |= number == 0;
                assert_eq!(keys::describe(keyring).is_err(), revoked, "{order:?}: {number}");
            }
            stage.assert_silent();
        });
    }
}
