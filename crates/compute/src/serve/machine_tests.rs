use super::*;
use licen_core::abi::{FailureReport, Job};
use licen_core::primitives::{Address, B256, Bytes};
use licen_core::unit::Unit;
use licen_core::wire::AbiHex;
use proptest::prelude::*;

fn terms() -> Terms {
    terms_of(Unit::Epoch, 3)
}

fn terms_of(unit: Unit, units: u64) -> Terms {
    let allowance = Allowance::of(&Job { unit: unit as u8, units, ..Job::default() }).unwrap();
    Terms { epochs: 3, allowance, start_deadline: 1_000, run_window: 2_000 }
}

const RUN_DEADLINE: u64 = 5_000;

fn ticket() -> StartTicket {
    StartTicket {
        signer: Address::repeat_byte(1),
        runtime_data_hash: B256::repeat_byte(2),
        verdicts: vec![],
        signatures: vec![],
    }
}

fn failure() -> SignedFailure {
    SignedFailure { report: AbiHex(FailureReport::default()), signature: Bytes::new() }
}

/// Feeds events at time 100 and collects effects.
fn after(events: impl IntoIterator<Item = Event>) -> (Machine, Vec<Effect>) {
    let (mut machine, mut effects) = (Machine::new(terms()), Vec::new());
    for event in events {
        machine.step(100, event, &mut effects);
    }
    (machine, effects)
}

fn ready() -> Event {
    Event::Ready { ticket: ticket(), verdicts_expire: 900 }
}

fn running() -> Event {
    Event::Running { run_deadline: RUN_DEADLINE }
}

fn key() -> Event {
    Event::KeyCombined { run_deadline: RUN_DEADLINE }
}

fn until_training() -> Vec<Event> {
    vec![Event::SlotFree, ready(), running(), key(), opened()]
}

fn opened() -> Event {
    Event::Opened { compute: Duration::from_secs(1) }
}

fn progress(epochs_done: u32) -> Event {
    used(epochs_done, Duration::ZERO)
}

fn used(epochs_done: u32, compute: Duration) -> Event {
    Event::Progress { epoch: epochs_done + 1, epochs_done, part: 0.5, loss: Some(1.5), compute }
}

#[test]
fn the_straight_way() {
    let mut events = until_training();
    events.extend([progress(1), Event::Trained { epochs_done: 3 }, Event::Sealed, Event::Held]);
    events.extend([Event::ManifestSigned, Event::Accepted { custodians: 2 }]);
    let (machine, effects) = after(events);
    use Effect::{BeginEpoch, Deliver, Hand, Open, Seal, SetUp, SignManifest, Train, Unlock, Wipe};
    let second = BeginEpoch { epoch: 2 };
    assert_eq!(effects, [SetUp, Unlock, Open, Train, second, Seal, Hand, SignManifest, Deliver, Wipe]);
    let status = machine.status();
    assert_eq!((status.task_state, status.loss), (TaskState::Delivered, Some(1.5)));
    assert!(machine.is_over() && status.failure.is_none());
}

#[test]
fn task_states_are_0gs_in_order() {
    let mut machine = Machine::new(terms());
    let mut seen = vec![machine.status().task_state];
    let events = [
        vec![Event::SlotFree, ready(), running(), key(), opened()],
        vec![Event::Trained { epochs_done: 1 }, Event::Sealed, Event::Held, Event::ManifestSigned],
        vec![Event::Accepted { custodians: 1 }],
    ];
    for event in events.concat() {
        machine.step(100, event, &mut Vec::new());
        seen.push(machine.status().task_state);
    }
    assert!(seen.is_sorted());
    seen.dedup();
    let numbers: Vec<u8> = seen.into_iter().map(|state| state as u8).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn before_running_nothing_is_signed() {
    for events in [
        vec![Event::Refused("no".into())],
        vec![Event::SlotFree, Event::Refused("no".into())],
        vec![Event::SlotFree, Event::Superseded, Event::Refused("no".into())],
    ] {
        let (machine, effects) = after(events);
        assert_eq!(machine.status().task_state, TaskState::Failed);
        assert!(machine.status().failure.is_none() && machine.may_begin_again());
        assert_eq!(effects.last(), Some(&Effect::Wipe));
        assert!(!effects.iter().any(|e| matches!(e, Effect::SignFailure { .. })));
    }
}

#[test]
fn after_running_every_failure_is_reported_once() {
    let (mut machine, _) = after(until_training());
    let mut effects = Vec::new();
    machine.step(101, progress(2), &mut effects);
    let broke = |reason| Event::Broke { reason, message: "it broke".into() };
    machine.step(102, broke(Reason::ComputeTaskFailed), &mut effects);
    machine.step(103, broke(Reason::DatasetMismatch), &mut effects);
    machine.step(104, Event::Trained { epochs_done: 3 }, &mut effects);
    let report = Effect::SignFailure { reason: Reason::ComputeTaskFailed, epochs_done: 2 };
    assert_eq!(effects, [Effect::BeginEpoch { epoch: 3 }, report]);
    machine.step(105, Event::FailureSigned(failure()), &mut effects);
    assert_eq!(effects.last(), Some(&Effect::Wipe));
    assert_eq!(machine.status().failure, Some(failure()));
    assert_eq!(machine.status().message, "it broke");
}

#[test]
fn setting_up_does_not_hold_the_slot_for_long() {
    let terms = Terms { start_deadline: 100_000, ..terms() };
    let (mut machine, mut effects) = (Machine::new(terms), Vec::new());
    machine.step(100, Event::SlotFree, &mut effects);
    machine.step(100 + SET_UP_WINDOW, Event::Tick, &mut effects);
    assert!(machine.may_begin_again(), "{:?}", machine.status());
    assert_eq!(effects, [Effect::SetUp, Effect::Wipe]);
}

#[test]
fn a_start_that_never_came_may_begin_again() {
    let (mut machine, _) = after([Event::SlotFree, ready()]);
    let mut effects = Vec::new();
    machine.step(900 + START_GRACE - 1, Event::Tick, &mut effects);
    assert!(!machine.is_over());
    machine.step(900 + START_GRACE, Event::Tick, &mut effects);
    assert!(machine.may_begin_again());
    assert_eq!(effects, [Effect::Wipe]);
    machine.step(2_000, running(), &mut effects);
    assert_eq!(effects, [Effect::Wipe]);
}

#[test]
fn a_job_that_nobody_sees_running_is_waited_for_again() {
    let forged = Event::Running { run_deadline: 2_000 };
    let (mut machine, mut effects) = after([Event::SlotFree, ready(), forged, Event::Superseded]);
    machine.step(200, Event::Unconfirmed("too early".into()), &mut effects);
    assert!(machine.status().start.is_some() && machine.status().failure.is_none());
    for event in [running(), running(), key(), opened()] {
        machine.step(300, event, &mut effects);
    }
    use Effect::{Open, SetUp, Train, Unlock};
    assert_eq!(effects, [SetUp, Unlock, Unlock, Open, Train]);
}

#[test]
fn a_later_claim_that_the_job_runs_is_asked_about_too() {
    let forged = |run_deadline| Event::Running { run_deadline };
    let (mut machine, effects) = after([Event::SlotFree, ready(), forged(2_000), running(), running()]);
    assert_eq!(effects, [Effect::SetUp, Effect::Unlock, Effect::Unlock]);
    // However many claims there are, they end.
    let mut now = 100;
    while now < 3_000 && !machine.is_over() {
        machine.step(now, forged(now + 2_000), &mut Vec::new());
        now += 10;
    }
    assert_eq!(machine.status().failure, None);
    assert!(machine.may_begin_again() && now <= 900 + START_GRACE + RELEASE_WINDOW + 10, "{now}");
    let (machine, effects) = after([Event::SlotFree, ready(), forged(102)]);
    assert_eq!((effects, machine.status().task_state), (vec![Effect::SetUp], TaskState::SetUp));
}

#[test]
fn every_waiting_state_has_a_deadline_with_an_exit() {
    let training = until_training();
    let delivered = [Event::Trained { epochs_done: 1 }, Event::Sealed, Event::Held, Event::ManifestSigned];
    let all: Vec<Event> = training.into_iter().chain(delivered).collect();
    for length in 0..=all.len() {
        let (mut machine, _) = after(all[..length].to_vec());
        let mut effects = Vec::new();
        for _ in 0..4 {
            let Some(deadline) = machine.deadline() else { break };
            machine.step(deadline, Event::Tick, &mut effects);
        }
        assert_eq!(machine.deadline(), None, "after {length} events");
        let signs = effects.iter().any(|e| matches!(e, Effect::SignFailure { .. }));
        assert!(machine.is_over() || signs, "after {length} events");
        assert_eq!(signs, (4..all.len()).contains(&length), "after {length} events");
    }
}

#[test]
fn a_stop_ends_training_after_the_epoch() {
    let (mut machine, _) = after(until_training());
    let mut effects = Vec::new();
    machine.step(101, Event::StopOrdered, &mut effects);
    machine.step(102, Event::StopOrdered, &mut effects);
    assert_eq!(effects, [Effect::StopAfterEpoch]);
    machine.step(103, Event::Trained { epochs_done: 1 }, &mut effects);
    assert_eq!(effects.last(), Some(&Effect::Seal));

    let early = [Event::SlotFree, ready(), Event::StopOrdered, running(), key(), opened()];
    let (_, effects) = after(early);
    assert_eq!(effects[effects.len() - 2..], [Effect::Train, Effect::StopAfterEpoch]);
}

#[test]
fn an_epoch_that_would_not_end_in_time_is_not_begun() {
    let (mut machine, _) = after(until_training());
    let mut effects = Vec::new();
    // Work must end at 4900; one epoch took 2500 s, a second one would end at 5100.
    machine.step(2_600, progress(1), &mut effects);
    assert_eq!(effects, [Effect::StopAfterEpoch]);

    let (mut machine, _) = after(until_training());
    effects.clear();
    machine.step(1_100, progress(1), &mut effects);
    assert_eq!(effects, [Effect::BeginEpoch { epoch: 2 }]);
    machine.step(1_200, progress(3), &mut effects);
    assert_eq!(effects.len(), 1, "none is left to begin");
}

#[test]
fn each_epoch_is_begun_once_and_none_after_a_stop() {
    let (mut machine, _) = after(until_training());
    let mut effects = Vec::new();
    for event in [progress(0), progress(1), progress(1), progress(1)] {
        machine.step(101, event, &mut effects);
    }
    assert_eq!(effects, [Effect::BeginEpoch { epoch: 2 }]);
    effects.clear();
    for event in [Event::StopOrdered, progress(1), progress(2)] {
        machine.step(102, event, &mut effects);
    }
    assert_eq!(effects, [Effect::StopAfterEpoch]);
}

/// The royalty of a job by compute seconds is what the requester locked: an epoch beyond it would be
/// trained for nothing.
#[test]
fn no_epoch_is_begun_that_would_pass_the_compute_seconds() {
    let seconds = Duration::from_secs;
    let run = |units, events: &[Event]| {
        let (mut machine, mut effects) = (Machine::new(terms_of(Unit::ComputeSecond, units)), Vec::new());
        for event in until_training().into_iter().chain(events.iter().cloned()) {
            machine.step(100, event, &mut effects);
        }
        (machine, effects.split_off(4))
    };
    // Training began after 1 s, so the epochs take 4 s and 3 s: with the longest, a third would end at 12.
    let epochs = [used(1, seconds(5)), used(2, seconds(8))];
    let begin = |epoch| Effect::BeginEpoch { epoch };
    assert_eq!(run(12, &epochs).1, [begin(2), begin(3)]);
    let (machine, effects) = run(11, &epochs);
    assert_eq!(effects, [begin(2), Effect::StopAfterEpoch]);
    assert!(machine.status().message.contains("pass the job's units"), "{:?}", machine.status());
    assert_eq!(run(8, &epochs[..1]).1, [Effect::StopAfterEpoch], "what ran is settled");

    // A first epoch that passes them is the requester's mistake, said as soon as it is seen.
    let invalid = |epochs_done| Effect::SignFailure { reason: Reason::JobSpecInvalid, epochs_done };
    let (machine, effects) = run(4, &epochs[..1]);
    assert_eq!(effects, [invalid(1)]);
    assert!(machine.status().message.contains("5 of the unit computeSecond, the job has 4"));
    assert_eq!(run(4, &[used(0, seconds(3)), used(0, Duration::from_millis(4_001))]).1, [invalid(0)]);
    let last = Terms { epochs: 1, ..terms_of(Unit::ComputeSecond, 4) };
    let (mut machine, mut effects) = (Machine::new(last), Vec::new());
    for event in until_training().into_iter().chain([used(1, seconds(5))]) {
        machine.step(100, event, &mut effects);
    }
    assert_eq!(effects.last(), Some(&invalid(1)), "though nothing was left to begin");

    // The same CPU time means nothing under another unit.
    for unit in [Unit::Epoch, Unit::Sample, Unit::Kilotoken] {
        let (mut machine, mut effects) = (Machine::new(terms_of(unit, 4)), Vec::new());
        for event in until_training().into_iter().chain(epochs.iter().cloned()) {
            machine.step(100, event, &mut effects);
        }
        assert_eq!(effects.split_off(4), [begin(2), begin(3)]);
    }
}

#[test]
fn no_whole_epoch_is_no_result() {
    let mut events = until_training();
    events.push(Event::Trained { epochs_done: 0 });
    let (_, effects) = after(events);
    let report = Effect::SignFailure { reason: Reason::JobSpecInvalid, epochs_done: 0 };
    assert_eq!(effects.last(), Some(&report));
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::SlotFree),
        Just(ready()),
        Just(Event::Refused("no".into())),
        Just(running()),
        Just(Event::Superseded),
        Just(key()),
        Just(Event::Unconfirmed("no".into())),
        (101u64..9_000).prop_map(|run_deadline| Event::Running { run_deadline }),
        Just(opened()),
        (0u32..5).prop_map(progress),
        Just(Event::StopOrdered),
        (0u32..5).prop_map(|epochs_done| Event::Trained { epochs_done }),
        Just(Event::Sealed),
        Just(Event::Held),
        Just(Event::ManifestSigned),
        (0usize..3).prop_map(|custodians| Event::Accepted { custodians }),
        Just(Event::GaveUp("no".into())),
        Just(Event::Broke { reason: Reason::KeyReleaseFailed, message: "no".into() }),
        Just(Event::FailureSigned(failure())),
        Just(Event::Tick),
        Just(Event::Note("hm".into())),
    ]
}

proptest! {
    #[test]
    fn one_statement_at_most_whatever_happens(
        events in prop::collection::vec((any_event(), 0u64..600), 0..60),
        straight in 0usize..9,
    ) {
        let way = [
            until_training(),
            vec![Event::Trained { epochs_done: 2 }, Event::Sealed, Event::Held, Event::ManifestSigned],
        ];
        let (mut machine, mut effects) = after(way.concat().into_iter().take(straight));
        let mut now = 100;
        for (event, later) in events {
            now += later;
            let over = machine.is_over();
            let before = effects.len();
            machine.step(now, event, &mut effects);
            prop_assert!(!over || effects.len() == before, "nothing happens after the end");
        }
        let statement = |e: &&Effect| matches!(e, Effect::SignManifest | Effect::SignFailure { .. });
        // A manifest that could not be signed may turn into a report; the key then still exists.
        let manifests = effects.iter().filter(|e| matches!(e, Effect::SignManifest)).count();
        let reports = effects.iter().filter(statement).count() - manifests;
        prop_assert!(manifests <= 1 && reports <= 1);
        if machine.status().task_state >= TaskState::Delivered && machine.is_over() {
            prop_assert_eq!(effects.last(), Some(&Effect::Wipe));
        }
        prop_assert_eq!(effects.iter().filter(|e| **e == Effect::Wipe).count(), usize::from(machine.is_over()));
    }
}
