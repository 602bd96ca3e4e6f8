// SPDX-License-Identifier: MIT
//! What the measurements share with the tests.
#![allow(dead_code, reason = "they use a part")]

#[path = "../../tests/support/artefact.rs"]
pub mod artefact;
#[path = "../../tests/support/child.rs"]
pub mod child;
#[path = "../../tests/support/cost.rs"]
pub mod cost;
#[path = "../../tests/support/ids.rs"]
pub mod ids;
#[path = "../../tests/support/keys.rs"]
pub mod keys;
#[path = "../../tests/support/namespace.rs"]
pub mod namespace;
#[path = "../../tests/support/pam.rs"]
pub mod pam;
#[path = "../../tests/support/trace.rs"]
pub mod trace;
