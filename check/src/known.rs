// SPDX-License-Identifier: MIT
//! What is known of programs and modules: who logs people in, and who keeps keys.

use std::fs;

use crate::control::{Answer, BUF_ERR, CRED_ERR, PERM_DENIED, SESSION_ERR, SUCCESS, USER_UNKNOWN};
use crate::directive::{Module, Type};
use crate::krb5::Krb5;
use crate::tree::Tree;

/// The words of pam_keyinit, as in src/options.rs of the module.
pub const WORDS: [&str; 6] = ["debug", "force", "own", "user-session", "revoke", "clear"];
/// Those that the C module does not know.
pub const OUR_WORDS: [&str; 3] = ["own", "user-session", "clear"];

/// A name that this project's file has in it, and the C module's has not.
const OURS: &[u8] = b"pam_keyinit.rs";

/// Whether the file of a pam_keyinit is there and is the C module.
pub fn is_c_module(tree: &Tree, path: &str) -> bool {
    let bytes = tree.module(path).and_then(|file| fs::read(file).ok());
    bytes.is_some_and(|bytes| !bytes.windows(OURS.len()).any(|window| window == OURS))
}

/// Who starts a program that logs people in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Starter {
    /// A daemon, which under systemd has a session keyring of its own.
    Daemon,
    /// Somebody who is logged in, and whose keyring it has.
    Caller,
}

/// Services that log people in, by their names or, with `*`, the beginnings of them.
const DAEMONS: [&str; 26] = [
    "sshd",
    "login",
    "remote",
    "gdm-*",
    "sddm",
    "sddm-autologin",
    "lightdm",
    "lightdm-autologin",
    "lxdm",
    "xdm",
    "kde",
    "ly",
    "greetd",
    "xrdp-sesman",
    "cron",
    "crond",
    "atd",
    "systemd-user",
    "cockpit",
    "vsftpd",
    "ftp",
    "rexec",
    "rlogin",
    "rsh",
    "mosh",
    "jupyterhub",
];
const CALLERS: [&str; 3] = ["su-l", "runuser-l", "sudo-i"];
/// They may well go on with their caller's keys.
const KEEPERS: [&str; 3] = ["su", "sudo", "runuser"];
/// They open the session before they call pam_setcred(3), or do not call it.
const SESSION_FIRST: [&str; 1] = ["atd"];

/// Who starts the service, if it is known to log people in, to whom a keyring of their own is due.
pub fn login(service: &str) -> Option<Starter> {
    let named = |names: &[&str]| {
        names
            .iter()
            .any(|name| name.strip_suffix('*').map_or(*name == service, |beginning| service.starts_with(beginning)))
    };
    match service {
        _ if named(&DAEMONS) => Some(Starter::Daemon),
        _ if named(&CALLERS) => Some(Starter::Caller),
        _ => None,
    }
}

/// Whether somebody who is logged in starts it.
pub fn has_caller(service: &str) -> bool {
    CALLERS.contains(&service) || KEEPERS.contains(&service)
}

/// Whether the service is one that people know, and no file that others include.
pub fn is_program(service: &str) -> bool {
    login(service).is_some() || KEEPERS.contains(&service)
}

/// Whether the program calls pam_setcred(3) before it opens the session.
pub fn sets_credentials_first(service: &str) -> bool {
    login(service) == Some(Starter::Daemon) && !SESSION_FIRST.contains(&service)
}

/// Modules that store a Kerberos ticket, where krb5.conf has the session keyring for it.
const KERBEROS: [&str; 4] = ["pam_krb5.so", "pam_sss.so", "pam_winbind.so", "pam_himmelblau.so"];
/// Others that store keys in the session keyring in pam_setcred(3).
const AT_SETCRED: [&str; 1] = ["pam_afs_session.so"];
/// Others that store keys in it, or look for them there, when a session is opened.
const AT_OPEN: [&str; 6] =
    ["pam_afs_session.so", "pam_fscrypt.so", "pam_ecryptfs.so", "pam_cifscreds.so", "pam_e4crypt.so", "pam_kafs.so"];
/// Of these, those that look for their keys when it is closed.
const AT_CLOSE: [&str; 4] = ["pam_afs_session.so", "pam_fscrypt.so", "pam_ecryptfs.so", "pam_kafs.so"];

/// Whether the module keeps keys in the session keyring in this stack.
pub fn stores_keys(module: &Module, kind: Type, krb5: &Krb5) -> bool {
    let name = module.name();
    match kind {
        Type::Auth => AT_SETCRED.contains(&name) || (KERBEROS.contains(&name) && krb5.may_be_session_keyring(module)),
        // The others of Kerberos have a daemon store their tickets.
        Type::Session => AT_OPEN.contains(&name) || (name == "pam_krb5.so" && krb5.may_be_session_keyring(module)),
        _ => false,
    }
}

/// Whether it needs the keyring when the session is closed.
pub fn closes_with_keys(module: &Module, krb5: &Krb5) -> bool {
    AT_CLOSE.contains(&module.name()) || (module.name() == "pam_krb5.so" && krb5.may_be_session_keyring(module))
}

/// What a module may answer, where that is known: as little as serves to see what is never reached.
pub fn answers(module: &Module) -> Vec<Answer> {
    match module.name() {
        "pam_permit.so" => vec![SUCCESS],
        "pam_deny.so" => vec![PERM_DENIED, SESSION_ERR, CRED_ERR],
        _ => (0..crate::control::ANSWERS.len()).collect(),
    }
}

/// What pam_keyinit answers where it could not do what it is for.
pub fn failures(kind: Type) -> [Answer; 3] {
    [if kind == Type::Auth { CRED_ERR } else { SESSION_ERR }, USER_UNKNOWN, BUF_ERR]
}

/// What modules answer in a login in which all goes well, where that is not PAM_SUCCESS.
pub fn usual_answer(module: &Module, service: &str) -> Answer {
    match module.name() {
        "pam_deny.so" => PERM_DENIED,
        "pam_succeed_if.so" => match condition(module, service) {
            Some(false) => PERM_DENIED,
            _ => SUCCESS,
        },
        _ => SUCCESS,
    }
}

/// What a condition of pam_succeed_if(8) on the service says.
fn condition(module: &Module, service: &str) -> Option<bool> {
    let words = module.arguments.windows(3).find(|words| words.first().is_some_and(|word| word == "service"))?;
    let [_, operator, value] = words else { return None };
    let among = || value.split(':').any(|name| name == service);
    match &**operator {
        "in" => Some(among()),
        "notin" => Some(!among()),
        "=" => Some(value == service),
        "!=" => Some(value != service),
        _ => None,
    }
}
