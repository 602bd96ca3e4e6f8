// SPDX-License-Identifier: MIT
//! Each rule on a stack that breaks it, on one that nearly does, and on the stack mended.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use keyinit_check::known::WORDS;
use keyinit_check::krb5::Krb5;
use keyinit_check::rules::{Finding, RULES, findings};
use keyinit_check::stack::Service;
use keyinit_check::tree::Tree;
use tempfile::TempDir;

const MODULES: &str = "usr/lib/security";
const SESSION_TICKETS: (&str, &str) = ("etc/krb5.conf", "[libdefaults]\n default_ccache_name = KEYRING:session:x\n");
const DELEGATES: (&str, &str) = ("etc/ssh/sshd_config", "gssapiauthentication yes\n");

/// A system with these files; those without a directory are services.
fn system(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let all = files.iter().chain(&[("usr/lib/security/pam_keyinit.so", "pam_keyinit.rs")]);
    for (name, text) in all {
        let name = if name.contains('/') { (*name).to_owned() } else { format!("etc/pam.d/{name}") };
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, text).expect("a file");
    }
    directory
}

fn look(root: &Path, service: &str) -> Vec<Finding> {
    let tree = Tree::new(root);
    findings(&tree, &Service::read(&tree, service), &Krb5::read(&tree))
}

/// The findings of a rule in the first of these files, each as `file:line`.
fn found(rule: &str, files: &[(&str, &str)]) -> Vec<String> {
    let system = system(files);
    let all = look(system.path(), files[0].0).into_iter().filter(|finding| finding.rule == rule);
    let place =
        |finding: Finding| format!("{}:{}", finding.file.file_name().expect("a name").to_string_lossy(), finding.line);
    all.map(place).collect()
}

/// Asserts that the first has a finding of the rule there, that the second has none, and that the third has none of any.
#[track_caller]
fn assert_rule(rule: &str, broken: &[(&str, &str)], place: &str, nearly: &[(&str, &str)], mended: &[(&str, &str)]) {
    assert!(RULES.iter().any(|known| known.name == rule));
    assert_eq!(found(rule, broken), [place], "the broken stack");
    assert_eq!(found(rule, nearly), [""; 0], "the stack that nearly breaks it");
    let mended_system = system(mended);
    assert_eq!(look(mended_system.path(), mended[0].0), [], "the mended stack");
}

const GOOD: &str = "session optional pam_keyinit.so force revoke\nsession required pam_unix.so\n";

#[test]
fn missing() {
    let none = "session required pam_unix.so\n";
    assert_rule("missing", &[("sshd", none)], "sshd:0", &[("passwd", none)], &[("sshd", GOOD)]);
    let included = [("gdm-password", "@include common-session\n"), ("common-session", GOOD)];
    assert_rule("missing", &[("gdm-password", none)], "gdm-password:0", &included, &included);
}

#[test]
fn stays() {
    let revoke = "session optional pam_keyinit.so revoke\n";
    let own = "session optional pam_keyinit.so own revoke\n";
    assert_rule("stays", &[("lightdm", revoke)], "lightdm:1", &[("su", revoke)], &[("lightdm", own)]);
    let shared = "session optional pam_keyinit.so user-session\n";
    assert_rule("stays", &[("sddm", revoke)], "sddm:1", &[("sddm", shared)], &[("sddm", shared)]);
    let with_auth = "auth optional pam_keyinit.so force\nsession optional pam_keyinit.so revoke\n";
    assert_rule("stays", &[("login", revoke)], "login:1", &[("login", with_auth)], &[("login", GOOD)]);
}

#[test]
fn order_keys() {
    let late = "session optional pam_fscrypt.so\nsession optional pam_keyinit.so force\n";
    let early = "session optional pam_keyinit.so force\nsession optional pam_fscrypt.so\n";
    let in_auth =
        "auth optional pam_keyinit.so force\nsession optional pam_fscrypt.so\nsession optional pam_keyinit.so\n";
    assert_rule("order-keys", &[("sshd", late)], "sshd:2", &[("sshd", in_auth)], &[("sshd", early)]);
    let krb5 = "session optional pam_krb5.so\nsession optional pam_keyinit.so force\n";
    let files = ("etc/krb5.conf", "[libdefaults]\n");
    let mended = "session optional pam_keyinit.so force\nsession optional pam_krb5.so\n";
    assert_rule(
        "order-keys",
        &[("sshd", krb5), SESSION_TICKETS],
        "sshd:2",
        &[("sshd", krb5), files],
        &[("sshd", mended), SESSION_TICKETS],
    );
}

#[test]
fn auth_line() {
    let without = "auth required pam_krb5.so\nsession optional pam_keyinit.so force\n";
    let with = format!("auth optional pam_keyinit.so force\n{without}");
    let persistent = ("etc/krb5.conf", "[libdefaults]\n default_ccache_name = KEYRING:persistent:%{uid}\n");
    assert_rule(
        "auth-line",
        &[("sshd", without), SESSION_TICKETS],
        "sshd:1",
        &[("sshd", without), persistent],
        &[("sshd", &with), SESSION_TICKETS],
    );
    assert_eq!(found("auth-line", &[("sshd", without)]), [""; 0], "without krb5.conf tickets go to files");
    assert_eq!(found("auth-line", &[("su", without), SESSION_TICKETS]), [""; 0], "su has its caller's keyring");
    for module in ["pam_sss.so", "pam_winbind.so", "pam_afs_session.so", "pam_himmelblau.so"] {
        assert_eq!(
            found("auth-line", &[("gdm-password", &without.replace("pam_krb5.so", module)), SESSION_TICKETS]),
            ["gdm-password:1"]
        );
    }
}

#[test]
fn order_selinux() {
    let before = "session optional pam_keyinit.so force\nsession required pam_selinux.so open\n";
    let after = "session required pam_selinux.so open\nsession optional pam_keyinit.so force\n";
    let close = "session optional pam_keyinit.so force\nsession required pam_selinux.so close\n";
    assert_rule("order-selinux", &[("sshd", before)], "sshd:1", &[("sshd", close)], &[("sshd", after)]);
}

#[test]
fn required() {
    let line = |control| format!("session {control} pam_keyinit.so force\n");
    let [required, ok, optional] = ["required", "[success=ok default=ignore]", "optional"].map(line);
    assert_rule("required", &[("sshd", &required)], "sshd:1", &[("sshd", &ok)], &[("sshd", &optional)]);
    for control in ["requisite", "[success=ok session_err=die default=ignore]", "[default=bad success=ok]"] {
        assert_eq!(found("required", &[("sshd", &line(control))]), ["sshd:1"], "{control}");
    }
}

#[test]
fn revoke_first() {
    let one = "session optional pam_keyinit.so force revoke\nsession optional pam_fscrypt.so\n";
    let clear = one.replace("revoke", "clear");
    assert_eq!(found("revoke-first", &[("sshd", &one.replace("revoke", "revoke user-session"))]), [""; 0]);
    let two = "session optional pam_keyinit.so force\nsession optional pam_fscrypt.so\nsession optional pam_keyinit.so revoke\n";
    assert_rule("revoke-first", &[("sshd", one)], "sshd:1", &[("sshd", &clear)], &[("sshd", two)]);
}

#[test]
fn unknown_argument() {
    let typo = "session optional pam_keyinit.so force revok\n";
    let other = "session optional pam_keyinit.so force\nsession optional pam_limits.so revok\n";
    assert_rule("unknown-argument", &[("sshd", typo)], "sshd:1", &[("sshd", other)], &[("sshd", GOOD)]);
    let system = system(&[("sshd", "session optional pam_keyinit.so Force onw clean nothing_like_it")]);
    let advice: Vec<_> = look(system.path(), "sshd").into_iter().filter(|one| one.rule == "unknown-argument").collect();
    let advice: Vec<_> = advice.iter().map(|finding| finding.advice.split(',').next().expect("a word")).collect();
    assert_eq!(advice, ["force", "own", "clear", "take it out: the words are debug"]);
}

#[test]
fn no_effect() {
    let both = "session optional pam_keyinit.so force clear\nsession include common\n";
    let revoke = ("common", "session optional pam_keyinit.so revoke\n");
    let weaker = ("common", "session optional pam_keyinit.so own clear\n");
    let nearly = [("crond", "session optional pam_keyinit.so force revoke\nsession include common\n"), weaker];
    let mended = [("crond", both), ("common", "session required pam_unix.so\n")];
    assert_rule("no-effect", &[("crond", both), revoke], "crond:1", &nearly, &mended);
    assert_eq!(found("no-effect", &[("crond", "session optional pam_keyinit.so own force\n")]), ["crond:1"]);
    for word in ["force", "own", "revoke", "clear"] {
        let beaten = format!("session optional pam_keyinit.so {word} user-session\n");
        assert_eq!(found("no-effect", &[("crond", &beaten)]), ["crond:1"], "{word}");
    }
}

#[test]
fn c_module() {
    let own = "session optional /c/pam_keyinit.so own revoke\n";
    let c = ("c/pam_keyinit.so", "an ELF file");
    let force = "session optional /c/pam_keyinit.so force revoke\n";
    let ours = ("c/pam_keyinit.so", "pam_keyinit.rs");
    assert_rule("c-module", &[("sshd", own), c], "sshd:1", &[("sshd", own), ours], &[("sshd", force), c]);
    assert_eq!(found("c-module", &[("sshd", "session optional /c/pam_keyinit.so user-session\n"), c]), ["sshd:1"]);
}

#[test]
fn skipped() {
    let jump =
        "session [default=1] pam_permit.so\nsession optional pam_keyinit.so force\nsession required pam_unix.so\n";
    let perhaps = jump.replace("default=1", "success=1 default=ignore").replace("pam_permit", "pam_succeed_if");
    let ended = "session sufficient pam_permit.so\nsession optional pam_keyinit.so force\n";
    assert_rule("skipped", &[("sshd", jump)], "sshd:2", &[("sshd", &perhaps)], &[("sshd", GOOD)]);
    assert_rule(
        "skipped",
        &[("sshd", ended)],
        "sshd:2",
        &[("sshd", &ended.replace("sufficient", "optional"))],
        &[("sshd", GOOD)],
    );
    let include = [
        ("sshd", "session include all\nsession optional pam_keyinit.so force\n"),
        ("all", "session requisite pam_deny.so\n"),
    ];
    let substack = [("sshd", "session substack all\nsession optional pam_keyinit.so force\n"), include[1]];
    assert_rule("skipped", &include, "sshd:2", &substack, &[("sshd", GOOD)]);
}

#[test]
fn no_file() {
    let absent = "session optional /usr/lib/security/pam_keyinit_rs.so force\n";
    let there = "session optional pam_keyinit.so force\nsession optional pam_absent.so\n";
    assert_rule("no-file", &[("sshd", absent)], "sshd:1", &[("sshd", there)], &[("sshd", GOOD)]);
    assert!(MODULES.starts_with("usr/lib"));
    let system = system(&[("sshd", &format!("-{absent}"))]);
    let severities: Vec<_> = look(system.path(), "sshd").iter().map(|finding| finding.severity.to_string()).collect();
    assert_eq!(severities, ["note"]);
}

#[test]
fn syntax() {
    let typo = format!("session optinal pam_motd.so\n{GOOD}");
    let odd = format!("session [ success = ok default=ignore ] pam_motd.so\n{GOOD}");
    assert_rule("syntax", &[("sshd", &typo)], "sshd:1", &[("sshd", &odd)], &[("sshd", GOOD)]);
    for (line, place) in [
        ("sesion required pam_unix.so\n", "sshd:1"),
        ("session required\n", "sshd:1"),
        ("session include nowhere\n", "sshd:1"),
        ("@include\n", "sshd:1"),
        ("session [success=9] pam_unix.so\n", "sshd:1"),
        ("session include sshd\n", "sshd:1"),
        ("session required pam_unix.so \\", "sshd:1"),
    ] {
        assert_eq!(found("syntax", &[("sshd", line)]), [place], "{line:?}");
    }
}

#[test]
fn ccache() {
    let not = ("etc/ssh/sshd_config", "#GSSAPIAuthentication yes\n");
    let persistent = ("etc/krb5.conf", "[libdefaults]\ndefault_ccache_name = KEYRING:persistent:%{uid}\n");
    let broken = [("sshd", GOOD), SESSION_TICKETS, DELEGATES];
    assert_rule(
        "ccache",
        &broken,
        "krb5.conf:2",
        &[("sshd", GOOD), SESSION_TICKETS, not],
        &[("sshd", GOOD), persistent, DELEGATES],
    );
    let krb5 = format!("auth required pam_krb5.so ccache=KEYRING:user:x\n{GOOD}");
    let kcm = krb5.replace("KEYRING:user:x", "KCM:");
    assert_rule("ccache", &[("sshd", &krb5)], "sshd:1", &[("sshd", &kcm)], &[("sshd", &kcm)]);
}

#[test]
fn the_words_are_those_of_the_module() {
    let options = include_str!("../../src/options.rs");
    let words = options.lines().filter_map(|line| line.trim().strip_prefix("_ if word == c\"")?.split_once('"'));
    let words: BTreeSet<_> = words.map(|(word, _)| word).collect();
    assert_eq!(words, WORDS.into());
}

/// The blocks of the page's section of a rule.
fn blocks(rule: &str) -> Vec<String> {
    let page = include_str!("../../docs/check.md");
    let section = page.split("\n### ").find(|section| section.lines().next() == Some(rule)).unwrap_or_default();
    let mut blocks = vec![String::new()];
    for line in section.lines() {
        match (line.strip_prefix("    "), blocks.last_mut()) {
            (Some(line), Some(last)) => last.push_str(&format!("{line}\n")),
            (None, Some(last)) if !line.is_empty() && !last.is_empty() => blocks.push(String::new()),
            _ => {}
        }
    }
    blocks
}

#[test]
fn the_page_has_each_rule_with_a_stack_and_the_stack_mended() {
    for rule in RULES {
        let found = blocks(rule.name).into_iter().map(|block| {
            let conf = format!("[libdefaults]\n{block}");
            let files = match rule.name {
                "ccache" => vec![("sshd", GOOD), ("etc/krb5.conf", &*conf), DELEGATES],
                "auth-line" => vec![("sshd", &*block), SESSION_TICKETS],
                _ => vec![("sshd", &*block)],
            };
            let system = system(&files);
            if rule.name == "c-module" {
                fs::write(system.path().join(MODULES).join("pam_keyinit.so"), "an ELF file").expect("a file");
            }
            look(system.path(), "sshd").into_iter().map(|finding| finding.rule).collect::<Vec<_>>()
        });
        let found: Vec<_> = found.collect();
        assert_eq!(found.len(), 2, "{}: a stack, and the stack mended", rule.name);
        assert!(found[0].iter().any(|name| name == rule.name), "{}: {:?}", rule.name, found[0]);
        assert_eq!(found[1], [""; 0], "{}, mended", rule.name);
    }
}

/// The examples beside each other, with what they include, in either of the two forms of common-session.
#[test]
fn the_examples_have_no_finding() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pam.d-examples");
    let read = |directory: &Path| -> Vec<(String, String)> {
        let paths = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
        let file = |path: std::path::PathBuf| {
            let name = path.file_name().expect("a name").to_str().expect("UTF-8").to_owned();
            (name, fs::read_to_string(&path).expect("a file"))
        };
        paths.filter(|path| path.is_file()).map(file).collect()
    };
    let snippets = read(&examples.join("snippets"));
    let auth = "auth required pam_unix.so\naccount required pam_unix.so\npassword required pam_unix.so\n";
    let session = "session required pam_unix.so\n";
    for common in [session, &snippets.iter().find(|(name, _)| name == "common-session").expect("a snippet").1] {
        let mut files = [read(&examples), snippets.clone()].concat();
        files.retain(|(name, _)| name != "common-session");
        files.push(("common-session".to_owned(), common.to_owned()));
        for name in ["common-auth", "common-account", "common-password"] {
            files.push((name.to_owned(), auth.to_owned()));
        }
        files.push(("common-session-noninteractive".to_owned(), session.to_owned()));
        let system_auth = files.iter_mut().find(|(name, _)| name == "system-auth").expect("a snippet");
        system_auth.1.push_str(auth);
        let all: Vec<_> = files.iter().map(|(name, text)| (&**name, &**text)).collect();
        let system = system(&all);
        for (name, _) in &all {
            assert_eq!(look(system.path(), name), [], "{name}");
        }
    }
}
