// SPDX-License-Identifier: MIT
//! The policy: what opening and closing a session and setting credentials do with the session keyring.
#![forbid(unsafe_code)]

use core::ffi::CStr;

use crate::error::{Error, Failure};
use crate::identity::Identity;
use crate::keyring::Keyring;
use crate::log::Line;
use crate::options::Options;
use crate::pam::{Handle, Level};

/// What is kept with a handle from one call to the next.
#[derive(Default)]
pub struct Session {
    options: Options,
    account: Option<Account>,
    /// Sessions that are open: a stack may name the module more than once.
    sessions: u32,
    made: Option<Made>,
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
    pub fn open(&mut self, pam: &Handle) -> Result<(), Failure> {
        self.sessions = self.sessions.saturating_add(1);
        self.ensure(pam)
    }

    /// pam_sm_close_session(3): one session fewer is open; the keyring ends with the last.
    pub fn close(&mut self, pam: &Handle) -> Result<(), Failure> {
        self.sessions = self.sessions.saturating_sub(1);
        if self.sessions == 0 { self.finish(pam) } else { Ok(()) }
    }

    /// pam_sm_setcred(3), `PAM_DELETE_CRED`: ends the keyring at once. False if there is nothing to end.
    pub fn delete(&mut self, pam: &Handle) -> Result<bool, Failure> {
        if self.made.is_none() || !self.options.revoke {
            return Ok(false);
        }
        self.finish(pam).and(Ok(true))
    }

    /// Gives the thread a complete session keyring, unless it has one. This is also pam_sm_setcred(3) with
    /// `PAM_ESTABLISH_CRED`: other modules may store keys before the session is opened.
    pub fn ensure(&mut self, pam: &Handle) -> Result<(), Failure> {
        let (uid, gid) = self.ids(pam)?;
        let mut force = self.options.force;
        match self.made {
            Some(made) if made.owner != uid => {
                // PAM_USER has changed: nobody is to find himself in somebody else's keyring.
                force = true;
                if let Err(failure) = self.finish(pam) {
                    pam.report(failure);
                }
            }
            Some(Made { linked: true, .. }) => return Ok(()),
            _ => (),
        }

        let identity = Identity::take_on(uid, gid)?;
        let made = self.join_and_link(uid, force);
        let given_back = identity.give_back();
        // Only now is anything logged: while the real uid is the user's, the user may kill this process, kill(2).
        match (given_back, self.settle(pam, made, force)) {
            (Err(critical), Err(failure)) => {
                pam.report(failure);
                Err(critical)
            }
            (given_back, settled) => given_back.and(settled),
        }
    }

    /// Makes a session keyring where there has to be one, and links the user keyring into it. Returns what was done, in
    /// words, and to which keyring.
    fn join_and_link(&mut self, uid: u32, force: bool) -> Result<(&'static str, Keyring), Failure> {
        let mut done = "made session keyring ";
        if self.made.is_none() && !force {
            match Keyring::of_session() {
                Ok(present) => {
                    if present != Keyring::of_user_session()? {
                        return Ok(("the process has and keeps session keyring ", present));
                    }
                }
                Err(failure) if failure.is_of_dead_key() => done = "in the place of a dead one, made session keyring ",
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

    /// Logs what was done. Where keyctl(2) is not to be had, as in many containers, the login goes on without.
    fn settle(&self, pam: &Handle, made: Result<(&str, Keyring), Failure>, force: bool) -> Result<(), Failure> {
        let failure = match made {
            Ok((done, keyring)) => {
                self.debug(pam, Line::new().text(done).number(keyring.serial()));
                return Ok(());
            }
            Err(failure) => failure,
        };
        let line = &mut Line::new();
        line.failure(failure).text("; the login goes on without a session keyring of its own");
        match (failure.error, failure.reason) {
            (Error::LookAtSession | Error::LookAtUserSession | Error::Join, libc::ENOSYS) => self.debug(pam, line),
            // To the first thing that is asked the kernel itself never answers EPERM: it is a filter.
            (Error::LookAtSession, libc::EPERM) => pam.log(Level::Notice, line),
            (Error::Join, libc::EPERM) if force => pam.log(Level::Notice, line),
            _ => return Err(failure),
        }
        Ok(())
    }

    /// Ends the keyring that the handle made, if it made one. The handle forgets it also where the kernel refuses, lest
    /// a session that is opened later runs in it.
    fn finish(&mut self, pam: &Handle) -> Result<(), Failure> {
        let Some(Made { keyring, .. }) = self.made.take() else { return Ok(()) };
        if !self.options.revoke {
            return Ok(());
        }
        let done = match keyring.revoke() {
            Ok(()) => "revoked session keyring ",
            // Which is what was wanted.
            Err(failure) if failure.is_of_dead_key() => "somebody else has ended session keyring ",
            Err(failure) => return Err(failure),
        };
        self.debug(pam, Line::new().text(done).number(keyring.serial()));
        Ok(())
    }

    /// Uid and gid of PAM_USER, looked up anew only when the name has changed: libpam's look-up takes more memory and
    /// time with each call on a handle.
    fn ids(&mut self, pam: &Handle) -> Result<(u32, u32), Failure> {
        let name = pam.user()?;
        if let Some(account) = self.account.as_ref().filter(|account| account.is_of(name)) {
            return Ok((account.uid, account.gid));
        }
        self.account = None;
        let (uid, gid) = pam.ids_of(name).ok_or(Error::UnknownUser)?;
        if uid == u32::MAX || gid == u32::MAX {
            return Err(Error::InvalidId.into());
        }
        self.account = Account::new(name, uid, gid);
        Ok((uid, gid))
    }

    /// Whether the log has not named `word` yet. When it has named as many as `named` holds, it names no more.
    fn is_news(&mut self, word: &CStr) -> bool {
        // FNV-1a, never 0.
        let hash = word
            .to_bytes()
            .iter()
            .fold(0x811c_9dc5_u32, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
            | 1;
        for place in &mut self.named {
            if *place == hash {
                return false;
            }
            if *place == 0 {
                *place = hash;
                return true;
            }
        }
        false
    }

    /// Writes `line` to the log if a line of the configuration asked for such.
    fn debug(&self, pam: &Handle, line: &mut Line) {
        if self.options.debug {
            pam.log(Level::Debug, line);
        }
    }
}

/// A user's passwd entry, as far as it matters.
struct Account {
    /// The name with its NUL.
    name: [u8; Account::NAME_SIZE],
    uid: u32,
    gid: u32,
}

impl Account {
    /// Linux's login names have 255 bytes and a NUL at most, `LOGIN_NAME_MAX`.
    const NAME_SIZE: usize = 256;

    /// None for a longer name: that one is looked up at every call.
    fn new(name: &CStr, uid: u32, gid: u32) -> Option<Account> {
        let mut account = Account { name: [0; Account::NAME_SIZE], uid, gid };
        let bytes = name.to_bytes_with_nul();
        account.name.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(account)
    }

    fn is_of(&self, name: &CStr) -> bool {
        let bytes = name.to_bytes_with_nul();
        self.name.get(..bytes.len()) == Some(bytes)
    }
}
