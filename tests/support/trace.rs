// SPDX-License-Identifier: MIT
//! A child of the test under ptrace(2), which stops at every system call: to see them, or to be killed there.

use std::ffi::{CStr, c_long, c_void};
use std::mem::MaybeUninit;

use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

use super::child::end_with;

/// A system call, as the kernel sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SystemCall {
    pub number: c_long,
    pub arguments: [u64; 6],
}

/// The child. It is stopped.
#[must_use = "it waits"]
pub struct Traced(Pid);

/// Where it has stopped.
pub enum Stop {
    Entry {
        call: SystemCall,
        /// Whether it comes from syscall(3): the module's do, and no other's of a login. On i386 none seems to: libc lets the
        /// kernel's own code make them, vdso(7).
        by_syscall: bool,
    },
    Exit,
}

/// From here on the child is traced.
pub fn begin() {
    ptrace::traceme().expect("a parent that traces");
    raise(Signal::SIGSTOP).expect("a signal");
}

impl Traced {
    /// Leaves a child that runs `body`, until that calls [`begin`].
    pub fn start(body: impl FnOnce()) -> Traced {
        // SAFETY: this process has one thread.
        match unsafe { fork() }.expect("a process") {
            ForkResult::Child => end_with(body),
            ForkResult::Parent { child } => {
                assert_eq!(waitpid(child, None), Ok(WaitStatus::Stopped(child, Signal::SIGSTOP)), "it begins");
                // Should this process end, so does the child.
                ptrace::setoptions(child, Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_EXITKILL).expect("ptrace");
                Traced(child)
            }
        }
    }

    /// Lets it go on to its next stop, or to its end, which is None.
    #[track_caller]
    pub fn go_on(&self) -> Option<Stop> {
        ptrace::syscall(self.0, None).expect("ptrace");
        match waitpid(self.0, None).expect("the child") {
            WaitStatus::PtraceSyscall(_) => Some(self.stop()),
            status => {
                assert_eq!(status, WaitStatus::Exited(self.0, 0), "the child did what it should");
                None
            }
        }
    }

    fn stop(&self) -> Stop {
        let info = ptrace::syscall_info(self.0).expect("ptrace");
        if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
            return Stop::Exit;
        }
        // SAFETY: it is the entry to a system call, so this is what the kernel has written.
        let entry = unsafe { info.u.entry };
        let call = SystemCall { number: entry.nr as c_long, arguments: entry.args };
        let by_syscall = function_at(info.instruction_pointer) == Some(c"syscall");
        Stop::Entry { call, by_syscall }
    }

    /// Kills it, and waits for its end.
    #[track_caller]
    pub fn kill(self) {
        kill(self.0, Signal::SIGKILL).expect("it is there");
        assert_eq!(waitpid(self.0, None), Ok(WaitStatus::Signaled(self.0, Signal::SIGKILL, false)));
    }
}

/// Of the system calls that are made after `body` has called [`begin`] those that `count`: which it is, and whether it
/// comes from syscall(3).
pub fn calls(body: impl FnOnce(), count: impl Fn(SystemCall, bool) -> bool) -> Vec<SystemCall> {
    let child = Traced::start(body);
    let mut calls = Vec::new();
    while let Some(stop) = child.go_on() {
        match stop {
            Stop::Entry { call, by_syscall } if count(call, by_syscall) => calls.push(call),
            _ => (),
        }
    }
    calls
}

/// The function of a library at this address, which in a child is the same.
fn function_at(address: u64) -> Option<&'static CStr> {
    let mut info = MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: takes an address that it only compares, and a place to write to.
    let found = unsafe { libc::dladdr(address as *const c_void, info.as_mut_ptr()) };
    if found == 0 {
        return None;
    }
    // SAFETY: dladdr(3) has written it.
    let name = unsafe { info.assume_init() }.dli_sname;
    // SAFETY: null, or a string in a library, which stays loaded: libc.
    (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) })
}
