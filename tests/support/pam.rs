// SPDX-License-Identifier: MIT
//! An application of pam(3): a login through libpam with a configuration directory of its own.

use std::ffi::{CString, c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::path::Path;
use std::ptr;

pub const SUCCESS: c_int = 0;
pub const SYSTEM_ERR: c_int = 4;
pub const BUF_ERR: c_int = 5;
/// What libpam makes of a close that succeeds after an open that failed: it acts on both answers.
pub const PERM_DENIED: c_int = 6;
pub const USER_UNKNOWN: c_int = 10;
pub const SESSION_ERR: c_int = 14;
pub const CRED_ERR: c_int = 17;
pub const CONV_ERR: c_int = 19;
pub const IGNORE: c_int = 25;
pub const MODULE_UNKNOWN: c_int = 28;

pub const ESTABLISH: c_int = 2;
pub const DELETE: c_int = 4;
pub const REINITIALIZE: c_int = 8;
pub const REFRESH: c_int = 16;
pub const SILENT: c_int = 0x8000;
/// A flag of pam_end(3): this is a copy of the handle, and the session goes on in another process.
pub const DATA_SILENT: c_int = 0x4000_0000;

const PAM_USER: c_int = 2;

#[repr(C)]
struct Handle {
    _opaque: [u8; 0],
}

type Conversation = extern "C" fn(c_int, *mut *const c_void, *mut *mut c_void, *mut c_void) -> c_int;

#[repr(C)]
struct Conv {
    conv: Conversation,
    data: *mut c_void,
}

#[link(name = "libpam.so.0", kind = "dylib", modifiers = "+verbatim")]
unsafe extern "C" {
    fn pam_start_confdir(
        service: *const c_char,
        user: *const c_char,
        conv: *const Conv,
        confdir: *const c_char,
        pamh: *mut *mut Handle,
    ) -> c_int;
    fn pam_start(service: *const c_char, user: *const c_char, conv: *const Conv, pamh: *mut *mut Handle) -> c_int;
    fn pam_end(pamh: *mut Handle, status: c_int) -> c_int;
    fn pam_set_item(pamh: *mut Handle, item: c_int, value: *const c_void) -> c_int;
    fn pam_authenticate(pamh: *mut Handle, flags: c_int) -> c_int;
    fn pam_setcred(pamh: *mut Handle, flags: c_int) -> c_int;
    fn pam_acct_mgmt(pamh: *mut Handle, flags: c_int) -> c_int;
    fn pam_open_session(pamh: *mut Handle, flags: c_int) -> c_int;
    fn pam_close_session(pamh: *mut Handle, flags: c_int) -> c_int;
    fn pam_chauthtok(pamh: *mut Handle, flags: c_int) -> c_int;
}

/// Answers every question with a failure: nobody is there to ask.
extern "C" fn nobody_answers(_: c_int, _: *mut *const c_void, _: *mut *mut c_void, _: *mut c_void) -> c_int {
    CONV_ERR
}

/// A handle of libpam's. It ends when it is dropped.
pub struct Pam {
    handle: *mut Handle,
}

// SAFETY: libpam keeps nothing for a thread, and a handle is used by one at a time.
unsafe impl Send for Pam {}

impl Pam {
    /// Starts `service` of the configuration directory `confdir` for `user`, or for a user who is not known yet.
    pub fn start(confdir: &Path, service: &str, user: Option<&[u8]>) -> Pam {
        let string = |bytes: &[u8]| CString::new(bytes).expect("no NUL inside");
        let (service, confdir) = (string(service.as_bytes()), string(confdir.as_os_str().as_encoded_bytes()));
        let user = user.map(string);
        let user = user.as_ref().map_or(ptr::null(), |user| user.as_ptr());
        let conv = Conv { conv: nobody_answers, data: ptr::null_mut() };
        let mut handle = ptr::null_mut();
        // SAFETY: strings with their NULs, a conversation that libpam copies, and a place for the handle.
        let code =
            unsafe { pam_start_confdir(service.as_ptr(), user, &raw const conv, confdir.as_ptr(), &raw mut handle) };
        assert_eq!(code, SUCCESS, "pam_start_confdir");
        Pam { handle }
    }

    /// Starts `service` of the system's own configuration for root, or says why libpam does not.
    pub fn start_of_system(service: &str) -> Result<Pam, c_int> {
        let service = CString::new(service).expect("no NUL inside");
        let conv = Conv { conv: nobody_answers, data: ptr::null_mut() };
        let mut handle = ptr::null_mut();
        // SAFETY: strings with their NULs, a conversation that libpam copies, and a place for the handle.
        let code = unsafe { pam_start(service.as_ptr(), c"root".as_ptr(), &raw const conv, &raw mut handle) };
        if code == SUCCESS { Ok(Pam { handle }) } else { Err(code) }
    }

    /// The handle, for a call that goes past libpam.
    pub fn as_ptr(&self) -> *mut c_void {
        self.handle.cast()
    }

    pub fn set_user(&mut self, user: &str) {
        let user = CString::new(user).expect("no NUL inside");
        // SAFETY: a live handle and a string, which libpam copies.
        assert_eq!(unsafe { pam_set_item(self.handle, PAM_USER, user.as_ptr().cast()) }, SUCCESS);
    }

    pub fn authenticate(&mut self) -> c_int {
        // SAFETY: a live handle.
        unsafe { pam_authenticate(self.handle, 0) }
    }

    pub fn setcred(&mut self, flags: c_int) -> c_int {
        // SAFETY: a live handle.
        unsafe { pam_setcred(self.handle, flags) }
    }

    pub fn acct_mgmt(&mut self) -> c_int {
        // SAFETY: a live handle.
        unsafe { pam_acct_mgmt(self.handle, 0) }
    }

    pub fn chauthtok(&mut self) -> c_int {
        // SAFETY: a live handle.
        unsafe { pam_chauthtok(self.handle, 0) }
    }

    pub fn open(&mut self) -> c_int {
        self.open_with(0)
    }

    pub fn open_with(&mut self, flags: c_int) -> c_int {
        // SAFETY: a live handle.
        unsafe { pam_open_session(self.handle, flags) }
    }

    pub fn close(&mut self) -> c_int {
        self.close_with(0)
    }

    pub fn close_with(&mut self, flags: c_int) -> c_int {
        // SAFETY: a live handle.
        unsafe { pam_close_session(self.handle, flags) }
    }

    /// Ends the handle with this status for what is kept in it.
    pub fn end(self, status: c_int) -> c_int {
        // SAFETY: a live handle, and nobody has it after this.
        unsafe { pam_end(ManuallyDrop::new(self).handle, status) }
    }
}

impl Drop for Pam {
    fn drop(&mut self) {
        // SAFETY: a live handle, and nobody has it after this.
        unsafe { pam_end(self.handle, SUCCESS) };
    }
}
