// SPDX-License-Identifier: MIT
//! The lists of what is in the module's and the command's file: that they have what cargo builds them from, in these versions.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde::Deserialize;

/// Each package with its list.
const LISTS: [(&str, &str); 2] = [
    ("pam_keyinit", include_str!("../packaging/pam_keyinit.spdx")),
    ("pam_keyinit_check", include_str!("../packaging/pam_keyinit_check.spdx")),
];

/// The values of a tag, in the order of the list.
fn values<'a>(list: &'a str, tag: &str) -> impl Iterator<Item = &'a str> {
    list.lines().filter_map(move |line| line.strip_prefix(tag)?.strip_prefix(": "))
}

/// What cargo says, with these words.
fn cargo(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(words)
        .args(["--locked", "--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Names and versions of the crates that the package is built from. What makes code at its build is not in its file.
fn crates(package: &str) -> BTreeSet<(String, String)> {
    cargo(&["tree", "--package", package, "--edges=normal,build,no-proc-macro", "--prefix=none", "--format={p}"])
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
    let recipes = [include_str!("../packaging/arch/PKGBUILD"), include_str!("../packaging/alpine/APKBUILD")];
    for (name, version) in LISTS.iter().flat_map(|(package, _)| crates(package)) {
        if LISTS.iter().any(|(package, _)| *package == name) {
            assert!(spec.contains(&format!("\nVersion:        {version}\n")), "{version} in the spec");
            assert!(changelog.starts_with(&format!("pam-keyinit ({version}-")), "{version} in Debian's changelog");
            assert!(
                recipes.iter().all(|recipe| recipe.contains(&format!("\npkgver={version}\n"))),
                "{version} in PKGBUILD, APKBUILD"
            );
        } else {
            assert!(spec.contains(&format!("bundled(crate({name})) = {version}\n")), "{name} {version} in the spec");
        }
    }
}

/// What cargo-metadata(1) says of a crate.
#[derive(Deserialize)]
struct Crate {
    name: String,
    license: String,
    /// None for this repository's own.
    source: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Crate>,
}

#[test]
fn the_table_has_the_licences_of_all_crates() {
    let metadata: Metadata = serde_json::from_str(&cargo(&["metadata", "--format-version=1"])).expect("as documented");
    let mut names = BTreeMap::<_, BTreeSet<_>>::new();
    for Crate { name, license, source } in metadata.packages {
        let Some(source) = source else { continue };
        assert_eq!(source, "registry+https://github.com/rust-lang/crates.io-index", "{name}");
        names.entry(license.replace('/', " OR ")).or_default().insert(name);
    }
    let rows =
        names.into_iter().map(|(license, names)| format!("| {license} | {} |", Vec::from_iter(names).join(", ")));
    let table = include_str!("../docs/crates.md").lines().skip_while(|line| *line != "|---|---|").skip(1);
    assert_eq!(Vec::from_iter(table.take_while(|line| line.starts_with('|'))), Vec::from_iter(rows));
}

#[test]
fn what_was_read_of_libc_is_this_version() {
    let read = include_str!("../supply-chain/audits.toml");
    let [version, sum] =
        ["PackageVersion", "PackageChecksum"].map(|tag| values(LISTS[0].1, tag).last().expect("libc has one"));
    assert!(read.contains(&format!("version = \"{version}\"")), "{version}");
    assert!(read.contains(&sum.replace("SHA256: ", "SHA-256 ")), "{sum}");
}
