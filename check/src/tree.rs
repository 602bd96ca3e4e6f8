// SPDX-License-Identifier: MIT
//! The files: where libpam looks for services and modules, on this system or in a folder that holds another.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

/// Where services are, the administrator's before the vendor's: the first file of a name counts, and it alone.
const DIRECTORIES: [&str; 3] = ["/etc/pam.d", "/usr/lib/pam.d", "/usr/share/pam.d"];
/// All services in one, where there is no such directory.
const PAM_CONF: &str = "/etc/pam.conf";
/// No service has a longer file.
const LONGEST: u64 = 64 << 20;
/// The kernel follows as many symbolic links.
const MOST_LINKS: usize = 40;

/// A system's files.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    debian: bool,
    modules: OnceCell<Vec<PathBuf>>,
    files: RefCell<HashMap<PathBuf, Option<Rc<Config>>>>,
}

/// A configuration file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Where it is, seen from the system's own root.
    pub path: PathBuf,
    /// What it says. libpam takes a directory for an empty file.
    pub content: Content,
}

/// See [`Config`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// A file.
    Bytes(Vec<u8>),
    /// A directory of that name.
    Directory,
    /// Something that cannot be read, and why.
    Unreadable(String),
}

impl Tree {
    /// The system whose root is this folder. One that does not say which it is counts as a Debian.
    pub fn new(root: impl Into<PathBuf>) -> Tree {
        let mut tree = Tree { root: root.into(), debian: true, modules: OnceCell::new(), files: RefCell::default() };
        let release = ["/etc/os-release", "/usr/lib/os-release"].iter().find_map(|file| tree.text(Path::new(file)));
        tree.debian = release.is_none_or(|text| {
            let ids =
                text.lines().filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")));
            let mut words = ids.flat_map(|ids| ids.split([' ', '"', '\'']));
            words.any(|word| word == "debian")
        });
        tree
    }

    /// The file that libpam opens for a service or an include of this name.
    pub fn service(&self, name: &str) -> Option<Rc<Config>> {
        if name.starts_with('/') {
            return self.read(Path::new(name));
        }
        DIRECTORIES.iter().find_map(|directory| self.read(&Path::new(directory).join(name)))
    }

    /// The file that libpam opens for an include of this name. Debian's looks for it among the administrator's alone.
    pub fn include(&self, name: &str) -> Option<Rc<Config>> {
        let debian = || self.read(&Path::new(DIRECTORIES[0]).join(name));
        if self.debian && !name.starts_with('/') { debian() } else { self.service(name) }
    }

    /// Whether its libpam is Debian's, or Ubuntu's: that knows `@include`.
    pub fn is_debian(&self) -> bool {
        self.debian
    }

    /// /etc/pam.conf, if libpam reads it: that is, if there is no directory of services.
    pub fn pam_conf(&self) -> Option<Rc<Config>> {
        let is_directory = |directory: &str| self.find(Path::new(directory)).is_some_and(|path| path.is_dir());
        if DIRECTORIES.iter().any(|directory| is_directory(directory)) { None } else { self.read(Path::new(PAM_CONF)) }
    }

    /// The names of all services that have a file.
    pub fn services(&self) -> io::Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for directory in DIRECTORIES {
            let Some(directory) = self.find(Path::new(directory)) else { continue };
            for entry in fs::read_dir(directory)? {
                let entry = entry?;
                if let (false, Ok(name)) = (entry.path().is_dir(), entry.file_name().into_string()) {
                    names.insert(name);
                }
            }
        }
        // What an editor or a package manager has left behind is no service.
        names.retain(|name| {
            !name.starts_with('.') && !name.ends_with('~') && !name.contains(".dpkg-") && !name.contains(".rpm")
        });
        Ok(names)
    }

    /// The file of a module, if it is there.
    pub fn module(&self, path: &str) -> Option<PathBuf> {
        let path = path.replace("$ISA/", "");
        if path.starts_with('/') {
            return self.find(Path::new(&path)).filter(|file| file.is_file());
        }
        self.module_directories().iter().find_map(|directory| self.find(&directory.join(&path)))
    }

    /// The directories of modules that are there.
    pub fn module_directories(&self) -> &[PathBuf] {
        self.modules.get_or_init(|| self.look_for_module_directories())
    }

    fn look_for_module_directories(&self) -> Vec<PathBuf> {
        let mut directories = Vec::new();
        for library in ["/usr/lib", "/lib", "/usr/lib64", "/lib64"] {
            directories.push(Path::new(library).join("security"));
            let entries = self.find(Path::new(library)).and_then(|path| fs::read_dir(path).ok());
            let names = entries.into_iter().flatten().flatten().map(|entry| entry.file_name());
            let multiarch = names.filter(|name| name.to_string_lossy().contains("-linux-"));
            directories.extend(multiarch.map(|name| Path::new(library).join(name).join("security")));
        }
        directories.retain(|directory| self.find(directory).is_some_and(|path| path.is_dir()));
        directories
    }

    /// The text of another file, for instance krb5.conf.
    pub fn text(&self, path: &Path) -> Option<String> {
        match &self.read(path)?.content {
            Content::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }

    /// The files of a directory, sorted by their names.
    pub fn files(&self, directory: &Path) -> Vec<PathBuf> {
        let entries = self.find(directory).and_then(|path| fs::read_dir(path).ok());
        let names: BTreeSet<_> = entries.into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
        names.into_iter().map(|name| directory.join(name)).collect()
    }

    /// Each file is read once: most services include the same ones.
    fn read(&self, path: &Path) -> Option<Rc<Config>> {
        if let Some(known) = self.files.borrow().get(path) {
            return known.clone();
        }
        let config = self.find(path).map(|real| Rc::new(Config { path: path.to_owned(), content: read(&real) }));
        self.files.borrow_mut().insert(path.to_owned(), config.clone());
        config
    }

    /// Where a file of the tree is on this system, with symbolic links that stay in the tree, if it is there.
    pub fn find(&self, path: &Path) -> Option<PathBuf> {
        let mut rest: VecDeque<OsString> = components(path);
        let mut real = self.root.clone();
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                if real != self.root {
                    real.pop();
                }
                continue;
            }
            let next = real.join(&name);
            match fs::symlink_metadata(&next) {
                Ok(found) if found.is_symlink() => {
                    links += 1;
                    let target = fs::read_link(&next).ok().filter(|_| links <= MOST_LINKS)?;
                    if target.is_absolute() {
                        real.clone_from(&self.root);
                    }
                    for name in components(&target).into_iter().rev() {
                        rest.push_front(name);
                    }
                }
                Ok(_) => real = next,
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Some(next),
                Err(_) => return None,
            }
        }
        Some(real)
    }
}

fn components(path: &Path) -> VecDeque<OsString> {
    let names = path.components().filter(|component| matches!(component, Component::Normal(_) | Component::ParentDir));
    names.map(|component| component.as_os_str().to_owned()).collect()
}

fn read(path: &Path) -> Content {
    let bytes = || {
        let found = fs::metadata(path)?;
        if found.is_dir() {
            return Ok(None);
        }
        // A pipe would never end, and a device may not.
        if !found.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        if found.len() > LONGEST {
            return Err(io::Error::other("it is longer than 64 MiB"));
        }
        fs::read(path).map(Some)
    };
    match bytes() {
        Ok(Some(bytes)) => Content::Bytes(bytes),
        Ok(None) => Content::Directory,
        Err(error) => Content::Unreadable(error.to_string()),
    }
}
