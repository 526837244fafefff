use super::*;
use crate::fixture::*;
use expect_test::expect;
use k256::ecdsa::SigningKey;
use licen_core::job::{Reason, started};
use proptest::prelude::*;
use std::collections::HashSet;
use std::fmt::Write as _;

fn of_granted() -> AttemptId {
    AttemptId::of(&granted())
}

fn of_running() -> AttemptId {
    AttemptId::of(&running())
}

fn with_ticket() -> Event {
    let status = TaskStatus { start: Some(ticket(900)), ..status(TaskState::SetUp) };
    Event::Status(of_granted(), Box::new(status))
}

fn with_next_ticket() -> Event {
    let status = TaskStatus { start: Some(next_ticket(900)), ..status(TaskState::SetUp) };
    Event::Status(next(), Box::new(status))
}

fn with_failure(reason: Reason) -> Event {
    let status = TaskStatus { failure: Some(failure(reason)), ..status(TaskState::Failed) };
    Event::Status(of_running(), Box::new(status))
}

fn with_manifest() -> Event {
    Event::Manifest(of_running(), Box::new(manifest(2)))
}

/// What a step asked for, one word each; reports are left out.
fn words(effects: &[Effect]) -> String {
    let words: Vec<String> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Read => Some("read".into()),
            Effect::Dispatch(_, job) if job.attempt == 0 => Some("dispatch-granted".into()),
            Effect::Dispatch(id, job) if id.attempt > job.attempt => Some("dispatch-next".into()),
            Effect::PollStatus(id, job) if job.attempt > 0 && id.attempt > job.attempt => {
                Some("status-next".into())
            }
            Effect::Dispatch(..) => Some("dispatch-running".into()),
            Effect::PollStatus(..) => Some("status".into()),
            Effect::PollManifest(..) => Some("manifest".into()),
            Effect::AskSilence(..) => Some("silence".into()),
            Effect::Send(call) => Some(call.kind().function().into()),
            Effect::Report(_) => None,
            Effect::Finish(state) => Some(format!("finish:{}", state.name())),
        })
        .collect();
    words.join(" ")
}

struct Driver {
    machine: Machine,
    now: u64,
}

impl Driver {
    fn new() -> Self {
        Self { machine: Machine::new(granted().jobId, PACE), now: 0 }
    }

    /// One event, a minute after the one before, so that every timer is due.
    fn tell(&mut self, event: Event) -> String {
        self.now += 60_000;
        let mut effects = Vec::new();
        self.machine.step(self.now, event, &mut effects);
        words(&effects)
    }

    /// As if every question that is still open had been answered with nothing new.
    fn settle(&mut self) {
        for event in [Event::ReadFailed("x".into()), Event::NoManifest(of_running(), String::new())] {
            self.machine.step(self.now, event, &mut Vec::new());
        }
        let ids = [of_granted(), of_running()];
        for id in ids {
            self.machine.step(self.now, Event::StatusFailed(id, "x".into()), &mut Vec::new());
            self.machine.step(self.now, Event::DispatchFailed(id, "x".into()), &mut Vec::new());
        }
        // None of that means that compute is gone.
        self.machine.found(self.now);
    }

    fn at(phase: Phase) -> Self {
        let mut driver = Self::new();
        for event in path(phase) {
            driver.tell(event);
        }
        driver.settle();
        assert_eq!(driver.machine.phase(), phase);
        driver
    }
}

fn path(phase: Phase) -> Vec<Event> {
    match phase {
        Phase::Unconfirmed => vec![],
        Phase::Dispatching => vec![read_granted(100)],
        Phase::Preparing => [path(Phase::Dispatching), vec![Event::Accepted(of_granted())]].concat(),
        Phase::Starting => [path(Phase::Preparing), vec![with_ticket(), read_granted(110)]].concat(),
        Phase::Resuming => [path(Phase::Starting), vec![read_running(120)]].concat(),
        Phase::Training => [path(Phase::Resuming), vec![Event::Accepted(of_running())]].concat(),
        Phase::Ending => [path(Phase::Training), vec![with_manifest(), read_running(200)]].concat(),
        Phase::Expiring => vec![read_running(RUN_DEADLINE + 3)],
        Phase::Ended => vec![read_ended(JobState::Completed)],
    }
}

const PHASES: [Phase; 9] = [
    Phase::Unconfirmed,
    Phase::Dispatching,
    Phase::Preparing,
    Phase::Starting,
    Phase::Resuming,
    Phase::Training,
    Phase::Ending,
    Phase::Expiring,
    Phase::Ended,
];

fn every_event() -> Vec<(&'static str, Event)> {
    let (g, r) = (of_granted(), of_running());
    let boxed = |s| Box::new(status(s));
    vec![
        ("wake", Event::Wake),
        ("chain: nothing", read(None, None, 130)),
        ("chain: granted, shallow", read(Some(JobState::Granted), None, 130)),
        ("chain: granted", read_granted(130)),
        (
            "chain: granted, running above",
            read(Some(JobState::Running), Some((JobState::Granted, granted())), 130),
        ),
        ("chain: granted, overdue", read_granted(START_DEADLINE + 3)),
        ("chain: running", read_running(210)),
        (
            "chain: running, ended above",
            read(Some(JobState::Failed), Some((JobState::Running, running())), 210),
        ),
        ("chain: running, overdue", read_running(RUN_DEADLINE + 3)),
        ("chain: completed", read_ended(JobState::Completed)),
        ("chain: cancelled", read_ended(JobState::Cancelled)),
        ("chain: unreachable", Event::ReadFailed("down".into())),
        ("compute: accepts granted", Event::Accepted(g)),
        ("compute: accepts running", Event::Accepted(r)),
        ("compute: refuses", Event::DispatchFailed(r, "down".into())),
        ("compute: has a ticket", with_ticket()),
        ("compute: failed before start", Event::Status(g, boxed(TaskState::Failed))),
        ("compute: not told yet", Event::Status(r, boxed(TaskState::SetUp))),
        ("compute: trains", Event::Status(r, boxed(TaskState::Training))),
        ("compute: reports failure", with_failure(Reason::ComputeTaskFailed)),
        ("compute: forgot granted", Event::TaskUnknown(g)),
        ("compute: forgot running", Event::TaskUnknown(r)),
        ("compute: unreachable", Event::StatusFailed(r, "down".into())),
        ("custodian: manifest", with_manifest()),
        ("custodians: none yet", Event::NoManifest(r, String::new())),
        ("custodians: silent", Event::Silent(r, vec![Default::default()])),
        ("custodians: not silent", Event::NotSilent(r)),
        ("compute: accepts the next", Event::Accepted(next())),
        ("compute: has the next ticket", with_next_ticket()),
        ("restart refused", Event::Tx(CallKind::Restart, TxOutcome::Refused("no".into()))),
        ("start mined", Event::Tx(CallKind::Start, TxOutcome::Mined)),
        ("start refused", Event::Tx(CallKind::Start, TxOutcome::Refused("no".into()))),
        ("confirm mined", Event::Tx(CallKind::Confirm, TxOutcome::Mined)),
        ("confirm refused", Event::Tx(CallKind::Confirm, TxOutcome::Refused("no".into()))),
        ("expire not sent", Event::Tx(CallKind::Expire, TxOutcome::NotSent("no funds".into()))),
    ]
}

#[test]
fn every_event_in_every_phase() {
    let mut table = String::new();
    for phase in PHASES {
        writeln!(table, "{phase:?}").unwrap();
        for (name, event) in every_event() {
            let mut driver = Driver::at(phase);
            let asked = driver.tell(event);
            let after = driver.machine.phase();
            let arrow = if after == phase { "=".to_string() } else { format!("-> {after:?}") };
            writeln!(table, "  {name:<30} {arrow:<15} {asked}").unwrap();
        }
    }
    let table: String = table.lines().map(|l| format!("{}\n", l.trim_end())).collect();
    expect_test::expect_file!["table.txt"].assert_eq(&table);
}

#[test]
fn the_usual_way() {
    let mut driver = Driver::new();
    let mut log = String::new();
    let events = [
        ("wake", Event::Wake),
        ("grant is shallow", read(Some(JobState::Granted), None, 98)),
        ("grant is deep", read_granted(100)),
        ("compute accepts", Event::Accepted(of_granted())),
        ("verdicts", with_ticket()),
        ("read before sending", read_granted(105)),
        ("start mined", Event::Tx(CallKind::Start, TxOutcome::Mined)),
        ("running, shallow", read(Some(JobState::Running), Some((JobState::Granted, granted())), 107)),
        ("running, deep", read_running(109)),
        ("compute accepts", Event::Accepted(of_running())),
        ("trains", Event::Status(of_running(), Box::new(status(TaskState::Training)))),
        ("manifest", with_manifest()),
        ("read before sending", read_running(150)),
        ("confirm mined", Event::Tx(CallKind::Confirm, TxOutcome::Mined)),
        ("completed, shallow", read(Some(JobState::Completed), Some((JobState::Running, running())), 152)),
        ("completed, deep", read_ended(JobState::Completed)),
    ];
    for (name, event) in events {
        let asked = driver.tell(event);
        writeln!(log, "{name:<20} {:<12} {asked}", format!("{:?}", driver.machine.phase())).unwrap();
    }
    let log: String = log.lines().map(|l| format!("{}\n", l.trim_end())).collect();
    expect![[r#"
        wake                 Unconfirmed  read
        grant is shallow     Unconfirmed
        grant is deep        Dispatching  dispatch-granted
        compute accepts      Preparing    read status
        verdicts             Preparing
        read before sending  Starting     startJob
        start mined          Starting     read
        running, shallow     Starting
        running, deep        Resuming     dispatch-running
        compute accepts      Training     read status manifest
        trains               Training
        manifest             Training     status
        read before sending  Ending       confirmTrainingComplete
        confirm mined        Ending       read
        completed, shallow   Ending
        completed, deep      Ended        finish:Completed
    "#]]
    .assert_eq(&log);
    assert_eq!(driver.machine.deadline(), None);
}

#[test]
fn a_grant_that_a_reorganisation_drops_is_never_dispatched() {
    let mut driver = Driver::new();
    driver.tell(read(Some(JobState::Granted), None, 98));
    let asked = driver.tell(read(None, None, 99));
    assert_eq!((driver.machine.phase(), asked.as_str()), (Phase::Unconfirmed, ""));
    // Dropped after it was dispatched: a ticket for it sends nothing.
    let mut driver = Driver::at(Phase::Preparing);
    driver.tell(read(None, None, 99));
    driver.tell(with_ticket());
    assert!(!driver.tell(read_granted(111)).contains("startJob"));
}

#[test]
fn what_is_said_of_another_attempt_is_not_heard() {
    let mut driver = Driver::at(Phase::Training);
    let second = started(&granted(), 2, compute_address(), B256::repeat_byte(6), RUN_DEADLINE);
    driver.tell(read(Some(JobState::Running), Some((JobState::Running, second.clone())), 300));
    assert_eq!(driver.machine.phase(), Phase::Resuming);
    driver.tell(with_manifest());
    driver.tell(with_failure(Reason::ComputeTaskFailed));
    let asked = driver.tell(read(Some(JobState::Running), Some((JobState::Running, second)), 300));
    assert!(!asked.contains("confirm") && !asked.contains("mark"), "{asked}");
}

#[test]
fn a_failure_and_a_manifest_at_once_send_one_of_them() {
    let mut driver = Driver::at(Phase::Training);
    driver.tell(with_failure(Reason::ComputeTaskFailed));
    driver.tell(with_manifest());
    driver.tell(with_failure(Reason::ComputeTaskFailed));
    assert!(driver.tell(read_running(210)).contains("markJobFailed"));
    driver.tell(Event::Tx(CallKind::Fail, TxOutcome::Refused("raced".into())));
    driver.tell(with_manifest());
    let asked = driver.tell(read_running(211));
    assert!(!asked.contains("confirm"), "{asked}");
    // Somebody else's confirm won: that is success.
    driver.tell(read_ended(JobState::Completed));
    assert_eq!(driver.machine.phase(), Phase::Ended);
}

#[test]
fn lies_are_not_sent() {
    let lies = [
        SignedManifest {
            signature: sign(&SigningKey::from_slice(&[8; 32]).unwrap(), &manifest(2).manifest.0),
            ..manifest(2)
        },
        manifest(0),
        manifest(4),
    ];
    for lie in lies {
        let mut driver = Driver::at(Phase::Training);
        driver.tell(Event::Manifest(of_running(), Box::new(lie)));
        assert!(!driver.tell(read_running(210)).contains("confirm"));
        driver.tell(with_manifest());
        assert!(driver.tell(read_running(211)).contains("confirmTrainingComplete"));
    }
    let mut driver = Driver::at(Phase::Training);
    driver.tell(with_failure(Reason::OwnerWithdrew));
    assert!(!driver.tell(read_running(210)).contains("markJobFailed"));
}

#[test]
fn verdicts_that_expired_are_asked_for_again() {
    let mut driver = Driver::at(Phase::Preparing);
    driver.tell(with_ticket());
    let asked = driver.tell(read_granted(899));
    assert!(!asked.contains("startJob"), "{asked}");
    assert_eq!(driver.machine.phase(), Phase::Dispatching);
    assert!(driver.machine.message().contains("expired"));
}

#[test]
fn a_refused_start_waits_longer_each_time() {
    let mut driver = Driver::at(Phase::Starting);
    let mut pauses = Vec::new();
    for _ in 0..4 {
        driver.machine.step(
            driver.now,
            Event::Tx(CallKind::Start, TxOutcome::Refused("no".into())),
            &mut vec![],
        );
        let due = driver.machine.send.deadline().unwrap();
        pauses.push(due - driver.now);
        driver.tell(read_granted(110));
        driver.tell(with_ticket());
        assert!(driver.tell(read_granted(110)).contains("startJob"));
    }
    assert!(pauses[3] > pauses[0], "{pauses:?}");
}

/// Anything that may happen, in any order: right answers, stale ones, lies, races, reorganisations.
fn any_event() -> impl Strategy<Value = Event> {
    let time = prop_oneof![Just(100u64), Just(899), Just(1_001), Just(1_003), Just(5_001), Just(5_003)];
    let head = prop_oneof![
        Just(None),
        Just(Some(JobState::Granted)),
        Just(Some(JobState::Running)),
        Just(Some(JobState::Failed))
    ];
    let other = started(&granted(), 1, compute_address(), B256::repeat_byte(5), RUN_DEADLINE - 100);
    let deep = prop_oneof![
        1 => Just(None),
        4 => Just(Some((JobState::Granted, granted()))),
        6 => Just(Some((JobState::Running, running()))),
        1 => Just(Some((JobState::Running, other))),
    ];
    let fixed: Vec<Event> = every_event().into_iter().map(|(_, e)| e).collect();
    prop_oneof![
        3 => (head, deep, time).prop_map(|(head, deep, time)| read(head, deep, time)),
        1 => Just(read_granted(110)),
        2 => Just(read_running(210)),
        1 => Just(Event::Tx(CallKind::Fail, TxOutcome::Refused("no".into()))),
        6 => proptest::sample::select(fixed),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn never_two_terminal_statements(events in prop::collection::vec((any_event(), 0u64..3_000), 1..80)) {
        let mut machine = Machine::new(granted().jobId, PACE);
        let (mut now, mut ended) = (0, false);
        let mut statements: HashSet<(AttemptId, CallKind)> = HashSet::new();
        for (event, pause) in events {
            now += pause;
            let mut effects = Vec::new();
            machine.step(now, event.clone(), &mut effects);
            let sends: Vec<&Call> =
                effects.iter().filter_map(|e| if let Effect::Send(c) = e { Some(&**c) } else { None }).collect();
            prop_assert!(sends.len() <= 1);
            if ended {
                prop_assert_eq!(words(&effects), "");
            }
            for call in sends {
                let Event::Read(reading) = &event else { return Err(TestCaseError::fail("sent without reading")) };
                let deep = reading.deep.as_ref().unwrap();
                prop_assert_eq!(reading.head, Some(deep.state));
                prop_assert_eq!(call.job(), &deep.job);
                let deadline = if deep.state == JobState::Granted { START_DEADLINE } else { deep.job.runDeadline };
                match call.kind() {
                    CallKind::Start => prop_assert_eq!(deep.state, JobState::Granted),
                    CallKind::Restart => prop_assert_eq!(deep.state, JobState::Running),
                    CallKind::Confirm | CallKind::Fail | CallKind::Silent => {
                        prop_assert_eq!(deep.state, JobState::Running);
                        statements.insert((AttemptId::of(call.job()), call.kind()));
                    }
                    CallKind::Expire => prop_assert!(reading.deep_time > deadline),
                }
                if call.kind() != CallKind::Expire {
                    prop_assert!(reading.head_time <= deadline);
                }
            }
            ended |= machine.phase() == Phase::Ended;
            prop_assert!(ended == machine.deadline().is_none() || machine.active().iter().all(|t| t.deadline().is_none()));
        }
        let attempts: HashSet<AttemptId> = statements.iter().map(|(id, _)| *id).collect();
        prop_assert_eq!(attempts.len(), statements.len(), "one statement for each attempt");
    }
}

/// Compute is asked about the running attempt and is not there.
fn gone(driver: &mut Driver) -> String {
    driver.tell(Event::StatusFailed(of_running(), "connection refused".into()))
}

#[test]
fn a_job_whose_compute_lost_its_keys_is_restarted() {
    let mut driver = Driver::at(Phase::Training);
    driver.tell(Event::Status(of_running(), Box::new(status(TaskState::Failed))));
    let asked = driver.tell(Event::Wake);
    assert!(asked.contains("dispatch-next") && asked.contains("silence"), "{asked}");
    assert!(driver.tell(Event::Accepted(next())).contains("status-next"));
    driver.tell(with_next_ticket());
    assert!(driver.tell(read_running(210)).contains("restartJob"));
    assert_eq!(driver.machine.phase(), Phase::Starting);
    driver.tell(Event::Tx(CallKind::Restart, TxOutcome::Mined));
    let second = started(&granted(), 2, compute_address(), B256::repeat_byte(5), RUN_DEADLINE);
    let deep = read(Some(JobState::Running), Some((JobState::Running, second)), 220);
    assert!(driver.tell(deep).contains("dispatch-running"));
    assert_eq!(driver.machine.attempt(), 2);
}

#[test]
fn a_job_that_nobody_takes_again_is_failed_by_statements_of_silence() {
    let mut driver = Driver::at(Phase::Training);
    gone(&mut driver);
    assert!(driver.tell(Event::Wake).contains("silence"));
    driver.tell(Event::DispatchFailed(next(), "connection refused".into()));
    driver.tell(Event::NotSilent(of_running()));
    assert!(!driver.tell(read_running(210)).contains("markJobFailed"), "custodians say nothing yet");
    driver.tell(Event::Silent(of_running(), vec![Default::default()]));
    assert!(driver.tell(read_running(220)).contains("markJobFailed"));
    assert_eq!(driver.machine.phase(), Phase::Ending);
}

#[test]
fn a_taken_attempt_is_waited_for_and_not_for_ever() {
    let mut driver = Driver::at(Phase::Training);
    gone(&mut driver);
    driver.tell(Event::Wake);
    driver.tell(Event::Accepted(next()));
    driver.tell(Event::Silent(of_running(), vec![Default::default()]));
    for _ in 0..8 {
        driver.tell(Event::Status(next(), Box::new(status(TaskState::SettingUp))));
        assert!(!driver.tell(read_running(220)).contains("markJobFailed"));
        if driver.machine.phase() == Phase::Ending {
            break;
        }
        driver.now -= 90_000;
    }
    driver.now += 600_000;
    assert!(driver.tell(read_running(230)).contains("markJobFailed"));
}

#[test]
fn compute_that_answers_again_is_neither_restarted_nor_failed() {
    let mut driver = Driver::at(Phase::Training);
    gone(&mut driver);
    driver.tell(Event::Wake);
    driver.tell(Event::Accepted(next()));
    driver.tell(Event::Silent(of_running(), vec![Default::default()]));
    driver.tell(Event::Status(of_running(), Box::new(status(TaskState::Training))));
    driver.tell(with_next_ticket());
    for asked in [driver.tell(read_running(210)), driver.tell(read_running(211))] {
        assert!(!asked.contains("restartJob") && !asked.contains("markJobFailed"), "{asked}");
    }
    driver.tell(with_manifest());
    assert!(driver.tell(read_running(212)).contains("confirmTrainingComplete"));
}

#[test]
fn a_manifest_goes_before_restart_and_silence() {
    let mut driver = Driver::at(Phase::Training);
    gone(&mut driver);
    driver.tell(Event::Wake);
    driver.tell(Event::Accepted(next()));
    driver.tell(with_next_ticket());
    driver.tell(Event::Silent(of_running(), vec![Default::default()]));
    driver.tell(with_manifest());
    let asked = driver.tell(read_running(210));
    assert!(asked.contains("confirmTrainingComplete") && !asked.contains("restartJob"), "{asked}");
}

#[test]
fn the_third_attempt_has_no_successor() {
    let mut driver = Driver::new();
    let third = started(&granted(), 3, compute_address(), B256::repeat_byte(5), RUN_DEADLINE);
    let id = AttemptId::of(&third);
    let deep = || read(Some(JobState::Running), Some((JobState::Running, third.clone())), 220);
    driver.tell(deep());
    driver.tell(Event::Accepted(id));
    driver.tell(Event::StatusFailed(id, "gone".into()));
    let asked = driver.tell(Event::Wake);
    assert!(asked.contains("silence") && !asked.contains("dispatch-next"), "{asked}");
    assert!(driver.machine.deadline().is_none_or(|due| due > driver.now), "it does not spin");
    driver.tell(Event::Silent(id, vec![Default::default()]));
    assert!(driver.tell(deep()).contains("markJobFailed"));
}
