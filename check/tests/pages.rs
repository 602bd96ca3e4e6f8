// SPDX-License-Identifier: MIT
//! The page and the completions are those of the options and the rules. PAM_KEYINIT_PAGES=write writes them.

use std::fs;
use std::path::Path;
use std::process::Command;

use clap::CommandFactory as _;
use clap_complete::Shell;

use keyinit_check::options::Options;
use keyinit_check::rules::RULES;

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
    (text + &sections()).into_bytes()
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
    let output =
        Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).arg(file.path()).output().expect("mandoc");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
