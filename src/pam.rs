// SPDX-License-Identifier: MIT
//! The handle of pam(3), as far as the module needs it: who logs in, what the handle keeps for us, and the log.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::marker::PhantomData;
use core::ptr;

use crate::error::{Error, Failure};
use crate::line::Line;
use crate::sys;
pub use crate::sys::PamHandle;

/// A return code of libpam, security/_pam_types.h.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Code(pub c_int);

impl Code {
    pub const SUCCESS: Code = Code(0);
    pub const BUF_ERR: Code = Code(5);
    pub const USER_UNKNOWN: Code = Code(10);
    pub const SESSION_ERR: Code = Code(14);
    pub const CRED_ERR: Code = Code(17);
    pub const IGNORE: Code = Code(25);
}

/// How much a line of the log matters, syslog(3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    Critical = libc::LOG_CRIT as isize,
    Error = libc::LOG_ERR as isize,
    Warning = libc::LOG_WARNING as isize,
    Notice = libc::LOG_NOTICE as isize,
    Debug = libc::LOG_DEBUG as isize,
}

impl Level {
    /// How much `failure` matters.
    pub fn of(failure: Failure) -> Level {
        match failure.error {
            Error::UnknownUser => Level::Notice,
            Error::GiveBack => Level::Critical,
            _ => Level::Error,
        }
    }
}

/// A user's ids, as in passwd(5).
#[derive(Clone, Copy, Default)]
pub struct Ids {
    pub uid: u32,
    pub gid: u32,
}

/// libpam's handle, for the length of one call of the module. None is null: libpam only logs for it.
pub struct Handle<'call>(Option<&'call PamHandle>);

impl<'call> Handle<'call> {
    /// The handle, and the place in it where the module keeps a `T`.
    ///
    /// # Safety
    /// `pamh` is null, or a handle of libpam's that stays valid, and is used by this thread alone, for `'call`. For that
    /// time nobody makes another of it.
    pub unsafe fn new<T>(pamh: *mut PamHandle) -> (Handle<'call>, Store<'call, T>) {
        // SAFETY: null, or valid for `'call` as promised.
        let pamh = unsafe { pamh.as_ref() };
        (Handle(pamh), Store(pamh, PhantomData))
    }

    /// The name of the user who logs in; libpam asks for it if nobody has yet.
    ///
    /// # Errors
    /// What pam_get_user(3) answered.
    pub fn user(&self) -> Result<&'call CStr, Failure> {
        let mut name: *const c_char = ptr::null();
        // SAFETY: `Handle` holds a valid handle, `name` is a place for a pointer, and a null prompt means the default.
        let code = unsafe { sys::pam_get_user(self.0, &raw mut name, ptr::null()) };
        if Code(code) != Code::SUCCESS || name.is_null() {
            return Err(Error::NoUser.because(code));
        }
        // SAFETY: on success pam_get_user(3) stores a string that is valid until PAM_USER is set, and nobody sets it here.
        Ok(unsafe { CStr::from_ptr(name) })
    }

    /// Uid and gid in the passwd entry of `name`, or None if there is none.
    pub fn ids_of(&self, name: &CStr) -> Option<Ids> {
        // SAFETY: a valid handle and a string with its NUL.
        let entry = unsafe { sys::pam_modutil_getpwnam(self.0, name.as_ptr()) };
        // SAFETY: pam_modutil_getpwnam(3) returns null or an entry that libpam keeps as long as the handle.
        unsafe { entry.as_ref() }.map(|entry| Ids { uid: entry.pw_uid, gid: entry.pw_gid })
    }

    /// Writes `line` to the log: after libpam's prefix, `pam_keyinit(service:type): `, and with the user it is about, who is
    /// PAM_USER if `about` is empty.
    pub fn log(&self, level: Level, line: &mut Line, about: &CStr) {
        let about = if about.is_empty() { self.known_user() } else { Some(about) };
        if let Some(name) = about {
            line.text(" (user ").escaped(name).text(")");
        }
        // SAFETY: a valid handle, or null, for which libpam only leaves its prefix out; "%s" takes one C string, which `line` is.
        unsafe { sys::pam_syslog(self.0, level as c_int, c"%s".as_ptr(), line.as_c_str().as_ptr()) };
    }

    /// Writes to the log why a call failed.
    pub fn report(&self, failure: Failure) {
        let mut line = Line::new();
        failure.write(&mut line);
        self.log(Level::of(failure), &mut line, c"");
    }

    /// PAM_USER, if it is set: nobody is asked.
    fn known_user(&self) -> Option<&CStr> {
        let pamh = self.0?;
        let mut name: *const c_void = ptr::null();
        // SAFETY: a valid handle and a place for a pointer.
        let code = unsafe { sys::pam_get_item(Some(pamh), sys::PAM_USER, &raw mut name) };
        if Code(code) != Code::SUCCESS || name.is_null() {
            return None;
        }
        // SAFETY: on success pam_get_item(3) stores PAM_USER, a string that is valid until it is set, and nobody sets it here.
        Some(unsafe { CStr::from_ptr(name.cast()) })
    }
}

/// The place in libpam's handle where a `T` is kept from one call to the next, pam_set_data(3). Several handles in a
/// process, and several threads, know nothing of each other.
pub struct Store<'call, T>(Option<&'call PamHandle>, PhantomData<&'call mut T>);

impl<'call, T: Copy + Default> Store<'call, T> {
    /// Its name in the handle. With the version in it, two versions of the module in one stack do not read each other's
    /// memory.
    const NAME: *const c_char = concat!("pam_keyinit.rs ", env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast();

    /// What the handle keeps. If that is nothing yet, it is a new `T` where `make` says so.
    ///
    /// # Errors
    /// [`Error::NoMemory`], [`Error::NoState`].
    pub fn kept(self, make: bool) -> Result<Option<&'call mut T>, Failure> {
        let mut data: *const c_void = ptr::null();
        // SAFETY: a valid handle, a string with its NUL, and a place for a pointer.
        let code = unsafe { sys::pam_get_data(self.0, Self::NAME, &raw mut data) };
        let mut kept: *mut T = if Code(code) == Code::SUCCESS { data.cast_mut().cast() } else { ptr::null_mut() };
        if kept.is_null() && make {
            kept = self.keep_new()?;
        }
        // SAFETY: null, or from `keep_new`, which alone stores under this name; libpam hands out the address but never
        // looks at what is there, and the one `Store` of this call is used up here.
        Ok(unsafe { kept.as_mut() })
    }

    fn keep_new(&self) -> Result<*mut T, Failure> {
        // SAFETY: asks for memory of a size that is not 0.
        let memory = unsafe { sys::malloc(size_of::<T>()) }.cast::<T>();
        if memory.is_null() {
            return Err(Error::NoMemory.into());
        }
        // SAFETY: memory of a `T`'s size, aligned for every type of C, malloc(3).
        unsafe { memory.write(T::default()) };
        // SAFETY: a valid handle, a string with its NUL, and memory that `free` can free.
        let code = unsafe { sys::pam_set_data(self.0, Self::NAME, memory.cast(), Some(free)) };
        if Code(code) == Code::SUCCESS {
            return Ok(memory);
        }
        // SAFETY: from malloc above, and libpam, having failed, did not keep it.
        unsafe { sys::free(memory.cast()) };
        Err(Error::NoState.because(code))
    }
}

/// What libpam calls in pam_end(3), in every process that calls it, forked children too. So it touches no keyring: the
/// session may go on in another process.
///
/// # Safety
/// `kept` is from [`Store::keep_new`], and nobody uses it any more.
unsafe extern "C" fn free(_: *mut PamHandle, kept: *mut c_void, _: c_int) {
    // SAFETY: from malloc, as promised; what is `Copy` owns nothing but its own memory.
    unsafe { sys::free(kept) }
}
