// SPDX-License-Identifier: MIT
//! What is answered and logged when the kernel refuses (contract, section 5). The kernel's own refusals where they can be
//! had, else a seccomp filter's: the kernel is always the real one.

use crate::Stage;
use crate::stage::{
    ALICE, BOB, CRITICAL, DAVE, DEBUG, ERIN, ERROR, Left, NOTICE, WARNING, assert_keyring_for, assert_own_keyring,
    assert_revoked, assert_untouched, fill_up, ids, in_child, live_session, session, with_real_ids,
};
use crate::support::keys;
use crate::support::pam::{CRED_ERR, DELETE, ESTABLISH, PERM_DENIED, SESSION_ERR, SUCCESS};
use crate::support::seccomp::{Call, change_of_gid, change_of_uid, keyctl, refuse};

cases! {
    Anyone:
        a_kernel_without_keyctl_lets_the_login_go_on
        with_force_too_a_kernel_without_keyctl_lets_the_login_go_on => "no-keyctl"
        a_filter_that_forbids_keyctl_lets_the_login_go_on => "no-keyctl"
        only_the_first_refusal_may_be_a_filter_s
        a_join_that_fails_is_an_error
        a_look_that_fails_is_an_error
        a_failed_link_is_tried_again
        a_revoke_that_fails_is_told_and_the_session_closed
        an_errno_without_a_name_is_shown_by_number;
    Root:
        a_full_quota_is_told_with_what_to_do
        a_quota_without_room_for_the_link_is_told
        ids_that_cannot_be_taken_on_leave_everything_as_it_was
        ids_that_cannot_be_given_back_are_critical
        both_ids_are_given_back_even_when_one_fails
        a_keyring_that_cannot_be_replaced_is_not_handed_to_another_user => "change-of-user";
}

/// Any keyctl(2).
const KEYCTL: Call = (libc::SYS_keyctl, Vec::new());

fn a_kernel_without_keyctl_lets_the_login_go_on(stage: &Stage) {
    log_in_without_keyctl(stage, &["", "revoke"]);
}

fn with_force_too_a_kernel_without_keyctl_lets_the_login_go_on(stage: &Stage) {
    log_in_without_keyctl(stage, &["force", "force revoke"]);
}

fn log_in_without_keyctl(stage: &Stage, lines: &[&str]) {
    let before = ids();
    refuse(&[KEYCTL], libc::ENOSYS);
    for arguments in lines {
        let mut pam = stage.session(arguments);
        assert_eq!([pam.open(), pam.close()], [SUCCESS; 2]);
        stage.assert_silent();
        drop(pam);
        let mut pam = stage.session(&format!("{arguments} debug"));
        assert_eq!(pam.open(), SUCCESS);
        stage.assert_logged(DEBUG, &["ENOSYS", "CONFIG_KEYS", "the login goes on"]);
    }
    assert_eq!(ids(), before);
}

fn a_filter_that_forbids_keyctl_lets_the_login_go_on(stage: &Stage) {
    refuse(&[KEYCTL], libc::EPERM);
    for arguments in ["", "force", "revoke"] {
        let mut pam = stage.login(stage.user, &["auth MODULE", &format!("session MODULE {arguments}")]);
        assert_eq!(pam.open(), SUCCESS);
        stage.assert_logged(NOTICE, &["EPERM", "seccomp", "the login goes on"]);
        assert_eq!(pam.setcred(ESTABLISH), SUCCESS);
        assert_eq!(pam.close(), SUCCESS);
        stage.assert_silent(); // it was told
    }
}

fn only_the_first_refusal_may_be_a_filter_s(stage: &Stage) {
    refuse(&[keyctl(libc::KEYCTL_JOIN_SESSION_KEYRING)], libc::EPERM);
    assert_eq!(stage.session("").open(), SESSION_ERR);
    stage.assert_logged(ERROR, &["KEYCTL_JOIN_SESSION_KEYRING", "EPERM"]);
    stage.differs("no-keyctl", || {
        assert_eq!(stage.session("force").open(), SUCCESS, "here it is the first");
        stage.assert_logged(NOTICE, &["KEYCTL_JOIN_SESSION_KEYRING", "EPERM"]);
    });
}

fn a_join_that_fails_is_an_error(stage: &Stage) {
    let before = (ids(), with_real_ids(stage.user, live_session));
    for (errno, name) in [(libc::ENOMEM, "ENOMEM"), (libc::EDQUOT, "EDQUOT"), (libc::EACCES, "EACCES")] {
        in_child(|| {
            refuse(&[keyctl(libc::KEYCTL_JOIN_SESSION_KEYRING)], errno);
            let mut pam = stage.login(stage.user, &["auth MODULE", "session MODULE revoke"]);
            assert_eq!(pam.open(), SESSION_ERR);
            stage.assert_logged(ERROR, &["cannot make a session keyring (KEYCTL_JOIN_SESSION_KEYRING)", name, "; "]);
            assert_eq!(pam.setcred(ESTABLISH), CRED_ERR);
            stage.assert_logged(ERROR, &["KEYCTL_JOIN_SESSION_KEYRING", name]);
            assert_eq!(pam.close(), PERM_DENIED);
            stage.assert_silent();
            assert_eq!((ids(), live_session()), before);
        });
    }
}

fn a_look_that_fails_is_an_error(stage: &Stage) {
    let special = |id: i32| (libc::SYS_keyctl, vec![(0, libc::KEYCTL_GET_KEYRING_ID), (1, id as u32)]);
    for (call, errno, parts) in [
        (special(keys::SESSION), libc::EACCES, ["session keyring (KEYCTL_GET_KEYRING_ID)", "EACCES"]),
        (special(keys::SESSION), libc::ENOMEM, ["session keyring (KEYCTL_GET_KEYRING_ID)", "ENOMEM"]),
        (special(keys::USER_SESSION), libc::ENOMEM, ["user-session keyring (KEYCTL_GET_KEYRING_ID)", "ENOMEM"]),
        (special(keys::USER_SESSION), libc::EPERM, ["user-session keyring (KEYCTL_GET_KEYRING_ID)", "EPERM"]),
    ] {
        in_child(|| {
            let before = ids();
            refuse(&[call], errno);
            let mut pam = stage.session("");
            assert_eq!(pam.open(), SESSION_ERR);
            stage.assert_logged(ERROR, &[parts[0], parts[1], "the session was given session keyring"]);
            assert_eq!(ids(), before);
        });
    }
}

fn a_failed_link_is_tried_again(stage: &Stage) {
    refuse(&[keyctl(libc::KEYCTL_LINK)], libc::ENOMEM);
    let before = with_real_ids(stage.user, live_session);
    let mut pam = stage.login(stage.user, &["auth MODULE revoke", "session MODULE"]);
    assert_eq!(pam.open(), SESSION_ERR);
    stage.assert_logged(ERROR, &["cannot link the user keyring into the session keyring (KEYCTL_LINK)", "ENOMEM"]);
    let keyring = live_session();
    assert_ne!(keyring, before, "the new keyring stays");
    stage.differs("link-again", || assert_eq!(pam.setcred(ESTABLISH), CRED_ERR, "never a success without the link"));
    stage.assert_logged(ERROR, &["KEYCTL_LINK"]);
    stage.differs("link-again", || assert_eq!(pam.open(), SESSION_ERR));
    stage.assert_logged(ERROR, &["KEYCTL_LINK"]);
    assert_eq!(live_session(), keyring, "and not one more keyring a try");
    pam.close();
    pam.close();
    assert_revoked(keyring);
    stage.assert_silent();
}

fn a_revoke_that_fails_is_told_and_the_session_closed(stage: &Stage) {
    refuse(&[keyctl(libc::KEYCTL_REVOKE)], libc::EPERM);
    let mut pam = stage.login(stage.user, &["auth MODULE", "session MODULE revoke"]);
    assert_eq!([pam.open(), pam.close()], [SUCCESS; 2]);
    let parts = ["cannot revoke the session keyring (KEYCTL_REVOKE)", "EPERM", "invalidated instead"];
    stage.assert_logged(NOTICE, &parts);
    stage.differs("open-again", || assert_eq!(session(), Err(libc::ENOKEY)));
    assert_eq!(pam.open(), SUCCESS);
    let again = assert_own_keyring(stage.user);
    stage.differs("open-again", || {
        assert_eq!(pam.setcred(DELETE), SUCCESS);
        stage.assert_logged(NOTICE, &["KEYCTL_REVOKE"]);
        keys::describe(again).expect_err("it is ended");
    });
}

fn an_errno_without_a_name_is_shown_by_number(stage: &Stage) {
    refuse(&[keyctl(libc::KEYCTL_JOIN_SESSION_KEYRING)], libc::EOPNOTSUPP);
    assert_eq!(stage.session("force").open(), SESSION_ERR);
    stage.assert_logged(ERROR, &[": errno 95"]);
}

/// The kernel's own refusal: dave's keys use up what he may have.
fn a_full_quota_is_told_with_what_to_do(stage: &Stage) {
    let before = ids();
    assert_untouched(DAVE); // else what goes later leaves room
    with_real_ids(DAVE, || keys::join(None).expect("a keyring"));
    fill_up(DAVE, keys::USER, Left::Bytes(0));
    let mut pam = stage.login(DAVE, &["session MODULE force"]);
    stage.differs("full-quota", || assert_eq!(pam.open(), SUCCESS));
    stage.assert_logged(
        WARNING,
        &[
            "KEYCTL_JOIN_SESSION_KEYRING",
            "EDQUOT",
            "/proc/key-users",
            "look for leftovers",
            "kernel.keys.maxkeys",
            "kernel.keys.maxbytes",
            "charged to the caller",
            "dave",
        ],
    );
    stage.differs("full-quota", || _ = assert_keyring_for(DAVE, (0, 0)));
    assert_eq!(ids(), before);
}

/// A thread that has no session keyring may make one over its quota, but not link into it.
fn a_quota_without_room_for_the_link_is_told(stage: &Stage) {
    assert_untouched(ERIN);
    fill_up(ERIN, keys::USER, Left::Bytes(0));
    let mut pam = stage.login(ERIN, &["session MODULE force revoke"]);
    stage.differs("full-quota", || assert_eq!(pam.open(), SUCCESS));
    stage.assert_logged(WARNING, &["KEYCTL_LINK", "EDQUOT", "/proc/key-users", "charged to the caller"]);
    stage.differs("full-quota", || _ = assert_keyring_for(ERIN, (0, 0)));
}

fn ids_that_cannot_be_taken_on_leave_everything_as_it_was(stage: &Stage) {
    let before = (ids(), live_session());
    for calls in [change_of_gid(ALICE.gid), change_of_uid(ALICE.uid)] {
        in_child(|| {
            refuse(&calls, libc::EAGAIN);
            let mut pam = stage.login(ALICE, &["session MODULE force revoke", "auth MODULE"]);
            assert_eq!([pam.open(), pam.setcred(ESTABLISH)], [SESSION_ERR, CRED_ERR]);
            let lines = stage.log();
            assert_eq!(lines.iter().map(|line| line.level).collect::<Vec<_>>(), [ERROR; 2], "{lines:#?}");
            stage.differs("says-why", || {
                for line in lines {
                    assert!(line.text.contains("EAGAIN"), "{line:?}");
                }
            });
            assert_eq!((ids(), live_session()), before);
            assert_eq!(pam.close(), PERM_DENIED);
        });
    }
}

fn ids_that_cannot_be_given_back_are_critical(stage: &Stage) {
    refuse(&[change_of_uid(0), change_of_gid(0)].concat(), libc::EPERM);
    let mut pam = stage.login(ALICE, &["session MODULE force"]);
    assert_eq!(pam.open(), SESSION_ERR);
    stage.assert_logged(CRITICAL, &["cannot give the caller its own uid and gid back", "EPERM", "end this process"]);
    let lost = [ALICE.uid, 0, 0, 0, ALICE.gid, 0, 0, 0];
    assert_eq!(ids(), lost, "the filter had its way, and only with the real ids");
    stage.differs("ids-not-given-back", || {
        for _ in 0..2 {
            assert_eq!(pam.open(), SESSION_ERR, "nothing succeeds any more");
            let lines = stage.log();
            let [line] = &lines[..] else { panic!("{lines:#?}") };
            assert!(line.level == CRITICAL && line.text.contains("end this process"), "{line:?}");
            assert!(!line.text.contains("session keyring"), "whatever becomes of the session: {line:?}");
        }
    });
}

fn both_ids_are_given_back_even_when_one_fails(stage: &Stage) {
    refuse(&change_of_uid(0), libc::EPERM);
    assert_eq!(stage.login(ALICE, &["session MODULE force"]).open(), SESSION_ERR);
    stage.assert_logged(CRITICAL, &["EPERM"]);
    assert_eq!(ids(), [ALICE.uid, 0, 0, 0, 0, 0, 0, 0]);
}

/// PAM_USER has changed since the keyring was made, and the kernel makes no other: not even what would be let through at
/// the first call is.
fn a_keyring_that_cannot_be_replaced_is_not_handed_to_another_user(stage: &Stage) {
    for errno in [libc::ENOMEM, libc::EPERM, libc::ENOSYS] {
        for arguments in ["", "force", "revoke"] {
            in_child(|| {
                let mut pam = stage.login(ALICE, &[&format!("session MODULE {arguments}")]);
                assert_eq!(pam.open(), SUCCESS);
                assert_own_keyring(ALICE);
                refuse(&[keyctl(libc::KEYCTL_JOIN_SESSION_KEYRING)], errno);
                pam.set_user(BOB.name);
                for _ in 0..2 {
                    assert_eq!(pam.open(), SESSION_ERR);
                    stage.assert_logged(ERROR, &["KEYCTL_JOIN_SESSION_KEYRING", "bob"]);
                }
            });
        }
    }
}
