// SPDX-License-Identifier: MIT
//! Lets the kernel refuse one system call, and no other before or after it: seccomp_unotify(2).
//!
//! A filter's answer stays for the life of a process, [`refuse`](crate::support::seccomp::refuse). This one asks a thread of the
//! test, so it can be seen what comes after a refusal.

use std::ffi::c_long;
use std::io;
use std::mem::{self, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use nix::sys::prctl::set_no_new_privs;

use crate::support::seccomp::{Call, filter};
use crate::support::trace::SystemCall;

/// What is to be refused to the thread that has made this.
pub struct Supervisor(Arc<Mutex<Plan>>);

#[derive(Default)]
struct Plan {
    /// Which of the calls is refused, and its errno.
    refusal: Option<(usize, i32)>,
    /// What is to happen between the calls: it is told of each before the kernel has it.
    between: Option<Box<dyn FnMut(SystemCall) + Send>>,
    seen: Vec<SystemCall>,
}

impl Supervisor {
    /// From now on the supervisor sees all calls of the calling thread that have one of these numbers.
    pub fn new(numbers: &[c_long]) -> Supervisor {
        let plan = Arc::new(Mutex::new(Plan::default()));
        let (sender, receiver) = mpsc::channel::<OwnedFd>();
        let theirs = Arc::clone(&plan);
        // It is there before the filter, and so not under it.
        thread::spawn(move || supervise(&receiver.recv().expect("a listener"), &theirs));
        sender.send(listen(numbers)).expect("the thread waits");
        Supervisor(plan)
    }

    /// Refuses the `turn`-th of the calls to come, counted from 0.
    pub fn refuse(&self, turn: usize, errno: i32) {
        *self.0.lock().expect("no panic") = Plan { refusal: Some((turn, errno)), ..Plan::default() };
    }

    /// Calls `body` before each of the calls to come, in another thread.
    pub fn between(&self, body: impl FnMut(SystemCall) + Send + 'static) {
        *self.0.lock().expect("no panic") = Plan { between: Some(Box::new(body)), ..Plan::default() };
    }

    /// From now on nothing is refused. Returns the calls that have come.
    pub fn stop(&self) -> Vec<SystemCall> {
        mem::take(&mut *self.0.lock().expect("no panic")).seen
    }
}

/// Answers for the kernel until the process ends.
fn supervise(listener: &OwnedFd, plan: &Mutex<Plan>) {
    loop {
        // SAFETY: numbers only, and the kernel wants zeroes.
        let mut notice: libc::seccomp_notif = unsafe { zeroed() };
        // SAFETY: a listener, and a place for what it reports.
        if unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut notice) } == -1 {
            continue; // interrupted
        }
        let call = SystemCall { number: c_long::from(notice.data.nr), arguments: notice.data.args };
        let error = plan.lock().expect("no panic").errno_of(call);
        let mut answer = libc::seccomp_notif_resp {
            id: notice.id,
            val: 0,
            error: -error.unwrap_or(0),
            flags: if error.is_some() { 0 } else { libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32 },
        };
        // SAFETY: a listener, and an answer to what it has reported.
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut answer) };
    }
}

impl Plan {
    /// The errno for `call`, if this is the one.
    fn errno_of(&mut self, call: SystemCall) -> Option<i32> {
        let turn = self.seen.len();
        if let Some(body) = &mut self.between {
            body(call);
        }
        self.seen.push(call);
        self.refusal.filter(|refusal| refusal.0 == turn).map(|refusal| refusal.1)
    }
}

/// Puts the calling thread under a filter that asks at the descriptor that this returns.
fn listen(numbers: &[c_long]) -> OwnedFd {
    let calls: Vec<Call> = numbers.iter().map(|&number| (number, Vec::new())).collect();
    let mut program = filter(&calls, libc::SECCOMP_RET_USER_NOTIF);
    set_no_new_privs().expect("a flag"); // without it only root may have a filter
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: a program of that length, which the kernel copies.
    let listener = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        )
    };
    assert_ne!(listener, -1, "seccomp: {}", io::Error::last_os_error());
    // SAFETY: a new descriptor.
    unsafe { OwnedFd::from_raw_fd(listener as RawFd) }
}
