// SPDX-License-Identifier: MIT
//! Each system call of the module, as it is observed, refused with each errno, in each call of the module (contract,
//! section 5). Only that one is: all else is the kernel's own answer, before it and after it.

use std::collections::BTreeSet;

use crate::Stage;
use crate::stage::refusals::Outcome::{self, *};
use crate::stage::refusals::{Call, ERRNOS, Kind, LOST, NUMBERS, all, at_end, at_start, recognise};
use crate::stage::scenes::Function::{self, *};
use crate::stage::scenes::{Scene, scenes};
use crate::stage::supervisor::Supervisor;
use crate::stage::{
    CRITICAL, ERROR, Line, Who, assert_own_keyring, assert_revoked, ids, in_child, live_session, say_where, session,
    users,
};
use crate::support::keys;
use crate::support::pam::{CRED_ERR, Pam, SESSION_ERR, SUCCESS};
use crate::support::trace::{self, SystemCall};

cases! {
    Root:
        the_system_calls_of_the_module_are_known => "filesystem-ids"
        open_bears_every_refusal => "says-why"
        establish_bears_every_refusal => "says-why"
        close_bears_every_refusal => "says-why"
        delete_bears_every_refusal => "says-why";
}

impl Scene {
    fn outcome(&self, call: Call, errno: i32) -> Outcome {
        match self.function {
            Open | Establish => at_start(call, errno, |word| self.asks_for(word)),
            Close | Delete => at_end(call, errno),
        }
    }

    /// The system calls that are observed.
    fn observed(&self, stage: &Stage, who: Who, pam: &mut Pam) -> Vec<Call> {
        let login = || {
            self.prepare(stage, who, pam);
            trace::begin();
            assert_eq!(self.call(pam), SUCCESS);
        };
        // On i386 the number tells: of other calls that the module should not make nothing is seen there.
        let is_ours =
            |call: SystemCall, by_syscall| by_syscall || cfg!(target_arch = "x86") && NUMBERS.contains(&call.number);
        let calls = trace::calls(login, is_ours);
        stage.log();
        self.recognise(calls, who)
    }

    /// What these system calls are for.
    fn recognise(&self, calls: Vec<SystemCall>, who: Who) -> Vec<Call> {
        let mut known = Vec::new();
        for call in calls {
            known.push(recognise(call, who, &known).unwrap_or_else(|| panic!("unknown: {call:?} in {self:?}")));
        }
        known
    }
}

fn the_system_calls_of_the_module_are_known(stage: &Stage) {
    let [who, ..] = users(stage, 4101);
    let scenes = [Open, Establish, Close, Delete].into_iter().flat_map(scenes);
    let observed: BTreeSet<Call> =
        scenes.flat_map(|scene| scene.observed(stage, who, &mut scene.login(stage))).collect();
    assert_eq!(observed, all().into_iter().collect());
}

fn open_bears_every_refusal(stage: &Stage) {
    refuse_each(stage, Open, users(stage, 4101));
}

fn establish_bears_every_refusal(stage: &Stage) {
    refuse_each(stage, Establish, users(stage, 4109));
}

fn close_bears_every_refusal(stage: &Stage) {
    refuse_each(stage, Close, users(stage, 4117));
}

fn delete_bears_every_refusal(stage: &Stage) {
    refuse_each(stage, Delete, users(stage, 4125));
}

fn refuse_each(stage: &Stage, function: Function, users: [Who; 8]) {
    let mut turns = users.into_iter().cycle();
    let mut next = || turns.next().expect("a cycle");
    let mut count = 0;
    for scene in scenes(function) {
        let pam = &mut scene.login(stage);
        let observed = scene.observed(stage, next(), pam);
        for (turn, &call) in observed.iter().enumerate() {
            for (errno, name) in ERRNOS {
                let who = next();
                in_child(|| {
                    let cell = Cell { scene, who, turn, call, errno, name };
                    say_where(cell);
                    cell.run(stage, pam);
                });
                count += 1;
            }
        }
    }
    println!("{function:?}: {count} system calls refused");
}

/// One system call, refused with one errno.
#[derive(Clone, Copy, Debug)]
struct Cell {
    scene: Scene,
    who: Who,
    /// Which of the calls it is, and what for.
    turn: usize,
    call: Call,
    errno: i32,
    name: &'static str,
}

impl Cell {
    fn run(&self, stage: &Stage, pam: &mut Pam) {
        let Cell { scene, who, turn, call, .. } = *self;
        scene.prepare(stage, who, pam);
        let (before, keyring) = (ids(), live_session());
        let supervisor = Supervisor::new(&NUMBERS);
        supervisor.refuse(turn, self.errno);
        let code = scene.call(pam);
        let calls = scene.recognise(supervisor.stop(), who);
        assert_eq!(calls.get(turn), Some(&call), "it was refused");

        let outcome = scene.outcome(call, self.errno);
        let succeeds = match outcome {
            Makes | Keeps | GoesOn(_) | Clears | IsOver => true,
            CannotEnd => scene.function == Close,
            Fails | LacksLink | Loses => false,
        };
        assert_eq!(code, if succeeds { SUCCESS } else { scene.error() });
        self.assert_told(&stage.log(), outcome.line(call));
        let expected = if outcome == Loses { self.ids_lost(before) } else { before };
        assert_eq!(ids(), expected);
        match scene.function {
            Open | Establish => self.go_on_from_start(stage, pam, keyring, outcome),
            Close | Delete => self.go_on_from_end(stage, pam, keyring, outcome),
        }
        assert_eq!(ids(), expected);
    }

    /// The next call behaves, and the end leaves no keyring behind.
    fn go_on_from_start(&self, stage: &Stage, pam: &mut Pam, before: i32, outcome: Outcome) {
        let Cell { scene, who, .. } = *self;
        let keyring = live_session();
        match outcome {
            Makes => _ = assert_own_keyring(who),
            LacksLink => assert!(keyring != before && keys::links(keyring).expect("readable").is_empty()),
            Loses if scene.makes() => _ = assert_own_keyring(who),
            _ => assert_eq!(keyring, before),
        }
        let made = scene.makes() || outcome == Makes;
        if outcome == Loses {
            self.assert_stays_lost(stage, scene.call(pam));
        } else {
            assert_eq!(scene.call(pam), SUCCESS);
            stage.log();
            if made {
                let now = assert_own_keyring(who);
                assert_eq!(now == keyring, keyring != before, "one keyring for both calls");
            }
        }
        let keyring = live_session();
        assert_eq!(made, keyring != before);
        pam.close();
        pam.close();
        assert_eq!(session().is_err(), made, "what was made is revoked");
    }

    /// The next session has a keyring of its own, which ends.
    fn go_on_from_end(&self, stage: &Stage, pam: &mut Pam, before: i32, outcome: Outcome) {
        let Cell { scene, who, .. } = *self;
        if matches!(outcome, Loses | Clears) {
            assert_eq!(assert_own_keyring(who), before, "it was cleared");
        }
        if outcome == Loses {
            return self.assert_stays_lost(stage, pam.open());
        }
        assert_eq!(pam.open(), SUCCESS);
        let keyring = assert_own_keyring(who);
        assert_ne!(keyring, before);
        keys::add("of-the-session", "secret", keyring).expect("a key");
        assert_eq!([pam.close(), pam.close()], [SUCCESS; 2]);
        if scene.asks_for("revoke") {
            assert_revoked(keyring);
        } else {
            assert_eq!(assert_own_keyring(who), keyring, "it is cleared");
        }
    }

    /// A handle that could not give the caller's ids back fails from then on.
    fn assert_stays_lost(&self, stage: &Stage, code: i32) {
        assert_eq!(code, if self.scene.function == Establish { CRED_ERR } else { SESSION_ERR });
        self.assert_told(&stage.log(), Some((CRITICAL, LOST, false)));
    }

    /// Asserts that one line was written to the log, or none.
    fn assert_told(&self, lines: &[Line], expected: Option<(u8, &str, bool)>) {
        let Some((level, text, with_errno)) = expected else { return assert_eq!(lines, []) };
        let [line] = lines else { panic!("one line expected: {lines:#?}") };
        assert_eq!(line.level, level, "{line:?}");
        let (_, said) = line.text.split_once("): ").expect("libpam's prefix");
        let start = if with_errno { format!("{text}: {}, ", self.name) } else { text.to_owned() };
        assert!(said.starts_with(&start), "{start:?} expected: {said:?}");
        let goes_on = said.contains("; the login goes on without a session keyring of its own");
        assert_eq!(goes_on, with_errno && level > ERROR, "{said:?}");
        assert!(said.ends_with(&format!(" (user \"{}\")", self.who.name)), "{said:?}");
    }

    /// The ids of the caller when the call that was refused was to give one back.
    fn ids_lost(&self, mut ids: [u32; 8]) -> [u32; 8] {
        match self.call {
            Call::GiveBack(Kind::Uid) => ids[0] = self.who.uid,
            Call::GiveBack(Kind::Gid) => ids[4] = self.who.gid,
            Call::GiveBackFilesystemId(Kind::Uid) => ids[3] = ids[1],
            Call::GiveBackFilesystemId(Kind::Gid) => ids[7] = ids[5],
            _ => (),
        }
        ids
    }
}
