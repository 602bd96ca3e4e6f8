// SPDX-License-Identifier: MIT
//! Daemons of a case's own, in its namespaces.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::Group;

use super::probe::SHELL;
use super::{Who, open_to_all};
use crate::Stage;

/// A daemon. It ends when this is dropped, and with the process that has started it in any case.
pub struct Daemon {
    child: Child,
    messages: BufReader<ChildStderr>,
}

impl Daemon {
    /// Starts a daemon, which stays in the foreground and writes its messages to stderr.
    pub fn start(command: &mut Command) -> Daemon {
        let ends_with_us = || set_pdeathsig(Signal::SIGKILL).map_err(Into::into);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // SAFETY: one system call, which takes a number.
        let mut child = unsafe { command.pre_exec(ends_with_us) }.spawn().expect("a daemon");
        let messages = BufReader::new(child.stderr.take().expect("a pipe"));
        Daemon { child, messages }
    }

    /// Waits for the message that says that it is ready.
    #[track_caller]
    pub fn wait_for(mut self, message: &str) -> Daemon {
        let mut said = String::new();
        while !said.contains(message) {
            assert_ne!(self.messages.read_line(&mut said).expect("a pipe"), 0, "the daemon has ended: {said}");
        }
        self
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            for line in (&mut self.messages).lines().map_while(Result::ok) {
                eprintln!("{line}");
            }
        }
    }
}

/// Enters a network namespace, where every port of the loopback interface is free.
pub fn own_network() {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
    let status = Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("ip");
    assert!(status.success(), "{status}");
}

/// sshd, for whoever has the key that `ssh` uses, or for passwords, `ssh_with_password`.
pub fn sshd(stage: &Stage, method: &str) -> Daemon {
    let directory = stage.directory.join("ssh");
    if !directory.exists() {
        fs::create_dir(&directory).expect("a directory");
        for name in ["host", "client"] {
            let mut generate = Command::new("ssh-keygen");
            generate.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(directory.join(name));
            assert!(generate.status().expect("ssh-keygen").success());
        }
    }
    let config = format!(
        "ListenAddress 127.0.0.1\nHostKey {0}/host\nAuthorizedKeysFile {0}/client.pub\nStrictModes no\nUsePAM yes\n\
         AuthenticationMethods {method}\nPidFile none\n",
        directory.display()
    );
    fs::write(directory.join("config"), config).expect("a file");
    stage.passwd(&["sshd:x:4300:65534::/run/sshd:/usr/sbin/nologin"]);
    fs::create_dir_all("/run/sshd").expect("a directory");
    // By its path: it starts itself again for each connection.
    let mut sshd = Command::new("/usr/sbin/sshd");
    sshd.args(["-D", "-e", "-f"]).arg(directory.join("config"));
    Daemon::start(&mut sshd).wait_for("Server listening")
}

/// A login by ssh.
pub fn ssh(stage: &Stage, user: Who) -> Command {
    let mut ssh = ssh_without_key(user);
    ssh.args(["-o", "BatchMode=yes", "-i"]).arg(stage.directory.join("ssh/client"));
    ssh
}

/// The same with a password.
pub fn ssh_with_password(stage: &Stage, user: Who, password: &str) -> Command {
    let program = stage.directory.join("askpass");
    fs::write(&program, format!("#!/bin/sh\necho {password}\n")).expect("a file");
    open_to_all(&program);
    let mut ssh = ssh_without_key(user);
    ssh.env("SSH_ASKPASS", program).env("SSH_ASKPASS_REQUIRE", "force");
    ssh
}

fn ssh_without_key(user: Who) -> Command {
    let mut ssh = Command::new("ssh");
    ssh.args(["-q", "-F", "none", "-l", user.name, "127.0.0.1", "-o", "StrictHostKeyChecking=no"]);
    ssh.args(["-o", "UserKnownHostsFile=/dev/null", "-o", "GlobalKnownHostsFile=/dev/null"]).stdin(Stdio::null());
    ssh
}

/// cron, which starts two jobs of a user's at once.
pub fn cron(stage: &Stage, user: Who) -> Daemon {
    let job = format!("@reboot {}\n", stage.directory.join(SHELL).display());
    // Nobody else's jobs: neither users' nor packages'.
    let crontabs = empty_spool().join("crontabs");
    fs::create_dir(&crontabs).expect("a directory");
    give(&crontabs, 0, "crontab", 0o1730);
    let crontab = crontabs.join(user.name);
    fs::write(&crontab, [&*job, &*job].concat()).expect("a file");
    give(&crontab, user.uid, "crontab", 0o600);
    hide(Path::new("/etc/cron.d"));
    stage.put_over("/etc/crontab", "");
    Daemon::start(Command::new("cron").arg("-f"))
}

/// atd, which starts two jobs of a user's at once.
pub fn atd(stage: &Stage, user: Who) -> Daemon {
    let spool = empty_spool();
    stage.passwd(&["daemon:x:1:1::/:/usr/sbin/nologin"]);
    for directory in ["atjobs", "atspool"].map(|name| spool.join(name)) {
        fs::create_dir(&directory).expect("a directory");
        give(&directory, 1, "daemon", 0o1770);
    }
    let sequence = spool.join("atjobs/.SEQ");
    fs::write(&sequence, "0").expect("a file");
    give(&sequence, 1, "daemon", 0o600);
    let job = stage.directory.join("job");
    fs::write(&job, format!("exec {}\n", stage.directory.join(SHELL).display())).expect("a file");
    open_to_all(&job);
    for _ in 0..2 {
        let mut at = Command::new("at");
        at.arg("-f").arg(&job).arg("now").uid(user.uid).gid(user.gid).current_dir("/");
        let output = at.output().expect("at");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    Daemon::start(Command::new("atd").arg("-f"))
}

/// The spool directory of cron and at, with nothing in it.
fn empty_spool() -> PathBuf {
    let spool = PathBuf::from("/var/spool/cron");
    hide(&spool);
    spool
}

fn hide(directory: &Path) {
    mount(Some("tmpfs"), directory, Some("tmpfs"), MsFlags::empty(), Some("mode=755")).expect("a tmpfs");
}

fn give(file: &Path, uid: u32, group: &str, mode: u32) {
    let group = Group::from_name(group).expect("the group file").expect("a group of Debian's");
    chown(file, Some(uid), Some(group.gid.as_raw())).expect("our own file");
    fs::set_permissions(file, Permissions::from_mode(mode)).expect("our own file");
}
