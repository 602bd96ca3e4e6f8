// SPDX-License-Identifier: MIT
//! Every C function and every system call that the module uses. Nothing is decided here.

use core::ffi::{c_char, c_int, c_long, c_void};

use crate::error::Errno;
use crate::identity::{Capability, Kind};

/// `pam_handle_t`, opaque.
#[repr(C)]
pub struct PamHandle {
    _opaque: [u8; 0],
}

/// The type of function that libpam calls when it drops a handle's data, pam_set_data(3).
pub type Cleanup = unsafe extern "C" fn(*mut PamHandle, *mut c_void, c_int);

// By file name: the runtime library that every system has, so that no -dev package is needed.
#[link(name = "libpam.so.0", kind = "dylib", modifiers = "+verbatim")]
unsafe extern "C" {
    pub fn pam_get_user(pamh: *mut PamHandle, user: *mut *const c_char, prompt: *const c_char) -> c_int;
    pub fn pam_get_data(pamh: *const PamHandle, name: *const c_char, data: *mut *const c_void) -> c_int;
    pub fn pam_set_data(pamh: *mut PamHandle, name: *const c_char, data: *mut c_void, cleanup: Option<Cleanup>) -> c_int;
    pub fn pam_modutil_getpwnam(pamh: *mut PamHandle, user: *const c_char) -> *mut libc::passwd;
    pub fn pam_syslog(pamh: *const PamHandle, priority: c_int, format: *const c_char, ...);
}

pub use libc::{free, malloc};

#[cfg(not(test))]
unsafe extern "C" {
    /// Defined nowhere: the panic handler calls it, so that a reachable panic is an error of the linker.
    pub safe fn pam_keyinit_can_panic() -> !;
}

// The ids of 32-bit kernels' first calls have 16 bits; these have 32.
#[cfg(any(target_arch = "x86", target_arch = "arm"))]
use libc::{
    SYS_getresgid32 as SYS_getresgid, SYS_getresuid32 as SYS_getresuid, SYS_setfsgid32 as SYS_setfsgid,
    SYS_setfsuid32 as SYS_setfsuid, SYS_setresgid32 as SYS_setresgid, SYS_setresuid32 as SYS_setresuid,
};
#[cfg(not(any(target_arch = "x86", target_arch = "arm")))]
use libc::{SYS_getresgid, SYS_getresuid, SYS_setfsgid, SYS_setfsuid, SYS_setresgid, SYS_setresuid};

/// "Leave this id as it is", setresuid(2).
const KEEP: c_long = -1;

/// keyctl(2) with the two arguments that the operations used here have at most.
pub fn keyctl(operation: u32, first: i32, second: i32) -> Result<i32, Errno> {
    // SAFETY: none of the operations used here reads or writes memory; JOIN takes a null pointer for its name.
    let answer = unsafe { libc::syscall(libc::SYS_keyctl, operation as c_long, first as c_long, second as c_long) };
    Ok(checked(answer)? as i32)
}

/// The real, effective and saved id of the calling thread, getresuid(2).
pub fn thread_ids(kind: Kind) -> Result<[u32; 3], Errno> {
    let number = match kind {
        Kind::User => SYS_getresuid,
        Kind::Group => SYS_getresgid,
    };
    let [mut real, mut effective, mut saved] = [0_u32; 3];
    // SAFETY: the three pointers are to three live u32, which is what the kernel writes.
    checked(unsafe { libc::syscall(number, &raw mut real, &raw mut effective, &raw mut saved) })?;
    Ok([real, effective, saved])
}

/// Sets the real id of the calling thread, and of no other, setresuid(2). The kernel sets the filesystem id to the
/// effective one on the way.
pub fn set_thread_real_id(kind: Kind, id: u32) -> Result<(), Errno> {
    let number = match kind {
        Kind::User => SYS_setresuid,
        Kind::Group => SYS_setresgid,
    };
    // SAFETY: takes numbers only. libc's wrapper of the same name would change every thread of the process.
    checked(unsafe { libc::syscall(number, id as c_long, KEEP, KEEP) })?;
    Ok(())
}

/// Sets the filesystem id of the calling thread and returns the one before, setfsuid(2). 4294967295 changes nothing.
/// The kernel reports no failure.
pub fn set_thread_fs_id(kind: Kind, id: u32) -> u32 {
    let number = match kind {
        Kind::User => SYS_setfsuid,
        Kind::Group => SYS_setfsgid,
    };
    // SAFETY: takes a number only.
    unsafe { libc::syscall(number, id as c_long) as u32 }
}

/// Whether the calling thread has `capability` in effect, capget(2).
pub fn thread_is_capable(capability: Capability) -> Result<bool, Errno> {
    const VERSION_3: u32 = 0x2008_0522; // linux/capability.h: two words for each set
    let mut header = [VERSION_3, 0]; // version and thread, 0 for the calling one
    let mut sets = [0_u32; 6]; // effective, permitted, inheritable: for capabilities 0 to 31, then 32 to 63
    // SAFETY: of version 3 the header is two words, which the kernel may write, and the sets are six.
    checked(unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), sets.as_mut_ptr()) })?;
    let [effective, ..] = sets;
    Ok(effective & (1 << capability as u32) != 0)
}

/// What the last system call answered: libc returns -1 and keeps the reason in the thread's errno.
fn checked(answer: c_long) -> Result<c_long, Errno> {
    if answer != -1 {
        return Ok(answer);
    }
    // SAFETY: libc returns a pointer to the calling thread's errno, valid as long as the thread.
    Err(Errno(unsafe { *libc::__errno_location() }))
}
