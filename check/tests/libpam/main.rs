// SPDX-License-Identifier: MIT
//! The library reads PAM's files as libpam does: the same modules are called in the same order, with the same arguments,
//! and the application is answered the same.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

mod alice;
mod findings;
mod login;
mod random;
mod session;
mod shipped;
mod support;
mod tree;

use std::cell::Cell;
use std::env;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use keyinit_check::stack::Known;
use libtest_mimic::{Arguments, Trial};
use proptest::prop_assert_eq;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use support::{artefact, child, keys, namespace, not_run};

use random::{Files, pam_confs, trees};
use tree::Root;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1); // each test makes processes
    let module = env::var_os("PAM_KEYINIT_SO").map_or_else(artefact::release, PathBuf::from);
    let other = module.clone();
    let root = nix::unistd::Uid::effective().is_root();
    namespace::user_namespace();
    // A look would give this process a session keyring.
    let look = || assert_eq!(keys::id(keys::SESSION).ok(), keys::id(keys::USER_SESSION).ok(), "no session keyring");
    let without = std::panic::catch_unwind(|| child::in_child(look)).is_ok();
    let trials = vec![
        trial("random_trees_are_read_as_libpam_reads_them", true, || compare_random(2000, trees())),
        trial("the_trees_of_distributions_are_read_as_libpam_reads_them", true, shipped::compare),
        trial("random_pam_confs_are_read_as_libpam_reads_them", true, || compare_random(500, pam_confs())),
        trial("what_is_foretold_of_a_login_happens", root && without, move || login::compare_logins(&module)),
        trial("what_is_found_in_the_files_of_distributions_is_true", root && without, move || {
            findings::try_all(&other)
        }),
        trial("each_kind_of_session_keyring_is_told", root && without, session::assert_states),
        trial("of_other_processes_it_is_said_what_is_known", true, session::assert_others),
    ];
    let kept_out = trials.iter().filter(|trial| trial.has_ignored_flag()).count();
    let conclusion = libtest_mimic::run(&arguments, trials);
    not_run::tell(kept_out, without);
    conclusion.exit_code()
}

fn trial(name: &str, can_run: bool, body: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, || {
        body();
        Ok(())
    })
    .with_ignored_flag(!can_run)
}

fn compare_random(cases: u32, trees: impl proptest::strategy::Strategy<Value = Files>) {
    let cases = env::var("PAM_KEYINIT_RANDOM").map_or(cases, |number| number.parse().expect("a number"));
    let root = Root::new();
    let known: &[Known] = if libpam_is_old() { &[Known::Always] } else { &[Known::Always, Known::Newer] };
    let (compared, skipped, refused) = (Cell::new(0), Cell::new(0), Cell::new(0));
    // The same each time unless another is asked for: what a run finds is of the change that it is run for.
    let seed = env::var("PAM_KEYINIT_SEED").map_or(1, |seed| seed.parse().expect("PAM_KEYINIT_SEED is a number"));
    let rng_seed = RngSeed::Fixed(seed);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, rng_seed, ..Config::default() });
    let result = runner.run(&trees, |files| {
        root.put(files.iter().map(|(path, text)| (&**path, &**text)));
        let service = root.read("login");
        // libpam reads files that double themselves for minutes.
        if service.lines > 500 || service.faults.iter().any(|fault| !known.contains(&fault.known)) {
            skipped.set(skipped.get() + 1);
            return Ok(());
        }
        compared.set(compared.get() + 1);
        refused.set(refused.get() + u32::from(service.refused));
        let (done, foretold) = (root.outcome("login"), root.foretold(&service));
        let texts = || files.iter().map(|(path, text)| format!("\n--- {path}\n{}", String::from_utf8_lossy(text)));
        let texts = || texts().collect::<String>();
        prop_assert_eq!(&done, &foretold, "done, and foretold; {:?}{}", service.faults, texts());
        Ok(())
    });
    println!(
        "{} compared, {} of them refused, {} of whose reading nothing is known",
        compared.get(),
        refused.get(),
        skipped.get()
    );
    if let Err(error) = result {
        panic!("{}", error.to_string().split("minimal failing input").next().unwrap_or_default());
    }
}

/// Whether this is a libpam before 1.7, which reads some lines in its own way.
fn libpam_is_old() -> bool {
    let output = Command::new("dpkg-query").args(["-W", "-f", "${Version}", "libpam0g"]).output();
    let version = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    version.starts_with("1.5.")
}
