// SPDX-License-Identifier: MIT
//! Real logins: the system's own programs with their own files in /etc/pam.d, and the module in the place of the
//! system's. The shell of the user reports what it finds, see `probe`.

use std::process::Command;

use nix::pty::openpty;

use crate::Stage;
use crate::stage::daemons;
use crate::stage::probe::SHELL;
use crate::stage::program::{Program, Running, SSHD, SU_LOGIN, twice};
use crate::stage::sessions::{try_out, try_with};
use crate::stage::{SEVERAL, Who};

cases! {
    Root:
        sessions_of_sshd
        sessions_of_login
        sessions_of_su
        sessions_of_su_as_a_login
        sessions_of_runuser
        sessions_of_runuser_as_a_login
        sessions_of_sudo
        sessions_of_sudo_as_a_login
        sessions_of_sudo_with_fedoras_lines
        sessions_of_cron
        sessions_of_at;
}

fn sessions_of_sshd(stage: &Stage) {
    daemons::own_network();
    try_out(stage, &SSHD);
}

fn sessions_of_su_as_a_login(stage: &Stage) {
    try_out(stage, &SU_LOGIN);
}

fn sessions_of_login(stage: &Stage) {
    let start = |_: &Stage, user: Who| {
        let mut running = Running::default();
        for terminal in [(); 2].map(|()| openpty(None, None).expect("a terminal")) {
            // As its controlling terminal, in a session of the kernel's as well.
            let mut login = Command::new("setsid");
            let side = || terminal.slave.try_clone().expect("a descriptor");
            login.args(["--ctty", "login", "-f", user.name]).stdin(side()).stdout(side()).stderr(side());
            running.commands.push(login.spawn().expect("login"));
            running.terminals.push(terminal);
        }
        running
    };
    try_out(
        stage,
        &Program { name: "login", services: &["login"], shipped: Some("force revoke"), user: SEVERAL[2], start },
    );
}

fn sessions_of_su(stage: &Stage) {
    let start = |_: &Stage, user: Who| twice(&["su", user.name]);
    try_out(stage, &Program { name: "su", services: &["su"], shipped: None, user: SEVERAL[3], start });
}

fn sessions_of_runuser(stage: &Stage) {
    let start = |_: &Stage, user: Who| twice(&["runuser", user.name]);
    try_out(
        stage,
        &Program { name: "runuser", services: &["runuser"], shipped: Some("revoke"), user: SEVERAL[4], start },
    );
}

fn sessions_of_runuser_as_a_login(stage: &Stage) {
    let (services, shipped) = (&["runuser-l", "runuser"], Some("force revoke"));
    let start = |_: &Stage, user: Who| twice(&["runuser", "-l", user.name]);
    try_out(stage, &Program { name: "runuser -l", services, shipped, user: SEVERAL[5], start });
}

fn sudo(login: bool) -> Program {
    if login {
        let start = |stage: &Stage, user: Who| {
            allow_sudo(stage);
            twice(&["sudo", "-n", "-u", user.name, "-i"])
        };
        return Program { name: "sudo -i", services: &["sudo-i"], shipped: None, user: SEVERAL[6], start };
    }
    let start = |stage: &Stage, user: Who| {
        allow_sudo(stage);
        twice(&["sudo", "-n", "-u", user.name, stage.directory.join(SHELL).to_str().expect("UTF-8")])
    };
    Program { name: "sudo", services: &["sudo"], shipped: None, user: SEVERAL[7], start }
}

/// What Debian ships, for root.
fn allow_sudo(stage: &Stage) {
    stage.put_over("/etc/sudoers", "Defaults env_reset\nDefaults use_pty\nroot ALL=(ALL:ALL) ALL\n");
}

fn sessions_of_sudo(stage: &Stage) {
    try_out(stage, &sudo(false));
}

fn sessions_of_sudo_as_a_login(stage: &Stage) {
    try_out(stage, &sudo(true));
}

/// sudo runs the module twice there, sudo -i three times.
fn sessions_of_sudo_with_fedoras_lines(stage: &Stage) {
    let sudo_i = "
        auth       include    sudo
        account    include    sudo
        session    optional   pam_keyinit.so force revoke
        session    include    sudo";
    let sudo_itself = "
        auth       include    system-auth
        account    include    system-auth
        session    optional   pam_keyinit.so revoke
        session    required   pam_limits.so
        session    include    system-auth";
    let system_auth = "
        auth       required   pam_unix.so
        account    required   pam_unix.so
        session    optional   pam_keyinit.so revoke
        session    required   pam_limits.so
        session    required   pam_unix.so";
    let files = [("sudo-i", sudo_i), ("sudo", sudo_itself), ("system-auth", system_auth)];
    let files = files.map(|(name, text)| (name, text.to_owned()));
    try_with(stage, &sudo(true), Some("force revoke"), &files);
    try_with(stage, &sudo(false), Some("revoke"), &files);
}

fn sessions_of_cron(stage: &Stage) {
    let start = |stage: &Stage, user: Who| Running::daemon(daemons::cron(stage, user));
    try_out(stage, &Program { name: "cron", services: &["cron"], shipped: None, user: SEVERAL[8], start });
}

fn sessions_of_at(stage: &Stage) {
    let start = |stage: &Stage, user: Who| Running::daemon(daemons::atd(stage, user));
    try_out(stage, &Program { name: "at", services: &["atd"], shipped: None, user: SEVERAL[9], start });
}
