// SPDX-License-Identifier: MIT
//! What the demonstration shares with the tests.
#![allow(dead_code, reason = "it uses a part")]

#[path = "../../tests/support/keys.rs"]
pub mod keys;
#[path = "../../tests/support/pam.rs"]
pub mod pam;
