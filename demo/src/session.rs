// SPDX-License-Identifier: MIT
//! The sessions, as the processes of their user live them.

use std::fmt::Display;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::unistd::{Uid, setgroups, setresgid, setresuid};

use crate::process::{Line, Outcome, Stop, check, failed, print};
use crate::support::keys;
use crate::{Demo, heading, tree};

const SECRET: &str = "secret of session one";

/// Adds a key, tells the login program its keyring and the key, and stays behind after the logout.
pub fn one(demo: &Demo, mut login: Line) -> Outcome {
    become_user(demo)?;
    let keyring = own_keyring(demo)?;
    let key = keys::add(&demo.key, SECRET, keys::SESSION).map_err(failed("add_key"))?;
    heading(
        &format!("2. Session one: the user {} logs in and adds a key", demo.user.name),
        "A new keyring, _ses, the user's own. The new key is in it, and the user keyring is\n\
         reached through it.",
    );
    tree::show_session();
    let found = keys::request(&demo.key).map_err(failed("request_key"))?;
    check(found == key, format_args!("request_key found {found}, not the new key {key}"))?;
    let payload = keys::read(key).map_err(failed("KEYCTL_READ"))?;
    check(payload == SECRET.as_bytes(), "the new key has another payload")?;
    shown(&format!("keyctl print {key}"), SECRET);
    login.say(keyring)?;
    login.say(key)?;

    login.hear()?;
    heading("4. Session one logs out", "Its keyring is revoked, and its key out of reach. Session two goes on.");
    print("A process left behind in session one:");
    refused("keyctl show @s", keys::id(keys::SESSION), &[Errno::EKEYREVOKED])?;
    refused(&format!("keyctl request user {}", demo.key), keys::request(&demo.key), &[Errno::ENOKEY])?;
    // Until the kernel has collected the key it is there, but nobody possesses it.
    refused(&format!("keyctl print {key}"), keys::read(key), &[Errno::ENOKEY, Errno::EACCES])
}

/// Looks for session one's `key`, and has a look at its own keyring again when session one has logged out.
pub fn two(demo: &Demo, keyring_of_one: i32, key: i32, mut login: Line) -> Outcome {
    become_user(demo)?;
    let keyring = own_keyring(demo)?;
    check(keyring != keyring_of_one, "session two runs in session one's keyring")?;
    heading(
        &format!("3. Session two: the user {} logs in once more", demo.user.name),
        "Another keyring. Session one's key is not in it, nor is there another way to it.",
    );
    tree::show_session();
    refused(&format!("keyctl search @s user {}", demo.key), keys::search(&demo.key, keys::SESSION), &[Errno::ENOKEY])?;
    refused(&format!("keyctl request user {}", demo.key), keys::request(&demo.key), &[Errno::ENOKEY])?;
    refused(&format!("keyctl print {key}"), keys::read(key), &[Errno::EACCES])?;
    login.say(keyring)?;

    login.hear()?;
    let now = own_keyring(demo)?;
    check(now == keyring, format_args!("session two ran in keyring {keyring}, and now in {now}"))?;
    print(format_args!("Session two:\n  it still has its keyring, {now}"));
    Ok(())
}

/// Becomes a program that knows nothing of keys: it says what it hears.
pub fn plain(demo: &Demo, login: Line) -> Outcome {
    become_user(demo)?;
    let [input, output] = login.into_stdio()?;
    Err(failed("cat")(Command::new("cat").stdin(input).stdout(output).exec()))
}

/// What a login program does before it starts the user's shell.
fn become_user(demo: &Demo) -> Outcome {
    let (uid, gid) = (demo.user.uid, demo.user.gid);
    if !Uid::effective().is_root() {
        return Ok(());
    }
    setgroups(&[gid])
        .and_then(|()| setresgid(gid, gid, gid))
        .and_then(|()| setresuid(uid, uid, uid))
        .map_err(failed(&format!("becoming {}", demo.user.name)))
}

/// The session keyring of this process. Checks that the module made it for the user.
fn own_keyring(demo: &Demo) -> Outcome<i32> {
    let keyring = keys::id(keys::SESSION).map_err(failed("the session keyring"))?;
    check(demo.before != Some(keyring), "the session runs in the keyring from before the login")?;
    let key = keys::describe(keyring).map_err(failed("KEYCTL_DESCRIBE of the session keyring"))?;
    let (kind, name) = (&*key.kind, &*key.name);
    check(
        (kind, name) == ("keyring", "_ses"),
        format_args!("the session runs in the {kind} {name}, not in a new _ses"),
    )?;
    let (is, should) = ((key.uid, key.gid), (demo.user.uid.as_raw(), demo.user.gid.as_raw()));
    check(is == should, format_args!("the session keyring's uid and gid are {is:?}, the user's {should:?}"))?;
    let user_keyring = keys::id(keys::USER).map_err(failed("the user keyring"))?;
    let links = keys::links(keyring).map_err(failed("KEYCTL_READ of the session keyring"))?;
    check(
        links.contains(&user_keyring),
        format_args!("the session keyring links {links:?}, not the user keyring {user_keyring}"),
    )?;
    Ok(keyring)
}

/// Prints what a command of keyctl(1) answers.
fn shown(command: &str, answer: impl Display) {
    print(format_args!("  {command:<38} {answer}"));
}

/// Prints how the kernel refuses a command of keyctl(1). Checks that it does, for one of these reasons.
fn refused<T>(command: &str, answer: io::Result<T>, reasons: &[Errno]) -> Outcome {
    let Err(error) = answer else { return Err(Stop::Failure(format!("`{command}` is not refused"))) };
    let reason = Errno::from_raw(error.raw_os_error().unwrap_or_default());
    shown(command, reason);
    check(reasons.contains(&reason), format_args!("`{command}` answers {reason:?}, not {reasons:?}"))
}
