// SPDX-License-Identifier: MIT
//! The rows of the tables of docs/cost.md.

use std::ffi::{CString, c_void};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::unistd::User;
use serde::Serialize;

use crate::samples::{Samples, Spread, Users, in_process, time, time_in_process};
use crate::support::cost::{Service, UIDS, name, session};
use crate::support::ids::{SYS_setresgid, SYS_setresuid, set_ids};
use crate::support::keys;
use crate::{Bench, NAMES, NOTHING, OURS, THEIRS};

/// Rounds of what is short.
const ROUNDS: usize = 1000;
/// Where the user's look-up and the bare system calls stand among the samples of logins, after the modules.
const LOOK_UP: usize = 3;
const FLOOR: usize = 4;

/// What something costs. A time is the ratio to the C module in the same round: its median and quartiles.
#[derive(Serialize)]
pub struct Row {
    pub what: &'static str,
    /// This module, or what else was measured to compare.
    pub of: &'static str,
    pub value: f64,
    pub lower_quartile: Option<f64>,
    pub upper_quartile: Option<f64>,
    pub c_module: f64,
    /// At most this much. The C module's own figure stands for less than that.
    pub goal: Option<f64>,
}

const THIS: &str = NAMES[OURS];

impl Row {
    /// Without a goal it is to be less than the C module's.
    fn count(what: &'static str, [value, c_module]: [u64; 2], goal: Option<f64>) -> Row {
        let [value, c_module] = [value, c_module].map(|count| count as f64);
        let goal = goal.or(Some(c_module));
        Row { what, of: THIS, value, lower_quartile: None, upper_quartile: None, c_module, goal }
    }

    fn spread(what: &'static str, of: &'static str, spread: Spread, c_module: f64, goal: Option<f64>) -> Row {
        let [lower_quartile, upper_quartile] = [spread.low, spread.high].map(Some);
        Row { what, of, value: spread.median, lower_quartile, upper_quartile, c_module, goal }
    }
}

/// Measures all.
pub fn measure(bench: &Bench) -> Vec<Row> {
    let both = |measure: &dyn Fn(usize) -> u64| [OURS, THEIRS].map(measure);
    let [ours, theirs, nothing] =
        [OURS, THEIRS, NOTHING].map(|index| bench.services[index].instructions(&bench.modules[index]));
    let added = [ours.process, theirs.process].map(|count| count - nothing.process);
    let mut rows = vec![
        Row::count(
            "bytes of the file",
            both(&|index| fs::metadata(&bench.modules[index]).expect("the module").len()),
            Some(16384.0),
        ),
        Row::count("memory dirty after load, kB", both(&|index| dirty(&bench.modules[index])), None),
        Row::count(
            "system calls, open and close, another user",
            both(&|index| bench.services[index].system_calls(UIDS.start) as u64),
            Some(9.0),
        ),
        Row::count(
            "system calls, open and close, the caller",
            both(&|index| bench.services[index].system_calls(0) as u64),
            Some(5.0),
        ),
        Row::count("instructions of the module's own code, open and close", [ours.module, theirs.module], None),
        Row::count("instructions that it adds to a whole login, in all libraries", added, None),
    ];
    loads(&mut rows, bench);
    logins(
        &mut rows,
        ["whole login, root", "what it adds, root, in bare system calls"],
        &logins_of(bench, &|| 0),
        0.95,
    );
    let users = Users::new();
    let samples = logins_of(bench, &|| users.next());
    logins(&mut rows, ["whole login, another user", "what it adds, another user, in bare system calls"], &samples, 0.9);
    let [ours, theirs] = [OURS, THEIRS].map(|index| move || slower(&bench.services[index]));
    let slower = Samples::take(1, 11, [&ours, &theirs]);
    let [ours, theirs] = [OURS, THEIRS].map(|index| slower.spread(|round| round[index]));
    rows.push(Row::spread(
        "1000 sessions on a handle, last hundred beside first",
        THIS,
        ours,
        theirs.median,
        Some(1.1),
    ));
    rows
}

/// In a process that does so again and again, and where it is the first that a process loads.
fn loads(rows: &mut Vec<Row>, bench: &Bench) {
    let again = |index: usize| time(|| load(&bench.modules[index]));
    let first = |index: usize| time_in_process(|| load(&bench.modules[index]));
    let first = Samples::take(10, ROUNDS, [&|| first(OURS), &|| first(THEIRS), &|| first(NOTHING)]);
    let again = Samples::take(10, ROUNDS, [&|| again(OURS), &|| again(THEIRS), &|| again(NOTHING)]);
    for (what, samples, goal) in
        [("load and unload", again, Some(0.75)), ("the first load of a process", first, Some(0.9))]
    {
        for (of, index, goal) in [(THIS, OURS, goal), (NAMES[NOTHING], NOTHING, None)] {
            rows.push(Row::spread(what, of, samples.spread(|round| round[index] / round[THEIRS]), 1.0, goal));
        }
    }
}

/// Logins with each module, in turn, each in a process of its own that has looked up a user, as login programs have by then;
/// and what a login cannot do without, in a process that has logged in with the module that does nothing, and so has in memory
/// what all logins need.
fn logins_of(bench: &Bench, uid: &dyn Fn() -> u32) -> Samples<5> {
    look_up(0);
    let login = |index: usize| {
        let (service, uid) = (&bench.services[index], uid());
        time_in_process(|| service.log_in(uid))
    };
    let alone = |body: fn(u32)| {
        let uid = uid();
        in_process(|| {
            bench.services[NOTHING].log_in(uid);
            vec![time(|| body(uid))]
        })[0]
    };
    // The first login of a user makes the user's keyring.
    let [ours, theirs, nothing] = [OURS, THEIRS, NOTHING].map(|index| move || login(index));
    let (look_up, floor) = (|| alone(look_up), || alone(bare_system_calls));
    Samples::take(UIDS.len(), ROUNDS, [&ours, &theirs, &nothing, &look_up, &floor])
}

fn look_up(uid: u32) {
    User::from_name(&name(uid)).expect("the passwd file").expect("the user");
}

/// What a login by root cannot do without.
fn bare_system_calls(uid: u32) {
    if uid != 0 {
        set_ids(SYS_setresgid, [uid.into(), -1, -1]);
        set_ids(SYS_setresuid, [uid.into(), -1, -1]);
    }
    let keyring = keys::join(None).expect("a keyring");
    keys::link(keys::USER, keys::SESSION).expect("a link");
    if uid != 0 {
        set_ids(SYS_setresuid, [0, -1, -1]);
        set_ids(SYS_setresgid, [0, -1, -1]);
    }
    keys::revoke(keyring).expect("revoked");
}

/// The rows of these logins: all of it, and what the module adds to a login with the one that does nothing, as a multiple of
/// the bare system calls.
fn logins(rows: &mut Vec<Row>, [whole, added]: [&'static str; 2], samples: &Samples<5>, goal: f64) {
    let parts = [
        (THIS, OURS, Some(goal)),
        (NAMES[NOTHING], NOTHING, None),
        ("looking up the user alone", LOOK_UP, None),
        ("the bare system calls alone", FLOOR, None),
    ];
    for (of, index, goal) in parts {
        rows.push(Row::spread(whole, of, samples.spread(|round| round[index] / round[THEIRS]), 1.0, goal));
    }
    let [ours, theirs] =
        [OURS, THEIRS].map(|index| samples.spread(|round| (round[index] - round[NOTHING]) / round[FLOOR]));
    rows.push(Row::spread(added, THIS, ours, theirs.median, None));
}

/// How much slower the last hundred of a thousand sessions on a handle are than the first.
fn slower(service: &Service) -> f64 {
    in_process(|| {
        let mut pam = service.start(0);
        let times: Vec<f64> = (0..1000).map(|_| time(|| session(&mut pam))).collect();
        vec![times[900..].iter().sum::<f64>() / times[..100].iter().sum::<f64>()]
    })[0]
}

/// Loads a module and unloads it, as libpam does.
fn load(module: &Path) {
    let handle = open(module);
    // SAFETY: a library that dlopen(3) has loaded, and nothing of it is in use.
    assert_eq!(unsafe { libc::dlclose(handle) }, 0);
}

fn open(module: &Path) -> *mut c_void {
    let file = CString::new(module.as_os_str().as_bytes()).expect("no NUL inside");
    // SAFETY: a file name with its NUL. The modules do nothing when they are loaded.
    let handle = unsafe { libc::dlopen(file.as_ptr(), libc::RTLD_NOW) };
    assert!(!handle.is_null(), "{} is loaded", module.display());
    handle
}

/// How many kB of a module's memory have been written to once it is loaded, smaps in proc(5). Private_Dirty would count what
/// of a new file is not on the disk yet.
fn dirty(module: &Path) -> u64 {
    let dirty = in_process(|| {
        open(module);
        let (mut total, mut inside) = (0, false);
        for line in fs::read_to_string("/proc/self/smaps").expect("/proc").lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["Anonymous:", kilobytes, "kB"] if inside => total += kilobytes.parse::<u32>().expect("a number"),
                [first, ..] if !first.ends_with(':') => inside = line.ends_with(&*module.to_string_lossy()),
                _ => (),
            }
        }
        vec![total.into()]
    });
    dirty[0] as u64
}

/// A count as it is, a ratio with two digits.
pub fn number(value: f64) -> String {
    if value.fract() == 0.0 && value > 1.0 { value.to_string() } else { format!("{value:.2}") }
}

fn quartiles(row: &Row) -> String {
    let both = row.lower_quartile.zip(row.upper_quartile);
    both.map(|(low, high)| format!("{} to {}", number(low), number(high))).unwrap_or_default()
}

/// The rows as tables in Markdown: this module's, and what else was measured to compare.
pub fn table(rows: &[Row]) -> String {
    let mut text = "| | C module | this module | quartiles | goal |\n|---|---|---|---|---|\n".to_owned();
    for row in rows.iter().filter(|row| row.of == THIS) {
        let goal = match row.goal {
            Some(goal) if goal == row.c_module => "less".to_owned(),
            Some(goal) => format!("at most {}", number(goal)),
            None => String::new(),
        };
        let [c_module, value] = [row.c_module, row.value].map(number);
        writeln!(text, "| {} | {c_module} | {value} | {} | {goal} |", row.what, quartiles(row)).expect("a string");
    }
    text += "\n| C module = 1 | of | | quartiles |\n|---|---|---|---|\n";
    for row in rows.iter().filter(|row| row.of != THIS) {
        writeln!(text, "| {} | {} | {} | {} |", row.what, row.of, number(row.value), quartiles(row)).expect("a string");
    }
    text
}
