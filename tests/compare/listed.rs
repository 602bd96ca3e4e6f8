// SPDX-License-Identifier: MIT
//! Sequences of a list.

use crate::case::{Call, Case, full};
use crate::rules::{Rule, compare};
use crate::run::Runner;
use crate::tally::Tally;

/// A comparison of a list of sequences.
pub struct List {
    pub name: &'static str,
    pub sequences: fn() -> Vec<(Case, Vec<Call>)>,
    pub rules: &'static [Rule],
    /// One of so many is compared, unless all are to be. A prime number, so that the others vary what the ones leave out.
    pub one_of: usize,
}

impl List {
    /// What is to be compared of it.
    pub fn taken(&self) -> impl Iterator<Item = (Case, Vec<Call>)> {
        (self.sequences)().into_iter().step_by(if full() { 1 } else { self.one_of })
    }
}

/// Compares the share of one of `workers`.
pub fn compare_list(runner: &mut Runner, list: &List, worker: usize, workers: usize) -> Tally {
    let mut tally = Tally::default();
    for (case, calls) in list.taken().skip(worker).step_by(workers) {
        let both = runner.run(&case, &calls);
        let comparison = compare(&case, &calls, &both, list.rules);
        tally.add(&comparison, 0);
        if comparison.failed {
            tally.fail(&case, &calls[..comparison.last], &both);
        }
    }
    tally
}
