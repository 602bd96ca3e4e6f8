// SPDX-License-Identifier: MIT
//! Users who are on no machine.

use crate::Stage;

/// Users of the stage's passwd file, who are on no machine: name, uid, gid.
pub const ROOT: Who = Who { name: "root", uid: 0, gid: 0 };
pub const ALICE: Who = Who { name: "alice", uid: 4001, gid: 5001 };
pub const BOB: Who = Who { name: "bob", uid: 4002, gid: 5002 };
/// Whose quotas are used up: they are counted across user namespaces.
pub const DAVE: Who = Who { name: "dave", uid: 4003, gid: 5003 };
pub const ERIN: Who = Who { name: "erin", uid: 4004, gid: 5004 };
pub const FRANK: Who = Who { name: "frank", uid: 4005, gid: 5005 };
/// Ids over 16 bits.
pub const CAROL: Who = Who { name: "carol", uid: 70_000, gid: 70_001 };
/// The last ids that there are: 4294967295 stands for none.
pub const LAST: Who = Who { name: "last", uid: u32::MAX - 1, gid: u32::MAX - 1 };
/// Who log in by programs, many times: with a quota each.
pub const SEVERAL: [Who; 21] = [
    Who { name: "ivan", uid: 4301, gid: 5301 },
    Who { name: "judy", uid: 4302, gid: 5302 },
    Who { name: "kim", uid: 4303, gid: 5303 },
    Who { name: "leo", uid: 4304, gid: 5304 },
    Who { name: "mallory", uid: 4305, gid: 5305 },
    Who { name: "niaj", uid: 4306, gid: 5306 },
    Who { name: "olivia", uid: 4307, gid: 5307 },
    Who { name: "peggy", uid: 4308, gid: 5308 },
    Who { name: "rupert", uid: 4309, gid: 5309 },
    Who { name: "sybil", uid: 4310, gid: 5310 },
    Who { name: "trent", uid: 4311, gid: 5311 },
    Who { name: "victor", uid: 4312, gid: 5312 },
    Who { name: "walter", uid: 4500, gid: 5500 },
    Who { name: "xenia", uid: 4501, gid: 5501 },
    Who { name: "yusuf", uid: 4502, gid: 5502 },
    Who { name: "zara", uid: 4503, gid: 5503 },
    Who { name: "aaron", uid: 4504, gid: 5504 },
    Who { name: "beth", uid: 4505, gid: 5505 },
    Who { name: "chloe", uid: 4506, gid: 5506 },
    Who { name: "dora", uid: 4507, gid: 5507 },
    Who { name: "enzo", uid: 4508, gid: 5508 },
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Who {
    pub name: &'static str,
    pub uid: u32,
    pub gid: u32,
}

impl Who {
    /// The user's line in a passwd file, with a shell that no test starts.
    pub fn passwd_line(self) -> String {
        let Who { name, uid, gid } = self;
        format!("{name}:x:{uid}:{gid}::/:/bin/sh")
    }
}

/// Users of the case's own, with a quota each: the kernel forgets keyrings later than the cells come.
pub fn users(stage: &Stage, first: u32) -> [Who; 8] {
    many_users(stage, first, 8).try_into().expect("eight")
}

/// So many of them.
pub fn many_users(stage: &Stage, first: u32, count: usize) -> Vec<Who> {
    let uids = first..first + count as u32;
    let users: Vec<Who> = uids.map(|uid| Who { name: format!("user{uid}").leak(), uid, gid: uid + 1000 }).collect();
    let lines: Vec<String> = users.iter().map(|who| who.passwd_line()).collect();
    stage.passwd(&lines);
    users
}
