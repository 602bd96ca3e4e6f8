// SPDX-License-Identifier: MIT
//! The words of a configuration line (contract, section 4).

use crate::Stage;
use crate::stage::{DEBUG, WARNING, assert_own_keyring, assert_revoked, live_session, with_real_ids};
use crate::support::keys;
use crate::support::pam::{ESTABLISH, IGNORE, REFRESH, REINITIALIZE, SUCCESS};

cases! {
    Anyone:
        words_are_exact
        an_unknown_argument_is_ignored_and_named_once
        every_unknown_argument_is_named => "unknown-argument"
        an_argument_cannot_forge_a_line_of_the_log
        what_one_line_asks_for_counts_for_the_others
        a_line_that_renews_credentials_counts
        nothing_carries_over_to_another_handle => "nothing-carries-over"
        without_revoke_another_handle_revokes_nothing => "nothing-carries-over"
        debug_tells_what_is_done => "debug-lines"
        without_debug_a_login_leaves_the_log_alone;
}

fn words_are_exact(stage: &Stage) {
    let own = with_real_ids(stage.user, || keys::join(None).expect("a keyring"));
    for word in ["Force", "FORCE", "forc", "forced", "force=1", "force,revoke", "forc\u{e9}", "-force"] {
        assert_eq!(stage.session(word).open(), SUCCESS);
        assert_eq!(live_session(), own, "{word:?} is not force");
        stage.assert_logged(WARNING, &["unknown argument", "is ignored"]);
    }
    for word in ["Revoke", "revok", "revoked"] {
        let mut pam = stage.session(&format!("force {word}"));
        assert_eq!([pam.open(), pam.close()], [SUCCESS; 2]);
        assert_own_keyring(stage.user);
        stage.assert_logged(WARNING, &["unknown argument", word]);
    }
}

fn an_unknown_argument_is_ignored_and_named_once(stage: &Stage) {
    let mut pam = stage.login(stage.user, &["auth MODULE fast", "session MODULE force fast revoke"]);
    assert_eq!(pam.setcred(ESTABLISH), SUCCESS);
    stage.assert_logged(WARNING, &["pam_keyinit(keyinit-test:setcred): unknown argument \"fast\" is ignored"]);
    assert_eq!([pam.open(), pam.close(), pam.open(), pam.close()], [SUCCESS; 4]);
    stage.assert_silent();
}

fn every_unknown_argument_is_named(stage: &Stage) {
    let mut pam = stage.login(stage.user, &["auth MODULE one", "session MODULE two A one D a"]);
    assert_eq!([pam.setcred(ESTABLISH), pam.open()], [SUCCESS; 2]);
    let named: Vec<String> = stage.log().into_iter().map(|line| line.text).collect();
    assert_eq!(named.len(), 5, "{named:?}");
    for (line, word) in named.iter().zip(["\"one\"", "\"two\"", "\"A\"", "\"D\"", "\"a\""]) {
        assert!(line.contains(word), "{line}");
    }
}

fn an_argument_cannot_forge_a_line_of_the_log(stage: &Stage) {
    let long = "x".repeat(900);
    for (word, shown) in [
        ("[a\tb]", "\"a\\x09b\""),
        ("\u{1b}[31mred", "\"\\x1b[31mred\""),
        ("back\\slash", "\"back\\x5cslash\""),
        ("quo\"te", "\"quo\\x22te\""),
        ("caf\u{e9}", "\"caf\\xc3\\xa9\""),
        ("%s%n%x", "\"%s%n%x\""),
        (&long, &format!("\"{}...\"", "x".repeat(64))),
    ] {
        assert_eq!(stage.session(word).open(), SUCCESS);
        stage.assert_logged(WARNING, &[shown]);
    }
}

fn what_one_line_asks_for_counts_for_the_others(stage: &Stage) {
    let own = keys::join(None).expect("a keyring");
    let mut pam = stage.login(stage.user, &["auth MODULE force", "session MODULE revoke"]);
    assert_eq!(pam.setcred(ESTABLISH), SUCCESS);
    let keyring = assert_own_keyring(stage.user);
    assert_ne!(keyring, own);
    assert_eq!([pam.open(), pam.close()], [SUCCESS; 2]);
    assert_revoked(keyring);
    stage.differs("force-counts", || {
        assert_eq!(pam.open(), SUCCESS, "force still counts");
        assert_own_keyring(stage.user);
    });
}

fn a_line_that_renews_credentials_counts(stage: &Stage) {
    for renew in [REFRESH, REINITIALIZE] {
        let own = with_real_ids(stage.user, || keys::join(None).expect("a keyring"));
        let mut pam = stage.login(stage.user, &["auth MODULE force", "session MODULE"]);
        assert_eq!([pam.open(), pam.setcred(renew)], [SUCCESS, IGNORE]);
        assert_eq!(live_session(), own, "nobody has asked for force yet");
        assert_eq!(pam.open(), SUCCESS);
        stage.differs("force-counts", || assert_ne!(assert_own_keyring(stage.user), own));
    }
}

fn nothing_carries_over_to_another_handle(stage: &Stage) {
    let mut first = stage.session("force revoke debug");
    assert_eq!(first.open(), SUCCESS);
    let keyring = assert_own_keyring(stage.user);
    stage.log();
    let mut second = stage.session("");
    assert_eq!([second.open(), second.close()], [SUCCESS; 2]);
    assert_eq!(live_session(), keyring, "not forced, not revoked");
    stage.assert_silent();
    assert_eq!(first.close(), SUCCESS);
    assert_revoked(keyring);
}

/// The first line of the service has no `revoke`: what the handle before had asked for is over.
fn without_revoke_another_handle_revokes_nothing(stage: &Stage) {
    let mut first = stage.session("force revoke");
    assert_eq!(first.open(), SUCCESS);
    let mut second = stage.session("force");
    assert_eq!([first.close(), second.open()], [SUCCESS; 2]);
    let keyring = assert_own_keyring(stage.user);
    assert_eq!(second.close(), SUCCESS);
    assert_eq!(assert_own_keyring(stage.user), keyring);
}

fn debug_tells_what_is_done(stage: &Stage) {
    let mut pam = stage.session("debug revoke");
    assert_eq!(pam.open(), SUCCESS);
    let keyring = live_session();
    stage.assert_logged(
        DEBUG,
        &[&format!("pam_keyinit(keyinit-test:session): made session keyring {keyring} (user \"{}\")", stage.user.name)],
    );
    assert_eq!(pam.close(), SUCCESS);
    stage.assert_logged(DEBUG, &[&format!("revoked session keyring {keyring}")]);
    stage.differs("open-again", || {
        assert_eq!(pam.open(), SUCCESS, "the keyring is dead");
        stage.assert_logged(DEBUG, &["the session keyring was dead, made session keyring"]);
    });
    with_real_ids(stage.user, || keys::join(None).expect("a keyring"));
    assert_eq!(stage.session("debug").open(), SUCCESS);
    stage.assert_logged(DEBUG, &["the process has and keeps session keyring"]);
}

fn without_debug_a_login_leaves_the_log_alone(stage: &Stage) {
    for arguments in ["", "force", "revoke", "force revoke"] {
        let mut pam = stage.session(arguments);
        assert_eq!([pam.open(), pam.close()], [SUCCESS; 2]);
    }
    stage.assert_silent();
}
