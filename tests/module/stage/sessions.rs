// SPDX-License-Identifier: MIT
//! What two sessions of a user find in their keyrings, side by side and after the end of the first.

use std::fs;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::sched::{CloneFlags, unshare};

use super::probe::{Keyring, Process, Switchboard, View};
use super::program::{Program, Running};
use super::{Who, bind, in_child, time_limit};
use crate::Stage;
use crate::support::artefact;
use crate::support::keys::{self, Description};

/// The session keyring that a program is started in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caller {
    /// None of its own: as daemons have it without systemd.
    WithoutKeyring,
    /// One of root's: a service of systemd's, or an administrator who has logged in.
    WithKeyring,
}

/// Whatever can be seen of the two sessions except serial numbers, which are never the same.
#[derive(PartialEq, Eq, Debug)]
struct Account {
    views: [View; 2],
    one_keyring: bool,
    /// A key of the first session, as each of them finds it.
    finds: [Result<String, i32>; 2],
    left: Left,
    /// Whether the second session is as before then.
    second_goes_on: bool,
}

/// What is there, after the end of the first session, for a process that it left behind.
#[derive(PartialEq, Eq, Debug)]
struct Left {
    session: Result<(), i32>,
    /// The session's key, found as programs do, searched for in the session keyring, and read by its serial number.
    finds: Result<String, i32>,
    searches: Result<(), i32>,
    reads: bool,
    /// A key in the user keyring.
    finds_user_s: Result<String, i32>,
    /// A new key in the session keyring.
    adds: Result<String, i32>,
}

/// Runs a program in every way: with the module's line as Debian ships it and as others do, from a caller with a session
/// keyring and without, and with the module under test and the system's own, which must do the same but for `own` and
/// `clear`.
pub fn try_out(stage: &Stage, program: &Program) {
    try_with(stage, program, program.shipped, &[]);
    for arguments in ["force revoke", "revoke", "force", OWN_CLEAR].map(Some) {
        if arguments != program.shipped {
            let files = program.services.iter().map(|service| (*service, with_line(service, arguments)));
            try_with(stage, program, arguments, &files.collect::<Vec<_>>());
        }
    }
}

/// The two words that the C module ignores: a line with them works on either.
const OWN_CLEAR: &str = "own clear";

/// Runs a program with `files` in /etc/pam.d, which give the module these `arguments`.
pub fn try_with(stage: &Stage, program: &Program, arguments: Option<&str>, files: &[(&str, String)]) {
    let system = stage.directory.join("system.so");
    if !system.exists() {
        fs::copy(artefact::installed(), &system).expect("a file");
    }
    for caller in [Caller::WithoutKeyring, Caller::WithKeyring] {
        for module in [&stage.module, &system] {
            with_pam_d(stage, files, caller, || {
                let switchboard = stage.install();
                stage.put_in_place(module);
                let account = account(&switchboard, program);
                let title = format!("{} with {arguments:?}, {caller:?}, {}", program.name, module.display());
                let assert_is = |arguments| {
                    assert_eq!(account, expected(program.user, arguments, caller), "{title}");
                };
                match arguments {
                    Some(OWN_CLEAR) if module == &system => assert_is(Some("")),
                    Some(OWN_CLEAR) if caller == Caller::WithKeyring => stage.differs("own", || assert_is(arguments)),
                    Some(OWN_CLEAR) => stage.differs("clear", || assert_is(arguments)),
                    _ => assert_is(arguments),
                }
                let stays = caller == Caller::WithKeyring && matches!(arguments, Some("" | "revoke"));
                if stays && module == &stage.module {
                    stage.assert_told_of_roots_keyring();
                } else {
                    stage.assert_silent();
                }
            });
        }
    }
}

/// Runs `body` in a child that is such a caller, and in which these files are in /etc/pam.d.
#[track_caller]
pub fn with_pam_d(stage: &Stage, files: &[(&str, String)], caller: Caller, body: impl FnOnce()) {
    in_child(|| {
        time_limit(60);
        unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
        put_into_pam_d(stage, files);
        if caller == Caller::WithKeyring {
            keys::join(None).expect("a keyring");
        }
        body();
    });
}

fn account(switchboard: &Switchboard<'_>, program: &Program) -> Account {
    let running = (program.start)(switchboard.stage, program.user);
    let [mut first, mut second] = [(); 2].map(|()| switchboard.answer(program.name));
    let [(view, keyring), (other_view, other_keyring)] = [first.look(), second.look()].map(without_serial);
    let key = first.add("of-the-first", keys::SESSION).expect("a key");
    first.add("of-the-user", keys::USER).expect("a key");
    let finds = [first.find("of-the-first"), second.find("of-the-first")];

    let mut process = first.leave_behind(switchboard);
    log_out(switchboard, &running, first);
    let left = Left {
        session: process.look().session.map(drop),
        finds: process.find("of-the-first"),
        searches: process.search("of-the-first").map(drop),
        reads: process.read(key).is_ok(),
        finds_user_s: process.find("of-the-user"),
        adds: process.add("of-the-one-left", keys::SESSION).and_then(|_| process.find("of-the-one-left")),
    };
    let second_goes_on = without_serial(second.look()).1 == other_keyring;
    log_out(switchboard, &running, second);
    running.finish();
    Account { views: [view, other_view], one_keyring: keyring == other_keyring, finds, left, second_goes_on }
}

fn without_serial(mut view: View) -> (View, Option<i32>) {
    let serial = view.session.as_mut().ok().map(|keyring| std::mem::take(&mut keyring.serial));
    (view, serial)
}

/// What keyrings(7) and the module's man page say of such a line.
fn expected(user: Who, arguments: Option<&str>, caller: Caller) -> Account {
    let asks_for = |argument| arguments.is_some_and(|all| all.split(' ').any(|one| one == argument));
    let own = asks_for("force") || asks_for("own") || (arguments.is_some() && caller == Caller::WithoutKeyring);
    let revoked = own && asks_for("revoke");
    let cleared = own && asks_for("clear");
    let users = format!("_uid.{}", user.uid);
    // Name, owner, permissions and links.
    let (name, (uid, gid), permissions, links) = match caller {
        _ if own => ("_ses".to_owned(), (user.uid, user.gid), 0x3f03_0000, vec![users]),
        Caller::WithoutKeyring => (format!("_uid_ses.{}", user.uid), (user.uid, NOBODY), 0x1f3f_0000, vec![users]),
        Caller::WithKeyring => ("_ses".to_owned(), (0, 0), 0x3f03_0000, vec![]),
    };
    let description = Description { kind: "keyring".to_owned(), uid, gid, permissions, name };
    let view = View {
        ids: [[user.uid; 4], [user.gid; 4]].concat().try_into().expect("eight ids"),
        groups: vec![user.gid],
        session: Ok(Keyring { serial: 0, description, links }),
    };
    let secret = || Ok("secret".to_owned());
    Account {
        views: [view.clone(), view],
        one_keyring: !own,
        // Without a session keyring, the first key that is added to it makes one: for the process that adds it.
        finds: [secret(), if own || caller == Caller::WithoutKeyring { Err(libc::ENOKEY) } else { secret() }],
        left: Left {
            session: unless(revoked, libc::EKEYREVOKED),
            finds: unless(revoked || cleared, libc::ENOKEY).and(secret()),
            searches: unless(revoked, libc::EKEYREVOKED).and(unless(cleared, libc::ENOKEY)),
            reads: !revoked && !cleared,
            // It is found by way of the session keyring.
            finds_user_s: unless(revoked || !own, libc::ENOKEY).and(secret()),
            adds: unless(revoked, libc::EKEYREVOKED).and(secret()),
        },
        second_goes_on: true,
    }
}

fn unless(prevented: bool, errno: i32) -> Result<(), i32> {
    if prevented { Err(errno) } else { Ok(()) }
}

/// The gid of keyrings that have none: -1, which is in no namespace.
const NOBODY: u32 = 65534;

/// Ends a shell, and waits until its login program has ended the session.
#[track_caller]
pub fn log_out(switchboard: &Switchboard<'_>, running: &Running, mut shell: Process) {
    let mut session = shell.pid();
    while parent(session) != running.parent() {
        session = parent(session);
    }
    let end = end_of(session);
    drop(shell);
    switchboard.stage.wait_for("the end of the session", end);
}

/// What can be read when the process has ended.
#[track_caller]
pub fn end_of(process: i32) -> OwnedFd {
    // SAFETY: takes numbers only.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, process, 0) };
    assert_ne!(fd, -1, "pidfd_open {process}");
    // SAFETY: a new descriptor.
    unsafe { OwnedFd::from_raw_fd(fd as RawFd) }
}

#[track_caller]
fn parent(pid: i32) -> i32 {
    assert!(pid > 1, "no descendant of the login program");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("a parent");
    line.trim().parse().expect("a process id")
}

/// A copy of /etc/pam.d with `files` in it, in the place of the system's.
fn put_into_pam_d(stage: &Stage, files: &[(&str, String)]) {
    let copy = stage.directory.join("etc-pam.d");
    let _ = fs::remove_dir_all(&copy);
    fs::create_dir(&copy).expect("a directory");
    for entry in fs::read_dir("/etc/pam.d").expect("/etc/pam.d") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, copy.join(path.file_name().expect("a name"))).expect("a file");
    }
    for (name, text) in files {
        fs::write(copy.join(name), text).expect("a file");
    }
    bind(&copy, Path::new("/etc/pam.d"));
}

/// The service file with the module asked for `arguments` where it stands, or before what comes for all services.
pub fn with_line(service: &str, arguments: Option<&str>) -> String {
    let text = fs::read_to_string(Path::new("/etc/pam.d").join(service)).expect("a service file");
    let ours = arguments.map(|arguments| format!("session optional pam_keyinit.so {arguments}\n")).unwrap_or_default();
    let stands = text.contains("pam_keyinit.so");
    let is_place = |line: &str| line.contains(if stands { "pam_keyinit.so" } else { "include common-session" });
    let change = |line: &str| match is_place(line) {
        true if stands => ours.clone(),
        true => format!("{ours}{line}\n"),
        false => format!("{line}\n"),
    };
    text.lines().map(change).collect()
}
