// SPDX-License-Identifier: MIT
//! What happens to the session keyring in a login, step by step.

use std::io::{self, Write};
use std::path::Path;

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use serde::Serialize;

use crate::directive::Type;
use crate::dispatch::{Run, run, run_again};
use crate::known::{self, OUR_WORDS, is_c_module};
use crate::report::visible;
use crate::stack::{Entry, Service, Step};
use crate::tree::Tree;

/// The session keyring that the program has at first.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, ValueEnum, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Before {
    /// The user-session keyring, which is none of its own.
    None,
    /// Somebody else's: root's, of a daemon that systemd has started or of a caller.
    Other,
    /// The user's own, with the user keyring in it.
    User,
}

/// What a line does to the session keyring.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// The session has a new one.
    Made,
    /// The session is in the one that all sessions of the user with this word share.
    Shared,
    /// The user keyring is linked into it.
    Linked,
    /// The one that was there goes on.
    Kept,
    /// It is revoked.
    Revoked,
    /// Nothing is left in it but the user keyring.
    Cleared,
    /// It is left as it is, to the last process that has it.
    Left,
}

/// A line, in one of the application's calls.
#[derive(Clone, PartialEq, Eq, Serialize, Debug)]
pub struct Moment<'a> {
    /// The service.
    pub service: &'a str,
    /// setcred, open or close.
    pub call: &'static str,
    /// The file of the line.
    pub file: &'a Path,
    /// Its number.
    pub line: usize,
    /// The module and its arguments.
    pub module: String,
    /// Whether libpam calls it, if all modules succeed that should.
    pub reached: bool,
    /// What it does to the session keyring.
    pub events: Vec<Event>,
}

/// What the lines of a login have asked for and done so far.
struct Login {
    before: Before,
    words: Vec<String>,
    made: bool,
    shared: bool,
    open: usize,
}

/// Goes through a login in which all goes well.
pub fn explain<'a>(tree: &Tree, service: &'a Service, before: Before) -> Vec<Moment<'a>> {
    let mut login = Login { before, words: Vec::new(), made: false, shared: false, open: 0 };
    let mut moments = Vec::new();
    if service.refused {
        return moments;
    }
    let usual = |stack: &'a [Entry]| {
        move |index: usize| {
            stack.get(index).and_then(Entry::module).map_or(0, |module| known::usual_answer(module, &service.name))
        }
    };
    let (auth, session) = (service.stack(Type::Auth), service.stack(Type::Session));
    let first = run(auth, usual(auth));
    let setcred = run_again(auth, &first, usual(auth));
    let open = run(session, usual(session));
    let close = run_again(session, &open, usual(session));
    for (call, stack, run) in [("setcred", auth, &setcred), ("open", session, &open), ("close", session, &close)] {
        moments.extend(login.go_through(tree, service, call, stack, run));
    }
    moments
}

impl Login {
    fn go_through<'a>(
        &mut self,
        tree: &Tree,
        service: &'a Service,
        call: &'static str,
        stack: &'a [Entry],
        run: &Run,
    ) -> Vec<Moment<'a>> {
        let mut moments = Vec::new();
        for (index, entry) in stack.iter().enumerate().filter(|(_, entry)| entry.step != Step::Substack) {
            let reached = run.passed.iter().any(|(passed, _)| *passed == index);
            let module = entry.module().map_or("a failure, as libpam cannot read the line".to_owned(), |module| {
                [std::slice::from_ref(&module.path), &module.arguments].concat().join(" ")
            });
            let events = if reached { self.events(tree, call, entry) } else { Vec::new() };
            moments.push(Moment {
                service: &service.name,
                call,
                file: &entry.file,
                line: entry.line,
                module,
                reached,
                events,
            });
        }
        moments
    }

    fn events(&mut self, tree: &Tree, call: &str, entry: &Entry) -> Vec<Event> {
        let Some(module) = entry.keyinit() else { return Vec::new() };
        let is_c = is_c_module(tree, &module.path);
        let words = module.arguments.iter().filter(|word| !(is_c && OUR_WORDS.contains(&&***word)));
        self.words.extend(words.cloned());
        match call {
            "close" => self.close(),
            "open" => {
                self.open += 1;
                self.ensure()
            }
            _ => self.ensure(),
        }
    }

    fn asked(&self, word: &str) -> bool {
        self.words.iter().any(|asked| asked == word)
    }

    fn ensure(&mut self) -> Vec<Event> {
        if self.made || self.shared {
            return Vec::new();
        }
        if self.asked("user-session") {
            self.shared = true;
            return vec![Event::Shared, Event::Linked];
        }
        self.made = match self.before {
            _ if self.asked("force") => true,
            Before::None => true,
            Before::Other => self.asked("own"),
            Before::User => false,
        };
        if self.made { vec![Event::Made, Event::Linked] } else { vec![Event::Kept] }
    }

    fn close(&mut self) -> Vec<Event> {
        self.open = self.open.saturating_sub(1);
        if self.open > 0 {
            return Vec::new();
        }
        vec![match self.made {
            true if self.asked("revoke") => Event::Revoked,
            true if self.asked("clear") => Event::Cleared,
            _ => Event::Left,
        }]
    }
}

/// In words.
fn words(event: Event, before: Before) -> &'static str {
    match (event, before) {
        (Event::Made, _) => "makes a session keyring",
        (Event::Shared, _) => "joins the session keyring that the user's sessions share",
        (Event::Linked, _) => "links the user keyring into it",
        (Event::Kept, Before::Other) => "keeps the session keyring that is there: somebody else's",
        (Event::Kept, _) => "keeps the session keyring that is there",
        (Event::Revoked, _) => "revokes the session keyring: what goes on finds no key",
        (Event::Cleared, _) => "clears the session keyring: what goes on finds the user's keys",
        (Event::Left, _) => "leaves the session keyring to what goes on",
    }
}

/// The stacks of a service, for people.
pub fn text(out: &mut impl Write, service: &Service, before: Before, moments: &[Moment]) -> io::Result<()> {
    let bold = Style::new().bold();
    let green = Style::new().fg_color(Some(AnsiColor::Green.into()));
    let dim = Style::new().dimmed();
    let whose = match before {
        Before::None => "no session keyring of its own",
        Before::Other => "somebody else's session keyring, as a daemon's under systemd",
        Before::User => "the user's own session keyring",
    };
    writeln!(out, "{bold}{}{bold:#}, from a process with {whose}, if all modules succeed that should", service.name)?;
    if service.refused {
        writeln!(out, "  libpam does not start this service: see pam_keyinit_check {}", service.name)?;
    }
    let mut call = "";
    for moment in moments {
        if moment.call != call {
            call = moment.call;
            writeln!(out, "{bold}{call}{bold:#}")?;
        }
        let place = format!("{}:{}", moment.file.file_name().unwrap_or_default().to_string_lossy(), moment.line);
        let module = visible(&moment.module, 100);
        if moment.reached {
            writeln!(out, "  {place:<24} {module}")?;
        } else {
            writeln!(out, "  {dim}{place:<24} ({module}: not called){dim:#}")?;
        }
        for event in &moment.events {
            writeln!(out, "  {:<24} {green}-> {}{green:#}", "", words(*event, before))?;
        }
    }
    Ok(())
}
