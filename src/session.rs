// SPDX-License-Identifier: MIT
//! The policy: what opening and closing a session and setting credentials do with the session keyring.
#![forbid(unsafe_code)]

use core::ffi::CStr;
use core::mem;

use crate::error::{Error, Failure};
use crate::identity::Identity;
use crate::keyring::Keyring;
use crate::line::Line;
use crate::options::Options;
use crate::pam::{Code, Handle, Ids, Level, Store};

/// What libpam asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// pam_sm_open_session(3).
    Open,
    /// pam_sm_close_session(3).
    Close,
    /// pam_sm_setcred(3), `PAM_ESTABLISH_CRED`.
    Establish,
    /// pam_sm_setcred(3), `PAM_DELETE_CRED`.
    Delete,
    /// pam_sm_setcred(3), `PAM_REINITIALIZE_CRED` and `PAM_REFRESH_CRED`: a keyring has no lifetime to renew.
    Renew,
}

impl Call {
    /// Its code for a system error.
    pub fn system_error(self) -> Code {
        match self {
            Call::Open | Call::Close => Code::SESSION_ERR,
            Call::Establish | Call::Delete | Call::Renew => Code::CRED_ERR,
        }
    }

    /// Its code for `failure`.
    fn code_of(self, failure: Failure) -> Code {
        match failure.error {
            Error::NoUser | Error::NoState if failure.reason != 0 => Code(failure.reason),
            Error::NoMemory => Code::BUF_ERR,
            Error::UnknownUser => Code::USER_UNKNOWN,
            _ => self.system_error(),
        }
    }
}

/// Does what `call` asks for, and logs why it could not. `words` are those of the configuration line.
pub fn answer<'call>(
    call: Call,
    pam: &Handle,
    store: Store<Session>,
    words: impl Iterator<Item = &'call CStr>,
) -> Code {
    act(call, pam, store, words).unwrap_or_else(|failure| {
        pam.report(failure);
        call.code_of(failure)
    })
}

fn act<'call>(
    call: Call,
    pam: &Handle,
    store: Store<Session>,
    words: impl Iterator<Item = &'call CStr>,
) -> Result<Code, Failure> {
    let Some(session) = store.kept(matches!(call, Call::Open | Call::Establish))? else {
        return Ok(if call == Call::Close { Code::SUCCESS } else { Code::IGNORE });
    };
    session.heed(pam, words);
    match call {
        Call::Open => session.open(pam),
        Call::Close => session.close(pam),
        Call::Establish => session.ensure(pam),
        Call::Delete => session.delete(pam),
        Call::Renew => Ok(Code::IGNORE),
    }
}

/// What is kept with a handle from one call to the next.
#[derive(Clone, Copy, Default)]
pub struct Session {
    options: Options,
    /// PAM_USER's.
    ids: Ids,
    /// Whether they are those of `name`.
    known: bool,
    /// With its NUL. Linux's have 256 bytes at most, `LOGIN_NAME_MAX`; a longer one is looked up at every call.
    name: [[u8; 32]; 8],
    /// Sessions that are open: a stack may name the module more than once.
    open: u32,
    made: Option<Made>,
    /// The last keyring before `made`. The thread may still be in it, but no other session is to run in it.
    ended: Option<Keyring>,
    /// The thread could not be given its own ids back.
    ids_lost: bool,
    /// Unknown words that the log has named, by hash.
    named: [u32; 8],
}

/// The session keyring that the handle made and has not ended.
#[derive(Clone, Copy)]
struct Made {
    keyring: Keyring,
    /// Whom it was made for.
    owner: Ids,
    /// Whether the user keyring is linked into it. Without the link it is not complete.
    linked: bool,
}

/// What was done, in words, to which keyring, and how much that matters.
#[derive(Clone, Copy)]
struct Done(Level, &'static str, Keyring);

impl Session {
    /// Adds what a configuration line asks for to what the handle's other lines have asked for. A login must not fail
    /// over a word that nobody knows: it is named in the log, once.
    fn heed<'call>(&mut self, pam: &Handle, words: impl Iterator<Item = &'call CStr>) {
        for word in words {
            if !self.options.add(word) && self.is_news(word) {
                pam.log(Level::Warning, Line::new().text("unknown argument ").escaped(word).text(" is ignored"));
            }
        }
    }

    /// pam_sm_open_session(3): one more session is open, and has a session keyring.
    fn open(&mut self, pam: &Handle) -> Result<Code, Failure> {
        self.open = self.open.saturating_add(1);
        self.ensure(pam)
    }

    /// pam_sm_close_session(3): one session fewer is open; the keyring ends with the last. Where it cannot be ended, the
    /// session is closed all the same.
    fn close(&mut self, pam: &Handle) -> Result<Code, Failure> {
        self.open = self.open.saturating_sub(1);
        if self.open == 0 {
            self.finish_or_report(pam)?;
        }
        Ok(Code::SUCCESS)
    }

    /// pam_sm_setcred(3), `PAM_DELETE_CRED`: ends the keyring at once.
    fn delete(&mut self, pam: &Handle) -> Result<Code, Failure> {
        if self.made.is_none() || !self.options.end() {
            return Ok(Code::IGNORE);
        }
        self.finish(pam).and(Ok(Code::SUCCESS))
    }

    /// Gives the thread a complete session keyring, unless it has one. This is also pam_sm_setcred(3) with
    /// `PAM_ESTABLISH_CRED`: other modules may store keys before the session is opened.
    fn ensure(&mut self, pam: &Handle) -> Result<Code, Failure> {
        let ids = self.ids(pam)?;
        match self.made {
            // PAM_USER has changed: one user's session must not run in another's keyring.
            Some(made) if made.owner.uid != ids.uid => self.finish_or_report(pam)?,
            Some(Made { linked: true, .. }) if !self.ids_lost => return Ok(Code::SUCCESS),
            _ => (),
        }
        let identity = self.become_user(ids)?;
        let made = self.join_and_link();
        self.become_caller(identity)?;
        self.settle(pam, made)
    }

    /// Takes on the real ids of a user. Meanwhile nothing is logged: the user may kill this process, kill(2).
    fn become_user(&mut self, user: Ids) -> Result<Identity, Failure> {
        if self.ids_lost {
            return Err(Error::GiveBack.into());
        }
        let taken_on = Identity::take_on(user.uid, user.gid);
        self.ids_lost = taken_on.as_ref().is_err_and(|failure| failure.error == Error::GiveBack);
        taken_on
    }

    /// Gives the thread the caller's ids back.
    fn become_caller(&mut self, identity: Identity) -> Result<(), Failure> {
        let given_back = identity.give_back();
        self.ids_lost = given_back.is_err();
        given_back
    }

    /// Makes a session keyring where there has to be one, and links the user keyring into it.
    fn join_and_link(&mut self) -> Result<Done, Failure> {
        let owner = self.ids;
        let mut done = "made session keyring ";
        if self.made.is_none() && !self.options.force {
            match Keyring::of_session() {
                Ok(present) if Some(present) == self.ended => (),
                Ok(present) => {
                    if let Some(kept) = self.kept(present, owner.uid)? {
                        return Ok(kept);
                    }
                }
                Err(failure) if failure.keyring_is_dead() => {
                    done = "the session keyring was dead, made session keyring "
                }
                Err(failure) => return Err(failure),
            }
        }
        let keyring = match self.made {
            Some(made) => made.keyring, // only its link is missing
            None => Keyring::join()?,
        };
        self.made = Some(Made { keyring, owner, linked: false });
        keyring.link_user_keyring()?;
        self.made = Some(Made { keyring, owner, linked: true });
        Ok(Done(Level::Debug, done, keyring))
    }

    /// What is to be said of the session keyring that the process has already, if it is to keep that one.
    fn kept(&self, present: Keyring, uid: u32) -> Result<Option<Done>, Failure> {
        if present == Keyring::of_user_session()? {
            return Ok(None); // the one of those who have none
        }
        Ok(if self.options.own && !present.is_of(uid) {
            None
        } else if !self.options.own && uid != 0 && present.is_of(0) {
            Some(Done(Level::Notice, "the user stays in root's session keyring (see `own`): ", present))
        } else {
            Some(Done(Level::Debug, "the process has and keeps session keyring ", present))
        })
    }

    /// Logs what was done. Where keyctl(2) is not available, as in many containers, the login goes on without.
    fn settle(&self, pam: &Handle, made: Result<Done, Failure>) -> Result<Code, Failure> {
        match made {
            Ok(done) => self.say(pam, done),
            Err(failure) => {
                let level = self.tolerated(failure).ok_or(failure)?;
                if self.wants(level) {
                    let mut line = Line::new();
                    failure.write(&mut line);
                    pam.log(level, line.text("; the login goes on without a session keyring of its own"));
                }
            }
        }
        Ok(Code::SUCCESS)
    }

    /// How much it matters that keyctl(2) is not available, if that is what `failure` says.
    fn tolerated(&self, failure: Failure) -> Option<Level> {
        let first = if self.options.force { Error::Join } else { Error::LookAtSession };
        match (failure.error, failure.reason) {
            // A handle that has made a keyring has seen keyctl(2) work, and must not leave the user in that one.
            _ if self.made.is_some() || self.ended.is_some() => None,
            (Error::LookAtSession | Error::LookAtUserSession | Error::Join, libc::ENOSYS) => Some(Level::Debug),
            // To the first thing that it is asked the kernel itself never answers EPERM: it is a seccomp filter.
            (error, libc::EPERM) if error == first => Some(Level::Notice),
            _ => None,
        }
    }

    /// Ends the keyring that the handle made, if it made one.
    fn finish(&mut self, pam: &Handle) -> Result<(), Failure> {
        let Some(made) = self.made else { return Ok(()) };
        let ended = if self.options.revoke {
            made.keyring.revoke().and(Ok(Done(Level::Debug, "revoked session keyring ", made.keyring)))
        } else if self.options.clear {
            self.clear(made)
        } else {
            Ok(Done(Level::Debug, "left as it is: session keyring ", made.keyring))
        };
        self.made = None;
        self.ended = Some(made.keyring);
        match ended {
            // Which is what was wanted.
            Err(failure) if failure.keyring_is_dead() => (),
            ended => self.say(pam, ended?),
        }
        Ok(())
    }

    /// Ends the keyring in a call that does not fail if that fails. It does if the thread's ids were lost.
    fn finish_or_report(&mut self, pam: &Handle) -> Result<(), Failure> {
        match self.finish(pam) {
            Err(failure) if failure.error != Error::GiveBack => {
                pam.report(failure);
                Ok(())
            }
            finished => finished,
        }
    }

    /// Leaves nothing in the keyring that the handle made but the user keyring.
    fn clear(&mut self, made: Made) -> Result<Done, Failure> {
        let identity = self.become_user(made.owner)?;
        let cleared = made.keyring.clear();
        self.become_caller(identity)?;
        cleared.and(Ok(Done(Level::Debug, "cleared session keyring ", made.keyring)))
    }

    /// The ids of PAM_USER, looked up again only when the name has changed: libpam's look-up takes more memory and
    /// time with each call on a handle.
    fn ids(&mut self, pam: &Handle) -> Result<Ids, Failure> {
        let name = pam.user()?;
        let bytes = name.to_bytes_with_nul();
        if self.known && self.name.as_flattened().starts_with(bytes) {
            return Ok(self.ids);
        }
        self.known = false;
        self.ids = pam.ids_of(name).ok_or(Error::UnknownUser)?;
        if [self.ids.uid, self.ids.gid].contains(&u32::MAX) {
            return Err(Error::InvalidId.into());
        }
        if let Some(place) = self.name.as_flattened_mut().get_mut(..bytes.len()) {
            place.copy_from_slice(bytes);
            self.known = true;
        }
        Ok(self.ids)
    }

    /// Whether the log has not named `word` yet. When it has named as many as `named` holds, it names no more.
    fn is_news(&mut self, word: &CStr) -> bool {
        // FNV-1a, never 0, which marks a free place.
        let hash = word
            .to_bytes()
            .iter()
            .fold(0x811c_9dc5_u32, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
            | 1;
        let place = self.named.iter_mut().find(|place| **place == hash || **place == 0);
        place.is_some_and(|place| mem::replace(place, hash) == 0)
    }

    /// Writes to the log what was done.
    fn say(&self, pam: &Handle, Done(level, done, keyring): Done) {
        if self.wants(level) {
            pam.log(level, Line::new().text(done).number(keyring.0));
        }
    }

    /// Whether a line of this level is to be written: for debugging only if a line of the configuration asked for such.
    fn wants(&self, level: Level) -> bool {
        level != Level::Debug || self.options.debug
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::tests::ALL;

    const CALLS: [Call; 5] = [Call::Open, Call::Close, Call::Establish, Call::Delete, Call::Renew];

    #[test]
    fn a_code_of_libpam_is_passed_on() {
        for (error, call) in [Error::NoUser, Error::NoState].into_iter().zip(CALLS) {
            for code in (-100..=100).filter(|&code| code != 0) {
                assert_eq!(call.code_of(error.because(code)).0, code);
            }
        }
    }

    #[test]
    fn a_failure_is_never_a_success() {
        for error in ALL {
            for reason in -100..=200 {
                for call in CALLS {
                    let code = call.code_of(error.because(reason));
                    assert!(![Code::SUCCESS, Code::IGNORE].contains(&code) || code == Code(reason) && reason != 0);
                }
            }
        }
    }
}
