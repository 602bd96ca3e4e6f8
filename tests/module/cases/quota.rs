// SPDX-License-Identifier: MIT
//! A user whose own key quota is full, which every user can bring about at will, is left in nobody else's keyring
//! (contract, section 8). Each row has a user of its own: the kernel gives a quota back later than the rows come.

use crate::Stage;
use crate::stage::program::{Program, Running, SSHD, SU_LOGIN};
use crate::stage::sessions::{Caller, log_out, with_line, with_pam_d};
use crate::stage::{
    CAROL, ERROR, Left, SEVERAL, WARNING, Who, assert_keyring_for, assert_own_keyring, assert_revoked,
    assert_untouched, become_ids, daemons, fill_up, ids, in_child, in_the_name_of, join_as, live_session, many_users,
    say_where, session, wait_until, with_real_ids,
};
use crate::support::keys;
use crate::support::pam::{CRED_ERR, ESTABLISH, PERM_DENIED, Pam, SESSION_ERR, SUCCESS};

cases! {
    Root:
        a_user_with_a_full_quota_is_not_left_in_the_daemon_s_keyring
        a_user_with_a_full_quota_has_a_keyring_from_a_caller_without_one
        the_next_login_with_own_replaces_a_keyring_that_is_the_caller_s => "full-quota"
        a_keyring_from_su_is_charged_to_the_caller_s_real_id => "full-quota"
        a_caller_without_another_quota_is_told_whose_keyring_is_kept
        without_a_user_keyring_too_the_daemon_s_is_left => "full-quota"
        sshd_leaves_nobody_in_its_keyring
        su_leaves_nobody_in_its_keyring
        cron_leaves_nobody_in_its_keyring;
}

/// JOIN takes 5 bytes of the quota and LINK 4.
const FULL: [Left; 10] = [
    Left::Keys(0),
    Left::Bytes(0),
    Left::Bytes(1),
    Left::Bytes(2),
    Left::Bytes(3),
    Left::Bytes(4),
    Left::Bytes(5),
    Left::Bytes(6),
    Left::Bytes(7),
    Left::Bytes(8),
];
const ENOUGH: [Left; 2] = [Left::Keys(1), Left::Bytes(9)];

#[derive(Clone, Copy, Debug)]
struct Row {
    left: Left,
    establish: bool,
    arguments: &'static str,
    caller: Caller,
    who: Who,
}

fn a_user_with_a_full_quota_is_not_left_in_the_daemon_s_keyring(stage: &Stage) {
    let lines = ["force", "own", "force revoke", "own revoke", "force clear", "own clear"];
    go_through(stage, 14600, Caller::WithKeyring, &lines);
}

fn a_user_with_a_full_quota_has_a_keyring_from_a_caller_without_one(stage: &Stage) {
    go_through(stage, 14800, Caller::WithoutKeyring, &["", "revoke", "clear", "own revoke", "force revoke"]);
}

fn go_through(stage: &Stage, first: u32, caller: Caller, lines: &[&'static str]) {
    let mut rows = Vec::new();
    for left in FULL.into_iter().chain(ENOUGH) {
        for establish in [false, true] {
            for &arguments in lines {
                rows.push((left, establish, arguments));
            }
        }
    }
    println!("{caller:?}: {} logins with a full quota, or one that is nearly so", rows.len());
    let users = many_users(stage, first, rows.len());
    for ((left, establish, arguments), who) in rows.into_iter().zip(users) {
        let row = Row { left, establish, arguments, caller, who };
        in_child(|| {
            say_where(row);
            row.run(stage);
        });
        stage.log();
    }
}

impl Row {
    fn run(&self, stage: &Stage) {
        let who = self.who;
        assert_untouched(who);
        let daemons = (self.caller == Caller::WithKeyring).then(daemon_with_secret);
        fill_up(who, keys::USER, self.left);
        let mut pam = self.login(stage);
        let before = ids();
        let asks_for = |word| self.arguments.contains(word);
        // Where there is room it is the C module's usual login.
        let entry = match self.is_full() {
            true => Some("full-quota"),
            false if asks_for("own") && daemons.is_some() => Some("own"),
            false => asks_for("revoke").then_some("saved-gid"),
        };
        stage.may_differ(entry, || {
            let code = if self.establish { pam.setcred(ESTABLISH) } else { pam.open() };
            assert_eq!((code, ids()), (SUCCESS, before));
            let owner = if self.is_full() {
                assert_told_of_full_quota(stage, who);
                (0, 0)
            } else {
                (who.uid, who.gid)
            };
            let keyring = assert_keyring_for(who, owner);
            assert_out_of_reach(who, daemons);
            self.end(pam, keyring, owner);
            assert_eq!(ids(), before);
            stage.assert_silent();
        });
    }

    /// Whether the user has no room for a session. The kernel does not count the keys where the thread has no session
    /// keyring at all: without `force` a look gives it one.
    fn is_full(&self) -> bool {
        let is_counted = self.caller == Caller::WithKeyring || !self.arguments.contains("force");
        FULL.contains(&self.left) && (is_counted || self.left != Left::Keys(0))
    }

    fn login(&self, stage: &Stage) -> Pam {
        let lines = ["auth", "session"].map(|kind| format!("{kind} MODULE {}", self.arguments));
        stage.login(self.who, &[&lines[0], &lines[1]])
    }

    /// Closes the session, which ends it as the line asks for.
    fn end(&self, mut pam: Pam, keyring: i32, owner: (u32, u32)) {
        let [revoke, clear] = ["revoke", "clear"].map(|word| self.arguments.contains(word));
        // Its link is charged to the keyring's owner.
        let key = self.is_full().then(|| keys::add("of-the-session", "secret", keyring).expect("a key of root's"));
        assert_eq!(pam.close(), SUCCESS);
        if revoke {
            assert_eq!(session(), Err(libc::EKEYREVOKED));
            assert_revoked(keyring);
        } else {
            assert_eq!(live_session(), keyring);
            let description = keys::describe(keyring).expect("viewed");
            assert_eq!((description.uid, description.gid), owner);
            let users = with_real_ids(self.who, || keys::id(keys::USER).expect("the user keyring"));
            assert!(keys::links(keyring).expect("readable").contains(&users));
        }
        if let Some(key) = key {
            assert_eq!(keys::read(key).is_ok(), !revoke && !clear);
        }
    }
}

/// Puts the thread into a session keyring of a daemon's: returns it and root's secret in it.
fn daemon_with_secret() -> (i32, i32) {
    let daemon = keys::join(None).expect("a keyring");
    (daemon, keys::add("of-root", "secret", daemon).expect("a key"))
}

/// Asserts that the user finds the own keys from the session keyring, and not those of the daemon's.
#[track_caller]
fn assert_out_of_reach(who: Who, daemons: Option<(i32, i32)>) {
    let keyring = live_session();
    in_child(|| {
        become_ids([who.uid; 3], [who.gid; 3]);
        assert!(keys::search("000", keyring).is_ok(), "a key in the user keyring");
        if let Some((daemon, secret)) = daemons {
            assert_ne!(keyring, daemon);
            assert_eq!(errno(keys::request("of-root")), Some(libc::ENOKEY));
            assert_eq!(errno(keys::read(secret)), Some(libc::EACCES));
            assert_eq!(errno(keys::links(daemon)), Some(libc::EACCES));
        }
    });
}

fn errno<T>(answer: std::io::Result<T>) -> Option<i32> {
    answer.err().and_then(|error| error.raw_os_error())
}

/// Asserts that the log has one line: what is full, what to do in this order, and whom the keyring is charged to.
#[track_caller]
fn assert_told_of_full_quota(stage: &Stage, who: Who) {
    let lines = stage.log();
    let [line] = &lines[..] else { panic!("one line: {lines:#?}") };
    assert_eq!(line.level, WARNING, "{line:?}");
    let mut rest = &*line.text;
    for part in [
        "EDQUOT",
        "leftovers",
        "/proc/keys",
        "kernel.keys.maxkeys",
        "charged to the caller",
        "session keyring",
        who.name,
    ] {
        let (_, behind) = rest.split_once(part).unwrap_or_else(|| panic!("no {part:?} in {rest:?}"));
        rest = behind;
    }
}

fn the_next_login_with_own_replaces_a_keyring_that_is_the_caller_s(stage: &Stage) {
    for (who, left) in many_users(stage, 14930, 3).into_iter().zip([Left::Keys(0), Left::Bytes(0), Left::Bytes(8)]) {
        in_child(|| {
            assert_untouched(who);
            daemon_with_secret();
            fill_up(who, keys::USER, left);
            assert_eq!(stage.login(who, &["session MODULE force"]).open(), SUCCESS);
            let first = assert_keyring_for(who, (0, 0));
            stage.log();
            assert_eq!(stage.login(who, &["session MODULE own"]).open(), SUCCESS);
            assert_ne!(assert_keyring_for(who, (0, 0)), first);
            assert_told_of_full_quota(stage, who);
            // What the warning advises.
            in_the_name_of(who, || {
                let full = keys::links(keys::USER).expect("readable");
                full.into_iter().for_each(|key| keys::unlink(key, keys::USER).expect("unlinked"));
            });
            wait_until("room in the quota", || {
                keys::quota(who.uid).used_bytes < 1000 && keys::quota(who.uid).used < 10
            });
            assert_eq!(stage.login(who, &["session MODULE own"]).open(), SUCCESS);
            assert_own_keyring(who);
            stage.assert_silent();
        });
    }
}

/// The kernel gives the new keyring to the real ids.
fn a_keyring_from_su_is_charged_to_the_caller_s_real_id(stage: &Stage) {
    for (who, left) in many_users(stage, 14940, 3).into_iter().zip([Left::Keys(0), Left::Bytes(0), Left::Bytes(8)]) {
        in_child(|| {
            assert_untouched(who);
            let carols = join_as(CAROL);
            let key = keys::add("of-carol", "secret", carols).expect("a key");
            fill_up(who, keys::USER, left);
            become_ids([CAROL.uid, 0, 0], [CAROL.gid, 0, 0]);
            let before = ids();
            let mut pam = stage.login(who, &["session MODULE own revoke"]);
            assert_eq!((pam.open(), ids()), (SUCCESS, before));
            assert_told_of_full_quota(stage, who);
            let keyring = assert_keyring_for(who, (CAROL.uid, CAROL.gid));
            in_child(|| {
                become_ids([who.uid; 3], [who.gid; 3]);
                assert_eq!(errno(keys::request("of-carol")), Some(libc::ENOKEY));
                assert_eq!(errno(keys::read(key)), Some(libc::EACCES));
            });
            assert_eq!((pam.close(), ids()), (SUCCESS, before));
            assert_revoked(keyring);
        });
    }
}

fn a_caller_without_another_quota_is_told_whose_keyring_is_kept(stage: &Stage) {
    let rows =
        [Left::Keys(0), Left::Bytes(0), Left::Bytes(4)].into_iter().flat_map(|left| [(left, false), (left, true)]);
    for (who, (left, establish)) in many_users(stage, 14950, 6).into_iter().zip(rows) {
        in_child(|| {
            say_where((left, establish));
            assert_untouched(who);
            let (daemon, _) = daemon_with_secret();
            fill_up(who, keys::USER, left);
            become_ids([who.uid; 3], [who.gid; 3]);
            let before = ids();
            let mut pam = stage.login(who, &["auth MODULE force", "session MODULE force revoke"]);
            let (code, error) = if establish { (pam.setcred(ESTABLISH), CRED_ERR) } else { (pam.open(), SESSION_ERR) };
            assert_eq!((code, ids()), (error, before));
            assert_eq!(live_session(), daemon);
            let left_in = format!("the session is left in session keyring {daemon} of uid 0");
            stage.assert_logged(ERROR, &["KEYCTL_JOIN_SESSION_KEYRING", "EDQUOT", "leftovers", &left_in, who.name]);
        });
    }
}

/// Nor can there be a link to it, then.
fn without_a_user_keyring_too_the_daemon_s_is_left(stage: &Stage) {
    let lefts = [Left::Keys(0), Left::Bytes(0), Left::Bytes(4)];
    let rows = lefts.into_iter().flat_map(|left| [(left, "force revoke"), (left, "own revoke")]);
    for (who, (left, arguments)) in many_users(stage, 14960, 6).into_iter().zip(rows) {
        in_child(|| {
            say_where((left, arguments));
            assert_untouched(who);
            let (daemon, secret) = daemon_with_secret();
            fill_up(who, daemon, left);
            let before = ids();
            let mut pam = stage.login(who, &[&format!("session MODULE {arguments}")]);
            assert_eq!((pam.open(), ids()), (SESSION_ERR, before));
            let keyring = live_session();
            assert_ne!(keyring, daemon);
            assert!(keys::links(keyring).expect("readable").is_empty());
            let has = format!("the session has, without the user keyring, session keyring {keyring}");
            stage.assert_logged(ERROR, &["KEYCTL_LINK", "ENOKEY", "quota", "leftovers", &has, who.name]);
            in_child(|| {
                become_ids([who.uid; 3], [who.gid; 3]);
                assert_eq!(errno(keys::request("of-root")), Some(libc::ENOKEY));
                assert_eq!(errno(keys::read(secret)), Some(libc::EACCES));
            });
            assert_eq!((pam.close(), ids()), (PERM_DENIED, before), "libpam remembers the failure");
            assert_revoked(keyring);
        });
    }
}

fn sshd_leaves_nobody_in_its_keyring(stage: &Stage) {
    daemons::own_network();
    attack(stage, &Program { user: SEVERAL[15], ..SSHD });
}

fn su_leaves_nobody_in_its_keyring(stage: &Stage) {
    attack(stage, &Program { user: SEVERAL[16], ..SU_LOGIN });
}

fn cron_leaves_nobody_in_its_keyring(stage: &Stage) {
    let start = |stage: &Stage, user: Who| Running::daemon(daemons::cron(stage, user));
    attack(stage, &Program { name: "cron", services: &["cron"], shipped: None, user: SEVERAL[17], start });
}

/// Lets the user of a program, which runs in a session keyring with a secret of root's, fill the own quota and log in.
#[track_caller]
fn attack(stage: &Stage, program: &Program) {
    assert_untouched(program.user);
    let file = |arguments| program.services.iter().map(move |service| (*service, with_line(service, Some(arguments))));
    for arguments in ["force revoke", "own revoke"] {
        with_pam_d(stage, &file(arguments).collect::<Vec<_>>(), Caller::WithKeyring, || {
            let secret = keys::add("of-root", "secret", keys::SESSION).expect("a key");
            let switchboard = stage.install();
            if keys::quota(program.user.uid).used == 0 {
                fill_up(program.user, keys::USER, Left::Bytes(0));
            }
            stage.log();
            let running = (program.start)(stage, program.user);
            let [mut first, mut second] = [(); 2].map(|()| switchboard.answer(program.name));
            let found = [&mut first, &mut second].map(|shell| (shell.find("of-root"), shell.read(secret)));
            let users = [&mut first, &mut second].map(|shell| shell.find("000"));
            let lines = stage.log();
            let mut process = first.leave_behind(&switchboard);
            log_out(&switchboard, &running, first);
            let left = process.look().session;
            drop(process);
            log_out(&switchboard, &running, second);
            running.finish();
            stage.differs("full-quota", || {
                assert_eq!(found, [(); 2].map(|()| (Err(libc::ENOKEY), Err(libc::EACCES))), "root's");
                assert_eq!(users, [(); 2].map(|()| Ok("x".to_owned())), "the user's");
                assert_eq!(lines.iter().filter(|line| line.text.contains("EDQUOT")).count(), 2, "{lines:#?}");
                assert_eq!(left, Err(libc::EKEYREVOKED));
            });
        });
    }
}
