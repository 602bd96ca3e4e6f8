// SPDX-License-Identifier: MIT
//! What a login costs: where it is measured, the system calls of the module and its instructions.

use std::env;
use std::ffi::c_long;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::ids;
use super::namespace::{mount_namespace, put_over, user_namespace};
use super::pam::{Pam, SUCCESS};
use super::trace;

/// The users who log in. Each has a quota of keys.
pub const UIDS: Range<u32> = 4700..4800;

/// Where logins are measured: namespaces of this process and its children, with users of their own and no log.
pub struct Place {
    directory: TempDir,
}

/// A service, by its file.
#[derive(Clone)]
pub struct Service(PathBuf);

impl Place {
    /// Enters it, as root in a process with one thread.
    pub fn enter() -> Place {
        let directory = tempfile::tempdir().expect("a directory");
        user_namespace();
        mount_namespace();
        let users: String = UIDS.map(|uid| format!("{}:x:{uid}:{uid}::/:\n", name(uid))).collect();
        put_over(directory.path(), "/etc/passwd", &format!("root:x:0:0::/:\n{users}"));
        put_over(directory.path(), "/etc/nsswitch.conf", "passwd: files\ngroup: files\n");
        if Path::new("/dev/log").exists() {
            put_over(directory.path(), "/dev/log", "");
        }
        fs::write(directory.path().join("other"), "").expect("a file that libpam misses");
        Place { directory }
    }

    /// A copy of a module, so that names of files, which take time, are equally long.
    pub fn copy(&self, module: &Path, name: &str) -> PathBuf {
        let copy = self.directory.path().join(name);
        fs::copy(module, &copy).expect("the module");
        copy
    }

    /// A service with this line of the session stack, so many times.
    pub fn service(&self, name: &str, line: &str, times: usize) -> Service {
        let file = self.directory.path().join(name);
        fs::write(&file, format!("session required {line}\n").repeat(times)).expect("a service file");
        Service(file)
    }

    /// The service with this line for this module, in which each login gets a keyring that ends with it.
    pub fn own_keyring(&self, module: &Path) -> Service {
        let name = module.file_stem().expect("a file").to_string_lossy();
        self.service(&name, &format!("{} force revoke", module.display()), 1)
    }
}

/// The name of one of the users.
pub fn name(uid: u32) -> String {
    if uid == 0 { "root".to_owned() } else { format!("user{uid}") }
}

impl Service {
    /// A handle for this user.
    pub fn start(&self, uid: u32) -> Pam {
        let [directory, service] =
            [self.0.parent(), self.0.file_name().map(Path::new)].map(|path| path.expect("a file"));
        Pam::start(directory, &service.to_string_lossy(), Some(name(uid).as_bytes()))
    }

    /// Opens a session and closes it.
    pub fn log_in(&self, uid: u32) {
        session(&mut self.start(uid));
    }

    /// How many system calls the module makes for an open and a close: those for ids and keys, which libpam makes none of,
    /// and those by syscall(3), which are all of ours.
    pub fn system_calls(&self, uid: u32) -> usize {
        let body = || {
            let mut pam = self.start(uid);
            trace::begin();
            session(&mut pam);
        };
        trace::calls(body, |call, by_syscall| by_syscall || IDS_AND_KEYS.contains(&call.number)).len()
    }

    /// How many instructions a login of the first user takes, and how many of them are in the code of `module` itself.
    /// Valgrind starts this program again, which has to ask [`is_counted`] first.
    pub fn instructions(&self, module: &Path) -> Instructions {
        let profile = self.0.with_extension("callgrind");
        let output = Command::new("valgrind")
            .args(["--quiet", "--tool=callgrind"])
            .arg(format!("--callgrind-out-file={}", profile.display()))
            .arg(env::current_exe().expect("/proc"))
            .env(COUNTED, &self.0)
            .output()
            .expect("valgrind");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Instructions::read(&fs::read_to_string(profile).expect("callgrind's profile"), module)
    }
}

/// Instructions of user space. An iteration of one with `rep` counts as one.
#[derive(Debug)]
pub struct Instructions {
    /// Of the process that logs in, from its start to its end.
    pub process: u64,
    /// Of the code of the module itself, without what it calls in other libraries.
    pub module: u64,
}

/// Opens a session and closes it.
pub fn session(pam: &mut Pam) {
    assert_eq!([pam.open(), pam.close()], [SUCCESS; 2]);
}

/// Set for a process that valgrind runs: the service by which to log in.
const COUNTED: &str = "PAM_KEYINIT_COUNTED";

/// Whether this process is one whose instructions are counted. Then it has logged in, and has no more to do.
pub fn is_counted() -> bool {
    let service = env::var_os(COUNTED).map(|file| Service(file.into()));
    service.inspect(|service| service.log_in(UIDS.start)).is_some()
}

impl Instructions {
    /// Reads them in a profile of callgrind's.
    fn read(profile: &str, module: &Path) -> Instructions {
        let mut found = Instructions { process: 0, module: 0 };
        let (mut number, mut inside) = (None, false);
        let mut lines = profile.lines();
        while let Some(line) = lines.next() {
            if let Some(object) = line.strip_prefix("ob=").or_else(|| line.strip_prefix("cob=")) {
                // "(number) name" the first time, "(number)" after that.
                let (id, name) = object.split_once(' ').unwrap_or((object, ""));
                if Path::new(name) == module {
                    number = Some(id);
                }
                if line.starts_with("ob=") {
                    inside = Some(id) == number;
                }
            } else if line.starts_with("calls=") {
                lines.next(); // what the callee took
            } else if let Some(total) = line.strip_prefix("totals: ") {
                found.process = total.parse().expect("a number");
            } else if inside && line.starts_with(|first: char| "+-*".contains(first) || first.is_ascii_digit()) {
                let (_, count) = line.split_once(' ').expect("a place and its instructions");
                found.module += count.parse::<u64>().expect("a number");
            }
        }
        assert!(found.process > 0 && found.module > 0, "{} has run", module.display());
        found
    }
}

/// What only a module makes that changes ids and keyrings.
const IDS_AND_KEYS: [c_long; 19] = [
    libc::SYS_getuid,
    libc::SYS_geteuid,
    ids::SYS_getresuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    ids::SYS_getresgid,
    libc::SYS_setuid,
    ids::SYS_setreuid,
    ids::SYS_setresuid,
    ids::SYS_setfsuid,
    libc::SYS_setgid,
    ids::SYS_setregid,
    ids::SYS_setresgid,
    ids::SYS_setfsgid,
    libc::SYS_capget,
    libc::SYS_capset,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
];
