// SPDX-License-Identifier: MIT
//! All sequences of up to four calls.

use crate::case::{CALLS, Call, Case, all, full};
use crate::rules::compare;
use crate::run::Runner;
use crate::tally::Tally;

/// All sequences of these calls, up to the longest; those up to `known` are in another part.
struct Part {
    calls: &'static [Call],
    longest: usize,
    known: usize,
}

/// All sequences with PAM_KEYINIT_COMPARE=full, which takes minutes. Else those of four calls are only of calls that open
/// or end something.
fn parts() -> Vec<Part> {
    if full() {
        return vec![Part { calls: &CALLS, longest: 4, known: 0 }];
    }
    let acting = &CALLS[3..];
    vec![Part { calls: &CALLS, longest: 3, known: 0 }, Part { calls: acting, longest: 4, known: 3 }]
}

/// Compares the share of one of `workers`. The shorter sequences are the beginnings of the longest.
pub fn compare_all(runner: &mut Runner, worker: usize, workers: usize) -> Tally {
    let mut tally = Tally::default();
    let cases: Vec<_> = all().collect();
    for (number, &case) in cases.iter().enumerate().skip(worker).step_by(workers) {
        if worker == 0 && number % 20 == 0 {
            eprintln!("{number} of {}: {case}", cases.len());
        }
        parts().iter().for_each(|part| compare_part(runner, case, part, &mut tally));
    }
    tally
}

/// Where the modules part or fail, no longer sequence with that beginning is compared.
fn compare_part(runner: &mut Runner, case: Case, part: &Part, tally: &mut Tally) {
    // The sequence as numbers of calls, and how many of its first calls are in another.
    let (mut numbers, mut known) = (vec![0; part.longest], part.known);
    loop {
        let calls: Vec<_> = numbers.iter().map(|&number| part.calls[number]).collect();
        let both = runner.run(&case, &calls);
        let comparison = compare(&case, &calls, &both, &[]);
        tally.add(&comparison, known);
        if comparison.failed {
            tally.fail(&case, &calls[..comparison.last], &both);
        }
        let next = numbers[..comparison.last].iter().rposition(|&number| number + 1 < part.calls.len());
        let Some(next) = next else { break };
        numbers[next] += 1;
        numbers[next + 1..].fill(0);
        known = next.max(part.known);
    }
}
