// SPDX-License-Identifier: MIT
//! Session keyrings that are not as they should be, at open and at close, and namespaces and processes that are not.

use std::fs;

use nix::sched::{CloneFlags, unshare};

use crate::Stage;
use crate::stage::{
    ALICE, ERROR, Left, NOTICE, SET, Who, assert_own_keyring, assert_revoked, become_ids, fill_up, flags, ids,
    in_child, in_the_name_of, join_as, live_session, say_where, session, set_flags, users, wait_until, with_real_ids,
};
use crate::support::keys;
use crate::support::pam::{PERM_DENIED, SESSION_ERR, SUCCESS};

cases! {
    Anyone:
        a_keyring_that_may_not_be_searched_is_told_and_replaced
        a_keyring_that_has_expired_since_is_over
        a_keyring_that_may_not_be_written_to_is_told_and_ended
        a_keyring_whose_permissions_were_changed_is_ended
        a_keyring_that_may_not_be_searched_since_is_followed_by_another => "open-again";
    Root:
        a_full_quota_keeps_no_session_from_its_end
        a_user_who_is_not_in_the_namespace_is_told
        the_parent_death_signal_and_the_dumpable_flag_stay_with_all_options;
}

/// Permissions of a keyring: all for who possesses it, but these.
const NO_SEARCH: u32 = 0x3703_0000;
const NO_WRITE_AND_NO_CHANGE: u32 = 0x1b03_0000;

fn set_permissions(who: Who, permissions: u32) {
    let keyring = live_session();
    in_the_name_of(who, || keys::set_permissions(keyring, permissions).expect("permissions"));
}

fn a_keyring_that_may_not_be_searched_is_told_and_replaced(stage: &Stage) {
    with_real_ids(stage.user, || keys::join(None).expect("a keyring"));
    set_permissions(stage.user, NO_SEARCH);
    assert_eq!(session(), Err(libc::EACCES));
    let before = ids();
    for arguments in ["revoke", "own revoke", "force revoke"] {
        in_child(|| {
            let mut pam = stage.session(arguments);
            if arguments == "revoke" {
                assert_eq!(pam.open(), SESSION_ERR);
                let parts =
                    ["cannot look at the session keyring", "EACCES", "see the keyring's permissions", "was given"];
                stage.assert_logged(ERROR, &parts);
            } else {
                stage.may_differ((arguments == "own revoke").then_some("own"), || assert_eq!(pam.open(), SUCCESS));
            }
            stage.may_differ((arguments != "force revoke").then_some("says-why"), || {
                let keyring = assert_own_keyring(stage.user);
                let closed = if arguments == "revoke" { PERM_DENIED } else { SUCCESS }; // libpam remembers the failure
                assert_eq!((ids(), pam.close()), (before, closed));
                assert_revoked(keyring);
            });
            stage.assert_silent();
        });
    }
}

fn a_keyring_that_has_expired_since_is_over(stage: &Stage) {
    for arguments in ["force revoke", "force clear"] {
        let mut pam = stage.session(arguments);
        assert_eq!(pam.open(), SUCCESS);
        in_the_name_of(stage.user, || keys::set_timeout(live_session(), 1).expect("a timeout"));
        wait_until("the end of the keyring", || session() == Err(libc::EKEYEXPIRED));
        assert_eq!(pam.close(), SUCCESS);
        stage.assert_silent();
    }
}

fn a_keyring_that_may_not_be_written_to_is_told_and_ended(stage: &Stage) {
    for (arguments, operation) in [("force revoke", "KEYCTL_REVOKE"), ("force clear", "KEYCTL_UNLINK")] {
        let mut pam = stage.session(arguments);
        assert_eq!(pam.open(), SUCCESS);
        let keyring = live_session();
        let key = keys::add("of-the-session", "secret", keyring).expect("a key");
        set_permissions(stage.user, NO_WRITE_AND_NO_CHANGE);
        assert_eq!(pam.close(), SUCCESS);
        stage.assert_logged(NOTICE, &[operation, "EACCES", "its permissions were changed", "invalidated instead"]);
        stage.differs("changed-permissions", || {
            keys::describe(keyring).expect_err("it is ended");
            keys::read(key).expect_err("nothing of the session can be read");
        });
    }
}

/// By the session's user, keyctl setperm. With the first four the C module, which closes as the owner, revokes.
fn a_keyring_whose_permissions_were_changed_is_ended(stage: &Stage) {
    for (permissions, c_revokes) in [
        (0x0b3f_0000, true),
        (0x0b2f_0000, true),
        (0x0b24_0000, true),
        (0x0b04_0000, true),
        (0x1b1b_0000, false),
        (0x0b03_0000, false),
    ] {
        for arguments in ["force revoke", "force clear"] {
            in_child(|| {
                say_where((format!("{permissions:x}"), arguments));
                let mut pam = stage.session(arguments);
                assert_eq!(pam.open(), SUCCESS);
                let keyring = live_session();
                let key = keys::add("of-the-session", "secret", keyring).expect("a key");
                set_permissions(stage.user, permissions);
                assert_eq!(pam.close(), SUCCESS);
                let entry = if arguments == "force clear" { Some("clear") } else { None };
                stage.may_differ(entry.or((!c_revokes).then_some("changed-permissions")), || {
                    let errno = session().expect_err("it is ended");
                    assert!([libc::EKEYREVOKED, libc::ENOKEY].contains(&errno), "{errno}");
                    keys::read(key).expect_err("out of reach");
                    keys::request("of-the-session").expect_err("out of reach");
                });
                stage.log();
                join_as(stage.user);
                keys::add("of-the-survivor", "secret", keys::SESSION).expect("who goes on can begin anew");
            });
        }
    }
}

/// By a session that ended without any end: its keyring is still there, and cannot be looked at.
fn a_keyring_that_may_not_be_searched_since_is_followed_by_another(stage: &Stage) {
    for permissions in [NO_SEARCH, 0x0003_0000, 0] {
        in_child(|| {
            let mut pam = stage.session("");
            assert_eq!(pam.open(), SUCCESS);
            set_permissions(stage.user, permissions);
            assert_eq!([pam.close(), pam.open()], [SUCCESS; 2]);
            stage.differs("open-again", || _ = assert_own_keyring(stage.user));
            stage.assert_silent();
        });
    }
}

/// To end a session takes no key.
fn a_full_quota_keeps_no_session_from_its_end(stage: &Stage) {
    let [revokes, clears, ..] = users(stage, 4143);
    for (who, arguments) in [(revokes, "force revoke"), (clears, "force clear")] {
        in_child(|| {
            let mut pam = stage.login(who, &[&format!("session MODULE {arguments}")]);
            assert_eq!(pam.open(), SUCCESS);
            let keyring = live_session();
            keys::add("of-the-session", "secret", keyring).expect("a key");
            fill_up(who, keys::USER, Left::Bytes(0));
            assert_eq!(pam.close(), SUCCESS);
            if who == revokes {
                assert_revoked(keyring);
            } else {
                stage.differs("clear", || assert_eq!(assert_own_keyring(who), keyring));
            }
            stage.assert_silent();
        });
    }
}

/// As in a container that has root only.
fn a_user_who_is_not_in_the_namespace_is_told(stage: &Stage) {
    unshare(CloneFlags::CLONE_NEWUSER).expect("a user namespace");
    for (file, text) in [("setgroups", "deny"), ("gid_map", "0 0 1"), ("uid_map", "0 0 1")] {
        fs::write(format!("/proc/self/{file}"), text).expect("the map of our own namespace");
    }
    let before = (ids(), live_session());
    for arguments in ["", "own", "force revoke"] {
        assert_eq!(stage.login(ALICE, &[&format!("session MODULE {arguments}")]).open(), SESSION_ERR);
        let parts = ["cannot take on the user's real uid and gid", "EINVAL", "not mapped in this user namespace"];
        stage.assert_logged(ERROR, &parts);
        assert_eq!((ids(), live_session()), before);
    }
}

fn the_parent_death_signal_and_the_dumpable_flag_stay_with_all_options(stage: &Stage) {
    for caller in [0, ALICE.uid] {
        for arguments in ["", "force", "own", "revoke", "clear", "force own revoke clear debug"] {
            in_child(|| {
                become_ids([caller; 3], [if caller == 0 { 0 } else { ALICE.gid }; 3]);
                set_flags();
                let mut pam = stage.login(ALICE, &[&format!("session MODULE {arguments}")]);
                assert_eq!(pam.open(), SUCCESS);
                assert_eq!(flags(), SET, "open with `{arguments}`");
                assert_eq!(pam.close(), SUCCESS);
                let entry = (caller == 0 && arguments.contains("revoke")).then_some("parent-death-signal");
                stage.may_differ(entry, || assert_eq!(flags(), SET, "close with `{arguments}`"));
                stage.log();
            });
        }
    }
}
