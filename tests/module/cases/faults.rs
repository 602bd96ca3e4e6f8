// SPDX-License-Identifier: MIT
//! Each system call of the module, as it is observed, refused with each errno, in each call of the module (contract,
//! section 5). Only that one is: all else is the kernel's own answer, before it and after it.

use std::collections::BTreeSet;

use crate::Stage;
use crate::stage::refusals::Outcome::{self, *};
use crate::stage::refusals::{Call, ERRNOS, Kind, LOST, NUMBERS, Told, all, at_end, at_start, recognise};
use crate::stage::scenes::Function::{self, *};
use crate::stage::scenes::{Scene, scenes};
use crate::stage::supervisor::Supervisor;
use crate::stage::{
    CRITICAL, Line, Who, assert_keyring_for, assert_own_keyring, assert_revoked, ids, in_child, live_session,
    say_where, session, shared_name, users,
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
            Open | Establish => at_start(call, errno, self),
            Close | Delete => at_end(call, errno, self),
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
            Fails | FailsInOwn | LacksLink | Loses => false,
            Empties => scene.function == Close,
            _ => true,
        };
        assert_eq!(code, if succeeds { SUCCESS } else { scene.error() });
        self.assert_told(&stage.log(), outcome.told(call, &scene));
        let expected = self.ids_after(before, outcome);
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
        let [uid, _, _, _, gid, ..] = ids();
        let assert_keyring =
            || assert_keyring_for(who, if outcome == Charges { (uid, gid) } else { (who.uid, who.gid) });
        if scene.asks_for("user-session") && outcome != MakesInstead {
            return self.go_on_sharing(stage, pam, before, outcome);
        }
        let keyring = live_session();
        match outcome {
            Makes | MakesInstead | FailsInOwn | Charges => assert_ne!(assert_keyring(), before),
            LacksLink | DoesWithoutLink => {
                assert!(keyring != before && keys::links(keyring).expect("readable").is_empty());
            }
            AsEver | Loses if scene.makes() => assert_ne!(assert_keyring(), before),
            _ => assert_eq!(keyring, before),
        }
        let made = keyring != before || scene.makes();
        if outcome == Loses {
            self.assert_stays_lost(stage, scene.call(pam));
        } else {
            assert_eq!(scene.call(pam), SUCCESS);
            stage.log();
            if made {
                assert_eq!(assert_keyring() == keyring, keyring != before, "one keyring for both calls");
            }
        }
        let keyring = live_session();
        assert_eq!(made, keyring != before);
        pam.close();
        pam.close();
        assert_eq!(session().is_err(), made, "what was made is revoked");
    }

    /// The next call brings the session into the shared keyring at the latest, which nothing ends.
    fn go_on_sharing(&self, stage: &Stage, pam: &mut Pam, before: i32, outcome: Outcome) {
        assert_eq!(live_session() == before, !matches!(outcome, AsEver | Loses));
        let code = self.scene.call(pam);
        if outcome == Loses {
            self.assert_stays_lost(stage, code);
        } else {
            assert_eq!(code, SUCCESS);
            stage.log();
        }
        pam.close();
        pam.close();
        assert_eq!(keys::describe(live_session()).expect("viewed").name, shared_name(self.who));
    }

    /// The next session has a keyring of its own, which ends.
    fn go_on_from_end(&self, stage: &Stage, pam: &mut Pam, before: i32, outcome: Outcome) {
        let Cell { scene, who, .. } = *self;
        match outcome {
            Loses | Clears => assert_eq!(assert_own_keyring(who), before, "it was cleared"),
            Invalidates => assert_eq!(session(), Err(libc::ENOKEY)),
            _ => (),
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
        let told = Told { level: CRITICAL, start: LOST, with_errno: false, state: "" };
        self.assert_told(&stage.log(), Some(told));
    }

    /// Asserts that one line was written to the log, or none.
    fn assert_told(&self, lines: &[Line], expected: Option<Told>) {
        let Some(Told { level, start, with_errno, state }) = expected else { return assert_eq!(lines, []) };
        let [line] = lines else { panic!("one line expected: {lines:#?}") };
        assert_eq!(line.level, level, "{line:?}");
        let (_, said) = line.text.split_once("): ").expect("libpam's prefix");
        let start = if with_errno { format!("{start}: {}, ", self.name) } else { start.to_owned() };
        assert!(said.starts_with(&start), "{start:?} expected: {said:?}");
        assert!(said.contains(state), "{state:?} expected: {said:?}");
        assert!(said.ends_with(&format!(" (user \"{}\")", self.who.name)), "{said:?}");
    }

    /// The ids of the caller after the call, given those before.
    fn ids_after(&self, mut ids: [u32; 8], outcome: Outcome) -> [u32; 8] {
        let (uids, gids) = ids.split_at_mut(4);
        let (Call::LookAtFilesystemId(kind)
        | Call::GiveBack(kind)
        | Call::GiveBackFilesystemId(kind)
        | Call::CheckFilesystemId(kind)) = self.call
        else {
            return ids;
        };
        let (of_kind, users) = if kind == Kind::Uid { (uids, self.who.uid) } else { (gids, self.who.gid) };
        match self.call {
            // The saved one had to keep the real one.
            Call::GiveBack(_) => {
                if self.scene.capable {
                    of_kind[2] = of_kind[0];
                }
                of_kind[0] = users;
            }
            // Nobody could see that it was another.
            Call::LookAtFilesystemId(_) | Call::GiveBackFilesystemId(_) => of_kind[3] = of_kind[1],
            _ => assert_eq!(outcome, Loses),
        }
        ids
    }
}
