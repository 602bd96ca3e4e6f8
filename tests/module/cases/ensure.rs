// SPDX-License-Identifier: MIT
//! When a session keyring is made, for whom, and what is in it (contract, section 2).

use crate::Stage;
use crate::stage::{
    ALICE, BOB, CAROL, ERROR, LAST, NOTICE, ROOT, Who, assert_own_keyring, assert_revoked, become_ids, ids,
    live_session, session, wait_until, with_real_ids,
};
use crate::support::keys;
use crate::support::pam::{CONV_ERR, ESTABLISH, SESSION_ERR, SUCCESS, USER_UNKNOWN};

cases! {
    Anyone:
        the_user_session_keyring_is_replaced
        a_keyring_of_its_own_is_kept
        a_named_keyring_is_kept
        force_replaces_a_keyring_of_its_own
        a_revoked_session_keyring_is_replaced => "dead-keyring"
        an_expired_session_keyring_is_replaced => "dead-keyring"
        force_replaces_a_revoked_session_keyring_too
        two_lines_make_one_keyring
        auth_and_session_make_one_keyring
        keys_of_the_user_are_found_through_the_new_keyring
        keys_of_the_session_before_are_out_of_reach;
    Root:
        the_keyring_belongs_to_the_user
        root_has_a_keyring_too
        ids_over_16_bits_are_kept_whole
        another_user_s_keyring_is_kept_without_force
        another_user_s_keyring_is_replaced_with_force
        an_ordinary_caller_cannot_open_a_session_for_somebody_else
        an_unknown_user_is_refused
        a_user_name_cannot_forge_a_line_of_the_log => "one-line"
        a_user_whom_nobody_names_is_refused
        a_user_without_a_usable_id_is_refused => "invalid-id"
        the_passwd_entry_is_kept_while_the_name_stays
        a_name_too_long_to_keep_is_looked_up_each_time
        a_keyring_is_not_handed_to_another_user => "change-of-user";
}

fn the_user_session_keyring_is_replaced(stage: &Stage) {
    // A thread without a session keyring is given that of its real uid by the look.
    let before = with_real_ids(stage.user, live_session);
    assert_eq!(keys::describe(before).expect("alive").name, format!("_uid_ses.{}", stage.user.uid));
    assert_eq!(stage.session("").open(), SUCCESS);
    assert_ne!(assert_own_keyring(stage.user), before);
}

fn a_keyring_of_its_own_is_kept(stage: &Stage) {
    let own = with_real_ids(stage.user, || keys::join(None).expect("a keyring"));
    let mut pam = stage.session("revoke");
    assert_eq!([pam.open(), pam.close()], [SUCCESS; 2]);
    assert_eq!(live_session(), own, "and not revoked: the module did not make it");
    assert!(keys::links(own).expect("readable").is_empty(), "and nothing was put into it");
    stage.assert_silent();
}

fn a_named_keyring_is_kept(stage: &Stage) {
    let named = keys::join(Some(c"of-its-own")).expect("a keyring");
    assert_eq!(stage.session("").open(), SUCCESS);
    assert_eq!(live_session(), named);
}

fn force_replaces_a_keyring_of_its_own(stage: &Stage) {
    let own = keys::join(None).expect("a keyring");
    assert_eq!(stage.session("force").open(), SUCCESS);
    assert_ne!(assert_own_keyring(stage.user), own);
}

fn a_revoked_session_keyring_is_replaced(stage: &Stage) {
    open_in_a_revoked_keyring(stage, "");
}

fn force_replaces_a_revoked_session_keyring_too(stage: &Stage) {
    open_in_a_revoked_keyring(stage, "force");
}

fn open_in_a_revoked_keyring(stage: &Stage, arguments: &str) {
    keys::revoke(keys::join(None).expect("a keyring")).expect("revoked");
    assert_eq!(session(), Err(libc::EKEYREVOKED));
    assert_eq!(stage.session(arguments).open(), SUCCESS);
    assert_own_keyring(stage.user);
    stage.assert_silent();
}

fn an_expired_session_keyring_is_replaced(stage: &Stage) {
    keys::set_timeout(keys::join(None).expect("a keyring"), 1).expect("a timeout");
    wait_until("the end of the keyring", || session() == Err(libc::EKEYEXPIRED));
    assert_eq!(stage.session("").open(), SUCCESS);
    assert_own_keyring(stage.user);
    stage.assert_silent();
}

fn two_lines_make_one_keyring(stage: &Stage) {
    let mut pam =
        stage.login(stage.user, &["session required MODULE force revoke".replace("MODULE", path(stage)).as_str(); 2]);
    assert_eq!(pam.open(), SUCCESS);
    let keyring = assert_own_keyring(stage.user);
    keys::add("first", "secret", keys::SESSION).expect("a key");
    assert_eq!(pam.close(), SUCCESS);
    assert_revoked(keyring);
    assert_eq!(session(), Err(libc::EKEYREVOKED), "no second keyring behind the first");
    stage.assert_silent();
}

fn path(stage: &Stage) -> &str {
    stage.module.to_str().expect("UTF-8")
}

fn auth_and_session_make_one_keyring(stage: &Stage) {
    let mut pam = stage.login(stage.user, &["auth MODULE force", "session MODULE revoke"]);
    assert_eq!(pam.setcred(ESTABLISH), SUCCESS);
    let keyring = assert_own_keyring(stage.user);
    assert_eq!(pam.open(), SUCCESS);
    assert_eq!(live_session(), keyring);
    assert_eq!(pam.close(), SUCCESS);
    assert_revoked(keyring);
}

fn keys_of_the_user_are_found_through_the_new_keyring(stage: &Stage) {
    let key = with_real_ids(stage.user, || {
        let key = keys::add("of-the-user", "secret", keys::USER).expect("a key");
        keys::set_permissions(key, 0x3f3f_0000).expect("permissions");
        key
    });
    assert_eq!(stage.session("force").open(), SUCCESS);
    assert_eq!(keys::request("of-the-user").expect("found"), key);
    assert_eq!(keys::search("of-the-user", keys::SESSION).expect("found"), key);
}

fn keys_of_the_session_before_are_out_of_reach(stage: &Stage) {
    assert_eq!(stage.session("force").open(), SUCCESS);
    let key = keys::add("of-the-session", "secret", keys::SESSION).expect("a key");
    assert_eq!(keys::request("of-the-session").expect("found"), key);
    assert_eq!(stage.session("force").open(), SUCCESS);
    keys::request("of-the-session").expect_err("out of reach");
    keys::read(key).expect_err("out of reach");
}

fn the_keyring_belongs_to_the_user(stage: &Stage) {
    for who in [ALICE, BOB] {
        assert_eq!(stage.login(who, &["session MODULE force"]).open(), SUCCESS);
        assert_own_keyring(who);
    }
}

fn root_has_a_keyring_too(stage: &Stage) {
    assert_eq!(stage.login(ROOT, &["session MODULE"]).open(), SUCCESS);
    assert_own_keyring(ROOT);
}

fn ids_over_16_bits_are_kept_whole(stage: &Stage) {
    for who in [CAROL, LAST] {
        assert_eq!(stage.login(who, &["session MODULE force"]).open(), SUCCESS);
        assert_own_keyring(who);
    }
}

fn another_user_s_keyring_is_kept_without_force(stage: &Stage) {
    let theirs = with_real_ids(BOB, || keys::join(None).expect("a keyring"));
    assert_eq!(stage.login(ALICE, &["session MODULE"]).open(), SUCCESS);
    assert_eq!(live_session(), theirs);
}

fn another_user_s_keyring_is_replaced_with_force(stage: &Stage) {
    let theirs = with_real_ids(BOB, || keys::join(None).expect("a keyring"));
    assert_eq!(stage.login(ALICE, &["session MODULE force"]).open(), SUCCESS);
    assert_ne!(assert_own_keyring(ALICE), theirs);
}

fn an_ordinary_caller_cannot_open_a_session_for_somebody_else(stage: &Stage) {
    become_ids([ALICE.uid; 3], [ALICE.gid; 3]);
    let (before, keyring) = (ids(), live_session());
    assert_eq!(stage.login(BOB, &["session MODULE force"]).open(), SESSION_ERR);
    stage.assert_logged(ERROR, &["cannot take on the user's real uid and gid", "EPERM", "CAP_SETUID", "\"bob\""]);
    assert_eq!((ids(), live_session()), (before, keyring));
    assert_eq!(stage.login(ALICE, &["session MODULE force"]).open(), SUCCESS);
    assert_own_keyring(ALICE);
}

fn an_unknown_user_is_refused(stage: &Stage) {
    let before = live_session();
    for name in [&b"nobody-knows-me"[..], b"", &[b'a'; 9000]] {
        let mut pam = stage.login_as(Some(name), &["session MODULE force", "auth MODULE force"]);
        for code in [pam.open(), pam.setcred(ESTABLISH)] {
            assert_eq!(code, USER_UNKNOWN);
        }
        let lines = stage.log();
        assert_eq!(lines.iter().map(|line| line.level).collect::<Vec<_>>(), [NOTICE; 2], "{lines:#?}");
        stage.differs("says-why", || {
            for line in lines {
                assert!(line.text.contains("unknown user"), "{line:?}");
            }
        });
    }
    assert_eq!(live_session(), before);
}

fn a_user_name_cannot_forge_a_line_of_the_log(stage: &Stage) {
    let long = "n".repeat(900);
    for (name, shown) in [
        ("eve\npam_keyinit(sshd:session): all is well", "\"eve\\x0apam_keyinit(sshd:session): all is well\""),
        ("\u{1b}[31mred", "\"\\x1b[31mred\""),
        (&long, &format!("\"{}...\"", "n".repeat(64))),
    ] {
        assert_eq!(stage.login_as(Some(name.as_bytes()), &["session MODULE"]).open(), USER_UNKNOWN);
        stage.assert_logged(NOTICE, &["unknown user", shown]);
    }
}

/// libpam asks the application, and this one does not answer.
fn a_user_whom_nobody_names_is_refused(stage: &Stage) {
    let before = live_session();
    assert_eq!(stage.login_as(None, &["session MODULE force"]).open(), CONV_ERR);
    stage.assert_logged(ERROR, &["libpam does not give the user's name: PAM error 19"]);
    assert_eq!(live_session(), before);
}

/// The set*id calls take 4294967295 for "leave it as it is", and the caller is root.
fn a_user_without_a_usable_id_is_refused(stage: &Stage) {
    stage.passwd(&["nouid:x:4294967295:5001::/:/bin/sh", "nogid:x:4001:4294967295::/:/bin/sh"]);
    let before = (ids(), live_session());
    for name in ["nouid", "nogid"] {
        assert_eq!(stage.login(Who { name, ..ALICE }, &["session MODULE force"]).open(), SESSION_ERR);
        stage.assert_logged(ERROR, &["4294967295", name, "correct it"]);
        assert_eq!((ids(), live_session()), before);
    }
}

fn the_passwd_entry_is_kept_while_the_name_stays(stage: &Stage) {
    let mut pam = stage.login(ALICE, &["session MODULE force"]);
    assert_eq!([pam.open(), pam.close()], [SUCCESS; 2]);
    stage.put_over("/etc/passwd", "root:x:0:0::/:/bin/sh\nalice:x:4444:5555::/:/bin/sh\nbob:x:4002:5002::/:/bin/sh\n");
    assert_eq!([pam.open(), pam.close()], [SUCCESS; 2]);
    assert_own_keyring(ALICE);
    stage.differs("change-of-user", || {
        pam.set_user("bob");
        assert_eq!([pam.open(), pam.close()], [SUCCESS; 2]);
        assert_own_keyring(BOB);
        pam.set_user("alice");
        assert_eq!(pam.open(), SUCCESS);
        assert_own_keyring(Who { name: "alice", uid: 4444, gid: 5555 });
    });
}

fn a_name_too_long_to_keep_is_looked_up_each_time(stage: &Stage) {
    for length in [127, 128, 256, 300] {
        let name: &'static str = "n".repeat(length).leak();
        let who = Who { name, ..ALICE };
        stage.passwd(&[&format!("{name}:x:{}:{}::/:/bin/sh", who.uid, who.gid)]);
        let mut pam = stage.login(who, &["session MODULE force revoke"]);
        for _ in 0..2 {
            assert_eq!(pam.open(), SUCCESS);
            assert_own_keyring(ALICE);
            assert_eq!(pam.close(), SUCCESS);
        }
    }
}

/// PAM_USER may be set anew between setcred and open.
fn a_keyring_is_not_handed_to_another_user(stage: &Stage) {
    let mut pam = stage.login(ALICE, &["auth MODULE revoke", "session MODULE revoke"]);
    assert_eq!(pam.setcred(ESTABLISH), SUCCESS);
    let alices = assert_own_keyring(ALICE);
    pam.set_user("bob");
    assert_eq!(pam.open(), SUCCESS);
    assert_own_keyring(BOB);
    assert_revoked(alices);
    assert_eq!(pam.close(), SUCCESS);
    assert_eq!(session(), Err(libc::EKEYREVOKED));
    stage.assert_silent();
}
