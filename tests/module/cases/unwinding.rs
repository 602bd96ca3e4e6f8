// SPDX-License-Identifier: MIT
//! What goes up the stack comes through the module to those who called it: a debugger that finds a login there, or its core
//! file, and the clean-up of a thread that is cancelled there.

use crate::Stage;
use crate::stage::unwinding::{assert_leads_to_main, pam_login};

cases! {
    Root:
        a_backtrace_from_a_system_call_leads_to_main
        a_backtrace_from_the_log_leads_to_main
        a_backtrace_from_the_user_s_look_up_leads_to_main
        a_thread_that_is_cancelled_has_its_clean_up;
}

fn a_backtrace_from_a_system_call_leads_to_main(stage: &Stage) {
    assert_leads_to_main(stage, "catch syscall keyctl", "syscall");
}

fn a_backtrace_from_the_log_leads_to_main(stage: &Stage) {
    assert_leads_to_main(stage, "break send", "pam_vsyslog");
}

fn a_backtrace_from_the_user_s_look_up_leads_to_main(stage: &Stage) {
    assert_leads_to_main(stage, "break getpwnam_r", "pam_modutil_getpwnam");
}

/// pthread_cancel(3): the thread leaves all functions that it is in, and their clean-up runs.
fn a_thread_that_is_cancelled_has_its_clean_up(stage: &Stage) {
    let status = pam_login(stage).arg("cancelled").status().expect("the program");
    assert!(status.success(), "{status}");
}
