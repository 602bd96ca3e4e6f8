// SPDX-License-Identifier: MIT
//! `clear` (contract, section 7).

use crate::Stage;
use crate::stage::{
    ALICE, BOB, CRITICAL, DEBUG, ERROR, NOTICE, assert_own_keyring, assert_revoked, become_ids, ids, in_child,
    in_the_name_of, leave_behind, live_session, with_real_ids,
};
use crate::support::keys;
use crate::support::pam::{CRED_ERR, DELETE, ESTABLISH, IGNORE, SESSION_ERR, SUCCESS};
use crate::support::seccomp::{change_of_gid, change_of_uid, keyctl, refuse};

cases! {
    Anyone:
        a_survivor_keeps_a_keyring_that_works_without_the_session_s_keys => "clear"
        keys_in_nested_keyrings_go_too => "clear"
        a_keyring_under_the_user_keyring_stays => "clear"
        all_keys_go_however_many => "clear"
        the_user_keyring_is_never_unlinked => "clear"
        a_user_keyring_that_was_unlinked_is_linked_again => "clear"
        a_keyring_that_takes_the_user_keyring_s_name_goes => "clear"
        revoke_beats_clear
        clear_of_one_line_counts_for_the_other => "clear"
        only_the_last_close_clears => "clear"
        a_keyring_of_its_own_is_not_cleared
        delete_clears_at_once => "clear"
        a_cleared_keyring_is_not_used_again => "clear"
        what_cannot_be_unlinked_is_told_and_the_rest_goes => "clear"
        what_is_not_there_any_more_is_no_error
        a_keyring_that_cannot_be_read_is_told => "clear";
    Root:
        a_caller_who_has_become_the_user_can_clear => "clear"
        a_user_keyring_that_cannot_be_linked_again_is_told => "clear"
        a_caller_who_has_become_somebody_else_is_told
        a_gid_that_is_lost_on_the_way_is_told => "clear"
        a_keyring_out_of_reach_is_told
        clearing_changes_no_id => "clear";
}

/// Asserts that only the user keyring of the stage's user is left in `keyring`.
#[track_caller]
fn assert_cleared(stage: &Stage, keyring: i32) {
    assert_eq!(assert_own_keyring(stage.user), keyring);
}

fn a_survivor_keeps_a_keyring_that_works_without_the_session_s_keys(stage: &Stage) {
    let mut pam = stage.session("force clear debug");
    assert_eq!(pam.open(), SUCCESS);
    stage.log();
    let keyring = live_session();
    let key = keys::add("of-the-session", "secret", keys::SESSION).expect("a key");
    let user_keyring = with_real_ids(stage.user, || {
        let kept = keys::add("of-the-user", "secret", keys::USER).expect("a key");
        keys::set_permissions(kept, 0x3f3f_0000).expect("permissions");
        keys::id(keys::USER).expect("the user keyring")
    });
    let survivor = leave_behind(|| {
        assert_eq!(keys::links(live_session()).expect("readable"), [user_keyring]);
        keys::read(key).expect_err("the key is gone");
        keys::search("of-the-session", keys::SESSION).expect_err("the key is gone");
        keys::request("of-the-session").expect_err("the key is gone");
        let kept = keys::request("of-the-user").expect("found");
        assert_eq!(keys::read(kept).expect("readable"), b"secret");
        keys::add("of-the-survivor", "secret", keys::SESSION).expect("the keyring takes keys");
        keys::request("of-the-survivor").expect("and gives them back");
    });
    assert_eq!(pam.close(), SUCCESS);
    stage.assert_logged(DEBUG, &[&format!("cleared session keyring {keyring}")]);
    survivor.go_on();
}

fn keys_in_nested_keyrings_go_too(stage: &Stage) {
    let mut pam = stage.session("force clear");
    assert_eq!(pam.open(), SUCCESS);
    let keyring = live_session();
    let outer = keys::add_keyring("outer", keyring).expect("a keyring");
    let inner = keys::add_keyring("inner", outer).expect("a keyring");
    let key = keys::add("nested", "secret", inner).expect("a key");
    assert_eq!(keys::request("nested").expect("found"), key);
    assert_eq!(pam.close(), SUCCESS);
    keys::request("nested").expect_err("out of reach");
    keys::read(key).expect_err("out of reach");
    assert_cleared(stage, keyring);
}

fn a_keyring_under_the_user_keyring_stays(stage: &Stage) {
    let mut pam = stage.session("force clear");
    assert_eq!(pam.open(), SUCCESS);
    let keyring = live_session();
    let user_keyring = with_real_ids(stage.user, || keys::id(keys::USER).expect("the user keyring"));
    let kept = keys::add_keyring("kept", user_keyring).expect("a keyring");
    let key = keys::add("in-the-kept", "secret", kept).expect("a key");
    keys::link(kept, keyring).expect("linked into the session too");
    assert_eq!(pam.close(), SUCCESS);
    assert_cleared(stage, keyring);
    assert_eq!(keys::request("in-the-kept").expect("found"), key);
}

/// More than the first look at the keyring has room for.
fn all_keys_go_however_many(stage: &Stage) {
    for count in [1, 62, 63, 64, 150] {
        let mut pam = stage.session("force clear");
        assert_eq!(pam.open(), SUCCESS);
        let keyring = live_session();
        for number in 0..count {
            keys::add(&number.to_string(), "x", keyring).expect("a key");
        }
        assert_eq!(keys::links(keyring).expect("readable").len(), count + 1);
        assert_eq!(pam.close(), SUCCESS);
        assert_cleared(stage, keyring);
    }
}

/// A survivor that looks at any moment finds it: nothing unlinks it, and nothing clears the keyring as a whole.
fn the_user_keyring_is_never_unlinked(stage: &Stage) {
    let mut pam = stage.session("force clear");
    assert_eq!(pam.open(), SUCCESS);
    let keyring = live_session();
    keys::add("of-the-session", "secret", keys::SESSION).expect("a key");
    let user_keyring = with_real_ids(stage.user, || keys::id(keys::USER).expect("the user keyring"));
    let unlink = (libc::SYS_keyctl, vec![(0, libc::KEYCTL_UNLINK), (1, user_keyring.unsigned_abs())]);
    refuse(&[unlink, keyctl(libc::KEYCTL_CLEAR)], libc::EDOM);
    assert_eq!(pam.close(), SUCCESS);
    stage.assert_silent();
    assert_cleared(stage, keyring);
}

fn a_user_keyring_that_was_unlinked_is_linked_again(stage: &Stage) {
    let mut pam = stage.session("force clear");
    assert_eq!(pam.open(), SUCCESS);
    let keyring = live_session();
    let user_keyring = with_real_ids(stage.user, || keys::id(keys::USER).expect("the user keyring"));
    keys::unlink(user_keyring, keyring).expect("unlinked");
    keys::add("of-the-session", "secret", keyring).expect("a key");
    assert_eq!(pam.close(), SUCCESS);
    assert_cleared(stage, keyring);
    stage.assert_silent();
}

/// A keyring has one link of a name: this one has taken the user keyring's.
fn a_keyring_that_takes_the_user_keyring_s_name_goes(stage: &Stage) {
    let mut pam = stage.session("force clear");
    assert_eq!(pam.open(), SUCCESS);
    let keyring = live_session();
    let other = keys::add_keyring(&format!("_uid.{}", stage.user.uid), keyring).expect("a keyring");
    keys::add("hidden", "secret", other).expect("a key");
    assert_eq!(pam.close(), SUCCESS);
    keys::request("hidden").expect_err("gone");
    let user_keyring = with_real_ids(stage.user, || keys::id(keys::USER).expect("the user keyring"));
    assert_eq!(keys::links(keyring).expect("readable"), [user_keyring]);
    stage.assert_silent();
}

fn revoke_beats_clear(stage: &Stage) {
    for arguments in ["force clear revoke", "force revoke clear"] {
        let mut pam = stage.session(arguments);
        assert_eq!(pam.open(), SUCCESS);
        let keyring = live_session();
        assert_eq!(pam.close(), SUCCESS);
        assert_revoked(keyring);
    }
}

fn clear_of_one_line_counts_for_the_other(stage: &Stage) {
    let mut pam = stage.login(stage.user, &["auth MODULE force", "session MODULE clear"]);
    assert_eq!([pam.setcred(ESTABLISH), pam.open()], [SUCCESS; 2]);
    let keyring = live_session();
    keys::add("of-the-session", "secret", keyring).expect("a key");
    assert_eq!(pam.close(), SUCCESS);
    assert_cleared(stage, keyring);
}

fn only_the_last_close_clears(stage: &Stage) {
    let mut pam = stage.session("force clear");
    assert_eq!([pam.open(), pam.open()], [SUCCESS; 2]);
    let keyring = live_session();
    keys::add("of-the-session", "secret", keyring).expect("a key");
    assert_eq!(pam.close(), SUCCESS);
    keys::request("of-the-session").expect("a session is still open");
    assert_eq!(pam.close(), SUCCESS);
    assert_cleared(stage, keyring);
}

fn a_keyring_of_its_own_is_not_cleared(stage: &Stage) {
    let own = with_real_ids(stage.user, || keys::join(None).expect("a keyring"));
    let key = keys::add("its-own", "secret", own).expect("a key");
    let mut pam = stage.session("clear");
    assert_eq!([pam.open(), pam.close()], [SUCCESS; 2]);
    assert_eq!(keys::links(own).expect("readable"), [key]);
}

fn delete_clears_at_once(stage: &Stage) {
    let mut pam = stage.login(stage.user, &["auth MODULE force clear"]);
    assert_eq!(pam.setcred(DELETE), IGNORE);
    assert_eq!(pam.setcred(ESTABLISH), SUCCESS);
    let keyring = live_session();
    keys::add("of-the-session", "secret", keyring).expect("a key");
    assert_eq!(pam.setcred(DELETE), SUCCESS);
    assert_cleared(stage, keyring);
    assert_eq!(pam.setcred(DELETE), IGNORE);
}

/// The survivors have it.
fn a_cleared_keyring_is_not_used_again(stage: &Stage) {
    for arguments in ["clear", "force clear"] {
        let mut pam = stage.session(arguments);
        assert_eq!(pam.open(), SUCCESS);
        let keyring = live_session();
        assert_eq!([pam.close(), pam.open()], [SUCCESS; 2]);
        assert_ne!(assert_own_keyring(stage.user), keyring);
    }
}

fn what_cannot_be_unlinked_is_told_and_the_rest_goes(stage: &Stage) {
    let mut pam = stage.login(stage.user, &["auth MODULE", "session MODULE force clear"]);
    assert_eq!(pam.open(), SUCCESS);
    let keyring = live_session();
    let names = ["one", "two", "three"];
    let keys = names.map(|name| keys::add(name, "secret", keyring).expect("a key"));
    let unlink = (libc::SYS_keyctl, vec![(0, libc::KEYCTL_UNLINK), (1, keys[1].unsigned_abs())]);
    refuse(&[unlink], libc::ENOMEM);
    assert_eq!(pam.close(), SUCCESS);
    stage.assert_logged(NOTICE, &["cannot clear the session keyring (KEYCTL_UNLINK)", "ENOMEM", "invalidated instead"]);
    keys::describe(keyring).expect_err("it is ended");
    for key in keys {
        keys::read(key).expect_err("nothing of the session can be read");
    }
    assert_eq!([pam.open(), pam.setcred(DELETE)], [SUCCESS; 2], "the next one has no such key");
}

/// Somebody else unlinks it after the look at the keyring.
fn what_is_not_there_any_more_is_no_error(stage: &Stage) {
    refuse(&[keyctl(libc::KEYCTL_UNLINK)], libc::ENOENT);
    let mut pam = stage.session("force clear");
    assert_eq!(pam.open(), SUCCESS);
    keys::add("of-the-session", "secret", live_session()).expect("a key");
    assert_eq!(pam.close(), SUCCESS);
    stage.assert_silent();
}

/// The permissions are no obstacle then, and are left as they are, also by a caller who may change them.
fn a_user_keyring_that_cannot_be_linked_again_is_told(stage: &Stage) {
    const PERMISSIONS: u32 = 0x3f3f_0000;
    let mut pam = stage.session("force clear");
    assert_eq!(pam.open(), SUCCESS);
    let keyring = live_session();
    become_ids([stage.user.uid; 3], [stage.user.gid; 3]);
    keys::unlink(keys::id(keys::USER).expect("the user keyring"), keyring).expect("unlinked");
    keys::set_permissions(keyring, PERMISSIONS).expect("permissions");
    refuse(&[keyctl(libc::KEYCTL_LINK)], libc::ENOMEM);
    assert_eq!(pam.close(), SUCCESS);
    stage.assert_logged(ERROR, &["KEYCTL_LINK", "ENOMEM", "nothing is left in session keyring"]);
    assert_eq!(keys::describe(keyring).expect("it is there").permissions, PERMISSIONS);
}

/// To a possessor the kernel shows it also by permission to search.
fn a_keyring_that_cannot_be_read_is_told(stage: &Stage) {
    let mut pam = stage.login(stage.user, &["auth MODULE force clear", "session MODULE"]);
    assert_eq!(pam.open(), SUCCESS);
    in_the_name_of(stage.user, || keys::set_permissions(live_session(), 0x3500_0000).expect("permissions"));
    assert_eq!(pam.close(), SUCCESS);
    assert!(stage.log().is_empty(), "the session line does not ask for it");
    assert_eq!(pam.setcred(ESTABLISH), SUCCESS);
    in_the_name_of(stage.user, || keys::set_permissions(live_session(), 0x3500_0000).expect("permissions"));
    assert_eq!(pam.setcred(DELETE), CRED_ERR);
    stage.assert_logged(ERROR, &["cannot see what is in the session keyring (KEYCTL_READ)", "EACCES"]);
}

fn a_caller_who_has_become_the_user_can_clear(stage: &Stage) {
    let mut pam = stage.session("force clear");
    assert_eq!(pam.open(), SUCCESS);
    let keyring = live_session();
    become_ids([stage.user.uid; 3], [stage.user.gid; 3]);
    keys::add("of-the-session", "secret", keyring).expect("a key");
    assert_eq!(pam.close(), SUCCESS);
    assert_cleared(stage, keyring);
    stage.assert_silent();
}

fn a_caller_who_has_become_somebody_else_is_told(stage: &Stage) {
    let mut pam = stage.login(ALICE, &["session MODULE force clear"]);
    assert_eq!(pam.open(), SUCCESS);
    become_ids([BOB.uid; 3], [BOB.gid; 3]);
    let before = ids();
    assert_eq!(pam.close(), SUCCESS);
    let parts = ["cannot take on the user's real uid and gid", "EPERM", "invalidated instead", "alice"];
    stage.assert_logged(NOTICE, &parts);
    assert_eq!(ids(), before);
}

/// The user's uid cannot be taken on, nor the caller's gid given back.
fn a_gid_that_is_lost_on_the_way_is_told(stage: &Stage) {
    let mut pam = stage.login(ALICE, &["session MODULE force clear"]);
    assert_eq!(pam.open(), SUCCESS);
    refuse(&[change_of_uid(ALICE.uid), change_of_gid(0)].concat(), libc::EPERM);
    assert_eq!(pam.close(), SESSION_ERR);
    stage.assert_logged(CRITICAL, &["cannot give the caller its own uid and gid back", "EPERM", "end this process"]);
    assert_eq!([pam.open(), pam.close()], [SESSION_ERR; 2], "nothing succeeds any more");
}

fn a_keyring_out_of_reach_is_told(stage: &Stage) {
    let mut pam = stage.login(ALICE, &["session MODULE force clear"]);
    assert_eq!(pam.open(), SUCCESS);
    let keyring = live_session();
    keys::add("of-the-session", "secret", keyring).expect("a key");
    let survivor = leave_behind(|| assert_eq!(live_session(), keyring));
    keys::join(None).expect("a keyring");
    assert_eq!(pam.close(), SUCCESS);
    stage.assert_logged(ERROR, &["EACCES", "does not possess", "another keyring was joined", "alice"]);
    survivor.go_on();
}

fn clearing_changes_no_id(stage: &Stage) {
    for (uids, gids) in [([0; 3], [0; 3]), ([BOB.uid, 0, 0], [BOB.gid; 3]), ([0, ALICE.uid, 0], [0, ALICE.gid, 0])] {
        in_child(|| {
            become_ids(uids, gids);
            let mut pam = stage.login(ALICE, &["session MODULE force clear"]);
            let before = ids();
            assert_eq!(pam.open(), SUCCESS);
            let keyring = live_session();
            keys::add("of-the-session", "secret", keyring).expect("a key");
            assert_eq!(pam.close(), SUCCESS);
            assert_eq!(ids(), before);
            assert_eq!(assert_own_keyring(ALICE), keyring);
        });
    }
}
