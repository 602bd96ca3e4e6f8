// SPDX-License-Identifier: MIT
//! The lists of what is in the module's and the command's file: that they have what cargo builds them from, in these versions.

use std::collections::BTreeSet;
use std::process::Command;

/// Each package with its list.
const LISTS: [(&str, &str); 2] = [
    ("pam_keyinit", include_str!("../packaging/pam_keyinit.spdx")),
    ("pam_keyinit_check", include_str!("../packaging/pam_keyinit_check.spdx")),
];

/// The values of a tag, in the order of the list.
fn values<'a>(list: &'a str, tag: &str) -> impl Iterator<Item = &'a str> {
    list.lines().filter_map(move |line| line.strip_prefix(tag)?.strip_prefix(": "))
}

/// Names and versions of the crates that the package is built from. What makes code at its build is not in its file.
fn crates(package: &str) -> BTreeSet<(String, String)> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            package,
            "--locked",
            "--edges=normal,build,no-proc-macro",
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
    for (package, list) in LISTS {
        let [names, versions] = ["PackageName", "PackageVersion"].map(|tag| values(list, tag).map(str::to_owned));
        assert_eq!(crates(package), names.zip(versions).collect(), "{package}");
    }
}

#[test]
fn the_spdx_list_has_the_checksums_of_cargo_lock() {
    let lock = include_str!("../Cargo.lock");
    for (package, list) in LISTS {
        let sums: Vec<_> = values(list, "PackageChecksum").collect();
        assert_eq!(sums.len(), crates(package).len() - 1, "of all but {package} itself");
        for sum in sums {
            let sum = sum.strip_prefix("SHA256: ").expect("a SHA256");
            assert!(lock.contains(&format!("checksum = \"{sum}\"")), "{sum}");
        }
    }
}

#[test]
fn the_packages_have_these_versions() {
    let spec = include_str!("../packaging/rpm/pam_keyinit_rs.spec");
    let changelog = include_str!("../packaging/debian/changelog");
    for (name, version) in LISTS.iter().flat_map(|(package, _)| crates(package)) {
        if LISTS.iter().any(|(package, _)| *package == name) {
            assert!(spec.contains(&format!("\nVersion:        {version}\n")), "{version} in the spec");
            assert!(changelog.starts_with(&format!("pam-keyinit ({version}-")), "{version} in Debian's changelog");
        } else {
            assert!(spec.contains(&format!("bundled(crate({name})) = {version}\n")), "{name} {version} in the spec");
        }
    }
}
