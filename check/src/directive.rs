// SPDX-License-Identifier: MIT
//! What one line of a configuration file says, pam.conf(5).

use crate::control::Control;
use crate::line::{Words, nearest};

/// The first word: which of an application's calls the line is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "the words of pam.conf(5)")]
pub enum Type {
    Auth,
    Account,
    Session,
    Password,
}

impl Type {
    /// All of them.
    pub const ALL: [Type; 4] = [Type::Auth, Type::Account, Type::Session, Type::Password];

    /// As it stands in a line.
    pub fn name(self) -> &'static str {
        match self {
            Type::Auth => "auth",
            Type::Account => "account",
            Type::Session => "session",
            Type::Password => "password",
        }
    }
}

/// A line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Directive {
    /// None where there is no such type. For `@include` it is what the file is read for.
    pub kind: Option<Type>,
    /// `-` before the type: nothing is logged where the module is not there.
    pub silent: bool,
    /// What becomes of the module's answer.
    pub control: Control,
    /// What the line asks for.
    pub what: What,
    /// What is wrong with it. libpam then lets the stack fail, with two exceptions: see [`crate::stack`].
    pub fault: Option<String>,
    /// libpam has a failure in the place of the module.
    pub must_fail: bool,
}

/// What a line asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// A module, by its file.
    Module(Module),
    /// The lines of another file: of this line's type, or with `@include` of all.
    Include {
        /// Which file; a line may lack it.
        name: Option<String>,
        /// How.
        how: How,
    },
    /// Nothing that libpam could do.
    Nothing,
}

/// How a file is included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the words of pam.conf(5)")]
pub enum How {
    Include,
    Substack,
    /// `@include`, of Debian's libpam.
    At,
}

/// A module's file and arguments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Module {
    /// As the line has it.
    pub path: String,
    /// Its arguments.
    pub arguments: Vec<String>,
}

impl Module {
    /// The name of its file.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Whether an argument is this word.
    pub fn has(&self, word: &str) -> bool {
        self.arguments.iter().any(|argument| argument == word)
    }

    /// Whether it is a pam_keyinit, under whatever name a distribution has it.
    pub fn is_keyinit(&self) -> bool {
        self.name().starts_with("pam_keyinit") && self.name().ends_with(".so")
    }
}

fn no_such_type(name: &str) -> String {
    match nearest(name, &Type::ALL.map(Type::name)) {
        Some(kind) => format!("no such type: {name:?} ({kind}?)"),
        None => format!("no such type: {name:?}"),
    }
}

impl Directive {
    /// Reads what is left of a line, for a libpam that knows `@include` or does not.
    pub fn read(mut words: Words, knows_at: bool) -> Directive {
        let first = words.next().unwrap_or_default();
        let (silent, name) = first.strip_prefix('-').map_or((false, &*first), |name| (true, name));
        let kind = Type::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name));
        let mut directive =
            Directive { kind, silent, control: Control::BAD, what: What::Nothing, fault: None, must_fail: false };
        if knows_at && name.eq_ignore_ascii_case("@include") {
            directive.what = What::Include { name: words.next(), how: How::At };
            return directive;
        }
        if kind.is_none() {
            directive.fail(if first.is_empty() { "no type".to_owned() } else { no_such_type(name) });
        }
        directive.read_control(words);
        directive
    }

    fn read_control(&mut self, mut words: Words) {
        match words.next() {
            None => self.fail("no control, as required or optional".to_owned()),
            Some(word) if word.eq_ignore_ascii_case("include") => return self.include(words, How::Include),
            Some(word) if word.eq_ignore_ascii_case("substack") => return self.include(words, How::Substack),
            Some(word) => match Control::parse(&word) {
                Ok(control) => self.control = control,
                Err(fault) => self.note(format!("control {word:?}: {fault}")),
            },
        }
        match words.next() {
            Some(path) => self.what = What::Module(Module { path, arguments: words.collect() }),
            None => self.fail("no module".to_owned()),
        }
    }

    fn include(&mut self, mut words: Words, how: How) {
        self.what = What::Include { name: words.next(), how };
    }

    /// Keeps the first of the faults.
    fn note(&mut self, fault: String) {
        self.fault.get_or_insert(fault);
    }

    fn fail(&mut self, fault: String) {
        self.note(fault);
        self.must_fail = true;
    }
}
