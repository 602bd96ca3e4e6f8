// SPDX-License-Identifier: MIT
//! The session keyring as a case finds it, and the quota of keys as it needs it.

use super::{Who, in_the_name_of, wait_until, with_real_ids};
use crate::support::keys::{self, Quota};

/// The thread's session keyring, or the errno that it has become.
pub fn session() -> Result<i32, i32> {
    keys::id(keys::SESSION).map_err(|error| error.raw_os_error().expect("an errno"))
}

/// The thread's session keyring, which is usable.
#[track_caller]
pub fn live_session() -> i32 {
    session().expect("a session keyring that is alive")
}

/// The name of the session keyring that sessions of `who` with `user-session` share.
pub fn shared_name(who: Who) -> String {
    format!("_ses.{}", who.uid)
}

/// That keyring, where the module keeps it.
pub fn shared_keyring(who: Who) -> std::io::Result<i32> {
    with_real_ids(who, || keys::search_keyring(&shared_name(who), keys::USER_SESSION))
}

/// Puts the thread into a session keyring of `who`'s that leads to the user keyring, as a login of theirs does.
pub fn join_as(who: Who) -> i32 {
    with_real_ids(who, || {
        let keyring = keys::join(None).expect("a keyring");
        keys::link(keys::USER, keyring).expect("the user keyring");
        keyring
    })
}

/// Asserts that the thread is in a session keyring that the module made for `who`, and returns it: anonymous, with the
/// user's ids and the kernel's permissions, and with the user's keyring linked as the only thing in it.
#[track_caller]
pub fn assert_own_keyring(who: Who) -> i32 {
    assert_keyring_for(who, (who.uid, who.gid))
}

/// The same of one that was made for `who` and belongs to these ids.
#[track_caller]
pub fn assert_keyring_for(who: Who, owner: (u32, u32)) -> i32 {
    let keyring = live_session();
    let description = keys::describe(keyring).expect("the session keyring can be viewed");
    assert_eq!((&*description.kind, &*description.name), ("keyring", "_ses"), "{description:?}");
    assert_eq!((description.uid, description.gid), owner, "{description:?}");
    assert_eq!(description.permissions, 0x3f03_0000, "{description:?}");
    let names = keys::link_names(keyring).expect("the session keyring can be read");
    assert_eq!(names, [format!("_uid.{}", who.uid)]);
    keyring
}

/// Asserts that `keyring` is revoked.
#[track_caller]
pub fn assert_revoked(keyring: i32) {
    let errno = keys::describe(keyring).expect_err("it is revoked").raw_os_error();
    assert!(matches!(errno, Some(libc::EKEYREVOKED | libc::ENOKEY)), "{errno:?}");
}

/// What is left of a user's quota.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Left {
    Keys(u32),
    Bytes(u32),
}

/// Asserts that nothing counts for the quota of `who`. What a case before this one has had goes by itself, but later.
#[track_caller]
pub fn assert_untouched(who: Who) {
    wait_until("the end of the user's keys", || keys::quota(who.uid).used == 0);
}

/// Adds keys of `who` to `keyring`, until just `left` is left: not a byte more or less. Nothing of the user's may be about
/// to go.
pub fn fill_up(who: Who, keyring: i32, left: Left) {
    in_the_name_of(who, || {
        let add = |name: u32, size: u32| {
            keys::add(&format!("{name:03}"), &"x".repeat(size as usize), keyring).expect("a key")
        };
        add(0, 1);
        let before = keys::quota(who.uid);
        match left {
            Left::Keys(left) => (before.used..before.most - left).for_each(|number| _ = add(number, 1)),
            Left::Bytes(left) => {
                // A key that is added again gets a new payload.
                let mut size = 1;
                wait_until("a quota that is full", || {
                    add(1, size);
                    let Quota { used_bytes, most_bytes, .. } = keys::quota(who.uid);
                    size = size + most_bytes - used_bytes - left;
                    used_bytes + left == most_bytes
                });
            }
        }
        let after = keys::quota(who.uid);
        match left {
            Left::Keys(left) => assert_eq!(after.used + left, after.most),
            Left::Bytes(left) => assert_eq!(after.used_bytes + left, after.most_bytes),
        }
    });
}
