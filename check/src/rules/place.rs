// SPDX-License-Identifier: MIT
//! Whether the lines are there, can be read, and are reached.

use super::{Finding, Look, Severity, words, written};
use crate::control::Action;
use crate::directive::Type;
use crate::dispatch::{jumps_too_far, reach};
use crate::known::{self, Starter};
use crate::stack::{Entry, Step};

pub(super) fn findings(look: &Look) -> Vec<Finding> {
    let mut all = syntax(look);
    all.extend(missing(look));
    all.extend(stays(look));
    for entry in look.keyinits() {
        all.extend(required(look, entry));
        all.extend(no_file(look, entry));
    }
    for kind in Type::ALL {
        all.extend(skipped(look, kind));
    }
    all
}

fn missing(look: &Look) -> Option<Finding> {
    let file = look.service.file.as_deref()?;
    let starter = known::login(&look.service.name).filter(|_| look.keyinits().next().is_none())?;
    let whose = if starter == Starter::Daemon { "the daemon's" } else { "the caller's" };
    let message = format!("{} has no line of pam_keyinit: its sessions run in {whose} keyring", look.service.name);
    let line =
        if look.service.name.contains("cron") || look.service.name == "atd" { "own clear" } else { "force revoke" };
    let advice = format!("before all that stores keys: session optional pam_keyinit.so {line}");
    Some(look.finding(file, 0, "session", "missing", message, advice))
}

fn stays(look: &Look) -> Option<Finding> {
    let entry = look.keyinits().find(|entry| entry.kind == Type::Session).or(look.keyinits().next())?;
    let leaves = ["force", "own", "user-session"].iter().any(|word| look.asks_for(word));
    let stays = known::login(&look.service.name) == Some(Starter::Daemon) && !leaves;
    let words: Vec<_> = ["own"].into_iter().chain(words(entry)).collect();
    let message = "under systemd the daemon has a session keyring, in which users stay without force or own".to_owned();
    let advice = format!("{}; with the C module force in the place of own", written(entry, "optional", &words));
    stays.then(|| look.at(entry, "stays", message, advice))
}

/// An answer of the module's fails the stack.
fn required(look: &Look, entry: &Entry) -> Option<Finding> {
    let fails = |answer| matches!(entry.control.action(answer), Action::Bad | Action::Die);
    let failing = known::failures(entry.kind).into_iter().any(fails);
    let message = "a failure of this line fails the login: a filter or an odd keyring locks people out".to_owned();
    failing.then(|| look.at(entry, "required", message, written(entry, "optional", &words(entry))))
}

fn no_file(look: &Look, entry: &Entry) -> Option<Finding> {
    let path = &entry.keyinit()?.path;
    // A tree without modules is a part of a system.
    let absent = look.tree.module(path).is_none() && !look.tree.module_directories().is_empty();
    let message = format!("{path} is not there");
    let advice = "install the package that has it, or take the line out".to_owned();
    let mut finding = absent.then(|| look.at(entry, "no-file", message, advice))?;
    if entry.silent {
        finding.severity = Severity::Note;
    }
    Some(finding)
}

fn skipped(look: &Look, kind: Type) -> Vec<Finding> {
    let stack = look.service.stack(kind);
    if stack.iter().all(|entry| entry.keyinit().is_none()) {
        return Vec::new();
    }
    let reached = reach(stack, |entry| entry.module().map(known::answers).unwrap_or_default());
    let lines = stack.iter().zip(reached).filter(|(entry, reached)| !reached && entry.keyinit().is_some());
    let message = "no path reaches this line: a module before it always jumps over it or ends the stack".to_owned();
    let advice = format!("pam_keyinit_check --explain {} shows where; move the line up", look.service.name);
    lines.map(|(entry, _)| look.at(entry, "skipped", message.clone(), advice.clone())).collect()
}

fn syntax(look: &Look) -> Vec<Finding> {
    let service = look.service;
    let advice = "put it right, see pam.conf(5): until then logins by this service may fail".to_owned();
    let faults = service.faults.iter().map(|fault| {
        let kind = fault.kind.map_or("", Type::name);
        look.finding(&fault.file, fault.line, kind, "syntax", format!("the line {}", fault.message), advice.clone())
    });
    let mut all: Vec<_> = faults.collect();
    for kind in Type::ALL {
        let stack = service.stack(kind);
        let far = stack
            .iter()
            .enumerate()
            .filter(|(index, entry)| matches!(entry.step, Step::Module(_)) && jumps_too_far(stack, *index));
        let message = "the line jumps past the end of the stack, which then fails".to_owned();
        let advice = "lower the number, or add the modules that it counts".to_owned();
        all.extend(far.map(|(_, entry)| look.at(entry, "syntax", message.clone(), advice.clone())));
    }
    all
}
