// SPDX-License-Identifier: MIT
//! What is done to the session keyring between the calls of the module, by a process of the session or by its caller.

use std::io;
use std::thread;

use crate::case::{CALLERS, Call, Caller, Case, LINES, Lines, MORE_LINES, STARTS, Start, Users, gid};
use crate::rules::Allows::{Both, Ours};
use crate::rules::{Rule, Step};
use crate::state::{self, State, Which};
use crate::support::child::{Waiting, leave_behind, wait_until};
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

/// What deeds leave.
#[derive(Default)]
pub struct Remains {
    pub stored: Option<Stored>,
    /// Processes of the session, which stay as long as this one: a keyring that nobody is in the kernel forgets, sooner or later.
    behind: Vec<Waiting>,
}

impl Remains {
    pub fn end(self) {
        self.behind.into_iter().for_each(Waiting::go_on);
    }
}

/// A key that was stored, and where.
#[derive(Clone, Copy)]
pub struct Stored {
    key: i32,
    keyring: i32,
}

/// The permissions with which a keyring is made.
const AS_MADE: u32 = 0x3f03_0000;

/// The key that is stored.
const KEY: &str = "of-the-session";

impl Deed {
    /// Does it, and returns the errno or 0.
    pub fn of(self, users: Users, remains: &mut Remains) -> i32 {
        let outcome = match self {
            Deed::JoinAnother => keys::join(None).map(|_| None),
            Deed::GiveAway => thread::spawn(move || self.to_keyring(users.user)).join().expect("no panic"),
            _ => in_the_session(users.user, move || self.to_keyring(users.user)),
        };
        match outcome {
            Ok(None) => 0,
            Ok(stored) => {
                remains.stored = stored;
                remains.behind.push(leave_behind(|| ()));
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
    pub fn look(self, user: u32, session: Option<i32>) -> state::Stored {
        in_the_session(user, move || {
            let ended = keys::describe(self.keyring).is_err_and(|error| {
                matches!(error.raw_os_error(), Some(libc::ENOKEY | libc::EKEYREVOKED | libc::EKEYEXPIRED))
            });
            let (found, read) = (keys::request(KEY).is_ok(), keys::read(self.key).is_ok());
            state::Stored { found, read, ended, here: session == Some(self.keyring) }
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
pub fn lines() -> impl Iterator<Item = &'static Lines> {
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

pub const RULES: [Rule; 8] = [
    Rule::parts("changed-permissions", Ours(invalidated)),
    Rule::parts("changed-permissions", Ours(left)),
    Rule::parts("changed-permissions", Ours(invalidated_from_another)),
    Rule::parts("clear", Ours(cleared)),
    Rule::parts("clear", Both(cleared_otherwise)),
    Rule::stays("dead-keyring", Ours(gone_already)),
    Rule::parts("open-again", Ours(open_after_hidden)),
    Rule::parts("says-why", Ours(given)),
];

/// The end of a keyring that the session has ended itself: the C module fails.
fn gone_already(step: &Step) -> Option<State> {
    let they_fail = step.given_back(step.both().0) == step.before().still(step.error());
    let is_gone = step.is_dead() || step.has_ended_it();
    (step.call() == Call::Delete && is_gone && they_fail).then(|| step.before().still(step.success()))
}

/// A start in a keyring that may not be looked at: both fail, and the C module leaves the session there.
fn given(step: &Step) -> Option<State> {
    (step.is_hidden() && step.made_at().is_none() && step.call().makes() && step.they_fail())
        .then(|| State { code: step.error(), ..step.new_keyring() })
}

/// A start after the handle's keyring was to be ended, and its permissions did not let it: the C module fails if it may not be looked
/// at, and uses it again if it may.
fn open_after_hidden(step: &Step) -> Option<State> {
    let hidden = step.is_hidden() && step.made_at().is_some() && step.they_fail();
    let seen_again = step.was_not_ended() && step.they_keep(SUCCESS);
    (step.call().makes() && (hidden || seen_again)).then(|| step.new_keyring())
}

/// The end of a keyring that its permissions do not let be revoked by who possesses it: the C module revokes it as its owner, or
/// leaves it, and ours makes it invalid.
fn invalidated(step: &Step) -> Option<State> {
    let ended = |errno| State { code: step.success(), ..step.before().with(Err(errno)) };
    let they_revoke = || step.given_back(step.both().0) == ended(libc::EKEYREVOKED);
    let ends = step.ends("revoke") && step.is_permitted_otherwise() && !step.has_left();
    (ends && (they_revoke() || step.they_leave())).then(|| ended(libc::ENOKEY))
}

/// The end of a keyring that the thread has left and whose permissions were changed: the C module ends it as its owner.
fn left(step: &Step) -> Option<State> {
    let (theirs, before) = (step.given_back(step.both().0), step.before());
    let they_end = theirs == State { stored: step.stored_and_ended(), ..before.still(SUCCESS) };
    let ends = step.ends("revoke") && step.is_permitted_otherwise() && step.has_left();
    (ends && they_end).then(|| before.still(step.end_refused()))
}

/// So, with permissions that let the thread search it, and do not let its owner end it.
fn invalidated_from_another(step: &Step) -> Option<State> {
    let ours = State { stored: step.stored_and_ended(), ..step.before().still(step.success()) };
    let ends = step.ends("revoke") || step.ends("clear");
    (ends && step.is_permitted_otherwise() && step.has_left() && step.they_leave()).then_some(ours)
}

/// The end of a keyring with `clear`: nothing but the user keyring is linked in it any more. The C module leaves it.
fn cleared(step: &Step) -> Option<State> {
    (step.ends("clear") && step.they_leave()).then(|| emptied(step, step.success(), &[step.user_keyring()]))
}

/// The same where something keeps ours from it: the keyring is invalid, or left as it is if that is not allowed either, or the user
/// keyring cannot be linked again.
fn cleared_otherwise(step: &Step) -> bool {
    let (ours, before) = (step.both().1, step.before());
    let is_permitted_otherwise = step.is_permitted_otherwise();
    let is_invalid =
        *ours == State { code: step.success(), ..before.with(Err(libc::ENOKEY)) } && is_permitted_otherwise;
    let is_left = *ours == before.still(step.end_refused()) && (step.has_left() || step.is_hidden());
    let is_without_link = before.session.as_ref().is_ok_and(|session| !session.links.contains(&step.user_keyring()));
    let hinders_link = is_permitted_otherwise || step.deeds().any(|deed| deed == Deed::Restrict);
    let is_empty = is_without_link && hinders_link && *ours == emptied(step, step.end_refused(), &[]);
    step.ends("clear") && step.they_leave() && (is_invalid || is_left || is_empty)
}

/// The state before, with nothing left but these links. The right to unlink may have been taken back.
fn emptied(step: &Step, code: i32, links: &[String]) -> State {
    let mut state = step.before().still(code);
    if let (Ok(session), false) = (&mut state.session, step.has_left()) {
        links.clone_into(&mut session.links);
        let ours = step.both().1.session.as_ref().ok().and_then(|session| session.keyring.as_ref());
        let taken_back = step.is_permitted_otherwise() && ours.is_some_and(|keyring| keyring.permissions == AS_MADE);
        if let (Some(keyring), true) = (&mut session.keyring, taken_back) {
            keyring.permissions = AS_MADE;
        }
    }
    let gone = |stored: state::Stored| state::Stored { found: stored.found && !stored.here, read: false, ..stored };
    state.stored = state.stored.map(gone);
    state
}

impl Step<'_> {
    /// Whether the call ends a keyring, and the lines ask for that by `word`.
    fn ends(&self, word: &str) -> bool {
        self.call().ends() && self.asks_for(word)
    }

    /// Whether the C module has left the session keyring as it is.
    fn they_leave(&self) -> bool {
        let theirs = self.given_back(self.both().0);
        [SUCCESS, IGNORE, self.error()].contains(&theirs.code) && theirs == self.before().still(theirs.code)
    }

    /// The code of a call that has ended what there is: of two lines the second finds nothing to delete.
    fn success(&self) -> i32 {
        if self.call() == Call::Delete && self.case.lines.times == 2 { IGNORE } else { SUCCESS }
    }

    /// The code of a call that could not end it.
    fn end_refused(&self) -> i32 {
        if self.call() == Call::Delete { CRED_ERR } else { SUCCESS }
    }

    /// The name of the user keyring.
    fn user_keyring(&self) -> String {
        format!("_uid.{}", self.users.user)
    }

    /// What was stored, in a keyring that has ended since.
    fn stored_and_ended(&self) -> Option<state::Stored> {
        self.before().stored.map(|stored| state::Stored { read: false, ended: true, ..stored })
    }

    /// After which call the handle has made its last keyring.
    fn made_at(&self) -> Option<usize> {
        let is_new = |state: &State| state.session.as_ref().is_ok_and(|session| session.which == Which::Another);
        (0..self.calls.len() - 1).rev().find(|&number| self.calls[number].makes() && is_new(&self.ours[number + 1]))
    }

    /// Whether since then it could not be deleted.
    fn was_not_ended(&self) -> bool {
        let since = self.made_at().unwrap_or(self.calls.len());
        (since..self.calls.len() - 1).any(|at| self.calls[at] == Call::Delete && self.ours[at + 1].code == CRED_ERR)
    }

    /// What was done since.
    fn deeds(&self) -> impl Iterator<Item = Deed> {
        let since = self.made_at().unwrap_or(self.calls.len());
        self.calls[since..].iter().filter_map(|call| if let Call::Between(deed) = call { Some(*deed) } else { None })
    }

    /// Whether the thread has joined another keyring.
    fn has_left(&self) -> bool {
        self.deeds().any(|deed| deed == Deed::JoinAnother)
    }

    /// What was done since to the keyring that the handle made.
    fn deeds_to_it(&self) -> impl Iterator<Item = Deed> {
        self.deeds().take_while(|deed| *deed != Deed::JoinAnother)
    }

    /// Whether its permissions were changed.
    fn is_permitted_otherwise(&self) -> bool {
        self.deeds_to_it().any(|deed| matches!(deed, Deed::Permit(_)))
    }

    /// Whether it was ended.
    fn has_ended_it(&self) -> bool {
        self.deeds_to_it().any(|deed| matches!(deed, Deed::Revoke | Deed::Invalidate | Deed::Expire))
    }
}
