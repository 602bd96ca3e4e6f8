// SPDX-License-Identifier: MIT
//! Shows what the module does: two logins of one user at a time, each in a session keyring of its own.
//!
//! The logins go through libpam with a configuration directory of their own, so nothing on the system is touched. Root
//! logs in as nobody, everyone else as himself. All that the text says is checked as it is said; where it is not so, the
//! exit status is 1. PAM_KEYINIT_SO names another module than the one that was built beside this program. As with every login the system's log,
//! if there is one, gets what the module writes to it.

mod process;
mod session;
mod support;
mod tree;

use std::env;
use std::ffi::CStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{self, Path, PathBuf};
use std::process::ExitCode;

use nix::errno::Errno;
use nix::syslog::{Facility, LogFlags, openlog};
use nix::unistd::{Gid, Uid, User, dup2_stderr, mkdtemp};

use process::{Line, Outcome, Process, Stop, check, failed, print};
use support::keys;
use support::pam::{self, Pam};

/// Said where the only news is that it is the other's turn.
const GO_ON: i32 = 0;

fn main() -> ExitCode {
    process::run(|| {
        let demo = Demo::prepare()?;
        let keyrings = demo.two_logins();
        let log = demo.show_log()?; // above all where something failed
        check_log(&log, keyrings?)?;
        print("\nAll of this was checked, and is so.");
        Ok(())
    })
}

struct Demo {
    directory: Directory,
    /// Who logs in.
    user: User,
    /// The session keyring from before the logins, where it can be looked at.
    before: Option<i32>,
    /// A name that no other key has.
    key: String,
}

impl Demo {
    fn prepare() -> Outcome<Demo> {
        let before = session_keyring()?;
        let user = user()?;
        let directory = Directory::new().map_err(failed("a temporary directory"))?;
        configure(&directory.0, &module().map_err(failed("/proc/self/exe"))?)
            .map_err(failed("a PAM configuration in the temporary directory"))?;
        Ok(Demo { directory, user, before, key: format!("demo-key-{}", std::process::id()) })
    }

    /// Returns the keyrings of the two sessions.
    fn two_logins(&self) -> Outcome<[i32; 2]> {
        heading("1. Before the login", "The session keyring of this shell, which all that it starts shares.");
        tree::show_session();

        let mut one = Process::start("login one", |demo| self.login_one(demo))?;
        let (keyring, key) = (one.hear()?, one.hear()?);
        let mut two = Process::start("login two", |demo| self.login_two(keyring, key, demo))?;
        let keyrings = [keyring, two.hear()?];
        one.say(GO_ON)?;
        one.finish()?;
        two.say(GO_ON)?;
        two.finish()?;
        Ok(keyrings)
    }

    /// What login(1) or sshd(8) do for session one. Tells the demonstration its keyring and the key in it, and closes the
    /// session when it hears that it is time.
    fn login_one(&self, mut demo: Line) -> Outcome {
        let mut pam = self.open_session(c"demo-login-1")?;
        let mut user = Process::start("session one", |login| session::one(self, login))?;
        let mut plain = Process::start("the plain process", |login| session::plain(self, login))?;
        let (keyring, key) = (user.hear()?, user.hear()?);
        check(plain.echo(keyring)? == keyring, "`cat` does not copy its input")?;
        demo.say(keyring)?;
        demo.say(key)?;

        demo.hear()?;
        check(pam.close() == pam::SUCCESS, "pam_close_session failed for session one")?;
        user.say(GO_ON)?;
        user.finish()?;
        check(plain.echo(key)? == key, "after the logout `cat` does not copy its input any more")?;
        print(format_args!(
            "A plain process, `cat`, started in session one as well:\n  it never noticed, and still copies its input"
        ));
        plain.finish()
    }

    /// The same for session two, which is told of the other's `keyring` and `key`.
    fn login_two(&self, keyring: i32, key: i32, mut demo: Line) -> Outcome {
        let mut pam = self.open_session(c"demo-login-2")?;
        let mut user = Process::start("session two", |login| session::two(self, keyring, key, login))?;
        demo.say(user.hear()?)?;

        demo.hear()?;
        user.say(GO_ON)?;
        user.finish()?;
        check(pam.close() == pam::SUCCESS, "pam_close_session failed for session two")
    }

    /// Opens a session. What this process logs goes to a file of ours as well, by way of standard error.
    fn open_session(&self, name: &'static CStr) -> Outcome<Pam> {
        let log = File::options().append(true).open(self.log()).map_err(failed("the log"))?;
        dup2_stderr(&log).map_err(failed("dup2"))?;
        openlog(Some(name), LogFlags::LOG_PERROR, Facility::LOG_AUTH).map_err(failed("openlog"))?;
        let mut pam = Pam::start(&self.directory.0.join("pam.d"), "demo", Some(self.user.name.as_bytes()));
        let code = pam.open();
        check(code == pam::SUCCESS, format_args!("pam_open_session answers {code}; the log says why"))?;
        Ok(pam)
    }

    fn log(&self) -> PathBuf {
        self.directory.0.join("log")
    }

    fn show_log(&self) -> Outcome<String> {
        let log = fs::read_to_string(self.log()).map_err(failed("the log"))?;
        heading("5. The log", "What the module wrote, as it was asked to by `debug`.");
        print(if log.is_empty() { "(nothing)" } else { log.trim_end() });
        Ok(log)
    }
}

/// A temporary directory, which is removed at the end of the process that has made it.
struct Directory(PathBuf);

impl Directory {
    fn new() -> nix::Result<Directory> {
        mkdtemp(&env::temp_dir().join("pam_keyinit-demo-XXXXXX")).map(Directory)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // nothing of what was shown depends on it
    }
}

/// Prints the head of a part of the demonstration, and in a sentence what to look at.
fn heading(title: &str, what_to_see: &str) {
    print(format_args!("\n== {title}\n{what_to_see}"));
}

/// The session keyring of this process, if it may look at it.
fn session_keyring() -> Outcome<Option<i32>> {
    let keyring = keys::id(keys::SESSION);
    match keyring.as_ref().map_err(io::Error::raw_os_error) {
        // The kernel itself never says EPERM here.
        Err(Some(errno @ (libc::ENOSYS | libc::EPERM))) => Err(Stop::Failure(format!(
            "the system call keyctl cannot be had here ({}). In a container, let its seccomp profile allow keyctl, add_key \
             and request_key; elsewhere, boot a kernel with CONFIG_KEYS.",
            Errno::from_raw(errno)
        ))),
        _ => Ok(keyring.ok()),
    }
}

/// The user who logs in: whoever runs this, or nobody if that is root.
fn user() -> Outcome<User> {
    let (uid, gid) = (Uid::effective(), Gid::current());
    if uid.is_root() {
        let nobody = User::from_name("nobody").map_err(failed("the passwd entry of nobody"))?;
        return nobody.ok_or_else(|| Stop::Failure("there is no user `nobody` to log in".into()));
    }
    let user = User::from_uid(uid).map_err(failed("your passwd entry"))?;
    let user = user.ok_or_else(|| Stop::Failure(format!("uid {uid} has no passwd entry, so it cannot log in")))?;
    let hint = "only root may take on another: run this in a shell that newgrp(1) or the like did not start";
    check(user.gid == gid, format_args!("this shell has gid {gid}, and your passwd entry {}; {hint}", user.gid))?;
    Ok(user)
}

/// The module to show: the one that was built beside this program, unless another is named.
fn module() -> io::Result<PathBuf> {
    match env::var_os("PAM_KEYINIT_SO") {
        Some(module) => Ok(module.into()),
        None => Ok(env::current_exe()?.with_file_name("libpam_keyinit.so")),
    }
}

/// Writes what libpam reads instead of /etc/pam.d, and an empty log.
fn configure(directory: &Path, module: &Path) -> io::Result<()> {
    let line = if module.components().count() == 1 {
        format!("session required {} force revoke debug\n", module.display()) // libpam knows where those are
    } else {
        // libpam names a module in the log by its file.
        let installed = directory.join("pam_keyinit.so");
        symlink(path::absolute(module)?, &installed)?;
        format!("session required {} force revoke debug\n", installed.display())
    };
    fs::create_dir(directory.join("pam.d"))?;
    fs::write(directory.join("pam.d/demo"), line)?;
    fs::write(directory.join("pam.d/other"), "")?;
    fs::write(directory.join("log"), "")
}

/// Checks that the module has logged the beginning and the end of both keyrings.
fn check_log(log: &str, keyrings: [i32; 2]) -> Outcome {
    for keyring in keyrings.map(|keyring| keyring.to_string()) {
        let is_of_it = |line: &&str| line.contains("pam_keyinit(demo:session)") && line.contains(&keyring);
        let made_and_revoked = log.lines().filter(is_of_it).count() >= 2;
        check(made_and_revoked, format_args!("the log does not say that keyring {keyring} was made and revoked"))?;
    }
    Ok(())
}
