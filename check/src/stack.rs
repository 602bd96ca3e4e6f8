// SPDX-License-Identifier: MIT
//! The stacks of a service: its lines and those of all that it includes, as libpam puts them together.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::control::Control;
use crate::directive::{Directive, How, Module, Type, What};
use crate::line::{FaultKind, Line, Words, lines};
use crate::tree::{Config, Content, Tree};

/// libpam's limit for substacks in each other, and since 1.7 for includes. Before that, a circle of includes crashes it.
const MOST_LEVELS: usize = 16;
/// Lines of a service with all that it includes. libpam has no such limit, but files that double themselves need one.
const MOST_LINES: usize = 10_000;
/// The service for all that have no lines of a type.
const OTHER: &str = "other";

/// A step of a stack.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The stack that it is in.
    pub kind: Type,
    /// How many substacks it is inside of.
    pub level: usize,
    /// The file of the line, which may be an included one.
    pub file: Rc<Path>,
    /// The number of the line in it.
    pub line: usize,
    /// `-` before the type.
    pub silent: bool,
    /// What becomes of its answer.
    pub control: Control,
    /// What is done.
    pub step: Step,
}

/// See [`Entry`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// A module is called.
    Module(Module),
    /// libpam answers PAM_PERM_DENIED by itself, for a line that it cannot make out.
    Fail,
    /// What follows one level deeper is a substack.
    Substack,
}

impl Entry {
    /// Its module, if it has one.
    pub fn module(&self) -> Option<&Module> {
        match &self.step {
            Step::Module(module) => Some(module),
            _ => None,
        }
    }

    /// Its module, if that is a pam_keyinit.
    pub fn keyinit(&self) -> Option<&Module> {
        self.module().filter(|module| module.is_keyinit())
    }
}

/// A line that libpam does not read as it was meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Where it is.
    pub file: Rc<Path>,
    /// In which line.
    pub line: usize,
    /// For which stack it counts; None for all.
    pub kind: Option<Type>,
    /// What is wrong, and what comes of it.
    pub message: String,
    /// Whether one can tell what libpam does.
    pub known: Known,
}

/// See [`Fault`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Known {
    /// Versions differ, and this is what 1.7 does.
    Newer,
    /// 1.5 and 1.7 do the same.
    Always,
    /// libpam goes by memory that it has not set.
    Never,
}

/// A service as libpam has it when the application has started.
#[derive(Clone, Default, Debug)]
pub struct Service {
    /// Its name, in lower case and without a directory, as libpam takes it.
    pub name: String,
    /// Its own file.
    pub file: Option<PathBuf>,
    own: [Vec<Entry>; 4],
    other: [Vec<Entry>; 4],
    /// libpam refuses to start the service at all.
    pub refused: bool,
    /// What is wrong with its files.
    pub faults: Vec<Fault>,
    /// How many lines libpam reads for it.
    pub lines: usize,
    /// The names of the files that it includes.
    pub includes: BTreeSet<String>,
    /// Files that cannot be looked at, and why.
    pub unreadable: Vec<(PathBuf, String)>,
}

impl Service {
    /// Reads a service as libpam does for an application of this name.
    pub fn read(tree: &Tree, name: &str) -> Service {
        let name = name.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        let mut reading = Reading { tree, service: Service { name: name.clone(), ..Service::default() } };
        reading.service.refused = reading.all(&name).is_err();
        reading.service
    }

    /// Whether it has a file, or lines in /etc/pam.conf.
    pub fn is_there(&self) -> bool {
        self.file.is_some() || self.entries().next().is_some()
    }

    /// The lines of a type: the service's, or else those of `other`.
    pub fn stack(&self, kind: Type) -> &[Entry] {
        let [own, other] =
            [&self.own, &self.other].map(|stacks| stacks.get(kind as usize).map_or(&[][..], Vec::as_slice));
        if own.is_empty() { other } else { own }
    }

    /// The service's own lines of all types, one after the other, without those of `other`.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.own.iter().flatten()
    }
}

/// libpam does not read a file to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refused {
    /// It reports an error, which a line that includes the file makes a failure.
    File,
    /// It ends the process, or this is where we stop.
    All,
}

struct Reading<'a> {
    tree: &'a Tree,
    service: Service,
}

/// What a file is read for.
#[derive(Clone, Copy)]
struct Purpose {
    /// Lines of one type, or of all.
    kind: Option<Type>,
    level: usize,
    includes: usize,
    /// For the service `other`.
    other: bool,
}

impl Reading<'_> {
    fn all(&mut self, name: &str) -> Result<(), Refused> {
        let purpose = Purpose { kind: None, level: 0, includes: 0, other: false };
        if let Some(config) = self.tree.pam_conf() {
            return self.file(&config, purpose, true);
        }
        let own = self.tree.service(name);
        if let Some(config) = &own {
            self.service.file = Some(config.path.clone());
            // libpam knows the service `other` by its name alone, and reads its file a second time below.
            self.file(config, Purpose { other: name == OTHER, ..purpose }, false)?;
        }
        match self.tree.service(OTHER) {
            Some(config) => self.file(&config, Purpose { other: true, ..purpose }, false),
            None if own.is_none() => Err(Refused::File),
            None => Ok(()),
        }
    }

    fn file(&mut self, config: &Config, purpose: Purpose, is_pam_conf: bool) -> Result<(), Refused> {
        let file: Rc<Path> = Rc::from(&*config.path);
        let bytes = match &config.content {
            Content::Bytes(bytes) => bytes,
            Content::Directory => {
                self.fault(&file, 0, purpose.kind, "is a directory, which libpam takes for an empty file".to_owned());
                return Ok(());
            }
            Content::Unreadable(why) => {
                if self.service.unreadable.iter().all(|(path, _)| *path != config.path) {
                    self.service.unreadable.push((config.path.clone(), why.clone()));
                }
                return Ok(());
            }
        };
        let (lines, faults) = lines(bytes);
        for fault in &faults {
            self.line_fault(&file, fault.number, fault.kind);
        }
        for line in &lines {
            self.service.lines += 1;
            if self.service.lines > MOST_LINES {
                self.fault(&file, line.number, None, format!("is past {MOST_LINES} lines: files include each other"));
                return Err(Refused::All);
            }
            self.line(&file, line, purpose, is_pam_conf)?;
        }
        if faults.iter().any(|fault| fault.kind == FaultKind::Unfinished) { Err(Refused::File) } else { Ok(()) }
    }

    fn line_fault(&mut self, file: &Rc<Path>, number: usize, kind: FaultKind) {
        let message = match kind {
            FaultKind::Unfinished => "ends in a backslash with no line after it: libpam does not start the service",
            FaultKind::Long => "is longer than 1022 bytes: libpam 1.5 reads its end as a line of its own",
            FaultKind::Interrupted => {
                "is empty or a comment, after a backslash: libpam 1.5 goes on with the line after it, 1.7 does not"
            }
        };
        self.fault(file, number, None, message.to_owned());
        if let Some(last) = self.service.faults.last_mut() {
            last.known = if kind == FaultKind::Unfinished { Known::Always } else { Known::Newer };
        }
    }

    fn line(&mut self, file: &Rc<Path>, line: &Line, purpose: Purpose, is_pam_conf: bool) -> Result<(), Refused> {
        let mut words = Words(&line.text);
        let mut purpose = purpose;
        if is_pam_conf {
            let service = words.next().unwrap_or_default();
            purpose.other = service.eq_ignore_ascii_case(OTHER);
            if !purpose.other && !service.eq_ignore_ascii_case(&self.service.name) {
                return Ok(());
            }
        }
        let directive = Directive::read(words, self.tree.is_debian());
        let at = matches!(directive.what, What::Include { how: How::At, .. });
        // What is for no type counts for the one that is asked for, else for the most sensitive one.
        let kind = directive.kind.or(purpose.kind).unwrap_or(Type::Auth);
        if purpose.kind.is_some_and(|asked| asked != kind) {
            return Ok(());
        }
        let counts_for = if at { purpose.kind } else { Some(kind) };
        if let Some(fault) = &directive.fault {
            let outcome = if directive.must_fail {
                "libpam has a failure in its place"
            } else {
                "whatever the module answers is a failure"
            };
            self.fault(file, line.number, counts_for, format!("has {fault}: {outcome}"));
        }
        let entry = Entry {
            kind,
            level: purpose.level,
            file: file.clone(),
            line: line.number,
            silent: directive.silent,
            control: directive.control,
            step: Step::Fail,
        };
        match directive.what {
            What::Module(module) if module.path.is_empty() => {
                self.fault(file, line.number, None, "names no module: libpam does not start the service".to_owned());
                return Err(Refused::File);
            }
            What::Module(module) if !directive.must_fail => {
                self.push(purpose, Entry { step: Step::Module(module), ..entry })
            }
            What::Module(_) | What::Nothing => self.push(purpose, entry),
            What::Include { name, how } => {
                let inner = Purpose { kind: counts_for, includes: purpose.includes + 1, ..purpose };
                self.include(entry, purpose, inner, name.as_deref(), how)?;
            }
        }
        Ok(())
    }

    /// Reads an included file. If that fails, the line stands for a failure; but a failed `@include` for all types is the
    /// end of the service.
    fn include(
        &mut self,
        entry: Entry,
        outer: Purpose,
        inner: Purpose,
        name: Option<&str>,
        how: How,
    ) -> Result<(), Refused> {
        let mut inner = inner;
        if how == How::Substack {
            inner.level += 1;
            self.push(outer, Entry { step: Step::Substack, ..entry.clone() });
        }
        // What `[]` names.
        let read = match (name, how) {
            (Some(""), How::Include) => {
                let message = "includes \"\": libpam leaves the line out".to_owned();
                self.fault(&entry.file, entry.line, inner.kind, message);
                return Ok(());
            }
            (Some(""), How::Substack) => Err(("includes \"\"".to_owned(), Refused::All)),
            _ => self.included(name, inner),
        };
        let Err((why, refused)) = read else { return Ok(()) };
        let whole = refused == Refused::All || (how == How::At && inner.kind.is_none());
        let outcome = if whole { "libpam does not start the service" } else { "libpam has a failure in its place" };
        self.fault(&entry.file, entry.line, inner.kind, format!("{why}: {outcome}"));
        if let Some(last) = self.service.faults.last_mut() {
            if how == How::At && !whole {
                last.known = Known::Never;
            } else if inner.includes >= MOST_LEVELS && inner.level < MOST_LEVELS {
                last.known = Known::Newer;
            }
        }
        if whole {
            return Err(refused);
        }
        self.push(outer, entry);
        Ok(())
    }

    fn included(&mut self, name: Option<&str>, purpose: Purpose) -> Result<(), (String, Refused)> {
        // Of a line without a name libpam 1.5 and 1.7 crash.
        let name = name.ok_or_else(|| ("names no file to include".to_owned(), Refused::All))?;
        let refused = |why: &str| (format!("includes {name:?}, {why}"), Refused::File);
        if purpose.includes >= MOST_LEVELS || purpose.level >= MOST_LEVELS {
            return Err(refused(&format!("{MOST_LEVELS} files deep; perhaps in a circle")));
        }
        self.service.includes.insert(name.to_owned());
        let config =
            self.tree.include(name).filter(|_| !name.is_empty()).ok_or_else(|| refused("which is not there"))?;
        self.file(&config, purpose, false).map_err(|how| (refused("which libpam does not read to its end").0, how))
    }

    fn push(&mut self, purpose: Purpose, entry: Entry) {
        let stacks = if purpose.other { &mut self.service.other } else { &mut self.service.own };
        if let Some(stack) = stacks.get_mut(entry.kind as usize) {
            stack.push(entry);
        }
    }

    fn fault(&mut self, file: &Rc<Path>, line: usize, kind: Option<Type>, message: String) {
        let fault = Fault { file: file.clone(), line, kind, message, known: Known::Always };
        if !self.service.faults.contains(&fault) {
            self.service.faults.push(fault);
        }
    }
}
