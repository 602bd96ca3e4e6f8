// SPDX-License-Identifier: MIT
//! What is done to the session keyring between the calls of the module, by a process of the session or by its caller.

use std::io;
use std::thread;

use crate::case::{CALLERS, Call, Caller, Case, LINES, Lines, MORE_LINES, Start, Users, gid};
use crate::rules::Allows::Both;
use crate::rules::{Rule, Step};
use crate::state::State;
use crate::support::child::wait_until;

use crate::support::ids::{SYS_setresgid, SYS_setresuid};
use crate::support::keys;
use crate::support::pam::SUCCESS;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    /// A key is stored in it.
    Store,
    /// Another keyring is linked into it.
    LinkMore,
    UnlinkUserKeyring,
    Clear,
    /// Nothing more can be linked into it from now on.
    Restrict,
    Permit(Permissions),
    /// Root gives it to somebody else, as far as root of a user namespace may: to another group.
    GiveAway,
    /// The caller joins another.
    JoinAnother,
    Revoke,
    Invalidate,
    /// It expires, which takes a second.
    Expire,
}

/// Permissions of a key: possessor, owner, group and others, each as view 1, read 2, write 4, search 8, link 10, setattr 20.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Permissions(pub u32);

impl std::fmt::Debug for Permissions {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{:08x}", self.0)
    }
}

/// What people and programs set, and what takes one right or more from the possessor or the owner.
pub const PERMISSIONS: [Permissions; 14] = [
    Permissions(0x3f3f_3f3f),
    Permissions(0x3f3f_0000),
    Permissions(0x3f00_0000),
    Permissions(0x0b3f_0000),
    Permissions(0x0b2f_0000),
    Permissions(0x0b24_0000),
    Permissions(0x0b04_0000),
    Permissions(0x0b03_0000),
    Permissions(0x1b1b_0000),
    Permissions(0x1f03_0000),
    Permissions(0x3b03_0000),
    Permissions(0x3703_0000),
    Permissions(0x0003_0000),
    Permissions(0x0000_0000),
];

/// All but permissions, and what takes time.
const AT_ONCE: [Deed; 8] = [
    Deed::LinkMore,
    Deed::UnlinkUserKeyring,
    Deed::Clear,
    Deed::Restrict,
    Deed::GiveAway,
    Deed::JoinAnother,
    Deed::Revoke,
    Deed::Invalidate,
];

/// The key that is stored.
const KEY: &str = "of-the-session";

impl Deed {
    /// Does it, and returns the errno or 0. What is stored is kept in `stored`.
    pub fn of(self, users: Users, stored: &mut Option<i32>) -> i32 {
        let outcome = match self {
            Deed::JoinAnother => keys::join(None).map(drop),
            Deed::GiveAway => keys::change_owner(keys::SESSION, u32::MAX, 0),
            _ => in_the_session(users.user, move || self.by_user(users.user)).map(|key| *stored = key.or(*stored)),
        };
        outcome.map_or_else(|error| error.raw_os_error().unwrap_or(-1), |()| 0)
    }

    /// Does what a process of the session does.
    fn by_user(self, user: u32) -> io::Result<Option<i32>> {
        let session = keys::SESSION;
        match self {
            Deed::Store => return keys::add(KEY, "secret", session).map(Some),
            Deed::LinkMore => drop(keys::add_keyring("more", session)?),
            Deed::UnlinkUserKeyring => {
                let is_user_keyring =
                    |key: &i32| keys::describe(*key).is_ok_and(|key| key.name == format!("_uid.{user}"));
                let link = keys::links(session)?.into_iter().find(is_user_keyring);
                keys::unlink(link.ok_or(io::ErrorKind::NotFound)?, session)?;
            }
            Deed::Clear => keys::clear(session)?,
            Deed::Restrict => keys::restrict(session)?,
            Deed::Permit(permissions) => keys::set_permissions(session, permissions.0)?,
            Deed::Revoke => keys::revoke(session)?,
            Deed::Invalidate => keys::invalidate(session)?,
            Deed::Expire => {
                keys::set_timeout(session, 1)?;
                wait_until("the end of the keyring", || keys::id(session).is_err());
            }
            Deed::JoinAnother | Deed::GiveAway => unreachable!("the caller does it"),
        }
        Ok(None)
    }
}

/// Whether a process of the session finds the key that was stored in it, as programs do, and whether it may read it by its serial
/// number.
pub fn finds(user: u32, stored: i32) -> [bool; 2] {
    in_the_session(user, move || [keys::request(KEY).is_ok(), keys::read(stored).is_ok()])
}

/// Does something in the session keyring of this thread, with all ids of `user` if this thread may have them.
fn in_the_session<T: Send + 'static>(user: u32, body: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = thread::spawn(move || {
        for (number, id) in [(SYS_setresgid, gid(user)), (SYS_setresuid, user)] {
            // SAFETY: takes numbers only. Of this thread alone: libc's wrapper would change all.
            unsafe { libc::syscall(number, id, id, id) };
        }
        body()
    });
    thread.join().expect("no panic")
}

/// Two that are done to a keyring one after the other.
fn pairs() -> Vec<[Deed; 2]> {
    let then = [Deed::JoinAnother, Deed::GiveAway, Deed::LinkMore, Deed::UnlinkUserKeyring, Deed::Restrict];
    PERMISSIONS.into_iter().flat_map(|permissions| then.map(|deed| [Deed::Permit(permissions), deed])).collect()
}

/// The lines of which one is in force: with more of them nothing more is asked for.
fn lines() -> impl Iterator<Item = &'static Lines> {
    LINES[..4].iter().chain(&MORE_LINES[1..3])
}

/// Sessions and credentials, with each deed between the calls.
pub fn sequences() -> Vec<(Case, Vec<Call>)> {
    let [open, close, establish, delete] = [Call::Open, Call::Close, Call::Establish, Call::Delete];
    let store = Call::Between(Deed::Store);
    let mut all = Vec::new();
    for lines in lines() {
        // Not from the user-session keyring: it is there for all sequences.
        for start in [Start::None, Start::Own, Start::SomebodyElses, Start::Revoked] {
            for caller in CALLERS {
                let case = Case { lines, start, caller, refusal: None };
                let mut add = |calls: &[Call]| all.push((case, calls.to_vec()));
                let is_there = matches!(start, Start::Own | Start::SomebodyElses);
                for deed in AT_ONCE.into_iter().chain(PERMISSIONS.map(Deed::Permit)).map(Call::Between) {
                    add(&[open, store, deed, close, open]);
                    add(&[establish, store, deed, open, close, delete]);
                    add(&[establish, store, deed, delete, establish]);
                    add(&[open, store, deed, open, close, close]);
                    if is_there {
                        add(&[deed, open, store, close]);
                    }
                }
                for deeds in pairs() {
                    let [first, second] = deeds.map(Call::Between);
                    add(&[open, store, first, second, close]);
                }
                if start == Start::None && caller == Caller::RootForUser {
                    add(&[open, store, Call::Between(Deed::Expire), close, open]);
                }
            }
        }
    }
    all
}

pub const RULES: [Rule; 2] =
    [Rule::parts("changed-permissions", Both(changed_permissions)), Rule::parts("clear", Both(clear))];

/// The end of a keyring whose permissions forbid to revoke it: nobody finds it any more. The C module revokes it as its owner,
/// if that may, and else leaves it.
fn changed_permissions(step: &Step) -> bool {
    let (theirs, ours) = step.both();
    let is_ended = |state: &State| state.session == Err(libc::ENOKEY) && state.finds == Some([false; 2]);
    step.call().ends()
        && step.asks_for("revoke")
        && step.is_permitted_otherwise()
        && theirs.code == ours.code
        && is_ended(ours)
}

/// The end of a keyring with `clear`: nothing that was stored in it is left, and it goes on if its permissions let it.
fn clear(step: &Step) -> bool {
    let (theirs, ours) = step.both();
    let is_clear = match &ours.session {
        Ok(session) => session.links == [format!("_uid.{}", step.users.user)],
        Err(errno) => *errno == libc::ENOKEY && step.is_permitted_otherwise(),
    };
    let code = if step.call() == Call::Delete { SUCCESS } else { theirs.code };
    step.call().ends() && step.asks_for("clear") && ours.code == code && is_clear && ours.finds != Some([true; 2])
}

impl Step<'_> {
    /// Whether permissions were changed.
    fn is_permitted_otherwise(&self) -> bool {
        self.calls.iter().any(|call| matches!(call, Call::Between(Deed::Permit(_))))
    }
}
