// SPDX-License-Identifier: MIT
//! What has come of many comparisons.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::case::{Call, Case};
use crate::rules::{self, Comparison};
use crate::run::Both;

/// How many failures are kept, the shortest.
const KEPT: usize = 1000000;

#[derive(Serialize, Deserialize, Default)]
pub struct Tally {
    /// Sequences, or the first calls of some, that were compared.
    pub compared: u64,
    /// How often the modules differed by each entry.
    pub differences: BTreeMap<String, u64>,
    pub failed: u64,
    failures: Vec<Failure>,
}

#[derive(Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Failure {
    calls: usize,
    text: String,
}

impl Tally {
    /// Adds a comparison, of which the calls up to the one of this number were compared before.
    pub fn add(&mut self, Comparison { last, differences, .. }: &Comparison, known: usize) {
        self.compared += last.saturating_sub(known) as u64;
        for (_, entry) in differences.iter().filter(|(number, _)| *number > known) {
            *self.differences.entry((*entry).to_owned()).or_default() += 1;
        }
    }

    /// Adds a sequence in which the modules differ without a rule after the last of `calls`.
    pub fn fail(&mut self, case: &Case, calls: &[Call], both: &Both) {
        self.failed += 1;
        self.failures.push(Failure { calls: calls.len(), text: rules::show(case, calls, both) });
        self.keep_the_shortest();
    }

    pub fn merge(mut self, other: Tally) -> Tally {
        self.compared += other.compared;
        self.failed += other.failed;
        for (entry, number) in other.differences {
            *self.differences.entry(entry).or_default() += number;
        }
        self.failures.extend(other.failures);
        self.keep_the_shortest();
        self
    }

    fn keep_the_shortest(&mut self) {
        self.failures.sort();
        self.failures.dedup();
        self.failures.truncate(KEPT);
    }

    /// The failures, the shortest first.
    pub fn failures(&self) -> impl Iterator<Item = &str> {
        self.failures.iter().map(|failure| &*failure.text)
    }
}
