// SPDX-License-Identifier: MIT
//! Runs sequences of calls with both modules, each in a process of its own.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::iter::{Cycle, StepBy};
use std::ops::Range;
use std::path::Path;
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, User, alarm, fork, pipe};
use tempfile::TempDir;

use crate::case::{Call, Caller, Case, LINES, Lines, MORE_LINES, Users, gid};
use crate::state::{State, after_each};
use crate::support::child::{end_with, wait_until};
use crate::support::pam::Pam;
use crate::support::seccomp::refuse;
use crate::support::{keys, namespace};

/// Users of the sequences, three for each: their quotas of keys are used in turn.
const UIDS: Range<u32> = 4400..4499;

/// How many keyrings may be made until it is the next users' turn, of a quota of 200.
const KEYRINGS: usize = 160;

/// What both modules did in a sequence: the states at the start and after each call. Where there are fewer, the process has
/// ended before.
pub struct Both {
    pub users: Users,
    pub theirs: Vec<State>,
    pub ours: Vec<State>,
}

/// Runs sequences, in namespaces of its own.
pub struct Runner {
    directory: TempDir,
    uids: Cycle<StepBy<Range<u32>>>,
    loaded: Option<Loaded>,
}

/// Both modules, loaded and not called yet.
struct Loaded {
    lines: &'static Lines,
    users: Users,
    /// How many keyrings the users have had at most.
    made: usize,
    both: [Pam; 2],
}

impl Runner {
    /// One of `workers` that run at the same time, with the C module and ours.
    pub fn new(worker: usize, workers: usize, modules: [&Path; 2]) -> Runner {
        let directory = tempfile::tempdir().expect("a directory");
        set_stage(directory.path(), modules);
        let first = UIDS.start as usize + 3 * worker;
        let uids = (first as u32..UIDS.end - 2).step_by(3 * workers).cycle();
        Runner { directory, uids, loaded: None }
    }

    /// Does `calls` from where `case` begins.
    pub fn run(&mut self, case: &Case, calls: &[Call]) -> Both {
        let keyrings = 2 * (calls.len() + 1);
        let fits = |loaded: &Loaded| {
            loaded.lines == case.lines
                && loaded.users.user == case.users(loaded.users.first).user
                && loaded.made + keyrings <= KEYRINGS
        };
        let mut loaded = self.loaded.take().filter(fits).unwrap_or_else(|| self.load(case));
        loaded.made += keyrings;
        let users = case.users(loaded.users.first);
        let [theirs, ours] = loaded.both.each_mut().map(|pam| in_process(pam, case, users, calls));
        self.loaded = Some(loaded);
        Both { users, theirs, ours }
    }

    fn load(&mut self, case: &Case) -> Loaded {
        let first = self.uids.next().expect("endless");
        wait_for_room(first);
        let users = case.users(first);
        let name = if users.user == 0 { "root".to_owned() } else { format!("u{}", users.user) };
        let start = |module| Pam::start(self.directory.path(), &service(module, case.lines), Some(name.as_bytes()));
        Loaded { lines: case.lines, users, made: 0, both: [start(0), start(1)] }
    }
}

/// The kernel forgets keyrings later than their last process goes.
fn wait_for_room(first: u32) {
    wait_until("room in the quotas", || (first..first + 3).all(|uid| keys::quota(uid).used <= 40));
}

/// The service with these lines, of one of the two modules.
fn service(module: usize, lines: &Lines) -> String {
    format!("{module} {} {} {}", lines.times, lines.auth, lines.session)
}

fn set_stage(directory: &Path, modules: [&Path; 2]) {
    namespace::user_namespace();
    namespace::mount_namespace();
    let passwd = UIDS.map(|uid| format!("u{uid}:x:{uid}:{}::/:\n", gid(uid))).collect::<String>();
    namespace::put_over(directory, "/etc/passwd", &format!("root:x:0:0::/:\n{passwd}"));
    namespace::put_over(directory, "/etc/nsswitch.conf", "passwd: files\n");
    // Nothing is logged.
    mount(Some("tmpfs"), "/dev", Some("tmpfs"), MsFlags::empty(), None::<&str>).expect("a tmpfs");
    for (number, module) in modules.iter().enumerate() {
        for lines in LINES.iter().chain(&MORE_LINES) {
            // Both lines are run, and the first answer other than success is that of the call.
            let line =
                |kind, arguments| format!("{kind} [default=ok] {} {arguments}\n", module.display()).repeat(lines.times);
            let text = line("auth", lines.auth) + &line("session", lines.session);
            fs::write(directory.join(service(number, lines)), text).expect("a service file");
        }
    }
    fs::write(directory.join("other"), "").expect("a file");
    // What takes most of the time of each process: libpam tells the kernel's audit of each call, and libc reads nsswitch.conf.
    refuse(&[(libc::SYS_socket, Vec::new())], libc::EAFNOSUPPORT);
    User::from_name("root").expect("the passwd file");
}

/// Does `calls` in a process of its own.
fn in_process(pam: &mut Pam, case: &Case, users: Users, calls: &[Call]) -> Vec<State> {
    let (from, to) = pipe().expect("a pipe");
    // SAFETY: this process has one thread.
    match unsafe { fork() }.expect("a process") {
        ForkResult::Child => end_with(|| {
            alarm::set(10); // the end of a call that hangs
            // Told one by one: the process may end before the last.
            let mut to = File::from(to);
            let tell = |state| {
                let line = serde_json::to_string(&state).expect("JSON") + "\n";
                to.write_all(line.as_bytes()).expect("a pipe");
            };
            match case.caller {
                Caller::Of(ids) if ids.of_thread => {
                    thread::scope(|scope| scope.spawn(|| after_each(pam, case, users, calls, tell)).join())
                        .expect("no panic");
                }
                _ => after_each(pam, case, users, calls, tell),
            }
        }),
        ForkResult::Parent { child } => {
            drop(to);
            waitpid(child, None).expect("a child"); // a pipe holds more than it tells
            let mut text = String::new();
            File::from(from).read_to_string(&mut text).expect("a pipe");
            text.lines().map(|line| serde_json::from_str(line).expect("a state")).collect()
        }
    }
}
