// SPDX-License-Identifier: MIT
//! Every C function and every system call that the module uses. Nothing is decided here.

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_int, c_long, c_void};
use core::ops::Deref;
use core::{ptr, slice};

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
use libc::{
    SYS_getegid, SYS_geteuid, SYS_getgid, SYS_getresgid, SYS_getresuid, SYS_getuid, SYS_setfsgid, SYS_setfsuid,
    SYS_setregid, SYS_setresgid, SYS_setresuid, SYS_setreuid,
};
#[cfg(any(target_arch = "x86", target_arch = "arm"))]
use libc::{
    SYS_getegid32 as SYS_getegid, SYS_geteuid32 as SYS_geteuid, SYS_getgid32 as SYS_getgid,
    SYS_getresgid32 as SYS_getresgid, SYS_getresuid32 as SYS_getresuid, SYS_getuid32 as SYS_getuid,
    SYS_setfsgid32 as SYS_setfsgid, SYS_setfsuid32 as SYS_setfsuid, SYS_setregid32 as SYS_setregid,
    SYS_setresgid32 as SYS_setresgid, SYS_setresuid32 as SYS_setresuid, SYS_setreuid32 as SYS_setreuid,
};

/// A kind of ids: the numbers of its system calls.
pub struct Kind {
    get_all: c_long,
    get_real: c_long,
    get_effective: c_long,
    set_all: c_long,
    set_real: c_long,
    set_fs: c_long,
    /// Whether capabilities depend on them: on uids they do.
    pub decides_capabilities: bool,
}

/// Uids.
pub static USER: Kind = Kind {
    get_all: SYS_getresuid,
    get_real: SYS_getuid,
    get_effective: SYS_geteuid,
    set_all: SYS_setresuid,
    set_real: SYS_setreuid,
    set_fs: SYS_setfsuid,
    decides_capabilities: true,
};
/// Gids.
pub static GROUP: Kind = Kind {
    get_all: SYS_getresgid,
    get_real: SYS_getgid,
    get_effective: SYS_getegid,
    set_all: SYS_setresgid,
    set_real: SYS_setregid,
    set_fs: SYS_setfsgid,
    decides_capabilities: false,
};

/// The real, effective and saved id of a thread.
pub type ThreadIds = [u32; 3];

/// Those of the calling thread, getresuid(2). Where a filter forbids that call, which the C module does not make, the
/// saved id is taken for the effective one.
pub fn thread_ids(kind: &Kind) -> Result<ThreadIds, c_int> {
    let [mut real, mut effective, mut saved] = [0_u32; 3];
    // SAFETY: the three pointers are to three live u32, which is what the kernel writes.
    let all = unsafe { libc::syscall(kind.get_all, &raw mut real, &raw mut effective, &raw mut saved) };
    if checked(all).is_err() {
        // SAFETY: takes no arguments.
        real = checked(unsafe { libc::syscall(kind.get_real) })? as u32;
        // SAFETY: as above.
        effective = checked(unsafe { libc::syscall(kind.get_effective) })? as u32;
        saved = effective;
    }
    Ok([real, effective, saved])
}

/// Changes the ids of the calling thread, and of no other, from those it has. On the way the kernel makes the filesystem
/// id the effective one. setreuid(2), as the C module does, where that touches the real id alone, else setresuid(2).
/// libc's own wrappers would change every thread of the process.
pub fn set_thread_ids(kind: &Kind, from: ThreadIds, to: ThreadIds) -> Result<(), c_int> {
    let [old_real, old_effective, old_saved] = from;
    let [real, effective, saved] = to;
    let changed = |old, new| if old == new { -1 } else { new as c_long };
    let answer = if old_saved == old_effective && [effective, saved] == [old_effective, old_saved] {
        // SAFETY: takes numbers only; -1 leaves an id as it is.
        unsafe { libc::syscall(kind.set_real, real as c_long, -1 as c_long) }
    } else {
        let [real, effective, saved] =
            [changed(old_real, real), changed(old_effective, effective), changed(old_saved, saved)];
        // SAFETY: as above.
        unsafe { libc::syscall(kind.set_all, real, effective, saved) }
    };
    checked(answer).map(drop)
}

/// Sets the filesystem id of the calling thread and returns the one before, setfsuid(2). 4294967295 changes nothing.
/// The kernel itself reports no failure, but a filter may answer with one, and gVisor has no such call. On 32-bit an
/// answer of 4294963201 and more looks like a failure to libc, measured on i386: it is an id if the thread has that one.
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

/// Whether the calling thread keeps its capabilities when the last of its uids stops being 0, prctl(2)
/// `PR_GET_SECUREBITS`. If that cannot be seen, it does not.
pub fn thread_keeps_capabilities() -> bool {
    const NO_SETUID_FIXUP: c_long = 1 << 2; // linux/securebits.h
    const KEEP_CAPS: c_long = 1 << 4;
    // SAFETY: takes numbers only.
    let bits = unsafe { libc::syscall(libc::SYS_prctl, libc::PR_GET_SECUREBITS as c_long, 0, 0, 0, 0) };
    checked(bits).is_ok_and(|bits| bits & (NO_SETUID_FIXUP | KEEP_CAPS) != 0)
}

/// What the kernel clears when the filesystem uid changes, prctl(2).
pub struct Cleared {
    parent_death_signal: c_int,
    dumpable: c_long,
}

/// The parent-death signal of the calling thread and the dumpable flag of its process.
pub fn cleared_by_fs_id() -> Result<Cleared, c_int> {
    let mut signal: c_int = 0;
    // SAFETY: the pointer is to a live int, which is what the kernel writes.
    checked(unsafe { libc::syscall(libc::SYS_prctl, libc::PR_GET_PDEATHSIG as c_long, &raw mut signal) })?;
    // SAFETY: takes numbers only.
    let dumpable = checked(unsafe { libc::syscall(libc::SYS_prctl, libc::PR_GET_DUMPABLE as c_long, 0, 0, 0, 0) })?;
    Ok(Cleared { parent_death_signal: signal, dumpable })
}

/// Sets them. The kernel's own third value of the dumpable flag, 2, cannot be set: it is stricter than 1.
pub fn set_cleared_by_fs_id(cleared: &Cleared) -> Result<(), c_int> {
    let signal = cleared.parent_death_signal as c_long;
    // SAFETY: takes numbers only.
    checked(unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG as c_long, signal, 0, 0, 0) })?;
    if cleared.dumpable > 1 {
        return Ok(());
    }
    // SAFETY: as above.
    checked(unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_DUMPABLE as c_long, cleared.dumpable, 0, 0, 0) })
        .map(drop)
}

/// The operations of keyctl(2) that write nothing to memory.
#[derive(Clone, Copy)]
pub enum Operation {
    GetKeyringId = libc::KEYCTL_GET_KEYRING_ID as isize,
    Revoke = libc::KEYCTL_REVOKE as isize,
    Invalidate = libc::KEYCTL_INVALIDATE as isize,
    SetPermissions = libc::KEYCTL_SETPERM as isize,
    Link = libc::KEYCTL_LINK as isize,
    Unlink = libc::KEYCTL_UNLINK as isize,
}

/// keyctl(2) with the two arguments that these operations have at most.
pub fn keyctl(operation: Operation, first: i32, second: i32) -> Result<i32, c_int> {
    // SAFETY: takes numbers only, and no memory is written to.
    let answer = unsafe { libc::syscall(libc::SYS_keyctl, operation as c_long, first as c_long, second as c_long) };
    Ok(checked(answer)? as i32)
}

/// keyctl(2) `KEYCTL_JOIN_SESSION_KEYRING`: joins the first keyring of that name that the thread's filesystem uid may search,
/// or a new one; without a name always a new, anonymous one.
pub fn keyctl_join(name: Option<&CStr>) -> Result<i32, c_int> {
    let name = name.map_or(ptr::null(), CStr::as_ptr);
    // SAFETY: the kernel reads a string with its NUL, or is given none.
    let answer = unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING as c_long, name) };
    Ok(checked(answer)? as i32)
}

/// keyctl(2) `KEYCTL_SEARCH`: the keyring of that name that the thread can find from `keyring`.
pub fn keyctl_search(keyring: i32, name: &CStr) -> Result<i32, c_int> {
    let kind = c"keyring";
    // SAFETY: the kernel reads two strings with their NULs; 0 links what is found nowhere.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            libc::KEYCTL_SEARCH as c_long,
            keyring as c_long,
            kind.as_ptr(),
            name.as_ptr(),
            0 as c_long,
        )
    };
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
