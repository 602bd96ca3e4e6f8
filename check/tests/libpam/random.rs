// SPDX-License-Identifier: MIT
//! Trees made at random: lines as people write them, and as nobody should.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::tree::RECORD;

/// The services and what they include.
const NAMES: [&str; 5] = ["login", "common", "inner", "deep", "other"];

/// The files of a tree, by their paths.
pub type Files = Vec<(String, Vec<u8>)>;

pub fn trees() -> impl Strategy<Value = Files> {
    let directory = select(vec!["etc/pam.d", "etc/pam.d", "usr/lib/pam.d"]);
    let file = (directory, 0..NAMES.len(), text());
    vec(file, 1..7).prop_map(|files| {
        let mut files: Files =
            files.into_iter().map(|(directory, name, text)| (format!("{directory}/{}", NAMES[name]), text)).collect();
        files.sort();
        files.dedup_by(|one, other| one.0 == other.0);
        files
    })
}

/// All services in one file.
pub fn pam_confs() -> impl Strategy<Value = Files> {
    let service = select(vec!["login", "LOGIN", "other", "sshd", "[login]"]);
    let lines = vec((service, line()), 1..9).prop_map(|lines| {
        lines.into_iter().map(|(service, line)| format!("{service} {line}\n")).collect::<String>().into_bytes()
    });
    lines.prop_map(|text| vec![("etc/pam.conf".to_owned(), text)])
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let end = prop_oneof![12 => Just("\n"), 1 => Just(" \\\n"), 1 => Just("\\\n \t"), 1 => Just("# \\\n"), 1 => Just("\n\n#x\n")];
    let line = prop_oneof![12 => line(), 1 => odd()];
    (vec((line, end), 0..7), any::<bool>()).prop_map(|(lines, ended)| {
        let text: String = lines.iter().map(|(line, end)| format!("{line}{end}")).collect();
        if ended { text } else { text.trim_end_matches('\n').to_owned() }.into_bytes()
    })
}

fn line() -> impl Strategy<Value = String> {
    let kind = prop_oneof![
        8 => Just("session"), 4 => Just("auth"), 1 => Just("account"), 1 => Just("Session"), 1 => Just("-session"),
        1 => Just("\t-AUTH"),
    ];
    let module =
        (kind.clone(), control(), module()).prop_map(|(kind, control, module)| format!("{kind} {control} {module}"));
    let how = select(vec!["include", "substack", "Include", "SUBSTACK"]);
    let include = (kind, how, file()).prop_map(|(kind, how, file)| format!("{kind} {how}\t{file}"));
    let at =
        (select(vec!["@include", "  @Include", "-@include"]), file()).prop_map(|(at, file)| format!("{at} {file}"));
    prop_oneof![8 => module, 2 => include, 1 => at]
}

fn file() -> impl Strategy<Value = String> {
    prop_oneof![
        10 => select(&NAMES[..]).prop_map(str::to_owned),
        1 => select(&NAMES[..]).prop_map(|name| format!("/etc/pam.d/{name}")),
        1 => select(&NAMES[..]).prop_map(|name| format!("../pam.d/{name}")),
        1 => Just("[common] more".to_owned()),
        1 => Just("nowhere".to_owned()),
    ]
}

fn control() -> impl Strategy<Value = String> {
    let keyword = select(vec!["required", "requisite", "sufficient", "optional", "Required", "OPTIONAL"]);
    let answer = select(vec!["success", "session_err", "ignore", "auth_err", "default", "module_unknown", "cred_err"]);
    let action = select(vec!["ok", "done", "bad", "die", "ignore", "reset", "1", "2", "3"]);
    let pairs = vec((answer, action), 1..4);
    let pairs = pairs.prop_map(|pairs| {
        let pairs: Vec<_> = pairs.iter().map(|(answer, action)| format!("{answer}={action}")).collect();
        format!("[{}]", pairs.join(" "))
    });
    let odd = select(vec![
        "[success = ok\tdefault =1]",
        "[success=okdefault=2 ]",
        "success=ok",
        "reqired",
        "[]",
        "[success=0]",
        "[sucess=ok]",
        "[default=00002]",
    ]);
    prop_oneof![6 => keyword.prop_map(str::to_owned), 6 => pairs, 1 => odd.prop_map(str::to_owned)]
}

fn module() -> impl Strategy<Value = String> {
    let answers = vec(
        (select(vec!["auth", "cred", "account", "open", "close"]), select(vec![0, 0, 6, 7, 14, 17, 25, 12, 33])),
        0..4,
    );
    let record = (answers, argument(), 0..1000).prop_map(|(answers, argument, id)| {
        let answers: String = answers.iter().map(|(call, answer)| format!(" {call}={answer}")).collect();
        format!("{RECORD} {id}{answers} {argument}")
    });
    prop_oneof![20 => record, 1 => Just("absent.so x".to_owned()), 1 => Just("/absent.so".to_owned()), 1 => Just(String::new())]
}

fn argument() -> impl Strategy<Value = String> {
    select(vec!["", "force revoke", "[two words]", "[a\\]b]c", "[[x]", "[open", "a[b c]", "\\", "a\\b", "]", "a\r"])
        .prop_map(str::to_owned)
}

/// What libpam cannot make out.
fn odd() -> impl Strategy<Value = String> {
    let word = select(vec![
        "session", "required", "auth", "bogus", "-", "[", "]", "\\", "#", "include", "@include", RECORD, "x=1", "\x0b",
        "\x0c",
    ]);
    vec(word, 0..5).prop_map(|words| words.join(" "))
}
