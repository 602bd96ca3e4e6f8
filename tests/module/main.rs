// SPDX-License-Identifier: MIT
//! The behaviour of the module: the release .so, the system's libpam, the kernel's keyrings.
//!
//! Each case runs in a process of its own, which starts this program again with the case's name, in a mount and user
//! namespace of its own (see `stage`). So cases cannot disturb each other or the machine, whose keyrings stay as they are.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

mod cases;
mod stage;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Failed, Trial};

use stage::{Stage, difference, memcheck, probe};
use support::{artefact, keys, not_run};

/// What a case needs of whoever runs the tests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: the caller is the user who logs in.
    Anyone,
    /// Root, for other users, other callers and other files.
    Root,
}

/// A test.
pub struct Case {
    /// Its function's.
    path: &'static str,
    needs: Needs,
    /// The entry of docs/differences.md that it shows, if any: it has to fail on the C module.
    shows: &'static [&'static str],
    body: fn(&Stage),
}

impl Case {
    /// Its file's name and its own.
    fn name(&self) -> &'static str {
        self.path.trim_start_matches("module::cases::")
    }
}

const CASE: &str = "PAM_KEYINIT_CASE";
const DIRECTORY: &str = "PAM_KEYINIT_DIRECTORY";
const MODULE: &str = "PAM_KEYINIT_SO";

/// The cases, all but those that are not for memcheck if that is on.
fn all() -> impl Iterator<Item = &'static Case> {
    cases::FILES.into_iter().flatten().filter(|case| !memcheck::is_on() || !memcheck::leaves_out(case))
}

/// Tried before the others: succeeds where a process has no session keyring of its own.
const WITHOUT_SESSION_KEYRING: Case = Case {
    path: "without_session_keyring",
    needs: Needs::Anyone,
    shows: &[],
    body: |_| assert_eq!(keys::id(keys::SESSION).ok(), keys::id(keys::USER_SESSION).ok()),
};

fn main() -> ExitCode {
    if probe::is_shell() {
        probe::serve();
        return ExitCode::SUCCESS;
    }
    if let Some(name) = env::var_os(CASE) {
        let case =
            all().chain([&WITHOUT_SESSION_KEYRING]).find(|case| *case.name() == *name).expect("a case of this name");
        let path = |variable| PathBuf::from(env::var_os(variable).expect("set by `run`"));
        let stage = Stage::new(case.needs, path(MODULE), path(DIRECTORY));
        case.shows.iter().for_each(|entry| stage.differences.whole(entry, &stage.module));
        (case.body)(&stage);
        return ExitCode::SUCCESS;
    }

    let arguments = Arguments::from_args();
    let module = match env::var_os(MODULE) {
        _ if difference::on_reference() => artefact::installed(),
        Some(module) => PathBuf::from(module),
        None => artefact::release(),
    };
    // A process that has a session keyring can never be without one again, and most cases begin without.
    let without = run(&WITHOUT_SESSION_KEYRING, &module).is_ok();
    let root = nix::unistd::Uid::effective().is_root();
    let can_run = |case: &Case| without && (root || case.needs == Needs::Anyone);
    let kept_out = all().filter(|case| !can_run(case)).count();
    let shown = Arc::new(Mutex::new(BTreeSet::new()));
    let trials = all().map(|case| {
        let (module, shown) = (module.clone(), Arc::clone(&shown));
        let body = move || {
            let entries = run(case, &module)?;
            shown.lock().expect("no panic").extend(entries);
            Ok(())
        };
        Trial::test(case.name(), body).with_ignored_flag(!can_run(case))
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    not_run::tell(kept_out, without);
    if conclusion.num_passed == all().count() as u64 && !memcheck::is_on() {
        let wrong = difference::not_shown(&shown.lock().expect("no panic"));
        wrong.iter().for_each(|line| println!("{line}"));
        if !wrong.is_empty() {
            return ExitCode::FAILURE;
        }
    }
    conclusion.exit_code()
}

/// Runs one case in a process of its own. Returns the entries of docs/differences.md that it has shown.
fn run(case: &Case, module: &Path) -> Result<BTreeSet<String>, Failed> {
    // Its own, and removed here: what the case mounts in it is gone with the case.
    let directory = tempfile::tempdir()?;
    let program = env::current_exe()?;
    let mut command = if memcheck::is_on() { memcheck::command(&program) } else { Command::new(program) };
    let output = command
        .env(CASE, case.name())
        .env("RUST_BACKTRACE", "0")
        .env(DIRECTORY, directory.path())
        .env(MODULE, module)
        .output()?;
    let [figures, errors] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let outcome = if output.status.success() {
        print!("{figures}");
        Ok(())
    } else {
        Err(format!("{}\n{figures}{errors}", output.status))
    };
    let shown = difference::shown(directory.path());
    difference::judge(case, module, &shown, outcome)?;
    Ok(shown)
}
