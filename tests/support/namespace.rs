// SPDX-License-Identifier: MIT
//! Namespaces of a test's own.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Gid, Pid, Uid, fork, pipe, read, write};

/// Enters a mount namespace: what is mounted in it is gone with the last process there, and nobody else sees it.
pub fn mount_namespace() {
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).expect("/ is private");
}

/// Mounts `file` in the place of another.
#[track_caller]
pub fn bind(file: &Path, over: &Path) {
    mount(Some(file), over, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .unwrap_or_else(|error| panic!("bind {} over {}: {error}", file.display(), over.display()));
}

/// Puts a file with `text`, which is kept in `directory`, over a file of the system.
pub fn put_over(directory: &Path, path: &str, text: &str) {
    let file = directory.join(path.replace('/', "_"));
    fs::write(&file, text).expect("a file");
    bind(&file, Path::new(path));
}

/// Enters a user namespace in which every id of this one stands for itself, if root runs the tests, and else the own id:
/// with its user keyrings and quotas a case begins anew and leaves nothing behind.
pub fn user_namespace() {
    let (root, uid, gid) = (Uid::effective().is_root(), Uid::current(), Gid::current());
    let maps = |pid: Pid| {
        let process = PathBuf::from(format!("/proc/{pid}"));
        if !root {
            fs::write(process.join("setgroups"), "deny")?;
        }
        for (map, id) in [("gid_map", gid.as_raw()), ("uid_map", uid.as_raw())] {
            fs::write(process.join(map), if root { identity(map)? } else { format!("{id} {id} 1") })?;
        }
        io::Result::Ok(())
    };
    let ours = Pid::this();
    let (ready, go) = pipe().expect("a pipe");
    // SAFETY: this process has one thread.
    match unsafe { fork() }.expect("a process") {
        ForkResult::Child => {
            drop(go); // so the pipe ends with the parent
            let told = read(&ready, &mut [0]) == Ok(1);
            // SAFETY: ends the process at once, whatever it has inherited.
            unsafe { libc::_exit(i32::from(!told || (root && maps(ours).is_err()))) };
        }
        ForkResult::Parent { child } => {
            unshare(CloneFlags::CLONE_NEWUSER).expect("a user namespace");
            write(&go, b"!").expect("a pipe");
            assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)), "the maps of the user namespace");
            if !root {
                maps(ours).expect("the maps of the user namespace");
            }
        }
    }
}

/// The ids that are known here, each for itself. Id 0 has a line of its own: so the map differs from that of the first
/// namespace, and pam_loginuid(8) does not insist on a login uid, which the namespace may not be allowed to set.
fn identity(map: &str) -> io::Result<String> {
    let mut lines = String::new();
    for line in fs::read_to_string(format!("/proc/self/{map}"))?.lines() {
        match line.split_whitespace().map(|number| number.parse().expect("a number")).collect::<Vec<u32>>()[..] {
            [0, _, count] if count > 1 => writeln!(lines, "0 0 1\n1 1 {}", count - 1),
            [inside, _, count] => writeln!(lines, "{inside} {inside} {count}"),
            _ => continue,
        }
        .expect("a string");
    }
    Ok(lines)
}
