// SPDX-License-Identifier: MIT
//! The calls of the module in which something is made to fail, and what stands before them.

use super::{
    Who, assert_own_keyring, become_capable, join_as, live_session, set_fs_gid, set_fs_uid, shared_keyring,
    with_real_ids,
};
use crate::Stage;
use crate::support::keys;
use crate::support::pam::{CRED_ERR, DELETE, ESTABLISH, Pam, SESSION_ERR, SUCCESS};

/// A call of the module, and what stands before it.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    pub function: Function,
    /// What the lines ask for.
    pub arguments: &'static str,
    /// Not root, but may set ids; has filesystem ids of its own; makes all system calls for ids that there are.
    pub capable: bool,
    /// The session keyring that the caller is in.
    pub keyring: Keyring,
    /// Somebody has unlinked the user keyring from the session keyring.
    pub unlinked: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keyring {
    /// The user-session keyring.
    None,
    Roots,
    /// The user's, which leads to the user keyring.
    Users,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Function {
    Open,
    Establish,
    Close,
    Delete,
}
use Function::*;

/// All scenes of a function.
pub fn scenes(function: Function) -> Vec<Scene> {
    let (arguments, keyring, unlinked): (&[&str], &[Keyring], &[bool]) = match function {
        Open | Establish => (
            &["revoke", "own revoke", "force revoke", "user-session revoke"],
            &[Keyring::None, Keyring::Roots, Keyring::Users],
            &[false],
        ),
        Close | Delete => (&["force revoke", "force clear"], &[Keyring::None], &[false, true]),
    };
    let mut all = Vec::new();
    for &arguments in arguments {
        for capable in [false, true] {
            for &keyring in keyring {
                for &unlinked in unlinked {
                    all.push(Scene { function, arguments, capable, keyring, unlinked });
                }
            }
        }
    }
    all
}

impl Scene {
    pub fn asks_for(&self, word: &str) -> bool {
        self.arguments.split(' ').any(|one| one == word)
    }

    /// A login of nobody's yet, with these lines.
    pub fn login(&self, stage: &Stage) -> Pam {
        let arguments = self.arguments;
        let lines = ["auth", "session"].map(|kind| format!("{kind} MODULE {arguments} debug"));
        stage.login_as(None, &[&lines[0], &lines[1]])
    }

    /// Brings the process to where the call is to come.
    pub fn prepare(&self, stage: &Stage, who: Who, pam: &mut Pam) {
        pam.set_user(who.name);
        match self.keyring {
            // Where a process has no session keyring, a look gives it the one of its real uid.
            Keyring::None => _ = with_real_ids(who, live_session),
            Keyring::Roots => _ = keys::join(None).expect("a keyring"),
            Keyring::Users => _ = join_as(who),
        }
        if self.asks_for("user-session") {
            // Of a login before: this is to be the first.
            if let Ok(earlier) = shared_keyring(who) {
                with_real_ids(who, || keys::unlink(earlier, keys::USER_SESSION)).expect("unlinked");
            }
        }
        if self.capable {
            become_capable([4145, 4146, 4146], [5145, 5146, 5146]);
            set_fs_uid(who.uid);
            set_fs_gid(who.gid);
        }
        if matches!(self.function, Close | Delete) {
            assert_eq!(pam.open(), SUCCESS);
            let keyring = assert_own_keyring(who);
            keys::add("of-the-session", "secret", keyring).expect("a key");
            if self.unlinked {
                keys::unlink(keys::links(keyring).expect("readable")[0], keyring).expect("unlinked");
            }
        }
        stage.log();
    }

    pub fn call(&self, pam: &mut Pam) -> i32 {
        match self.function {
            Open => pam.open(),
            Establish => pam.setcred(ESTABLISH),
            Close => pam.close(),
            Delete => pam.setcred(DELETE),
        }
    }

    /// The code of a system error.
    pub fn error(&self) -> i32 {
        if matches!(self.function, Open | Close) { SESSION_ERR } else { CRED_ERR }
    }

    /// Whether a session is opened in a new keyring, if all goes well.
    pub fn makes(&self) -> bool {
        !self.asks_for("user-session")
            && match self.keyring {
                Keyring::None => true,
                Keyring::Roots => self.asks_for("own") || self.asks_for("force"),
                Keyring::Users => self.asks_for("force"),
            }
    }
}
