// SPDX-License-Identifier: MIT
//! The file that ships, as `cargo build --release` makes it.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Architecture, Endianness, File, FileKind, Object, ObjectSection, ObjectSymbol, SectionFlags};
use support::artefact;
use support::imports::imports;

/// The folder with another architecture's release, which `make check-ports` has built.
fn port() -> Option<PathBuf> {
    std::env::var_os("PAM_KEYINIT_PORT").map(PathBuf::from)
}

/// The release build.
fn module() -> PathBuf {
    port().map_or_else(artefact::release, |folder| folder.join("pam_keyinit.so"))
}

/// Its bytes.
fn release() -> Vec<u8> {
    fs::read(module()).expect("the module")
}

fn parse(bytes: &[u8]) -> File<'_> {
    File::parse(bytes).expect("an ELF file")
}

/// An entry of the dynamic section; the string is that of an entry whose value is one.
struct Entry {
    tag: u32,
    value: u64,
    string: String,
}

struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    size: u64,
    address: u64,
    memory: u64,
    alignment: u64,
}

/// What the loader reads.
struct Elf {
    dynamic: Vec<Entry>,
    segments: Vec<Segment>,
}

impl Elf {
    fn parse(bytes: &[u8]) -> Elf {
        match FileKind::parse(bytes).expect("an ELF file") {
            FileKind::Elf32 => Elf::read::<FileHeader32<Endianness>>(bytes),
            FileKind::Elf64 => Elf::read::<FileHeader64<Endianness>>(bytes),
            other => panic!("{other:?}"),
        }
    }

    fn read<H: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> Elf {
        let header = H::parse(bytes).expect("an ELF file");
        let endian = header.endian().expect("an ELF file");
        let sections = header.sections(endian, bytes).expect("sections");
        let (entries, link) = sections.dynamic(endian, bytes).expect("a dynamic section").expect("a dynamic section");
        let strings = sections.strings(endian, bytes, link).expect("its strings");
        let entry = |entry: &H::Dyn| {
            let string = entry.string(endian, strings).unwrap_or_default();
            let string = String::from_utf8_lossy(string).into_owned();
            Some(Entry { tag: entry.tag32(endian)?, value: entry.d_val(endian).into(), string })
        };
        let segment = |segment: &H::ProgramHeader| Segment {
            kind: segment.p_type(endian),
            flags: segment.p_flags(endian),
            offset: segment.p_offset(endian).into(),
            size: segment.p_filesz(endian).into(),
            address: segment.p_vaddr(endian).into(),
            memory: segment.p_memsz(endian).into(),
            alignment: segment.p_align(endian).into(),
        };
        let segments = header.program_headers(endian, bytes).expect("segments");
        Elf { dynamic: entries.iter().filter_map(entry).collect(), segments: segments.iter().map(segment).collect() }
    }

    fn entries(&self, tag: u32) -> impl Iterator<Item = &Entry> {
        self.dynamic.iter().filter(move |entry| entry.tag == tag)
    }

    fn strings(&self, tag: u32) -> BTreeSet<String> {
        self.entries(tag).map(|entry| entry.string.clone()).collect()
    }

    fn flags(&self) -> u64 {
        self.entries(elf::DT_FLAGS).fold(0, |all, entry| all | entry.value)
    }

    fn segments(&self, kind: u32) -> Vec<&Segment> {
        self.segments.iter().filter(|segment| segment.kind == kind).collect()
    }

    /// Bytes of the file between one loaded segment and the next, which are there because pages are as large as they are.
    fn padding(&self) -> u64 {
        let loaded = self.segments(elf::PT_LOAD);
        let gap = |(one, next): (&&Segment, &&Segment)| next.offset - one.offset - one.size;
        loaded.iter().zip(loaded.iter().skip(1)).map(gap).sum()
    }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn it_exports_the_four_functions_and_nothing_else() {
    let bytes = release();
    let exports: BTreeSet<String> = parse(&bytes)
        .dynamic_symbols()
        .filter(|symbol| symbol.is_definition())
        .map(|symbol| symbol.name().expect("a name").to_owned())
        .collect();
    let four = ["pam_sm_authenticate", "pam_sm_close_session", "pam_sm_open_session", "pam_sm_setcred"];
    assert_eq!(exports, set(&four));
}

#[test]
fn it_needs_libpam_and_libc_only() {
    let libc = if port().is_some_and(|folder| folder.ends_with("musl")) { "libc.so" } else { "libc.so.6" };
    assert_eq!(Elf::parse(&release()).strings(elf::DT_NEEDED), set(&[libc, "libpam.so.0"]));
}

#[test]
fn it_is_called_pam_keyinit() {
    assert_eq!(Elf::parse(&release()).strings(elf::DT_SONAME), set(&["pam_keyinit.so"]));
}

/// The C module has 14,336. GNU ld pads what is read-only after relocation to a page, lld does not.
#[test]
fn it_has_no_more_bytes_than_its_bound() {
    let bytes = release();
    let (size, padding) = (bytes.len() as u64, Elf::parse(&bytes).padding());
    println!("{size} bytes, {padding} of them padding");
    // Instructions of some architectures are longer, and other compilers make more of them.
    let is_usual = port().is_none() && parse(&bytes).architecture() == Architecture::X86_64;
    let most = if is_usual { 24_576 } else { 28_672 };
    assert!(size - padding <= most, "{size} bytes");
}

/// By them a debugger finds who called the module, and a thread that is cancelled its clean-up.
#[test]
fn it_has_unwinding_tables() {
    let bytes = release();
    let (kind, section) = match parse(&bytes).architecture() {
        Architecture::Arm => (elf::PT_ARM_EXIDX, ".ARM.exidx"),
        _ => (elf::PT_GNU_EH_FRAME, ".eh_frame"),
    };
    assert_eq!(Elf::parse(&bytes).segments(kind).len(), 1, "an index of them");
    let tables = parse(&bytes).section_by_name(section).map_or(0, |section| section.size());
    assert!(tables > 100, "{tables} bytes of {section}");
}

#[test]
fn everything_is_bound_at_load_and_then_read_only() {
    let bytes = release();
    let (file, module) = (parse(&bytes), Elf::parse(&bytes));
    assert_ne!(module.flags() & u64::from(elf::DF_BIND_NOW), 0, "BIND_NOW");
    let [relro] = module.segments(elf::PT_GNU_RELRO)[..] else { panic!("one PT_GNU_RELRO") };
    let [stack] = module.segments(elf::PT_GNU_STACK)[..] else { panic!("one PT_GNU_STACK") };
    assert_eq!(stack.flags & elf::PF_X, 0, "the stack is not executable");
    for segment in module.segments(elf::PT_LOAD) {
        let both = elf::PF_W | elf::PF_X;
        assert_ne!(segment.flags & both, both, "nothing is writable and executable");
        // The loader rounds the end down to a page: with the largest pages it must not round all of it away.
        assert_eq!((relro.address + relro.memory) % segment.alignment, 0, "RELRO ends with a page");
    }
    // What stays writable would be static state, of which there is none.
    let read_only = relro.address..relro.address + relro.memory;
    let stays_writable: BTreeSet<String> = file
        .sections()
        .filter(|section| matches!(section.flags(), SectionFlags::Elf { sh_flags } if sh_flags & u64::from(elf::SHF_WRITE) != 0))
        .filter(|section| section.size() != 0 && section.name() != Ok(".relro_padding"))
        .filter(|section| !read_only.contains(&section.address()))
        .map(|section| section.name().expect("a name").to_owned())
        .collect();
    let expected: &[&str] = match file.architecture() {
        Architecture::Arm => &[".bss", ".data"], // of the C start files, see build.rs
        Architecture::Riscv64 => &[".got"],      // GNU ld's doing, in every module
        _ => &[],
    };
    assert_eq!(stays_writable, set(expected));
}

#[test]
fn the_code_is_not_relocated() {
    let module = Elf::parse(&release());
    assert_eq!(module.flags() & u64::from(elf::DF_TEXTREL), 0, "DF_TEXTREL");
    assert_eq!(module.entries(elf::DT_TEXTREL).count(), 0, "DT_TEXTREL");
}

/// libc's set*id change all threads of a process; the rest would be a way to end the process.
#[test]
fn it_imports_only_what_it_may() {
    let imports = imports(&module());
    let mut allowed = set(&[
        "__errno_location",
        "bcmp",
        "free",
        "malloc",
        "memcpy",
        "memset",
        "pam_get_data",
        "pam_get_item",
        "pam_get_user",
        "pam_modutil_getpwnam",
        "pam_set_data",
        "pam_syslog",
        "strlen",
        "syscall",
    ]);
    if parse(&release()).architecture() == Architecture::Arm {
        // Of the C start files, see build.rs.
        allowed.extend(set(&[
            "_ITM_deregisterTMCloneTable",
            "_ITM_registerTMCloneTable",
            "__cxa_finalize",
            "__gmon_start__",
        ]));
    }
    assert_eq!(imports.difference(&allowed).collect::<Vec<_>>(), [] as [&String; 0], "imports nobody has looked at");
}

/// What the linker strips from the release is there in this build, which differs in nothing else.
#[test]
fn no_panic_can_be_reached() {
    let build = || {
        let target = artefact::root().join("target/unstripped");
        artefact::build(&target, &["--config", "profile.release.strip=false"])
    };
    let file = port().map_or_else(build, |folder| folder.join("unstripped.so"));
    let bytes = fs::read(file).expect("the module");
    let names: Vec<String> =
        parse(&bytes).symbols().filter_map(|symbol| symbol.name().ok().map(str::to_owned)).collect();
    let ours = |name: &&String| name.contains("pam_keyinit") && name.contains("session");
    assert!(names.iter().any(|name| ours(&name)), "the symbols are there: {names:#?}");
    let panics = ["panicking", "panic_", "abort", "_Unwind", "pam_keyinit_can_panic"];
    let found: Vec<&String> = names.iter().filter(|name| panics.iter().any(|panic| name.contains(panic))).collect();
    assert_eq!(found, [] as [&String; 0]);
}
