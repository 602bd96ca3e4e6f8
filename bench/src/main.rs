// SPDX-License-Identifier: MIT
//! What a login costs with this module, beside the system's C module: measured in pairs, each sample in a process of its
//! own, with the system's libpam, on the kernel's keyrings. `make bench` runs it.
//!
//! It prints the tables of docs/cost.md, and writes them and the measurements of how the costs grow to docs/, as CSV and as pictures.

#![allow(clippy::indexing_slicing, reason = "a measurement may panic")]

mod draw;
mod growth;
mod rows;
mod samples;
mod support;

use std::array;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use nix::sys::utsname::uname;
use nix::unistd::Uid;
use serde::Serialize;

use support::artefact;
use support::cost::{self, Place, Service};

/// What is measured, by the name of its file, all equally long.
const MODULES: [&str; 3] = ["ours.so", "them.so", "none.so"];
/// What they are.
const NAMES: [&str; 3] = ["this module", "C module", "a module that does nothing"];
/// Where this module stands in these, the C module, and one that does nothing, pam_permit(8).
const OURS: usize = 0;
const THEIRS: usize = 1;
const NOTHING: usize = 2;

/// The modules, where they are measured, and a service of each.
struct Bench {
    place: Place,
    modules: [PathBuf; 3],
    services: [Service; 3],
}

impl Bench {
    fn new() -> Bench {
        let theirs = artefact::installed();
        let files = [artefact::release(), theirs.clone(), theirs.with_file_name("pam_permit.so")];
        let place = Place::enter();
        let modules = array::from_fn(|index| place.copy(&files[index], MODULES[index]));
        let services = modules.each_ref().map(|module| place.own_keyring(module));
        Bench { place, modules, services }
    }
}

fn main() -> ExitCode {
    if cost::is_counted() {
        return ExitCode::SUCCESS;
    }
    if !Uid::effective().is_root() {
        eprintln!("make bench needs root, for users of its own and for namespaces");
        return ExitCode::FAILURE;
    }
    let run = run();
    let bench = Bench::new();

    let rows = rows::measure(&bench);
    println!("{}\n{run}\n", rows::table(&rows));
    let docs = artefact::root().join("docs");
    write_csv(&docs.join("bench.csv"), &rows);
    draw::rows(&docs.join("bench.svg"), &rows, &run);

    let points = growth::measure(&bench);
    println!("{}", growth::table(&points));
    write_csv(&docs.join("growth.csv"), &points);
    draw::growth(&docs.join("growth.svg"), &points, &run);
    ExitCode::SUCCESS
}

/// What this run was made with.
fn run() -> String {
    let rustc = Command::new(env::var_os("RUSTC").unwrap_or("rustc".into())).arg("--version").output().expect("rustc");
    let rustc = String::from_utf8(rustc.stdout).expect("text");
    let cpus = fs::read_to_string("/proc/cpuinfo").expect("/proc");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown processor");
    let count = std::thread::available_parallelism().expect("a count");
    let virtual_machine = if cpus.contains(" hypervisor") { ", a virtual machine" } else { "" };
    let system = uname().expect("uname");
    format!(
        "{}, kernel {}, {}, {count} CPUs{virtual_machine}",
        rustc.split(" (").next().expect("a version"),
        system.release().to_string_lossy().split('-').next().expect("a version"),
        model.trim_start_matches([' ', '\t', ':']),
    )
}

fn write_csv(file: &Path, records: &[impl Serialize]) {
    let mut writer = csv::Writer::from_path(file).expect("a file in docs");
    records.iter().for_each(|record| writer.serialize(record).expect("a record"));
    writer.flush().expect("a file in docs");
}
