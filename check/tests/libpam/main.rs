// SPDX-License-Identifier: MIT
//! The library reads PAM's files as libpam does: the same modules are called in the same order, with the same arguments,
//! and the application is answered the same.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

mod random;
mod tree;

#[path = "../../../tests/support/namespace.rs"]
#[allow(dead_code, reason = "a part of it serves here")]
mod namespace;

use std::cell::Cell;
use std::process::{Command, ExitCode};

use keyinit_check::stack::Known;
use libtest_mimic::{Arguments, Trial};
use proptest::prop_assert_eq;
use proptest::test_runner::{Config, TestRunner};

use random::{Files, pam_confs, trees};
use tree::Root;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1); // each test makes processes
    let trials = vec![
        Trial::test("random_trees_are_read_as_libpam_reads_them", || Ok(compare_random(3000, trees()))),
        Trial::test("random_pam_confs_are_read_as_libpam_reads_them", || Ok(compare_random(500, pam_confs()))),
    ];
    namespace::user_namespace();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn compare_random(cases: u32, trees: impl proptest::strategy::Strategy<Value = Files>) {
    let cases = std::env::var("PAM_KEYINIT_RANDOM").map_or(cases, |number| number.parse().expect("a number"));
    let root = Root::new();
    let known: &[Known] = if libpam_is_old() { &[Known::Always] } else { &[Known::Always, Known::Newer] };
    let (compared, skipped, refused) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
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
    println!("{} compared, {} of them refused, {} of whose reading nothing is known", compared.get(), refused.get(), skipped.get());
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
