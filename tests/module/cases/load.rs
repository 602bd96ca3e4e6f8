// SPDX-License-Identifier: MIT
//! Many logins: memory, open files and keys stay what they were, and a quota that is full is told and is free again after.
//!
//! `PAM_KEYINIT_CYCLES` says how many; `make soak` asks for 100,000. What was measured is printed.

use std::time::{Duration, Instant};
use std::{env, fs};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{pipe, read, write};

use crate::Stage;
use crate::stage::{
    Started, WARNING, Who, assert_keyring_for, assert_revoked, in_child, leave_behind, live_session, time_limit,
    wait_for_room, wait_until,
};
use crate::support::keys;
use crate::support::pam::{Pam, SUCCESS};

cases! {
    Root:
        logins_leave_nothing_behind
        sessions_of_a_handle_leave_nothing_behind => "many-sessions"
        a_quota_full_of_sessions_is_told_and_free_again_after;
}

/// Who log in here, and nowhere else: with a quota each.
const USERS: [Who; 3] = [
    Who { name: "yves", uid: 4153, gid: 5153 },
    Who { name: "zoe", uid: 4154, gid: 5154 },
    Who { name: "quentin", uid: 4155, gid: 5155 },
];

/// Logins that take a second or two.
const SHORT: usize = 5000;

fn cycles() -> usize {
    env::var("PAM_KEYINIT_CYCLES").map_or(SHORT, |cycles| cycles.parse().expect("PAM_KEYINIT_CYCLES is a number"))
}

/// What the process has when a thousand rounds are over, and how long they took.
#[derive(Debug)]
struct Thousand {
    resident: usize,
    allocated: usize,
    mappings: usize,
    files: usize,
    keys: u32,
    time: Duration,
}

impl Thousand {
    /// Does `round` a thousand times for `who`. Where the kernel has to forget keys first, that time does not count.
    fn of(who: Who, mut round: impl FnMut()) -> Thousand {
        let mut time = Duration::ZERO;
        for _ in 0..20 {
            wait_for_room(who.uid);
            let start = Instant::now();
            (0..50).for_each(|_| round());
            time += start.elapsed();
        }
        Thousand::with(who, time)
    }

    /// The figures of now, with this time.
    fn with(who: Who, time: Duration) -> Thousand {
        // SAFETY: reads the allocator's own figures.
        let allocated = unsafe { libc::mallinfo2() }.uordblks;
        // The user keyring, the user-session keyring, and the session keyring that this thread is still in.
        wait_until("the end of the keyrings", || keys::quota(who.uid).used <= 3);
        let read = |file: &str| fs::read_to_string(format!("/proc/self/{file}")).expect("/proc");
        let pages: usize = read("statm").split(' ').nth(1).expect("a number").parse().expect("a number");
        Thousand {
            resident: pages * 4, // kB on x86-64 and on most others
            allocated,
            mappings: read("maps").lines().count(),
            files: fs::read_dir("/proc/self/fd").expect("/proc").count(),
            keys: keys::quota(who.uid).used,
            time,
        }
    }
}

/// Does `round` so often, and asserts that the process has no more after the last thousand than after the first.
fn repeat(what: &str, count: usize, who: Who, mut round: impl FnMut()) {
    if count > SHORT {
        time_limit(count as u32 / 25);
    }
    Thousand::with(who, Duration::ZERO); // what looking takes is not to be counted
    let first = Thousand::of(who, &mut round);
    let last = (1..count / 1000).map(|_| Thousand::of(who, &mut round)).last().expect("more than a thousand");
    let ratio = last.time.as_secs_f64() / first.time.as_secs_f64();
    println!(
        "{count} {what}, after the first thousand and after the last:\n  {first:?}\n  {last:?}\n  time {ratio:.2}"
    );
    // A leak takes at least 24 bytes each time; libc and the kernel are free to keep a little: Debian 13's 5 KB.
    assert!(last.allocated < first.allocated + 12 * count, "allocated");
    assert!(last.resident < first.resident + 256, "resident");
    assert_eq!((last.mappings, last.files, last.keys), (first.mappings, first.files, first.keys));
}

/// A service file with this session line, and the users.
fn prepare(stage: &Stage, who: Who, line: &str) -> Pam {
    stage.passwd(&USERS.map(Who::passwd_line));
    stage.login(who, &[line])
}

fn logins_leave_nothing_behind(stage: &Stage) {
    let who = USERS[0];
    drop(prepare(stage, who, "session MODULE force revoke"));
    let pam_d = stage.directory.join("pam.d");
    repeat("logins", cycles(), who, || {
        let mut pam = Pam::start(&pam_d, "keyinit-test", Some(who.name.as_bytes()));
        assert_eq!([pam.open(), pam.close()], [SUCCESS; 2]);
    });
    stage.assert_silent();
}

fn sessions_of_a_handle_leave_nothing_behind(stage: &Stage) {
    let who = USERS[1];
    let mut pam = prepare(stage, who, "session MODULE force revoke");
    repeat("sessions of a handle", (cycles() / 10).max(SHORT), who, || {
        assert_eq!([pam.open(), pam.close()], [SUCCESS; 2]);
    });
    stage.assert_silent();
}

/// A thread that has no session keyring may make one over the quota: so the caller has one, as under systemd, or is given
/// the user-session keyring by the look at it.
fn a_quota_full_of_sessions_is_told_and_free_again_after(stage: &Stage) {
    let who = USERS[2];
    drop(prepare(stage, who, "session MODULE revoke"));
    fill_the_quota(stage, who, "revoke");
    keys::join(None).expect("a keyring");
    fill_the_quota(stage, who, "force revoke");
}

fn fill_the_quota(stage: &Stage, who: Who, arguments: &str) {
    let (answers, answer) = pipe().expect("a pipe");
    let (ended, end) = pipe().expect("a pipe");
    let log_in = || {
        let login = leave_behind(|| {
            set_pdeathsig(Signal::SIGKILL).expect("no login outlives a test that fails");
            let mut pam = stage.login(who, &[&format!("session MODULE {arguments}")]);
            let code = pam.open();
            let keyring = live_session();
            let is_users = code == SUCCESS && keys::describe(keyring).expect("it can be viewed").uid == who.uid;
            write(&answer, &[code as u8, u8::from(is_users)]).expect("a pipe");
            assert_eq!(read(&ended, &mut [0]), Ok(1), "all end together");
            if code == SUCCESS {
                assert_eq!(
                    assert_keyring_for(who, if is_users { (who.uid, who.gid) } else { (0, 0) }),
                    keyring,
                    "unharmed"
                );
                assert_eq!(pam.close(), SUCCESS);
                assert_revoked(keyring);
            }
        });
        let login = login.start();
        stage.wait_for("the answer", &answers);
        let mut answer = [0; 2];
        assert_eq!(read(&answers, &mut answer), Ok(2));
        let [code, is_users] = answer;
        stage.may_differ((is_users == 0).then_some("full-quota"), || assert_eq!(i32::from(code), SUCCESS));
        (login, is_users != 0)
    };
    let mut logins = Vec::new();
    let opened = loop {
        let (login, is_users) = log_in();
        logins.push(login);
        if !is_users {
            break logins.len() - 1;
        }
        stage.assert_silent();
    };
    let most = keys::quota(who.uid).most as usize;
    println!("`{arguments}`: {opened} sessions of a user at once, with a quota of {most} keys");
    assert!(most - 10 <= opened && opened <= most, "{opened} of {most}");
    for _ in 0..5 {
        assert_told(stage, who);
        let (login, is_users) = log_in();
        logins.push(login);
        assert!(!is_users, "charged to the caller");
    }
    assert_told(stage, who);

    write(&end, &vec![b'!'; logins.len()]).expect("a pipe");
    logins.into_iter().for_each(Started::finish);
    wait_until("the end of the keyrings", || keys::quota(who.uid).used <= 2);
    in_child(|| {
        let mut pam = stage.login(who, &[&format!("session MODULE {arguments}")]);
        assert_eq!([pam.open(), pam.close()], [SUCCESS; 2]);
    });
}

#[track_caller]
fn assert_told(stage: &Stage, who: Who) {
    stage.assert_logged(
        WARNING,
        &["KEYCTL_JOIN_SESSION_KEYRING", "EDQUOT", "/proc/key-users", "kernel.keys.maxkeys", who.name],
    );
}
