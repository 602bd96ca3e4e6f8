// SPDX-License-Identifier: MIT
//! What the command does with files that are none, or none that make sense: it tells of them, and never fails by itself.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};

use proptest::collection::vec;
use proptest::prelude::*;

use keyinit_check::explain::{Before, explain};
use keyinit_check::krb5::Krb5;
use keyinit_check::rules::findings;
use keyinit_check::stack::Service;
use keyinit_check::tree::Tree;
use tempfile::TempDir;

fn system(files: &[(&str, &[u8])]) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let pam_d = directory.path().join("etc/pam.d");
    fs::create_dir_all(&pam_d).expect("a directory");
    for (name, text) in files {
        fs::write(pam_d.join(name), text).expect("a file");
    }
    directory
}

fn check(root: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pam_keyinit_check"));
    command.arg("--root").arg(root).args(arguments).output().expect("the command")
}

/// Asserts that the command tells this of the system, and ends with `status`.
#[track_caller]
fn assert_told(root: &Path, arguments: &[&str], status: i32, expected: &str) {
    let output = check(root, arguments);
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert_eq!(output.status.code(), Some(status), "{text}");
    assert!(text.contains(expected), "{text}");
}

#[test]
fn a_directory_where_a_file_is_to_be() {
    let system = system(&[("sshd", b"session include common\n")]);
    fs::create_dir(system.path().join("etc/pam.d/common")).expect("a directory");
    assert_told(system.path(), &["sshd"], 1, "/etc/pam.d/common: error: the line is a directory");
}

#[test]
fn a_line_of_10_megabytes() {
    let mut text = b"session optional pam_keyinit.so force ".to_vec();
    text.resize(10 << 20, b'x');
    let system = system(&[("sshd", &text)]);
    assert_told(system.path(), &["sshd"], 1, "/etc/pam.d/sshd:1: error: the line is longer than 1022 bytes");
    assert!(check(system.path(), &["sshd"]).stdout.len() < 10_000);
}

#[test]
fn bytes_that_are_no_utf_8() {
    let system = system(&[("sshd", b"session optional pam_keyinit.so force \xff\x1b[31m\n")]);
    assert_told(system.path(), &["sshd"], 1, "/etc/pam.d/sshd:1: warning: the module does not know");
    let output = check(system.path(), &["--explain", "sshd"]);
    assert!(!output.stdout.contains(&0x1b), "a file does not write to the terminal");
}

#[test]
fn files_that_include_each_other() {
    let system = system(&[("sshd", b"session include common\n"), ("common", b"\nsession include sshd\n")]);
    assert_told(system.path(), &["sshd"], 1, "/etc/pam.d/common:2: error: the line includes \"sshd\", 16 files deep");
}

#[test]
fn files_that_double_themselves() {
    let system = system(&[("sshd", &b"session include sshd\n".repeat(100))]);
    assert_told(system.path(), &["sshd"], 1, "lines: files include each other");
}

#[test]
fn what_is_no_file() {
    let system = system(&[("sshd", b"session include pipe\n")]);
    let pipe = system.path().join("etc/pam.d/pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    assert_told(system.path(), &["sshd"], 2, "/etc/pam.d/pipe: it is no regular file");
    fs::remove_file(&pipe).expect("ours");
    symlink("/etc/pam.d/pipe", &pipe).expect("a link to itself");
    assert_told(
        system.path(),
        &["sshd"],
        1,
        "/etc/pam.d/sshd:1: error: the line includes \"pipe\", which is not there",
    );
}

#[test]
fn what_the_user_may_not_read() {
    let system = system(&[("sshd", b"session include common\n"), ("common", b"session optional pam_keyinit.so own\n")]);
    let mode = |path: &str, mode| fs::set_permissions(system.path().join(path), fs::Permissions::from_mode(mode));
    mode("", 0o755).expect("ours");
    mode("etc/pam.d/common", 0).expect("ours");
    let mut command = Command::new(env!("CARGO_BIN_EXE_pam_keyinit_check"));
    if nix::unistd::Uid::effective().is_root() {
        command.uid(65534); // root may read everything
    }
    let output = command.arg("--root").arg(system.path()).arg("sshd").output().expect("the command");
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("/etc/pam.d/common: Permission denied (os error 13); run it as a user who may read it"),
        "{text}"
    );
}

#[test]
fn a_name_that_leads_out() {
    let system = system(&[("sshd", b"session include ../../../../../../etc/hostname\n")]);
    assert_told(system.path(), &["sshd"], 1, "/etc/pam.d/sshd:1: error: the line includes");
    // libpam takes the last part of a service's name.
    assert_told(system.path(), &["../pam.d/sshd"], 1, "/etc/pam.d/sshd:1");
    assert_told(system.path(), &["../../etc/hostname"], 2, "there is no service \"hostname\"");
}

#[test]
fn nothing_to_look_at() {
    let empty = tempfile::tempdir().expect("a directory");
    assert_told(empty.path(), &[], 2, "there are no services");
    assert_told(empty.path(), &["--explain"], 2, "required");
}

#[test]
fn json_is_an_array_of_findings() {
    let system = system(&[("sshd", b"session required pam_keyinit.so force\n")]);
    let output = check(system.path(), &["--format", "json", "sshd"]);
    let findings: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let names: Vec<_> = findings[0].as_object().expect("an object").keys().map(String::as_str).collect();
    let mut expected = ["service", "type", "file", "line", "rule", "severity", "message", "advice"];
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert_eq!(findings[0]["file"], "/etc/pam.d/sshd");
}

/// So many files of random bytes, unless PAM_KEYINIT_RANDOM says otherwise.
fn cases() -> u32 {
    std::env::var("PAM_KEYINIT_RANDOM").map_or(500, |number| number.parse().expect("a number"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_fail(text in vec(any::<u8>(), 0..300), words in "[\\[\\]\\\\ =a-z0-9#@\n-]{0,300}") {
        let tail = [words.as_bytes(), b"\nsession include common\n"].concat();
        let system = system(&[("sshd", &tail), ("common", &text), ("other", &tail)]);
        let tree = Tree::new(system.path());
        let service = Service::read(&tree, "sshd");
        findings(&tree, &service, &Krb5::read(&tree));
        explain(&tree, &service, Before::Other);
    }
}
