// SPDX-License-Identifier: MIT
//! What libpam never passes, passed to the functions themselves: refused, and never read.

use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr;

use crate::Stage;
use crate::stage::{ERROR, ids, live_session};
use crate::support::pam::{CRED_ERR, DELETE, ESTABLISH, IGNORE, Pam, REFRESH, SESSION_ERR, SUCCESS};

cases! {
    Anyone:
        a_null_handle_is_refused => "null"
        a_broken_argument_list_is_refused => "null"
        nothing_is_read_past_the_arguments
        without_state_a_call_fails_and_leaks_nothing => "without-state";
}

type Function = unsafe extern "C" fn(*mut c_void, c_int, c_int, *const *const c_char) -> c_int;

/// The module's own function of this name.
fn function(stage: &Stage, name: &str) -> Function {
    let path = CString::new(stage.module.as_os_str().as_encoded_bytes()).expect("a path");
    // SAFETY: a string with its NUL; the module has no constructors.
    let module = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
    assert!(!module.is_null(), "dlopen");
    let name = CString::new(name).expect("a name");
    // SAFETY: a library that is open, and a string with its NUL.
    let address = unsafe { libc::dlsym(module, name.as_ptr()) };
    assert!(!address.is_null(), "dlsym");
    // SAFETY: the four functions have this type, pam_sm_open_session(3).
    unsafe { std::mem::transmute::<*mut c_void, Function>(address) }
}

/// The calls that may have something to do, their flags, and their code for a system error.
const CALLS: [(&str, c_int, c_int); 5] = [
    ("pam_sm_open_session", 0, SESSION_ERR),
    ("pam_sm_close_session", 0, SESSION_ERR),
    ("pam_sm_setcred", ESTABLISH, CRED_ERR),
    ("pam_sm_setcred", DELETE, CRED_ERR),
    ("pam_sm_setcred", REFRESH, CRED_ERR),
];

fn a_null_handle_is_refused(stage: &Stage) {
    let before = (ids(), live_session());
    let words = [c"force".as_ptr()];
    for (name, flags, refused) in CALLS {
        // SAFETY: a null handle is what is tested; one argument, which is a string.
        let code = unsafe { function(stage, name)(ptr::null_mut(), flags, 1, words.as_ptr()) };
        assert_eq!(code, refused, "{name} {flags}");
        stage.assert_logged(ERROR, &["called without a handle"]);
    }
    // SAFETY: as above; this one reads nothing at all.
    assert_eq!(unsafe { function(stage, "pam_sm_authenticate")(ptr::null_mut(), 0, -1, ptr::null()) }, IGNORE);
    assert_eq!((ids(), live_session()), before);
    stage.assert_silent();
}

fn a_broken_argument_list_is_refused(stage: &Stage) {
    let before = (ids(), live_session());
    let pam = stage.session("");
    let with_null = [c"force".as_ptr(), ptr::null(), c"revoke".as_ptr()];
    let only_null = [ptr::null()];
    for (name, flags, refused) in CALLS {
        for (argc, argv) in [
            (-1, with_null.as_ptr()),
            (c_int::MIN, ptr::null()),
            (1, ptr::null()),
            (c_int::MAX, ptr::null()),
            (3, with_null.as_ptr()),
            (1, only_null.as_ptr()),
        ] {
            // SAFETY: a live handle; an argument list with what is tested.
            let code = unsafe { function(stage, name)(pam.as_ptr(), flags, argc, argv) };
            assert_eq!(code, refused, "{name} {flags} {argc}");
            stage.assert_logged(ERROR, &["broken argument list"]);
        }
    }
    assert_eq!((ids(), live_session()), before);
}

/// The list and its string end at the end of a page with nothing behind it.
fn nothing_is_read_past_the_arguments(stage: &Stage) {
    let before = live_session();
    let pam = stage.session("");
    for word in [&b"force"[..], b"", b"unknown"] {
        let string = before_a_hole(&[word, b"\0"].concat());
        let list = before_a_hole(&(string as usize).to_ne_bytes());
        // SAFETY: a live handle; one argument, which is a string.
        let code = unsafe { function(stage, "pam_sm_close_session")(pam.as_ptr(), 0, 1, list.cast()) };
        assert_eq!(code, SUCCESS);
        // SAFETY: as above.
        let code = unsafe { function(stage, "pam_sm_setcred")(pam.as_ptr(), REFRESH, 1, list.cast()) };
        assert_eq!(code, IGNORE);
    }
    assert_eq!(live_session(), before);
}

/// Memory that ends with `bytes` where the next page cannot be read.
fn before_a_hole(bytes: &[u8]) -> *const u8 {
    // SAFETY: asks for a number.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("a size");
    // SAFETY: asks for memory anywhere.
    let pages = unsafe {
        libc::mmap(
            ptr::null_mut(),
            2 * page,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    assert_ne!(pages, libc::MAP_FAILED);
    let hole = pages.cast::<u8>().wrapping_add(page);
    // SAFETY: the second of the two pages.
    assert_eq!(unsafe { libc::mprotect(hole.cast(), page, libc::PROT_NONE) }, 0);
    let place = hole.wrapping_sub(bytes.len());
    // SAFETY: the end of the first page, which is larger than `bytes`.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len()) };
    place
}

/// Outside a dispatch libpam keeps no data for a module.
fn without_state_a_call_fails_and_leaks_nothing(stage: &Stage) {
    const PAM_SYSTEM_ERR: c_int = 4;
    let before = (ids(), live_session());
    let pam: Pam = stage.session("");
    for (name, flags) in [("pam_sm_open_session", 0), ("pam_sm_setcred", ESTABLISH)] {
        // SAFETY: a live handle and no arguments.
        let code = unsafe { function(stage, name)(pam.as_ptr(), flags, 0, ptr::null()) };
        assert_eq!(code, PAM_SYSTEM_ERR);
        stage.assert_logged(ERROR, &["libpam does not keep the state of the session: PAM error 4"]);
    }
    assert_eq!((ids(), live_session()), before);
}
