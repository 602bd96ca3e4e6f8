// SPDX-License-Identifier: MIT
//! All sequences of up to so many calls.

use crate::case::{CALLS, all};
use crate::rules::compare;
use crate::run::Runner;
use crate::tally::Tally;

/// The longest sequences: three calls, or four with PAM_KEYINIT_COMPARE=full.
pub fn depth() -> usize {
    if std::env::var_os("PAM_KEYINIT_COMPARE").is_some_and(|value| value == "full") { 4 } else { 3 }
}

/// Compares the share of one of `workers`. The shorter sequences are the beginnings of the longest. Where the modules part
/// or fail, no longer sequence with that beginning is compared.
pub fn compare_all(runner: &mut Runner, worker: usize, workers: usize) -> Tally {
    let mut tally = Tally::default();
    let cases: Vec<_> = all().collect();
    for (number, &case) in cases.iter().enumerate().skip(worker).step_by(workers) {
        if worker == 0 && number % 20 == 0 {
            eprintln!("{number} of {}: {case}", cases.len());
        }
        let mut loaded = runner.load(case);
        // The sequence as numbers of calls, and how many of its first calls were in the sequence before.
        let (mut numbers, mut known) = (vec![0; depth()], 0);
        loop {
            let calls: Vec<_> = numbers.iter().map(|&number| CALLS[number]).collect();
            let both = runner.run(&mut loaded, &calls);
            let comparison = compare(&case, &calls, &both);
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
    tally
}
