// SPDX-License-Identifier: MIT
//! Samples, each taken in a process of its own, and what is said of many of them.

use std::cell::Cell;
use std::fs::File;
use std::io::{Read, Write};
use std::time::Instant;

use nix::unistd::pipe;

use crate::support::child::{in_child, wait_for_room};
use crate::support::cost::UIDS;

/// What `body` finds out in a process of its own, which ends with it.
pub fn in_process(body: impl FnOnce() -> Vec<f64>) -> Vec<f64> {
    let (from, to) = pipe().expect("a pipe");
    in_child(|| {
        let bytes: Vec<u8> = body().into_iter().flat_map(f64::to_ne_bytes).collect();
        File::from(to.try_clone().expect("a pipe")).write_all(&bytes).expect("a pipe");
    });
    drop(to);
    let mut bytes = Vec::new();
    File::from(from).read_to_end(&mut bytes).expect("a pipe");
    bytes.chunks_exact(8).map(|number| f64::from_ne_bytes(number.try_into().expect("eight bytes"))).collect()
}

/// How many microseconds `body` takes.
pub fn time(body: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    body();
    begun.elapsed().as_secs_f64() * 1e6
}

/// How many microseconds `body` takes in a process of its own.
pub fn time_in_process(body: impl FnOnce()) -> f64 {
    in_process(|| vec![time(body)])[0]
}

/// Users who log in, in turn: each has a quota of keys, which the kernel frees late.
pub struct Users(Cell<u32>);

impl Users {
    pub fn new() -> Users {
        Users(Cell::new(UIDS.start))
    }

    pub fn next(&self) -> u32 {
        let uid = self.0.get();
        self.0.set(if uid + 1 == UIDS.end { UIDS.start } else { uid + 1 });
        wait_for_room(uid);
        uid
    }
}

/// The quartiles of many samples.
#[derive(Clone, Copy)]
pub struct Spread {
    pub low: f64,
    pub median: f64,
    pub high: f64,
}

impl Spread {
    pub fn of(mut values: Vec<f64>) -> Spread {
        values.sort_by(f64::total_cmp);
        // Between two values where none stands at the place.
        let last = values.len() - 1;
        let [low, median, high] = [1, 2, 3].map(|quarter| {
            let (before, rest) = (last * quarter / 4, last * quarter % 4);
            let after = last.min(before + 1);
            values[before] + (values[after] - values[before]) * rest as f64 / 4.0
        });
        Spread { low, median, high }
    }
}

/// Samples of several things, taken in turn, round by round.
pub struct Samples<const N: usize>(Vec<[f64; N]>);

impl<const N: usize> Samples<N> {
    /// Takes a sample of each thing in turn, in so many rounds, after others that do not count. Each thing is the first of a
    /// round as often as the others.
    pub fn take(warm_up: usize, rounds: usize, things: [&dyn Fn() -> f64; N]) -> Samples<N> {
        let round = |number: usize| {
            let mut samples = [0.0; N];
            for turn in 0..N {
                let thing = (number + turn) % N;
                samples[thing] = things[thing]();
            }
            samples
        };
        (0..warm_up).map(round).for_each(drop);
        Samples((0..rounds).map(round).collect())
    }

    /// What is found in each round.
    pub fn spread(&self, of: impl Fn(&[f64; N]) -> f64) -> Spread {
        Spread::of(self.0.iter().map(of).collect())
    }
}
