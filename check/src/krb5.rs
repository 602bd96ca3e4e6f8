// SPDX-License-Identifier: MIT
//! Where Kerberos tickets go: krb5.conf(5), and what modules have of their own.

use std::path::{Path, PathBuf};

use crate::directive::Module;
use crate::tree::Tree;

/// What krb5.conf says of it.
#[derive(Clone, Default, Debug)]
pub struct Krb5 {
    /// Whether this is all that is to be known: a tree without modules and without that file is a part of a system. If it is
    /// and says nothing, tickets go to files.
    is_whole: bool,
    /// default_ccache_name, its file and line.
    pub cache: Option<(String, PathBuf, usize)>,
    /// Whether sshd takes over tickets of its clients.
    pub sshd_delegates: bool,
}

/// In which keyring tickets are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// The session keyring.
    Session,
    /// The user keyring.
    User,
    /// Not in these.
    Elsewhere,
}

/// Where a cache of this name is, krb5 "ccache types". A KEYRING: without a place is the old form of the session's.
pub fn place(cache: &str) -> Place {
    let Some(rest) = cache.strip_prefix("KEYRING:") else { return Place::Elsewhere };
    match rest.split(':').next() {
        Some("user") => Place::User,
        Some("persistent" | "process" | "thread") => Place::Elsewhere,
        _ => Place::Session,
    }
}

impl Krb5 {
    /// Reads it.
    pub fn read(tree: &Tree) -> Krb5 {
        let mut krb5 = Krb5::default();
        let file = Path::new("/etc/krb5.conf");
        krb5.is_whole = tree.find(file).is_some() || !tree.module_directories().is_empty();
        krb5.file(tree, file, 0);
        let sshd = tree.text(Path::new("/etc/ssh/sshd_config")).unwrap_or_default();
        let mut words = sshd.lines().map(str::split_whitespace);
        krb5.sshd_delegates = words.any(|mut line| {
            line.next().is_some_and(|word| word.eq_ignore_ascii_case("GSSAPIAuthentication"))
                && line.next().is_some_and(|word| word.eq_ignore_ascii_case("yes"))
        });
        krb5
    }

    /// The first place that says it counts.
    fn file(&mut self, tree: &Tree, file: &Path, depth: usize) {
        let Some(text) = tree.text(file).filter(|_| depth < 8) else { return };
        let mut section = "";
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if let Some(directory) = line.strip_prefix("includedir ") {
                for included in tree.files(Path::new(directory.trim())) {
                    self.file(tree, &included, depth + 1);
                }
            } else if let Some(included) = line.strip_prefix("include ") {
                self.file(tree, Path::new(included.trim()), depth + 1);
            } else if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']');
            } else if let Some((name, value)) = line.split_once('=') {
                if section == "libdefaults" && name.trim() == "default_ccache_name" && self.cache.is_none() {
                    self.cache = Some((value.trim().to_owned(), file.to_owned(), index + 1));
                }
            }
        }
    }

    /// Where a module's tickets go, if a file or its line says so.
    pub fn place_of(&self, module: &Module) -> Option<Place> {
        let own = module
            .arguments
            .iter()
            .find_map(|word| word.strip_prefix("ccache=").or(word.strip_prefix("ccname_template=")));
        own.or(self.cache.as_ref().map(|(cache, ..)| &**cache)).map(place).or(self.is_whole.then_some(Place::Elsewhere))
    }

    /// Whether they may be in the session keyring.
    pub fn may_be_session_keyring(&self, module: &Module) -> bool {
        self.place_of(module).is_none_or(|place| place == Place::Session)
    }
}
