// SPDX-License-Identifier: MIT
//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::explain::Before;

/// Say whether the lines of pam_keyinit in /etc/pam.d are in the right place
///
/// Reads PAM's files as libpam does, and says what is wrong with the lines of pam_keyinit: in which file and line, what
/// comes of it, and what to write instead. It changes nothing, and any user may run it.
#[derive(Parser, Debug)]
#[command(name = "pam_keyinit_check", version)]
pub struct Options {
    /// Services to look at; all, if none is named
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Show the stacks as libpam runs them, and what happens to the session keyring at each step
    #[arg(long, conflicts_with_all = ["list", "session"], requires = "services")]
    pub explain: bool,
    /// With --explain: the session keyring that the program has at first; as a rule that of a daemon or of a caller
    #[arg(long, value_enum, requires = "explain")]
    pub from: Option<Before>,
    /// Say in which keyring this process or that one runs, and what to do about it
    #[arg(long, value_name = "PID", num_args = 0..=1, conflicts_with_all = ["list", "services"])]
    pub session: Option<Option<i32>>,
    /// Look at the system in this folder: an image, or a package's tree
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// List the rules
    #[arg(long)]
    pub list: bool,
}

/// See [`Options`].
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
#[allow(missing_docs, reason = "words of their own")]
pub enum Format {
    Text,
    Json,
}
