// SPDX-License-Identifier: MIT
//! What each function returns and does (contract, section 1).

use crate::Stage;
use crate::stage::{ALICE, ERROR, NOTICE, assert_own_keyring, assert_revoked, live_session, with_real_ids};
use crate::support::keys;
use crate::support::pam::{
    CRED_ERR, DELETE, ESTABLISH, IGNORE, MODULE_UNKNOWN, REFRESH, REINITIALIZE, SILENT, SUCCESS,
};
use crate::support::seccomp::{keyctl, refuse};

cases! {
    Anyone:
        open_makes_a_session_keyring_and_close_revokes_it
        establish_makes_a_session_keyring
        a_keyring_of_establish_ends_with_the_last_session
        the_line_of_a_close_counts
        no_flag_is_establish
        delete_revokes_at_once
        delete_is_ignored_without_a_keyring_or_without_revoke
        renewing_credentials_is_ignored
        authenticate_is_ignored
        there_is_no_account_and_no_password_function
        silent_changes_nothing
        close_without_open_succeeds_and_is_not_counted
        an_error_of_establish_is_a_credential_error;
    Root:
        delete_that_fails_is_a_credential_error;
}

const AUTH: &str = "auth MODULE force revoke";
const SESSION: &str = "session MODULE force revoke";

fn open_makes_a_session_keyring_and_close_revokes_it(stage: &Stage) {
    let mut pam = stage.session("revoke");
    assert_eq!(pam.open(), SUCCESS);
    let keyring = assert_own_keyring(stage.user);
    assert_eq!(pam.close(), SUCCESS);
    assert_revoked(keyring);
    stage.assert_silent();
}

fn establish_makes_a_session_keyring(stage: &Stage) {
    let mut pam = stage.login(stage.user, &[AUTH]);
    assert_eq!(pam.setcred(ESTABLISH), SUCCESS);
    assert_own_keyring(stage.user);
    stage.assert_silent();
}

fn a_keyring_of_establish_ends_with_the_last_session(stage: &Stage) {
    let mut pam = stage.login(stage.user, &[AUTH, SESSION]);
    assert_eq!(pam.setcred(ESTABLISH), SUCCESS);
    let keyring = assert_own_keyring(stage.user);
    assert_eq!(pam.open(), SUCCESS);
    assert_eq!(live_session(), keyring, "one keyring for both");
    assert_eq!(pam.close(), SUCCESS);
    assert_revoked(keyring);
}

fn the_line_of_a_close_counts(stage: &Stage) {
    let mut pam = stage.login(stage.user, &["auth MODULE force", "session MODULE revoke"]);
    assert_eq!(pam.setcred(ESTABLISH), SUCCESS);
    let keyring = assert_own_keyring(stage.user);
    assert_eq!(pam.close(), SUCCESS);
    stage.differs("close-counts", || assert_revoked(keyring));
}

fn no_flag_is_establish(stage: &Stage) {
    let mut pam = stage.login(stage.user, &[AUTH]);
    assert_eq!(pam.setcred(0), SUCCESS);
    assert_own_keyring(stage.user);
}

fn delete_revokes_at_once(stage: &Stage) {
    let mut pam = stage.login(stage.user, &[AUTH, SESSION]);
    assert_eq!(pam.open(), SUCCESS);
    let keyring = live_session();
    assert_eq!(pam.setcred(DELETE), SUCCESS);
    assert_revoked(keyring);
    assert_eq!(pam.setcred(DELETE), IGNORE, "there is nothing left to delete");
    assert_eq!(pam.close(), SUCCESS);
}

fn delete_is_ignored_without_a_keyring_or_without_revoke(stage: &Stage) {
    let before = live_session();
    let mut pam = stage.login(stage.user, &["auth MODULE force"]);
    assert_eq!(pam.setcred(DELETE), IGNORE);
    assert_eq!(live_session(), before);
    assert_eq!(pam.setcred(ESTABLISH), SUCCESS);
    let keyring = assert_own_keyring(stage.user);
    assert_eq!(pam.setcred(DELETE), IGNORE);
    assert_eq!(live_session(), keyring);
}

/// The thread possesses the keyring no longer when it has joined another.
fn delete_that_fails_is_a_credential_error(stage: &Stage) {
    let mut pam = stage.login(ALICE, &[AUTH]);
    assert_eq!(pam.setcred(ESTABLISH), SUCCESS);
    keys::join(None).expect("a keyring");
    assert_eq!(pam.setcred(DELETE), CRED_ERR);
    stage.assert_logged(ERROR, &["KEYCTL_REVOKE", "EACCES", "another keyring was joined since"]);
}

fn renewing_credentials_is_ignored(stage: &Stage) {
    let mut pam = stage.login(stage.user, &[AUTH, SESSION]);
    let before = live_session();
    for flags in [REINITIALIZE, REFRESH, REINITIALIZE | REFRESH, 0x20] {
        assert_eq!(pam.setcred(flags), IGNORE);
        assert_eq!(live_session(), before);
    }
    assert_eq!(pam.open(), SUCCESS);
    let keyring = live_session();
    for flags in [REINITIALIZE, REFRESH] {
        assert_eq!(pam.setcred(flags), IGNORE);
        assert_eq!(live_session(), keyring);
    }
    stage.assert_silent();
}

/// It does not even read the line: what `force` there asks for does not count.
fn authenticate_is_ignored(stage: &Stage) {
    let own = with_real_ids(stage.user, || keys::join(None).expect("a keyring"));
    let mut pam = stage.login(stage.user, &["auth MODULE force unknown", "session MODULE"]);
    assert_eq!(pam.authenticate(), IGNORE);
    assert_eq!(live_session(), own);
    assert_eq!(pam.open(), SUCCESS);
    assert_eq!(live_session(), own);
    stage.assert_silent();
}

fn there_is_no_account_and_no_password_function(stage: &Stage) {
    let mut pam = stage.login(stage.user, &["account MODULE", "password MODULE"]);
    assert_eq!(pam.acct_mgmt(), MODULE_UNKNOWN);
    assert_eq!(pam.chauthtok(), MODULE_UNKNOWN);
}

fn silent_changes_nothing(stage: &Stage) {
    let mut pam = stage.login(stage.user, &[AUTH, SESSION]);
    assert_eq!(pam.setcred(ESTABLISH | SILENT), SUCCESS);
    let keyring = assert_own_keyring(stage.user);
    assert_eq!(pam.open_with(SILENT), SUCCESS);
    assert_eq!(live_session(), keyring);
    assert_eq!(pam.setcred(REFRESH | SILENT), IGNORE);
    assert_eq!(pam.close_with(SILENT), SUCCESS);
    assert_revoked(keyring);
    assert_eq!(pam.open_with(SILENT), SUCCESS);
    let keyring = live_session();
    assert_eq!(pam.setcred(DELETE | SILENT), SUCCESS);
    assert_revoked(keyring);
}

fn close_without_open_succeeds_and_is_not_counted(stage: &Stage) {
    let before = live_session();
    let mut pam = stage.session("force revoke");
    assert_eq!([pam.close(), pam.close()], [SUCCESS; 2]);
    stage.assert_logged(NOTICE, &["no session was opened on this handle"]);
    assert_eq!(live_session(), before);
    assert_eq!(pam.open(), SUCCESS);
    let keyring = assert_own_keyring(stage.user);
    assert_eq!(pam.close(), SUCCESS);
    assert_revoked(keyring);
    stage.assert_silent();
    let mut pam = stage.session("");
    assert_eq!(pam.close(), SUCCESS);
    stage.assert_silent();
}

fn an_error_of_establish_is_a_credential_error(stage: &Stage) {
    refuse(&[keyctl(libc::KEYCTL_JOIN_SESSION_KEYRING)], libc::ENOMEM);
    let mut pam = stage.login(stage.user, &[AUTH]);
    assert_eq!(pam.setcred(ESTABLISH), CRED_ERR);
    stage.assert_logged(ERROR, &["KEYCTL_JOIN_SESSION_KEYRING", "ENOMEM"]);
}
