// SPDX-License-Identifier: MIT
//! The file that ships, as `cargo build --release` makes it.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use object::elf::{self, FileHeader64};
use object::read::elf::{Dyn, ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, Object, ObjectSymbol};
use support::artefact;

/// The bytes of the release build.
fn release() -> Vec<u8> {
    fs::read(artefact::release()).expect("the module")
}

fn parse(bytes: &[u8]) -> ElfFile64<'_> {
    ElfFile64::parse(bytes).expect("an ELF file")
}

/// The dynamic section: tag and value, and the string of those whose value is one.
fn dynamic(bytes: &[u8], tag: u32) -> Vec<(u64, String)> {
    let header = FileHeader64::<Endianness>::parse(bytes).expect("an ELF file");
    let endian = header.endian().expect("an ELF file");
    let sections = header.sections(endian, bytes).expect("sections");
    let (entries, link) = sections.dynamic(endian, bytes).expect("a dynamic section").expect("a dynamic section");
    let strings = sections.strings(endian, bytes, link).expect("its strings");
    entries
        .iter()
        .filter(|entry| entry.tag32(endian) == Some(tag))
        .map(|entry| {
            let string = entry.string(endian, strings).unwrap_or_default();
            (entry.d_val(endian), String::from_utf8_lossy(string).into_owned())
        })
        .collect()
}

fn strings(bytes: &[u8], tag: u32) -> BTreeSet<String> {
    dynamic(bytes, tag).into_iter().map(|(_, string)| string).collect()
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
    assert_eq!(strings(&release(), elf::DT_NEEDED), set(&["libc.so.6", "libpam.so.0"]));
}

#[test]
fn it_is_called_pam_keyinit() {
    assert_eq!(strings(&release(), elf::DT_SONAME), set(&["pam_keyinit.so"]));
}

/// The C module has 14,336. GNU ld pads what is read-only after relocation to a page, lld does not.
#[test]
fn it_has_at_most_12288_bytes() {
    let bytes = release();
    let linked_by_lld = parse(&bytes).section_by_name(".relro_padding").is_some();
    let (size, most) = (bytes.len(), if linked_by_lld { 12_288 } else { 14_336 });
    println!("{size} bytes, linked by lld: {linked_by_lld}");
    assert!(size <= most, "{size} bytes");
}

#[test]
fn everything_is_bound_at_load_and_then_read_only() {
    let bytes = release();
    let flags = dynamic(&bytes, elf::DT_FLAGS).iter().fold(0, |all, (value, _)| all | value);
    assert_ne!(flags & u64::from(elf::DF_BIND_NOW), 0, "BIND_NOW");
    let header = FileHeader64::<Endianness>::parse(&*bytes).expect("an ELF file");
    let endian = header.endian().expect("an ELF file");
    let segments = header.program_headers(endian, &*bytes).expect("segments");
    let of_type = |kind| segments.iter().filter(move |segment| segment.p_type(endian) == kind);
    assert_eq!(of_type(elf::PT_GNU_RELRO).count(), 1, "RELRO");
    let [stack] = of_type(elf::PT_GNU_STACK).collect::<Vec<_>>()[..] else { panic!("one PT_GNU_STACK") };
    assert_eq!(stack.p_flags(endian) & elf::PF_X, 0, "the stack is not executable");
    for segment in of_type(elf::PT_LOAD) {
        let both = elf::PF_W | elf::PF_X;
        assert_ne!(segment.p_flags(endian) & both, both, "nothing is writable and executable");
    }
    // What stays writable would be static state, of which there is none: all of the writable segment is RELRO.
    let writable: u64 = of_type(elf::PT_LOAD)
        .filter(|segment| segment.p_flags(endian) & elf::PF_W != 0)
        .map(|segment| segment.p_filesz(endian))
        .sum();
    let relro: u64 = of_type(elf::PT_GNU_RELRO).map(|segment| segment.p_filesz(endian)).sum();
    assert_eq!(writable, relro);
}

/// libc's set*id change all threads of a process; the rest would be a way to end the process.
#[test]
fn it_imports_only_what_it_may() {
    let bytes = release();
    let imports: BTreeSet<String> = parse(&bytes)
        .dynamic_symbols()
        .filter(|symbol| symbol.is_undefined())
        .map(|symbol| symbol.name().expect("a name").to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    let allowed = set(&[
        "__errno_location",
        "bcmp",
        "free",
        "malloc",
        "memcpy",
        "pam_get_data",
        "pam_get_item",
        "pam_get_user",
        "pam_modutil_getpwnam",
        "pam_set_data",
        "pam_syslog",
        "strlen",
        "syscall",
    ]);
    assert_eq!(imports.difference(&allowed).collect::<Vec<_>>(), [] as [&String; 0], "imports nobody has looked at");
}

/// What the linker strips from the release is there in this build, which differs in nothing else.
#[test]
fn no_panic_can_be_reached() {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/unstripped");
    let file = artefact::build(&target, &["--config", "profile.release.strip=false"]);
    let bytes = fs::read(file).expect("the module");
    let names: Vec<String> =
        parse(&bytes).symbols().filter_map(|symbol| symbol.name().ok().map(str::to_owned)).collect();
    let ours = |name: &&String| name.contains("pam_keyinit") && name.contains("session");
    assert!(names.iter().any(|name| ours(&name)), "the symbols are there: {names:#?}");
    let panics = ["panicking", "panic_", "abort", "_Unwind", "pam_keyinit_can_panic"];
    let found: Vec<&String> = names.iter().filter(|name| panics.iter().any(|panic| name.contains(panic))).collect();
    assert_eq!(found, [] as [&String; 0]);
}
