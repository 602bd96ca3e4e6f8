// SPDX-License-Identifier: MIT
//! Linker options of the module. Linking libpam needs none: see `src/sys.rs`.

fn main() {
    let variable = |name| std::env::var(name).expect("cargo sets it");
    // No constructor and no destructor: the C start files would only add code. On 32-bit ARM they have to stay: without
    // them the first object is one of rustc's own that names no ABI, after which GNU ld refuses all others.
    if variable("CARGO_CFG_TARGET_ARCH") != "arm" {
        println!("cargo:rustc-link-arg-cdylib=-nostartfiles");
    }
    for option in [
        "-lc",                        // without std nobody else asks for it
        "-Wl,-soname,pam_keyinit.so", // the name it is installed under
        "-Wl,-z,defs",                // an unresolved symbol is an error now, not at somebody's login
        "-Wl,-z,now,-z,relro,-z,noexecstack",
        "-Wl,-z,noseparate-code", // lld's default; GNU ld would pad each segment to a page, 4096 bytes in all
    ] {
        println!("cargo:rustc-link-arg-cdylib={option}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
