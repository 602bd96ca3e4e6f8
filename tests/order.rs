// SPDX-License-Identifier: MIT
//! The order of the files: which of them may know of which.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[path = "support/differences.rs"]
mod differences;

/// The Rust files of a directory of this package: name without the ending, and text without comments.
fn files(directory: &str) -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let paths = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    let files: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a file");
            let code = text.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect();
            (path.file_stem().expect("a name").to_str().expect("UTF-8").to_owned(), code)
        })
        .collect();
    assert!(!files.is_empty());
    files
}

/// What comes first in a path after `root`, each time: `b` and `d` of `a::{b::c, d}` for `a::`.
fn named_after(code: &str, root: &str) -> BTreeSet<String> {
    code.split(root).skip(1).flat_map(first_of_each).collect()
}

/// The first segment of the path that begins here, or of each in its braces.
fn first_of_each(path: &str) -> Vec<String> {
    let first =
        |path: &str| path.trim_start().chars().take_while(|c| c.is_alphanumeric() || "_*".contains(*c)).collect();
    if !path.starts_with('{') {
        return vec![first(path)];
    }
    let mut depth = 0;
    let flat: String = path
        .chars()
        .map_while(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            (depth > 0).then_some((depth, c))
        })
        .filter_map(|(depth, c)| (depth == 1 && c != '{').then_some(c))
        .collect();
    flat.split(',').map(first).collect()
}

#[test]
fn a_path_is_read_as_the_compiler_reads_it() {
    let code = "use crate::a::{b, c}; use crate::{d::{e, f}, g, h as i}; let j = crate::k::l(); pub use crate::*;";
    let names = ["a", "d", "g", "h", "k", "*"].map(str::to_owned);
    assert_eq!(named_after(code, "crate::"), names.into());
}

/// The table in lib.rs has all files, and each knows of those below it only.
#[test]
fn the_source_runs_downwards() {
    assert_runs_downwards("src", include_str!("../src/lib.rs"));
    assert_runs_downwards("check/src", include_str!("../check/src/lib.rs"));
}

fn assert_runs_downwards(folder: &str, lib: &'static str) {
    let row = |line: &'static str| Some(line.strip_prefix("//! | [`")?.split_once("`]")?.0);
    let order: Vec<_> = lib.lines().filter_map(row).collect();
    let files: Vec<_> = files(folder).into_iter().filter(|(name, _)| !["lib", "main"].contains(&&**name)).collect();
    assert_eq!(order.len(), files.len(), "the table has each file once: {order:?}");
    for (name, code) in files {
        let place = order.iter().position(|file| *file == name).unwrap_or_else(|| panic!("{name} is not in the table"));
        for root in ["crate::", "super::"] {
            let above: Vec<_> =
                named_after(&code, root).into_iter().filter(|known| order[..place].contains(&&**known)).collect();
            assert!(
                above.is_empty(),
                "{folder}/{name}.rs stands below {above:?} in the table of {folder}/lib.rs, and imports it"
            );
        }
    }
}

#[test]
fn no_case_knows_of_another() {
    for (name, code) in files("tests/module/cases").into_iter().filter(|(name, _)| name != "mod") {
        let file = format!("tests/module/cases/{name}.rs");
        assert!(code.contains("\ncases! {"), "{file} has no cases: what they stand on is in tests/module/stage");
        let others = ["cases", "*"].iter().any(|known| named_after(&code, "crate::").contains(*known));
        assert!(
            !others && !code.contains("super::"),
            "{file} imports another: move what they share to tests/module/stage"
        );
        assert!(!code.contains("\npub"), "{file} has something for others: move it to tests/module/stage");
    }
}

#[test]
fn what_cases_stand_on_knows_of_none() {
    for (name, code) in files("tests/module/stage") {
        let known = ["crate::", "super::"].iter().any(|root| named_after(&code, root).contains("cases"));
        assert!(!known && !code.contains("\ncases! {"), "tests/module/stage/{name}.rs has or imports cases");
    }
}

#[test]
fn the_name_of_a_difference_leads_to_its_case() {
    let cases = files("tests/module/cases");
    for entry in differences::entries() {
        let found = cases.iter().any(|(_, code)| code.contains(&format!("\"{entry}\"")));
        assert!(found, "no case in tests/module/cases names {entry} of docs/differences.md");
    }
}
