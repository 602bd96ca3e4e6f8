// SPDX-License-Identifier: MIT
//! Longer sequences, at random. Those that fail are made as short and simple as they go.

use std::cell::RefCell;
use std::env;

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::{Just, prop_oneof};
use proptest::sample::select;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use crate::case::{CALLS, Call, Caller, Case, LINES, Lines, all};
use crate::rules::{Rule, compare};
use crate::run::Runner;
use crate::tally::Tally;
use crate::{deed, identity, refusal};

pub const SEED: &str = "PAM_KEYINIT_SEED";

/// How many sequences come of one seed: the same whoever runs them.
const OF_A_SEED: u32 = 50;

/// How many there are in all.
pub fn number() -> u32 {
    env::var("PAM_KEYINIT_RANDOM").map_or(3000, |number| number.parse().expect("PAM_KEYINIT_RANDOM is a number"))
}

/// The seed of all. The same each time unless another is asked for: what a run finds is of the change that it is run for.
pub fn seed() -> u64 {
    env::var(SEED).map_or(1, |seed| seed.parse().expect("PAM_KEYINIT_SEED is a number"))
}

/// Calls alone, between deeds, with refusals, and of callers with all kinds of ids; each with its rules.
fn sequences() -> impl Strategy<Value = (Case, Vec<Call>, &'static [Rule])> {
    let cases = || select(all().collect::<Vec<_>>());
    let of = |lines: Vec<&'static Lines>| (cases(), select(lines)).prop_map(|(case, lines)| Case { lines, ..case });
    let deeds = prop_oneof![2 => select(&CALLS[..]), 1 => select(deed::all()).prop_map(Call::Between)];
    let refused = (of(refusal::lines().collect()), select(refusal::all()))
        .prop_map(|(case, refusal)| Case { refusal: Some(refusal), ..case });
    let ids = (cases(), select(identity::all())).prop_map(|(case, ids)| Case { caller: Caller::Of(ids), ..case });
    prop_oneof![
        2 => (cases(), places(select(&CALLS[..])), Just(&[] as &[Rule])),
        2 => (of(LINES.iter().chain(deed::lines()).collect()), places(deeds), Just(&deed::RULES as &[Rule])),
        1 => (refused, places(select(&CALLS[..])), Just(&refusal::RULES as &[Rule])),
        1 => (ids, places(select(&CALLS[..])), Just(&identity::RULES as &[Rule])),
    ]
}

/// Twelve places, most of them filled: so a sequence is made shorter by taking calls out anywhere.
fn places(calls: impl Strategy<Value = Call>) -> impl Strategy<Value = Vec<Call>> {
    vec(weighted(0.8, calls), 12).prop_map(|calls| calls.into_iter().flatten().collect())
}

/// Compares the share of one of `workers`.
pub fn compare_some(runner: &mut Runner, worker: usize, workers: usize) -> Tally {
    let (tally, runner, failure) = (RefCell::new(Tally::default()), RefCell::new(runner), RefCell::new(None));
    let run = |(case, calls, rules): (Case, Vec<Call>, &[Rule])| {
        let mut runner = runner.borrow_mut();
        let both = runner.run(&case, &calls);
        let comparison = compare(&case, &calls, &both, rules);
        if comparison.failed {
            failure.replace(Some((case, calls, both, comparison.last)));
            return Err(TestCaseError::fail("the modules differ"));
        }
        tally.borrow_mut().add(&comparison, 0);
        Ok(())
    };
    let parts = number().div_ceil(OF_A_SEED);
    for part in (0..parts).skip(worker).step_by(workers) {
        if worker == 0 && part / workers as u32 % 5 == 0 {
            eprintln!("{} of {} random sequences", part * OF_A_SEED, number());
        }
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed().to_le_bytes());
        bytes[8..12].copy_from_slice(&part.to_le_bytes());
        let cases = OF_A_SEED.min(number() - part * OF_A_SEED);
        let config = Config { cases, failure_persistence: None, ..Config::default() };
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let outcome = TestRunner::new_with_rng(config, random).run(&sequences(), run);
        // The last sequence that failed is the simplest.
        if let Some((case, calls, both, last)) = failure.take() {
            tally.borrow_mut().fail(&case, &calls[..last], &both);
        } else {
            outcome.expect("no other failure");
        }
    }
    tally.into_inner()
}
