// SPDX-License-Identifier: MIT
//! Each allocation of a call of the module fails, libpam's and libc's and the module's own.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;

use nix::unistd::{User, pipe, read, write};

use crate::Stage;
use crate::stage::scenes::Function::{Close, Delete, Establish, Open};
use crate::stage::scenes::{Scene, scenes};
use crate::stage::{
    DEBUG, ERROR, Who, assert_own_keyring, ids, in_child, live_session, say_where, session, shared_name, users,
};
use crate::support::keys;
use crate::support::pam::{BUF_ERR, Pam, SUCCESS, SYSTEM_ERR};

cases! {
    Anyone:
        no_memory_makes_no_keyring => "no-memory";
    Root:
        an_allocation_that_fails_harms_nobody => "says-why";
}

thread_local! {
    /// What is wrong with the memory of this thread.
    static SHORTAGE: Cell<Option<Shortage>> = const { Cell::new(None) };
}

#[derive(Clone, Copy)]
struct Shortage {
    /// Allocations that succeed before one fails.
    left: usize,
    /// Whether it has.
    failed: bool,
}

unsafe extern "C" {
    fn __libc_malloc(size: usize) -> *mut c_void;
    fn __libc_calloc(count: usize, size: usize) -> *mut c_void;
    fn __libc_realloc(memory: *mut c_void, size: usize) -> *mut c_void;
}

/// Whether this allocation is to fail.
fn fails() -> bool {
    let Some(mut shortage) = SHORTAGE.get() else { return false };
    let fails = shortage.left == 0 && !shortage.failed;
    shortage.left = shortage.left.saturating_sub(1);
    shortage.failed |= fails;
    SHORTAGE.set(Some(shortage));
    fails
}

/// Calls when the allocation after the first `left` ones will fail. Returns the code, and whether there was one to fail.
fn in_want(left: usize, call: impl FnOnce() -> i32) -> (i32, bool) {
    SHORTAGE.set(Some(Shortage { left, failed: false }));
    let code = call();
    (code, SHORTAGE.take().expect("set above").failed)
}

/// libc's, except that it can be made to fail. The whole process uses it, libpam and the module too.
#[unsafe(no_mangle)]
extern "C" fn malloc(size: usize) -> *mut c_void {
    // SAFETY: as libc's caller has promised.
    if fails() { ptr::null_mut() } else { unsafe { __libc_malloc(size) } }
}

/// As above.
#[unsafe(no_mangle)]
extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    // SAFETY: as libc's caller has promised.
    if fails() { ptr::null_mut() } else { unsafe { __libc_calloc(count, size) } }
}

/// As above.
///
/// # Safety
/// `memory` is null or from one of these.
#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(memory: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: as libc's caller has promised.
    if fails() { ptr::null_mut() } else { unsafe { __libc_realloc(memory, size) } }
}

/// Each allocation of an open, until there is none left to fail.
fn no_memory_makes_no_keyring(stage: &Stage) {
    let mut told = 0;
    // libc's first look-up of a user does not survive a failure.
    assert_eq!(stage.session("").open(), SUCCESS);
    for turn in 0..1000 {
        let mut pam = stage.session("force revoke");
        let before = (ids(), session());
        let (code, failed) = in_want(turn, || pam.open());
        assert_eq!(ids(), before.0);
        if stage.log().iter().any(|line| line.level == ERROR && line.text.contains("no memory for the state")) {
            told += 1;
            assert_eq!(code, BUF_ERR);
            assert_eq!(session(), before.1, "no keyring");
            assert_eq!(pam.open(), SUCCESS, "there is memory again");
            assert_own_keyring(stage.user);
        }
        if !failed {
            assert_eq!(code, SUCCESS);
            stage.differs("says-why", || assert_eq!(told, 1, "the module allocates once"));
            return;
        }
    }
    panic!("an open does not end");
}

/// Each allocation of each call, until there is none left to fail. One at a time: where all fail, libpam's look-up of a user
/// does not return.
fn an_allocation_that_fails_harms_nobody(stage: &Stage) {
    let users = users(stage, 4133);
    // libc's first look-up of a user does not survive a failure.
    User::from_name(users[0].name).expect("the passwd file").expect("the user");
    let mut turns = users.into_iter().cycle();
    let mut count = 0;
    for scene in [Open, Establish, Close, Delete].into_iter().flat_map(scenes) {
        let mut pam = scene.login(stage);
        for left in 0.. {
            let who = turns.next().expect("a cycle");
            let (told, tell) = pipe().expect("a pipe");
            in_child(|| {
                say_where((scene, "allocations before the one that fails", left));
                let failed = run(stage, scene, who, &mut pam, left);
                write(&tell, &[u8::from(failed)]).expect("a pipe");
            });
            let mut failed = [0];
            read(&told, &mut failed).expect("a pipe");
            if failed == [0] {
                break;
            }
            count += 1;
        }
    }
    println!("{count} allocations that failed");
}

/// Returns whether there was an allocation that could fail.
fn run(stage: &Stage, scene: Scene, who: Who, pam: &mut Pam, left: usize) -> bool {
    scene.prepare(stage, who, pam);
    let (before, keyring) = (ids(), live_session());
    let (code, failed) = in_want(left, || scene.call(pam));
    assert_eq!(ids(), before);
    let lines = stage.log();
    assert!(code == SUCCESS || !lines.is_empty(), "why {code} is told");
    if scene.asks_for("user-session") {
        // Without memory to look at its owner, the shared one is taken for somebody else's.
        let own = lines.iter().any(|line| line.text.contains("the session has one of its own instead"));
        assert_eq!(scene.call(pam), SUCCESS);
        stage.log();
        let name = keys::describe(live_session()).expect("viewed").name;
        assert_eq!(name, if own { "_ses".to_owned() } else { shared_name(who) });
        assert_eq!([pam.close(), pam.close()], [SUCCESS; 2]);
        assert_eq!((session().is_err(), ids()), (own, before));
        return failed;
    }
    let start = matches!(scene.function, Open | Establish);
    if start {
        // libpam alone can fail after the module has succeeded, and says so by this code.
        let done = code == SUCCESS || code == SYSTEM_ERR && live_session() != keyring;
        // Without memory to look at it, `own` takes the keyring that is there for somebody else's.
        let made = scene.makes() || scene.asks_for("own") && live_session() != keyring;
        if done && made {
            assert_ne!(assert_own_keyring(who), keyring);
        } else {
            assert_eq!(live_session(), keyring, "no keyring");
        }
        if lines.iter().any(|line| line.text.contains("no memory for the state of the session")) {
            assert_eq!(code, BUF_ERR);
        }
    } else if scene.asks_for("clear") && code == SUCCESS && lines.iter().all(|line| line.level == DEBUG) {
        assert_eq!(assert_own_keyring(who), keyring, "it is cleared");
    }
    // There is memory again.
    // By this code libpam itself says that it has called no module.
    if start || code == BUF_ERR {
        assert_eq!(scene.call(pam), SUCCESS);
        stage.log();
    }
    if !start {
        assert_eq!(pam.open(), SUCCESS);
        stage.log();
    }
    let made = scene.makes() || scene.asks_for("own") && live_session() != keyring;
    if made {
        assert_ne!(assert_own_keyring(who), keyring);
    } else {
        assert_eq!(live_session(), keyring);
    }
    pam.close();
    pam.close();
    assert_eq!(session().is_err(), made && scene.asks_for("revoke"));
    assert_eq!(ids(), before);
    failed
}
