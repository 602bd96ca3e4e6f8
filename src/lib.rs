// SPDX-License-Identifier: MIT
//! `pam_keyinit.so`: a PAM module that gives each login session a kernel session keyring of its own,
//! links the user's keyring into it and, if asked to, revokes it at logout.
//!
//! A login runs downwards through the files, and comes back up with the answer. A file imports from those below it only:
//!
//! | file | what it does |
//! |---|---|
//! | [`entry`] | the four functions that libpam calls; broken arguments are refused |
//! | [`session`] | the policy: what open, close and setcred do, and what libpam is answered |
//! | [`isolation`] | the session keyring of a handle: how a session gets one, and how it ends |
//! | [`options`] | the words of the configuration line |
//! | [`pam`] | libpam's handle: the user, what is kept with it, the log |
//! | [`identity`] | takes on the user's real ids and gives them back |
//! | [`keyring`] | the keyctl(2) operations |
//! | [`error`] | what can go wrong, why, and what to do |
//! | [`line`] | a line of the log |
//! | [`sys`] | every C function and system call |
#![cfg_attr(not(test), no_std)]

mod entry;
mod error;
mod identity;
mod isolation;
mod keyring;
mod line;
mod options;
mod pam;
mod session;
mod sys;

/// No panic is reachable in this module. The linker proves it: the function that is called here exists nowhere, so a
/// build in which this handler is needed does not link.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    sys::pam_keyinit_can_panic()
}
