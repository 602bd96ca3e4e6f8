// SPDX-License-Identifier: MIT
//! `own`, and what is said without it (contract, section 7).

use std::ffi::CString;

use crate::Stage;
use crate::stage::{
    ALICE, BOB, LAST, NOTICE, ROOT, WARNING, assert_own_keyring, assert_revoked, become_ids, in_child, in_the_name_of,
    join_as, live_session, session, with_real_ids,
};
use crate::support::artefact;
use crate::support::keys;
use crate::support::pam::{ESTABLISH, SUCCESS};
use crate::support::seccomp::{keyctl, refuse};

cases! {
    Anyone:
        own_keeps_a_keyring_of_the_user_s
        own_replaces_the_user_session_keyring
        own_replaces_a_dead_keyring => "dead-keyring"
        own_replaces_a_keyring_that_cannot_be_viewed => "own"
        own_replaces_a_keyring_whose_owner_the_kernel_does_not_tell => "own"
        own_replaces_a_keyring_of_the_user_s_that_leads_nowhere => "own"
        own_is_not_deceived_by_the_name_of_the_user_keyring => "own"
        own_replaces_a_keyring_that_cannot_be_searched_through => "own";
    Root:
        a_daemon_s_keyring_is_kept_and_told
        own_replaces_a_daemon_s_keyring => "own"
        force_replaces_a_daemon_s_keyring
        own_replaces_another_user_s_keyring => "own"
        own_fails_no_login_where_the_c_module_asks_for_nothing
        root_s_job_under_systemd_finds_root_s_keys => "own"
        a_keyring_that_one_user_has_ended_stops_no_later_login => "dead-keyring"
        own_replaces_another_user_s_user_session_keyring => "own"
        own_keeps_a_keyring_of_a_uid_over_31_bits
        root_in_root_s_keyring_is_no_news
        a_nested_login_keeps_the_keys_of_the_caller
        the_c_module_ignores_both_words;
}

fn own_keeps_a_keyring_of_the_user_s(stage: &Stage) {
    let anonymous = join_as(stage.user);
    assert_eq!(stage.session("own").open(), SUCCESS);
    assert_eq!(live_session(), anonymous);
    // The kernel describes it in more bytes than most.
    let name = CString::new("n".repeat(1000)).expect("a name");
    let named = with_real_ids(stage.user, || {
        keys::link(keys::USER, keys::join(Some(&name)).expect("a keyring")).expect("the user keyring");
        live_session()
    });
    let mut pam = stage.session("own revoke");
    assert_eq!([pam.open(), pam.close()], [SUCCESS; 2]);
    assert_eq!(live_session(), named, "kept, and not revoked");
    stage.assert_silent();
}

fn own_replaces_the_user_session_keyring(stage: &Stage) {
    with_real_ids(stage.user, live_session);
    assert_eq!(stage.session("own").open(), SUCCESS);
    assert_own_keyring(stage.user);
}

fn own_replaces_a_dead_keyring(stage: &Stage) {
    keys::revoke(join_as(stage.user)).expect("revoked");
    assert_eq!(stage.session("own").open(), SUCCESS);
    assert_own_keyring(stage.user);
}

/// It may be anybody's.
fn own_replaces_a_keyring_that_cannot_be_viewed(stage: &Stage) {
    let keyring = join_as(stage.user);
    in_the_name_of(stage.user, || keys::set_permissions(keyring, 0x3e00_0000).expect("permissions"));
    assert_eq!(stage.session("own").open(), SUCCESS);
    assert_ne!(assert_own_keyring(stage.user), keyring);
}

fn own_replaces_a_keyring_whose_owner_the_kernel_does_not_tell(stage: &Stage) {
    for errno in [libc::EACCES, libc::ENOMEM, libc::EPERM, libc::ENOSYS] {
        in_child(|| {
            join_as(stage.user);
            let mut pam = stage.session("own revoke");
            in_child(|| {
                refuse(&[keyctl(libc::KEYCTL_DESCRIBE)], errno);
                let before = live_session();
                assert_eq!(pam.open(), SUCCESS);
                assert_ne!(live_session(), before);
                assert_eq!(pam.close(), SUCCESS);
                assert_eq!(session(), Err(libc::EKEYREVOKED), "it was made here");
            });
        });
    }
}

/// systemd's private keyring belongs to the service's user, and nothing is linked into it.
fn own_replaces_a_keyring_of_the_user_s_that_leads_nowhere(stage: &Stage) {
    let private = with_real_ids(stage.user, || keys::join(None).expect("a keyring"));
    let mut pam = stage.session("own revoke");
    assert_eq!(pam.open(), SUCCESS);
    let keyring = assert_own_keyring(stage.user);
    assert_ne!(keyring, private);
    assert_eq!(pam.close(), SUCCESS);
    assert_revoked(keyring);
    stage.assert_silent();
}

fn own_is_not_deceived_by_the_name_of_the_user_keyring(stage: &Stage) {
    let private = with_real_ids(stage.user, || {
        let private = keys::join(None).expect("a keyring");
        keys::add_keyring(&format!("_uid.{}", stage.user.uid), private).expect("a keyring");
        private
    });
    assert_eq!(stage.session("own").open(), SUCCESS);
    assert_ne!(assert_own_keyring(stage.user), private);
}

fn own_replaces_a_keyring_that_cannot_be_searched_through(stage: &Stage) {
    for errno in [libc::EACCES, libc::EPERM, libc::ENOSYS] {
        in_child(|| {
            let present = join_as(stage.user);
            refuse(&[keyctl(libc::KEYCTL_SEARCH)], errno);
            assert_eq!(stage.session("own").open(), SUCCESS);
            assert_ne!(assert_own_keyring(stage.user), present);
        });
    }
}

fn root_s_job_under_systemd_finds_root_s_keys(stage: &Stage) {
    let key = keys::add("of-root", "secret", keys::USER).expect("a key");
    keys::join(None).expect("the service's private keyring");
    keys::request("of-root").expect_err("it leads nowhere");
    assert_eq!(stage.login(ROOT, &["session MODULE own clear"]).open(), SUCCESS);
    assert_eq!(keys::request("of-root").expect("found"), key);
    stage.assert_silent();
}

/// It is everybody's who logs in by the daemon: one of them revokes, invalidates or empties it.
fn a_keyring_that_one_user_has_ended_stops_no_later_login(stage: &Stage) {
    for end in [keys::revoke, keys::invalidate] {
        for arguments in ["", "own", "revoke"] {
            in_child(|| {
                let daemon = keys::join(None).expect("a keyring");
                in_child(|| {
                    become_ids([BOB.uid; 3], [BOB.gid; 3]);
                    end(daemon).expect("bob possesses it");
                });
                assert_eq!(stage.login(ALICE, &[&format!("session MODULE {arguments}")]).open(), SUCCESS);
                assert_ne!(assert_own_keyring(ALICE), daemon);
                stage.assert_silent();
            });
        }
    }
}

/// Under systemd each service has a session keyring of its own, which is root's: users find themselves in it.
fn a_daemon_s_keyring_is_kept_and_told(stage: &Stage) {
    let daemon = keys::join(None).expect("a keyring");
    let mut pam = stage.login(ALICE, &["session MODULE revoke"]);
    assert_eq!(pam.open(), SUCCESS);
    assert_eq!(live_session(), daemon);
    stage.differs("roots-keyring", || {
        let parts = ["the user stays in root's session keyring", "`own`", &daemon.to_string(), "alice"];
        stage.assert_logged(NOTICE, &parts);
    });
    assert_eq!(pam.close(), SUCCESS);
    assert_eq!(live_session(), daemon, "and it is not revoked");
    stage.assert_silent();
}

fn own_replaces_a_daemon_s_keyring(stage: &Stage) {
    let daemon = keys::join(None).expect("a keyring");
    keys::add("of-the-daemon", "secret", daemon).expect("a key");
    let mut pam = stage.login(ALICE, &["session MODULE own revoke"]);
    assert_eq!(pam.open(), SUCCESS);
    let keyring = assert_own_keyring(ALICE);
    assert_ne!(keyring, daemon);
    keys::request("of-the-daemon").expect_err("out of reach");
    assert_eq!(pam.close(), SUCCESS);
    assert_revoked(keyring);
    stage.assert_silent();
}

fn force_replaces_a_daemon_s_keyring(stage: &Stage) {
    for arguments in ["force", "force own"] {
        let before = keys::join(None).expect("a keyring");
        assert_eq!(stage.login(ALICE, &[&format!("session MODULE {arguments}")]).open(), SUCCESS);
        assert_ne!(assert_own_keyring(ALICE), before);
        stage.assert_silent();
    }
}

fn own_replaces_another_user_s_keyring(stage: &Stage) {
    for (before, who) in [(BOB, ALICE), (ALICE, ROOT)] {
        let theirs = join_as(before);
        assert_eq!(stage.login(who, &["session MODULE own"]).open(), SUCCESS);
        assert_ne!(assert_own_keyring(who), theirs);
    }
}

/// The C module does not know the word, so it joins and links nothing here.
fn own_fails_no_login_where_the_c_module_asks_for_nothing(stage: &Stage) {
    for operation in [libc::KEYCTL_JOIN_SESSION_KEYRING, libc::KEYCTL_LINK] {
        for errno in [libc::ENOSYS, libc::EPERM, libc::EACCES] {
            in_child(|| {
                let daemon = keys::join(None).expect("a keyring");
                let mut pam = stage.login(ALICE, &["auth MODULE own revoke", "session MODULE own revoke"]);
                refuse(&[keyctl(operation)], errno);
                assert_eq!([pam.setcred(ESTABLISH), pam.open()], [SUCCESS; 2]);
                let told = stage.log();
                stage.differs("own", || {
                    assert_eq!(told.len(), 1, "{told:#?}");
                    assert_eq!(live_session() == daemon, operation == libc::KEYCTL_JOIN_SESSION_KEYRING);
                });
                assert_eq!(pam.close(), SUCCESS);
            });
        }
    }
}

/// Where a session of bob's has failed to be opened, the kernel leaves the thread in bob's user-session keyring.
fn own_replaces_another_user_s_user_session_keyring(stage: &Stage) {
    let bobs = with_real_ids(BOB, live_session);
    in_child(|| {
        assert_eq!(stage.login(ALICE, &["session MODULE"]).open(), SUCCESS);
        assert_eq!(live_session(), bobs, "kept without `own`, as by the C module");
    });
    assert_eq!(stage.login(ALICE, &["session MODULE own"]).open(), SUCCESS);
    assert_own_keyring(ALICE);
}

/// The kernel describes the owner by a negative number.
fn own_keeps_a_keyring_of_a_uid_over_31_bits(stage: &Stage) {
    let own = join_as(LAST);
    assert_eq!(stage.login(LAST, &["session MODULE own"]).open(), SUCCESS);
    assert_eq!(live_session(), own);
    stage.assert_silent();
}

fn root_in_root_s_keyring_is_no_news(stage: &Stage) {
    let own = join_as(ROOT);
    for arguments in ["", "own"] {
        assert_eq!(stage.login(ROOT, &[&format!("session MODULE {arguments}")]).open(), SUCCESS);
        assert_eq!(live_session(), own);
        stage.assert_silent();
    }
}

/// As su(1) and sudo(8) are called: the real ids are the caller's.
fn a_nested_login_keeps_the_keys_of_the_caller(stage: &Stage) {
    let alices = join_as(ALICE);
    let key = keys::add("of-alice", "secret", alices).expect("a key");
    become_ids([ALICE.uid, 0, 0], [ALICE.gid; 3]);
    for who in [BOB, ROOT] {
        assert_eq!(stage.login(who, &["session MODULE revoke"]).open(), SUCCESS);
        assert_eq!(keys::request("of-alice").expect("found"), key);
        if who == BOB {
            stage
                .assert_logged(WARNING, &["another user's session keyring", "`own`", &format!("of uid {}", ALICE.uid)]);
        }
        stage.assert_silent();
    }
}

/// A line with them works on either module.
fn the_c_module_ignores_both_words(stage: &Stage) {
    let line = format!("session [success=ok default=die] {} own clear", artefact::installed().display());
    let daemon = keys::join(None).expect("a keyring");
    let mut pam = stage.login(ALICE, &[&line]);
    assert_eq!([pam.open(), pam.close()], [SUCCESS; 2]);
    assert_eq!(live_session(), daemon, "not replaced");
    let mut pam = stage.login(ALICE, &[&format!("{line} force")]);
    assert_eq!(pam.open(), SUCCESS);
    let key = keys::add("of-the-session", "secret", keys::SESSION).expect("a key");
    assert_eq!(pam.close(), SUCCESS);
    assert_eq!(keys::request("of-the-session").expect("not cleared"), key);
}
