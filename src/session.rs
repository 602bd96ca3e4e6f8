// SPDX-License-Identifier: MIT
//! The policy: what opening and closing a session and setting credentials do with the session keyring.
#![forbid(unsafe_code)]

use core::ffi::CStr;
use core::mem;

use crate::error::{Error, Failure};
use crate::identity::Identity;
use crate::keyring::Keyring;
use crate::log::Line;
use crate::options::Options;
use crate::pam::{Code, Handle, Level};

/// What is kept with a handle from one call to the next.
#[derive(Default)]
pub struct Session {
    options: Options,
    /// The user who was looked up last: name, uid and gid.
    account: Option<(Name, u32, u32)>,
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
    /// The uid it was made for.
    owner: u32,
    /// Whether the user keyring is linked into it. Without the link it is not complete.
    linked: bool,
}

impl Session {
    /// Adds what a configuration line asks for to what the handle's other lines have asked for. A login must not fail
    /// over a word that nobody knows: it is named in the log, once.
    pub fn heed<'call>(&mut self, pam: &Handle, words: impl Iterator<Item = &'call CStr>) {
        for word in words {
            if !self.options.add(word) && self.is_news(word) {
                pam.log(Level::Warning, Line::new().text("unknown argument ").escaped(word).text(" is ignored"));
            }
        }
    }

    /// pam_sm_open_session(3): one more session is open, and has a session keyring.
    pub fn open(&mut self, pam: &Handle) -> Result<Code, Failure> {
        self.open = self.open.saturating_add(1);
        self.ensure(pam)
    }

    /// pam_sm_close_session(3): one session fewer is open; the keyring ends with the last. Where it cannot be ended, the
    /// session is closed all the same.
    pub fn close(&mut self, pam: &Handle) -> Result<Code, Failure> {
        self.open = self.open.saturating_sub(1);
        if self.open == 0 {
            self.finish(pam).unwrap_or_else(|failure| pam.report(failure));
        }
        Ok(Code::SUCCESS)
    }

    /// pam_sm_setcred(3), `PAM_DELETE_CRED`: ends the keyring at once.
    pub fn delete(&mut self, pam: &Handle) -> Result<Code, Failure> {
        if self.made.is_none() || !self.options.revoke {
            return Ok(Code::IGNORE);
        }
        self.finish(pam).and(Ok(Code::SUCCESS))
    }

    /// Gives the thread a complete session keyring, unless it has one. This is also pam_sm_setcred(3) with
    /// `PAM_ESTABLISH_CRED`: other modules may store keys before the session is opened.
    pub fn ensure(&mut self, pam: &Handle) -> Result<Code, Failure> {
        if self.ids_lost {
            return Err(Error::GiveBack.into());
        }
        let (uid, gid) = self.ids(pam)?;
        match self.made {
            // PAM_USER has changed: one user's session must not run in another's keyring.
            Some(made) if made.owner != uid => self.finish(pam).unwrap_or_else(|failure| pam.report(failure)),
            Some(Made { linked: true, .. }) => return Ok(Code::SUCCESS),
            _ => (),
        }
        let ensured = self.ensure_as(pam, uid, gid);
        self.ids_lost = ensured.is_err_and(|failure| failure.error == Error::GiveBack);
        ensured.and(Ok(Code::SUCCESS))
    }

    /// Does under the user's real ids what has to be done under them.
    fn ensure_as(&mut self, pam: &Handle, uid: u32, gid: u32) -> Result<(), Failure> {
        let identity = Identity::take_on(uid, gid)?;
        let made = self.join_and_link(uid);
        let given_back = identity.give_back();
        // Only now is anything logged: while the real uid is the user's, the user may kill this process, kill(2).
        let settled = self.settle(pam, made);
        if let (Err(_), Err(failure)) = (given_back, settled) {
            pam.report(failure);
        }
        given_back.and(settled)
    }

    /// Makes a session keyring where there has to be one, and links the user keyring into it. Returns what was done, in
    /// words, and to which keyring.
    fn join_and_link(&mut self, uid: u32) -> Result<(&'static str, Keyring), Failure> {
        let mut done = "made session keyring ";
        if self.made.is_none() && !self.options.force {
            match Keyring::of_session() {
                Ok(present) if Some(present) == self.ended => (),
                Ok(present) => {
                    if present != Keyring::of_user_session()? {
                        return Ok(("the process has and keeps session keyring ", present));
                    }
                }
                Err(failure) if failure.key_is_dead() => done = "the session keyring was dead, made session keyring ",
                Err(failure) => return Err(failure),
            }
        }
        let keyring = match self.made {
            Some(made) => made.keyring, // only its link is missing
            None => Keyring::join()?,
        };
        self.made = Some(Made { keyring, owner: uid, linked: false });
        keyring.link_user_keyring()?;
        self.made = Some(Made { keyring, owner: uid, linked: true });
        Ok((done, keyring))
    }

    /// Logs what was done. Where keyctl(2) is not available, as in many containers, the login goes on without.
    fn settle(&self, pam: &Handle, made: Result<(&str, Keyring), Failure>) -> Result<(), Failure> {
        let failure = match made {
            Ok((done, keyring)) => {
                self.log(pam, Level::Debug, Line::new().text(done).number(keyring.serial()));
                return Ok(());
            }
            Err(failure) => failure,
        };
        let first = if self.options.force { Error::Join } else { Error::LookAtSession };
        let unavailable = match failure.reason {
            // A handle that has made a keyring has seen keyctl(2) work, and must not leave the user in that one.
            _ if self.made.is_some() || self.ended.is_some() => false,
            libc::ENOSYS => true,
            // To the first thing that it is asked the kernel itself never answers EPERM: it is a seccomp filter.
            libc::EPERM => failure.error == first,
            _ => false,
        };
        if !unavailable {
            return Err(failure);
        }
        let level = if failure.reason == libc::ENOSYS { Level::Debug } else { Level::Notice };
        let line = &mut Line::new();
        self.log(pam, level, line.failure(failure).text("; the login goes on without a session keyring of its own"));
        Ok(())
    }

    /// Ends the keyring that the handle made, if it made one.
    fn finish(&mut self, pam: &Handle) -> Result<(), Failure> {
        let Some(Made { keyring, .. }) = self.made.take() else { return Ok(()) };
        self.ended = Some(keyring);
        if !self.options.revoke {
            return Ok(());
        }
        let done = match keyring.revoke() {
            Ok(()) => "revoked session keyring ",
            // Which is what was wanted.
            Err(failure) if failure.key_is_dead() => "there was nothing left to revoke of session keyring ",
            Err(failure) => return Err(failure),
        };
        self.log(pam, Level::Debug, Line::new().text(done).number(keyring.serial()));
        Ok(())
    }

    /// Uid and gid of PAM_USER, looked up again only when the name has changed: libpam's look-up takes more memory and
    /// time with each call on a handle.
    fn ids(&mut self, pam: &Handle) -> Result<(u32, u32), Failure> {
        let name = pam.user()?;
        let key = padded(name);
        match self.account {
            Some((known, uid, gid)) if key == Some(known) => return Ok((uid, gid)),
            _ => (),
        }
        let (uid, gid) = pam.ids_of(name).ok_or(Error::UnknownUser)?;
        if uid == u32::MAX || gid == u32::MAX {
            return Err(Error::InvalidId.into());
        }
        self.account = key.map(|key| (key, uid, gid));
        Ok((uid, gid))
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

    /// Writes `line` to the log; for debugging only if a line of the configuration asked for such.
    fn log(&self, pam: &Handle, level: Level, line: &mut Line) {
        if level != Level::Debug || self.options.debug {
            pam.log(level, line);
        }
    }
}

/// Room for Linux's longest login name and its NUL, `LOGIN_NAME_MAX`.
type Name = [u8; 256];

/// `name` with zeros behind it, or None for a longer one, which is looked up at every call.
fn padded(name: &CStr) -> Option<Name> {
    let (mut padded, bytes) = ([0; size_of::<Name>()], name.to_bytes_with_nul());
    padded.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(padded)
}
