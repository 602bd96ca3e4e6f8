// SPDX-License-Identifier: MIT
//! The rules: what can be wrong with the lines of pam_keyinit.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::known::WORDS;
use crate::krb5::Krb5;
use crate::line::nearest;
use crate::stack::{Entry, Service};
use crate::tree::Tree;

mod arguments;
mod order;
mod place;
mod tickets;

/// How bad it is. Notes do not count for the exit status.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Debug)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "words of their own")]
pub enum Severity {
    Error,
    Warning,
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        })
    }
}

/// A rule.
#[derive(Debug)]
pub struct Rule {
    /// Its name.
    pub name: &'static str,
    /// How bad it is to break it.
    pub severity: Severity,
    /// When it is broken, and what comes of it.
    pub text: &'static str,
}

const fn rule(name: &'static str, severity: Severity, text: &'static str) -> Rule {
    Rule { name, severity, text }
}

use Severity::{Error, Note, Warning};

/// All rules.
pub const RULES: [Rule; 14] = [
    rule(
        "missing",
        Note,
        "A service that logs people in has no line of pam_keyinit: the session runs in the keyring of the daemon or the caller.",
    ),
    rule(
        "stays",
        Warning,
        "A daemon starts the service, and none of its lines has force or own: under systemd the user stays in the daemon's keyring.",
    ),
    rule(
        "order-keys",
        Error,
        "The line comes after a module that stores keys in the session keyring, or needs them there: those keys are lost.",
    ),
    rule(
        "auth-line",
        Warning,
        "A module stores keys in pam_setcred(3), which the program calls before it opens the session, and no auth line of pam_keyinit comes before it: those keys are not in the session's keyring.",
    ),
    rule(
        "order-selinux",
        Warning,
        "The line comes before `pam_selinux.so open`: with SELinux the new keyring gets the daemon's label, and the user may not use it.",
    ),
    rule("required", Warning, "A failure of the line fails the login: a filter or an odd keyring locks people out."),
    rule(
        "revoke-first",
        Note,
        "The keyring is revoked before modules behind the line have closed, which still need their keys.",
    ),
    rule("unknown-argument", Warning, "The module does not know the word, and ignores it."),
    rule("no-effect", Note, "Another word of the service's lines makes this one void."),
    rule("c-module", Warning, "The file is Linux-PAM's C module, which ignores the word."),
    rule(
        "skipped",
        Warning,
        "No path through the stack reaches the line: a module before it always jumps over it or ends the stack.",
    ),
    rule("no-file", Error, "The file of the module is not there. With - before the type it is a note."),
    rule(
        "syntax",
        Error,
        "libpam does not read the line as it was meant: it refuses the service, or lets the stack fail.",
    ),
    rule("ccache", Warning, "Kerberos tickets go to another keyring than that of the session."),
];

/// Something that is wrong.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Debug)]
pub struct Finding {
    /// The service.
    pub service: String,
    /// The type of the line: auth, account, session or password; empty for a whole file.
    #[serde(rename = "type")]
    pub kind: String,
    /// The file of the line itself.
    pub file: PathBuf,
    /// 0 for the whole file.
    pub line: usize,
    /// The name of the rule.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, and what comes of it.
    pub message: String,
    /// What to write instead.
    pub advice: String,
}

/// What the rules look at.
struct Look<'a> {
    tree: &'a Tree,
    service: &'a Service,
    krb5: &'a Krb5,
}

/// What is wrong with a service.
pub fn findings(tree: &Tree, service: &Service, krb5: &Krb5) -> Vec<Finding> {
    let look = Look { tree, service, krb5 };
    let mut all =
        [place::findings(&look), order::findings(&look), arguments::findings(&look), tickets::findings(&look)].concat();
    all.sort_by(|one, other| {
        (one.severity, &one.file, one.line, &one.rule).cmp(&(other.severity, &other.file, other.line, &other.rule))
    });
    all.dedup();
    all
}

impl Look<'_> {
    /// The lines of pam_keyinit in all stacks of the service.
    fn keyinits(&self) -> impl Iterator<Item = &Entry> {
        self.service.entries().filter(|entry| entry.keyinit().is_some())
    }

    /// Whether a line of pam_keyinit has this word.
    fn asks_for(&self, word: &str) -> bool {
        self.keyinits().any(|entry| entry.keyinit().is_some_and(|module| module.has(word)))
    }

    fn at(&self, entry: &Entry, rule: &'static str, message: String, advice: String) -> Finding {
        self.finding(&entry.file, entry.line, entry.kind.name(), rule, message, advice)
    }

    fn finding(&self, file: &Path, line: usize, kind: &str, rule: &str, message: String, advice: String) -> Finding {
        let severity = RULES.iter().find(|known| known.name == rule).map_or(Error, |known| known.severity);
        Finding {
            service: self.service.name.clone(),
            kind: kind.to_owned(),
            file: file.to_owned(),
            line,
            rule: rule.to_owned(),
            severity,
            message,
            advice,
        }
    }
}

/// The words of a line, those that the module does not know put right or left out.
fn words(entry: &Entry) -> Vec<&str> {
    let words = entry.keyinit().map_or(&[][..], |module| &module.arguments);
    words.iter().filter_map(|word| nearest(word, &WORDS)).collect()
}

/// A line as it might stand in a file.
fn written(entry: &Entry, control: &str, words: &[&str]) -> String {
    let module = entry.keyinit().map_or("pam_keyinit.so", |module| &*module.path);
    format!("{} {control} {}", entry.kind.name(), [&[module], words].concat().join(" "))
}
