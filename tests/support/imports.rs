// SPDX-License-Identifier: MIT
//! What a module takes from libraries.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use object::{File, Object, ObjectSymbol};

/// The names of these functions.
pub fn imports(module: &Path) -> BTreeSet<String> {
    let bytes = fs::read(module).expect("the module");
    let file = File::parse(&*bytes).expect("an ELF file");
    let undefined = file.dynamic_symbols().filter(|symbol| symbol.is_undefined());
    undefined.map(|symbol| symbol.name().expect("a name").to_owned()).collect()
}
