// SPDX-License-Identifier: MIT
//! The ids of the calling thread, all eight: as before after every call. For those of other threads see `threads`.

use caps::{CapSet, CapsHashSet, securebits};

use crate::Stage;
use crate::stage::{
    ALICE, BOB, CAROL, ERROR, FRANK, LAST, ROOT, SET, Who, assert_own_keyring, assert_revoked, become_capable,
    become_ids, flags, ids, in_child, keep_capabilities_whatever_the_uids, live_session, set_flags, set_fs_gid,
    set_fs_uid,
};
use crate::support::pam::{DELETE, ESTABLISH, IGNORE, REFRESH, SESSION_ERR, SUCCESS};

cases! {
    Anyone:
        a_caller_keeps_its_ids_for_itself;
    Root:
        every_caller_keeps_its_ids
        filesystem_ids_of_their_own_are_kept => "filesystem-ids"
        a_caller_without_capabilities_returns_from_an_id_of_its_own => "ids-lost"
        ids_that_could_not_be_given_back_are_not_taken_on => "no-way-back"
        capabilities_that_would_be_lost_are_kept => "no-way-back"
        a_caller_who_keeps_capabilities_is_not_refused => "ids-lost"
        a_caller_whose_capabilities_do_not_depend_on_uids_is_not_refused
        a_capable_caller_keeps_its_ids_and_capabilities
        the_parent_death_signal_and_the_dumpable_flag_stay
        they_stay_with_a_caller_whose_effective_gid_is_the_user_s;
}

/// Every call of a login, with the ids looked at after each.
#[track_caller]
fn go_through_a_login(stage: &Stage, who: Who) {
    let before = ids();
    go_through_the_start(stage, who);
    go_through_the_end(stage, who);
    assert_eq!(ids(), before, "end");
    stage.assert_silent();
}

/// Asserts that a call has given this code, and that the ids of the thread are those of before.
#[track_caller]
fn step(name: &str, code: i32, expected: i32, before: [u32; 8]) {
    assert_eq!(code, expected, "{name} with {before:?}");
    assert_eq!(ids(), before, "{name}");
}

/// A login, with the ids looked at after each call.
#[track_caller]
fn go_through_the_start(stage: &Stage, who: Who) {
    let before = ids();
    let mut pam = stage.login(who, &["auth MODULE force", "session MODULE force"]);
    step("authenticate", pam.authenticate(), IGNORE, before);
    step("establish", pam.setcred(ESTABLISH), SUCCESS, before);
    let keyring = assert_own_keyring(who);
    step("open", pam.open(), SUCCESS, before);
    step("refresh", pam.setcred(REFRESH), IGNORE, before);
    step("close", pam.close(), SUCCESS, before);
    assert_eq!(assert_own_keyring(who), keyring);
}

/// A login and its end, with the ids looked at after each call that ends it.
#[track_caller]
fn go_through_the_end(stage: &Stage, who: Who) {
    let before = ids();
    let mut pam = stage.login(who, &["auth MODULE force", "session MODULE force revoke"]);
    step("open", pam.open(), SUCCESS, before);
    let keyring = assert_own_keyring(who);
    step("close", pam.close(), SUCCESS, before);
    assert_revoked(keyring);
    step("open again", pam.open(), SUCCESS, before);
    let keyring = assert_own_keyring(who);
    step("delete", pam.setcred(DELETE), SUCCESS, before);
    assert_revoked(keyring);
}

fn a_caller_keeps_its_ids_for_itself(stage: &Stage) {
    if stage.user == ALICE {
        become_ids([ALICE.uid; 3], [ALICE.gid; 3]);
    }
    go_through_a_login(stage, stage.user);
}

fn every_caller_keeps_its_ids(stage: &Stage) {
    let (a, b, c, last) = (ALICE, BOB, CAROL, LAST);
    // Real, effective and saved uid, then gid, of the caller; who logs in; and what is different with the C module at the
    // start and at the end.
    for (uids, gids, who, start, end) in [
        ([0, 0, 0], [0, 0, 0], ROOT, None, None),
        ([0, 0, 0], [0, 0, 0], a, None, Some("saved-gid")),
        // su and sudo: root by the file's mode.
        ([a.uid, 0, 0], [a.gid; 3], ROOT, None, Some("saved-gid")),
        ([a.uid, 0, 0], [a.gid; 3], b, None, Some("saved-gid")),
        ([a.uid, 0, 0], [a.gid; 3], a, None, None),
        ([a.uid, 0, 0], [a.gid, 0, 0], b, None, None),
        ([a.uid; 3], [a.gid; 3], a, None, None),
        ([0, a.uid, 0], [0, a.gid, 0], a, Some("ids-lost"), Some("ids-lost")),
        ([0, a.uid, a.uid], [0, 0, 0], ROOT, None, None),
        ([0, 0, a.uid], [0, 0, a.gid], b, Some("ids-lost"), Some("ids-lost")),
        ([b.uid, a.uid, b.uid], [b.gid, a.gid, b.gid], a, Some("ids-lost"), Some("ids-lost")),
        ([0, 0, 0], [0, a.gid, a.gid], b, None, None),
        // Over 16 bits, and over 31: a system call of 32 bits that answers with such an id looks as if it failed.
        ([0, 0, 0], [0, 0, 0], c, None, Some("saved-gid")),
        ([0, 0, 0], [0, 0, 0], last, None, Some("saved-gid")),
        ([c.uid, 0, 0], [c.gid; 3], last, None, Some("saved-gid")),
        ([last.uid, 0, 0], [last.gid; 3], c, None, Some("saved-gid")),
        ([last.uid; 3], [last.gid; 3], last, None, None),
        ([0, last.uid, 0], [0, last.gid, 0], last, Some("ids-lost"), Some("ids-lost")),
        ([0, 0, 0], [last.gid; 3], a, None, Some("saved-gid")),
    ] {
        for (go_through, entry) in [(go_through_the_start as fn(&Stage, Who), start), (go_through_the_end, end)] {
            in_child(|| {
                become_ids(uids, gids);
                stage.may_differ(entry, || go_through(stage, who));
            });
            stage.log(); // the C module has something to say, and would wait for room
        }
    }
}

/// setresuid(2) makes the filesystem id the effective one.
fn filesystem_ids_of_their_own_are_kept(stage: &Stage) {
    in_child(|| {
        become_capable([0, BOB.uid, CAROL.uid], [0; 3]);
        set_fs_uid(ALICE.uid);
        go_through_a_login(stage, BOB);
    });
    for who in [ALICE, BOB, ROOT] {
        set_fs_uid(ALICE.uid);
        set_fs_gid(ALICE.gid);
        assert_eq!(ids(), [0, 0, 0, ALICE.uid, 0, 0, 0, ALICE.gid]);
        go_through_a_login(stage, who);
    }
}

/// Programs that are another user's by the file's mode. Their real id is kept in the saved one meanwhile.
fn a_caller_without_capabilities_returns_from_an_id_of_its_own(stage: &Stage) {
    let (a, b, c) = (ALICE, BOB, CAROL);
    for (uids, gids) in [
        ([b.uid, a.uid, a.uid], [a.gid; 3]),
        ([a.uid; 3], [b.gid, a.gid, a.gid]),
        ([0, a.uid, a.uid], [a.gid; 3]),
        ([b.uid, c.uid, a.uid], [b.gid, c.gid, a.gid]),
        ([b.uid, a.uid, c.uid], [b.gid, a.gid, c.gid]),
    ] {
        for go_through in [go_through_the_start, go_through_the_end] {
            in_child(|| {
                become_ids(uids, gids);
                stage.differs("ids-lost", || go_through(stage, a));
            });
            stage.log();
        }
    }
}

/// With the user's id the caller's effective uid would be root's for a moment, or its saved one would be lost. That
/// PR_SET_KEEPCAPS keeps its permitted capabilities does not make them effective.
fn ids_that_could_not_be_given_back_are_not_taken_on(stage: &Stage) {
    for (saved, keeps) in [(BOB.uid, false), (CAROL.uid, false), (BOB.uid, true)] {
        in_child(|| {
            become_ids([0, ALICE.uid, saved], [ALICE.gid; 3]);
            securebits::set_keepcaps(keeps).expect("a flag");
            let before = (ids(), live_session());
            let mut pam = stage.login(ALICE, &["session MODULE force"]);
            assert_eq!(pam.open(), SESSION_ERR);
            stage.assert_logged(ERROR, &["could not get its own ids or capabilities back"]);
            assert_eq!((ids(), live_session()), before);
        });
    }
}

/// The thread's own: effective, permitted and ambient.
fn capabilities() -> [CapsHashSet; 3] {
    [CapSet::Effective, CapSet::Permitted, CapSet::Ambient].map(|set| caps::read(None, set).expect("capabilities"))
}

/// The kernel takes all capabilities from a thread whose last uid 0 goes, capabilities(7): for the time of a call as root.
fn capabilities_that_would_be_lost_are_kept(stage: &Stage) {
    for gids in [[ALICE.gid; 3], [ALICE.gid, BOB.gid, BOB.gid]] {
        in_child(|| {
            become_capable([ALICE.uid; 3], gids);
            let before = (ids(), capabilities());
            assert_eq!(stage.login(ROOT, &["session MODULE force"]).open(), SESSION_ERR);
            stage.assert_logged(ERROR, &["could not get its own ids or capabilities back", "root"]);
            assert_eq!((ids(), capabilities()), before);
        });
    }
}

/// PR_SET_KEEPCAPS, prctl(2): the kernel takes none, so there is a way back.
fn a_caller_who_keeps_capabilities_is_not_refused(stage: &Stage) {
    for (uids, who) in [([ALICE.uid; 3], ROOT), ([0, ALICE.uid, BOB.uid], ALICE), ([0, BOB.uid, BOB.uid], ALICE)] {
        in_child(|| {
            become_capable(uids, [ALICE.gid; 3]);
            securebits::set_keepcaps(true).expect("a flag");
            let before = capabilities();
            stage.may_differ((uids[1] != uids[2]).then_some("ids-lost"), || go_through_the_start(stage, who));
            assert_eq!(capabilities(), before);
        });
    }
}

/// SECBIT_NO_SETUID_FIXUP, capabilities(7).
fn a_caller_whose_capabilities_do_not_depend_on_uids_is_not_refused(stage: &Stage) {
    in_child(|| {
        keep_capabilities_whatever_the_uids();
        become_capable([ALICE.uid; 3], [ALICE.gid; 3]);
        let before = capabilities();
        go_through_the_start(stage, ROOT);
        assert_eq!(capabilities(), before);
    });
}

fn a_capable_caller_keeps_its_ids_and_capabilities(stage: &Stage) {
    for (uids, gids, entry) in [
        ([ALICE.uid; 3], [ALICE.gid; 3], Some("saved-gid")),
        ([ROOT.uid, ALICE.uid, 0], [ALICE.gid; 3], Some("ids-lost")),
        ([ROOT.uid, BOB.uid, ALICE.uid], [ALICE.gid; 3], Some("ids-lost")),
        ([FRANK.uid, ALICE.uid, ALICE.uid], [FRANK.gid, ALICE.gid, ALICE.gid], None),
        ([LAST.uid; 3], [LAST.gid; 3], Some("saved-gid")),
    ] {
        in_child(|| {
            become_capable(uids, gids);
            let before = capabilities();
            stage.may_differ(entry, || {
                go_through_a_login(stage, BOB);
                assert_eq!(capabilities(), before);
            });
        });
        stage.log(); // what the C module says of the ids that it has lost
    }
}

fn the_parent_death_signal_and_the_dumpable_flag_stay(stage: &Stage) {
    in_child(|| {
        set_flags();
        assert_eq!(flags(), SET);
        go_through_the_start(stage, ALICE);
        assert_eq!(flags(), SET);
        let mut pam = stage.login(ALICE, &["session MODULE force revoke"]);
        assert_eq!([pam.open(), pam.close()], [SUCCESS; 2]);
        stage.differs("parent-death-signal", || assert_eq!(flags(), SET));
    });
}

/// The effective gid need not be changed for the way back, which would clear them.
fn they_stay_with_a_caller_whose_effective_gid_is_the_user_s(stage: &Stage) {
    in_child(|| {
        become_ids([0; 3], [0, ALICE.gid, 0]);
        set_flags();
        let mut pam = stage.login(ALICE, &["session MODULE force"]);
        assert_eq!(pam.open(), SUCCESS);
        assert_eq!(flags(), SET);
    });
}
