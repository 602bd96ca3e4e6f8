// SPDX-License-Identifier: MIT
//! Where a case plays: namespaces, users, a log, configuration files, and what can be seen of the process.

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
use nix::unistd::{Gid, Uid, User, alarm};

use crate::Needs;
use crate::difference::Differences;
use crate::probe::{SHELL, Switchboard};
use crate::support::artefact;
use crate::support::child::PATIENCE;
pub use crate::support::child::{Started, Waiting, in_child, leave_behind, say_where, wait_for_room, wait_until};
use crate::support::ids::{SYS_setfsgid, SYS_setfsuid, SYS_setresgid, SYS_setresuid};
pub use crate::support::ids::{become_ids, ids, ids_of, set_ids};
use crate::support::keys;
pub use crate::support::namespace::bind;
use crate::support::namespace::{mount_namespace, put_over, user_namespace};
use crate::support::pam::Pam;

/// Users of the stage's passwd file, who are on no machine: name, uid, gid.
pub const ROOT: Who = Who { name: "root", uid: 0, gid: 0 };
pub const ALICE: Who = Who { name: "alice", uid: 4001, gid: 5001 };
pub const BOB: Who = Who { name: "bob", uid: 4002, gid: 5002 };
/// Whose quotas are used up: they are counted across user namespaces.
pub const DAVE: Who = Who { name: "dave", uid: 4003, gid: 5003 };
pub const ERIN: Who = Who { name: "erin", uid: 4004, gid: 5004 };
pub const FRANK: Who = Who { name: "frank", uid: 4005, gid: 5005 };
/// Ids over 16 bits.
pub const CAROL: Who = Who { name: "carol", uid: 70_000, gid: 70_001 };
/// The last ids that there are: 4294967295 stands for none.
pub const LAST: Who = Who { name: "last", uid: u32::MAX - 1, gid: u32::MAX - 1 };
/// Who log in by programs, many times: with a quota each.
pub const SEVERAL: [Who; 15] = [
    Who { name: "ivan", uid: 4301, gid: 5301 },
    Who { name: "judy", uid: 4302, gid: 5302 },
    Who { name: "kim", uid: 4303, gid: 5303 },
    Who { name: "leo", uid: 4304, gid: 5304 },
    Who { name: "mallory", uid: 4305, gid: 5305 },
    Who { name: "niaj", uid: 4306, gid: 5306 },
    Who { name: "olivia", uid: 4307, gid: 5307 },
    Who { name: "peggy", uid: 4308, gid: 5308 },
    Who { name: "rupert", uid: 4309, gid: 5309 },
    Who { name: "sybil", uid: 4310, gid: 5310 },
    Who { name: "trent", uid: 4311, gid: 5311 },
    Who { name: "victor", uid: 4312, gid: 5312 },
    Who { name: "walter", uid: 4500, gid: 5500 },
    Who { name: "xenia", uid: 4501, gid: 5501 },
    Who { name: "yusuf", uid: 4502, gid: 5502 },
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Who {
    pub name: &'static str,
    pub uid: u32,
    pub gid: u32,
}

impl Who {
    /// The user's line in a passwd file, with a shell that no test starts.
    pub fn passwd_line(self) -> String {
        let Who { name, uid, gid } = self;
        format!("{name}:x:{uid}:{gid}::/:/bin/sh")
    }
}

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
        // A case that hangs ends with SIGALRM.
        alarm::set(120);
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
        let end = Instant::now() + PATIENCE;
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

pub fn set_fs_uid(uid: u32) {
    // SAFETY: takes a number only.
    unsafe { libc::syscall(SYS_setfsuid, uid) };
}

pub fn set_fs_gid(gid: u32) {
    // SAFETY: takes a number only.
    unsafe { libc::syscall(SYS_setfsgid, gid) };
}

/// Does something under the real ids of `who`.
pub fn with_real_ids<T>(who: Who, body: impl FnOnce() -> T) -> T {
    let before = ids();
    set_ids(SYS_setresgid, [who.gid.into(), -1, -1]);
    set_ids(SYS_setresuid, [who.uid.into(), -1, -1]);
    let result = body();
    set_ids(SYS_setresuid, [before[0].into(), -1, -1]);
    set_ids(SYS_setresgid, [before[4].into(), -1, -1]);
    result
}

/// The owner of a new key is the filesystem uid, who may also change its permissions; the user keyring is found by the real
/// one.
pub fn in_the_name_of<T>(who: Who, body: impl FnOnce() -> T) -> T {
    with_real_ids(who, || {
        let before = ids()[3];
        set_fs_uid(who.uid);
        let result = body();
        set_fs_uid(before);
        result
    })
}

/// The thread's session keyring, or the errno that it has become.
pub fn session() -> Result<i32, i32> {
    keys::id(keys::SESSION).map_err(|error| error.raw_os_error().expect("an errno"))
}

/// The thread's session keyring, which is usable.
#[track_caller]
pub fn live_session() -> i32 {
    session().expect("a session keyring that is alive")
}

/// Asserts that the thread is in a session keyring that the module made for `who`, and returns it: anonymous, with the
/// user's ids and the kernel's permissions, and with the user's keyring linked as the only thing in it.
#[track_caller]
pub fn assert_own_keyring(who: Who) -> i32 {
    let keyring = live_session();
    let description = keys::describe(keyring).expect("the session keyring can be viewed");
    assert_eq!((&*description.kind, &*description.name), ("keyring", "_ses"), "{description:?}");
    assert_eq!((description.uid, description.gid), (who.uid, who.gid), "{description:?}");
    assert_eq!(description.permissions, 0x3f03_0000, "{description:?}");
    let names = keys::link_names(keyring).expect("the session keyring can be read");
    assert_eq!(names, [format!("_uid.{}", who.uid)]);
    keyring
}

/// Asserts that `keyring` is revoked.
#[track_caller]
pub fn assert_revoked(keyring: i32) {
    let errno = keys::describe(keyring).expect_err("it is revoked").raw_os_error();
    assert!(matches!(errno, Some(libc::EKEYREVOKED | libc::ENOKEY)), "{errno:?}");
}
