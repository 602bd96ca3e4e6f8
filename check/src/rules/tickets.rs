// SPDX-License-Identifier: MIT
//! Where Kerberos tickets go.

use super::{Finding, Look};
use crate::krb5::{Place, place};

const ADVICE: &str = "default_ccache_name = KEYRING:persistent:%{uid}, or KCM:";

pub(super) fn findings(look: &Look) -> Vec<Finding> {
    let mut all: Vec<_> = sshd(look).into_iter().collect();
    for entry in look.service.entries() {
        let Some(module) = entry.module().filter(|module| module.name() == "pam_krb5.so") else { continue };
        if look.krb5.place_of(module) == Some(Place::User) {
            let message = "pam_krb5 stores tickets in KEYRING:user: as root: in root's user keyring, not in the user's"
                .to_owned();
            all.push(look.at(entry, "ccache", message, ADVICE.to_owned()));
        }
    }
    all
}

/// sshd stores what clients delegate before it calls PAM, and as root.
fn sshd(look: &Look) -> Option<Finding> {
    let (cache, file, line) = look.krb5.cache.as_ref()?;
    let lost = match place(cache) {
        Place::Session => "are lost when the session gets its keyring",
        Place::User => "go to root's user keyring",
        Place::Elsewhere => return None,
    };
    let delegates = look.service.name == "sshd" && look.krb5.sshd_delegates;
    let message = format!("sshd stores delegated tickets before it calls PAM: in {cache} they {lost}");
    delegates.then(|| look.finding(file, *line, "", "ccache", message, ADVICE.to_owned()))
}
