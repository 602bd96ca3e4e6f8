// SPDX-License-Identifier: MIT
//! The module beside the system's C module: all sequences of up to three calls, or four with PAM_KEYINIT_COMPARE=full, from
//! each start, for each caller, with each set of arguments. After each call both must have left the same state, but for
//! what a rule, named as its entry of docs/differences.md, lets differ; such a sequence is not followed further.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Uid, alarm, fork, pipe};

use support::ids::{become_ids, ids, set_ids};
use support::pam::{DELETE, ESTABLISH, Pam, REFRESH, REINITIALIZE};
use support::{artefact, differences, keys, namespace};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Call {
    Open,
    Close,
    Establish,
    Delete,
    Reinitialize,
    Refresh,
    Authenticate,
}

const CALLS: [Call; 7] =
    [Call::Open, Call::Close, Call::Establish, Call::Delete, Call::Reinitialize, Call::Refresh, Call::Authenticate];

/// The session keyring in which a sequence begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Start {
    None,
    Own,
    SomebodyElses,
    Revoked,
    /// The user-session keyring, installed.
    UserSession,
}

const STARTS: [Start; 5] = [Start::None, Start::Own, Start::SomebodyElses, Start::Revoked, Start::UserSession];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Caller {
    RootForRoot,
    RootForUser,
    UserForItself,
    UserForAnother,
}

const CALLERS: [Caller; 4] = [Caller::RootForRoot, Caller::RootForUser, Caller::UserForItself, Caller::UserForAnother];

/// The lines of the service: name, auth arguments, session arguments, how often they stand there.
const LINES: [(&str, &str, &str, usize); 10] = [
    ("once", "", "", 1),
    ("once force", "force", "force", 1),
    ("once revoke", "revoke", "revoke", 1),
    ("once force revoke", "force revoke", "force revoke", 1),
    ("once force revoke debug", "force revoke debug", "force revoke debug", 1),
    ("twice", "", "", 2),
    ("twice force", "force", "force", 2),
    ("twice revoke", "revoke", "revoke", 2),
    ("twice force revoke", "force revoke", "force revoke", 2),
    ("auth force, session revoke", "force", "revoke", 1),
];

#[derive(Clone, Copy, Debug)]
struct Case {
    lines: usize,
    start: Start,
    caller: Caller,
}

/// What may differ: an entry of docs/differences.md, and where, by the case and the calls up to the one that differs.
struct Rule(&'static str, fn(&Case, &[Call]) -> bool);

const RULES: &[Rule] = &[
    Rule("dead-keyring", |case, calls| {
        case.start == Start::Revoked && !case.forced(calls) && made(&calls[..calls.len() - 1]) == 0 && makes(calls)
    }),
    Rule("saved-gid", |case, calls| {
        case.caller == Caller::RootForUser && case.revokes(calls) && made(calls) > 0 && ends(calls[calls.len() - 1])
    }),
    Rule("close-counts", |case, calls| {
        let (_, auth, session, _) = LINES[case.lines];
        let revoke_is_news = session.contains("revoke") && !auth.contains("revoke") && !calls.contains(&Call::Open);
        calls.ends_with(&[Call::Close]) && revoke_is_news && calls.contains(&Call::Establish)
    }),
    Rule("force-counts", |case, calls| {
        let (_, auth, session, _) = LINES[case.lines];
        let force_is_news = auth.contains("force") && !session.contains("force");
        let renewed = calls.iter().any(|call| matches!(call, Call::Reinitialize | Call::Refresh));
        let has_one = matches!(case.start, Start::Own | Start::SomebodyElses)
            || (case.start == Start::UserSession && case.caller == Caller::RootForUser);
        force_is_news && has_one && renewed && calls[0] == Call::Open && calls.ends_with(&[Call::Open])
    }),
    Rule("open-again", |_, calls| {
        let first = calls.iter().position(|call| matches!(call, Call::Open | Call::Establish));
        makes(calls) && first.is_some_and(|first| calls[first..].iter().any(|&call| ends(call)))
    }),
];

impl Case {
    /// Whether the line of the last call asks for `force`.
    fn forced(&self, calls: &[Call]) -> bool {
        let (_, auth, session, _) = LINES[self.lines];
        let line = if calls[calls.len() - 1] == Call::Open { session } else { auth };
        line.contains("force")
    }

    /// Whether one of the lines that these calls have run asks for `revoke`.
    fn revokes(&self, calls: &[Call]) -> bool {
        let (_, auth, session, _) = LINES[self.lines];
        let line = |call: &Call| if matches!(call, Call::Open | Call::Close) { session } else { auth };
        calls.iter().any(|call| line(call).contains("revoke"))
    }
}

/// How many of the calls make a keyring where there is none.
fn made(calls: &[Call]) -> usize {
    calls.iter().filter(|call| matches!(call, Call::Open | Call::Establish)).count()
}

/// Whether the last call does.
fn makes(calls: &[Call]) -> bool {
    made(&calls[calls.len() - 1..]) == 1
}

fn ends(call: Call) -> bool {
    matches!(call, Call::Close | Call::Delete)
}

/// Users of the sequences: their quotas of keys are used in turn.
const UIDS: std::ops::Range<u32> = 4400..4499;

fn main() -> ExitCode {
    if !Uid::effective().is_root() || keys_differ_at_start() {
        println!("NOT RUN: the comparison needs root, and a shell without a session keyring of its own");
        return ExitCode::SUCCESS;
    }
    let depth = if std::env::var("PAM_KEYINIT_COMPARE").is_ok_and(|value| value == "full") { 4 } else { 3 };
    let modules =
        [artefact::installed(), std::env::var_os("PAM_KEYINIT_SO").map_or_else(artefact::release, Into::into)];
    let begun = Instant::now();
    let workers = thread::available_parallelism().map_or(1, usize::from).min(8);
    let mut outputs = Vec::new();
    for worker in 0..workers {
        let (from, to) = pipe().expect("a pipe");
        // SAFETY: this process has one thread.
        if let ForkResult::Child = unsafe { fork() }.expect("a process") {
            drop(from);
            work(worker, workers, depth, [&modules[0], &modules[1]], File::from(to));
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(0) };
        }
        outputs.push(File::from(from));
    }
    let (mut compared, mut cut, mut failures) = (0_u64, BTreeMap::<String, u64>::new(), Vec::new());
    for mut output in outputs {
        let mut text = String::new();
        output.read_to_string(&mut text).expect("a pipe");
        assert!(text.ends_with("end\n"), "a worker has failed");
        for line in text.lines() {
            match line.split('\t').collect::<Vec<_>>()[..] {
                ["compared", number] => compared += number.parse::<u64>().expect("a number"),
                ["cut", rule, number] => {
                    *cut.entry(rule.to_owned()).or_default() += number.parse::<u64>().expect("a number")
                }
                ["failed", length, text] => failures.push((length.to_owned(), text.replace("; ", "\n    "))),
                _ => (),
            }
        }
    }
    failures.sort(); // the shortest first
    println!("{compared} sequences of up to {depth} calls compared in {:?}; cut by rule: {cut:?}", begun.elapsed());
    for (_, text) in failures.iter().take(10) {
        println!("{text}\n");
    }
    let unused = RULES.iter().filter(|rule| !cut.contains_key(rule.0) || !differences::entries().contains(rule.0));
    let unused: Vec<_> = unused.map(|rule| rule.0).collect();
    if failures.is_empty() && unused.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("{} sequences differ without a rule; rules not used: {unused:?}", failures.len());
    ExitCode::FAILURE
}

fn keys_differ_at_start() -> bool {
    thread::spawn(|| keys::id(keys::SESSION).ok() != keys::id(keys::USER_SESSION).ok()).join().expect("no panic")
}

/// Compares every so many-th case.
fn work(worker: usize, workers: usize, depth: usize, modules: [&Path; 2], mut results: File) {
    let directory = tempfile::tempdir().expect("a directory");
    set_stage(directory.path(), modules);
    let mut uids = UIDS.clone().skip(worker * 3).step_by(workers * 3).cycle();
    let cases = (0..LINES.len()).flat_map(|lines| {
        STARTS.iter().flat_map(move |&start| CALLERS.iter().map(move |&caller| Case { lines, start, caller }))
    });
    let (mut compared, mut cut) = (0_u64, BTreeMap::<&str, u64>::new());
    for (number, case) in cases.enumerate() {
        if number % workers != worker {
            continue;
        }
        if worker == 0 && number % 20 == 0 {
            eprintln!("comparing {:?}, {:?}, {:?}", LINES[case.lines].0, case.start, case.caller);
        }
        let mut todo: Vec<Vec<Call>> = vec![vec![]];
        let mut uid = uids.next().expect("endless");
        let mut in_turn = 0;
        let start = |uid| [0, 1].map(|module| handle(directory.path(), module, &case, uid));
        let mut handles = start(uid);
        while let Some(prefix) = todo.pop() {
            for &call in &CALLS {
                let calls = [&prefix[..], &[call]].concat();
                if in_turn % 16 == 0 {
                    uid = uids.next().expect("endless");
                    wait_for_room(uid);
                    handles = start(uid);
                }
                in_turn += 1;
                let [theirs, ours] = handles.each_mut().map(|pam| replay(pam, &case, uid, &calls));
                compared += 1;
                if theirs == ours {
                    if calls.len() < depth {
                        todo.push(calls);
                    }
                } else if let Some(rule) = RULES.iter().find(|rule| rule.1(&case, &calls)) {
                    *cut.entry(rule.0).or_default() += 1;
                } else {
                    let text = format!(
                        "[{}] {:?} {:?} {calls:?}; C:    {}; ours: {}",
                        LINES[case.lines].0, case.start, case.caller, theirs, ours
                    );
                    writeln!(results, "failed\t{}\t{text}", calls.len()).expect("a pipe");
                }
            }
        }
    }
    writeln!(results, "compared\t{compared}").expect("a pipe");
    cut.iter().for_each(|(rule, number)| writeln!(results, "cut\t{rule}\t{number}").expect("a pipe"));
    drop(directory);
    writeln!(results, "end").expect("a pipe");
}

fn set_stage(directory: &Path, modules: [&Path; 2]) {
    namespace::user_namespace();
    namespace::mount_namespace();
    let passwd = UIDS.map(|uid| format!("u{uid}:x:{uid}:{uid}::/:\n")).collect::<String>();
    let files =
        [("/etc/passwd", format!("root:x:0:0::/:\n{passwd}")), ("/etc/nsswitch.conf", "passwd: files\n".into())];
    for (number, (over, text)) in files.iter().enumerate() {
        let file = directory.join(number.to_string());
        fs::write(&file, text).expect("a file");
        mount(Some(&file), *over, None::<&str>, MsFlags::MS_BIND, None::<&str>).expect("a bind mount");
    }
    // Nothing is logged.
    mount(Some("tmpfs"), "/dev", Some("tmpfs"), MsFlags::empty(), None::<&str>).expect("a tmpfs");
    for (index, module) in modules.iter().enumerate() {
        for (number, (_, auth, session, times)) in LINES.iter().enumerate() {
            // The module's own answer alone, or both lines whatever the first answers.
            let control = if *times == 1 { "[default=die]" } else { "[default=ok]" };
            let line = |kind, arguments| format!("{kind} {control} {} {arguments}\n", module.display()).repeat(*times);
            fs::write(directory.join(format!("{index}-{number}")), line("auth", auth) + &line("session", session))
                .expect("a service file");
        }
    }
    fs::write(directory.join("other"), "").expect("a file");
}

/// The kernel forgets keyrings late: the user's, and those of the other caller and of whose keyring it may be.
fn wait_for_room(uid: u32) {
    let end = Instant::now() + Duration::from_secs(30);
    while (uid..uid + 3).any(|uid| keys::quota(uid).used > 40) {
        assert!(Instant::now() < end, "the kernel does not forget the keys of {uid}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// The answer to the last call and the state after it. The other calls' have been compared with the shorter sequences.
fn replay(pam: &mut Pam, case: &Case, uid: u32, calls: &[Call]) -> String {
    let (from, to) = pipe().expect("a pipe");
    // SAFETY: this process has one thread.
    match unsafe { fork() }.expect("a process") {
        ForkResult::Child => {
            alarm::set(10);
            let state = run(pam, case, uid, calls);
            File::from(to).write_all(state.as_bytes()).expect("a pipe");
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(0) };
        }
        ForkResult::Parent { child } => {
            drop(to);
            let mut text = String::new();
            File::from(from).read_to_string(&mut text).expect("a pipe");
            let status = waitpid(child, None).expect("a child");
            if text.is_empty() { format!("{status:?}") } else { text }
        }
    }
}

/// A handle that has loaded the module and has called nothing of it.
fn handle(directory: &Path, module: usize, case: &Case, uid: u32) -> Pam {
    let user = if case.caller == Caller::RootForRoot { "root".to_owned() } else { format!("u{uid}") };
    Pam::start(directory, &format!("{module}-{}", case.lines), Some(user.as_bytes()))
}

fn run(pam: &mut Pam, case: &Case, uid: u32, calls: &[Call]) -> String {
    let caller = match case.caller {
        Caller::RootForRoot | Caller::RootForUser => 0,
        Caller::UserForItself => uid,
        Caller::UserForAnother => uid + 1,
    };
    if case.start == Start::SomebodyElses {
        set_ids(libc::SYS_setresuid, [(uid + 2).into(), -1, -1]);
        keys::join(None).expect("a keyring");
        set_ids(libc::SYS_setresuid, [0, -1, -1]);
    }
    become_ids([caller; 3], [caller; 3]);
    let mut start = None;
    match case.start {
        Start::None => (),
        Start::SomebodyElses | Start::UserSession => start = keys::id(keys::SESSION).ok(),
        Start::Own => start = keys::join(None).ok(),
        Start::Revoked => keys::revoke(keys::join(None).expect("a keyring")).expect("revoked"),
    }
    let (mut code, mut last) = (0, start);
    for (index, call) in calls.iter().enumerate() {
        if index + 1 == calls.len() {
            // A look installs the user-session keyring where there is none: another thread's look, for that thread.
            last = thread::spawn(|| keys::id(keys::SESSION).ok()).join().expect("no panic");
        }
        code = match call {
            Call::Open => pam.open(),
            Call::Close => pam.close(),
            Call::Establish => pam.setcred(ESTABLISH),
            Call::Delete => pam.setcred(DELETE),
            Call::Reinitialize => pam.setcred(REINITIALIZE),
            Call::Refresh => pam.setcred(REFRESH),
            Call::Authenticate => pam.authenticate(),
        };
    }
    let ids = ids();
    format!("code {code}, @s {}, ids {ids:?}", session(start, last))
}

/// The session keyring: which one, whose, and what it links.
fn session(start: Option<i32>, before: Option<i32>) -> String {
    let serial = match keys::id(keys::SESSION) {
        Ok(serial) => serial,
        Err(error) => return format!("errno {:?}", error.raw_os_error()),
    };
    let which = match Some(serial) {
        same if same == start => "of the start",
        same if same == before => "as before this call",
        _ => "another",
    };
    let name = |link| keys::describe(link).map_or_else(|error| error.to_string(), |key| key.name);
    let links: Vec<_> = keys::links(serial).unwrap_or_default().into_iter().map(name).collect();
    format!("{which}: {:?} {links:?}", keys::describe(serial))
}
