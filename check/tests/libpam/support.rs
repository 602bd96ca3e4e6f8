// SPDX-License-Identifier: MIT
//! What these tests share with those of the module.
#![allow(dead_code, unused_imports, reason = "they use a part")]

#[path = "../../../tests/support/artefact.rs"]
pub mod artefact;
#[path = "../../../tests/support/child.rs"]
pub mod child;
#[path = "../../../tests/support/ids.rs"]
pub mod ids;
#[path = "../../../tests/support/keys.rs"]
pub mod keys;
#[path = "../../../tests/support/namespace.rs"]
pub mod namespace;
#[path = "../../../tests/support/not_run.rs"]
pub mod not_run;
#[path = "../../../tests/support/pam.rs"]
pub mod pam;
#[path = "../../../tests/support/seccomp.rs"]
pub mod seccomp;
