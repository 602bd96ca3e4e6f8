// SPDX-License-Identifier: MIT
//! What cases stand on. Here where a case plays: namespaces, a log, configuration files.

pub mod daemons;
pub mod difference;
mod keyrings;
pub mod memcheck;
pub mod probe;
mod process;
pub mod program;
pub mod refusals;
pub mod scenes;
pub mod sessions;
pub mod store;
pub mod supervisor;
pub mod unwinding;
mod users;

use std::cell::RefCell;
use std::env;
use std::fmt::{Display, Write as _};
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Gid, Uid, User};

pub use self::keyrings::{
    Left, assert_keyring_for, assert_own_keyring, assert_revoked, assert_untouched, fill_up, join_as, live_session,
    session, shared_keyring, shared_name,
};
pub use self::process::{
    SET, become_capable, become_ids, flags, ids, ids_of, in_the_name_of, keep_capabilities_whatever_the_uids,
    set_flags, set_fs_gid, set_fs_uid, with_real_ids,
};
pub use self::users::{ALICE, BOB, CAROL, DAVE, ERIN, FRANK, LAST, ROOT, SEVERAL, Who, many_users, users};
use crate::Needs;
use crate::support::artefact;
use crate::support::child::patience;
pub use crate::support::child::{
    Started, Waiting, in_child, leave_behind, say_where, time_limit, wait_for_room, wait_until,
};
pub use crate::support::namespace::bind;
use crate::support::namespace::{mount_namespace, put_over, user_namespace};
use crate::support::pam::Pam;

use difference::Differences;
use probe::{SHELL, Switchboard};

pub struct Stage {
    /// The case's own, removed at its end.
    pub directory: PathBuf,
    pub module: PathBuf,
    pub differences: Differences,
    log: UnixDatagram,
    /// What has come into the log and was not asked for yet.
    lines: RefCell<Vec<Line>>,
    /// The user who logs in where a case does not care which: alice, or who runs the tests without being root.
    pub user: Who,
}

/// A line of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// As in syslog(3): 2 critical, 3 error, 4 warning, 5 notice, 7 debug.
    pub level: u8,
    pub text: String,
}

pub const CRITICAL: u8 = 2;
pub const ERROR: u8 = 3;
pub const WARNING: u8 = 4;
pub const NOTICE: u8 = 5;
pub const DEBUG: u8 = 7;

impl Stage {
    pub fn new(needs: Needs, module: PathBuf, directory: PathBuf) -> Stage {
        time_limit(120);
        user_namespace();
        mount_namespace();
        fs::create_dir(directory.join("pam.d")).expect("a directory");
        fs::write(directory.join("pam.d/other"), "").expect("a file that libpam misses");
        for directory in [&directory, &directory.join("pam.d")] {
            open_to_all(directory); // whoever the case becomes
        }
        let user = if needs == Needs::Anyone && !Uid::effective().is_root() {
            let entry = User::from_uid(Uid::current()).expect("a passwd entry").expect("a passwd entry");
            Who { name: entry.name.leak(), uid: entry.uid.as_raw(), gid: Gid::current().as_raw() }
        } else {
            ALICE
        };
        let log = device_log(&directory);
        let differences = Differences::new(&directory);
        let stage = Stage { log, module, differences, lines: RefCell::default(), user, directory };
        if Uid::effective().is_root() {
            stage.passwd(&[] as &[&str]);
            stage.put_over("/etc/nsswitch.conf", "passwd: files\ngroup: files\n");
        }
        stage
    }

    /// Puts a passwd file with the stage's users and `more` lines in the place of the system's.
    pub fn passwd(&self, more: &[impl Display]) {
        let mut text = String::new();
        let users = [ROOT, ALICE, BOB, DAVE, ERIN, FRANK, CAROL, LAST];
        for Who { name, uid, gid } in users.into_iter().chain(SEVERAL) {
            writeln!(text, "{name}:x:{uid}:{gid}::/:{}", self.directory.join(SHELL).display()).expect("a string");
        }
        more.iter().for_each(|line| writeln!(text, "{line}").expect("a string"));
        self.put_over("/etc/passwd", &text);
    }

    /// Puts the module in the place of the system's, and lets the login programs of the system think that it is theirs:
    /// the users have a shell that reports to the switchboard, and what is written at a login is written nowhere else.
    pub fn install(&self) -> Switchboard<'_> {
        self.put_in_place(&self.module);
        let shell = self.directory.join(SHELL);
        File::create(&shell).expect("a file");
        bind(&env::current_exe().expect("/proc"), &shell);
        let users = [ROOT, ALICE, BOB].into_iter().chain(SEVERAL);
        let lines: Vec<_> = users.map(|Who { name, .. }| format!("{name}:*:19000:0:99999:7:::\n")).collect();
        self.put_over("/etc/shadow", &lines.concat());
        for place in ["/run", "/var/log"] {
            mount(Some("tmpfs"), place, Some("tmpfs"), MsFlags::empty(), Some("mode=755")).expect("a tmpfs");
        }
        Switchboard::new(self)
    }

    /// Puts a module in the place of the system's.
    pub fn put_in_place(&self, module: &Path) {
        bind(module, &artefact::installed());
    }

    /// Puts a file with `text` over a file of the system, for this case.
    pub fn put_over(&self, path: &str, text: &str) {
        put_over(&self.directory, path, text);
    }

    /// Starts a login of `user` with these lines in its service file. `MODULE` in them stands for the module with the
    /// control that lets its own answer through.
    pub fn login(&self, user: Who, lines: &[&str]) -> Pam {
        self.login_as(Some(user.name.as_bytes()), lines)
    }

    pub fn login_as(&self, user: Option<&[u8]>, lines: &[&str]) -> Pam {
        let module = format!("[success=ok ignore=ok default=die] {}", self.module.display());
        let text: String = lines.iter().map(|line| line.replace("MODULE", &module) + "\n").collect();
        let file = self.directory.join("pam.d/keyinit-test");
        let _ = fs::remove_file(&file); // somebody else's, if the case has become another user
        fs::write(file, text).expect("a service file");
        Pam::start(&self.directory.join("pam.d"), "keyinit-test", user)
    }

    /// A login of the stage's user with one session line with these `arguments`.
    pub fn session(&self, arguments: &str) -> Pam {
        self.login(self.user, &[&format!("session MODULE {arguments}")])
    }

    /// What the module wrote to the log since this was called last.
    pub fn log(&self) -> Vec<Line> {
        self.read_log();
        self.lines.take()
    }

    /// Waits until `event` can be read. The log is read meanwhile: who writes to a full one waits.
    #[track_caller]
    pub fn wait_for(&self, what: &str, event: impl AsFd) {
        let end = Instant::now() + patience();
        let is_ready = |fd: &PollFd| fd.any().unwrap_or_default();
        loop {
            let mut both = [event.as_fd(), self.log.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            let left = end.saturating_duration_since(Instant::now());
            let count = poll(&mut both, PollTimeout::try_from(left).expect("seconds")).expect("poll");
            assert_ne!(count, 0, "{what} did not come");
            self.read_log();
            if is_ready(&both[0]) {
                return;
            }
        }
    }

    fn read_log(&self) {
        let mut buffer = [0_u8; 65536];
        while let Ok(length) = self.log.recv(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]);
            if let Some(line) = Line::parse(&text) {
                self.lines.borrow_mut().push(line);
            }
        }
    }

    /// Marks what `body` asserts as a difference from the C module, by the name of its entry in docs/differences.md: there
    /// it has to fail. What comes after it has to hold there again.
    #[track_caller]
    pub fn differs(&self, entry: &str, body: impl FnOnce()) {
        self.differences.part(entry, &self.module, body);
    }

    /// The same where only some runs of `body` are a difference.
    #[track_caller]
    pub fn may_differ(&self, entry: Option<&str>, body: impl FnOnce()) {
        match entry {
            Some(entry) => self.differs(entry, body),
            None => body(),
        }
    }

    /// Asserts that the module wrote one line to the log since the last look, of this `level` and with these `parts`. The
    /// words are a difference from the C module.
    #[track_caller]
    pub fn assert_logged(&self, level: u8, parts: &[&str]) {
        let lines = self.log();
        let entry = match level {
            DEBUG => "debug-lines",
            WARNING => "unknown-argument",
            _ => "says-why",
        };
        self.differs(entry, || {
            let [line] = &lines[..] else { panic!("one line expected, with {parts:?}: {lines:#?}") };
            assert_eq!(line.level, level, "{line:?}");
            for part in parts {
                assert!(line.text.contains(part), "no {part:?} in {:?}", line.text);
            }
        });
    }

    /// Asserts that the log tells of users who stay in root's keyring, and of nothing else.
    #[track_caller]
    pub fn assert_told_of_roots_keyring(&self) {
        let lines = self.log();
        self.differs("roots-keyring", || {
            assert!(!lines.is_empty(), "nothing is told");
            for line in &lines {
                assert!(line.level == NOTICE && line.text.contains("stays in root's session keyring"), "{line:?}");
            }
        });
    }

    #[track_caller]
    pub fn assert_silent(&self) {
        assert_eq!(self.log(), [], "nothing to say");
    }
}

impl Line {
    /// The message of a datagram `<priority>date program: message`, if it is the module's: libpam prefixes it with the
    /// module's name, or outside a dispatch with its own.
    fn parse(datagram: &str) -> Option<Line> {
        let (priority, rest) = datagram.strip_prefix('<')?.split_once('>')?;
        let priority: u8 = priority.parse().ok()?;
        let start = rest.find("pam_keyinit(").or_else(|| rest.find("PAM "))?;
        assert_eq!(priority >> 3, 10, "facility authpriv: {datagram:?}");
        Some(Line { level: priority & 7, text: rest[start..].trim_end_matches('\0').to_owned() })
    }
}

pub fn open_to_all(file: &Path) {
    fs::set_permissions(file, PermissionsExt::from_mode(0o777)).expect("our own file");
}

/// Mounts a /dev with a log socket of our own and the devices that programs need.
fn device_log(directory: &Path) -> UnixDatagram {
    let dev = directory.join("dev");
    fs::create_dir(&dev).expect("a directory");
    mount(Some("tmpfs"), &dev, Some("tmpfs"), MsFlags::empty(), Some("mode=755")).expect("a tmpfs");
    for device in ["null", "zero", "full", "random", "urandom", "tty"] {
        let there = Path::new("/dev").join(device);
        if there.exists() {
            File::create(dev.join(device)).expect("a file");
            bind(&there, &dev.join(device));
        }
    }
    for directory in ["pts", "shm"] {
        fs::create_dir(dev.join(directory)).expect("a directory");
    }
    let terminals = Some("newinstance,ptmxmode=666,mode=620");
    mount(Some("devpts"), &dev.join("pts"), Some("devpts"), MsFlags::empty(), terminals).expect("terminals of our own");
    symlink("pts/ptmx", dev.join("ptmx")).expect("a link");
    symlink("/proc/self/fd", dev.join("fd")).expect("a link");
    let log = UnixDatagram::bind(dev.join("log")).expect("a socket");
    open_to_all(&dev.join("log"));
    log.set_nonblocking(true).expect("a socket");
    mount(Some(&dev), "/dev", None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>).expect("/dev is ours");
    log
}
