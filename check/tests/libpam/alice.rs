// SPDX-License-Identifier: MIT
//! The user who logs in, and session keyrings made for one.

use std::ffi::CStr;
use std::path::Path;

use crate::support::{ids, keys, namespace};

pub const UID: u32 = 4711;

/// Beside root the only user of this process's mount namespace. What is put there is kept in `directory`.
pub fn put_into_passwd(directory: &Path) {
    namespace::put_over(directory, "/etc/passwd", &format!("root:x:0:0::/:\nalice:x:{UID}:{UID}::/:\n"));
    namespace::put_over(directory, "/etc/nsswitch.conf", "passwd: files\ngroup: files\n");
}

/// Puts a new session keyring of this user's in the place of the process's.
pub fn join(uid: u32, linked: bool) {
    join_named(uid, None, linked);
}

/// The same, by this name.
pub fn join_named(uid: u32, name: Option<&CStr>, linked: bool) {
    ids::with_real_ids(uid, uid, || {
        keys::join(name).expect("a keyring");
        if linked {
            keys::link(keys::USER, keys::SESSION).expect("a link");
        }
    });
}
