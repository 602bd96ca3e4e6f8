// SPDX-License-Identifier: MIT
//! What distributions ship, the examples, and this machine's own files, with the recording module in the place of all.

use std::fs;
use std::path::{Path, PathBuf};

use crate::tree::{RECORD, Root};

/// What modules answer where they fail, each in its own way.
const FAILURES: &str = "auth=7 cred=17 account=6 open=14 close=14";

pub fn compare() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let trees = ["debian", "fedora", "arch", "opensuse", "nixos"]
        .map(|name| vec![package.join("tests/trees").join(name).join("etc/pam.d")]);
    let examples = package.join("../pam.d-examples");
    let system = ["/etc/pam.d", "/usr/lib/pam.d"].map(PathBuf::from).to_vec();
    let root = Root::new();
    let mut compared = 0;
    for directories in trees.into_iter().chain([vec![examples.clone(), examples.join("snippets")], system]) {
        let files: Vec<_> = directories.iter().flat_map(|directory| files(directory)).collect();
        for variant in 0..12 {
            let recorded: Vec<_> =
                files.iter().map(|(name, text)| (format!("etc/pam.d/{name}"), record(text, variant))).collect();
            root.put(recorded.iter().map(|(path, text)| (&**path, text.as_bytes())));
            for (name, _) in &files {
                let service = root.read(name);
                assert_eq!(root.outcome(name), root.foretold(&service), "{name} of {directories:?}, {variant}");
                compared += 1;
            }
        }
    }
    println!("{compared} compared");
}

/// The files of a directory: names and texts.
pub fn files(directory: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let file = |path: PathBuf| Some((path.file_name()?.to_str()?.to_owned(), fs::read_to_string(&path).ok()?));
    entries.filter(|path| path.is_file()).filter_map(file).collect()
}

/// The same file with the recording module for all, of which some fail, others in each variant.
fn record(text: &str, variant: usize) -> String {
    let line = |(number, line): (usize, &str)| {
        let Some((before, module)) = line.split_once("pam_").filter(|_| !line.starts_with('#')) else {
            return line.to_owned();
        };
        let fails = variant > 0 && (number * 7 + variant) % (variant + 1) == 0;
        format!("{before}{RECORD} pam_{module} {}", if fails { FAILURES } else { "" })
    };
    text.lines().enumerate().map(|line_of| line(line_of) + "\n").collect()
}
