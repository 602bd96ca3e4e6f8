// SPDX-License-Identifier: MIT
//! The file under test: the module as `cargo build --release` makes it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the module with `options` to cargo in the target directory `target`, and returns the file.
pub fn build(target: &Path, options: &[&str]) -> PathBuf {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--package=pam_keyinit", "--lib", "--release", "--locked", "--quiet", "--manifest-path"])
        .arg(root().join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .args(options)
        .status()
        .expect("cargo starts");
    assert!(status.success(), "cargo build --release failed");
    target.join("release/libpam_keyinit.so")
}

/// The release build, made now if it is not up to date.
pub fn release() -> PathBuf {
    build(&root().join("target"), &[])
}

/// The folder of the workspace, in which that of this package is.
pub fn root() -> &'static Path {
    let mut folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    folders.find(|folder| folder.join("Cargo.lock").exists()).expect("a Cargo.lock")
}

/// Where the system keeps its own pam_keyinit.so.
pub fn installed() -> PathBuf {
    let multiarch = match std::env::consts::ARCH {
        "x86" => "i386-linux-gnu",
        "arm" => "arm-linux-gnueabihf",
        "powerpc64" => "powerpc64le-linux-gnu",
        same => &format!("{same}-linux-gnu"),
    };
    let multiarch = format!("/usr/lib/{multiarch}/security");
    let mut there = [&*multiarch, "/usr/lib64/security", "/lib/security", "/usr/lib/security"]
        .map(|directory| Path::new(directory).join("pam_keyinit.so"))
        .into_iter()
        .filter(|file| file.exists());
    there.next().expect("a pam_keyinit.so on this system: Debian's libpam-modules, Fedora's pam")
}
