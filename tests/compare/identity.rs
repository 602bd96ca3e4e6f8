// SPDX-License-Identifier: MIT
//! Callers with ids of all kinds, in each place: root's, the user's and somebody else's; and with capabilities that stay.

use caps::{CapSet, securebits};

use crate::case::{Call, Caller, Case, LINES, Lines, Start, Users, gid};
use crate::rules::Allows::{Ours, TheEnd};
use crate::rules::{Rule, Step, is_early_end};
use crate::state::State;
use crate::support::ids::become_ids;
use crate::support::pam::{IGNORE, SUCCESS};

/// Whose an id is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    Root,
    User,
    Another,
}
use Whose::*;

const ALL: [Whose; 3] = [Root, User, Another];

/// What keeps the kernel from taking the capabilities away with the last uid 0, capabilities(7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keeps {
    Nothing,
    /// `PR_SET_KEEPCAPS`: those that are permitted.
    Permitted,
    /// So, and they are made effective again.
    PermittedAndRaised,
    /// `SECBIT_NO_SETUID_FIXUP`.
    All,
}

const KEEPS: [Keeps; 4] = [Keeps::Nothing, Keeps::Permitted, Keeps::PermittedAndRaised, Keeps::All];

/// Real, effective and saved ids of a caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ids {
    uids: [Whose; 3],
    gids: [Whose; 3],
    keeps: Keeps,
    /// Of one thread only: the others stay root.
    pub of_thread: bool,
    /// Root logs in, not the user.
    pub for_root: bool,
}

impl Ids {
    /// Those of a setuid program that somebody else has started, as su and sudo.
    pub const fn of_setuid_program(for_root: bool) -> Ids {
        let (uids, gids) = ([Another, Root, Root], [Another; 3]);
        Ids { uids, gids, keeps: Keeps::Nothing, of_thread: false, for_root }
    }

    /// Whether the uids are the same in all places, or the gids.
    fn is_plain(self) -> bool {
        [self.uids, self.gids].iter().any(|ids| *ids == [ids[0]; 3])
    }

    /// Makes them the calling thread's.
    pub fn take_on(self, users: Users) {
        match self.keeps {
            Keeps::Nothing => (),
            Keeps::Permitted | Keeps::PermittedAndRaised => securebits::set_keepcaps(true).expect("a flag"),
            Keeps::All => set_no_setuid_fixup(),
        }
        let uid = |whose| match whose {
            Root => 0,
            User => users.first,
            Another => users.first + 1,
        };
        become_ids(self.uids.map(uid), self.gids.map(|whose| gid(uid(whose))));
        if self.keeps == Keeps::PermittedAndRaised {
            let permitted = caps::read(None, CapSet::Permitted).expect("capabilities");
            caps::set(None, CapSet::Effective, &permitted).expect("capabilities");
        }
    }
}

fn set_no_setuid_fixup() {
    const NO_SETUID_FIXUP: libc::c_ulong = 1 << 2; // linux/securebits.h
    // SAFETY: takes numbers only.
    let answer = unsafe { libc::prctl(libc::PR_SET_SECUREBITS, NO_SETUID_FIXUP) };
    assert_eq!(answer, 0, "PR_SET_SECUREBITS");
}

/// All that three ids can be.
fn triples() -> impl Iterator<Item = [Whose; 3]> {
    ALL.into_iter()
        .flat_map(|real| ALL.into_iter().flat_map(move |effective| ALL.map(|saved| [real, effective, saved])))
}

/// All callers. As one thread of a process of root's only those with the same uid, or gid, in all places.
pub fn all() -> Vec<Ids> {
    let mut all = Vec::new();
    for uids in triples() {
        for gids in triples() {
            for keeps in KEEPS {
                for (for_root, of_thread) in [(false, false), (true, false), (false, true), (true, true)] {
                    let ids = Ids { uids, gids, keeps, of_thread, for_root };
                    if !of_thread || ids.is_plain() {
                        all.push(ids);
                    }
                }
            }
        }
    }
    all
}

/// All callers with a session, and the plain ones once more with credentials.
pub fn sequences() -> Vec<(Case, Vec<Call>)> {
    let lines: &'static Lines = &LINES[3];
    assert_eq!(lines.session, "force revoke");
    let mut list = Vec::new();
    for ids in all() {
        let case = Case { lines, start: Start::SomebodyElses, caller: Caller::Of(ids), refusal: None };
        list.push((case, vec![Call::Open, Call::Close]));
        if ids.is_plain() {
            list.push((case, vec![Call::Establish, Call::Open, Call::Delete]));
        }
    }
    list
}

pub const RULES: [Rule; 4] = [
    Rule::parts("no-way-back", Ours(no_way_back)),
    Rule::parts("ids-lost", Ours(ids_lost)),
    Rule::parts("saved-gid", Ours(saved_gid)),
    // glibc ends a process of which not all threads may change their ids.
    Rule::parts("all-threads", TheEnd(expected)),
];

/// A start where the C module does not bring the caller back: ours refuses.
fn no_way_back(step: &Step) -> Option<State> {
    (step.call().makes() && step.they_lose_rights() && step.is_without_return()).then(|| expected(step))?
}

/// The C module fails, or does not bring all ids back: ours does what was asked for.
fn ids_lost(step: &Step) -> Option<State> {
    let (theirs, _) = step.both();
    let fails = theirs.code == step.error();
    (fails || theirs.ids != step.before().ids).then(|| expected(step))?
}

/// The end of a session, where the C module loses the saved gid, or the effective capabilities.
fn saved_gid(step: &Step) -> Option<State> {
    let (theirs, before) = (step.both().0, step.before());
    let mut given_back = theirs.clone();
    if theirs.ids[6] == gid(step.users.user) {
        given_back.ids[6] = before.ids[6];
    }
    given_back.capabilities[1] |= before.capabilities[1] & before.capabilities[0];
    (step.call().ends() && theirs.code != step.error()).then_some(given_back)
}

/// What ours has to show of a call, whatever the C module does: all that was asked for, if the kernel lets the caller take on
/// the user's ids and return; else nothing has changed.
fn expected(step: &Step) -> Option<State> {
    let (call, before) = (step.call(), step.before());
    if call.makes() && (!step.can_take_on() || step.is_without_return()) {
        return Some(before.still(step.error()));
    }
    // The session keyring: another than the user's user-session keyring.
    let is_there = match step.case.start {
        Start::Own | Start::SomebodyElses => true,
        Start::UserSession => before.ids[0] != step.users.user,
        Start::None | Start::Revoked => false,
    };
    let is_made = step.was_made() && !step.is_dead() && !step.closed();
    let keeps = is_made || is_there && !step.was_made() && !step.case.lines.ask(call, "force");
    let is_second = step.case.lines.times == 2; // which finds nothing to delete
    match call {
        Call::Open | Call::Establish if keeps => Some(before.still(SUCCESS)),
        Call::Open | Call::Establish => Some(step.new_keyring()),
        Call::Close if is_early_end(step.calls) => Some(before.still(SUCCESS)),
        Call::Delete if is_second => Some(State { code: IGNORE, ..before.with(Err(libc::EKEYREVOKED)) }),
        Call::Close | Call::Delete => Some(before.with(Err(libc::EKEYREVOKED))),
        _ => None,
    }
}

impl Step<'_> {
    /// Whether the C module leaves the caller with other real or effective ids, or capabilities.
    fn they_lose_rights(&self) -> bool {
        let rights = |state: &State| ([0, 1, 4, 5].map(|place| state.ids[place]), state.capabilities);
        rights(self.both().0) != rights(self.before())
    }

    /// Whether the kernel lets the caller take on the user's ids, setresuid(2): one that it has in some place, or any if it
    /// is capable.
    fn can_take_on(&self) -> bool {
        const SETGID: u64 = 1 << 6; // linux/capability.h
        const SETUID: u64 = 1 << 7;
        let State { ids, capabilities: [_, effective], .. } = self.before();
        let user = self.users.user;
        (ids[..3].contains(&user) || effective & SETUID != 0)
            && (ids[4..7].contains(&gid(user)) || effective & SETGID != 0)
    }

    /// Whether the caller's real uid is 0, the effective one the user's and the saved one a third, without capabilities in
    /// effect. None of the three can be given up for a while and had back with the other two.
    fn is_without_return(&self) -> bool {
        let State { ids: [real, effective, saved, ..], capabilities, .. } = *self.before();
        real == 0
            && effective == self.users.user
            && ![0, effective].contains(&saved)
            && effective != 0
            && capabilities[1] == 0
    }
}
