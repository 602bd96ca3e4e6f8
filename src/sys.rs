// SPDX-License-Identifier: MIT
//! Every C function and every system call that the module uses. Nothing is decided here.

use core::cell::UnsafeCell;
use core::ffi::{c_char, c_int, c_long, c_void};
use core::ops::Deref;
use core::slice;

/// `pam_handle_t`, opaque: libpam changes what is behind a shared reference to it.
#[repr(C)]
pub struct PamHandle {
    _opaque: UnsafeCell<[u8; 0]>,
}

/// The user's name, as an item of pam_get_item(3).
pub const PAM_USER: c_int = 2;

/// The type of function that libpam calls when it drops a handle's data, pam_set_data(3).
pub type Cleanup = unsafe extern "C" fn(*mut PamHandle, *mut c_void, c_int);

// By file name: the runtime library that every system has, so that no -dev package is needed.
#[link(name = "libpam.so.0", kind = "dylib", modifiers = "+verbatim")]
unsafe extern "C" {
    pub fn pam_get_user(pamh: Option<&PamHandle>, user: *mut *const c_char, prompt: *const c_char) -> c_int;
    pub fn pam_get_item(pamh: Option<&PamHandle>, item: c_int, value: *mut *const c_void) -> c_int;
    pub fn pam_get_data(pamh: Option<&PamHandle>, name: *const c_char, data: *mut *const c_void) -> c_int;
    pub fn pam_set_data(
        pamh: Option<&PamHandle>,
        name: *const c_char,
        data: *mut c_void,
        cleanup: Option<Cleanup>,
    ) -> c_int;
    pub fn pam_modutil_getpwnam(pamh: Option<&PamHandle>, user: *const c_char) -> *mut libc::passwd;
    pub fn pam_syslog(pamh: Option<&PamHandle>, priority: c_int, format: *const c_char, ...);
}

pub use libc::{free, malloc};

#[cfg(not(test))]
unsafe extern "C" {
    /// Defined nowhere: the panic handler calls it, so that a reachable panic is an error of the linker.
    pub safe fn pam_keyinit_can_panic() -> !;
}

// The first id calls of 32-bit kernels have ids of 16 bits; these have 32.
#[cfg(not(any(target_arch = "x86", target_arch = "arm")))]
use libc::{SYS_getresgid, SYS_getresuid, SYS_setfsgid, SYS_setfsuid, SYS_setresgid, SYS_setresuid};
#[cfg(any(target_arch = "x86", target_arch = "arm"))]
use libc::{
    SYS_getresgid32 as SYS_getresgid, SYS_getresuid32 as SYS_getresuid, SYS_setfsgid32 as SYS_setfsgid,
    SYS_setfsuid32 as SYS_setfsuid, SYS_setresgid32 as SYS_setresgid, SYS_setresuid32 as SYS_setresuid,
};

/// A kind of ids: the numbers of its system calls.
pub struct Kind {
    get: c_long,
    set: c_long,
    set_fs: c_long,
    /// The bit of the capability to set them freely, linux/capability.h.
    capability: u32,
    /// Whether capabilities depend on them: on uids they do.
    pub decides_capabilities: bool,
}

/// Uids, with CAP_SETUID.
pub static USER: Kind = Kind {
    get: SYS_getresuid,
    set: SYS_setresuid,
    set_fs: SYS_setfsuid,
    capability: 1 << 7,
    decides_capabilities: true,
};
/// Gids, with CAP_SETGID.
pub static GROUP: Kind = Kind {
    get: SYS_getresgid,
    set: SYS_setresgid,
    set_fs: SYS_setfsgid,
    capability: 1 << 6,
    decides_capabilities: false,
};

/// The real, effective and saved id of the calling thread, getresuid(2).
pub fn thread_ids(kind: &Kind) -> Result<[u32; 3], c_int> {
    let [mut real, mut effective, mut saved] = [0_u32; 3];
    // SAFETY: the three pointers are to three live u32, which is what the kernel writes.
    checked(unsafe { libc::syscall(kind.get, &raw mut real, &raw mut effective, &raw mut saved) })?;
    Ok([real, effective, saved])
}

/// Sets the real id of the calling thread, and of no other, setresuid(2). On the way the kernel makes the filesystem id
/// the effective one.
pub fn set_thread_real_id(kind: &Kind, id: u32) -> Result<(), c_int> {
    // SAFETY: takes numbers only; -1 leaves an id as it is. libc's own wrapper would change every thread of the process.
    checked(unsafe { libc::syscall(kind.set, id as c_long, -1 as c_long, -1 as c_long) }).map(drop)
}

/// Sets the filesystem id of the calling thread and returns the one before, setfsuid(2). 4294967295 changes nothing.
/// The kernel itself reports no failure, but a seccomp filter may answer with one. On 32-bit an answer of 4294963201 and
/// more looks like one to libc, measured on i386: it is an id if the thread has it as real, effective or saved one. Where
/// only the filesystem id is that high, the caller is refused before anything is changed, and the log has the id as errno.
pub fn set_thread_fs_id(kind: &Kind, id: u32) -> Result<u32, c_int> {
    // SAFETY: takes a number only.
    match checked(unsafe { libc::syscall(kind.set_fs, id as c_long) }) {
        Err(errno) if cfg!(target_pointer_width = "32") => {
            let id = errno.wrapping_neg() as u32;
            if thread_ids(kind)?.contains(&id) { Ok(id) } else { Err(errno) }
        }
        answer => Ok(answer? as u32),
    }
}

/// Whether the calling thread may set ids of this kind freely, capget(2). If that cannot be seen, it may not.
pub fn thread_is_capable(kind: &Kind) -> bool {
    const VERSION_3: u32 = 0x2008_0522; // linux/capability.h
    let mut header = [VERSION_3, 0]; // version and thread, 0 for the calling one
    let mut sets = [0_u32; 6]; // effective, permitted, inheritable: of capabilities 0 to 31, then of 32 to 63
    // SAFETY: of version 3 the header is two words, which the kernel may write, and the sets are six.
    unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), sets.as_mut_ptr()) };
    sets[0] & kind.capability != 0
}

/// The operations of keyctl(2) that write nothing to memory.
#[derive(Clone, Copy)]
pub enum Operation {
    GetKeyringId = libc::KEYCTL_GET_KEYRING_ID as isize,
    JoinSessionKeyring = libc::KEYCTL_JOIN_SESSION_KEYRING as isize,
    Revoke = libc::KEYCTL_REVOKE as isize,
    Link = libc::KEYCTL_LINK as isize,
    Unlink = libc::KEYCTL_UNLINK as isize,
}

/// keyctl(2) with the two arguments that these operations have at most.
pub fn keyctl(operation: Operation, first: i32, second: i32) -> Result<i32, c_int> {
    // SAFETY: takes numbers only, and no memory is written to. JOIN would read a name at `first`: the kernel checks.
    let answer = unsafe { libc::syscall(libc::SYS_keyctl, operation as c_long, first as c_long, second as c_long) };
    Ok(checked(answer)? as i32)
}

/// The operations of keyctl(2) that write what they find out to memory.
#[derive(Clone, Copy)]
pub enum Query {
    Describe = libc::KEYCTL_DESCRIBE as isize,
    Read = libc::KEYCTL_READ as isize,
}

/// What a [`Query`] found out, in memory from malloc(3).
pub struct Answer {
    memory: *mut c_void,
    length: usize,
}

/// keyctl(2) with one of these operations.
pub fn keyctl_query(query: Query, key: i32) -> Result<Answer, c_int> {
    let mut size = 256; // enough for most, so for these it is one call
    loop {
        // SAFETY: asks for memory of a size that is not 0.
        let mut answer = Answer { memory: unsafe { malloc(size) }, length: 0 };
        if answer.memory.is_null() {
            return Err(libc::ENOMEM);
        }
        // SAFETY: the kernel writes to `memory`, and no more than the `size` bytes that are there.
        let length = unsafe { libc::syscall(libc::SYS_keyctl, query as c_long, key as c_long, answer.memory, size) };
        let length = checked(length)? as usize;
        if length <= size {
            answer.length = length;
            return Ok(answer);
        }
        size = length; // nothing was written: the kernel says what it needs
    }
}

impl Deref for Answer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the kernel has written `length` bytes there.
        unsafe { slice::from_raw_parts(self.memory.cast(), self.length) }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: null, or from malloc, and this was its only owner.
        unsafe { free(self.memory) }
    }
}

/// What the last system call answered: libc returns -1 and keeps the reason in the thread's errno.
fn checked(answer: c_long) -> Result<c_long, c_int> {
    if answer != -1 {
        return Ok(answer);
    }
    // SAFETY: takes no arguments.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: it points to the calling thread's errno, which is there as long as the thread.
    Err(unsafe { *errno })
}
