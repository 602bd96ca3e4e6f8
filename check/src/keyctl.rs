// SPDX-License-Identifier: MIT
//! keyctl(2), as far as it only looks.

use std::ffi::{CString, c_long};
use std::io;

/// The thread's session keyring.
pub const SESSION: i32 = -3;
/// The keyring of the real uid.
pub const USER: i32 = -4;
/// The keyring that a thread without a session keyring uses.
pub const USER_SESSION: i32 = -5;

fn keyctl(operation: u32, arguments: [c_long; 4]) -> io::Result<i32> {
    let [one, two, three, four] = arguments;
    // SAFETY: the callers below give numbers, and pointers to what lives as long as the call, with its length.
    let answer = unsafe { libc::syscall(libc::SYS_keyctl, operation as c_long, one, two, three, four) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer as i32) }
}

/// The id of a keyring. A thread without a session keyring gets the user-session keyring for it, as with any look at it.
pub fn id(keyring: i32) -> io::Result<i32> {
    keyctl(libc::KEYCTL_GET_KEYRING_ID, [keyring.into(), 0, 0, 0])
}

/// The uid of a key's owner, and its name.
pub fn describe(key: i32) -> io::Result<(u32, String)> {
    let mut text = vec![0_u8; 4096];
    let length = keyctl(libc::KEYCTL_DESCRIBE, [key.into(), text.as_mut_ptr() as c_long, text.len() as c_long, 0])?;
    text.truncate(usize::try_from(length).unwrap_or_default().saturating_sub(1));
    // "type;uid;gid;permissions;name", the uid as a signed number.
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut fields = text.splitn(5, ';');
    let uid = fields.nth(1).and_then(|uid| uid.parse::<i32>().ok());
    let name = fields.nth(2);
    uid.zip(name).map(|(uid, name)| (uid as u32, name.to_owned())).ok_or(io::Error::from(io::ErrorKind::InvalidData))
}

/// The keyring of this name that `keyring` leads to.
pub fn search(keyring: i32, name: &str) -> io::Result<i32> {
    let name = CString::new(name)?;
    keyctl(libc::KEYCTL_SEARCH, [keyring.into(), c"keyring".as_ptr() as c_long, name.as_ptr() as c_long, 0])
}

/// The real uid.
pub fn uid() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::getuid() }
}
