// SPDX-License-Identifier: MIT
//! The log: what others chose never leaves its line, and a log that nobody reads hangs no login that succeeds.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::panic;

use nix::unistd::Pid;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestRunner};

use crate::Stage;
use crate::stage::{
    ALICE, BOB, NOTICE, assert_own_keyring, assert_revoked, in_child, leave_behind, live_session, time_limit,
    wait_until,
};
use crate::support::keys;
use crate::support::pam::{DELETE, ESTABLISH, IGNORE, PERM_DENIED, Pam, REFRESH, SUCCESS, USER_UNKNOWN};
use crate::support::seccomp::{keyctl, refuse};

cases! {
    Anyone:
        a_user_name_of_any_bytes_stays_in_its_line => "one-line"
        an_argument_of_any_bytes_stays_in_its_line => "unknown-argument"
        a_log_that_nobody_reads_hangs_no_login_that_succeeds
        a_line_for_a_full_log_waits_until_it_is_read;
    Root:
        what_is_about_the_machine_is_told_once_a_handle => "roots-keyring"
        a_line_names_the_user_it_is_about => "change-of-user"
        a_close_on_another_handle_is_told_once => "never-opened";
}

/// Fedora's sudo has two lines, and programs establish credentials before they open.
fn what_is_about_the_machine_is_told_once_a_handle(stage: &Stage) {
    keys::join(None).expect("root's keyring");
    for _ in 0..2 {
        let line = "MODULE revoke";
        let mut pam =
            stage.login(ALICE, &[&format!("auth {line}"), &format!("session {line}"), &format!("session {line}")]);
        assert_eq!([pam.setcred(ESTABLISH), pam.open(), pam.close()], [SUCCESS; 3]);
        stage.assert_logged(NOTICE, &["stays in root's session keyring", "with su, sudo and runuser that is meant"]);
    }
}

fn a_line_names_the_user_it_is_about(stage: &Stage) {
    let mut pam = stage.login(ALICE, &["session MODULE force clear"]);
    assert_eq!(pam.open(), SUCCESS);
    refuse(&[keyctl(libc::KEYCTL_READ)], libc::EACCES);
    pam.set_user(BOB.name);
    assert_eq!(pam.open(), SUCCESS);
    stage.assert_logged(NOTICE, &["invalidated instead", "(user \"alice\")"]);
    pam.set_user("nobody-knows");
    assert_eq!(pam.open(), USER_UNKNOWN);
    stage.assert_logged(NOTICE, &["unknown user", "(user \"nobody-knows\")"]);
    assert_eq!([pam.close(), pam.close(), pam.close()], [PERM_DENIED; 3], "libpam remembers the failure");
    stage.assert_logged(NOTICE, &["invalidated instead", "(user \"bob\")"]);
}

/// JupyterHub opens on one handle and closes on another.
fn a_close_on_another_handle_is_told_once(stage: &Stage) {
    let lines = ["session MODULE force revoke", "session MODULE force revoke"];
    assert_eq!(stage.login(ALICE, &lines).open(), SUCCESS);
    let keyring = assert_own_keyring(ALICE);
    let mut pam = stage.login(ALICE, &lines);
    assert_eq!([pam.close(), pam.close()], [SUCCESS; 2]);
    stage.assert_logged(NOTICE, &["nothing is ended", "no session was opened on this handle", "alice"]);
    assert_eq!(assert_own_keyring(ALICE), keyring);
}

/// Texts of any bytes but NUL, with many of those that matter to terminals, to the log, and to formats.
fn texts() -> impl Strategy<Value = Vec<u8>> {
    let special = prop_oneof![Just(b'\n'), Just(b'\r'), Just(0x1b), Just(0x7f), Just(0x9b), Just(b'"'), Just(b'%')];
    vec(prop_oneof![3 => any::<u8>(), 1 => special], 1..400)
        .prop_map(|bytes| bytes.into_iter().filter(|byte| *byte != 0).collect())
        .prop_filter("no text", |text: &Vec<u8>| !text.is_empty())
}

#[track_caller]
fn for_all(texts: impl Strategy<Value = Vec<u8>>, body: impl Fn(&[u8])) {
    let config = Config { cases: 500, failure_persistence: None, ..Config::default() };
    // It panics again and again while the shortest text that fails is looked for.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| ()));
    let all = TestRunner::new(config).run(&texts, |text| {
        body(&text);
        Ok(())
    });
    panic::set_hook(hook);
    all.unwrap_or_else(|error| panic!("{error}"));
}

/// Asserts that one line has come into the log, short and of printable ASCII, in which these quoted texts are all that
/// somebody else chose.
#[track_caller]
fn assert_one_line(stage: &Stage, message: &str, quoted: usize) {
    let lines = stage.log();
    let [line] = &lines[..] else { panic!("one line: {lines:#?}") };
    assert!(line.text.contains(message), "{line:?}");
    assert!(line.text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line:?}");
    assert!(line.text.len() < 800, "{} bytes: {line:?}", line.text.len());
    assert_eq!(line.text.matches('"').count(), 2 * quoted, "{line:?}");
}

fn a_user_name_of_any_bytes_stays_in_its_line(stage: &Stage) {
    for_all(texts(), |name| {
        assert_eq!(stage.login_as(Some(name), &["session MODULE"]).open(), USER_UNKNOWN);
        assert_one_line(stage, "unknown user", 1);
    });
}

/// All that libpam lets through: the end of a line and of a word, comments and continued lines are its own.
fn an_argument_of_any_bytes_stays_in_its_line(stage: &Stage) {
    let words = texts().prop_map(|mut text| {
        text.retain(|byte| !b"\n]#\\".contains(byte));
        [b"?", &*text].concat()
    });
    let pam_d = stage.directory.join("pam.d");
    for_all(words, |word| {
        let start = format!("session required {} [", stage.module.display());
        fs::write(pam_d.join("keyinit-test"), [start.as_bytes(), word, b"]\n"].concat()).expect("a service file");
        let user = stage.user.name.as_bytes();
        assert_eq!(Pam::start(&pam_d, "keyinit-test", Some(user)).open(), SUCCESS);
        assert_one_line(stage, "unknown argument", 2);
    });
}

/// Writes to the log until it takes no more.
fn fill_the_log() -> UnixDatagram {
    let socket = UnixDatagram::unbound().expect("a socket");
    socket.connect("/dev/log").expect("the log");
    socket.set_nonblocking(true).expect("a socket");
    while socket.send(b"<15>full").is_ok() {}
    assert!(is_full(&socket));
    socket
}

fn is_full(socket: &UnixDatagram) -> bool {
    socket.send(b"<15>full").is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

fn a_log_that_nobody_reads_hangs_no_login_that_succeeds(stage: &Stage) {
    let socket = fill_the_log();
    for arguments in ["", "revoke", "force", "force revoke"] {
        in_child(|| {
            time_limit(20); // the end of a login that hangs
            let mut pam =
                stage.login(stage.user, &[&format!("auth MODULE {arguments}"), &format!("session MODULE {arguments}")]);
            assert_eq!([pam.authenticate(), pam.setcred(ESTABLISH), pam.open()], [IGNORE, SUCCESS, SUCCESS]);
            let keyring = assert_own_keyring(stage.user);
            assert_eq!([pam.setcred(REFRESH), pam.close()], [IGNORE, SUCCESS]);
            match arguments.contains("revoke") {
                true => assert_revoked(keyring),
                false => assert_eq!(live_session(), keyring),
            }
            assert_eq!(pam.setcred(DELETE), IGNORE);
        });
        assert!(is_full(&socket), "still");
    }
}

/// That is how syslog(3) is: whoever has something to say waits, with the C module too.
fn a_line_for_a_full_log_waits_until_it_is_read(stage: &Stage) {
    fill_the_log();
    let login = leave_behind(|| {
        time_limit(60);
        assert_eq!(stage.session("debug").open(), SUCCESS);
    });
    let login = login.start();
    wait_until("the login that writes to the log", || is_sending(login.pid()));
    let mut lines = stage.log(); // from now on there is room
    login.finish();
    lines.extend(stage.log());
    assert!(lines.iter().any(|line| line.text.contains("pam_keyinit")), "now it is told");
}

/// Whether a process is in sendto(2), proc(5): a process that is not in a system call is "running".
fn is_sending(process: Pid) -> bool {
    #[cfg(not(target_arch = "x86"))]
    use libc::SYS_sendto;
    // libc's way to it on i386, socketcall(2).
    #[cfg(target_arch = "x86")]
    use libc::SYS_socketcall as SYS_sendto;
    let call = fs::read_to_string(format!("/proc/{process}/syscall")).expect("/proc");
    call.split(' ').next().is_some_and(|number| number == SYS_sendto.to_string())
}
