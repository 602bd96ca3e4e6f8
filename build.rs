// SPDX-License-Identifier: MIT
//! Linker options of the module. Linking libpam needs no option: see `src/sys.rs`.

fn main() {
    for option in [
        "-nostartfiles",              // no constructor and no destructor: the C start files would only add code
        "-lc",                        // without std nobody else asks for it
        "-Wl,-soname,pam_keyinit.so", // the name it is installed under
        "-Wl,-z,defs",                // an unresolved symbol is an error now, not at somebody's login
        "-Wl,-z,now,-z,relro",        // nothing stays writable that need not
        "-Wl,-z,noexecstack",
    ] {
        println!("cargo:rustc-link-arg-cdylib={option}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
