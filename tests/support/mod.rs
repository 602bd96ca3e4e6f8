// SPDX-License-Identifier: MIT
//! What the tests share. The demonstration and the measurements take files of it.
#![allow(dead_code, unused_imports, reason = "each of them uses a part")]

pub mod artefact;
pub mod child;
pub mod cost;
pub mod differences;
pub mod ids;
pub mod imports;
pub mod keys;
pub mod namespace;
pub mod not_run;
pub mod pam;
pub mod seccomp;
pub mod trace;
