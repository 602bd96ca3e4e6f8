// SPDX-License-Identifier: MIT
//! In which keyring a process runs, and what is the matter with it.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use crate::keyctl;

/// What the session keyring of a process is.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The user's own, and it leads to the user keyring.
    Own,
    /// The same, of all the user's sessions with `user-session`.
    Shared,
    /// The user's own, and it does not lead there.
    Unlinked,
    /// Root's, and the user is another.
    Daemons,
    /// Of another user than root.
    AnotherUsers,
    /// The user-session keyring: the process has none of its own.
    UserSession,
    /// Revoked.
    Revoked,
    /// Expired.
    Expired,
    /// Invalidated.
    Gone,
    /// A filter, or a kernel without it, forbids keyctl(2).
    Forbidden,
    /// There is one, at which a security module does not let the process look.
    Unreadable,
    /// A process's session keyring is known to itself alone.
    Unknown,
}

/// What is known of a process.
#[derive(Clone, Serialize, Debug)]
pub struct Session {
    /// Its number.
    pub pid: u32,
    /// Its real uid.
    pub uid: u32,
    /// What its session keyring is.
    pub state: State,
    /// What that means.
    pub message: String,
    /// What to do; empty if nothing.
    pub advice: String,
    /// Keys and bytes of the user: used, and how many there may be. Nothing where the user has no key here.
    pub quota: Option<[u32; 4]>,
}

impl Session {
    /// Whether there is something to do.
    pub fn is_good(&self) -> bool {
        matches!(self.state, State::Own | State::Shared | State::Unknown) && !self.quota_is_full()
    }

    /// No room for a session keyring more.
    fn quota_is_full(&self) -> bool {
        self.quota.is_some_and(|[keys, most_keys, bytes, most_bytes]| keys >= most_keys || bytes + 9 > most_bytes)
    }
}

/// Looks at this process, or at another one.
pub fn look(pid: Option<i32>) -> io::Result<Session> {
    let own = std::process::id();
    match pid {
        Some(pid) if u32::try_from(pid) != Ok(own) => another(pid),
        _ => {
            let uid = keyctl::uid();
            let (state, owner) = state(uid);
            let (message, advice) = words(state, owner);
            Ok(Session { pid: own, uid, state, message, advice, quota: quota(uid) })
        }
    }
}

/// What the session keyring of this process is, and its owner where that matters.
fn state(uid: u32) -> (State, u32) {
    let of_error = |error: &io::Error| match error.raw_os_error() {
        Some(libc::EKEYREVOKED) => State::Revoked,
        Some(libc::EKEYEXPIRED) => State::Expired,
        Some(libc::ENOKEY) => State::Gone,
        Some(libc::EACCES) => State::Unreadable,
        _ => State::Forbidden,
    };
    let session = match keyctl::id(keyctl::SESSION) {
        Ok(session) => session,
        Err(error) => return (of_error(&error), uid),
    };
    if keyctl::id(keyctl::USER_SESSION).is_ok_and(|user_session| user_session == session) {
        return (State::UserSession, uid);
    }
    let (owner, name) = match keyctl::describe(session) {
        Ok(description) => description,
        Err(error) => return (of_error(&error), uid),
    };
    // Anybody can give a keyring that name: so the id is compared.
    let user = keyctl::id(keyctl::USER).ok();
    let linked = user.is_some() && keyctl::search(session, &format!("_uid.{uid}")).ok() == user;
    let state = match owner {
        _ if owner == uid && linked && name == format!("_ses.{uid}") => State::Shared,
        _ if owner == uid && linked => State::Own,
        _ if owner == uid => State::Unlinked,
        0 => State::Daemons,
        _ => State::AnotherUsers,
    };
    (state, owner)
}

const NEW: &str = "log in anew, or: keyctl session - sh -c 'keyctl link @u @s; exec $SHELL'";

fn words(state: State, owner: u32) -> (String, String) {
    let (message, advice) = match state {
        State::Own => ("a session keyring of the user's own, which leads to the user keyring", ""),
        State::Shared => ("the session keyring that all sessions of the user with user-session share", ""),
        State::Unlinked => (
            "a session keyring of the user's own, which does not lead to the user keyring: programs do not find the user's keys",
            "keyctl link @u @s",
        ),
        State::Daemons => (
            "root's session keyring, as of a daemon that systemd has started: the user may find root's keys, and not the own ones",
            "write force or own in the service's line of pam_keyinit, then log in anew",
        ),
        State::AnotherUsers => {
            let message = format!("the session keyring of uid {owner}: keys are found and stored there");
            return (message, "write force or own in the service's line of pam_keyinit, then log in anew".to_owned());
        }
        State::UserSession => (
            "the user-session keyring, which all sessions of the user share that have none of their own",
            "if each is to have its own: a line of pam_keyinit, which pam_keyinit_check finds a place for",
        ),
        State::Revoked => ("a revoked session keyring (EKEYREVOKED): its login has ended, and no key is found", NEW),
        State::Expired => ("a session keyring that has expired (EKEYEXPIRED): no key is found", NEW),
        State::Gone => ("a session keyring that is gone (ENOKEY): no key is found", NEW),
        State::Forbidden => (
            "keyctl(2) is forbidden here: by a container's seccomp filter, or the kernel has no keyrings",
            "let the container's filter allow keyctl, add_key and request_key; or do without",
        ),
        State::Unreadable => (
            "a session keyring at which a security module does not let this process look (EACCES)",
            "with SELinux: the line of pam_keyinit below pam_selinux.so open",
        ),
        State::Unknown => ("", ""),
    };
    (message.to_owned(), advice.to_owned())
}

/// Of another process the kernel tells no session keyring: only what it may be.
fn another(pid: i32) -> io::Result<Session> {
    let process = Path::new("/proc").join(pid.to_string());
    let status = fs::read_to_string(process.join("status"))
        .map_err(|error| io::Error::new(error.kind(), format!("process {pid}: {error}")))?;
    let field = |name: &str| status.lines().find_map(|line| Some(line.strip_prefix(name)?.trim()));
    let uid = field("Uid:").and_then(|ids| ids.split_whitespace().next()?.parse().ok()).unwrap_or_default();
    let unit = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
    let unit = unit
        .lines()
        .find_map(|line| line.rsplit('/').find(|name| name.ends_with(".service") || name.ends_with(".scope")));
    let mut message = "the kernel shows the session keyring of a process to that process alone".to_owned();
    if let Some(unit) = unit.filter(|name| name.ends_with(".service") && !name.starts_with("user@")) {
        message.push_str(&format!("; it runs in {unit}, whose keyring is private unless KeyringMode= says otherwise"));
    } else if let Some(unit) = unit {
        message.push_str(&format!("; it runs in {unit}, so it has the keyring of that login"));
    }
    if field("Seccomp:") == Some("2") {
        message.push_str("; it has a seccomp filter, which may forbid keyctl(2)");
    }
    let same = |name: &str| fs::read_link(process.join("ns/user")).ok() == fs::read_link(Path::new(name)).ok();
    if !same("/proc/self/ns/user") {
        message.push_str("; it may be in another user namespace, which has user keyrings of its own");
    }
    let advice = "run pam_keyinit_check --session in that session, as its user".to_owned();
    let quota = quota(uid);
    Ok(Session { pid: pid.unsigned_abs(), uid, state: State::Unknown, message, advice, quota })
}

/// The user's line of /proc/key-users: "UID: usage keys/instantiated keys/most bytes/most".
fn quota(uid: u32) -> Option<[u32; 4]> {
    let users = fs::read_to_string("/proc/key-users").ok()?;
    let line = users.lines().find_map(|line| {
        let (user, rest) = line.split_once(':')?;
        (user.trim().parse() == Ok(uid)).then_some(rest)
    })?;
    let mut pairs = line.split_whitespace().skip(2).filter_map(|pair| pair.split_once('/'));
    let mut pair = || pairs.next().and_then(|(used, most)| Some([used.parse().ok()?, most.parse().ok()?]));
    let ([keys, most_keys], [bytes, most_bytes]) = (pair()?, pair()?);
    Some([keys, most_keys, bytes, most_bytes])
}

/// For people.
pub fn text(out: &mut impl Write, session: &Session) -> io::Result<()> {
    writeln!(out, "process {} of uid {}: {}", session.pid, session.uid, session.message)?;
    if let Some([keys, most_keys, bytes, most_bytes]) = session.quota {
        writeln!(out, "quota of uid {}: {keys} of {most_keys} keys, {bytes} of {most_bytes} bytes", session.uid)?;
    }
    if session.quota_is_full() {
        writeln!(
            out,
            "    do: look what fills it: keyctl show @u, and the user's lines in /proc/keys; drop what is left over; then only raise kernel.keys.maxkeys or maxbytes"
        )?;
    }
    if !session.advice.is_empty() {
        writeln!(out, "    do: {}", session.advice)?;
    }
    Ok(())
}
