// SPDX-License-Identifier: MIT
//! The files of pam.d-examples: each keeps what the last sentence of its comment promises.

use std::fs;
use std::path::Path;

use crate::Stage;
use crate::stage::sessions::{Caller, with_pam_d};
use crate::stage::store::pam_store;
use crate::stage::{SEVERAL, Who, join_as, live_session, session, shared_keyring};
use crate::support::keys;
use crate::support::pam::{ESTABLISH, Pam, SESSION_ERR, SUCCESS};

cases! {
    Root:
        each_example_keeps_its_promise;
}

const USER: Who = SEVERAL[14];

/// Modules that a system may not have. One that stores a key, as they may do, stands in for them, and has to succeed.
const OTHERS: [&str; 3] = ["pam_systemd.so", "pam_krb5.so", "pam_gnome_keyring.so"];

/// The session keyring that the program is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Before {
    Nothing,
    Roots,
    Users,
}

/// Which keyrings a program goes on with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Keeps {
    None,
    All,
    Users,
    /// The one that all sessions of the user share.
    Shared,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Revoked,
    Cleared,
    /// After the other modules have closed.
    RevokedLast,
    Never,
}

#[derive(Clone, Copy, Debug)]
struct Promise {
    keeps: Keeps,
    end: End,
}

impl Promise {
    /// What a file's comment says at its end.
    #[track_caller]
    fn of(text: &str) -> Promise {
        let comment: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("# ")).collect();
        let comment = comment.join(" ");
        let (_, sentence) = comment.trim_end_matches('.').rsplit_once(". ").expect("two sentences");
        let (keyring, end) = sentence.rsplit_once(", ").expect("a keyring and its end");
        let keeps = match keyring {
            "A new session keyring" => Keeps::None,
            "The caller's session keyring, or a new one" => Keeps::All,
            "The user's own session keyring, or a new one" => Keeps::Users,
            "The session keyring that the user's sessions share" => Keeps::Shared,
            other => panic!("what keyring is that? {other}"),
        };
        let end = match end {
            "revoked at the end" => End::Revoked,
            "cleared at the end" => End::Cleared,
            "revoked last" => End::RevokedLast,
            "left as it is" => End::Never,
            other => panic!("what end is that? {other}"),
        };
        Promise { keeps, end }
    }

    /// Whether the session has the keyring that was there before.
    fn is_kept(self, before: Before) -> bool {
        match self.keeps {
            Keeps::None | Keeps::Shared => false,
            Keeps::All => before != Before::Nothing,
            Keeps::Users => before == Before::Users,
        }
    }
}

fn each_example_keeps_its_promise(stage: &Stage) {
    drop(stage.install());
    let store = pam_store(stage).display().to_string();
    let examples = Path::new("pam.d-examples"); // cargo starts tests beside it, and so does tests/inside
    let files: Vec<_> = [files_of(examples), files_of(&examples.join("snippets"))].concat();
    for (name, text) in &files {
        let promise = Promise::of(text);
        let all = files.iter().map(|(name, text)| (&**name, with_store(text, &store)));
        let auth = if has_auth_line(text) { format!("\nauth required {store}") } else { String::new() };
        let auth = format!("auth required pam_permit.so{auth}");
        let system_auth = all.clone().find(|(name, _)| *name == "system-auth").expect("the snippet").1;
        let includes = [("common-auth", auth.clone()), ("system-auth", format!("{auth}\n{system_auth}"))];
        let all: Vec<_> = all.chain(includes).collect();
        for before in [Before::Nothing, Before::Roots, Before::Users] {
            let caller = if before == Before::Roots { Caller::WithKeyring } else { Caller::WithoutKeyring };
            with_pam_d(stage, &all, caller, || {
                println!("{name} from {before:?}: {promise:?}"); // shown if it fails
                if before == Before::Users {
                    join_as(USER);
                }
                log_in(stage, name, text, promise, before);
            });
        }
    }
}

/// The files of a directory: name and text.
fn files_of(directory: &Path) -> Vec<(String, String)> {
    let paths = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    let files = paths.filter(|path| path.is_file()).map(|path| {
        let name = path.file_name().expect("a name").to_str().expect("UTF-8").to_owned();
        (name, fs::read_to_string(&path).expect("a file"))
    });
    files.collect()
}

fn has_auth_line(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("auth") && line.contains("pam_keyinit.so"))
}

/// The same file with the module `store` in the place of others.
fn with_store(text: &str, store: &str) -> String {
    let replace = |line: &str| {
        let kind = line.split_whitespace().next().unwrap_or_default().trim_start_matches('-').to_owned();
        let is_other = !line.starts_with('#') && OTHERS.iter().any(|other| line.contains(other));
        (if is_other { format!("{kind} required {store}") } else { line.to_owned() }) + "\n"
    };
    text.lines().map(replace).collect()
}

/// Logs the user in as programs do that call pam_setcred(3) first, and out again.
fn log_in(stage: &Stage, name: &str, text: &str, promise: Promise, before: Before) {
    // A look at it would give the process root's user-session keyring.
    let there = (before != Before::Nothing).then(live_session);
    let mut pam = Pam::start(Path::new("/etc/pam.d"), name, Some(USER.name.as_bytes()));
    if text.lines().any(|line| line.starts_with("auth")) {
        assert_eq!([pam.authenticate(), pam.setcred(ESTABLISH)], [SUCCESS; 2]);
    }
    assert_eq!(pam.open(), SUCCESS);
    let keyring = live_session();
    let kept = promise.is_kept(before);
    let assert_begun = || {
        assert_eq!(there == Some(keyring), kept, "whether it is kept");
        if promise.keeps == Keeps::Shared {
            assert_eq!(shared_keyring(USER).expect("a keyring"), keyring);
        } else if !kept {
            assert_new(keyring, has_auth_line(text));
        }
    };
    let stored = keys::search("of-open", keyring).is_ok();
    let needs_own = promise.keeps == Keeps::Users && before == Before::Roots;
    let is_shared = (promise.keeps == Keeps::Shared).then_some("user-session");
    stage.may_differ(if needs_own { Some("own") } else { is_shared }, assert_begun);
    if kept && before == Before::Roots {
        stage.assert_told_of_roots_keyring();
    } else {
        stage.assert_silent();
    }

    keys::add("of-the-session", "secret", keyring).expect("a key");
    let closed = pam.close();
    let key_is_there = keys::request("of-the-session").is_ok();
    let assert_ended = || {
        let (revoked, found) = match promise.end {
            _ if kept => (false, true),
            End::Never => (false, true),
            End::Cleared => (false, false),
            End::Revoked | End::RevokedLast => (true, false),
        };
        assert_eq!(session(), if revoked { Err(libc::EKEYREVOKED) } else { Ok(keyring) });
        assert_eq!(key_is_there, found);
        let in_time = kept || !stored || matches!(promise.end, End::RevokedLast | End::Never);
        assert_eq!(
            closed,
            if in_time { SUCCESS } else { SESSION_ERR },
            "whether others find their keys at their close"
        );
    };
    let entry = match promise.end {
        _ if needs_own => Some("own"),
        End::Cleared if !kept => Some("clear"),
        _ => None,
    };
    stage.may_differ(entry, assert_ended);
    stage.assert_silent();
}

/// Asserts that `keyring` is the user's own, and that what other modules have stored in the session is in it.
fn assert_new(keyring: i32, from_setcred: bool) {
    let description = keys::describe(keyring).expect("a keyring");
    assert_eq!((description.uid, description.gid, &*description.name), (USER.uid, USER.gid, "_ses"));
    let names = keys::link_names(keyring).expect("readable");
    assert!(names.contains(&format!("_uid.{}", USER.uid)), "{names:?}");
    assert_eq!(names.iter().any(|name| name == "of-setcred"), from_setcred, "{names:?}");
}
