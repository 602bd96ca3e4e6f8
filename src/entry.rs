// SPDX-License-Identifier: MIT
//! What libpam calls: the module's four exports, pam_sm_open_session(3) and the pages beside it.
//!
//! There is no `pam_sm_acct_mgmt` and no `pam_sm_chauthtok`: libpam answers PAM_MODULE_UNKNOWN for them, as it does with
//! the C module.

use core::ffi::{CStr, c_char, c_int};
use core::slice;

use crate::error::{Error, Failure};
use crate::pam::{Code, Handle, Store};
use crate::sys::PamHandle;

// Flags of pam_setcred(3). Others, PAM_SILENT for one, may be set beside them.
const PAM_ESTABLISH_CRED: c_int = 2;
const PAM_DELETE_CRED: c_int = 4;

/// The words of a configuration line, as libpam passes them.
type Argv = *const *const c_char;

/// pam_sm_open_session(3).
///
/// # Safety
/// The arguments are libpam's: see [`guarded`].
#[unsafe(no_mangle)]
unsafe extern "C" fn pam_sm_open_session(pamh: *mut PamHandle, _flags: c_int, argc: c_int, argv: Argv) -> c_int {
    // SAFETY: passed on as they came.
    unsafe { guarded(Call::Open, pamh, argc, argv) }
}

/// pam_sm_close_session(3).
///
/// # Safety
/// The arguments are libpam's: see [`guarded`].
#[unsafe(no_mangle)]
unsafe extern "C" fn pam_sm_close_session(pamh: *mut PamHandle, _flags: c_int, argc: c_int, argv: Argv) -> c_int {
    // SAFETY: as above.
    unsafe { guarded(Call::Close, pamh, argc, argv) }
}

/// pam_sm_setcred(3).
///
/// # Safety
/// The arguments are libpam's: see [`guarded`].
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
    unsafe { guarded(call, pamh, argc, argv) }
}

/// An `auth` line is for pam_setcred(3) only: nobody is authenticated here, and nothing is looked at.
#[unsafe(no_mangle)]
extern "C" fn pam_sm_authenticate(_: *mut PamHandle, _: c_int, _: c_int, _: Argv) -> c_int {
    Code::IGNORE.0
}

/// A call of libpam's that the module may have work for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Open,
    Close,
    Establish,
    Delete,
    /// `PAM_REINITIALIZE_CRED`, `PAM_REFRESH_CRED`: a keyring has no lifetime to renew.
    Renew,
}

/// Does what a call asks for and logs why it could not.
///
/// # Safety
/// `pamh` is null or libpam's handle, which no other thread uses meanwhile; `argv` is null or has `argc` elements that
/// are null or strings. All stay valid until this returns.
unsafe fn guarded(call: Call, pamh: *mut PamHandle, argc: c_int, argv: Argv) -> c_int {
    let system = match call {
        Call::Open | Call::Close => Code::SESSION_ERR,
        Call::Establish | Call::Delete | Call::Renew => Code::CRED_ERR,
    };
    // SAFETY: `pamh` as promised, and this is the only place that makes a `Handle` and its `Store` of it.
    let Some((pam, mut store)) = (unsafe { Handle::new(pamh) }) else { return system.0 };
    // SAFETY: `argv` as promised.
    let words = unsafe { words(argc, argv) };
    match words.and_then(|words| answer(call, &pam, &mut store, words)) {
        Ok(code) => code.0,
        Err(failure) => {
            pam.report(failure);
            // A session is closed also when its keyring could not be revoked.
            let closed = call == Call::Close && failure.error == Error::Revoke;
            if closed { Code::SUCCESS.0 } else { failure.code(system).0 }
        }
    }
}

/// The policy's answer to a call whose arguments are sound.
fn answer<'call>(
    call: Call,
    pam: &Handle,
    store: &mut Store,
    words: impl Iterator<Item = &'call CStr>,
) -> Result<Code, Failure> {
    let kept = match call {
        Call::Open | Call::Establish => Some(store.session_or_new()?),
        Call::Close | Call::Delete => store.session(),
        Call::Renew => None,
    };
    let Some(session) = kept else {
        return Ok(if call == Call::Close { Code::SUCCESS } else { Code::IGNORE });
    };
    session.heed(pam, words);
    match call {
        Call::Open => session.open(pam).and(Ok(Code::SUCCESS)),
        Call::Close => session.close(pam).and(Ok(Code::SUCCESS)),
        Call::Establish => session.ensure(pam).and(Ok(Code::SUCCESS)),
        Call::Delete => Ok(if session.delete(pam)? { Code::SUCCESS } else { Code::IGNORE }),
        Call::Renew => Ok(Code::IGNORE),
    }
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
