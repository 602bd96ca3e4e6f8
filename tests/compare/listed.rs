// SPDX-License-Identifier: MIT
//! Sequences of a list.

use crate::case::{Call, Case};
use crate::rules::{Rule, compare};
use crate::run::Runner;
use crate::tally::Tally;

/// Compares the share of one of `workers`.
pub fn compare_list(
    runner: &mut Runner,
    list: &[(Case, Vec<Call>)],
    rules: &[Rule],
    worker: usize,
    workers: usize,
) -> Tally {
    let mut tally = Tally::default();
    for (case, calls) in list.iter().skip(worker).step_by(workers) {
        let both = runner.run(case, calls);
        let comparison = compare(case, calls, &both, rules);
        tally.add(&comparison, 0);
        if comparison.failed {
            tally.fail(case, &calls[..comparison.last], &both);
        }
    }
    tally
}
