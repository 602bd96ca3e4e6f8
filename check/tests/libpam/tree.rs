// SPDX-License-Identifier: MIT
//! Trees of service files, which libpam runs and the library reads.

use std::ffi::c_int;
use std::fs;
use std::os::unix::fs::chroot;
use std::path::Path;
use std::process::Command;

use keyinit_check::control::{ABORT, Answer, MODULE_UNKNOWN};
use keyinit_check::directive::Type;
use keyinit_check::dispatch::{run, run_again};
use keyinit_check::stack::{Entry, Service};
use keyinit_check::tree::Tree;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use tempfile::TempDir;

use crate::support::pam::{Pam, SUCCESS};

/// The recording module in all trees.
pub const RECORD: &str = "/record.so";

/// What an application is answered, and what the modules were called for.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Outcome {
    pub started: Answer,
    pub calls: Vec<String>,
    pub answers: Vec<Answer>,
}

impl Outcome {
    fn refused() -> Outcome {
        Outcome { started: ABORT, ..Outcome::default() }
    }
}

/// A folder with the recording module, which is libpam's root.
pub struct Root(TempDir);

impl Root {
    pub fn new() -> Root {
        let directory = tempfile::tempdir().expect("a directory");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/libpam/record.c");
        let module = directory.path().join("record.so");
        let status = Command::new("cc").args(["-shared", "-fPIC", "-w", "-o"]).arg(module).arg(source).status();
        assert!(status.expect("cc").success(), "the recording module");
        Root(directory)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Puts these files there, and none of an earlier tree.
    pub fn put<'a>(&self, files: impl IntoIterator<Item = (&'a str, &'a [u8])>) {
        for old in ["etc", "usr", "calls"] {
            let old = self.path().join(old);
            if old.is_dir() {
                fs::remove_dir_all(old).expect("a directory of ours");
            } else if old.exists() {
                fs::remove_file(old).expect("a file of ours");
            }
        }
        for (path, text) in files {
            let path = self.path().join(path);
            fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
            fs::write(path, text).expect("a file");
        }
    }

    /// What libpam does for an application of this name.
    pub fn outcome(&self, service: &str) -> Outcome {
        drop(fs::remove_file(self.path().join("calls")));
        // SAFETY: this process has one thread.
        match unsafe { fork() }.expect("a process") {
            ForkResult::Child => {
                let done = std::panic::catch_unwind(|| application(self.path(), service)).is_ok();
                // SAFETY: ends the process at once.
                unsafe { libc::_exit(i32::from(!done)) }
            }
            ForkResult::Parent { child } => match waitpid(child, None).expect("a child") {
                WaitStatus::Exited(_, 0) => self.written(),
                // A file that libpam dies of is refused in its way.
                WaitStatus::Signaled(..) => Outcome::refused(),
                other => panic!("the application: {other:?}"),
            },
        }
    }

    /// What is between brackets has blanks where lines are joined, and how many depends on the version.
    fn joined(calls: &str) -> String {
        calls.split([' ', '\n', '\t']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }

    fn written(&self) -> Outcome {
        let calls = fs::read(self.path().join("calls")).expect("calls");
        let calls = String::from_utf8_lossy(&calls);
        let (answers, calls): (Vec<_>, Vec<_>) = calls.split_terminator('\0').partition(|line| line.starts_with('='));
        let mut answers = answers.into_iter().map(|line| line[1..].parse().expect("an answer"));
        let started = answers.next().expect("an answer");
        Outcome { started, calls: calls.into_iter().map(Root::joined).collect(), answers: answers.collect() }
    }

    /// What the library says that libpam does.
    pub fn foretold(&self, service: &Service) -> Outcome {
        if service.refused {
            return Outcome::refused();
        }
        let mut outcome = Outcome::default();
        for (kind, calls) in
            [(Type::Auth, &["auth", "cred"][..]), (Type::Account, &["account"]), (Type::Session, &["open", "close"])]
        {
            let stack = service.stack(kind);
            let answer = |call| move |index: usize| answer(&stack[index], call);
            let first = run(stack, answer(calls[0]));
            let second = calls.get(1).map(|call| (*call, run_again(stack, &first, answer(call))));
            for (call, run) in [(calls[0], first)].into_iter().chain(second) {
                outcome.calls.extend(
                    run.passed.iter().filter_map(|(index, _)| Some(Root::joined(&record(&stack[*index], call)?))),
                );
                outcome.answers.push(run.answer);
            }
        }
        outcome
    }

    pub fn read(&self, service: &str) -> Service {
        Service::read(&Tree::new(self.path()), service)
    }
}

/// What the recording module writes down. Others are not there.
fn record(entry: &Entry, call: &str) -> Option<String> {
    let module = entry.module().filter(|module| module.path == RECORD)?;
    Some([call.to_owned()].into_iter().chain(module.arguments.clone()).collect::<Vec<_>>().join("|"))
}

fn answer(entry: &Entry, call: &str) -> Answer {
    match entry.module() {
        Some(module) if module.path == RECORD => {
            let answers = module.arguments.iter().filter_map(|word| word.strip_prefix(call)?.strip_prefix('='));
            answers.filter_map(|number| number.parse().ok()).next_back().unwrap_or(0)
        }
        _ => MODULE_UNKNOWN,
    }
}

/// An application, in a process and a root of its own.
fn application(root: &Path, service: &str) {
    chroot(root).expect("a root");
    std::env::set_current_dir("/").expect("a root");
    match Pam::start_of_system(service) {
        Err(answer) => write_answer(answer),
        Ok(mut pam) => {
            write_answer(SUCCESS);
            write_answer(pam.authenticate());
            write_answer(pam.setcred(0));
            write_answer(pam.acct_mgmt());
            write_answer(pam.open());
            write_answer(pam.close());
        }
    }
}

fn write_answer(answer: c_int) {
    use std::io::Write as _;
    let mut calls = fs::OpenOptions::new().append(true).create(true).open("/calls").expect("a file");
    write!(calls, "={answer}\0").expect("written");
}
