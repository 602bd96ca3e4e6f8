// SPDX-License-Identifier: MIT
//! What is done to the session keyring between the calls of the module, by a process of the session or by its caller.

use std::io;
use std::thread;

use crate::case::{CALLERS, Call, Caller, Case, LINES, Lines, MORE_LINES, STARTS, Start, Users, gid};
use crate::rules::Allows::{Both, Ours};
use crate::rules::{Rule, Step};
use crate::state::{self, State};
use crate::support::child::wait_until;

use crate::support::ids::{SYS_setresgid, SYS_setresuid};
use crate::support::keys;
use crate::support::pam::{CRED_ERR, IGNORE, SUCCESS};

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

/// A key that was stored, and where.
#[derive(Clone, Copy)]
pub struct Stored {
    key: i32,
    keyring: i32,
}

/// The key that is stored.
const KEY: &str = "of-the-session";

impl Deed {
    /// Does it, and returns the errno or 0. What is stored is kept in `stored`.
    pub fn of(self, users: Users, stored: &mut Option<Stored>) -> i32 {
        let outcome = match self {
            Deed::JoinAnother => keys::join(None).map(|_| None),
            Deed::GiveAway => thread::spawn(move || self.to_keyring(users.user)).join().expect("no panic"),
            _ => in_the_session(users.user, move || self.to_keyring(users.user)),
        };
        match outcome {
            Ok(new) => {
                *stored = new.or(*stored);
                0
            }
            Err(error) => error.raw_os_error().unwrap_or(-1),
        }
    }

    fn to_keyring(self, user: u32) -> io::Result<Option<Stored>> {
        let session = keys::SESSION;
        if keys::describe(session).is_ok_and(|keyring| keyring.name.starts_with("_uid_ses.")) {
            return Err(io::ErrorKind::NotFound.into()); // none of the session's own: that one is there for all sequences
        }
        match self {
            Deed::Store => {
                let keyring = keys::id(session)?;
                return Ok(Some(Stored { key: keys::add(KEY, "secret", session)?, keyring }));
            }
            Deed::LinkMore => drop(keys::add_keyring("more", session)?),
            Deed::UnlinkUserKeyring => {
                let is_users = |key: &i32| keys::describe(*key).is_ok_and(|key| key.name == format!("_uid.{user}"));
                let link = keys::links(session)?.into_iter().find(is_users);
                keys::unlink(link.ok_or(io::ErrorKind::NotFound)?, session)?;
            }
            Deed::Clear => keys::clear(session)?,
            Deed::Restrict => keys::restrict(session)?,
            Deed::Permit(permissions) => keys::set_permissions(session, permissions.0)?,
            Deed::GiveAway => keys::change_owner(session, u32::MAX, 0)?,
            Deed::Revoke => keys::revoke(session)?,
            Deed::Invalidate => keys::invalidate(session)?,
            Deed::Expire => {
                keys::set_timeout(session, 1)?;
                wait_until("the end of the keyring", || keys::id(session).is_err());
            }
            Deed::JoinAnother => unreachable!("the caller does it"),
        }
        Ok(None)
    }
}

impl Stored {
    /// What a process of the session finds of it, in the session keyring that it has now.
    pub fn look(self, user: u32) -> state::Stored {
        in_the_session(user, move || {
            let ended = keys::describe(self.keyring).is_err_and(|error| {
                matches!(error.raw_os_error(), Some(libc::ENOKEY | libc::EKEYREVOKED | libc::EKEYEXPIRED))
            });
            state::Stored { found: keys::request(KEY).is_ok(), read: keys::read(self.key).is_ok(), ended }
        })
    }
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

/// All but what takes time.
pub fn all() -> Vec<Deed> {
    AT_ONCE.into_iter().chain([Deed::Store]).chain(PERMISSIONS.map(Deed::Permit)).collect()
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
        for start in STARTS {
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

pub const RULES: [Rule; 4] = [
    Rule::parts("changed-permissions", Both(changed_permissions)),
    Rule::parts("clear", Both(clear)),
    Rule::stays("dead-keyring", Ours(gone_already)),
    Rule::parts("says-why", Ours(given)),
];

/// The end of a keyring that the session has ended itself: the C module fails.
fn gone_already(step: &Step) -> Option<State> {
    let they_fail = step.given_back(step.both().0) == step.before().still(step.error());
    let code = if step.case.lines.times == 1 { SUCCESS } else { IGNORE }; // the second line finds nothing to delete
    (step.call() == Call::Delete && step.is_dead() && they_fail).then(|| step.before().still(code))
}

/// A start in a keyring that may not be looked at: both fail, and the C module leaves the session there.
fn given(step: &Step) -> Option<State> {
    let hidden = step.before().session == Err(libc::EACCES);
    (hidden && step.call().makes() && step.they_fail()).then(|| State { code: step.error(), ..step.new_keyring() })
}

/// The end of a keyring with which its permissions let nobody do what C does as its owner, or ours as who possesses it. Revoking
/// it is refused to ours, which makes it invalid. The C module revokes it, or leaves it; only a keyring that the thread has left
/// as well is left by ours.
fn changed_permissions(step: &Step) -> bool {
    let (theirs, ours) = step.both();
    let is_left = step.has_left();
    let is_ended =
        ours.session == Err(libc::ENOKEY) && ours.stored == Some(state::Stored { ended: true, ..Default::default() });
    let is_like_theirs = || *ours == State { stored: ours.stored, ids: ours.ids, ..theirs.clone() };
    step.call().ends()
        && step.asks_for("revoke")
        && step.is_permitted_otherwise()
        && (is_ended && [theirs.code, SUCCESS].contains(&ours.code) || is_left && is_like_theirs())
}

/// The end of a keyring with `clear`: nothing that was stored in it is found any more, and it goes on if its permissions let it.
fn clear(step: &Step) -> bool {
    let (theirs, ours) = step.both();
    let is_left = step.has_left();
    let is_empty = match &ours.session {
        Ok(_) if is_left => true,
        Ok(session) => session.links == [format!("_uid.{}", step.users.user)],
        Err(_) => true,
    };
    let is_gone = ours.stored.is_none_or(|stored| !stored.found && !stored.read);
    let code = match step.call() {
        // Not where the kernel refuses it: without possession, or for its permissions.
        Call::Delete if is_left || step.is_permitted_otherwise() => ours.code == SUCCESS || ours.code == CRED_ERR,
        Call::Delete => ours.code == SUCCESS,
        _ => ours.code == theirs.code,
    };
    step.call().ends() && step.asks_for("clear") && code && is_empty && is_gone
}

impl Step<'_> {
    /// Whether the thread has joined another keyring.
    fn has_left(&self) -> bool {
        self.calls.contains(&Call::Between(Deed::JoinAnother))
    }

    /// Whether permissions were changed.
    fn is_permitted_otherwise(&self) -> bool {
        self.calls.iter().any(|call| matches!(call, Call::Between(Deed::Permit(_))))
    }
}
