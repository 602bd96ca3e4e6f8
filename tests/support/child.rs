// SPDX-License-Identifier: MIT
//! Children of a test, and waiting.

use std::env;
use std::fmt::Debug;
use std::os::fd::OwnedFd;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, alarm, fork, pipe, read, write};

use super::keys;

/// How many times slower than others this machine is, as PAM_KEYINIT_SLOWNESS says: one in an emulator has to be waited for.
fn slowness() -> u32 {
    env::var("PAM_KEYINIT_SLOWNESS").map_or(1, |times| times.parse().expect("a number"))
}

/// What hangs in this process ends with SIGALRM.
pub fn time_limit(seconds: u32) {
    alarm::set(seconds * slowness());
}

/// How long a test waits for something that should come at once.
pub fn patience() -> Duration {
    Duration::from_secs(30) * slowness()
}

/// A child that waits to be told to go on.
#[must_use = "it waits"]
pub struct Waiting {
    child: Pid,
    go: OwnedFd,
}

/// Leaves a child behind that runs `body` when it is told to.
pub fn leave_behind(body: impl FnOnce()) -> Waiting {
    let (told, go) = pipe().expect("a pipe");
    // SAFETY: this process has one thread.
    match unsafe { fork() }.expect("a process") {
        ForkResult::Child => {
            drop(go);
            if read(&told, &mut [0]) != Ok(1) {
                // SAFETY: ends the process at once: its parent is gone.
                unsafe { libc::_exit(1) };
            }
            end_with(body);
        }
        ForkResult::Parent { child } => Waiting { child, go },
    }
}

/// Runs `body` and ends the process, which is a child: with 0, or with 101 if it panicked.
pub fn end_with(body: impl FnOnce()) -> ! {
    let outcome = catch_unwind(AssertUnwindSafe(body));
    // SAFETY: ends the process at once; what it has inherited is its parent's to clean up.
    unsafe { libc::_exit(if outcome.is_ok() { 0 } else { 101 }) }
}

/// Should this process, a child, panic, it says where in a case of many that was.
pub fn say_where(place: impl Debug + Send + Sync + 'static) {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        hook(panic);
        eprintln!("in {place:?}");
    }));
}

impl Waiting {
    /// Lets the child go on, waits for its end, and asserts that it did not panic.
    #[track_caller]
    pub fn go_on(self) {
        self.start().finish();
    }

    /// Lets the child go on.
    pub fn start(self) -> Started {
        write(&self.go, b"!").expect("a pipe");
        Started { child: self.child }
    }
}

/// A child that goes on.
#[must_use = "it is to be waited for"]
pub struct Started {
    child: Pid,
}

impl Started {
    pub fn pid(&self) -> Pid {
        self.child
    }

    /// Waits for the child's end, and asserts that it did not panic.
    #[track_caller]
    pub fn finish(self) {
        assert_eq!(waitpid(self.child, None), Ok(WaitStatus::Exited(self.child, 0)), "the child did what it should");
    }
}

/// Runs `body` in a child and asserts that it did not panic.
#[track_caller]
pub fn in_child(body: impl FnOnce()) {
    leave_behind(body).go_on();
}

/// Waits for something that the kernel does not report, for a few seconds at most.
#[track_caller]
pub fn wait_until(what: &str, mut there: impl FnMut() -> bool) {
    let end = Instant::now() + patience();
    while !there() {
        assert!(Instant::now() < end, "{what} did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until a user who logs in again and again may have some more keys: the kernel forgets them later than their last
/// holder lets them go.
#[track_caller]
pub fn wait_for_room(uid: u32) {
    wait_until("room in the quota", || keys::quota(uid).used < 100);
}
