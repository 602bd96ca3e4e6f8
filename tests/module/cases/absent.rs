// SPDX-License-Identifier: MIT
//! System calls that are not there or not allowed, as in gVisor, under SELinux and in containers: what works with the C
//! module works with this one (contract, sections 5 and 9). Both run, each in a child under a filter, and nothing is looked
//! at by a call that may be refused: keys are added and asked for by add_key(2) and request_key(2).

use std::ffi::c_long;
use std::fmt;
use std::fs::File;
use std::io::{Read, Write};

use nix::unistd::pipe;
use serde::{Deserialize, Serialize};

use crate::Stage;
use crate::stage::{
    ALICE, CAROL, Line, NOTICE, ROOT, Who, become_capable, become_ids, ids, in_child, in_the_name_of, join_as,
    leave_behind, many_users, say_where, wait_for_room,
};
use crate::support::ids::{SYS_getresgid, SYS_getresuid, SYS_setfsgid, SYS_setfsuid, SYS_setresgid, SYS_setresuid};
use crate::support::keys;
use crate::support::pam::SUCCESS;
use crate::support::seccomp::{Call, keyctl, refuse};
use crate::support::{artefact, trace};

cases! {
    Root:
        no_absent_call_fails_root_s_login_of_a_user
        no_absent_call_fails_root_s_login_of_root
        no_absent_call_fails_su_to_root
        no_absent_call_fails_su_to_a_user
        no_absent_call_fails_a_user_s_own_login
        no_absent_call_fails_the_login_of_a_capable_caller
        a_login_goes_on_in_gvisor_of_old
        a_login_goes_on_in_gvisor_of_today
        su_asks_for_no_capabilities;
}

/// A call that is absent, with its name.
type Absent = (&'static str, Call);

fn absent() -> Vec<Absent> {
    let system_call = |name, number: c_long| (name, (number, Vec::new()));
    vec![
        system_call("getresuid", SYS_getresuid),
        system_call("getresgid", SYS_getresgid),
        system_call("setresuid", SYS_setresuid),
        system_call("setresgid", SYS_setresgid),
        system_call("setfsuid", SYS_setfsuid),
        system_call("setfsgid", SYS_setfsgid),
        system_call("capget", libc::SYS_capget),
        system_call("prctl", libc::SYS_prctl),
        ("DESCRIBE", keyctl(libc::KEYCTL_DESCRIBE)),
        ("READ", keyctl(libc::KEYCTL_READ)),
        ("SEARCH", keyctl(libc::KEYCTL_SEARCH)),
        ("SETPERM", keyctl(libc::KEYCTL_SETPERM)),
        ("INVALIDATE", keyctl(libc::KEYCTL_INVALIDATE)),
        ("UNLINK", keyctl(libc::KEYCTL_UNLINK)),
        ("GET(@u)", look_at(keys::USER)),
        // These the C module makes too, but not where only `own` asks for them.
        ("GET(@us)", look_at(keys::USER_SESSION)),
        ("GET(@s)", look_at(keys::SESSION)),
        ("JOIN", keyctl(libc::KEYCTL_JOIN_SESSION_KEYRING)),
        ("LINK", keyctl(libc::KEYCTL_LINK)),
        ("REVOKE", keyctl(libc::KEYCTL_REVOKE)),
        ("keyctl", KEYCTL),
    ]
}

const KEYCTL: Call = (libc::SYS_keyctl, Vec::new());
const ERRNOS: [(i32, &str); 3] = [(libc::ENOSYS, "ENOSYS"), (libc::EPERM, "EPERM"), (libc::EACCES, "EACCES")];
const LINES: [&str; 8] = ["", "force", "revoke", "force revoke", "own", "own revoke", "own clear", "clear"];

fn look_at(keyring: i32) -> Call {
    (libc::SYS_keyctl, vec![(0, libc::KEYCTL_GET_KEYRING_ID), (1, keyring as u32)])
}

/// Who calls for whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Caller {
    RootForUser,
    RootForRoot,
    /// By the file's mode: the real ids stay the caller's.
    SuToRoot,
    SuToUser,
    User,
    /// Not root, but may set ids.
    Capable,
}
use Caller::*;

/// The session keyring that the caller is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Keyring {
    None,
    Roots,
    /// That of the user who logs in.
    Users,
}

#[derive(Clone, Copy, Debug)]
struct Situation {
    caller: Caller,
    keyring: Keyring,
    arguments: &'static str,
    who: Who,
}

/// What has come of a login.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
struct Login {
    /// What open and close have answered, and whether the ids are as before then.
    open: (i32, bool),
    close: (i32, bool),
    /// Whether the session finds the keys of the session keyring before, and those in the user keyring.
    finds_former: bool,
    finds_users: bool,
    /// Whether the session can add a key, and whether that is found when the session is closed.
    adds: bool,
    stays: bool,
}

impl Login {
    /// What is worse than in another one.
    fn worse_than(&self, theirs: &Login) -> Vec<&'static str> {
        let fails = |ours: i32, theirs: i32| ours != SUCCESS && theirs == SUCCESS;
        let all = [
            ("open fails", fails(self.open.0, theirs.open.0)),
            ("close fails", fails(self.close.0, theirs.close.0)),
            ("open changes ids", !self.open.1 && theirs.open.1),
            ("close changes ids", !self.close.1 && theirs.close.1),
            ("the session is left in the former keyring", self.finds_former && !theirs.finds_former),
            ("the session lacks the user keyring", !self.finds_users && theirs.finds_users),
            ("the session cannot add keys", !self.adds && theirs.adds),
            ("the session's keys stay", self.stays && theirs.adds && !theirs.stays),
        ];
        all.into_iter().filter_map(|(what, is_so)| is_so.then_some(what)).collect()
    }
}

impl Situation {
    fn target(&self) -> Who {
        if matches!(self.caller, RootForRoot | SuToRoot) { ROOT } else { self.who }
    }

    /// Makes the process the caller, in its keyring.
    fn prepare(&self) {
        let target = self.target();
        in_the_name_of(target, || keys::add("of-the-user", "secret", keys::USER).expect("a key"));
        match self.keyring {
            Keyring::None => (),
            Keyring::Roots => _ = keys::join(None).expect("a keyring"),
            Keyring::Users => _ = join_as(target),
        }
        if self.keyring != Keyring::None {
            keys::add("former", "secret", keys::SESSION).expect("a key");
        }
        match self.caller {
            RootForUser | RootForRoot => (),
            SuToRoot | SuToUser => become_ids([CAROL.uid, 0, 0], [CAROL.gid; 3]),
            User => become_ids([target.uid; 3], [target.gid; 3]),
            Capable => become_capable([4147; 3], [5147; 3]),
        }
    }

    /// Logs in by `module` without these calls, and out again, in a child. None if that does not return.
    fn log_in(&self, stage: &Stage, module: &str, calls: &[Call], errno: i32) -> Option<Login> {
        wait_for_room(self.who.uid);
        let line = format!("session {module} {}", self.arguments);
        let (from, to) = pipe().expect("a pipe");
        let mut pam = stage.login(self.target(), &[&line]);
        let child = leave_behind(|| {
            self.prepare();
            let before = ids();
            if !calls.is_empty() {
                refuse(calls, errno);
            }
            let open = (pam.open(), ids() == before);
            let finds_former = keys::request("former").is_ok();
            let finds_users = keys::request("of-the-user").is_ok();
            let adds = keys::add("of-the-session", "secret", keys::SESSION).is_ok();
            let close = (pam.close(), ids() == before);
            let stays = keys::request("of-the-session").is_ok();
            let login = Login { open, close, finds_former, finds_users, adds, stays };
            File::from(to).write_all(&serde_json::to_vec(&login).expect("JSON")).expect("a pipe");
        });
        child.go_on();
        let mut text = String::new();
        File::from(from).read_to_string(&mut text).expect("a pipe");
        serde_json::from_str(&text).ok()
    }
}

/// A row in which this module is worse than the C module.
struct Worse(String, Vec<&'static str>);

impl fmt::Debug for Worse {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}: {}", self.0, self.1.join(", "))
    }
}

fn no_absent_call_fails_root_s_login_of_a_user(stage: &Stage) {
    go_through(stage, RootForUser, 15000);
}

fn no_absent_call_fails_root_s_login_of_root(stage: &Stage) {
    go_through(stage, RootForRoot, 15010);
}

fn no_absent_call_fails_su_to_root(stage: &Stage) {
    go_through(stage, SuToRoot, 15020);
}

fn no_absent_call_fails_su_to_a_user(stage: &Stage) {
    go_through(stage, SuToUser, 15030);
}

fn no_absent_call_fails_a_user_s_own_login(stage: &Stage) {
    go_through(stage, User, 15040);
}

fn no_absent_call_fails_the_login_of_a_capable_caller(stage: &Stage) {
    go_through(stage, Capable, 15050);
}

fn go_through(stage: &Stage, caller: Caller, first: u32) {
    const LET_THROUGH: &str = "[success=ok ignore=ok default=die]";
    let theirs = format!("{LET_THROUGH} {}", artefact::installed().display());
    let mut turns = many_users(stage, first, 10).into_iter().cycle();
    let (mut rows, mut works, mut worse) = (0, 0, Vec::new());
    for (name, call) in absent() {
        for (errno, errno_name) in ERRNOS {
            for keyring in [Keyring::None, Keyring::Roots, Keyring::Users] {
                for arguments in LINES {
                    let situation = Situation { caller, keyring, arguments, who: turns.next().expect("a cycle") };
                    let calls = [call.clone()];
                    let [theirs, ours] =
                        [&*theirs, "MODULE"].map(|module| situation.log_in(stage, module, &calls, errno));
                    stage.log();
                    rows += 1;
                    let Some(theirs) = theirs else { continue };
                    works += usize::from(theirs.open.0 == SUCCESS);
                    let what = ours.map_or(vec!["it does not return"], |ours| ours.worse_than(&theirs));
                    if !what.is_empty() {
                        worse.push(Worse(format!("{name} {errno_name}, {keyring:?}, `{arguments}`"), what));
                    }
                }
            }
        }
    }
    println!(
        "{caller:?}: {rows} logins without a call, of which {works} succeed with the C module; {} are worse",
        worse.len()
    );
    assert!(worse.is_empty(), "{caller:?}: {worse:#?}");
}

/// The lines of the log that a login writes, which succeeds, in each situation of a sandbox.
#[track_caller]
fn assert_goes_on(stage: &Stage, calls: &[Call], entry: impl Fn(&Situation) -> Option<&'static str>) {
    for arguments in ["", "revoke", "own revoke", "force revoke"] {
        for keyring in [Keyring::None, Keyring::Roots, Keyring::Users] {
            let situation = Situation { caller: RootForUser, keyring, arguments, who: ALICE };
            in_child(|| {
                say_where(situation);
                let login = situation.log_in(stage, "MODULE", calls, libc::ENOSYS).expect("it returns");
                let lines = stage.log();
                stage.may_differ(entry(&situation), || {
                    assert_eq!((login.open, login.close), ((SUCCESS, true), (SUCCESS, true)), "{lines:#?}");
                    assert!(login.adds || login.finds_former, "{login:?}");
                });
                assert!(lines.len() <= 1 && lines.iter().all(|line| line.level >= NOTICE), "{lines:#?}");
                assert!(!lines.iter().any(blames_the_kernel_for_ids), "{lines:#?}");
            });
            stage.log();
        }
    }
}

fn blames_the_kernel_for_ids(line: &Line) -> bool {
    line.text.contains("uid") && line.text.contains("CONFIG_KEYS")
}

const SETFSID: [Call; 2] = [(SYS_setfsuid, Vec::new()), (SYS_setfsgid, Vec::new())];

/// google/gvisor#260.
fn a_login_goes_on_in_gvisor_of_old(stage: &Stage) {
    let calls = [&SETFSID[..], &[KEYCTL]].concat();
    assert_goes_on(stage, &calls, |situation| situation.arguments.contains("force").then_some("no-keyctl"));
}

/// keyctl(2) looks at the session keyring, describes, joins and sets permissions.
fn a_login_goes_on_in_gvisor_of_today(stage: &Stage) {
    const LAST_OPERATION: u32 = 32; // linux/keyctl.h, KEYCTL_WATCH_KEY
    let known = [libc::KEYCTL_DESCRIBE, libc::KEYCTL_JOIN_SESSION_KEYRING, libc::KEYCTL_SETPERM];
    let absent = (libc::KEYCTL_UPDATE..=LAST_OPERATION).filter(|operation| !known.contains(operation)).map(keyctl);
    let special = [libc::KEY_SPEC_THREAD_KEYRING, libc::KEY_SPEC_PROCESS_KEYRING, keys::USER, keys::USER_SESSION];
    let calls: Vec<Call> = SETFSID.into_iter().chain(absent).chain(special.map(look_at)).collect();
    assert_goes_on(stage, &calls, |_| Some("absent-calls"));
}

/// SELinux's domains of su may not ask for them, nor does anything else need to.
fn su_asks_for_no_capabilities(stage: &Stage) {
    for caller in [SuToRoot, SuToUser, RootForUser, Capable] {
        for arguments in ["revoke", "own revoke", "force revoke"] {
            let situation = Situation { caller, keyring: Keyring::None, arguments, who: ALICE };
            let login = || {
                say_where(situation);
                let mut pam = stage.login(situation.target(), &[&format!("session MODULE {arguments}")]);
                situation.prepare();
                trace::begin();
                assert_eq!([pam.open(), pam.close()], [SUCCESS; 2]);
            };
            assert_eq!(trace::calls(login, |call, _| call.number == libc::SYS_capget), []);
            for errno in [libc::EACCES, libc::EPERM] {
                let calls = [(libc::SYS_capget, Vec::new())];
                let login = situation.log_in(stage, "MODULE", &calls, errno).expect("it returns");
                assert_eq!((login.open, login.close.0), ((SUCCESS, true), SUCCESS), "{situation:?}");
            }
            stage.log();
        }
    }
}
