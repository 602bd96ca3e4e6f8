// SPDX-License-Identifier: MIT
//! The lists of what is in the module's file: that they have what cargo builds it from, in these versions.

use std::collections::BTreeSet;
use std::process::Command;

const LIST: &str = include_str!("../packaging/pam_keyinit.spdx");

/// The values of a tag, in the order of the list.
fn values(tag: &str) -> impl Iterator<Item = &'static str> {
    LIST.lines().filter_map(move |line| line.strip_prefix(tag)?.strip_prefix(": "))
}

/// Names and versions of the crates that the module is built from.
fn crates() -> BTreeSet<(String, String)> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package=pam_keyinit",
            "--locked",
            "--edges=normal,build",
            "--prefix=none",
            "--format={p}",
            "--manifest-path",
        ])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| {
            let mut words = line.split(' ');
            let mut next = || words.next().expect("a name and a version").to_owned();
            (next(), next().trim_start_matches('v').to_owned())
        })
        .collect()
}

#[test]
fn the_spdx_list_has_the_crates_of_the_build() {
    let listed = values("PackageName").map(str::to_owned).zip(values("PackageVersion").map(str::to_owned)).collect();
    assert_eq!(crates(), listed);
}

#[test]
fn the_spdx_list_has_the_checksums_of_cargo_lock() {
    let lock = include_str!("../Cargo.lock");
    let sums: Vec<_> = values("PackageChecksum").collect();
    assert_eq!(sums.len(), crates().len() - 1, "of all but the module itself");
    for sum in sums {
        let sum = sum.strip_prefix("SHA256: ").expect("a SHA256");
        assert!(lock.contains(&format!("checksum = \"{sum}\"")), "{sum}");
    }
}

#[test]
fn the_packages_have_these_versions() {
    let spec = include_str!("../packaging/rpm/pam_keyinit_rs.spec");
    let changelog = include_str!("../packaging/debian/changelog");
    for (name, version) in crates() {
        if name == env!("CARGO_PKG_NAME") {
            assert!(spec.contains(&format!("\nVersion:        {version}\n")), "{version} in the spec");
            assert!(changelog.starts_with(&format!("pam-keyinit ({version}-")), "{version} in Debian's changelog");
        } else {
            assert!(spec.contains(&format!("bundled(crate({name})) = {version}\n")), "{name} {version} in the spec");
        }
    }
}
