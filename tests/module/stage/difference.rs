// SPDX-License-Identifier: MIT
//! Deliberate differences from the C module: what a case says of them, and whether that is so.
//!
//! A case says which entry of docs/differences.md it shows, as a whole (`name => "entry"` in its file's list) or in a part
//! of it ([`Stage::differs`](crate::Stage::differs)). On the reference, the C module, all the rest has to hold as well, and
//! what shows a difference has to fail. So the list cannot go stale, and no case asks for what nobody does.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::Case;
use crate::support::child::time_limit;
use crate::support::differences::entries;
use crate::support::imports::imports;

/// Set: the file under test is the C module.
const REFERENCE: &str = "PAM_KEYINIT_REFERENCE";

/// Name of the file in a case's directory that holds the entries it has shown, one a line.
const SHOWN: &str = "shown";

/// Entries that no case shows, and why.
const NOT_SHOWN: &[(&str, &str)] = &[];

/// Whether the file under test is the C module.
pub fn on_reference() -> bool {
    env::var_os(REFERENCE).is_some()
}

/// Whether `module` may show `entry`: some are of certain versions of the C module.
fn can_show(entry: &str, module: &Path) -> bool {
    match entry {
        // 1.5.2 calls libc's functions, which change the ids of every thread; later versions do not.
        "all-threads" => imports(module).contains("setreuid"),
        // 1.5.2 keeps its state in static memory, later versions in that of each thread.
        "another-thread" => !imports(module).contains("__tls_get_addr"),
        "no-memory" => imports(module).contains("__tls_get_addr"),
        _ => true,
    }
}

/// What a running case knows about differences.
pub struct Differences {
    reference: bool,
    /// In what shows a difference: nothing in it is asked of the reference.
    inside: Cell<bool>,
    shown: File,
}

impl Differences {
    pub fn new(directory: &Path) -> Differences {
        // Opened now: a case may become another user.
        let shown = File::options().append(true).create_new(true).open(directory.join(SHOWN)).expect("a file");
        Differences { reference: on_reference(), inside: Cell::new(false), shown }
    }

    /// The whole case shows `entry`, if `module` may.
    pub fn whole(&self, entry: &str, module: &Path) {
        self.note(entry);
        if !can_show(entry, module) {
            return;
        }
        self.inside.set(true);
        if self.reference {
            // The C module never returns from some calls.
            time_limit(5);
        }
    }

    /// What `body` asserts shows `entry`, if `module` may.
    #[track_caller]
    pub fn part(&self, entry: &str, module: &Path, body: impl FnOnce()) {
        self.note(entry);
        if !self.reference || self.inside.get() || !can_show(entry, module) {
            return body();
        }
        self.inside.set(true);
        let hook = panic::take_hook();
        panic::set_hook(Box::new(|_| ())); // what has to fail fails silently
        let outcome = catch_unwind(AssertUnwindSafe(body));
        panic::set_hook(hook);
        self.inside.set(false);
        assert!(outcome.is_err(), "the reference does this too: {entry} is gone, or this does not show it");
    }

    fn note(&self, entry: &str) {
        (&self.shown).write_all(format!("{entry}\n").as_bytes()).expect("a file");
    }
}

/// The entries that the case of this directory has shown.
pub fn shown(directory: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(directory.join(SHOWN)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// What comes of a case that has run on `module`, has shown these entries and has succeeded or failed, with this text.
pub fn judge(case: &Case, module: &Path, shown: &BTreeSet<String>, outcome: Result<(), String>) -> Result<(), String> {
    let whole = case.shows.iter().find(|entry| on_reference() && can_show(entry, module));
    match (whole, outcome) {
        (None, Err(text)) => return Err(text),
        (Some(entry), Ok(())) => {
            return Err(format!("the reference does this too: {entry} is gone, or this case does not show it"));
        }
        // It did not come as far as that.
        (Some(entry), Err(text)) if !shown.contains(*entry) => return Err(text),
        _ => (),
    }
    match shown.iter().find(|entry| !entries().contains(&***entry)) {
        Some(entry) => Err(format!("docs/differences.md has no entry {entry}")),
        None => Ok(()),
    }
}

/// What is wrong when all cases have run and have shown these entries.
pub fn not_shown(shown: &BTreeSet<String>) -> Vec<String> {
    let listed = |entry: &str| NOT_SHOWN.iter().any(|(listed, _)| *listed == entry);
    let missing = entries().into_iter().filter(|entry| !shown.contains(*entry) && !listed(entry));
    let rotten = NOT_SHOWN.iter().filter(|(entry, _)| shown.contains(*entry) || !entries().contains(entry));
    missing
        .map(|entry| format!("no test shows {entry} of docs/differences.md"))
        .chain(rotten.map(|(entry, _)| format!("{entry} is shown or no entry, and listed as not shown")))
        .collect()
}
