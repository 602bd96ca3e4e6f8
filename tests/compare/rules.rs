// SPDX-License-Identifier: MIT
//! What may differ: by entries of docs/differences.md, each with where that is, what the C module shows there, and what ours has
//! to show.

use std::fmt::Write;

use crate::case::{Call, Caller, Case, Users, gid};
use crate::deed::Deed;
use crate::run::Both;
use crate::state::{Session, State, Which};
use crate::support::pam::{CRED_ERR, SESSION_ERR, SUCCESS};

/// The place of the saved gid among the ids of a state.
const SAVED_GID: usize = 6;

/// What can be said of a call of a sequence: all up to it, with the states at the start and after each.
pub struct Step<'run> {
    pub case: &'run Case,
    pub users: Users,
    pub calls: &'run [Call],
    pub theirs: &'run [State],
    pub ours: &'run [State],
}

#[derive(Debug)]
pub struct Rule {
    pub entry: &'static str,
    /// Whether from there on the modules go different ways, so that nothing more is to be compared.
    pub parts: bool,
    pub allows: Allows,
}

/// What is allowed to differ.
#[derive(Debug)]
pub enum Allows {
    /// Where the C module shows what the entry says of it, this is what ours has to show.
    Ours(fn(&Step) -> Option<State>),
    /// Both show what the entry says of them.
    Both(fn(&Step) -> bool),
    /// The C module ends the process, and this is what ours has to show.
    TheEnd(fn(&Step) -> Option<State>),
}
use Allows::*;

impl Rule {
    pub const fn parts(entry: &'static str, allows: Allows) -> Rule {
        Rule { entry, parts: true, allows }
    }

    pub const fn stays(entry: &'static str, allows: Allows) -> Rule {
        Rule { entry, parts: false, allows }
    }

    fn is_kept(&self, step: &Step) -> bool {
        match self.allows {
            TheEnd(state) => step.they_end() && state(step).as_ref() == step.ours.last(),
            _ if step.they_end() => false,
            Ours(state) => state(step).as_ref() == step.ours.last(),
            Both(agree) => agree(step),
        }
    }
}

/// Those of calls alone.
pub const RULES: [Rule; 9] = [
    Rule::parts("dead-keyring", Ours(dead_keyring)),
    Rule::stays("saved-gid", Ours(saved_gid)),
    Rule::parts("early-end", Ours(early_end)),
    Rule::parts("close-counts", Ours(close_counts)),
    Rule::parts("force-counts", Ours(force_counts)),
    Rule::parts("open-again", Ours(open_after_revoke)),
    Rule::stays("open-again", Ours(|step| step.theirs_is_like_ours().then(|| open_after_close(step))?)),
    Rule::parts("open-again", Ours(open_after_close)),
    Rule::parts("open-again", Ours(open_in_dead)),
];

/// A call that begins in a dead session keyring: the C module fails.
fn dead_keyring(step: &Step) -> Option<State> {
    let forced = step.case.lines.ask(step.call(), "force");
    (step.is_dead() && !step.was_made() && !forced && step.call().makes() && step.they_fail())
        .then(|| step.new_keyring())
}

/// The end of a keyring of somebody else's, with `revoke`, and all calls after it: the user's gid is the C module's saved gid.
fn saved_gid(step: &Step) -> Option<State> {
    let [before, after] = step.theirs.last_chunk()?;
    let revokes = step.call().ends() && step.asks_for("revoke");
    (step.is_lost(after) && (revokes || step.is_lost(before))).then(|| step.given_back(after))
}

/// A close after one too many: the C module has counted that one, and ends the keyring while a session is open.
fn early_end(step: &Step) -> Option<State> {
    let theirs = step.both().0;
    let they_revoke = theirs.code == SUCCESS && theirs.session == Err(libc::EKEYREVOKED);
    (is_early_end(step.calls) && they_revoke).then(|| step.before().still(SUCCESS))
}

/// Whether the last call is a close with which the C module has closed as often as opened, and a session is open.
pub fn is_early_end(calls: &[Call]) -> bool {
    let (mut open, mut counted) = (0_u32, 0_i32);
    for call in calls {
        match call {
            Call::Open => (open, counted) = (open + 1, counted + 1),
            Call::Close => (open, counted) = (open.saturating_sub(1), counted - 1),
            _ => (),
        }
    }
    calls.last() == Some(&Call::Close) && open > 0 && counted <= 0
}

/// The close of a line with `revoke` without a session: the C module has not heeded the line.
fn close_counts(step: &Step) -> Option<State> {
    let lines = step.case.lines;
    let revoke_is_news =
        lines.ask(Call::Close, "revoke") && !lines.ask(Call::Establish, "revoke") && !step.calls.contains(&Call::Open);
    (step.call() == Call::Close && revoke_is_news && step.they_keep(SUCCESS))
        .then(|| step.before().with(Err(libc::EKEYREVOKED)))
}

/// An open where the line of pam_setcred(3) has asked for `force`: the C module leaves the process in its keyring, and fails if that
/// one may not be looked at.
fn force_counts(step: &Step) -> Option<State> {
    let lines = step.case.lines;
    let force_is_news = lines.ask(Call::Establish, "force") && !lines.ask(Call::Open, "force");
    let opened = step.calls.iter().position(|call| call.makes())?;
    let heeded =
        step.calls[opened + 1..].iter().any(|call| matches!(call, Call::Refresh | Call::Reinitialize | Call::Delete));
    let they_leave = step.they_keep(SUCCESS) || step.is_hidden() && step.they_fail();
    (step.call() == Call::Open && force_is_news && heeded && they_leave).then(|| step.new_keyring())
}

/// A call after the handle's keyring was revoked: the C module fails.
fn open_after_revoke(step: &Step) -> Option<State> {
    (step.is_dead() && step.was_made() && step.call().makes() && step.they_fail()).then(|| step.new_keyring())
}

/// A call after the handle's keyring was left as it is by the last close: the C module uses it again.
fn open_after_close(step: &Step) -> Option<State> {
    (step.call().makes() && step.was_made() && step.closed() && step.they_keep(SUCCESS)).then(|| step.new_keyring())
}

/// A call in a dead keyring that the process has joined itself since a close: the C module takes it for the handle's.
fn open_in_dead(step: &Step) -> Option<State> {
    let was_closed = (1..step.calls.len()).any(|number| is_closed(&step.calls[..number]));
    (step.call().makes() && step.is_dead() && was_closed && step.they_keep(SUCCESS)).then(|| step.new_keyring())
}

impl Step<'_> {
    pub fn call(&self) -> Call {
        self.calls[self.calls.len() - 1]
    }

    /// Whether the C module's process has ended in the call.
    fn they_end(&self) -> bool {
        self.theirs.len() < self.ours.len()
    }

    /// Whether the session keyrings of the last states are alike, but for being another or not. A restriction is not seen.
    fn theirs_is_like_ours(&self) -> bool {
        let what = |state: &State| state.session.clone().map(|session| (session.keyring, session.links));
        let (theirs, ours) = self.both();
        what(theirs) == what(ours) && !self.calls.contains(&Call::Between(Deed::Restrict))
    }

    /// Whether the session keyring is dead before the call.
    pub fn is_dead(&self) -> bool {
        matches!(self.before().session, Err(libc::EKEYREVOKED | libc::EKEYEXPIRED | libc::ENOKEY))
    }

    /// Whether the session keyring may not be looked at before the call.
    pub fn is_hidden(&self) -> bool {
        self.before().session == Err(libc::EACCES)
    }

    /// Whether the session keyring, as it was seen last before the call, is none of the start.
    pub fn was_made(&self) -> bool {
        let seen = self.ours[..self.calls.len()].iter().rev().find_map(|state| state.session.as_ref().ok());
        seen.is_some_and(|session| session.which != Which::OfTheStart)
    }

    /// Our state before the call.
    pub fn before(&self) -> &State {
        &self.ours[self.calls.len() - 1]
    }

    /// Whether the C module's last call has answered `code` and changed nothing, or has given the saved gid back.
    pub fn they_keep(&self, code: i32) -> bool {
        let [.., before, after] = self.theirs else { return false };
        [before, self.before()].iter().any(|before| *after == before.still(code))
    }

    /// Whether the C module has made the user's gid the saved gid in this state.
    fn is_lost(&self, state: &State) -> bool {
        let user = gid(self.users.user);
        self.case.caller == Caller::RootForUser && state.ids[SAVED_GID] == user && self.before().ids[SAVED_GID] != user
    }

    /// This state of the C module's, with the saved gid that was lost.
    pub fn given_back(&self, state: &State) -> State {
        let mut state = state.clone();
        if self.is_lost(&state) {
            state.ids[SAVED_GID] = self.before().ids[SAVED_GID];
        }
        state
    }

    /// The code of a system error.
    pub fn error(&self) -> i32 {
        if matches!(self.call(), Call::Open | Call::Close) { SESSION_ERR } else { CRED_ERR }
    }

    pub fn they_fail(&self) -> bool {
        self.they_keep(self.error())
    }

    /// A new session keyring of the user's, and all else as it was.
    pub fn new_keyring(&self) -> State {
        self.before().with(Ok(Session::new(self.users.user)))
    }

    /// The last states: the C module's and ours.
    pub fn both(&self) -> (&State, &State) {
        (&self.theirs[self.calls.len()], &self.ours[self.calls.len()])
    }

    /// Whether one of the lines asks for `word`.
    pub fn asks_for(&self, word: &str) -> bool {
        [Call::Open, Call::Establish].iter().any(|call| self.case.lines.ask(*call, word))
    }

    /// Whether no session and no credentials were open before the last call: a close was the last that counts.
    pub fn closed(&self) -> bool {
        is_closed(&self.calls[..self.calls.len() - 1])
    }
}

/// Whether a close was the last of `calls` that counts.
fn is_closed(calls: &[Call]) -> bool {
    let (mut open, mut closed) = (0_u32, false);
    for call in calls {
        match call {
            Call::Open => open += 1,
            Call::Close => open = open.saturating_sub(1),
            _ => (),
        }
        closed = match call {
            Call::Close if open == 0 => true,
            call if call.makes() => false,
            _ => closed,
        };
    }
    closed
}

/// What a comparison has come to.
pub struct Comparison {
    /// The last call that was compared, counted from 1.
    pub last: usize,
    /// The entries by which the modules differ, and after which call.
    pub differences: Vec<(usize, &'static str)>,
    /// Whether there they differ without a rule.
    pub failed: bool,
}

/// Compares call by call, up to one after which the modules go different ways, with `more` rules.
pub fn compare(case: &Case, calls: &[Call], both: &Both, more: &[Rule]) -> Comparison {
    let mut comparison =
        Comparison { last: 0, differences: Vec::new(), failed: both.theirs.first() != both.ours.first() };
    // Whatever differs, ours returns, with the rights of before.
    let rights = |state: &State| (state.ids, state.capabilities);
    let kept = both.ours.iter().take_while(|state| rights(state) == rights(&both.ours[0])).count();
    if kept <= calls.len() {
        return Comparison { last: kept, failed: true, ..comparison };
    }
    for number in 1..=calls.len() {
        if comparison.failed {
            break;
        }
        comparison.last = number;
        let (theirs, ours) = (&both.theirs[..both.theirs.len().min(number + 1)], &both.ours[..=number]);
        if theirs.last() != ours.last() || theirs.len() != ours.len() {
            let step = Step { case, users: both.users, calls: &calls[..number], theirs, ours };
            let Some(rule) = RULES.iter().chain(more).find(|rule| rule.is_kept(&step)) else {
                comparison.failed = true;
                break;
            };
            comparison.differences.push((number, rule.entry));
            if rule.parts {
                break;
            }
        }
        // Here the C module may have ended a keyring that is hidden, left or dead, and nobody sees it.
        if is_early_end(&calls[..number]) && calls[..number].iter().any(|call| matches!(call, Call::Between(_))) {
            break;
        }
    }
    comparison
}

/// The states of both modules after each of the first calls.
pub fn show(case: &Case, calls: &[Call], both: &Both) -> String {
    let mut text = case.to_string();
    for number in 0..=calls.len() {
        let [theirs, ours] = [&both.theirs, &both.ours]
            .map(|states| states.get(number).map_or_else(|| "the process has ended".to_owned(), State::to_string));
        let call = if number == 0 { "at the start".to_owned() } else { format!("{:?}", calls[number - 1]) };
        match theirs == ours {
            true => write!(text, "\n    {call}\n        both {ours}"),
            false => write!(text, "\n    {call}\n        C    {theirs}\n        ours {ours}"),
        }
        .expect("a string");
    }
    text
}
