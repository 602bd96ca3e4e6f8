// SPDX-License-Identifier: MIT
//! Whether the lines stand where they belong, among those of other modules.

use super::{Finding, Look, words, written};
use crate::directive::Type;
use crate::known;
use crate::stack::Entry;

pub(super) fn findings(look: &Look) -> Vec<Finding> {
    let mut all: Vec<_> = [Type::Auth, Type::Session].into_iter().filter_map(|kind| keys(look, kind)).collect();
    all.extend(auth_line(look));
    all.extend(selinux(look));
    all.extend(revoke_first(look));
    all
}

/// The place of the first line of pam_keyinit in a stack.
fn first(stack: &[Entry]) -> Option<usize> {
    stack.iter().position(|entry| entry.keyinit().is_some())
}

/// Whether an auth line has made the keyring before the session is opened.
fn made_before_session(look: &Look) -> bool {
    known::sets_credentials_first(&look.service.name) && first(look.service.stack(Type::Auth)).is_some()
}

/// The first module of these that keeps keys in the session keyring.
fn storing<'a>(look: &Look, entries: &'a [Entry]) -> Option<(&'a Entry, &'a str)> {
    let stores =
        |entry: &&Entry| entry.module().is_some_and(|module| known::stores_keys(module, entry.kind, look.krb5));
    let entry = entries.iter().find(stores)?;
    Some((entry, entry.module()?.name()))
}

fn keys(look: &Look, kind: Type) -> Option<Finding> {
    let stack = look.service.stack(kind);
    let place = first(stack).filter(|_| kind == Type::Auth || !made_before_session(look))?;
    let before = stack.get(..place)?;
    let (other, name) = storing(look, before)?;
    // Above that module it would stand before pam_selinux, which is wrong too.
    let is_between = stack.iter().rposition(opens_selinux) > before.iter().position(|entry| entry == other);
    let message = format!("it comes after {name} ({}:{}), whose keys are lost", other.file.display(), other.line);
    Some(look.at(
        stack.get(place)?,
        "order-keys",
        message,
        match is_between && kind == Type::Session {
            true => format!("move {name} below it, and this line below pam_selinux.so open"),
            false => format!("move it above {name}, or above the include that holds it"),
        },
    ))
}

fn auth_line(look: &Look) -> Option<Finding> {
    let line = look.keyinits().find(|entry| entry.kind == Type::Session)?;
    let stack = look.service.stack(Type::Auth);
    let (other, name) = storing(look, stack).filter(|_| known::sets_credentials_first(&look.service.name))?;
    let absent = first(stack).is_none();
    let advice = format!("before it: auth optional pam_keyinit.so {}", words(line).join(" "));
    let message = format!("{name} stores keys in pam_setcred, before the session has a keyring of its own");
    absent.then(|| look.at(other, "auth-line", message, advice))
}

/// Without `close` or `open` it does both.
fn opens_selinux(entry: &Entry) -> bool {
    entry.module().is_some_and(|module| module.name() == "pam_selinux.so" && !module.has("close"))
}

fn selinux(look: &Look) -> Option<Finding> {
    let stack = look.service.stack(Type::Session);
    let place = first(stack)?;
    let other = stack.get(place..)?.iter().find(|entry| opens_selinux(entry))?;
    let message = format!(
        "it comes before pam_selinux.so open ({}:{}): with SELinux the keyring gets the daemon's label",
        other.file.display(),
        other.line
    );
    Some(look.at(
        stack.get(place)?,
        "order-selinux",
        message,
        "move it below pam_selinux.so open, above all that stores keys; Debian's policy wants its module keyinit.cil for that".to_owned(),
    ))
}

/// The last line of pam_keyinit ends the keyring when its turn to close comes, and what is behind it closes later.
fn revoke_first(look: &Look) -> Option<Finding> {
    let stack = look.service.stack(Type::Session);
    let place = stack.iter().rposition(|entry| entry.keyinit().is_some())?;
    let needs = |entry: &&Entry| entry.module().is_some_and(|module| known::closes_with_keys(module, look.krb5));
    let other =
        stack.get(place..)?.iter().find(needs).filter(|_| look.asks_for("revoke") && !look.asks_for("user-session"))?;
    let entry = stack.get(place)?;
    let name = other.module()?.name();
    let words: Vec<_> = words(entry).into_iter().filter(|word| *word != "revoke").collect();
    let message = format!(
        "the keyring is revoked before {name} ({}:{}) closes, which still needs it",
        other.file.display(),
        other.line
    );
    let advice = format!(
        "two lines: {}, and at the end of the session lines {}",
        written(entry, "optional", &words),
        written(entry, "optional", &["revoke"])
    );
    Some(look.at(entry, "revoke-first", message, advice))
}
