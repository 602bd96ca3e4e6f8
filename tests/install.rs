// SPDX-License-Identifier: MIT
//! `make install` and `make uninstall`, into a folder of the test's own.

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use support::artefact;
use tempfile::TempDir;

const THEIRS: &str = "the module of the distribution";

/// Where a test installs to.
struct Place {
    directory: TempDir,
    ours: Vec<u8>,
}

impl Place {
    /// With the module of the distribution, or without.
    fn new(theirs: Option<&str>) -> Place {
        let ours = fs::read(artefact::release()).expect("the module");
        let place = Place { directory: tempfile::tempdir().expect("a directory"), ours };
        fs::create_dir_all(place.path("security")).expect("a directory");
        theirs.inspect(|text| fs::write(place.module(), text).expect("a file"));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn module(&self) -> PathBuf {
        self.path("security/pam_keyinit.so")
    }

    fn make(&self, target: &str) {
        let destination = format!("DESTDIR={}", self.directory.path().display());
        let output = make().args([target, &destination, "SECURITYDIR=/security"]).output().expect("make starts");
        assert!(output.status.success(), "make {target}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Where the module was installed over an old one of the distribution's, which has been updated since.
    fn updated() -> Place {
        let place = Place::new(Some("an old one"));
        place.make("install");
        fs::remove_file(place.module()).expect("a file");
        fs::write(place.module(), THEIRS).expect("a file");
        place
    }

    /// The files that are there, by their names.
    fn files(&self) -> Vec<String> {
        fn collect(directory: &Path, files: &mut Vec<String>) {
            for entry in fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry")) {
                match entry.file_type().expect("a type").is_dir() {
                    true => collect(&entry.path(), files),
                    false => files.push(entry.file_name().into_string().expect("a name")),
                }
            }
        }
        let mut files = Vec::new();
        collect(self.directory.path(), &mut files);
        files.sort();
        files
    }
}

fn make() -> Command {
    let mut command = Command::new("make");
    // What a make has set that runs these tests.
    for variable in ["MAKEFLAGS", "MAKELEVEL", "MFLAGS"] {
        command.env_remove(variable);
    }
    command.args(["--directory", env!("CARGO_MANIFEST_DIR"), "--silent"]);
    command
}

#[test]
fn uninstall_removes_what_install_put_there() {
    let place = Place::new(None);
    place.make("install");
    assert_eq!(fs::read(place.module()).expect("installed"), place.ours);
    assert_eq!(fs::metadata(place.module()).expect("installed").mode() & 0o7777, 0o644);
    let page = fs::read_to_string(place.path("usr/local/share/man/man8/pam_keyinit.8")).expect("installed");
    assert_eq!(page, include_str!("../man/pam_keyinit.8"));
    assert_eq!(place.files(), ["pam_keyinit.8", "pam_keyinit.so"]);
    place.make("uninstall");
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn the_module_of_the_distribution_comes_back() {
    let place = Place::new(Some(THEIRS));
    let before = fs::metadata(place.module()).expect("a file").ino();
    place.make("install");
    place.make("install"); // over itself: it is not to be taken for theirs
    assert_eq!(fs::read(place.module()).expect("installed"), place.ours);
    place.make("uninstall");
    assert_eq!(fs::metadata(place.module()).expect("theirs").ino(), before, "the same file");
    assert_eq!(place.files(), ["pam_keyinit.so"]);
}

#[test]
fn a_module_that_the_distribution_has_updated_stays() {
    let place = Place::updated();
    place.make("uninstall");
    assert_eq!(fs::read_to_string(place.module()).expect("theirs"), THEIRS);
    assert_eq!(place.files(), ["pam_keyinit.so"]);
}

#[test]
fn what_the_distribution_has_updated_is_kept_by_the_next_install() {
    let place = Place::updated();
    place.make("install");
    place.make("uninstall");
    assert_eq!(fs::read_to_string(place.module()).expect("theirs"), THEIRS);
}

/// And no moment with half of it: a process that has loaded it keeps the file that it has.
#[test]
fn there_is_no_moment_without_the_module() {
    let place = Place::new(Some(THEIRS));
    thread::scope(|scope| {
        let maker = scope.spawn(|| {
            for _ in 0..5 {
                place.make("install");
                place.make("install");
                place.make("uninstall");
            }
        });
        let mut ours = 0;
        while !maker.is_finished() {
            let bytes = fs::read(place.module()).expect("the file is there");
            assert!(bytes == place.ours || bytes == THEIRS.as_bytes(), "{} bytes", bytes.len());
            ours += usize::from(bytes == place.ours);
        }
        maker.join().expect("it installed and uninstalled");
        assert_ne!(ours, 0);
    });
}

#[test]
fn it_goes_beside_the_system_s_own_modules() {
    let output = make().args(["--dry-run", "install"]).output().expect("make starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let place = fs::canonicalize(artefact::installed()).expect("the C module");
    assert!(text.contains(&format!("'{}'", place.display())), "{} in:\n{text}", place.display());
}
