// SPDX-License-Identifier: MIT
//! The module beside the system's C module, from each start, for each caller, with each set of arguments: all sequences of a
//! few calls, longer ones at random, and lists that vary something else: what is done to the session keyring between the calls, what
//! the kernel refuses, and the ids of the caller. After each call both must have left the same state, but for what a rule, named as
//! its entry of docs/differences.md, says of it.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod case;
mod deed;
mod every;
mod identity;
mod listed;
mod random;
mod refusal;
mod rules;
mod run;
mod state;
mod tally;

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Instant;

use libtest_mimic::{Arguments, Failed, Trial};
use nix::unistd::Uid;

use listed::List;
use rules::Rule;
use run::Runner;
use support::{artefact, differences, keys, not_run};
use tally::Tally;

const MODULE: &str = "PAM_KEYINIT_SO";
/// Set for processes that do a part of a comparison: which comparison, which of how many.
const WORKER: &str = "PAM_KEYINIT_WORKER";

const EVERY: &str = "every_sequence_of_a_few_calls";
const RANDOM: &str = "random_sequences_of_more_calls";

const LISTS: [List; 3] = [
    List {
        name: "what_is_done_to_the_keyring_between_calls",
        sequences: deed::sequences,
        rules: &deed::RULES,
        one_of: 11,
    },
    List { name: "system_calls_that_are_refused", sequences: refusal::sequences, rules: &refusal::RULES, one_of: 11 },
    List { name: "callers_with_ids_of_all_kinds", sequences: identity::sequences, rules: &identity::RULES, one_of: 11 },
];

fn main() -> ExitCode {
    if let Ok(part) = env::var(WORKER) {
        work(&part);
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1); // each takes all processors
    // A process that has a session keyring can never be without one again, and many sequences begin without.
    let look = || keys::id(keys::SESSION).ok() == keys::id(keys::USER_SESSION).ok();
    let without = thread::spawn(look).join().expect("no panic");
    let can_run = without && Uid::effective().is_root();
    let lists = LISTS.map(|list| Trial::test(list.name, move || compare_list(&list)));
    let trials = [Trial::test(EVERY, every), Trial::test(RANDOM, random)].into_iter().chain(lists);
    let trials: Vec<_> = trials.map(|trial| trial.with_ignored_flag(!can_run)).collect();
    let kept_out = if can_run { 0 } else { trials.len() };
    let conclusion = libtest_mimic::run(&arguments, trials);
    not_run::tell(kept_out, without);
    conclusion.exit_code()
}

fn every() -> Result<(), Failed> {
    let begun = Instant::now();
    let tally = share(EVERY, &[]);
    println!(
        "{} sequences of up to {} calls in {:?}; {:?}",
        tally.compared,
        every::longest(0),
        begun.elapsed(),
        tally.differences
    );
    judge(&tally)?;
    // It takes an end, two sessions, and one end.
    let takes_four = |rule: &&Rule| rule.entry == "early-end" && every::longest(0) < 4;
    all_entries_differ(&tally, rules::RULES.iter().filter(|rule| !takes_four(rule)))
}

fn compare_list(list: &List) -> Result<(), Failed> {
    let begun = Instant::now();
    let tally = share(list.name, &[]);
    println!(
        "{} sequences, {} calls in {:?}; {:?}",
        list.taken().count(),
        tally.compared,
        begun.elapsed(),
        tally.differences
    );
    judge(&tally)?;
    // A part of a list need not show all.
    if case::full() { all_entries_differ(&tally, list.rules.iter()) } else { Ok(()) }
}

fn all_entries_differ<'r>(tally: &Tally, mut rules: impl Iterator<Item = &'r Rule>) -> Result<(), Failed> {
    let entries = differences::entries();
    match rules.find(|rule| !tally.differences.contains_key(rule.entry) || !entries.contains(rule.entry)) {
        Some(Rule { entry, .. }) => {
            Err(format!("nothing differs by {entry}, or it is no entry of docs/differences.md").into())
        }
        None => Ok(()),
    }
}

fn random() -> Result<(), Failed> {
    let (begun, seed) = (Instant::now(), random::seed());
    println!("{}={seed}", random::SEED);
    let tally = share(RANDOM, &[(random::SEED, seed.to_string().into())]);
    println!(
        "{} random sequences, {} calls in {:?}; {:?}",
        random::number(),
        tally.compared,
        begun.elapsed(),
        tally.differences
    );
    judge(&tally)
}

fn judge(tally: &Tally) -> Result<(), Failed> {
    if tally.failed == 0 {
        return Ok(());
    }
    let shortest: Vec<_> = tally.failures().collect();
    Err(format!(
        "{} sequences differ without a rule, of these the shortest:\n\n{}",
        tally.failed,
        shortest.join("\n\n")
    )
    .into())
}

/// Runs a comparison in several processes.
fn share(comparison: &str, environment: &[(&str, OsString)]) -> Tally {
    let module = env::var_os(MODULE).unwrap_or_else(|| artefact::release().into());
    let workers = thread::available_parallelism().map_or(1, usize::from).min(8);
    let children: Vec<_> = (0..workers)
        .map(|worker| {
            Command::new(env::current_exe().expect("/proc"))
                .env(WORKER, format!("{comparison} {worker} {workers}"))
                .env(MODULE, &module)
                .env("MALLOC_ARENA_MAX", "1") // a thread begins sooner
                .envs(environment.iter().cloned())
                .stdout(Stdio::piped())
                .spawn()
                .expect("this program")
        })
        .collect();
    let tally = |output: std::process::Output| {
        assert!(output.status.success(), "a worker has failed");
        serde_json::from_slice::<Tally>(&output.stdout).expect("JSON")
    };
    children
        .into_iter()
        .map(|child| tally(child.wait_with_output().expect("a worker")))
        .reduce(Tally::merge)
        .expect("a worker at least")
}

fn work(part: &str) {
    let [comparison, worker, workers] = part.split(' ').collect::<Vec<_>>()[..] else { panic!("{WORKER}={part}") };
    let number = |text: &str| text.parse().expect("a number");
    let (worker, workers) = (number(worker), number(workers));
    keys::pass_filters();
    let ours = env::var_os(MODULE).expect("set by `share`");
    let mut runner = Runner::new(worker, workers, [&artefact::installed(), Path::new(&ours)]);
    let tally = match comparison {
        EVERY => every::compare_all(&mut runner, worker, workers),
        RANDOM => random::compare_some(&mut runner, worker, workers),
        name => {
            let list = LISTS.iter().find(|list| list.name == name).expect("a comparison");
            listed::compare_list(&mut runner, list, worker, workers)
        }
    };
    serde_json::to_writer(std::io::stdout(), &tally).expect("a pipe");
}
