// SPDX-License-Identifier: MIT
//! The session keyring of a handle: how a session gets one, and how it ends.
#![forbid(unsafe_code)]

use crate::error::{Error, Failure};
use crate::identity::{self, Identity};
use crate::keyring::Keyring;
use crate::line::Line;
use crate::options::Options;
use crate::pam::{Ids, Level};

/// How things stand with a session keyring after a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing more is known than the failure.
    Unknown,
    Made,
    MadeForDead,
    /// The process had one, and it is the user's or root's to keep.
    Kept,
    KeptRoots,
    KeptAnothers,
    /// Made by the caller, since the user's quota is full.
    Charged,
    /// Made, although what was there could not be looked at.
    Given,
    /// The one that all sessions of the user share.
    Shared,
    /// Made, since that one cannot be had.
    MadeInstead,
    /// Made, without the link to the user keyring.
    Incomplete,
    /// So, and the login has to go on with that.
    IncompleteHere,
    /// None could be made.
    Left,
    /// So, and the login has to go on with that.
    LeftHere,
    /// None was to be made.
    LeftToCaller,
    /// keyctl(2) is not available.
    WithoutKeys,
    /// It is forbidden.
    Forbidden,
    Revoked,
    Cleared,
    LeftAsIs,
    /// It could not be revoked or cleared.
    Invalidated,
    /// It was cleared, and the user keyring could not be linked again.
    Empty,
    NotEnded,
}

impl State {
    /// It in words. Behind a text that ends in a blank belongs the keyring.
    fn text(self) -> &'static str {
        match self {
            State::Unknown => "",
            State::Made => "made session keyring ",
            State::MadeForDead => "the session keyring was dead, made session keyring ",
            State::Kept => "the process has and keeps session keyring ",
            State::KeptRoots => {
                "the user stays in root's session keyring and can read root's keys there; with su, sudo and runuser that \
                 is meant, else see `own`: session keyring "
            }
            State::KeptAnothers => {
                "the user stays in another user's session keyring and can read the keys there, see `own`: session keyring "
            }
            State::Charged => "the session has a keyring that is charged to the caller, session keyring ",
            State::Shared => "the session shares session keyring ",
            State::MadeInstead => "the session has one of its own instead, session keyring ",
            State::Given => "the session was given session keyring ",
            State::Incomplete | State::IncompleteHere => "the session has, without the user keyring, session keyring ",
            State::Left | State::LeftHere => "the session is left in session keyring ",
            State::LeftToCaller => "the session is left in its caller's session keyring",
            State::WithoutKeys | State::Forbidden => "the login goes on without a session keyring of its own",
            State::Revoked => "revoked session keyring ",
            State::Cleared => "cleared session keyring ",
            State::LeftAsIs => "left as it is: session keyring ",
            State::Invalidated => "invalidated instead: session keyring ",
            State::Empty => "nothing is left in session keyring ",
            State::NotEnded => "its keys can still be used: session keyring ",
        }
    }

    /// How much it matters. None: as much as the failure behind it.
    fn level(self) -> Option<Level> {
        use State::*;
        match self {
            Made | MadeForDead | Kept | Shared | WithoutKeys | Revoked | Cleared | LeftAsIs => Some(Level::Debug),
            KeptRoots | IncompleteHere | Forbidden | Invalidated => Some(Level::Notice),
            KeptAnothers | Charged | MadeInstead | LeftHere => Some(Level::Warning),
            Unknown | Given | Incomplete | Left | LeftToCaller | Empty | NotEnded => None,
        }
    }
}

/// What came of a call, for the answer and for the log.
#[derive(Clone, Copy)]
pub struct Outcome {
    state: State,
    /// The session keyring, and its owner where that matters.
    keyring: Option<Keyring>,
    owner: Option<u32>,
    /// What was refused on the way.
    refused: Option<Failure>,
}

impl Outcome {
    fn of(state: State, keyring: Keyring) -> Outcome {
        Outcome { state, keyring: Some(keyring), owner: None, refused: None }
    }

    fn after(refused: Failure, state: State, keyring: Option<Keyring>) -> Outcome {
        Outcome { state, keyring, owner: None, refused: Some(refused) }
    }

    fn with_owner(self) -> Outcome {
        Outcome { owner: self.keyring.and_then(Keyring::owner), ..self }
    }

    /// Whether the call that it came of is to fail.
    pub fn is_failure(&self) -> bool {
        self.state.level().is_none()
    }

    /// How much it matters.
    pub fn level(&self) -> Level {
        self.state.level().unwrap_or_else(|| self.refused.map_or(Level::Error, Level::of))
    }

    /// Whether it is told once a handle: it is about the machine, and each line of a stack would tell it again.
    pub fn once(&self) -> bool {
        use State::*;
        matches!(self.state, KeptRoots | KeptAnothers | IncompleteHere | LeftHere | Forbidden)
    }

    /// Writes it to a line of the log.
    pub fn write(self, line: &mut Line) {
        if let Some(refused) = self.refused {
            refused.write(line);
            line.text(if self.state == State::Unknown { "" } else { "; " });
        }
        line.text(self.state.text());
        if let Some(keyring) = self.keyring {
            line.number(keyring.0.unsigned_abs());
        }
        if let Some(owner) = self.owner {
            line.text(" of uid ").number(owner);
        }
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Outcome {
        Outcome::after(failure, State::Unknown, None)
    }
}

/// The session keyring that the handle made and has not ended.
#[derive(Clone, Copy)]
struct Made {
    keyring: Keyring,
    /// Whom it was made for.
    user: Ids,
    /// Whether the user keyring is linked into it. Without the link it is not complete.
    linked: bool,
    /// Whether only `own` asked for it, in the place of one that the C module keeps.
    by_own: bool,
}

impl Made {
    /// With the user's ids: links the user keyring into it.
    fn link(&mut self) -> Result<(), Failure> {
        self.keyring.link_user_keyring()?;
        self.linked = true;
        Ok(())
    }
}

/// What a handle knows of session keyrings.
#[derive(Clone, Copy, Default)]
pub struct Isolation {
    made: Option<Made>,
    /// The last keyring before `made`. The thread may still be in it, but no other session is to run in it.
    ended: Option<Keyring>,
    /// Whether the session is in the keyring that all sessions of the user share.
    shared: bool,
}

/// What a look at the session keyring says to the wish for another one.
enum Present {
    /// There is none but the user-session keyring, or the one that has ended.
    None,
    /// The process has one, and keeps it.
    Kept(Keyring),
    /// The process has one, and only `own` replaces it.
    NotTheUsers(Keyring),
}

impl Isolation {
    /// Whether there is a keyring to be ended.
    pub fn is_made(&self) -> bool {
        self.made.is_some()
    }

    /// Whether the session has its keyring, with the user keyring in it.
    pub fn is_complete(&self) -> bool {
        self.shared || self.made.is_some_and(|made| made.linked)
    }

    /// How a session stands that `refused` has kept from being given a keyring.
    pub fn left(&self, refused: Failure) -> Outcome {
        match self.made {
            Some(made) => Outcome::after(refused, State::Incomplete, Some(made.keyring)),
            None => Outcome::after(refused, State::LeftToCaller, None),
        }
    }

    /// Gives the thread a complete session keyring, unless it has one.
    ///
    /// # Errors
    /// Those of [`Identity`].
    pub fn ensure(&mut self, options: Options, user: Ids) -> Result<Outcome, Failure> {
        let is_new = !self.is_made();
        let identity = Identity::take_on(user.uid, user.gid)?;
        let outcome = self.provide(options, user);
        identity.give_back()?;
        let outcome = outcome?;
        match outcome.refused {
            Some(full @ Failure { error: Error::Join | Error::Link, reason: libc::EDQUOT })
                if is_new && !self.is_complete() =>
            {
                self.charge_caller(user, full, outcome)
            }
            _ => Ok(outcome),
        }
    }

    /// The user's key quota is full: the user can fill it at will, and must not gain the caller's session keyring by it. So
    /// the keyring is made by the caller, and charged to the caller.
    fn charge_caller(&mut self, user: Ids, full: Failure, otherwise: Outcome) -> Result<Outcome, Failure> {
        let Ok(keyring) = Keyring::join() else { return Ok(otherwise) };
        let made = self.made.insert(Made { keyring, user, linked: false, by_own: false });
        let identity = Identity::take_on(user.uid, user.gid)?;
        let linked = made.link();
        identity.give_back()?;
        Ok(match linked {
            Ok(()) => Outcome::after(full, State::Charged, Some(keyring)),
            Err(refused) => Outcome::after(refused, State::Incomplete, Some(keyring)),
        })
    }

    /// With the user's ids: makes a session keyring where there has to be one, and links the user keyring into it.
    ///
    /// # Errors
    /// [`Error::GiveBack`].
    fn provide(&mut self, options: Options, user: Ids) -> Result<Outcome, Failure> {
        // What was refused on the way to it, and how the session stands then.
        let (mut state, mut instead, mut others) = (State::Made, None, None);
        if self.made.is_none() && options.user_session {
            match identity::with_filesystem_uid(user.uid, || Keyring::join_shared(user.uid)).and_then(|joined| joined) {
                Ok(shared) => {
                    self.shared = true;
                    return Ok(Outcome::of(State::Shared, shared));
                }
                Err(lost) if lost.error == Error::GiveBack => return Err(lost),
                Err(refused) => match self.goes_without(options, refused) {
                    Some(without) => return Ok(without),
                    None => instead = Some((refused, State::MadeInstead)),
                },
            }
        } else if self.made.is_none() && !options.force {
            match self.look(options, user) {
                Ok(Present::Kept(present)) => return Ok(kept(options, present, user.uid)),
                Ok(Present::NotTheUsers(present)) => others = Some(present),
                Ok(Present::None) => (),
                Err(refused) if refused.keyring_is_dead() => state = State::MadeForDead,
                // The security module keeps it from the user, so it is not the user's; or a session that has ended has
                // taken the right to search it from itself.
                Err(Failure { error: Error::LookAtSession, reason: libc::EACCES })
                    if options.own || self.ended.is_some() => {}
                Err(refused) => match self.goes_without(options, refused) {
                    Some(without) => return Ok(without),
                    // In whose keyring the session would be left cannot be seen.
                    None => instead = Some((refused, State::Given)),
                },
            }
        }
        let made = match &mut self.made {
            Some(made) => made, // only its link is missing
            place => match Keyring::join() {
                Ok(keyring) => place.insert(Made { keyring, user, linked: false, by_own: others.is_some() }),
                Err(refused) => return Ok(self.cannot_join(options, refused, others)),
            },
        };
        let keyring = made.keyring;
        let Err(refused) = made.link() else {
            return Ok(match instead {
                Some((refused, state)) => Outcome::after(refused, state, Some(keyring)),
                None => Outcome::of(state, keyring),
            });
        };
        // gVisor can join and not link: as good as no keyctl(2). And the C module does not make what only `own` asks for.
        let goes_on = refused.reason == libc::ENOSYS || made.by_own && is_denied(refused);
        let state = if goes_on { State::IncompleteHere } else { State::Incomplete };
        Ok(Outcome::after(refused, state, Some(keyring)))
    }

    /// Looks at the session keyring that the process has.
    fn look(&self, options: Options, user: Ids) -> Result<Present, Failure> {
        let present = Keyring::of_session()?;
        if Some(present) == self.ended {
            return Ok(Present::None);
        }
        match Keyring::of_user_session() {
            Ok(user_session) if user_session == present => return Ok(Present::None),
            // The user has no user-session keyring, so this is another one.
            Ok(_) | Err(Failure { reason: libc::ENOKEY, .. }) => (),
            Err(refused) => return Err(refused),
        }
        // Where that cannot be asked, it is not so.
        let is_users = || present.owner() == Some(user.uid) && present.leads_to_user_keyring(user.uid);
        Ok(if options.own && !is_users() { Present::NotTheUsers(present) } else { Present::Kept(present) })
    }

    /// How a session stands that cannot have a session keyring of its own. `others` is what only `own` would replace.
    fn cannot_join(&self, options: Options, refused: Failure, others: Option<Keyring>) -> Outcome {
        if others.is_some() && is_denied(refused) {
            return Outcome::after(refused, State::LeftHere, others).with_owner();
        }
        self.goes_without(options, refused).unwrap_or_else(|| match Keyring::of_session() {
            Ok(present) => Outcome::after(refused, State::Left, Some(present)).with_owner(),
            Err(_) => self.left(refused),
        })
    }

    /// How the login goes on where keyctl(2) is not available, as in many containers, if that is what `refused` says.
    fn goes_without(&self, options: Options, refused: Failure) -> Option<Outcome> {
        let first = match options {
            Options { user_session: true, .. } => Error::JoinShared,
            Options { force: true, .. } => Error::Join,
            _ => Error::LookAtSession,
        };
        let state = match (refused.error, refused.reason) {
            // A handle that has made a keyring has seen keyctl(2) work, and must not leave the user in that one.
            _ if self.made.is_some() || self.ended.is_some() => return None,
            (Error::LookAtSession | Error::LookAtUserSession | Error::Join | Error::JoinShared, libc::ENOSYS) => {
                State::WithoutKeys
            }
            // To the first thing that it is asked the kernel itself never answers EPERM: it is a seccomp filter.
            (error, libc::EPERM) if error == first => State::Forbidden,
            _ => return None,
        };
        Some(Outcome::after(refused, state, None))
    }

    /// Ends the keyring that the handle made, if it made one. None: there is nothing to tell.
    ///
    /// # Errors
    /// [`Error::GiveBack`].
    pub fn finish(&mut self, options: Options) -> Result<Option<Outcome>, Failure> {
        self.shared = false;
        let Some(made) = self.made.take() else { return Ok(None) };
        let keyring = made.keyring;
        self.ended = Some(keyring);
        let (ended, state) = if options.revoke {
            (keyring.revoke(), State::Revoked)
        } else if options.clear {
            (clear(made)?, State::Cleared)
        } else {
            (Ok(()), State::LeftAsIs)
        };
        let Err(refused) = ended else { return Ok(Some(Outcome::of(state, keyring))) };
        if refused.keyring_is_dead() {
            return Ok(None); // which is what was wanted
        }
        let state = if refused.error == Error::Link {
            State::Empty
        } else {
            match keyring.invalidate() {
                Ok(()) => State::Invalidated,
                Err(gone) if gone.keyring_is_dead() => return Ok(None),
                // That keyctl(2) is as good as absent was told when the keyring was made.
                Err(Failure { reason: libc::ENOSYS, .. }) if !made.linked => return Ok(None),
                Err(_) => State::NotEnded,
            }
        };
        Ok(Some(Outcome::after(refused, state, Some(keyring))))
    }
}

/// What is to be said of the session keyring that the process has and keeps.
fn kept(options: Options, present: Keyring, uid: u32) -> Outcome {
    // With `own` it is the user's; and root may read all keys anyhow.
    let owner = if options.own || uid == 0 { None } else { present.owner() };
    match owner {
        Some(0) => Outcome::of(State::KeptRoots, present),
        Some(other) if other != uid => Outcome { owner, ..Outcome::of(State::KeptAnothers, present) },
        _ => Outcome::of(State::Kept, present),
    }
}

/// With the user's ids, leaves nothing in the keyring but the user keyring. The inner result says what was refused.
///
/// # Errors
/// [`Error::GiveBack`].
fn clear(made: Made) -> Result<Result<(), Failure>, Failure> {
    match Identity::take_on(made.user.uid, made.user.gid) {
        Ok(identity) => {
            let cleared = made.keyring.clear();
            identity.give_back().and(Ok(cleared))
        }
        Err(lost) if lost.error == Error::GiveBack => Err(lost),
        Err(refused) => Ok(Err(refused)),
    }
}

/// Whether it is the answer of a filter or a security module to what it does not know or not allow.
fn is_denied(failure: Failure) -> bool {
    matches!(failure.reason, libc::ENOSYS | libc::EPERM | libc::EACCES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::tests::ALL;
    use crate::line::tests::shown;

    /// Each error with each errno, the longest words and the longest name behind it: none is cut.
    #[test]
    fn the_longest_line_fits() {
        let name = std::ffi::CString::new("\u{1}".repeat(9000)).expect("no NUL");
        for error in ALL {
            for reason in 0..200 {
                for state in [State::KeptRoots, State::KeptAnothers, State::Charged] {
                    let mut line = Line::new();
                    let owner = Some(u32::MAX);
                    Outcome { owner, ..Outcome::after(error.because(reason), state, Some(Keyring(i32::MAX))) }
                        .write(&mut line);
                    line.text(" (user ").escaped(&name).text(")");
                    assert!(shown(&line).ends_with(")"), "{}", shown(&line));
                }
            }
        }
    }
}
