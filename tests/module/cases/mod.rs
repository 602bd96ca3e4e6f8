// SPDX-License-Identifier: MIT
//! The cases: a file a subject.

use crate::Case;

/// The list of a file's cases, by the names of their functions. `name => "entry"` marks one that as a whole shows a
/// deliberate difference from the C module, see `difference`.
macro_rules! cases {
    ($($needs:ident: $($name:ident $(=> $entry:literal)?)*;)*) => {
        pub const CASES: &[$crate::Case] = &[$($(
            $crate::Case {
                path: concat!(module_path!(), "::", stringify!($name)),
                needs: $crate::Needs::$needs,
                shows: &[$($entry)?],
                body: $name,
            },
        )*)*];
    };
}

mod absent;
mod arguments;
mod bad_input;
mod calls;
mod clear;
mod ensure;
mod errors;
mod examples;
mod faults;
mod finish;
mod foreign;
mod handles;
mod identities;
mod kerberos;
mod killed;
mod load;
mod log;
mod memory;
mod nested;
mod own;
mod programs;
mod quota;
mod stacks;
mod threads;
mod unwinding;
mod user_session;

/// In the order in which they run.
pub const FILES: [&[Case]; 26] = [
    calls::CASES,
    ensure::CASES,
    finish::CASES,
    own::CASES,
    clear::CASES,
    user_session::CASES,
    arguments::CASES,
    errors::CASES,
    faults::CASES,
    quota::CASES,
    absent::CASES,
    memory::CASES,
    killed::CASES,
    foreign::CASES,
    identities::CASES,
    handles::CASES,
    threads::CASES,
    bad_input::CASES,
    log::CASES,
    unwinding::CASES,
    load::CASES,
    programs::CASES,
    nested::CASES,
    kerberos::CASES,
    stacks::CASES,
    examples::CASES,
];
