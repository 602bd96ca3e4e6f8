// SPDX-License-Identifier: MIT
//! How libpam goes through a stack: which modules it calls for which answers, and what it answers itself.

use std::collections::HashSet;

use crate::control::{ANSWERS, Action, Answer, IGNORE, PERM_DENIED, SUCCESS};
use crate::stack::{Entry, Step};

/// What libpam thinks of the stack so far.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Impression {
    Undefined,
    Positive,
    Negative,
}

type Opinion = (Impression, Answer);

const AT_FIRST: Opinion = (Impression::Undefined, PERM_DENIED);

/// Where libpam is in a stack.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Place {
    index: usize,
    opinion: Opinion,
    /// The opinion at the beginning of each substack that it is in, to which `reset` goes back.
    before: Vec<Opinion>,
}

/// What came of a call of an application's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// The entries that were passed, in their order, and what they answered.
    pub passed: Vec<(usize, Answer)>,
    /// What the application is told.
    pub answer: Answer,
}

/// A first call, as pam_authenticate(3) and pam_open_session(3) are, with these answers of the modules.
pub fn run(stack: &[Entry], answers: impl Fn(usize) -> Answer) -> Run {
    go(stack, answers, None)
}

/// A call that goes the way of the first one, as pam_setcred(3) and pam_close_session(3) do.
pub fn run_again(stack: &[Entry], first: &Run, answers: impl Fn(usize) -> Answer) -> Run {
    go(stack, answers, Some(first))
}

fn go(stack: &[Entry], answers: impl Fn(usize) -> Answer, first: Option<&Run>) -> Run {
    let mut passed = Vec::new();
    let mut place = Place::first();
    while let Some(entry) = stack.get(place.index) {
        place.enter(entry);
        if entry.step == Step::Substack {
            place.index += 1;
            continue;
        }
        let answer = if entry.step == Step::Fail { PERM_DENIED } else { answers(place.index) };
        passed.push((place.index, answer));
        let earlier = first.and_then(|first| first.passed.iter().find(|(index, _)| *index == place.index));
        place.go_on(stack, entry, answer, earlier.map_or(answer, |(_, answer)| *answer));
    }
    let answer = match place.opinion {
        (Impression::Undefined | Impression::Negative, SUCCESS) => PERM_DENIED,
        (_, answer) => answer,
    };
    Run { passed, answer }
}

/// Whether a jump of the stack's leads past its end: then libpam lets it fail.
pub fn jumps_too_far(stack: &[Entry], index: usize) -> bool {
    let Some(entry) = stack.get(index) else { return false };
    let jumps = (0..ANSWERS.len()).filter_map(|answer| match entry.control.action(answer) {
        Action::Jump(modules) => Some(modules),
        _ => None,
    });
    jumps.into_iter().any(|modules| jump(stack, index, entry.level, modules).is_none())
}

/// Which entries can be reached at all, if modules answer as `answers` has it.
pub fn reach(stack: &[Entry], answers: impl Fn(&Entry) -> Vec<Answer>) -> Vec<bool> {
    let mut reached = vec![false; stack.len()];
    let (mut seen, mut open) = (HashSet::new(), vec![Place::first()]);
    while let Some(mut place) = open.pop() {
        let Some(entry) = stack.get(place.index) else { continue };
        place.enter(entry);
        if let Some(reached) = reached.get_mut(place.index) {
            *reached = true;
        }
        if !seen.insert(place.clone()) {
            continue;
        }
        if entry.step == Step::Substack {
            place.index += 1;
            open.push(place);
            continue;
        }
        let possible = if entry.step == Step::Fail { vec![PERM_DENIED] } else { answers(entry) };
        // Answers with the same action lead to the same place.
        let mut actions = Vec::new();
        for answer in possible {
            let action = entry.control.action(answer);
            if actions.contains(&action) {
                continue;
            }
            actions.push(action);
            let mut next = place.clone();
            next.go_on(stack, entry, answer, answer);
            // What it would answer in the end leads nowhere else.
            next.opinion.1 = if next.opinion.0 == Impression::Positive { SUCCESS } else { PERM_DENIED };
            open.push(next);
        }
    }
    reached
}

impl Place {
    fn first() -> Place {
        Place { index: 0, opinion: AT_FIRST, before: vec![AT_FIRST] }
    }

    /// Keeps the opinion where a substack begins.
    fn enter(&mut self, entry: &Entry) {
        self.before.truncate(entry.level + 1);
        while self.before.len() <= entry.level {
            self.before.push(self.opinion);
        }
    }

    /// Acts on a module's answer; `earlier` is that of the first call, which says where to go.
    fn go_on(&mut self, stack: &[Entry], entry: &Entry, answer: Answer, earlier: Answer) {
        let undecided = self.opinion.0 == Impression::Undefined || self.opinion == (Impression::Positive, SUCCESS);
        let counts = answer != IGNORE || earlier == answer;
        // What is no answer is a failure.
        let answer = if earlier < ANSWERS.len() { answer } else { PERM_DENIED };
        let action = entry.control.action(earlier);
        let mut next = Some(self.index + 1);
        match action {
            Action::Ignore => {}
            Action::Reset => self.opinion = self.before.last().copied().unwrap_or(AT_FIRST),
            Action::Ok | Action::Done => {
                if undecided && counts {
                    self.opinion = (Impression::Positive, answer);
                }
                if action == Action::Done && self.opinion.0 == Impression::Positive {
                    next = Some(after_level(stack, self.index, entry.level));
                }
            }
            Action::Bad | Action::Die => {
                if self.opinion.0 != Impression::Negative {
                    self.opinion = (Impression::Negative, if answer == IGNORE { PERM_DENIED } else { answer });
                }
                if action == Action::Die {
                    next = Some(after_level(stack, self.index, entry.level));
                }
            }
            // In pam_setcred and pam_close_session too, whatever pam.conf(5) says.
            Action::Jump(modules) => next = jump(stack, self.index, entry.level, modules),
        }
        self.index = next.unwrap_or_else(|| {
            self.opinion = (Impression::Negative, PERM_DENIED);
            after_level(stack, self.index, entry.level)
        });
    }
}

/// The first entry behind `index` that is less deep than `level`.
fn after_level(stack: &[Entry], index: usize, level: usize) -> usize {
    let behind = stack.iter().enumerate().skip(index + 1).find(|(_, entry)| entry.level < level);
    behind.map_or(stack.len(), |(index, _)| index)
}

/// Where a jump leads: a substack counts as one module, and a jump does not leave its own. None if there are too few.
fn jump(stack: &[Entry], index: usize, level: usize, modules: u32) -> Option<usize> {
    let level_of = |index: usize| stack.get(index).map(|entry| entry.level);
    let mut last = index;
    for _ in 0..modules {
        level_of(last + 1).filter(|next| *next >= level)?;
        last += 1;
        while level_of(last + 1).is_some_and(|next| next > level) {
            last += 1;
        }
    }
    Some(last + 1)
}
