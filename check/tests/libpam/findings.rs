// SPDX-License-Identifier: MIT
//! That a service stays in the daemon's keyring, as is found of what distributions ship, is what its logins do, and no longer
//! when the file is mended as is said.

use std::fs;
use std::path::{Path, PathBuf};

use keyinit_check::known::{Starter, login};
use keyinit_check::krb5::Krb5;
use keyinit_check::rules::{Finding, findings};
use keyinit_check::stack::Service;
use keyinit_check::tree::Tree;

use crate::alice::put_into_passwd;
use crate::shipped::files;
use crate::support::{child, keys, namespace, pam};

/// Logs in by every service of the distributions and of this machine that is for logins.
pub fn try_all(module: &Path) {
    let trees = ["debian", "fedora", "arch", "opensuse", "nixos"];
    let trees = trees.map(|name| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trees").join(name));
    let (mut found, mut logins) = (0, 0);
    for root in trees.into_iter().chain([PathBuf::from("/")]) {
        let tree = Tree::new(&root);
        let krb5 = Krb5::read(&tree);
        let shipped = files(&root.join("etc/pam.d"));
        for name in shipped.iter().map(|(name, _)| name).filter(|name| login(name).is_some()) {
            let all = findings(&tree, &Service::read(&tree, name), &krb5);
            let stays = all.iter().find(|finding| ["missing", "stays"].contains(&&*finding.rule));
            if stays.is_some() || login(name) == Some(Starter::Daemon) {
                assert_eq!(is_left(module, &shipped, name), stays.is_none(), "{name} of {}", root.display());
                logins += 1;
            }
            if let Some(finding) = stays {
                assert!(is_left(module, &mended(&shipped, finding), name), "{name} of {}, mended", root.display());
                found += 1;
            }
        }
    }
    println!("{found} findings in {logins} services tried");
    assert!(found > 0 && logins > found);
}

/// With the line that the finding asks for, in the place of its own, or before all others.
fn mended(files: &[(String, String)], finding: &Finding) -> Vec<(String, String)> {
    let line = finding.advice.split(';').next().and_then(|line| Some(&line[line.find("session optional ")?..]));
    let line = line.expect("a line");
    let mend = |(name, text): &(String, String)| {
        let mut lines: Vec<_> = text.lines().collect();
        match finding.line {
            _ if !finding.file.ends_with(name) => {}
            0 => lines.insert(0, line),
            number => lines[number - 1] = line,
        }
        (name.clone(), lines.join("\n") + "\n")
    };
    files.iter().map(mend).collect()
}

/// Whether a login of alice's leaves the session keyring of the daemon, which is root's. Other modules than this one succeed.
fn is_left(module: &Path, files: &[(String, String)], service: &str) -> bool {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("pam_keyinit.so");
    fs::copy(module, &path).expect("the module");
    let pam_d = directory.path().join("pam.d");
    fs::create_dir(&pam_d).expect("a directory");
    for (name, text) in files {
        fs::write(pam_d.join(name), with_module(text, &path.display().to_string())).expect("a file");
    }
    let left = directory.path().join("left");
    child::in_child(|| {
        child::say_where(service.to_owned());
        namespace::mount_namespace();
        put_into_passwd(directory.path());
        namespace::bind(&pam_d, Path::new("/etc/pam.d"));
        let daemons = keys::join(None).expect("a keyring");
        let mut pam = pam::Pam::start_of_system(service).expect("the service");
        pam.set_user("alice");
        pam.setcred(pam::ESTABLISH); // systemd-user may have no auth lines, and systemd goes on
        assert_eq!(pam.open(), pam::SUCCESS);
        if keys::id(keys::SESSION).expect("a keyring") != daemons {
            fs::write(&left, "").expect("a file");
        }
        pam.close();
    });
    left.exists()
}

/// The same file with this pam_keyinit, and pam_permit for all others that may succeed.
fn with_module(text: &str, path: &str) -> String {
    let line = |line: &str| {
        let Some((before, rest)) = line.split_once("pam_").filter(|_| !line.starts_with('#')) else {
            return line.to_owned();
        };
        let (name, words) = rest.split_once(".so").unwrap_or((rest, ""));
        match name {
            "keyinit" => format!("{before}{path}{words}"),
            "deny" => line.to_owned(),
            _ => format!("{before}pam_permit.so"),
        }
    };
    text.lines().map(|text| line(text) + "\n").collect()
}
