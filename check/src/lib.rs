// SPDX-License-Identifier: MIT
//! Reads PAM's files as libpam does, and says whether the lines of pam_keyinit are in the right place.
//!
//! Each file knows of those below it only:
//!
//! | file | what it is for |
//! |---|---|
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
pub mod line;
pub mod stack;
pub mod tree;
