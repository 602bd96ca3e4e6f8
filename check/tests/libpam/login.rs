// SPDX-License-Identifier: MIT
//! What `--explain` foretells is what a login through libpam, with the module, has.

use std::fs;
use std::path::{Path, PathBuf};

use keyinit_check::explain::{Before, Event, explain};
use keyinit_check::stack::Service;
use keyinit_check::tree::Tree;

use crate::alice::{UID, join, put_into_passwd};
use crate::support::{child, keys, namespace, pam};

/// Goes through logins with all kinds of lines, from each kind of session keyring.
pub fn compare_logins(module: &Path) {
    let directory = tempfile::tempdir().expect("a directory");
    let pam_d = directory.path().join("etc/pam.d");
    fs::create_dir_all(&pam_d).expect("a directory");
    let there = PathBuf::from(format!("{}/pam_keyinit.so", directory.path().display()));
    fs::copy(module, &there).expect("the module");
    let mut compared = 0;
    for text in services(&there.display().to_string()) {
        fs::write(pam_d.join("login"), format!("auth required pam_permit.so\n{text}session required pam_permit.so\n"))
            .expect("a file");
        // The module's path is the system's, not the tree's.
        let service = Service::read(&Tree::new(directory.path()), "login");
        for before in [Before::None, Before::Other, Before::User] {
            let foretold = explain(&Tree::new("/"), &service, before);
            let events = |call| -> Vec<Event> {
                let moments = foretold.iter().filter(|moment| moment.call == call && moment.reached);
                moments.flat_map(|moment| moment.events.clone()).filter(|event| *event != Event::Kept).collect()
            };
            let foretold = ["setcred", "open", "close"].map(events);
            child::in_child(|| {
                child::say_where((text.clone(), before));
                log_in(directory.path(), &pam_d, before, &foretold);
            });
            compared += 1;
        }
    }
    println!("{compared} logins compared");
}

/// Lines of all words, in auth too, twice, and skipped for some services.
fn services(module: &str) -> Vec<String> {
    let mut all = Vec::new();
    let line = |kind: &str, words: &str| format!("{kind} optional {module} {words}\n");
    for first in 0..16 {
        let words: Vec<_> =
            ["force", "own", "revoke", "clear"].iter().enumerate().filter(|(bit, _)| first & (1 << bit) != 0).collect();
        let words = words.iter().map(|(_, word)| **word).collect::<Vec<_>>().join(" ");
        for auth in [None, Some(""), Some("own"), Some("force revoke"), Some("user-session")] {
            for second in [None, Some(""), Some("revoke"), Some("force clear"), Some("user-session")] {
                let auth = auth.map_or(String::new(), |words| line("auth", words));
                let second = second.map_or(String::new(), |words| line("session", words));
                all.push(format!("{auth}{}{second}", line("session", &words)));
            }
        }
        let condition = "session [success=1 default=ignore] pam_succeed_if.so quiet service";
        for operator in ["in login:su", "notin login:su", "= login", "!= login"] {
            all.push(format!("{condition} {operator}\n{}", line("session", &words)));
        }
    }
    all.push(String::new());
    all
}

fn log_in(directory: &Path, pam_d: &Path, before: Before, foretold: &[Vec<Event>; 3]) {
    namespace::mount_namespace();
    put_into_passwd(directory);
    match before {
        Before::None => {}
        Before::Other => drop(keys::join(None).expect("a keyring")),
        Before::User => join(UID, true),
    }
    // A look would give a process without one the user-session keyring: then there is nothing to compare with.
    let mut last = (before != Before::None).then(|| keys::id(keys::SESSION).expect("a keyring"));
    let made = |last: &mut Option<i32>, expected: &[Event]| {
        let expects = [Event::Made, Event::Shared].iter().any(|event| expected.contains(event));
        if last.is_none() && !expects {
            return;
        }
        let now = keys::id(keys::SESSION).expect("a keyring");
        assert_eq!(last.is_none_or(|last| last != now), expects, "whether a keyring is made");
        let links = keys::link_names(keys::SESSION).unwrap_or_default();
        if expects {
            assert!(links.contains(&format!("_uid.{UID}")), "{links:?}");
        }
        *last = Some(now);
    };
    let mut pam = pam::Pam::start(pam_d, "login", Some(b"alice"));
    assert_eq!([pam.authenticate(), pam.setcred(pam::ESTABLISH)], [pam::SUCCESS; 2]);
    made(&mut last, &foretold[0]);
    assert_eq!(pam.open(), pam::SUCCESS);
    made(&mut last, &foretold[1]);
    let key = keys::add("of-the-session", "secret", keys::SESSION).expect("a key");
    assert_eq!(pam.close(), pam::SUCCESS);
    let event = match keys::link_names(keys::SESSION) {
        Err(error) if error.raw_os_error() == Some(libc::EKEYREVOKED) => Event::Revoked,
        Err(error) => panic!("{error}"),
        Ok(_) if keys::links(keys::SESSION).expect("readable").contains(&key) => Event::Left,
        Ok(_) => Event::Cleared,
    };
    let told = foretold[2].first().copied().unwrap_or(Event::Left);
    assert_eq!(event, told, "what becomes of the keyring");
}
