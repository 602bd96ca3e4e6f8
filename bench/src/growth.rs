// SPDX-License-Identifier: MIT
//! How the costs grow: with the handles that are open, the sessions of a handle, and the lines of a stack.

use std::array;
use std::fmt::Write as _;

use serde::Serialize;

use crate::samples::{Samples, Spread, Users, in_process, time, time_in_process};
use crate::support::cost::{Service, UIDS, session};
use crate::support::pam::SUCCESS;
use crate::{Bench, NAMES, NOTHING, OURS, THEIRS};

/// What something costs where there are so many of it: its median and quartiles, where the C module's first is 1.
#[derive(Serialize)]
pub struct Point {
    pub what: &'static str,
    pub of: &'static str,
    pub count: usize,
    pub cost: f64,
    pub lower_quartile: f64,
    pub upper_quartile: f64,
}

/// What is counted. Of handles the C module has the first only: all of a thread share its state.
pub const WHATS: [&str; 3] = ["handles of a thread, all open", "sessions of a handle", "lines of a stack"];

/// Which module, how many of it, and microseconds.
type Measured = (usize, usize, Spread);

/// Measures all.
pub fn measure(bench: &Bench) -> Vec<Point> {
    let measured = [handles(bench), sessions(bench), lines(bench)];
    WHATS.into_iter().zip(measured).flat_map(|(what, measured)| relate(what, &measured)).collect()
}

fn relate(what: &'static str, measured: &[Measured]) -> Vec<Point> {
    let first = measured.iter().find(|(module, count, _)| (*module, *count) == (THEIRS, 1)).expect("the first");
    let unit = first.2.median;
    let point = |&(module, count, spread): &Measured| Point {
        what,
        of: NAMES[module],
        count,
        cost: spread.median / unit,
        lower_quartile: spread.low / unit,
        upper_quartile: spread.high / unit,
    };
    measured.iter().map(point).collect()
}

/// The start of a handle and its open, on average over so many that stay open.
fn handles(bench: &Bench) -> Vec<Measured> {
    let open = |module: usize, count: usize| {
        let service = &bench.services[module];
        let start = || {
            let mut pam = service.start(0);
            assert_eq!(pam.open(), SUCCESS);
            pam
        };
        let mut handles = Vec::new();
        in_process(|| vec![time(|| handles.extend((0..count).map(|_| start()))) / count as f64])[0]
    };
    let first = Samples::take(1, 300, [&|| open(OURS, 1), &|| open(THEIRS, 1), &|| open(NOTHING, 1)]);
    let mut measured = [OURS, THEIRS, NOTHING].map(|module| (module, 1, first.spread(|round| round[module]))).to_vec();
    for (count, rounds) in [(10, 100), (100, 30), (1000, 10)] {
        let more = Samples::take(1, rounds, [&|| open(OURS, count), &|| open(NOTHING, count)]);
        measured.push((OURS, count, more.spread(|round| round[0])));
        measured.push((NOTHING, count, more.spread(|round| round[1])));
    }
    measured
}

/// A session of a handle that has had so many, on average over the last tenth of them. The C module's 10,000 would take
/// more than a minute.
fn sessions(bench: &Bench) -> Vec<Measured> {
    let modules = [OURS, THEIRS, NOTHING];
    let mut measured = Vec::new();
    for (counts, rounds) in [(&[1, 3, 10, 30, 100][..], 50), (&[300, 1000, 3000, 10_000], 5)] {
        let counts = modules.map(|module| {
            let most = if module == THEIRS { 3000 } else { 10_000 };
            counts.iter().copied().filter(|&count| count <= most).collect::<Vec<usize>>()
        });
        let round = |_| modules.map(|module| in_process(|| at(&bench.services[module], &counts[module])));
        let rounds: Vec<[Vec<f64>; 3]> = (0..rounds).map(round).collect();
        for module in modules {
            for (index, &count) in counts[module].iter().enumerate() {
                let spread = Spread::of(rounds.iter().map(|round| round[module][index]).collect());
                measured.push((module, count, spread));
            }
        }
    }
    measured
}

/// How long a session takes at each of these counts.
fn at(service: &Service, counts: &[usize]) -> Vec<f64> {
    let mut pam = service.start(0);
    let most = counts.last().copied().unwrap_or_default();
    let times: Vec<f64> = (0..most).map(|_| time(|| session(&mut pam))).collect();
    let mean = |times: &[f64]| times.iter().sum::<f64>() / times.len() as f64;
    counts.iter().map(|&count| mean(&times[count - count.div_ceil(10)..count])).collect()
}

/// A whole login with so many lines.
fn lines(bench: &Bench) -> Vec<Measured> {
    let users = Users::new();
    let mut measured = Vec::new();
    for count in [1, 2, 8] {
        let services: [Service; 3] = array::from_fn(|module| {
            let line = format!("{} force revoke", bench.modules[module].display());
            bench.place.service(&format!("lines-{module}"), &line, count)
        });
        let login = |module: usize| {
            let uid = users.next();
            time_in_process(|| services[module].log_in(uid))
        };
        let samples = Samples::take(UIDS.len(), 300, [&|| login(OURS), &|| login(THEIRS), &|| login(NOTHING)]);
        measured.extend([OURS, THEIRS, NOTHING].map(|module| (module, count, samples.spread(|round| round[module]))));
    }
    measured
}

/// The points as a table in Markdown.
pub fn table(points: &[Point]) -> String {
    let mut text = "| | of | how many | cost | quartiles |\n|---|---|---|---|---|\n".to_owned();
    for Point { what, of, count, cost, lower_quartile, upper_quartile } in points {
        writeln!(text, "| {what} | {of} | {count} | {cost:.2} | {lower_quartile:.2} to {upper_quartile:.2} |")
            .expect("a string");
    }
    text
}
