// SPDX-License-Identifier: MIT
//! The man page: that it names what the source has, and nothing else.

use std::collections::BTreeSet;
use std::process::Command;

const PAGE: &str = include_str!("../man/pam_keyinit.8");

/// The lines of a section of the page.
fn section(name: &str) -> impl Iterator<Item = &'static str> {
    let is_heading = move |line: &&str| line.strip_prefix(".SH ").is_some_and(|title| title.trim_matches('"') == name);
    let mut lines = PAGE.lines().skip_while(move |line| !is_heading(line));
    assert!(lines.next().is_some(), "a section {name}");
    lines.take_while(|line| !line.starts_with(".SH "))
}

/// What a section explains one by one.
fn explained(name: &str) -> BTreeSet<&'static str> {
    section(name).filter_map(|line| line.strip_prefix(".B ")).collect()
}

/// What stands in `text` between `before` and `after`, each time.
fn between<'text>(text: &'text str, before: &str, after: &str) -> BTreeSet<&'text str> {
    text.split(before).skip(1).filter_map(|rest| rest.split_once(after)).map(|(found, _)| found).collect()
}

#[test]
fn its_options_are_those_of_the_source() {
    // The page has each hyphen that is to be typed as it is as `\-`.
    let words = include_str!("../src/options.rs").replace('-', "\\-");
    let source = between(&words, "word == c\"", "\"");
    assert!(!source.is_empty());
    assert_eq!(explained("OPTIONS"), source);
    let synopsis: String = section("SYNOPSIS").collect();
    assert_eq!(between(&synopsis, "[\\fB", "\\fP]"), source);
}

#[test]
fn its_return_values_are_those_of_the_source() {
    let constants = between(include_str!("../src/pam.rs"), "pub const ", ": Code = ");
    assert!(!constants.is_empty());
    let source: BTreeSet<String> = constants.iter().map(|name| format!("PAM_{name}")).collect();
    assert_eq!(explained("RETURN VALUES").into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), source);
}

#[test]
fn its_version_is_the_modules() {
    let heading = PAGE.lines().find(|line| line.starts_with(".TH ")).expect("a heading");
    let version = concat!("\"pam_keyinit ", env!("CARGO_PKG_VERSION"), "\"");
    assert!(heading.ends_with(version), "{heading}");
}

#[test]
fn mandoc_has_nothing_to_say() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/man/pam_keyinit.8");
    let output = Command::new("mandoc").args(["-Tlint", page]).output().expect("mandoc, see tests/needs");
    assert!(output.status.success() && output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
}
