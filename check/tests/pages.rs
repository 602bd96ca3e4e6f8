// SPDX-License-Identifier: MIT
//! The page and the completions are those of the options and the rules, and are installed; PAM_KEYINIT_PAGES=write writes
//! them. What the other pages show is what the command says.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use clap::CommandFactory as _;
use clap_complete::Shell;
use nix::pty::openpty;

use keyinit_check::options::Options;
use keyinit_check::rules::RULES;

const COMMAND: &str = env!("CARGO_BIN_EXE_pam_keyinit_check");

/// What comes after the options.
fn sections() -> String {
    let mut text = String::from(".SH RULES\n");
    for rule in &RULES {
        text.push_str(&format!(".TP\n.BR {} \" ({})\"\n{}\n", roff(rule.name), rule.severity, roff(rule.text)));
    }
    text + include_str!("../man/sections.roff")
}

fn roff(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('`', "")
}

fn page() -> Vec<u8> {
    let man = clap_mangen::Man::new(Options::command()).section("8").title("PAM_KEYINIT_CHECK").date("2026-11-27");
    let mut page = b".\\\" SPDX-License-Identifier: MIT\n".to_vec();
    man.render_title(&mut page).expect("memory");
    man.render_name_section(&mut page).expect("memory");
    man.render_synopsis_section(&mut page).expect("memory");
    man.render_description_section(&mut page).expect("memory");
    man.render_options_section(&mut page).expect("memory");
    // mandoc has no use for a break beside a blank line.
    let text = String::from_utf8(page).expect("UTF-8").replace(".br\n\n.br\n", ".sp\n");
    (text + &sections()).lines().map(fold).collect::<String>().into_bytes()
}

/// A line of a page as lines of 80 characters at most, which is what translators and mandoc want. A macro's stays whole.
fn fold(line: &str) -> String {
    let options = textwrap::Options::new(80)
        .break_words(false)
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    let text =
        if line.starts_with('.') { line.trim_end().to_owned() } else { textwrap::fill(line.trim_end(), options) };
    text + "\n"
}

fn files() -> Vec<(&'static str, Vec<u8>)> {
    let completions = |shell| {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut Options::command(), "pam_keyinit_check", &mut text);
        text
    };
    vec![
        ("man/pam_keyinit_check.8", page()),
        ("completions/pam_keyinit_check.bash", completions(Shell::Bash)),
        ("completions/_pam_keyinit_check", completions(Shell::Zsh)),
        ("completions/pam_keyinit_check.fish", completions(Shell::Fish)),
    ]
}

#[test]
fn the_files_are_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, text) in files() {
        let path = folder.join(name);
        if std::env::var_os("PAM_KEYINIT_PAGES").is_some() {
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(&path, &text).expect("a file");
        }
        let there = fs::read(&path).unwrap_or_default();
        assert!(there == text, "{name} is old: PAM_KEYINIT_PAGES=write cargo test -p pam_keyinit_check --test pages");
    }
}

#[test]
fn the_page_has_no_faults() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), page()).expect("a file");
    let output = Command::new("mandoc").args(["-T", "lint"]).arg(file.path()).output().expect("mandoc");
    assert!(output.status.success() && output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn what_is_installed_is_removed() {
    let place = tempfile::tempdir().expect("a directory");
    let make = |target: &str| {
        let mut make = Command::new("make");
        // What a make has set that runs these tests.
        for variable in ["MAKEFLAGS", "MAKELEVEL", "MFLAGS"] {
            make.env_remove(variable);
        }
        make.arg("--directory").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).args(["--silent", target]);
        make.args([format!("DESTDIR={}", place.path().display()), format!("COMMAND={COMMAND}")]);
        let output = make.output().expect("make starts");
        assert!(output.status.success(), "make {target}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let files = || {
        let output = Command::new("find").arg(place.path()).args(["-type", "f", "-printf", "%P %m\n"]).output();
        let text = String::from_utf8(output.expect("find").stdout).expect("UTF-8");
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    make("install-command");
    let expected = [
        "usr/local/sbin/pam_keyinit_check 755",
        "usr/local/share/bash-completion/completions/pam_keyinit_check 644",
        "usr/local/share/fish/vendor_completions.d/pam_keyinit_check.fish 644",
        "usr/local/share/man/man8/pam_keyinit_check.8 644",
        "usr/local/share/zsh/site-functions/_pam_keyinit_check 644",
    ];
    assert_eq!(files(), expected);
    make("uninstall-command");
    assert_eq!(files(), [""; 0]);
}

/// What the command says of a tree of these tests, as a block of a page has it.
fn said(tree: &Path, arguments: &[&str]) -> String {
    let output = Command::new(COMMAND).arg("--root").arg(tree).args(arguments).output().expect("the command");
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(|line| format!("    {line}\n")).collect()
}

#[test]
fn the_pages_show_what_it_says() {
    let trees = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trees");
    let (page, readme) = (include_str!("../../docs/check.md"), include_str!("../../README.md"));
    let broken = said(&trees.join("broken"), &["sshd"]);
    let explained = said(&trees.join("fedora"), &["--explain", "crond"]);
    let (first, rest) = explained.split_once('\n').expect("lines");
    let open = rest.split_once("    open\n").and_then(|(_, rest)| rest.split_once("    close\n")).expect("an open").0;
    let crond = format!("{first}\n    open\n{open}");
    let [debian, fedora, nixos] = ["debian", "fedora", "nixos"].map(|name| said(&trees.join(name), &[]));
    let late = said(&trees.join("late"), &["sshd"]);
    assert!(readme.contains(&late), "README.md has not:\n{late}");
    for block in [broken, debian, fedora, nixos, crond] {
        assert!(page.contains(&block), "docs/check.md has not:\n{block}");
    }
}

/// Whoever does what it prints has an sshd without errors and warnings.
#[test]
fn a_broken_sshd_is_mended_by_what_it_says() {
    let broken = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trees/broken");
    let said = said(&broken, &["sshd"]);
    for step in [
        "(optional?)",
        "do: move pam_fscrypt.so below it, and this line below pam_selinux.so open\n",
        "do: session optional pam_keyinit.so force revoke\n",
    ] {
        assert!(said.contains(step), "{step} in\n{said}");
    }
    let text = fs::read_to_string(broken.join("etc/pam.d/sshd")).expect("a file").replace("optinal", "optional");
    let mut lines: Vec<_> = text.lines().collect();
    let fscrypt = lines.remove(3);
    lines[3] = "session optional pam_keyinit.so force revoke";
    lines.swap(3, 4);
    lines.insert(5, fscrypt);
    let mended = tempfile::tempdir().expect("a directory");
    fs::create_dir_all(mended.path().join("etc/pam.d")).expect("a directory");
    fs::write(mended.path().join("etc/pam.d/sshd"), lines.join("\n") + "\n").expect("a file");
    let output = Command::new(COMMAND).arg("--root").arg(mended.path()).output().expect("the command");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.ends_with("1 service: 0 errors, 0 warnings, 1 note\n"), "{text}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn colours_are_for_terminals() {
    let is_coloured = |variable: Option<(&str, &str)>, terminal: bool| {
        let mut command = Command::new(COMMAND);
        command.arg("--list").env_remove("NO_COLOR").env("TERM", "xterm").envs(variable);
        if !terminal {
            return command.output().expect("the command").stdout.contains(&0x1b);
        }
        let pty = openpty(None, None).expect("a terminal");
        let mut child = command.stdout(pty.slave).spawn().expect("the command");
        drop(command); // and with it the terminal's other end
        let mut bytes = Vec::new();
        // When nobody has the other end any more, that is an error.
        drop(fs::File::from(pty.master).read_to_end(&mut bytes));
        assert!(child.wait().expect("a child").success());
        assert!(bytes.len() > 1000, "the rules");
        bytes.contains(&0x1b)
    };
    assert!(is_coloured(None, true));
    assert!(!is_coloured(None, false));
    assert!(!is_coloured(Some(("NO_COLOR", "1")), true));
    assert!(!is_coloured(Some(("TERM", "dumb")), true));
}

/// It is run by package scripts, on all of a desktop's files. docs/check.md has the time; what does not depend on the machine are
/// instructions: a slow processor executes these in 20 ms.
#[test]
fn it_takes_few_instructions() {
    let tree = tempfile::tempdir().expect("a directory");
    let pam_d = tree.path().join("etc/pam.d");
    fs::create_dir_all(&pam_d).expect("a directory");
    let mut services = 0;
    for (folder, copies) in
        [("../pam.d-examples", 2), ("tests/trees/fedora/etc/pam.d", 1), ("../pam.d-examples/snippets", 1)]
    {
        let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).expect("a folder");
        for path in entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file()) {
            for copy in 0..copies {
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                let name = if copy == 0 { name } else { format!("{name}-{copy}") };
                fs::copy(&path, pam_d.join(name)).expect("a file");
                services += 1;
            }
        }
    }
    assert!(services > 40);
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", COMMAND, "--root"])
        .arg(tree.path())
        .output()
        .expect("valgrind");
    let told = String::from_utf8_lossy(&output.stderr);
    let instructions = told.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse::<u64>().ok());
    println!("{services} services: {instructions:?} instructions");
    assert!(instructions.expect("a number") < 180_000_000, "{told}");
}
