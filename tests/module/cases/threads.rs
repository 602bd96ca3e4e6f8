// SPDX-License-Identifier: MIT
//! Threads: credentials, the session keyring among them, belong to a thread, and the module touches no other.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::thread::{self, Scope, ScopedJoinHandle};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Pid, gettid, pipe};

use crate::Stage;
use crate::stage::{
    ALICE, ERROR, Who, assert_own_keyring, assert_revoked, ids, ids_of, in_child, live_session, session, wait_for_room,
};
use crate::support::pam::{Pam, SUCCESS};

cases! {
    Root:
        sessions_in_threads_have_a_keyring_each => "threads"
        other_threads_keep_their_ids_and_sleep_on => "all-threads"
        a_session_closed_by_another_thread_is_told_and_goes_on;
}

/// Who log in from every thread, thousands of times.
const USERS: [Who; 3] = [
    Who { name: "grace", uid: 4150, gid: 5150 },
    Who { name: "heidi", uid: 4151, gid: 5151 },
    Who { name: "wendy", uid: 4152, gid: 5152 },
];
const THREADS: usize = 8;
const SESSIONS: usize = 500;

/// Starts threads that log in and out, each for all users in turn, and each session by a handle of its own.
fn start_logins<'scope>(
    scope: &'scope Scope<'scope, '_>,
    stage: &Stage,
    log_in: impl Fn(Who, Pam) + Send + Clone + 'scope,
) -> Vec<ScopedJoinHandle<'scope, ()>> {
    stage.passwd(&USERS.map(Who::passwd_line));
    drop(stage.login(USERS[0], &["session MODULE force revoke"]));
    let pam_d: Arc<Path> = stage.directory.join("pam.d").into();
    let start = |thread| {
        let (pam_d, log_in) = (Arc::clone(&pam_d), log_in.clone());
        scope.spawn(move || {
            for number in 0..SESSIONS {
                let who: Who = USERS[(thread + number) % USERS.len()];
                wait_for_room(who.uid);
                log_in(who, Pam::start(&pam_d, "keyinit-test", Some(who.name.as_bytes())));
            }
        })
    };
    (0..THREADS).map(start).collect()
}

fn sessions_in_threads_have_a_keyring_each(stage: &Stage) {
    let (before, own) = (ids(), live_session());
    let log_in = move |who, mut pam: Pam| {
        assert_eq!(pam.open(), SUCCESS);
        assert_eq!(ids(), before);
        let keyring = assert_own_keyring(who);
        assert_eq!(pam.close(), SUCCESS);
        assert_eq!(ids(), before);
        assert_revoked(keyring);
        assert_eq!(session(), Err(libc::EKEYREVOKED), "the thread is still in it");
    };
    thread::scope(|scope| drop(start_logins(scope, stage, log_in)));
    assert_eq!(live_session(), own, "this thread has opened nothing");
    stage.assert_silent();
}

/// libc's setresuid changes every thread of the process, by a signal that ends what it sleeps in.
fn other_threads_keep_their_ids_and_sleep_on(stage: &Stage) {
    let before = (ids(), live_session());
    let (woken, wake) = pipe().expect("a pipe");
    let opened = AtomicU32::new(0);
    thread::scope(|scope| {
        let wake = wake; // and so dropped, should this thread panic
        let (tell, bystanders) = channel::<Pid>();
        for _ in 0..4 {
            let (tell, woken) = (tell.clone(), &woken);
            scope.spawn(move || {
                tell.send(gettid()).expect("somebody listens");
                let mut end = [PollFd::new(woken.as_fd(), PollFlags::POLLIN)];
                assert_eq!(poll(&mut end, PollTimeout::NONE), Ok(1), "nothing interrupts poll(2)");
                assert_eq!((ids(), live_session()), before);
            });
        }
        let bystanders: Vec<Pid> = bystanders.iter().take(4).chain([gettid()]).collect();
        let opened = &opened;
        let logins = Arc::new(start_logins(scope, stage, move |_, mut pam| {
            opened.fetch_add(u32::from(pam.open() == SUCCESS), Ordering::Relaxed);
            pam.close();
        }));
        let go_on = |logins: &[ScopedJoinHandle<'_, ()>]| !logins.iter().all(ScopedJoinHandle::is_finished);
        for _ in 0..2 {
            let logins = Arc::clone(&logins);
            scope.spawn(move || {
                while go_on(&logins) {
                    assert_eq!((ids(), live_session()), before);
                }
            });
        }
        while go_on(&logins) {
            for tid in &bystanders {
                assert_eq!(ids_of_thread(*tid), before.0, "{tid}");
            }
        }
        drop(wake);
    });
    assert_ne!(opened.into_inner(), 0);
}

fn ids_of_thread(tid: Pid) -> [u32; 8] {
    ids_of(&fs::read_to_string(format!("/proc/self/task/{tid}/status")).expect("/proc"))
}

fn a_session_closed_by_another_thread_is_told_and_goes_on(stage: &Stage) {
    in_child(|| open_here_and_close_there(stage, "force revoke", "KEYCTL_REVOKE", [Some("another-thread"), None]));
    in_child(|| open_here_and_close_there(stage, "force clear", "KEYCTL_READ", [None, Some("another-thread")]));
}

/// With what is different with the C module when another thread has closed, and when it opens again.
fn open_here_and_close_there(stage: &Stage, arguments: &str, operation: &str, [closed, again]: [Option<&str>; 2]) {
    let mut pam = stage.login(ALICE, &[&format!("session MODULE {arguments}")]);
    let before = (ids(), live_session());
    thread::scope(|scope| {
        let (tell_opened, opened) = channel();
        let (tell_closed, is_closed) = channel();
        scope.spawn(move || {
            assert_eq!(pam.open(), SUCCESS);
            let keyring = assert_own_keyring(ALICE);
            tell_opened.send((pam, gettid())).expect("somebody listens");
            is_closed.recv().expect("it is closed");
            assert_eq!(assert_own_keyring(ALICE), keyring);
        });
        let (mut pam, opener) = opened.recv().expect("it is open");
        assert_eq!(pam.close(), SUCCESS);
        stage.assert_logged(ERROR, &[operation, "EACCES", "another thread opened the session", "alice"]);
        assert_eq!(live_session(), before.1);
        stage.may_differ(closed, || assert_eq!([ids(), ids_of_thread(opener)], [before.0; 2]));
        tell_closed.send(()).expect("somebody listens");

        assert_eq!(pam.open(), SUCCESS, "here it opens again");
        stage.may_differ(again, || _ = assert_own_keyring(ALICE));
        assert_eq!(pam.close(), SUCCESS);
    });
    stage.assert_silent();
}
