// SPDX-License-Identifier: MIT
//! Keyrings as seen from outside the module: keyctl(2), add_key(2), request_key(2) by system call.

use std::ffi::{CStr, CString};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// The thread's session keyring, `@s`.
pub const SESSION: i32 = libc::KEY_SPEC_SESSION_KEYRING;
/// The user keyring of the thread's real uid, `@u`.
pub const USER: i32 = libc::KEY_SPEC_USER_KEYRING;
/// The user-session keyring of the thread's real uid, `@us`.
pub const USER_SESSION: i32 = libc::KEY_SPEC_USER_SESSION_KEYRING;

static PASSES_FILTERS: AtomicBool = AtomicBool::new(false);

/// From now on filters for operations of keyctl(2) let this program's own looks through. On 32-bit systems they do not.
pub fn pass_filters() {
    PASSES_FILTERS.store(true, Ordering::Relaxed);
}

/// A bit that filters see in an operation, and the kernel does not.
fn mark() -> libc::c_long {
    (u64::from(PASSES_FILTERS.load(Ordering::Relaxed)) << 32) as libc::c_long
}

/// What `KEYCTL_DESCRIBE` says of a key.
// Only tests hand it from process to process: the demonstration need not compile serde.
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Description {
    pub kind: String,
    pub uid: u32,
    pub gid: u32,
    pub permissions: u32,
    pub name: String,
}

fn checked(answer: libc::c_long) -> io::Result<i32> {
    if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(answer as i32) }
}

fn keyctl(operation: u32, arguments: [libc::c_long; 4]) -> io::Result<i32> {
    let [a, b, c, d] = arguments;
    // SAFETY: callers pass numbers, or pointers to memory that is live for the call and as large as they say.
    checked(unsafe { libc::syscall(libc::SYS_keyctl, operation as libc::c_long | mark(), a, b, c, d) })
}

fn simple(operation: u32, first: i32, second: i32) -> io::Result<i32> {
    keyctl(operation, [first.into(), second.into(), 0, 0])
}

/// The serial number behind a special id, which is made if it is not there.
pub fn id(special: i32) -> io::Result<i32> {
    simple(libc::KEYCTL_GET_KEYRING_ID, special, 0)
}

/// Joins the session keyring called `name`, or a new anonymous one.
pub fn join(name: Option<&CStr>) -> io::Result<i32> {
    let name = name.map_or(std::ptr::null(), CStr::as_ptr);
    keyctl(libc::KEYCTL_JOIN_SESSION_KEYRING, [name as libc::c_long, 0, 0, 0])
}

pub fn revoke(key: i32) -> io::Result<()> {
    simple(libc::KEYCTL_REVOKE, key, 0).map(drop)
}

pub fn invalidate(key: i32) -> io::Result<()> {
    simple(libc::KEYCTL_INVALIDATE, key, 0).map(drop)
}

pub fn clear(keyring: i32) -> io::Result<()> {
    simple(libc::KEYCTL_CLEAR, keyring, 0).map(drop)
}

/// From now on nothing more can be linked into it.
pub fn restrict(keyring: i32) -> io::Result<()> {
    const RESTRICT_KEYRING: u32 = 29; // linux/keyctl.h
    simple(RESTRICT_KEYRING, keyring, 0).map(drop)
}

/// Gives the key to another owner; -1 leaves an id as it is.
pub fn change_owner(key: i32, uid: u32, gid: u32) -> io::Result<()> {
    keyctl(libc::KEYCTL_CHOWN, [key.into(), uid as libc::c_long, gid as libc::c_long, 0]).map(drop)
}

pub fn link(key: i32, keyring: i32) -> io::Result<()> {
    simple(libc::KEYCTL_LINK, key, keyring).map(drop)
}

pub fn unlink(key: i32, keyring: i32) -> io::Result<()> {
    simple(libc::KEYCTL_UNLINK, key, keyring).map(drop)
}

pub fn set_permissions(key: i32, permissions: u32) -> io::Result<()> {
    simple(libc::KEYCTL_SETPERM, key, permissions as i32).map(drop)
}

/// Lets the key expire in `seconds`.
pub fn set_timeout(key: i32, seconds: u32) -> io::Result<()> {
    simple(libc::KEYCTL_SET_TIMEOUT, key, seconds as i32).map(drop)
}

/// Fills a buffer by an operation that says how much it would have written.
fn read_all(operation: u32, key: i32) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0_u8; 64];
    loop {
        let pointer = buffer.as_mut_ptr() as libc::c_long;
        let length = keyctl(operation, [key.into(), pointer, buffer.len() as libc::c_long, 0])? as usize;
        if length <= buffer.len() {
            buffer.truncate(length);
            return Ok(buffer);
        }
        buffer.resize(length, 0);
    }
}

pub fn describe(key: i32) -> io::Result<Description> {
    let text = String::from_utf8_lossy(&read_all(libc::KEYCTL_DESCRIBE, key)?).trim_end_matches('\0').to_owned();
    let mut fields = text.splitn(5, ';');
    let mut next = || fields.next().expect("KEYCTL_DESCRIBE has five fields");
    Ok(Description {
        kind: next().to_owned(),
        // The kernel writes them as signed numbers.
        uid: next().parse::<i32>().expect("a uid") as u32,
        gid: next().parse::<i32>().expect("a gid") as u32,
        permissions: u32::from_str_radix(next(), 16).expect("permissions in hexadecimal"),
        name: next().to_owned(),
    })
}

/// The payload of a key.
pub fn read(key: i32) -> io::Result<Vec<u8>> {
    read_all(libc::KEYCTL_READ, key)
}

/// What a keyring links.
pub fn links(keyring: i32) -> io::Result<Vec<i32>> {
    let serial = |bytes: &[u8]| i32::from_ne_bytes(bytes.try_into().expect("four bytes"));
    Ok(read(keyring)?.chunks_exact(4).map(serial).collect())
}

/// The names of what a keyring links.
pub fn link_names(keyring: i32) -> io::Result<Vec<String>> {
    links(keyring)?.into_iter().map(|link| Ok(describe(link)?.name)).collect()
}

/// Adds a key of type `user`.
pub fn add(name: &str, payload: &str, keyring: i32) -> io::Result<i32> {
    let name = CString::new(name)?;
    // SAFETY: two strings with their NULs, and a payload of the length given.
    checked(unsafe {
        libc::syscall(
            libc::SYS_add_key,
            c"user".as_ptr(),
            name.as_ptr(),
            payload.as_ptr(),
            payload.len(),
            libc::c_long::from(keyring),
        )
    })
}

/// Adds an empty keyring.
pub fn add_keyring(name: &str, keyring: i32) -> io::Result<i32> {
    let name = CString::new(name)?;
    // SAFETY: two strings with their NULs; a keyring has no payload.
    checked(unsafe {
        libc::syscall(
            libc::SYS_add_key,
            c"keyring".as_ptr(),
            name.as_ptr(),
            std::ptr::null::<u8>(),
            0_usize,
            libc::c_long::from(keyring),
        )
    })
}

/// Searches `keyring` and what it links for a key of type `user`.
pub fn search(name: &str, keyring: i32) -> io::Result<i32> {
    search_for(c"user", name, keyring)
}

/// The same for a keyring.
pub fn search_keyring(name: &str, keyring: i32) -> io::Result<i32> {
    search_for(c"keyring", name, keyring)
}

fn search_for(kind: &CStr, name: &str, keyring: i32) -> io::Result<i32> {
    let name = CString::new(name)?;
    keyctl(libc::KEYCTL_SEARCH, [keyring.into(), kind.as_ptr() as libc::c_long, name.as_ptr() as libc::c_long, 0])
}

/// Looks for a key of type `user` in the keyrings of the process, as programs do.
pub fn request(name: &str) -> io::Result<i32> {
    let name = CString::new(name)?;
    // SAFETY: two strings with their NULs; a null pointer means that nobody is asked to make the key.
    checked(unsafe {
        libc::syscall(libc::SYS_request_key, c"user".as_ptr(), name.as_ptr(), std::ptr::null::<u8>(), 0 as libc::c_long)
    })
}

/// What a user has of keys and of their bytes that counts, and how much there may be, /proc/key-users.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    pub used: u32,
    pub most: u32,
    pub used_bytes: u32,
    pub most_bytes: u32,
}

/// The quota of `uid`, of which this process sees it. Somebody without keys has no line.
pub fn quota(uid: u32) -> Quota {
    let users = key_users();
    let fields = |line: &str| {
        // "UID: usage keys/instantiated keys/most bytes/most"
        let (user, rest) = line.split_once(':')?;
        let number = |text: &str| text.trim().parse::<u32>().expect("a number");
        let mut pairs = rest.split_whitespace().skip(2).filter_map(|pair| pair.split_once('/'));
        let mut next = || pairs.next().map(|(used, most)| (number(used), number(most)));
        let ((used, most), (used_bytes, most_bytes)) = (next()?, next()?);
        (number(user) == uid).then_some(Quota { used, most, used_bytes, most_bytes })
    };
    users.lines().find_map(fields).unwrap_or(Quota { used: 0, most: 0, used_bytes: 0, most_bytes: 0 })
}

/// /proc/key-users. The kernel gives it out a page at a time, and leaves a line out where an earlier one has gone between two
/// pages: so it is read until it names the same users twice.
fn key_users() -> String {
    let read = || std::fs::read_to_string("/proc/key-users").expect("/proc");
    let names = |users: &str| -> Vec<String> {
        users.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.to_owned()).collect()
    };
    let mut users = read();
    loop {
        let again = read();
        if names(&users) == names(&again) {
            return again;
        }
        users = again;
    }
}
