// SPDX-License-Identifier: MIT
//! Keyrings as trees, the way keyctl(1) shows them.

use nix::errno::Errno;
use nix::unistd::{Uid, getegid, getgroups};

use crate::process::print;
use crate::support::keys::{self, Description};

/// No chain of links is followed further, whatever the keyrings look like; keyctl(1) has the same limit.
const DEPTH: usize = 8;

/// Prints the session keyring of this process and all that it links.
pub fn show_session() {
    print("Session Keyring");
    match keys::id(keys::SESSION).and_then(|keyring| Ok((keyring, keys::describe(keyring)?))) {
        Ok((keyring, description)) => {
            show(keyring, &description, "");
            show_links(keyring, " ", &mut Vec::new());
        }
        Err(error) => print(format_args!("Unable to dump key: {}", reason(&error))),
    }
}

/// Prints what `keyring` links, if it can be read, each behind `margin`. `above` are the keyrings on the way to it.
fn show_links(keyring: i32, margin: &str, above: &mut Vec<i32>) {
    if above.len() == DEPTH || above.contains(&keyring) {
        return;
    }
    above.push(keyring);
    let mut links = keys::links(keyring).unwrap_or_default().into_iter().peekable();
    while let Some(link) = links.next() {
        match keys::describe(link) {
            Ok(description) => {
                show(link, &description, &format!("{margin}\\_ "));
                if description.kind == "keyring" {
                    let bar = if links.peek().is_some() { '|' } else { ' ' };
                    show_links(link, &format!("{margin}{bar}   "), above);
                }
            }
            Err(error) => print(format_args!("{link}: key inaccessible ({})", reason(&error))),
        }
    }
    above.pop();
}

/// Prints a key, behind the `branch` that leads to it.
fn show(key: i32, description: &Description, branch: &str) {
    let Description { kind, uid, gid, name, .. } = description;
    // A name is anybody's to choose: no control character reaches the terminal.
    let name = name.replace(char::is_control, "?");
    print(format_args!("{key:>10} --{} {uid:>6} {gid:>5}  {branch}{kind}: {name}", letters(description)));
}

/// What this process may do with a key that it possesses: set attributes, link, search, write, read, view.
fn letters(description: &Description) -> String {
    let is_of_group = |gid| getegid().as_raw() == gid || getgroups().is_ok_and(|all| all.contains(&gid.into()));
    let class = match description {
        key if key.uid == Uid::effective().as_raw() => 16,
        key if is_of_group(key.gid) => 8,
        _ => 0,
    };
    let allowed = (description.permissions >> 24) | (description.permissions >> class);
    let bits = [0x20, 0x10, 0x08, 0x04, 0x02, 0x01];
    bits.iter().zip("alswrv".chars()).map(|(bit, letter)| if allowed & bit == 0 { '-' } else { letter }).collect()
}

fn reason(error: &std::io::Error) -> &'static str {
    Errno::from_raw(error.raw_os_error().unwrap_or_default()).desc()
}
