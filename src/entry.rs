// SPDX-License-Identifier: MIT
//! What libpam calls: the module's four exports, pam_sm_open_session(3) and the pages beside it.
//!
//! There is no `pam_sm_acct_mgmt` and no `pam_sm_chauthtok`: libpam answers PAM_MODULE_UNKNOWN for them, as it does with
//! the C module.

use core::ffi::{CStr, c_char, c_int};
use core::slice;

use crate::error::{Error, Failure};
use crate::pam::{Code, Handle};
use crate::session::Session;
use crate::sys::PamHandle;

// Flags of pam_setcred(3). Others, PAM_SILENT for one, may be set beside them.
const PAM_ESTABLISH_CRED: c_int = 2;
const PAM_DELETE_CRED: c_int = 4;

/// The words of a configuration line, as libpam passes them.
type Argv = *const *const c_char;

/// What the policy does for a call.
type Act = fn(&mut Session, &Handle) -> Result<Code, Failure>;

/// pam_sm_open_session(3).
///
/// # Safety
/// The arguments are libpam's: see [`guarded`].
#[unsafe(no_mangle)]
unsafe extern "C" fn pam_sm_open_session(pamh: *mut PamHandle, _flags: c_int, argc: c_int, argv: Argv) -> c_int {
    // SAFETY: passed on as they came.
    unsafe { guarded(pamh, argc, argv, Code::SESSION_ERR, None, Session::open) }
}

/// pam_sm_close_session(3).
///
/// # Safety
/// The arguments are libpam's: see [`guarded`].
#[unsafe(no_mangle)]
unsafe extern "C" fn pam_sm_close_session(pamh: *mut PamHandle, _flags: c_int, argc: c_int, argv: Argv) -> c_int {
    // SAFETY: as above.
    unsafe { guarded(pamh, argc, argv, Code::SESSION_ERR, Some(Code::SUCCESS), Session::close) }
}

/// pam_sm_setcred(3). `PAM_REINITIALIZE_CRED` and `PAM_REFRESH_CRED` are ignored: a keyring has no lifetime to renew.
///
/// # Safety
/// The arguments are libpam's: see [`guarded`].
#[unsafe(no_mangle)]
unsafe extern "C" fn pam_sm_setcred(pamh: *mut PamHandle, flags: c_int, argc: c_int, argv: Argv) -> c_int {
    let (without, act): (_, Act) = if flags & PAM_ESTABLISH_CRED != 0 {
        (None, Session::ensure)
    } else if flags & PAM_DELETE_CRED != 0 {
        (Some(Code::IGNORE), Session::delete)
    } else {
        (Some(Code::IGNORE), |_, _| Ok(Code::IGNORE))
    };
    // SAFETY: as above.
    unsafe { guarded(pamh, argc, argv, Code::CRED_ERR, without, act) }
}

/// An `auth` line is for pam_setcred(3) only: nobody is authenticated here, and nothing is looked at.
#[unsafe(no_mangle)]
extern "C" fn pam_sm_authenticate(_: *mut PamHandle, _: c_int, _: c_int, _: Argv) -> c_int {
    Code::IGNORE.0
}

/// Lets `act` do what a call asks for, and logs why it could not. `system` is the code for a system error; `without` is
/// the answer when the handle keeps no session yet, where None makes one.
///
/// # Safety
/// `pamh` is null or libpam's handle, which no other thread uses meanwhile; `argv` is null or has `argc` elements that
/// are null or strings. All stay valid until this returns.
unsafe fn guarded(
    pamh: *mut PamHandle,
    argc: c_int,
    argv: Argv,
    system: Code,
    without: Option<Code>,
    act: Act,
) -> c_int {
    // SAFETY: `pamh` as promised, and this is the only place that makes a `Handle` and its `Store` of it.
    let (pam, mut store) = unsafe { Handle::new(pamh) };
    // SAFETY: `argv` as promised.
    let words = if pamh.is_null() { Err(Error::NoHandle.into()) } else { unsafe { words(argc, argv) } };
    let answer = words.and_then(|words| {
        let Some(session) = store.session(without.is_none())? else { return Ok(without.unwrap_or(system)) };
        session.heed(&pam, words);
        act(session, &pam)
    });
    let code = answer.unwrap_or_else(|failure| {
        pam.report(failure);
        failure.code(system)
    });
    code.0
}

/// The words of the configuration line.
///
/// # Safety
/// `argv` is null or has `argc` elements that are null or strings, valid for `'call`.
unsafe fn words<'call>(argc: c_int, argv: Argv) -> Result<impl Iterator<Item = &'call CStr>, Failure> {
    let argv = match usize::try_from(argc) {
        Ok(0) => &[],
        // SAFETY: not null, and `argc` elements as promised.
        Ok(argc) if !argv.is_null() => unsafe { slice::from_raw_parts(argv, argc) },
        _ => return Err(Error::Arguments.into()),
    };
    if argv.iter().any(|word| word.is_null()) {
        return Err(Error::Arguments.into());
    }
    // SAFETY: not null, and a string as promised.
    Ok(argv.iter().map(|&word| unsafe { CStr::from_ptr(word) }))
}
