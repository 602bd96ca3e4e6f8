// SPDX-License-Identifier: MIT
//! The module in the stacks of distributions, among the modules that stand there, and before one that stores keys.

use std::path::Path;

use crate::Stage;
use crate::stage::sessions::{Caller, with_pam_d};
use crate::stage::store::pam_store;
use crate::stage::{ALICE, session};
use crate::support::keys;
use crate::support::pam::{DELETE, ESTABLISH, Pam, SESSION_ERR, SUCCESS};

cases! {
    Root:
        debian_runs_it_before_what_is_for_all_services
        fedora_runs_it_twice_through_an_include
        fedora_runs_it_for_cron_through_an_include
        arch_runs_it_in_system_login
        opensuse_runs_it_in_common_session
        nixos_keeps_the_keyring_of_the_display_manager
        systemd_runs_it_for_user_managers
        gentoo_does_not_run_it
        a_key_stored_before_it_is_not_in_the_session
        a_last_line_with_revoke_lets_the_other_modules_close_first
        an_auth_line_is_there_for_what_is_stored_in_setcred
        without_an_auth_line_what_is_stored_in_setcred_is_lost;
}

/// What a login has brought about.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Login {
    /// Whose keyring the session has.
    keyring: Whose,
    /// The keys that the other module has stored in it.
    keys: Vec<&'static str>,
    /// Whether that module still had its key when its close came.
    key_at_close: bool,
    revoked: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Whose {
    Users,
    Callers,
}

/// As it is with `force revoke` before the other modules: they lose their keys before they close.
fn users() -> Login {
    Login { keyring: Whose::Users, keys: vec!["of-open"], key_at_close: false, revoked: true }
}

/// As it is without the module, or with `revoke` where the caller has a session keyring.
fn callers() -> Login {
    Login { keyring: Whose::Callers, keys: vec!["of-open"], key_at_close: true, revoked: false }
}

fn debian_runs_it_before_what_is_for_all_services(stage: &Stage) {
    let login = "
        auth       required   pam_permit.so
        session [success=ok ignore=ignore module_unknown=ignore default=bad] pam_selinux.so close
        session    required   pam_loginuid.so
        session [success=ok ignore=ignore module_unknown=ignore default=bad] pam_selinux.so open
        session    required   pam_env.so readenv=1
        session    required   pam_limits.so
        session    optional   pam_keyinit.so force revoke
        @include common-session";
    let common = "
        session    [default=1]  pam_permit.so
        session    requisite    pam_deny.so
        session    required     pam_permit.so
        session    required     pam_unix.so
        session    required     pam_store.so
        -session   optional     pam_systemd.so";
    let files = [("login", login), ("common-session", common)];
    assert_logins(stage, &files, [users(), users()]);
}

/// What Fedora's authselect writes.
const SYSTEM_AUTH: &str = "
        auth       required   pam_permit.so
        session    optional   pam_keyinit.so revoke
        session    required   pam_limits.so
        -session   optional   pam_systemd.so
        session    [success=1 default=ignore] pam_succeed_if.so service in crond quiet use_uid
        session    required   pam_unix.so";

/// The other module stands between the two lines: the second makes no further keyring.
fn fedora_runs_it_twice_through_an_include(stage: &Stage) {
    let sshd = "
        auth       substack   system-auth
        session    required   pam_selinux.so close
        session    required   pam_loginuid.so
        session    required   pam_selinux.so open env_params
        session    required   pam_namespace.so
        session    optional   pam_keyinit.so force revoke
        session    required   pam_store.so
        session    include    system-auth";
    let files = [("sshd", sshd), ("system-auth", SYSTEM_AUTH)];
    // The second line ends it: what stands between them closes first.
    let expected = Login { key_at_close: true, ..users() };
    assert_logins(stage, &files, [expected.clone(), expected]);
}

/// Under systemd cron has a session keyring, and its jobs stay in it.
fn fedora_runs_it_for_cron_through_an_include(stage: &Stage) {
    let crond = "
        auth       include    system-auth
        session    required   pam_loginuid.so
        session    include    system-auth
        session    required   pam_store.so";
    let files = [("crond", crond), ("system-auth", SYSTEM_AUTH)];
    assert_logins(stage, &files, [users(), callers()]);
}

fn arch_runs_it_in_system_login(stage: &Stage) {
    let login = "
        auth       include    system-login
        session    include    system-login";
    let system_login = "
        auth       required   pam_permit.so
        session    optional   pam_loginuid.so
        session    optional   pam_keyinit.so force revoke
        session    include    system-auth
        session    optional   pam_motd.so
        session    optional   pam_umask.so
        -session   optional   pam_systemd.so
        session    required   pam_env.so";
    let system_auth = "
        session    required   pam_limits.so
        session    required   pam_unix.so
        session    required   pam_store.so
        session    optional   pam_permit.so";
    let files = [("login", login), ("system-login", system_login), ("system-auth", system_auth)];
    assert_logins(stage, &files, [users(), users()]);
}

fn opensuse_runs_it_in_common_session(stage: &Stage) {
    let login = "
        auth       required   pam_permit.so
        session    required   pam_loginuid.so
        session    include    common-session";
    let common = "
        session    optional   pam_keyinit.so revoke
        session    required   pam_limits.so
        session    required   pam_unix.so try_first_pass
        session    required   pam_store.so
        session    optional   pam_umask.so
        session    optional   pam_env.so";
    let files = [("login", login), ("common-session", common)];
    assert_logins(stage, &files, [users(), callers()]);
}

/// A bug of theirs: the user is left in the keyring of the display manager.
fn nixos_keeps_the_keyring_of_the_display_manager(stage: &Stage) {
    let lightdm = "
        auth       required   pam_permit.so
        session    required   pam_env.so
        session    required   pam_unix.so
        session    required   pam_loginuid.so
        session    optional   pam_keyinit.so revoke
        session    required   pam_store.so
        -session   optional   pam_systemd.so";
    assert_logins(stage, &[("lightdm", lightdm)], [users(), callers()]);
}

fn systemd_runs_it_for_user_managers(stage: &Stage) {
    let systemd_user = "
        auth       required   pam_permit.so
        session    required   pam_selinux.so close
        session    required   pam_selinux.so nottys open
        session    required   pam_loginuid.so
        session    optional   pam_keyinit.so force revoke
        session    required   pam_namespace.so
        session    optional   pam_umask.so silent
        session    required   pam_store.so
        -session   optional   pam_systemd.so";
    assert_logins(stage, &[("systemd-user", systemd_user)], [users(), users()]);
}

fn gentoo_does_not_run_it(stage: &Stage) {
    let login = "
        auth       required   pam_permit.so
        session    required   pam_limits.so
        session    required   pam_unix.so
        session    required   pam_store.so";
    assert_logins(stage, &[("login", login)], [callers(), callers()]);
}

fn a_key_stored_before_it_is_not_in_the_session(stage: &Stage) {
    let login = "
        auth       required   pam_permit.so
        session    required   pam_store.so
        session    optional   pam_keyinit.so force";
    let expected = Login { keys: vec![], revoked: false, ..users() };
    assert_logins(stage, &[("login", login)], [expected.clone(), expected]);
}

/// Modules close in the order in which they open.
fn a_last_line_with_revoke_lets_the_other_modules_close_first(stage: &Stage) {
    let login = "
        auth       required   pam_permit.so
        session    required   pam_loginuid.so
        session    optional   pam_keyinit.so force
        session    required   pam_unix.so
        session    required   pam_store.so
        session    optional   pam_keyinit.so revoke";
    let expected = Login { key_at_close: true, ..users() };
    assert_logins(stage, &[("login", login)], [expected.clone(), expected]);
}

fn an_auth_line_is_there_for_what_is_stored_in_setcred(stage: &Stage) {
    let gdm = "
        auth       required   pam_permit.so
        auth       optional   pam_keyinit.so force revoke
        auth       optional   pam_store.so
        session    optional   pam_keyinit.so force revoke
        session    required   pam_store.so";
    let expected = Login { keys: vec!["of-setcred", "of-open"], ..users() };
    assert_logins(stage, &[("gdm-password", gdm)], [expected.clone(), expected]);
}

fn without_an_auth_line_what_is_stored_in_setcred_is_lost(stage: &Stage) {
    let gdm = "
        auth       required   pam_permit.so
        auth       optional   pam_store.so
        session    optional   pam_keyinit.so force revoke
        session    required   pam_store.so";
    assert_logins(stage, &[("gdm-password", gdm)], [users(), users()]);
}

/// Logs alice in to the service of the first of these files, from a caller without a session keyring and from one with it,
/// as gdm, sshd and login do: with pam_setcred(3) before pam_open_session(3).
#[track_caller]
fn assert_logins(stage: &Stage, files: &[(&str, &str)], expected: [Login; 2]) {
    drop(stage.install());
    let path = pam_store(stage).display().to_string();
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.replace("pam_store.so", &path))).collect();
    for (caller, expected) in [Caller::WithoutKeyring, Caller::WithKeyring].into_iter().zip(expected) {
        with_pam_d(stage, &files, caller, || {
            let mut pam = Pam::start(Path::new("/etc/pam.d"), files[0].0, Some(ALICE.name.as_bytes()));
            assert_eq!([pam.authenticate(), pam.setcred(ESTABLISH), pam.open()], [SUCCESS; 3]);
            assert_eq!(go_through(&mut pam), expected, "{caller:?}");
            let runs = files.iter().any(|(_, text)| text.contains("pam_keyinit.so"));
            if runs && caller == Caller::WithKeyring && expected.keyring == Whose::Callers {
                stage.assert_told_of_roots_keyring();
            } else {
                stage.assert_silent();
            }
        });
    }
}

/// What the session is like, and what its end does.
fn go_through(pam: &mut Pam) -> Login {
    let description = keys::describe(keys::SESSION).expect("a session keyring");
    let names = keys::link_names(keys::SESSION).expect("a session keyring");
    let users = format!("_uid.{}", ALICE.uid);
    let keyring = if (description.uid, description.gid) == (ALICE.uid, ALICE.gid) && names.contains(&users) {
        Whose::Users
    } else {
        Whose::Callers
    };
    let keys = ["of-setcred", "of-open"].into_iter().filter(|key| names.iter().any(|name| name == key)).collect();
    let close = pam.close();
    assert!(matches!(close, SUCCESS | SESSION_ERR), "{close}");
    let revoked = session() == Err(libc::EKEYREVOKED);
    pam.setcred(DELETE);
    Login { keyring, keys, key_at_close: close == SUCCESS, revoked }
}
