// SPDX-License-Identifier: MIT
//! `user-session`: one keyring for all sessions of a user (contract, section 10).

use std::ffi::CString;
use std::fs;

use crate::Stage;
use crate::stage::program::{Program, Running, SSHD, SU_LOGIN, twice};
use crate::stage::refusals::NUMBERS;
use crate::stage::sessions::{Caller, log_out, with_line, with_pam_d};
use crate::stage::supervisor::Supervisor;
use crate::stage::{
    ALICE, BOB, ERROR, Left, SET, SEVERAL, WARNING, Who, assert_keyring_for, assert_own_keyring, assert_revoked,
    assert_untouched, become_capable, become_ids, daemons, fill_up, flags, ids, in_child, in_the_name_of, join_as,
    leave_behind, live_session, many_users, say_where, session, set_flags, shared_keyring, shared_name, users,
    with_real_ids,
};
use crate::support::keys;
use crate::support::pam::{DELETE, ESTABLISH, IGNORE, SESSION_ERR, SUCCESS};

cases! {
    Anyone:
        a_session_is_in_the_shared_keyring => "user-session"
        what_one_session_stores_the_next_one_finds => "user-session"
        it_beats_the_other_words_and_nothing_is_ended => "user-session"
        the_user_keyring_is_linked_again => "user-session"
        a_line_without_the_word_keeps_it => "user-session"
        what_a_line_before_it_has_made_stays;
    Root:
        nobody_else_finds_what_is_in_it => "user-session"
        another_user_on_the_same_handle_is_in_a_keyring_of_its_own => "user-session"
        the_ids_and_flags_of_the_caller_stay => "user-session"
        a_squatter_s_keyring_is_not_joined => "user-session"
        a_squatter_who_comes_meanwhile_is_not_joined => "user-session"
        a_squatter_s_keyring_is_left_also_where_none_can_be_made => "user-session"
        with_a_full_quota_it_is_joined_if_it_is_there => "user-session"
        with_a_full_quota_and_without_it_the_caller_is_charged => "user-session"
        a_user_who_has_changed_its_permissions_goes_on => "user-session"
        one_that_is_revoked_is_replaced => "user-session"
        two_that_begin_at_once_share_it => "user-session"
        sessions_of_sshd_su_and_cron_share_it => "user-session";
}

#[track_caller]
fn assert_shares(who: Who) {
    let keyring = live_session();
    let description = keys::describe(keyring).expect("it can be viewed");
    assert_eq!((description.name, description.permissions), (shared_name(who), 0x3f0b_0000));
    assert_eq!((description.uid, description.gid), (who.uid, who.gid));
    assert_eq!(keyring, shared_keyring(who).expect("it is kept"));
    let names = keys::link_names(keyring).expect("it can be read");
    assert!(names.contains(&format!("_uid.{}", who.uid)), "{names:?}");
}

/// Where the process may be before the session, and how it comes there.
type Place = (&'static str, fn(Who));
const BEFORE: [Place; 5] = [
    ("none of its own", |_| ()),
    ("the user-session keyring", |who| _ = with_real_ids(who, live_session)),
    ("the shared one", |who| _ = with_real_ids(who, || join_by_name(who))),
    ("a keyring of the user's", |who| _ = join_as(who)),
    ("a dead keyring", |who| keys::revoke(join_as(who)).expect("revoked")),
];

fn a_session_is_in_the_shared_keyring(stage: &Stage) {
    for (place, before) in BEFORE {
        for kind in ["auth", "session"] {
            in_child(|| {
                say_where((place, kind));
                before(stage.user);
                let mut pam = stage.login(stage.user, &["auth MODULE user-session", "session MODULE user-session"]);
                let code = if kind == "auth" { pam.setcred(ESTABLISH) } else { pam.open() };
                assert_eq!(code, SUCCESS);
                assert_shares(stage.user);
                assert_eq!([pam.open(), pam.close()], [SUCCESS; 2]);
                assert_shares(stage.user);
                stage.assert_silent();
            });
        }
    }
}

fn what_one_session_stores_the_next_one_finds(stage: &Stage) {
    in_child(|| {
        join_as(stage.user);
        let mut pam = stage.session("user-session");
        assert_eq!(pam.open(), SUCCESS);
        keys::add("of-the-first", "secret", keys::SESSION).expect("a key");
        assert_eq!(pam.close(), SUCCESS);
    });
    in_child(|| {
        join_as(stage.user);
        keys::request("of-the-first").expect_err("another keyring");
        assert_eq!(stage.session("user-session").open(), SUCCESS);
        keys::request("of-the-first").expect("a key");
    });
}

fn it_beats_the_other_words_and_nothing_is_ended(stage: &Stage) {
    for words in ["force", "own", "revoke", "clear", "force own revoke clear"] {
        in_child(|| {
            say_where(words);
            join_as(stage.user);
            let lines = ["auth", "session"].map(|kind| format!("{kind} MODULE {words} user-session"));
            let mut pam = stage.login(stage.user, &[&lines[0], &lines[1]]);
            assert_eq!([pam.setcred(ESTABLISH), pam.open()], [SUCCESS; 2]);
            assert_shares(stage.user);
            let key = keys::add(words, "secret", keys::SESSION).expect("a key");
            assert_eq!([pam.setcred(DELETE), pam.close(), pam.setcred(DELETE)], [IGNORE, SUCCESS, IGNORE]);
            assert_shares(stage.user);
            assert_eq!(keys::request(words).expect("it stays"), key);
            stage.assert_silent();
        });
    }
}

fn the_user_keyring_is_linked_again(stage: &Stage) {
    for linked in ["user keyring", "user-session keyring"] {
        in_child(|| {
            say_where(linked);
            assert_eq!(stage.session("user-session").open(), SUCCESS);
            let keyring = live_session();
            with_real_ids(stage.user, || match linked {
                "user keyring" => keys::unlink(keys::id(keys::USER).expect("a keyring"), keyring),
                _ => keys::unlink(keyring, keys::USER_SESSION),
            })
            .expect("unlinked");
            in_child(|| {
                join_as(stage.user);
                assert_eq!(stage.session("user-session").open(), SUCCESS);
                assert_eq!(live_session(), keyring);
                assert_shares(stage.user);
            });
        });
    }
}

/// It is the user's, and leads to the user keyring.
fn a_line_without_the_word_keeps_it(stage: &Stage) {
    join_as(stage.user);
    assert_eq!(stage.session("user-session").open(), SUCCESS);
    for words in ["revoke", "own revoke"] {
        let mut pam = stage.session(words);
        assert_eq!([pam.open(), pam.close()], [SUCCESS; 2]);
        assert_shares(stage.user);
    }
    assert_eq!(stage.session("force").open(), SUCCESS);
    assert_own_keyring(stage.user);
}

/// It has the session's keys in it already.
fn what_a_line_before_it_has_made_stays(stage: &Stage) {
    let mut pam = stage.login(stage.user, &["auth MODULE force", "session MODULE user-session revoke"]);
    assert_eq!(pam.setcred(ESTABLISH), SUCCESS);
    let keyring = assert_own_keyring(stage.user);
    assert_eq!((pam.open(), live_session()), (SUCCESS, keyring));
    assert_eq!(pam.close(), SUCCESS);
    assert_revoked(keyring);
}

fn nobody_else_finds_what_is_in_it(stage: &Stage) {
    in_child(|| {
        assert_eq!(stage.session("user-session").open(), SUCCESS);
        keys::add("of-alice", "secret", keys::SESSION).expect("a key");
    });
    in_child(|| {
        assert_eq!(stage.login(BOB, &["session MODULE user-session"]).open(), SUCCESS);
        assert_shares(BOB);
        become_ids([BOB.uid; 3], [BOB.gid; 3]);
        keys::request("of-alice").expect_err("another user's");
    });
}

fn another_user_on_the_same_handle_is_in_a_keyring_of_its_own(stage: &Stage) {
    let mut pam = stage.session("user-session");
    assert_eq!(pam.open(), SUCCESS);
    assert_shares(stage.user);
    pam.set_user(BOB.name);
    assert_eq!(pam.open(), SUCCESS);
    assert_shares(BOB);
}

fn the_ids_and_flags_of_the_caller_stay(stage: &Stage) {
    let root = || ();
    let capable = || become_capable([BOB.uid; 3], [BOB.gid; 3]);
    let user = || become_ids([ALICE.uid; 3], [ALICE.gid; 3]);
    for become_caller in [root as fn(), capable, user] {
        in_child(|| {
            become_caller();
            keys::join(None).expect("a keyring");
            set_flags();
            let before = ids();
            let mut pam = stage.session("user-session");
            assert_eq!((pam.open(), ids(), flags()), (SUCCESS, before, SET));
            assert_shares(ALICE);
            assert_eq!((pam.close(), ids(), flags()), (SUCCESS, before, SET));
        });
    }
}

/// Joins a keyring of the name of the shared one, which anybody can give to a keyring.
fn join_by_name(who: Who) -> i32 {
    keys::join(Some(&CString::new(shared_name(who)).expect("a name"))).expect("a keyring")
}

/// Makes such a keyring of bob's for `who`, that all may search.
fn squat(who: Who) -> i32 {
    in_the_name_of(BOB, || {
        let keyring = join_by_name(who);
        keys::set_permissions(keyring, 0x3f3f_3f3f).expect("permissions");
        keys::add("of-the-squatter", "secret", keyring).expect("a key");
        keyring
    })
}

#[track_caller]
fn assert_told_of_squatter(stage: &Stage) {
    let parts = ["somebody else's", "/proc/keys", "the session has one of its own instead"];
    stage.assert_logged(WARNING, &parts);
}

fn a_squatter_s_keyring_is_not_joined(stage: &Stage) {
    let [who, ..] = users(stage, 4700);
    assert_untouched(who); // so the squatter's is the first of that name
    squat(who); // which lives as long as this process
    in_child(|| {
        keys::join(None).expect("a daemon's keyring");
        let mut pam = stage.login(who, &["session MODULE user-session revoke"]);
        let before = ids();
        assert_eq!((pam.open(), ids()), (SUCCESS, before));
        assert_told_of_squatter(stage);
        let keyring = assert_own_keyring(who);
        assert_eq!(pam.close(), SUCCESS);
        assert_revoked(keyring);
    });
}

fn a_squatter_who_comes_meanwhile_is_not_joined(stage: &Stage) {
    let [who, ..] = users(stage, 4708);
    keys::join(None).expect("a daemon's keyring");
    let supervisor = Supervisor::new(&NUMBERS);
    let mut squatted = false;
    supervisor.between(move |call| {
        let joins = call.number == libc::SYS_keyctl
            && call.arguments[0] as u32 == libc::KEYCTL_JOIN_SESSION_KEYRING
            && call.arguments[1] != 0;
        if joins && !squatted {
            squatted = true;
            squat(who);
        }
    });
    let mut pam = stage.login(who, &["session MODULE user-session"]);
    assert_eq!(pam.open(), SUCCESS);
    assert!(supervisor.stop().iter().any(|call| call.number == libc::SYS_keyctl && call.arguments[1] != 0));
    assert_told_of_squatter(stage);
    assert_own_keyring(who);
}

/// The user's quota is full, and the caller is the user.
fn a_squatter_s_keyring_is_left_also_where_none_can_be_made(stage: &Stage) {
    let [who, ..] = users(stage, 4716);
    assert_untouched(who);
    squat(who); // which lives as long as this process
    in_child(|| {
        keys::join(None).expect("a keyring");
        fill_up(who, keys::USER, Left::Keys(0));
        become_ids([who.uid; 3], [who.gid; 3]);
        assert_eq!(stage.login(who, &["session MODULE user-session"]).open(), SESSION_ERR);
        stage.assert_logged(ERROR, &["EDQUOT"]);
        assert_eq!(session(), Err(libc::ENOKEY), "neither the squatter's nor the caller's");
    });
}

fn with_a_full_quota_it_is_joined_if_it_is_there(stage: &Stage) {
    for (who, left) in many_users(stage, 14970, 2).into_iter().zip([Left::Keys(0), Left::Bytes(0)]) {
        say_where(left);
        assert_untouched(who);
        for turn in 0..2 {
            in_child(|| {
                keys::join(None).expect("a daemon's keyring");
                if turn == 1 {
                    fill_up(who, keys::USER, left);
                }
                assert_eq!(stage.login(who, &["session MODULE user-session"]).open(), SUCCESS);
                assert_shares(who);
                stage.assert_silent();
            });
        }
    }
}

fn with_a_full_quota_and_without_it_the_caller_is_charged(stage: &Stage) {
    for (who, left) in many_users(stage, 14974, 2).into_iter().zip([Left::Keys(0), Left::Bytes(0)]) {
        in_child(|| {
            say_where(left);
            assert_untouched(who);
            keys::join(None).expect("a daemon's keyring");
            fill_up(who, keys::USER, left);
            assert_eq!(stage.login(who, &["session MODULE user-session"]).open(), SUCCESS);
            assert_keyring_for(who, (0, 0));
            stage.assert_logged(WARNING, &["EDQUOT", "charged to the caller"]);
        });
    }
}

fn a_user_who_has_changed_its_permissions_goes_on(stage: &Stage) {
    // Without search nobody finds it by name; without write nothing can be linked into it.
    for (permissions, is_replaced) in [(0x3703_0000, true), (0x1b1b_0000, false)] {
        in_child(|| {
            say_where(is_replaced);
            assert_eq!(stage.session("user-session").open(), SUCCESS);
            let keyring = live_session();
            in_the_name_of(stage.user, || keys::set_permissions(keyring, permissions).expect("permissions"));
            in_child(|| {
                keys::join(None).expect("a daemon's keyring");
                assert_eq!(stage.session("user-session").open(), SUCCESS);
                assert_ne!(live_session(), keyring);
                if is_replaced {
                    assert_shares(stage.user);
                    stage.assert_silent();
                } else {
                    assert_own_keyring(stage.user);
                    stage.assert_logged(WARNING, &["EACCES", "the session has one of its own instead"]);
                }
            });
        });
    }
}

/// By keyctl revoke @s. The next session begins anew.
fn one_that_is_revoked_is_replaced(stage: &Stage) {
    assert_eq!(stage.session("user-session").open(), SUCCESS);
    keys::revoke(live_session()).expect("revoked");
    assert_eq!(stage.session("user-session").open(), SUCCESS);
    assert_shares(stage.user);
    stage.assert_silent();
}

/// Neither finds a shared one. The other begins, and ends its beginning, before each of the system calls of the one.
fn two_that_begin_at_once_share_it(stage: &Stage) {
    let users = many_users(stage, 14980, 40);
    let calls_at_most = users.len() - 1;
    for (turn, who) in users.into_iter().enumerate() {
        in_child(|| {
            say_where(turn);
            keys::join(None).expect("a daemon's keyring");
            let mut one = stage.login(who, &["session MODULE user-session"]);
            let others = stage.directory.join(format!("others-{turn}"));
            let mut other = Some(leave_behind(|| {
                assert_eq!(stage.login(who, &["session MODULE user-session"]).open(), SUCCESS);
                fs::write(&others, live_session().to_string()).expect("a file");
            }));
            let mut earlier = 0;
            let supervisor = Supervisor::new(&NUMBERS);
            supervisor.between(move |_| {
                if earlier == turn {
                    other.take().expect("one").start().finish();
                }
                earlier += 1;
            });
            assert_eq!(one.open(), SUCCESS);
            let calls = supervisor.stop().len();
            assert!(calls <= calls_at_most, "{calls}");
            assert_shares(who);
            match fs::read_to_string(&others) {
                Ok(others) => assert_eq!(others, live_session().to_string()),
                Err(_) => assert!(turn >= calls, "the other has begun"),
            }
            stage.assert_silent();
        });
    }
}

fn sessions_of_sshd_su_and_cron_share_it(stage: &Stage) {
    let user = SEVERAL[19];
    daemons::own_network();
    let start = |stage: &Stage, user| Running::daemon(daemons::cron(stage, user));
    let cron = Program { name: "cron", services: &["cron"], shipped: None, user, start };
    let su = Program { name: "su", services: &["su"], start: |_, user| twice(&["su", user.name]), ..SU_LOGIN };
    let programs = [Program { user, ..SSHD }, Program { user, ..SU_LOGIN }, su, cron];
    let services = programs.iter().flat_map(|program| program.services);
    let files: Vec<_> = services.map(|&service| (service, with_line(service, Some("user-session")))).collect();
    with_pam_d(stage, &files, Caller::WithKeyring, || {
        // Else the first program's two sessions begin at once, and may make one each: docs/differences.md.
        in_child(|| assert_eq!(stage.login(user, &["session MODULE user-session"]).open(), SUCCESS));
        let switchboard = stage.install();
        for (turn, program) in programs.iter().enumerate() {
            say_where(program.name);
            let running = (program.start)(stage, user);
            let [mut first, mut second] = [(); 2].map(|()| switchboard.answer(program.name));
            let names = first.look().session.expect("a session keyring").description.name;
            assert_eq!(names, shared_name(user));
            // Of the sessions before, which have ended.
            for earlier in 0..turn {
                first.find(&format!("of-{earlier}")).expect("a key");
            }
            first.add(&format!("of-{turn}"), keys::SESSION).expect("a key");
            second.find(&format!("of-{turn}")).expect("a key");
            log_out(&switchboard, &running, first);
            second.find(&format!("of-{turn}")).expect("a key");
            log_out(&switchboard, &running, second);
            running.finish();
        }
        let other = (SU_LOGIN.start)(stage, BOB);
        let [mut first, second] = [(); 2].map(|()| switchboard.answer("su -l"));
        first.find("of-0").expect_err("another user's");
        log_out(&switchboard, &other, first);
        log_out(&switchboard, &other, second);
        other.finish();
        stage.assert_silent();
    });
}
