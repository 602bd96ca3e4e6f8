// SPDX-License-Identifier: MIT
//! The file under test: the module as `cargo build --release` makes it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::{File, Object, ObjectSymbol};

/// Builds the module with `options` to cargo in the target directory `target`, and returns the file.
pub fn build(target: &Path, options: &[&str]) -> PathBuf {
    cargo_build(target, &[&["--lib"], options].concat());
    target.join("release/libpam_keyinit.so")
}

/// The release build, made now if it is not up to date.
pub fn release() -> PathBuf {
    build(&target(), &[])
}

/// The demonstration, made now if it is not up to date.
pub fn demo() -> PathBuf {
    cargo_build(&target(), &["--example", "demo"]);
    target().join("release/examples/demo")
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target")
}

fn cargo_build(target: &Path, options: &[&str]) {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "--quiet", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .args(options)
        .status()
        .expect("cargo starts");
    assert!(status.success(), "cargo build --release failed");
}

/// Where the system keeps its own pam_keyinit.so.
pub fn installed() -> PathBuf {
    let architecture = match std::env::consts::ARCH {
        "x86" => "i386",
        same => same,
    };
    let multiarch = format!("/usr/lib/{architecture}-linux-gnu/security");
    let mut there = [&*multiarch, "/usr/lib64/security", "/lib/security", "/usr/lib/security"]
        .map(|directory| Path::new(directory).join("pam_keyinit.so"))
        .into_iter()
        .filter(|file| file.exists());
    there.next().expect("a pam_keyinit.so on this system: Debian's libpam-modules, Fedora's pam")
}

/// The names of the functions that a module takes from libraries.
pub fn imports(module: &Path) -> BTreeSet<String> {
    let bytes = std::fs::read(module).expect("the module");
    let file = File::parse(&*bytes).expect("an ELF file");
    let undefined = file.dynamic_symbols().filter(|symbol| symbol.is_undefined());
    undefined.map(|symbol| symbol.name().expect("a name").to_owned()).collect()
}
