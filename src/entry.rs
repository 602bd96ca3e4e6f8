// SPDX-License-Identifier: MIT
//! What libpam calls: the module's four exports, pam_sm_open_session(3) and the pages beside it.
//!
//! There is no `pam_sm_acct_mgmt` and no `pam_sm_chauthtok`: libpam answers PAM_MODULE_UNKNOWN for them, as it does with
//! the C module.

use core::ffi::{CStr, c_char, c_int};
use core::slice;

use crate::error::Error;
use crate::pam::{Code, Handle, PamHandle};
use crate::session::{self, Call};

// Flags of pam_setcred(3). Others, PAM_SILENT for one, may be set beside them.
const PAM_ESTABLISH_CRED: c_int = 2;
const PAM_DELETE_CRED: c_int = 4;

/// The words of a configuration line, as libpam passes them.
type Argv = *const *const c_char;

/// pam_sm_open_session(3).
///
/// # Safety
/// The arguments are libpam's: see [`answer`].
#[unsafe(no_mangle)]
unsafe extern "C" fn pam_sm_open_session(pamh: *mut PamHandle, _flags: c_int, argc: c_int, argv: Argv) -> c_int {
    // SAFETY: passed on as they came.
    unsafe { answer(Call::Open, pamh, argc, argv) }
}

/// pam_sm_close_session(3).
///
/// # Safety
/// The arguments are libpam's: see [`answer`].
#[unsafe(no_mangle)]
unsafe extern "C" fn pam_sm_close_session(pamh: *mut PamHandle, _flags: c_int, argc: c_int, argv: Argv) -> c_int {
    // SAFETY: as above.
    unsafe { answer(Call::Close, pamh, argc, argv) }
}

/// pam_sm_setcred(3).
///
/// # Safety
/// The arguments are libpam's: see [`answer`].
#[unsafe(no_mangle)]
unsafe extern "C" fn pam_sm_setcred(pamh: *mut PamHandle, flags: c_int, argc: c_int, argv: Argv) -> c_int {
    let call = if flags & PAM_ESTABLISH_CRED != 0 {
        Call::Establish
    } else if flags & PAM_DELETE_CRED != 0 {
        Call::Delete
    } else {
        Call::Renew
    };
    // SAFETY: as above.
    unsafe { answer(call, pamh, argc, argv) }
}

/// An `auth` line is for pam_setcred(3) only: nobody is authenticated here, and nothing is looked at.
#[unsafe(no_mangle)]
extern "C" fn pam_sm_authenticate(_: *mut PamHandle, _: c_int, _: c_int, _: Argv) -> c_int {
    Code::IGNORE.0
}

/// Lets the policy answer a call whose arguments are sound.
///
/// # Safety
/// `pamh` is null or libpam's handle, which no other thread uses meanwhile; `argv` is null or has `argc` elements that
/// are null or strings. All stay valid until this returns.
unsafe fn answer(call: Call, pamh: *mut PamHandle, argc: c_int, argv: Argv) -> c_int {
    // SAFETY: `pamh` as promised, and this is the only place that makes a `Handle` and its `Store` of it.
    let (pam, store) = unsafe { Handle::new(pamh) };
    // SAFETY: `argv` as promised.
    let words = if pamh.is_null() { Err(Error::NoHandle) } else { unsafe { words(argc, argv) } };
    let code = match words {
        Ok(words) => session::answer(call, &pam, store, words),
        Err(error) => {
            pam.report(error.into());
            call.system_error()
        }
    };
    code.0
}

/// The words of the configuration line.
///
/// # Safety
/// `argv` is null or has `argc` elements that are null or strings, valid for `'call`.
unsafe fn words<'call>(argc: c_int, argv: Argv) -> Result<impl Iterator<Item = &'call CStr>, Error> {
    let argv = match usize::try_from(argc) {
        Ok(0) => &[],
        // SAFETY: not null, and `argc` elements as promised.
        Ok(argc) if !argv.is_null() => unsafe { slice::from_raw_parts(argv, argc) },
        _ => return Err(Error::Arguments),
    };
    if argv.iter().any(|word| word.is_null()) {
        return Err(Error::Arguments);
    }
    // SAFETY: not null, and a string as promised.
    Ok(argv.iter().map(|&word| unsafe { CStr::from_ptr(word) }))
}
