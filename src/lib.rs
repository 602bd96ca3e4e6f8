// SPDX-License-Identifier: MIT
//! `pam_keyinit.so`: a PAM module that gives each login session a kernel session keyring of its own,
//! links the user's keyring into it and, if asked to, revokes it at logout.
//!
//! A login runs through the files in this order:
//!
//! | file | what it does |
//! |---|---|
//! | [`entry`] | the four functions that libpam calls; arguments are checked, errors logged |
//! | [`session`] | the policy: what open, close and setcred do |
//! | [`options`] | the words of the configuration line |
//! | [`identity`] | takes on the user's real ids and gives them back |
//! | [`keyring`] | the keyctl(2) operations |
//! | [`pam`] | the handle: user, state, log |
//! | [`error`], [`log`] | what can go wrong, and what the log says of it |
//! | [`sys`] | every C function and system call |
#![cfg_attr(not(test), no_std)]

mod entry;
mod error;
mod identity;
mod keyring;
mod log;
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
