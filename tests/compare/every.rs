// SPDX-License-Identifier: MIT
//! All sequences of a few calls.

use crate::case::{CALLS, Case, all, full};
use crate::rules::compare;
use crate::run::Runner;
use crate::tally::Tally;

/// Of how many calls the longest are, for the case of this number: all of four take minutes. Three shares no divisor with what the
/// cases vary, so that one of three has each line-up with each keyring to begin with, and with each pair of caller and user.
pub fn longest(number: usize) -> usize {
    match (full(), number % 3) {
        (true, _) => 4,
        (false, 0) => 3,
        (false, _) => 2,
    }
}

/// Compares the share of one of `workers`. The shorter sequences are the beginnings of the longest.
pub fn compare_all(runner: &mut Runner, worker: usize, workers: usize) -> Tally {
    let mut tally = Tally::default();
    let cases: Vec<_> = all().collect();
    for (number, &case) in cases.iter().enumerate().skip(worker).step_by(workers) {
        if worker == 0 && number % 20 == 0 {
            eprintln!("{number} of {}: {case}", cases.len());
        }
        compare_case(runner, case, longest(number), &mut tally);
    }
    tally
}

/// Where the modules part or fail, no longer sequence with that beginning is compared.
fn compare_case(runner: &mut Runner, case: Case, longest: usize, tally: &mut Tally) {
    // The sequence as numbers of calls, and how many of its first calls are in another.
    let (mut numbers, mut known) = (vec![0; longest], 0);
    loop {
        let calls: Vec<_> = numbers.iter().map(|&number| CALLS[number]).collect();
        let both = runner.run(&case, &calls);
        let comparison = compare(&case, &calls, &both, &[]);
        tally.add(&comparison, known);
        if comparison.failed {
            tally.fail(&case, &calls[..comparison.last], &both);
        }
        let next = numbers[..comparison.last].iter().rposition(|&number| number + 1 < CALLS.len());
        let Some(next) = next else { break };
        numbers[next] += 1;
        numbers[next + 1..].fill(0);
        known = next;
    }
}
