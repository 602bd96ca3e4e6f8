// SPDX-License-Identifier: MIT
//! How a session keyring ends (contract, section 3).

use crate::Stage;
use crate::stage::{
    ALICE, BOB, ERROR, assert_own_keyring, assert_revoked, become_ids, in_child, leave_behind, live_session, session,
};
use crate::support::keys;
use crate::support::pam::{ESTABLISH, SUCCESS};
use crate::support::seccomp::{keyctl, refuse};

cases! {
    Anyone:
        without_revoke_the_keyring_stays
        a_process_left_behind_finds_the_keyring_revoked
        sessions_are_counted
        a_close_without_a_session_does_not_count
        a_handle_opens_again_with_a_fresh_keyring => "open-again"
        with_force_a_handle_opens_again_with_a_fresh_keyring
        without_revoke_too_a_handle_opens_again_with_a_fresh_keyring => "open-again"
        a_keyring_that_is_gone_already_is_no_error
        a_keyring_that_is_gone_already_and_must_not_be_revoked_is_no_error
        a_keyring_that_can_neither_be_revoked_nor_invalidated_is_told
        a_first_line_with_force_and_a_last_with_revoke_make_one_keyring;
    Root:
        a_keyring_out_of_reach_is_told_and_the_session_closed
        another_keyring_joined_since_is_left_alone
        a_caller_who_has_become_the_user_can_revoke
        the_next_user_does_not_find_the_keyring_of_the_one_before => "change-of-user";
}

fn without_revoke_the_keyring_stays(stage: &Stage) {
    let mut pam = stage.session("force");
    assert_eq!(pam.open(), SUCCESS);
    let keyring = live_session();
    let key = keys::add("of-the-session", "secret", keys::SESSION).expect("a key");
    assert_eq!(pam.close(), SUCCESS);
    assert_eq!(live_session(), keyring);
    assert_eq!(keys::read(key).expect("readable"), b"secret");
}

fn a_process_left_behind_finds_the_keyring_revoked(stage: &Stage) {
    let plain = leave_behind(|| assert!(std::fs::read("/proc/self/comm").is_ok()));
    let mut pam = stage.session("force revoke");
    assert_eq!(pam.open(), SUCCESS);
    let key = keys::add("of-the-session", "secret", keys::SESSION).expect("a key");
    let left = leave_behind(|| {
        assert_eq!(session(), Err(libc::EKEYREVOKED));
        keys::read(key).expect_err("the key is gone");
        keys::request("of-the-session").expect_err("the key is gone");
        keys::join(None).expect("there is a way out");
        keys::link(keys::USER, keys::SESSION).expect("there is a way out");
    });
    assert_eq!(pam.close(), SUCCESS);
    left.go_on();
    plain.go_on();
}

fn a_close_without_a_session_does_not_count(stage: &Stage) {
    let mut pam = stage.session("force revoke");
    assert_eq!([pam.close(), pam.open(), pam.open()], [SUCCESS; 3]);
    let keyring = assert_own_keyring(stage.user);
    assert_eq!(pam.close(), SUCCESS);
    stage.differs("early-end", || assert_eq!(live_session(), keyring, "one session is still open"));
    assert_eq!(pam.close(), SUCCESS);
    assert_revoked(keyring);
}

fn sessions_are_counted(stage: &Stage) {
    let mut pam = stage.session("force revoke");
    assert_eq!([pam.open(), pam.open()], [SUCCESS; 2]);
    let keyring = assert_own_keyring(stage.user);
    assert_eq!(pam.close(), SUCCESS);
    assert_eq!(live_session(), keyring, "one session is still open");
    assert_eq!(pam.close(), SUCCESS);
    assert_revoked(keyring);
}

fn a_handle_opens_again_with_a_fresh_keyring(stage: &Stage) {
    open_and_close_again(stage, "revoke");
}

fn with_force_a_handle_opens_again_with_a_fresh_keyring(stage: &Stage) {
    open_and_close_again(stage, "force revoke");
}

fn open_and_close_again(stage: &Stage, arguments: &str) {
    let mut pam = stage.session(arguments);
    for _ in 0..3 {
        assert_eq!(pam.open(), SUCCESS);
        let keyring = assert_own_keyring(stage.user);
        assert_eq!(pam.close(), SUCCESS);
        assert_revoked(keyring);
    }
    stage.assert_silent();
}

fn without_revoke_too_a_handle_opens_again_with_a_fresh_keyring(stage: &Stage) {
    for arguments in ["", "force"] {
        let mut pam = stage.session(arguments);
        assert_eq!(pam.open(), SUCCESS);
        let first = live_session();
        assert_eq!([pam.close(), pam.open()], [SUCCESS; 2]);
        assert_ne!(assert_own_keyring(stage.user), first, "a session is not to find the keys of the one before");
    }
}

fn a_keyring_that_is_gone_already_is_no_error(stage: &Stage) {
    for arguments in ["force revoke", "force clear"] {
        let mut pam = stage.session(arguments);
        assert_eq!(pam.open(), SUCCESS);
        keys::revoke(live_session()).expect("possessed");
        assert_eq!(pam.close(), SUCCESS);
        stage.assert_silent();
    }
}

fn a_keyring_that_is_gone_already_and_must_not_be_revoked_is_no_error(stage: &Stage) {
    let mut pam = stage.session("force revoke");
    assert_eq!(pam.open(), SUCCESS);
    keys::revoke(keys::SESSION).expect("revoked");
    refuse(&[keyctl(libc::KEYCTL_REVOKE)], libc::EPERM);
    assert_eq!(pam.close(), SUCCESS);
    stage.assert_silent();
}

fn a_keyring_that_can_neither_be_revoked_nor_invalidated_is_told(stage: &Stage) {
    for errno in [libc::ENOSYS, libc::EPERM, libc::EACCES] {
        in_child(|| {
            let mut pam = stage.session("force revoke");
            assert_eq!(pam.open(), SUCCESS);
            refuse(&[keyctl(libc::KEYCTL_REVOKE), keyctl(libc::KEYCTL_INVALIDATE)], errno);
            assert_eq!(pam.close(), SUCCESS);
            stage.differs("says-why", || stage.assert_logged(ERROR, &["KEYCTL_REVOKE", "its keys can still be used"]));
        });
    }
}

fn a_first_line_with_force_and_a_last_with_revoke_make_one_keyring(stage: &Stage) {
    let module = stage.module.display();
    let lines = [format!("session optional {module} force"), format!("session optional {module} revoke")];
    let mut pam = stage.login(stage.user, &[&lines[0], "session required pam_permit.so", &lines[1]]);
    assert_eq!(pam.open(), SUCCESS);
    let keyring = assert_own_keyring(stage.user);
    assert_eq!(pam.close(), SUCCESS);
    assert_revoked(keyring);
}

fn a_keyring_out_of_reach_is_told_and_the_session_closed(stage: &Stage) {
    let mut pam = stage.login(ALICE, &["auth MODULE force revoke", "session MODULE"]);
    assert_eq!([pam.open(), pam.setcred(ESTABLISH)], [SUCCESS; 2]);
    let keyring = live_session();
    keys::join(None).expect("a keyring");
    assert_eq!(pam.close(), SUCCESS);
    stage.assert_logged(ERROR, &["cannot revoke", "EACCES", "does not possess", "another keyring was joined", "alice"]);
    keys::describe(keyring).expect_err("no process holds it, so it is gone");
    assert_eq!(pam.open(), SUCCESS);
    stage.differs("open-again", || _ = assert_own_keyring(ALICE));
}

fn another_keyring_joined_since_is_left_alone(stage: &Stage) {
    let mut pam = stage.login(ALICE, &["session MODULE force revoke"]);
    assert_eq!(pam.open(), SUCCESS);
    let other = keys::join(None).expect("a keyring");
    assert_eq!(pam.close(), SUCCESS);
    assert_eq!(live_session(), other);
    keys::add("a-key", "secret", other).expect("it is usable");
}

/// Possession is what the kernel asks for, not root.
fn a_caller_who_has_become_the_user_can_revoke(stage: &Stage) {
    let mut pam = stage.login(ALICE, &["session MODULE force revoke"]);
    assert_eq!(pam.open(), SUCCESS);
    let keyring = assert_own_keyring(ALICE);
    become_ids([ALICE.uid; 3], [ALICE.gid; 3]);
    assert_eq!(pam.close(), SUCCESS);
    assert_revoked(keyring);
    stage.assert_silent();
}

/// Nobody has asked for `force`, nor for `revoke`.
fn the_next_user_does_not_find_the_keyring_of_the_one_before(stage: &Stage) {
    let mut pam = stage.login(ALICE, &["session MODULE"]);
    assert_eq!(pam.open(), SUCCESS);
    assert_own_keyring(ALICE);
    assert_eq!(pam.close(), SUCCESS);
    pam.set_user("bob");
    assert_eq!(pam.open(), SUCCESS);
    assert_own_keyring(BOB);
}
