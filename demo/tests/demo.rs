// SPDX-License-Identifier: MIT
//! The demonstration: that it shows what it says, to whoever runs it, and fails where there is something else to see.

#[path = "../../tests/support/artefact.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod artefact;
#[path = "../../tests/support/keys.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod keys;

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::unistd::{Uid, User};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use tempfile::TempDir;

/// The demonstration in a directory that all may read, together with the release build of the module.
struct Demo {
    directory: TempDir,
}

/// What a run said, and whether it succeeded.
struct Run {
    text: String,
    succeeded: bool,
}

impl Demo {
    fn copy() -> Demo {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        let temporary = path.join("tmp");
        fs::create_dir(&temporary).expect("a directory");
        fs::copy(env!("CARGO_BIN_EXE_demo"), path.join("demo")).expect("the demonstration");
        fs::copy(artefact::release(), path.join("libpam_keyinit.so")).expect("the module");
        for (file, mode) in [(path, 0o755), (&*path.join("demo"), 0o755), (&*temporary, 0o777)] {
            fs::set_permissions(file, Permissions::from_mode(mode)).expect("our own file");
        }
        Demo { directory }
    }

    fn command(&self) -> Command {
        let path = |name| self.directory.path().join(name);
        let mut command = Command::new(path("demo"));
        command.env("PAM_KEYINIT_SO", path("libpam_keyinit.so")).env("TMPDIR", path("tmp"));
        command
    }

    /// Runs it, and asserts that it leaves no file behind.
    #[track_caller]
    fn run(&self, command: &mut Command) -> Run {
        let output = command.output().expect("it starts");
        let left = fs::read_dir(self.directory.path().join("tmp")).expect("a directory").count();
        assert_eq!(left, 0, "nothing stays in the temporary directory");
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        Run { text, succeeded: output.status.success() }
    }
}

impl Run {
    /// Asserts that all was shown, for a login of `user`.
    #[track_caller]
    fn assert_shown(&self, user: &User) {
        let Run { text, succeeded } = self;
        assert!(succeeded, "{text}");
        let uid = user.uid;
        for (count, part) in [
            (2, "keyring: _ses".to_owned()),
            (2, format!("\\_ keyring: _uid.{uid}")),
            (1, "\\_ user: demo-key-".to_owned()),
            (3, "ENOKEY".to_owned()),
            (1, "EKEYREVOKED".to_owned()),
            (1, "it never noticed".to_owned()),
            (1, "it still has its keyring".to_owned()),
            (2, "pam_keyinit(demo:session): made session keyring".to_owned()),
            (2, "pam_keyinit(demo:session): revoked session keyring".to_owned()),
        ] {
            assert!(text.matches(&part).count() >= count, "{count} times {part:?} in:\n{text}");
        }
    }

    #[track_caller]
    fn assert_failed(&self, part: &str) {
        assert!(!self.succeeded, "{}", self.text);
        let lines: Vec<&str> = self.text.lines().filter(|line| line.starts_with("FAILED: ")).collect();
        assert!(matches!(lines[..], [line] if line.contains(part)), "{part:?} in one line of:\n{}", self.text);
    }
}

fn nobody() -> User {
    User::from_name("nobody").expect("the passwd file").expect("the user nobody")
}

/// Who logs in when the tests' own user runs the demonstration.
fn expected_user() -> User {
    if Uid::effective().is_root() {
        nobody()
    } else {
        User::from_uid(Uid::current()).expect("the passwd file").expect("a passwd entry")
    }
}

#[test]
fn it_shows_two_logins() {
    let demo = Demo::copy();
    demo.run(&mut demo.command()).assert_shown(&expected_user());
}

#[test]
fn it_shows_them_to_an_ordinary_user_too() {
    if !Uid::effective().is_root() {
        return; // then the test above has done it
    }
    let (demo, user) = (Demo::copy(), nobody());
    let run = demo.run(demo.command().uid(user.uid.as_raw()).gid(user.gid.as_raw()));
    run.assert_shown(&user);
}

/// Credentials are a thread's, and a test has a thread of its own, so this shell's keyring stays as it is.
#[test]
fn the_keyring_of_the_shell_does_not_matter() {
    let demo = Demo::copy();
    let own = keys::join(None).expect("a session keyring");
    let run = demo.run(&mut demo.command());
    run.assert_shown(&expected_user());
    assert!(run.text.contains(&own.to_string()), "it is what was before the login:\n{}", run.text);
    keys::revoke(own).expect("possessed");
    let run = demo.run(&mut demo.command());
    run.assert_shown(&expected_user());
    assert!(run.text.contains("Unable to dump key: Key has been revoked"), "{}", run.text);
}

#[test]
fn a_module_that_makes_no_keyring_fails() {
    let demo = Demo::copy();
    let run = demo.run(demo.command().env("PAM_KEYINIT_SO", "pam_permit.so"));
    run.assert_failed("the session runs in the keyring from before the login");
}

#[test]
fn a_module_that_is_not_there_fails() {
    let demo = Demo::copy();
    let run = demo.run(demo.command().env("PAM_KEYINIT_SO", Path::new("/nowhere/pam_keyinit.so")));
    run.assert_failed("pam_open_session");
    assert!(run.text.contains("PAM unable to dlopen"), "{}", run.text);
}

/// The filter is this thread's and what it starts.
#[test]
fn without_keyctl_it_says_what_to_do() {
    let demo = Demo::copy();
    let arch = std::env::consts::ARCH.try_into().expect("an architecture that seccompiler knows");
    let rules = BTreeMap::from([(libc::SYS_keyctl, Vec::new())]);
    let errno = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, errno, arch).expect("a filter");
    seccompiler::apply_filter(&BpfProgram::try_from(filter).expect("a program")).expect("the filter is in force");
    demo.run(&mut demo.command()).assert_failed("let its seccomp profile allow keyctl");
}
