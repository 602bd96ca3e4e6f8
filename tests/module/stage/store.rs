// SPDX-License-Identifier: MIT
//! A module that stores keys, as pam_krb5 and others do.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::Stage;

/// The module that stores keys.
#[track_caller]
pub fn pam_store(stage: &Stage) -> PathBuf {
    let store = stage.directory.join("pam_store.so");
    let source = store.with_extension("c");
    fs::write(&source, include_str!("pam_store.c")).expect("a file");
    let status = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&store).arg(&source).status().expect("cc");
    assert!(status.success(), "{status}");
    store
}
