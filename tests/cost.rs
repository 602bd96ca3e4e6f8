// SPDX-License-Identifier: MIT
//! Upper bounds for what a login costs where that does not depend on the machine, and less than with the C module.

mod support;

use std::env;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use nix::unistd::Uid;

use support::cost::{self, Place, Service, UIDS};
use support::{artefact, not_run};

/// Both modules, and where they are measured.
struct Both {
    place: Place,
    ours: PathBuf,
    theirs: PathBuf,
}

impl Both {
    /// The same of both modules: ours, and the C module's.
    fn each<T>(&self, what: &str, cost: impl Fn(&Service, &Path) -> T) -> [T; 2]
    where
        [T; 2]: Debug,
    {
        let costs = [&self.ours, &self.theirs].map(|module| cost(&self.place.own_keyring(module), module));
        println!("{what}, ours and the C module: {costs:?}");
        costs
    }
}

fn system_calls_for_another_user(both: &Both) {
    let [ours, theirs] = both.each("system calls", |service, _| service.system_calls(UIDS.start));
    assert!(ours <= 11 && ours < theirs);
}

fn system_calls_for_the_caller(both: &Both) {
    let [ours, theirs] = both.each("system calls", |service, _| service.system_calls(0));
    assert!(ours <= 5 && ours < theirs);
}

/// So that none of libpam's is counted as the module's.
fn libpam_makes_no_system_call_that_is_counted(both: &Both) {
    let nothing = both.place.service("nothing", "pam_permit.so", 1);
    assert_eq!([0, UIDS.start].map(|uid| nothing.system_calls(uid)), [0; 2]);
}

/// Our own code does more than the C module's (it had 1,946 instructions, and 431), and loading it and what it calls less.
fn instructions(both: &Both) {
    let [ours, theirs] = both.each("instructions", Service::instructions);
    assert!(ours.module <= 2_335);
    assert!(ours.process < theirs.process);
}

type Test = (&'static str, fn(&Both));

const TESTS: [Test; 4] = [
    ("system_calls_for_another_user", system_calls_for_another_user),
    ("system_calls_for_the_caller", system_calls_for_the_caller),
    ("libpam_makes_no_system_call_that_is_counted", libpam_makes_no_system_call_that_is_counted),
    ("instructions", instructions),
];

fn main() -> ExitCode {
    if cost::is_counted() {
        return ExitCode::SUCCESS;
    }
    if !Uid::effective().is_root() {
        not_run::tell(TESTS.len(), true);
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1); // this one: a process with more cannot enter a user namespace, and is not forked
    let valgrind = Command::new("valgrind").arg("--version").output().is_ok();
    let ours: PathBuf = env::var_os("PAM_KEYINIT_SO").map_or_else(artefact::release, Into::into);
    let place = Place::enter();
    let [ours, theirs] =
        [(ours, "ours.so"), (artefact::installed(), "them.so")].map(|(file, name)| place.copy(&file, name));
    let both = Arc::new(Both { place, ours, theirs });
    let trials = TESTS.map(|(name, test)| {
        let both = Arc::clone(&both);
        let needs_valgrind = name == "instructions";
        let body = move || {
            test(&both);
            Ok(())
        };
        Trial::test(name, body).with_ignored_flag(needs_valgrind && !valgrind)
    });
    let conclusion = libtest_mimic::run(&arguments, trials.into());
    if !valgrind {
        println!("NOT RUN: 1 test needs valgrind, which counts instructions.");
    }
    conclusion.exit_code()
}
