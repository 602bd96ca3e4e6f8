// SPDX-License-Identifier: MIT
//! The words of the lines.

use super::{Finding, Look};
use crate::known::{OUR_WORDS, WORDS, is_c_module};
use crate::line::nearest;
use crate::stack::Entry;

pub(super) fn findings(look: &Look) -> Vec<Finding> {
    let mut all = Vec::new();
    for entry in look.keyinits() {
        let Some(module) = entry.keyinit() else { continue };
        let is_c = is_c_module(look.tree, &module.path);
        for word in &module.arguments {
            all.extend(unknown(look, entry, word));
            all.extend(no_effect(look, entry, word));
            all.extend(is_c.then(|| c_module(look, entry, word)).flatten());
        }
    }
    all
}

fn unknown(look: &Look, entry: &Entry, word: &str) -> Option<Finding> {
    let unknown = !WORDS.contains(&word);
    let advice = match nearest(word, &WORDS) {
        Some(known) => format!("{known}, in lower case"),
        None => format!("take it out: the words are {}", WORDS.join(", ")),
    };
    unknown.then(|| {
        look.at(entry, "unknown-argument", format!("the module does not know {word:?}, and ignores it"), advice)
    })
}

/// A word of an included file that the service's own file beats is a default, and no mistake.
fn no_effect(look: &Look, entry: &Entry, word: &str) -> Option<Finding> {
    let stronger = match word {
        "own" => ["user-session", "force"],
        "clear" => ["user-session", "revoke"],
        "force" | "revoke" => ["user-session"; 2],
        _ => return None,
    };
    let is_own = look.service.file.as_deref() == Some(&*entry.file);
    let beats = |other: &Entry, stronger| {
        (is_own || other.file == entry.file) && other.keyinit().is_some_and(|module| module.has(stronger))
    };
    let line_with = |stronger| Some((stronger, look.keyinits().find(|other| beats(other, stronger))?));
    let (stronger, other) = stronger.into_iter().find_map(line_with)?;
    let message = format!("{word} has no effect: {stronger} ({}:{}) beats it", other.file.display(), other.line);
    Some(look.at(entry, "no-effect", message, format!("take one of the two out: {word} or {stronger}")))
}

fn c_module(look: &Look, entry: &Entry, word: &str) -> Option<Finding> {
    let instead = if word == "clear" { "revoke, or nothing" } else { "force" };
    let message = format!("this is Linux-PAM's C module, which ignores {word}");
    let advice = format!("{instead}; or the module in Rust, which knows it");
    OUR_WORDS.contains(&word).then(|| look.at(entry, "c-module", message, advice))
}
