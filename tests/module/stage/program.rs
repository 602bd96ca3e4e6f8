// SPDX-License-Identifier: MIT
//! Login programs and their sessions.

use std::process::{Child, Command, Stdio};

use nix::pty::OpenptyResult;

use super::daemons::{self, Daemon};
use super::{SEVERAL, Who};
use crate::Stage;

/// A program that opens sessions.
pub struct Program {
    pub name: &'static str,
    /// Its service file in /etc/pam.d, and what that includes of the module.
    pub services: &'static [&'static str],
    /// The arguments that Debian gives the module there, if it names it.
    pub shipped: Option<&'static str>,
    /// Who logs in: nobody else's sessions count for that quota.
    pub user: Who,
    /// Begins two sessions of the user's.
    pub start: fn(&Stage, Who) -> Running,
}

/// A program with its sessions.
#[derive(Default)]
pub struct Running {
    pub commands: Vec<Child>,
    daemon: Option<Daemon>,
    /// Both sides stay open until the logins are over.
    pub terminals: Vec<OpenptyResult>,
}

impl Running {
    pub fn daemon(daemon: Daemon) -> Running {
        Running { daemon: Some(daemon), ..Running::default() }
    }

    /// The parent of the processes that open and close the sessions.
    pub fn parent(&self) -> i32 {
        self.daemon.as_ref().map_or_else(|| std::process::id() as i32, Daemon::pid)
    }

    /// Asserts that all went well, at the end.
    #[track_caller]
    pub fn finish(mut self) {
        for command in &mut self.commands {
            let status = command.wait().expect("a child");
            assert!(status.success(), "{status}");
        }
        drop(self.terminals);
    }
}

/// Starts a command of root's twice.
pub fn twice(command: &[&str]) -> Running {
    let [name, arguments @ ..] = command else { panic!("a command") };
    let start = |()| Command::new(name).args(arguments).stdin(Stdio::null()).spawn().expect("a program");
    Running { commands: [(); 2].map(start).into(), ..Running::default() }
}

pub const SSHD: Program = Program {
    name: "sshd",
    services: &["sshd"],
    shipped: Some("force revoke"),
    user: SEVERAL[0],
    start: |stage, user| {
        let mut running = Running::daemon(daemons::sshd(stage, "publickey"));
        running.commands.extend([(); 2].map(|()| daemons::ssh(stage, user).spawn().expect("ssh")));
        running
    },
};

pub const SU_LOGIN: Program = Program {
    name: "su -l",
    services: &["su-l"],
    shipped: Some("force revoke"),
    user: SEVERAL[1],
    start: |_, user| twice(&["su", "-l", user.name]),
};
