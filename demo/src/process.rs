// SPDX-License-Identifier: MIT
//! Processes that hand over to each other, and end with the one that started them.

use std::fmt::Display;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{self, ExitCode};

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, alarm, fork};

/// Nothing here takes a second. A child that hangs ends with SIGALRM; the first process stays, to say so and clean up.
const SECONDS: u32 = 10;

/// Why a process goes no further.
pub enum Stop {
    /// Something failed, or is not as it should be.
    Failure(String),
    /// Another process has said what.
    Told,
}

pub type Outcome<T = ()> = Result<T, Stop>;

/// For `map_err`: names what failed.
pub fn failed<E: Display>(what: &str) -> impl FnOnce(E) -> Stop {
    move |error| Stop::Failure(format!("{what}: {error}"))
}

/// Stops if it does not hold; `otherwise` says what is wrong then.
pub fn check(holds: bool, otherwise: impl Display) -> Outcome {
    if holds { Ok(()) } else { Err(Stop::Failure(otherwise.to_string())) }
}

/// Prints a line. A reader who has seen enough, as in `| head`, is no failure.
pub fn print(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Says to the reader what failed, and makes the exit status of it.
pub fn told(outcome: Outcome) -> u8 {
    if let Err(Stop::Failure(what)) = &outcome {
        print(format_args!("\nFAILED: {what}"));
    }
    u8::from(outcome.is_err())
}

/// Runs the first process.
pub fn run(body: impl FnOnce() -> Outcome) -> ExitCode {
    told(body()).into()
}

/// One end of a conversation between a process and the one that started it. It is had in numbers.
pub struct Line(UnixStream);

impl Line {
    pub fn say(&mut self, number: i32) -> Outcome {
        self.0.write_all(&number.to_ne_bytes()).map_err(|_| Stop::Told)
    }

    /// Waits for a number. There is none any more when the process at the other end has ended.
    pub fn hear(&mut self) -> Outcome<i32> {
        let mut number = [0; 4];
        self.0.read_exact(&mut number).map_err(|_| Stop::Told)?;
        Ok(i32::from_ne_bytes(number))
    }

    /// The two directions, as standard input and output of a program.
    pub fn into_stdio(self) -> Outcome<[OwnedFd; 2]> {
        let copy = self.0.try_clone().map_err(failed("dup"))?;
        Ok([copy.into(), self.0.into()])
    }
}

/// A child process. When it is dropped, it hears nothing any more, and its end is waited for.
pub struct Process {
    name: &'static str,
    /// None once it has been waited for.
    pid: Option<Pid>,
    line: Line,
}

impl Process {
    /// Starts `body` in a child process.
    pub fn start(name: &'static str, body: impl FnOnce(Line) -> Outcome) -> Outcome<Process> {
        let (ours, theirs) = UnixStream::pair().map_err(failed("socketpair"))?;
        // SAFETY: none of these processes has a second thread.
        match unsafe { fork() }.map_err(failed("fork"))? {
            ForkResult::Child => {
                drop(ours);
                alarm::set(SECONDS);
                process::exit(told(body(Line(theirs))).into())
            }
            ForkResult::Parent { child } => Ok(Process { name, pid: Some(child), line: Line(ours) }),
        }
    }

    pub fn say(&mut self, number: i32) -> Outcome {
        self.line.say(number).or_else(|_| self.ended_early())
    }

    pub fn hear(&mut self) -> Outcome<i32> {
        match self.line.hear() {
            Ok(number) => Ok(number),
            Err(_) => self.ended_early(),
        }
    }

    /// Says a number and hears one.
    pub fn echo(&mut self, number: i32) -> Outcome<i32> {
        self.say(number)?;
        self.hear()
    }

    /// Waits until the process has ended, and checks that all went as it should.
    pub fn finish(mut self) -> Outcome {
        self.end()
    }

    fn ended_early<T>(&mut self) -> Outcome<T> {
        self.end()?;
        Err(Stop::Failure(format!("{} ended too early", self.name)))
    }

    fn end(&mut self) -> Outcome {
        let Some(pid) = self.pid.take() else { return Ok(()) };
        // Unlike a close this reaches the child also where processes started later have copies of our end.
        let _ = self.line.0.shutdown(Shutdown::Write);
        match waitpid(pid, None).map_err(failed("waitpid"))? {
            WaitStatus::Exited(_, 0) => Ok(()),
            WaitStatus::Exited(_, 1) => Err(Stop::Told), // as `told` answers
            WaitStatus::Signaled(_, signal, _) => Err(Stop::Failure(format!("{} was ended by {signal}", self.name))),
            other => Err(Stop::Failure(format!("{} ended with {other:?}", self.name))),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.end(); // on the way out of a failure that has been told
    }
}
