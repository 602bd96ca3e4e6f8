// SPDX-License-Identifier: MIT
//! `pam_keyinit_check`: is the line in the right place?
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::env;
use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;

use anstream::StripStream;
use clap::Parser as _;

use keyinit_check::explain::{self, Before};
use keyinit_check::known;
use keyinit_check::krb5::Krb5;
use keyinit_check::options::{Format, Options};
use keyinit_check::report;
use keyinit_check::rules::{Severity, findings};
use keyinit_check::session;
use keyinit_check::stack::Service;
use keyinit_check::tree::Tree;

/// What it found, as an exit status.
enum Found {
    Nothing = 0,
    Something = 1,
    /// It could not look.
    Unknown = 2,
}

fn main() -> ExitCode {
    let options = Options::parse(); // ends with 2 if it cannot
    match run(&options) {
        Ok(found) => ExitCode::from(found as u8),
        // `| head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "pam_keyinit_check: {error}"));
            ExitCode::from(Found::Unknown as u8)
        }
    }
}

/// Standard output, with colours on a terminal only.
fn output() -> Box<dyn Write> {
    let stdout = io::stdout();
    let asked_not = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let coloured = stdout.is_terminal() && !asked_not && env::var_os("TERM").is_none_or(|name| name != "dumb");
    if coloured { Box::new(stdout) } else { Box::new(StripStream::new(stdout)) }
}

fn run(options: &Options) -> io::Result<Found> {
    let mut out = io::BufWriter::new(output());
    if options.list {
        report::rules(&mut out)?;
        out.flush()?;
        return Ok(Found::Nothing);
    }
    if let Some(pid) = options.session {
        let session = session::look(pid)?;
        match options.format {
            Format::Text => session::text(&mut out, &session)?,
            Format::Json => report::json(&mut out, &session)?,
        }
        out.flush()?;
        return Ok(if session.is_good() { Found::Nothing } else { Found::Something });
    }
    let tree = Tree::new(&options.root);
    let services = services(&tree, &options.services)?;
    if options.explain {
        let before = options.from.unwrap_or(Before::Other);
        let all: Vec<_> = services.iter().map(|service| explain::explain(&tree, service, before)).collect();
        match options.format {
            Format::Text => {
                for (service, moments) in services.iter().zip(&all) {
                    explain::text(&mut out, service, before, moments)?;
                }
            }
            Format::Json => report::json(&mut out, all.concat().as_slice())?,
        }
        out.flush()?;
        return Ok(Found::Nothing);
    }
    let krb5 = Krb5::read(&tree);
    let all: Vec<_> = services.iter().flat_map(|service| findings(&tree, service, &krb5)).collect();
    match options.format {
        Format::Text => report::text(&mut out, &all, services.len())?,
        Format::Json => report::json(&mut out, all.as_slice())?,
    }
    out.flush()?;
    let unreadable: BTreeSet<_> = services.iter().flat_map(|service| &service.unreadable).collect();
    for (file, why) in &unreadable {
        writeln!(io::stderr(), "pam_keyinit_check: {}: {why}; run it as a user who may read it", file.display())?;
    }
    Ok(match all.iter().map(|finding| finding.severity).min() {
        _ if !unreadable.is_empty() => Found::Unknown,
        Some(Severity::Error | Severity::Warning) => Found::Something,
        _ => Found::Nothing,
    })
}

/// The services that are asked for, or else all but those files that are only parts of others.
fn services(tree: &Tree, names: &[String]) -> io::Result<Vec<Service>> {
    if names.is_empty() {
        let all: Vec<_> = tree.services()?.iter().map(|name| Service::read(tree, name)).collect();
        if all.is_empty() {
            return Err(io::Error::other(
                "there are no services: neither /etc/pam.d nor a vendor's directory has a file",
            ));
        }
        let included: BTreeSet<_> = all.iter().flat_map(|service| service.includes.clone()).collect();
        return Ok(all
            .into_iter()
            .filter(|service| known::is_program(&service.name) || !included.contains(&service.name))
            .collect());
    }
    names
        .iter()
        .map(|name| Service::read(tree, name))
        .map(|service| match service.is_there() {
            true => Ok(service),
            false => Err(io::Error::other(format!(
                "there is no service {:?}; libpam would take `other` for it",
                service.name
            ))),
        })
        .collect()
}
