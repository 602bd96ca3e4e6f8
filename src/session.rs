// SPDX-License-Identifier: MIT
//! The policy: what opening and closing a session and setting credentials do with the session keyring.
#![forbid(unsafe_code)]

use core::ffi::CStr;
use core::fmt;

use crate::error::{Errno, Error, Escaped};
use crate::identity::Identity;
use crate::keyring::{Keyring, Operation};
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
    pub fn heed<'call>(&mut self, pam: &Handle<'call>, words: impl Iterator<Item = &'call CStr>) {
        for word in words {
            if !self.options.add(word) && self.is_news(word) {
                self.log(pam, Level::Warning, format_args!("unknown argument {} is ignored", Escaped(word)));
            }
        }
    }

    /// pam_sm_open_session(3): one more session is open, and has a session keyring.
    pub fn open<'call>(&mut self, pam: &Handle<'call>) -> Result<(), Error<'call>> {
        self.sessions = self.sessions.saturating_add(1);
        self.ensure(pam)
    }

    /// pam_sm_close_session(3): one session fewer is open; the keyring ends with the last.
    pub fn close(&mut self, pam: &Handle<'_>) -> Result<(), Error<'static>> {
        self.sessions = self.sessions.saturating_sub(1);
        if self.sessions == 0 { self.finish(pam) } else { Ok(()) }
    }

    /// pam_sm_setcred(3), `PAM_ESTABLISH_CRED`: other modules may store keys before the session is opened.
    pub fn establish<'call>(&mut self, pam: &Handle<'call>) -> Result<(), Error<'call>> {
        self.ensure(pam)
    }

    /// pam_sm_setcred(3), `PAM_DELETE_CRED`: ends the keyring at once. False if there is nothing to end.
    pub fn delete(&mut self, pam: &Handle<'_>) -> Result<bool, Error<'static>> {
        if self.made.is_none() || !self.options.revoke {
            return Ok(false);
        }
        self.finish(pam).and(Ok(true))
    }

    /// Writes to the log why a call failed, and whose login it was.
    pub fn report(&self, pam: &Handle<'_>, error: Error<'_>) {
        self.log(pam, error.level(), format_args!("{error}"));
    }

    /// Gives the thread a complete session keyring, unless it has one.
    fn ensure<'call>(&mut self, pam: &Handle<'call>) -> Result<(), Error<'call>> {
        let (uid, gid) = self.ids(pam)?;
        let mut force = self.options.force;
        match self.made {
            Some(made) if made.owner != uid => {
                // PAM_USER has changed: nobody is to find himself in somebody else's keyring.
                force = true;
                if let Err(error) = self.finish(pam) {
                    self.report(pam, error);
                }
            }
            Some(Made { linked: true, .. }) => return Ok(()),
            _ => (),
        }

        let identity = Identity::take_on(uid, gid)?;
        let outcome = self.join_and_link(uid, force);
        let given_back = identity.give_back();

        // Only now is anything logged: while the real uid is the user's, the user may kill this process, kill(2).
        let outcome = match outcome {
            Err(error @ Error::Keyctl { operation, errno }) if is_without_keyctl(operation, errno, force) => {
                let level = if errno.0 == libc::ENOSYS { Level::Debug } else { Level::Notice };
                self.log(pam, level, format_args!("{error}; the login goes on without a session keyring of its own"));
                Ok(())
            }
            Err(error) => Err(error),
            Ok(outcome) => {
                self.log(pam, Level::Debug, format_args!("{outcome}"));
                Ok(())
            }
        };
        if let (Err(error), Err(_)) = (outcome, given_back) {
            self.report(pam, error);
        }
        given_back.and(outcome)
    }

    /// Makes a session keyring where there has to be one, and links the user keyring into it.
    fn join_and_link(&mut self, uid: u32, force: bool) -> Result<Outcome, Error<'static>> {
        let mut dead = None;
        if self.made.is_none() {
            if !force {
                match Keyring::of_session() {
                    Ok(own) if own != Keyring::of_user_session()? => return Ok(Outcome::Kept(own)),
                    Ok(_) => (),
                    Err(Error::Keyctl { errno, .. }) if errno.is_dead_key() => dead = Some(errno),
                    Err(error) => return Err(error),
                }
            }
        }
        let keyring = match self.made {
            Some(made) => made.keyring, // only its link is missing
            None => Keyring::join()?,
        };
        self.made = Some(Made { keyring, owner: uid, linked: false });
        keyring.link_user_keyring()?;
        self.made = Some(Made { keyring, owner: uid, linked: true });
        Ok(Outcome::Made { keyring, uid, dead })
    }

    /// Ends the keyring that the handle made, if it made one. The handle forgets it also where the kernel refuses, lest
    /// a session that is opened later runs in it.
    fn finish(&mut self, pam: &Handle<'_>) -> Result<(), Error<'static>> {
        let Some(Made { keyring, .. }) = self.made.take() else { return Ok(()) };
        if !self.options.revoke {
            return Ok(());
        }
        match keyring.revoke() {
            Err(Error::Keyctl { errno, .. }) if errno.is_dead_key() => {
                self.log(pam, Level::Debug, format_args!("session keyring {keyring} was gone already: {errno}"));
            }
            Err(error) => return Err(error),
            Ok(()) => self.log(pam, Level::Debug, format_args!("session keyring {keyring} revoked")),
        }
        Ok(())
    }

    /// Uid and gid of PAM_USER, looked up anew only when the name has changed: libpam's look-up takes more memory and
    /// time with each call on a handle.
    fn ids<'call>(&mut self, pam: &Handle<'call>) -> Result<(u32, u32), Error<'call>> {
        let name = pam.user()?;
        if let Some(account) = self.account.as_ref().filter(|account| account.name() == Some(name)) {
            return Ok((account.uid, account.gid));
        }
        self.account = None;
        let (uid, gid) = pam.ids_of(name).ok_or(Error::UnknownUser(name))?;
        if uid == u32::MAX || gid == u32::MAX {
            return Err(Error::InvalidId { name, uid, gid });
        }
        self.account = Account::new(name, uid, gid);
        Ok((uid, gid))
    }

    /// Whether the log has not named `word` yet. When it has named as many as `named` holds, it names no more.
    fn is_news(&mut self, word: &CStr) -> bool {
        // FNV-1a, never 0.
        let hash = word.to_bytes().iter().fold(0x811c_9dc5_u32, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)) | 1;
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

    /// A line of the log, with the user it is about; a line for debugging only if somebody asked for those.
    fn log(&self, pam: &Handle<'_>, level: Level, line: fmt::Arguments<'_>) {
        if level == Level::Debug && !self.options.debug {
            return;
        }
        match self.account.as_ref().and_then(Account::name) {
            Some(name) => pam.log(level, format_args!("{line} (user {})", Escaped(name))),
            None => pam.log(level, line),
        }
    }
}

/// Whether keyctl(2) is not to be had at all, as in many containers: ENOSYS, or EPERM to the first thing asked. The
/// kernel itself answers neither there.
fn is_without_keyctl(operation: Operation, errno: Errno, force: bool) -> bool {
    match errno.0 {
        libc::ENOSYS => operation != Operation::Link,
        libc::EPERM => operation == if force { Operation::Join } else { Operation::GetSession },
        _ => false,
    }
}

/// What became of the thread's session keyring.
enum Outcome {
    /// It is the process's own and stays.
    Kept(Keyring),
    /// It is new; the one before was dead with that errno.
    Made { keyring: Keyring, uid: u32, dead: Option<Errno> },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Kept(keyring) => write!(f, "the process keeps session keyring {keyring}, which is its own"),
            Outcome::Made { keyring, uid, dead: None } => write!(f, "session keyring {keyring} made for uid {uid}"),
            Outcome::Made { keyring, uid, dead: Some(errno) } => {
                write!(f, "session keyring {keyring} made for uid {uid}; the one before was dead: {errno}")
            }
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

    fn name(&self) -> Option<&CStr> {
        CStr::from_bytes_until_nul(&self.name).ok()
    }
}
