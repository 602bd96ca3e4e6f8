// SPDX-License-Identifier: MIT
//! The policy: what opening and closing a session and setting credentials do, and what libpam is answered.
#![forbid(unsafe_code)]

use core::ffi::CStr;
use core::mem;

use crate::error::{Error, Failure};
use crate::isolation::{Isolation, Outcome};
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

    /// Whether a session is to have its keyring after it.
    fn begins(self) -> bool {
        matches!(self, Call::Open | Call::Establish)
    }

    /// What is said of `failure`; of a session that was to have a keyring, also how it stands.
    fn outcome_of(self, failure: Failure, isolation: Isolation) -> Outcome {
        if self.begins() && failure.error != Error::GiveBack { isolation.left(failure) } else { failure.into() }
    }
}

/// Does what `call` asks for, and logs what came of it. `words` are those of the configuration line.
pub fn answer<'call>(
    call: Call,
    pam: &Handle,
    store: Store<Session>,
    words: impl Iterator<Item = &'call CStr>,
) -> Code {
    let session = match store.kept(call.begins() || call == Call::Close) {
        Ok(Some(session)) => session,
        Ok(None) => return Code::IGNORE,
        Err(failure) => {
            tell(pam, call.outcome_of(failure, Isolation::default()), c"");
            return if call == Call::Close { Code::SUCCESS } else { call.code_of(failure) };
        }
    };
    if !session.begun && !call.begins() {
        if call == Call::Close {
            session.close_another(pam, words);
            return Code::SUCCESS;
        }
        return Code::IGNORE;
    }
    session.heed(pam, words);
    let answered = match call {
        Call::Open => session.open(pam),
        Call::Close => session.close(pam),
        Call::Establish => session.ensure(call, pam),
        Call::Delete => session.delete(pam),
        Call::Renew => Ok(Code::IGNORE),
    };
    answered.unwrap_or_else(|failure| {
        session.ids_lost |= failure.error == Error::GiveBack;
        let about = match failure.error {
            Error::NoUser | Error::UnknownUser | Error::InvalidId => c"", // who was looked up
            _ => session.user(),
        };
        tell(pam, call.outcome_of(failure, session.isolation), about);
        call.code_of(failure)
    })
}

/// Writes to the log what came of a call, and whom it was about; an empty name is PAM_USER's.
fn tell(pam: &Handle, outcome: Outcome, about: &CStr) {
    let mut line = Line::new();
    outcome.write(&mut line);
    pam.log(outcome.level(), &mut line, about);
}

/// What is kept with a handle from one call to the next.
#[derive(Clone, Copy, Default)]
pub struct Session {
    options: Options,
    /// PAM_USER's.
    ids: Ids,
    /// Whether they are those of `name`.
    known: bool,
    /// With its NUL. One that does not fit, `LOGIN_NAME_MAX` is 256, is looked up at every call.
    name: [[u8; 32]; 4],
    /// Whether a session was opened or credentials were established on the handle.
    begun: bool,
    /// Sessions that are open: a stack may name the module more than once.
    open: u32,
    isolation: Isolation,
    /// The thread could not be given its own ids back.
    ids_lost: bool,
    /// What is told once a handle was told.
    told: bool,
    /// Unknown words that the log has named, by hash.
    named: [u32; 8],
}

impl Session {
    /// Adds what a configuration line asks for to what the handle's other lines have asked for. A login must not fail
    /// over a word that nobody knows: it is named in the log, once.
    fn heed<'call>(&mut self, pam: &Handle, words: impl Iterator<Item = &'call CStr>) {
        for word in words {
            if !self.options.add(word) && self.is_news(word) {
                let mut line = Line::new();
                pam.log(Level::Warning, line.text("unknown argument ").escaped(word).text(" is ignored"), c"");
            }
        }
    }

    /// pam_sm_open_session(3): one more session is open, and has a session keyring.
    fn open(&mut self, pam: &Handle) -> Result<Code, Failure> {
        self.open = self.open.saturating_add(1);
        self.ensure(Call::Open, pam)
    }

    /// pam_sm_close_session(3): one session fewer is open; the keyring ends with the last. Where it cannot be ended, the
    /// session is closed all the same.
    fn close(&mut self, pam: &Handle) -> Result<Code, Failure> {
        self.open = self.open.saturating_sub(1);
        if self.open == 0 {
            self.finish(pam)?;
        }
        Ok(Code::SUCCESS)
    }

    /// pam_sm_close_session(3) where nothing was opened: tells once that nothing is ended. The words count for no later call.
    fn close_another<'call>(&mut self, pam: &Handle, words: impl Iterator<Item = &'call CStr>) {
        let mut options = Options::default();
        words.for_each(|word| _ = options.add(word));
        if options.end() && !mem::replace(&mut self.told, true) {
            let mut line = Line::new();
            line.text("nothing is ended: no session was opened on this handle; close it on the one that opened it");
            pam.log(Level::Notice, &mut line, c"");
        }
    }

    /// pam_sm_setcred(3), `PAM_DELETE_CRED`: ends the keyring at once.
    fn delete(&mut self, pam: &Handle) -> Result<Code, Failure> {
        if !self.isolation.is_made() || !self.options.end() {
            return Ok(Code::IGNORE);
        }
        self.finish(pam).map(|ended| if ended { Code::SUCCESS } else { Call::Delete.system_error() })
    }

    /// Gives the thread a complete session keyring, unless it has one. This is also pam_sm_setcred(3) with
    /// `PAM_ESTABLISH_CRED`: other modules may store keys before the session is opened.
    fn ensure(&mut self, call: Call, pam: &Handle) -> Result<Code, Failure> {
        self.begun = true;
        self.look_up(pam)?;
        if self.ids_lost {
            return Err(Error::GiveBack.into());
        }
        if self.isolation.is_complete() {
            return Ok(Code::SUCCESS);
        }
        let outcome = self.isolation.ensure(self.options, self.ids)?;
        self.tell(pam, outcome);
        Ok(if outcome.is_failure() { call.system_error() } else { Code::SUCCESS })
    }

    /// Ends the keyring that the handle made, if it made one. False: it could not be ended.
    fn finish(&mut self, pam: &Handle) -> Result<bool, Failure> {
        if self.ids_lost && self.options.clear && !self.options.revoke {
            return Err(Error::GiveBack.into());
        }
        let outcome = self.isolation.finish(self.options)?;
        if let Some(outcome) = outcome {
            self.tell(pam, outcome);
        }
        Ok(!outcome.is_some_and(|outcome| outcome.is_failure()))
    }

    /// The ids of PAM_USER, looked up again only when the name has changed: libpam's look-up takes more memory and
    /// time with each call on a handle. One user's session must not run in another's keyring: that one is ended.
    fn look_up(&mut self, pam: &Handle) -> Result<(), Failure> {
        let name = pam.user()?;
        let bytes = name.to_bytes_with_nul();
        if self.known && self.name.as_flattened().starts_with(bytes) {
            return Ok(());
        }
        self.known = false;
        let ids = pam.ids_of(name).ok_or(Error::UnknownUser)?;
        if [ids.uid, ids.gid].contains(&u32::MAX) {
            return Err(Error::InvalidId.into());
        }
        if self.ids.uid != ids.uid {
            self.finish(pam)?;
            self.told = false;
        }
        self.ids = ids;
        self.known = bytes.len() <= size_of_val(&self.name);
        // A longer one is only shown; the last byte stays the NUL.
        let bytes = bytes.iter().take(size_of_val(&self.name) - 1);
        self.name.as_flattened_mut().iter_mut().zip(bytes).for_each(|(place, &byte)| *place = byte);
        Ok(())
    }

    /// The name that was looked up last; empty if none was.
    fn user(&self) -> &CStr {
        CStr::from_bytes_until_nul(self.name.as_flattened()).unwrap_or_default()
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

    /// Writes to the log what came of a call: for debugging only if a line of the configuration asked for such.
    fn tell(&mut self, pam: &Handle, outcome: Outcome) {
        let wanted = match outcome.level() {
            Level::Debug => self.options.debug,
            _ => !outcome.once() || !mem::replace(&mut self.told, true),
        };
        if wanted {
            tell(pam, outcome, self.user());
        }
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
