// SPDX-License-Identifier: MIT
//! The login shell of the stage's users: this program again, which tells the test what its session looks like.
//!
//! So any login program can be asked the same things, whatever it does with terminals, environments and arguments.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};

use nix::unistd::{ForkResult, Gid, dup2_stderr, dup2_stdin, dup2_stdout, fork, getgroups, setsid};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{ids, open_to_all, session};
use crate::Stage;
use crate::support::keys::{self, Description};

/// Name of the shell, in the case's directory, and of the socket beside it.
pub const SHELL: &str = "session-shell";
const SOCKET: &str = "session-socket";

#[derive(Serialize, Deserialize)]
enum Question {
    Look,
    Add(String, i32),
    Find(String),
    Search(String),
    Read(i32),
    LeaveBehind,
    Run(String),
}

/// What a process in a session sees of itself.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct View {
    /// Real, effective, saved and filesystem uid, then gid.
    pub ids: [u32; 8],
    pub groups: Vec<u32>,
    /// The session keyring, or the errno of a look at it.
    pub session: Result<Keyring, i32>,
}

#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Keyring {
    pub serial: i32,
    pub description: Description,
    /// The names of what is linked into it.
    pub links: Vec<String>,
}

impl View {
    pub fn taken() -> View {
        let look =
            |serial| Ok(Keyring { serial, description: keys::describe(serial)?, links: keys::link_names(serial)? });
        let groups = getgroups().expect("groups").into_iter().map(Gid::as_raw).collect();
        View { ids: ids(), groups, session: session().and_then(|serial| look(serial).map_err(errno)) }
    }
}

fn errno(error: std::io::Error) -> i32 {
    error.raw_os_error().expect("an errno")
}

/// What a command that ran in a session wrote, and whether it succeeded.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    pub success: bool,
    pub output: String,
}

/// Where the shells of a case report.
pub struct Switchboard<'a> {
    listener: UnixListener,
    pub stage: &'a Stage,
}

impl Switchboard<'_> {
    pub fn new(stage: &Stage) -> Switchboard<'_> {
        let socket = stage.directory.join(SOCKET);
        let _ = fs::remove_file(&socket); // of an earlier one
        let listener = UnixListener::bind(&socket).expect("a socket");
        open_to_all(&socket);
        Switchboard { listener, stage }
    }

    /// The next session that reports, which is of `program`.
    #[track_caller]
    pub fn answer(&self, program: &str) -> Process {
        self.stage.wait_for(&format!("a shell of {program}"), &self.listener);
        Process(BufReader::new(self.listener.accept().expect("a connection").0))
    }
}

/// A process in a session. It ends when this is dropped.
pub struct Process(BufReader<UnixStream>);

impl Process {
    /// What it sees of itself.
    pub fn look(&mut self) -> View {
        self.ask(&Question::Look)
    }

    /// Lets it add a key of type `user` to `keyring`: the serial number or the errno.
    pub fn add(&mut self, key: &str, keyring: i32) -> Result<i32, i32> {
        self.ask(&Question::Add(key.to_owned(), keyring))
    }

    /// Lets it find a key of type `user` as programs do, and read it: the payload or the errno.
    pub fn find(&mut self, key: &str) -> Result<String, i32> {
        self.ask(&Question::Find(key.to_owned()))
    }

    /// Lets it search its session keyring for a key of type `user`: the serial number or the errno.
    pub fn search(&mut self, key: &str) -> Result<i32, i32> {
        self.ask(&Question::Search(key.to_owned()))
    }

    /// Lets it read a key by its serial number: the payload or the errno.
    pub fn read(&mut self, key: i32) -> Result<String, i32> {
        self.ask(&Question::Read(key))
    }

    /// Lets it run a line of the system's shell.
    pub fn run(&mut self, line: &str) -> Outcome {
        self.ask(&Question::Run(line.to_owned()))
    }

    /// Its process id.
    pub fn pid(&mut self) -> i32 {
        self.run("echo $PPID").output.trim().parse().expect("a process id")
    }

    /// Lets it leave a process behind that outlives the session.
    #[track_caller]
    pub fn leave_behind(&mut self, switchboard: &Switchboard<'_>) -> Process {
        self.ask::<()>(&Question::LeaveBehind);
        switchboard.answer("the process left behind")
    }

    #[track_caller]
    fn ask<T: DeserializeOwned>(&mut self, question: &Question) -> T {
        send(self.0.get_ref(), question);
        let mut line = String::new();
        self.0.read_line(&mut line).expect("an answer");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }
}

fn send<T: Serialize>(mut stream: &UnixStream, value: &T) {
    let line = serde_json::to_string(value).expect("JSON") + "\n";
    stream.write_all(line.as_bytes()).expect("the other side is there");
}

/// Whether this process was started as the shell of a session.
pub fn is_shell() -> bool {
    env::current_exe().is_ok_and(|exe| exe.file_name().is_some_and(|name| name == SHELL))
}

/// Answers the test's questions until it asks no more.
pub fn serve() {
    let socket = env::current_exe().expect("/proc").with_file_name(SOCKET);
    let stream = UnixStream::connect(&socket).expect("the test listens");
    for line in BufReader::new(&stream).lines() {
        match serde_json::from_str(&line.expect("a line")).expect("a question") {
            Question::Look => send(&stream, &View::taken()),
            Question::Add(key, keyring) => send(&stream, &keys::add(&key, "secret", keyring).map_err(errno)),
            Question::Find(key) => send(&stream, &keys::request(&key).and_then(text).map_err(errno)),
            Question::Search(key) => send(&stream, &keys::search(&key, keys::SESSION).map_err(errno)),
            Question::Read(key) => send(&stream, &text(key).map_err(errno)),
            Question::Run(line) => send(&stream, &run(&line)),
            Question::LeaveBehind => {
                // SAFETY: this process has one thread.
                if let ForkResult::Child = unsafe { fork() }.expect("a process") {
                    setsid().expect("a new process is no group leader");
                    // The session's terminal or pipes would keep the login program waiting.
                    let null = File::options().read(true).write(true).open("/dev/null").expect("/dev/null");
                    for duplicate in [dup2_stdin, dup2_stdout, dup2_stderr] {
                        duplicate(&null).expect("a descriptor");
                    }
                    return serve();
                }
                send(&stream, &());
            }
        }
    }
}

/// The payload of a key.
fn text(key: i32) -> std::io::Result<String> {
    Ok(String::from_utf8_lossy(&keys::read(key)?).into_owned())
}

pub fn run(line: &str) -> Outcome {
    let output = Command::new("/bin/sh")
        .args(["-c", &format!("exec 2>&1; {line}")])
        .stdin(Stdio::null())
        .output()
        .expect("the system's shell");
    Outcome { success: output.status.success(), output: String::from_utf8_lossy(&output.stdout).into_owned() }
}
