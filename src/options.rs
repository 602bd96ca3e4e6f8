// SPDX-License-Identifier: MIT
//! The words that may follow `pam_keyinit.so` on a configuration line, pam.d(5).
#![forbid(unsafe_code)]

use core::ffi::CStr;

/// What the lines of a handle's stacks have asked for so far.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Options {
    /// Say in the log what is done.
    pub debug: bool,
    /// Make a session keyring also where the process has one of its own.
    pub force: bool,
    /// Make a session keyring also where the process has one that is not the user's.
    pub own: bool,
    /// Share a session keyring with the user's other sessions.
    pub user_session: bool,
    /// Revoke the session keyring at the end.
    pub revoke: bool,
    /// At the end, leave nothing in the session keyring but the user keyring.
    pub clear: bool,
}

impl Options {
    /// Adds what `word` asks for. False if nobody knows the word: case counts, and it has to match whole.
    pub fn add(&mut self, word: &CStr) -> bool {
        let option = match word {
            _ if word == c"debug" => &mut self.debug,
            _ if word == c"force" => &mut self.force,
            _ if word == c"own" => &mut self.own,
            _ if word == c"user-session" => &mut self.user_session,
            _ if word == c"revoke" => &mut self.revoke,
            _ if word == c"clear" => &mut self.clear,
            _ => return false,
        };
        *option = true;
        true
    }

    /// Whether something is to be done to the session keyring at the end.
    pub fn end(self) -> bool {
        self.revoke || self.clear
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_add_up_and_are_exact() {
        let mut options = Options::default();
        for word in [c"", c"Force", c"forc", c"forced", c"force ", c"revoke=1", c"use_first_pass", c"user_session"] {
            assert!(!options.add(word), "{word:?}");
        }
        assert_eq!(options, Options::default());
        assert!(options.add(c"force") && options.add(c"revoke") && options.add(c"force"));
        assert_eq!(options, Options { force: true, revoke: true, ..Options::default() });
        assert!(options.add(c"own") && options.add(c"clear") && options.add(c"debug") && options.add(c"user-session"));
        let all = Options { debug: true, force: true, own: true, user_session: true, revoke: true, clear: true };
        assert_eq!(options, all);
    }
}
