// SPDX-License-Identifier: MIT
//! Reads PAM's files as libpam does, and says whether the lines of pam_keyinit are in the right place.
//!
//! Each file knows of those below it only:
//!
//! | file | what it is for |
//! |---|---|
//! | [`options`] | the command line |
//! | [`session`] | in which keyring a process runs |
//! | [`keyctl`] | the system call for that |
//! | [`explain`] | what happens to the session keyring in a login |
//! | [`report`] | findings for people and for programs |
//! | [`rules`] | what can be wrong with the lines of pam_keyinit |
//! | [`known`] | what is known of programs and modules |
//! | [`krb5`] | where Kerberos tickets go |
//! | [`dispatch`] | how libpam goes through a stack |
//! | [`stack`] | the lines of a service and of what it includes |
//! | [`tree`] | the files of a system |
//! | [`directive`] | what a line says |
//! | [`control`] | what becomes of a module's answer |
//! | [`line`] | lines and words |
#![forbid(unsafe_op_in_unsafe_fn)]

pub mod control;
pub mod directive;
pub mod dispatch;
pub mod explain;
pub mod keyctl;
pub mod known;
pub mod krb5;
pub mod line;
pub mod options;
pub mod report;
pub mod rules;
pub mod session;
pub mod stack;
pub mod tree;
