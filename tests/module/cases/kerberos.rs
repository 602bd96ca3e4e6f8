// SPDX-License-Identifier: MIT
//! MIT Kerberos, which keeps tickets in keyrings: those of a session are its own and end with it, those of the user are
//! there for all sessions.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::Stage;
use crate::stage::daemons::{self, Daemon, own_network};
use crate::stage::probe::{self, Outcome, Process};
use crate::stage::program::{Program, Running, SSHD, SU_LOGIN};
use crate::stage::sessions::{Caller, log_out, with_line, with_pam_d};
use crate::stage::{SEVERAL, Who, open_to_all, say_where};

cases! {
    Root:
        tickets_of_a_session_of_sshd_end_with_it
        tickets_of_a_session_of_su_end_with_it
        tickets_of_pam_krb5_are_where_docs_choosing_md_says
        what_one_login_stores_the_next_one_finds_with_user_session => "user-session";
}

fn tickets_of_a_session_of_sshd_end_with_it(stage: &Stage) {
    go_through_two_sessions(stage, Program { user: SEVERAL[10], ..SSHD });
}

fn tickets_of_a_session_of_su_end_with_it(stage: &Stage) {
    go_through_two_sessions(stage, Program { user: SEVERAL[11], ..SU_LOGIN });
}

fn go_through_two_sessions(stage: &Stage, program: Program) {
    own_network();
    let switchboard = stage.install();
    let realm = Realm::start(stage, program.user);
    let running = (program.start)(stage, program.user);
    let [mut first, mut second] = [(); 2].map(|()| switchboard.answer(program.name));

    let sessions = "KEYRING:session:tickets";
    realm.assert_no_tickets(&mut first, sessions, "not found");
    realm.get_tickets(&mut first, sessions);
    realm.assert_tickets(&mut first, sessions);
    realm.assert_no_tickets(&mut second, sessions, "not found");
    let users = ["KEYRING:user:tickets".to_owned(), format!("KEYRING:persistent:{}", program.user.uid)];
    for cache in &users {
        realm.assert_no_tickets(&mut second, cache, "not found");
        realm.get_tickets(&mut first, cache);
        realm.assert_tickets(&mut first, cache);
        realm.assert_tickets(&mut second, cache);
    }

    let mut left = first.leave_behind(&switchboard);
    realm.assert_tickets(&mut left, sessions);
    log_out(&switchboard, &running, first);
    realm.assert_no_tickets(&mut left, sessions, "Key has been revoked");
    for cache in &users {
        realm.assert_tickets(&mut second, cache);
    }
    log_out(&switchboard, &running, second);
    running.finish();
}

/// sshd calls pam_authenticate(3), pam_setcred(3) and pam_open_session(3) with real uid 0, and pam_krb5 stores its tickets in the
/// second.
fn tickets_of_pam_krb5_are_where_docs_choosing_md_says(stage: &Stage) {
    const NOT_THERE: Result<(), &str> = Err("not found");
    own_network();
    let user = SEVERAL[18];
    let realm = Realm::start(stage, user);
    realm.put_in_place(stage);
    let persistent = &*format!("KEYRING:persistent:{}", user.uid);
    // The cache, an option of pam_krb5's, and who finds tickets in it: the session, root, and what the session leaves behind.
    for (cache, option, session, root, left) in [
        ("KEYRING:session:tickets", "", Ok(()), NOT_THERE, Err("Key has been revoked")),
        ("KEYRING:user:tickets", "", NOT_THERE, Ok(()), NOT_THERE),
        (persistent, "", Ok(()), Ok(()), NOT_THERE),
        (persistent, "retain_after_close", Ok(()), Ok(()), Ok(())),
    ] {
        let pam_krb5 = format!("required pam_krb5.so ccache={cache} {option}");
        let lines = format!(
            "auth optional pam_keyinit.so force\nauth {pam_krb5}\naccount required pam_permit.so\n\
             session optional pam_keyinit.so force\nsession {pam_krb5}\nsession optional pam_keyinit.so revoke\n"
        );
        with_pam_d(stage, &[("sshd", lines)], Caller::WithoutKeyring, || {
            say_where((cache.to_owned(), option));
            let switchboard = stage.install();
            let mut running = Running::daemon(daemons::sshd(stage, "password"));
            let ssh = daemons::ssh_with_password(stage, user, "secret").spawn().expect("ssh");
            running.commands.push(ssh);
            let mut process = switchboard.answer("sshd");
            realm.assert_found(realm.run(&mut process, cache, "klist"), session);
            realm.assert_found(realm.run_as_root(cache, "klist"), root);
            let mut behind = process.leave_behind(&switchboard);
            log_out(&switchboard, &running, process);
            realm.assert_found(realm.run(&mut behind, cache, "klist"), left);
            running.finish();
        });
    }
}

/// Tickets of kinit's and the password that pam_cifscreds keeps, both in the session keyring.
fn what_one_login_stores_the_next_one_finds_with_user_session(stage: &Stage) {
    own_network();
    let user = SEVERAL[20];
    let realm = Realm::start(stage, user);
    realm.put_in_place(stage);
    let line = "session optional pam_keyinit.so user-session\n";
    let by_password = format!(
        "auth required pam_krb5.so no_ccache\nauth optional pam_cifscreds.so\naccount required pam_permit.so\n{line}\
         session required pam_cifscreds.so domain=TEST\n"
    );
    let files = [("sshd", by_password), ("su-l", with_line("su-l", Some("user-session")))];
    with_pam_d(stage, &files, Caller::WithoutKeyring, || {
        let switchboard = stage.install();
        let mut first = Running::daemon(daemons::sshd(stage, "password"));
        first.commands.push(daemons::ssh_with_password(stage, user, "secret").spawn().expect("ssh"));
        let mut process = switchboard.answer("sshd");
        realm.get_tickets(&mut process, "KEYRING:session:tickets");
        log_out(&switchboard, &first, process);
        first.finish();

        let second = (SU_LOGIN.start)(stage, user);
        let [mut process, other] = [(); 2].map(|()| switchboard.answer("su -l"));
        realm.assert_tickets(&mut process, "KEYRING:session:tickets");
        let password = process.run("keyctl search @s logon cifs:d:TEST");
        assert!(password.success, "{password:?}");
        log_out(&switchboard, &second, process);
        log_out(&switchboard, &second, other);
        second.finish();
    });
}

/// A realm with one user, on this machine.
struct Realm {
    directory: PathBuf,
    user: Who,
    _kdc: Daemon,
}

impl Realm {
    fn start(stage: &Stage, user: Who) -> Realm {
        let directory = stage.directory.join("krb5");
        fs::create_dir(&directory).expect("a directory");
        open_to_all(&directory);
        let place = directory.display();
        let client = "[libdefaults]\ndefault_realm = TEST\ndns_lookup_kdc = false\ndns_lookup_realm = false\n\
                      [realms]\nTEST = {\nkdc = 127.0.0.1\n}\n[logging]\nkdc = STDERR\n";
        let server = format!(
            "[realms]\nTEST = {{\nkdc_listen = 127.0.0.1\nkdc_tcp_listen = 127.0.0.1\ndatabase_name = {place}/principal\n\
             key_stash_file = {place}/stash\nacl_file = {place}/acl\n}}\n"
        );
        fs::write(directory.join("krb5.conf"), client).expect("a file");
        fs::write(directory.join("kdc.conf"), server).expect("a file");
        let command = |line: &[&str]| {
            let mut command = Command::new(line[0]);
            command.args(&line[1..]).env("KRB5_CONFIG", directory.join("krb5.conf"));
            command.env("KRB5_KDC_PROFILE", directory.join("kdc.conf"));
            command
        };
        let add = format!("add_principal -pw secret {}", user.name);
        for line in [&["kdb5_util", "create", "-s", "-P", "secret"][..], &["kadmin.local", "-q", &add]] {
            let output = command(line).output().expect("a command");
            assert!(output.status.success(), "{line:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        let kdc = Daemon::start(&mut command(&["krb5kdc", "-n"])).wait_for("commencing operation");
        Realm { directory, user, _kdc: kdc }
    }

    /// Makes it the system's, for modules that are told of no other.
    fn put_in_place(&self, stage: &Stage) {
        let config = fs::read_to_string(self.directory.join("krb5.conf")).expect("our own file");
        stage.put_over("/etc/krb5.conf", &config);
    }

    /// Lets a process run a command of Kerberos's.
    fn run(&self, process: &mut Process, cache: &str, command: &str) -> Outcome {
        process.run(&self.line(cache, command))
    }

    /// Runs a command of Kerberos's as root.
    fn run_as_root(&self, cache: &str, command: &str) -> Outcome {
        probe::run(&self.line(cache, command))
    }

    fn line(&self, cache: &str, command: &str) -> String {
        let config = self.directory.join("krb5.conf");
        format!("export KRB5_CONFIG={} KRB5CCNAME={cache} LC_ALL=C; {command}", config.display())
    }

    #[track_caller]
    fn get_tickets(&self, process: &mut Process, cache: &str) {
        let outcome = self.run(process, cache, &format!("echo secret | kinit {}", self.user.name));
        assert!(outcome.success, "{cache}: {outcome:?}");
    }

    #[track_caller]
    fn assert_tickets(&self, process: &mut Process, cache: &str) {
        self.assert_found(self.run(process, cache, "klist"), Ok(()));
    }

    #[track_caller]
    fn assert_no_tickets(&self, process: &mut Process, cache: &str, why: &str) {
        self.assert_found(self.run(process, cache, "klist"), Err(why));
    }

    /// Asserts that klist has found tickets, or has said why not.
    #[track_caller]
    fn assert_found(&self, outcome: Outcome, expected: Result<(), &str>) {
        let whose = format!("Default principal: {}@TEST", self.user.name);
        let parts = expected.map_or_else(|why| vec![why], |()| vec![&*whose, "krbtgt/TEST@TEST"]);
        assert_eq!(outcome.success, expected.is_ok(), "{outcome:?}");
        assert!(parts.iter().all(|part| outcome.output.contains(part)), "{outcome:?}");
    }
}
