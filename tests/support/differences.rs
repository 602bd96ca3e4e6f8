// SPDX-License-Identifier: MIT
//! The entries of docs/differences.md, by which tests refer to what is deliberately unlike the C module.

use std::collections::BTreeSet;

/// The names of the entries: `**name.**` at the start of a paragraph.
pub fn entries() -> BTreeSet<&'static str> {
    include_str!("../../docs/differences.md")
        .lines()
        .filter_map(|line| line.strip_prefix("**")?.split_once(".**"))
        .map(|(name, _)| name)
        .collect()
}
