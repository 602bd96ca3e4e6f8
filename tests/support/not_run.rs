// SPDX-License-Identifier: MIT
//! Tests that do not run for lack of what they need are told, so that nobody counts them as passed.

/// Tells of so many tests that this shell's session keyring keeps from running, or else, if `without` one, that need root.
pub fn tell(number: usize, without: bool) {
    if number == 0 {
        return;
    }
    if without {
        println!(
            "NOT RUN: {number} tests need root: other users as callers and targets, other files in /etc and /dev."
        );
    } else {
        println!(
            "NOT RUN: {number} tests. This shell runs in a session keyring, and a process that has one cannot be without \
             again. Run them from one that has none, for instance: systemd-run --pty -p KeyringMode=inherit make check"
        );
    }
}
