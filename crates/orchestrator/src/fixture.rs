//! One job and what others say about it, for tests.

use k256::ecdsa::SigningKey;
use licen_core::abi::{FailureReport, Job, ResultManifest, Verdict};
use licen_core::eip712::Domain;
use licen_core::job::{JobState, Reason, started};
use licen_core::primitives::{Address, B256, Bytes};
use licen_core::sol_types::SolStruct;
use licen_core::wire::AbiHex;
use licen_core::wire::compute::{SignedFailure, StartTicket, TaskState, TaskStatus};
use licen_core::wire::custodian::SignedManifest;

use crate::effect::AttemptId;
use crate::event::{Deep, Event, Reading};
use crate::timer::Pace;

pub(crate) const PACE: Pace = Pace { poll: 1_000, retry: 1_000, retry_max: 8_000 };
pub(crate) const DOMAIN: Domain = Domain { chain_id: 31_337, contract: Address::repeat_byte(0xc0) };
pub(crate) const START_DEADLINE: u64 = 1_000;
pub(crate) const RUN_DEADLINE: u64 = 5_000;

pub(crate) fn compute_key() -> SigningKey {
    SigningKey::from_slice(&[7; 32]).unwrap()
}

pub(crate) fn sign<T: SolStruct>(key: &SigningKey, message: &T) -> Bytes {
    let (signature, recovery) = key.sign_prehash_recoverable(DOMAIN.digest(message).as_slice()).unwrap();
    [&signature.to_bytes()[..], &[27 + recovery.to_byte()]].concat().into()
}

pub(crate) fn compute_address() -> Address {
    Address::from_raw_public_key(&compute_key().verifying_key().to_encoded_point(false).as_bytes()[1..])
}

pub(crate) fn granted() -> Job {
    Job { jobId: B256::repeat_byte(1), epochs: 3, startDeadline: START_DEADLINE, ..Job::default() }
}

pub(crate) fn running() -> Job {
    started(&granted(), 1, compute_address(), B256::repeat_byte(5), RUN_DEADLINE)
}

pub(crate) fn ticket(expires: u64) -> StartTicket {
    let verdict = Verdict {
        jobId: granted().jobId,
        attempt: 1,
        signer: compute_address(),
        runtimeDataHash: B256::repeat_byte(5),
        expiresAt: expires,
        ..Verdict::default()
    };
    StartTicket {
        signer: compute_address(),
        runtime_data_hash: B256::repeat_byte(5),
        verdicts: vec![AbiHex(verdict)],
        signatures: vec![AbiHex::default()],
    }
}

/// The attempt after the running one.
pub(crate) fn next() -> AttemptId {
    AttemptId { attempt: 2, ..AttemptId::of(&running()) }
}

/// What a compute that takes the next attempt has after its verdicts.
pub(crate) fn next_ticket(expires: u64) -> StartTicket {
    let first = ticket(expires);
    let verdicts = first.verdicts.into_iter().map(|v| AbiHex(Verdict { attempt: 2, ..v.0 })).collect();
    StartTicket { verdicts, ..first }
}

pub(crate) fn manifest(epochs: u32) -> SignedManifest {
    let manifest = ResultManifest {
        jobId: granted().jobId,
        attempt: 1,
        resultHash: B256::repeat_byte(8),
        baseModelRoot: B256::repeat_byte(10),
        adapterRoot: B256::repeat_byte(11),
        attestationRef: B256::repeat_byte(9),
        reportHash: B256::repeat_byte(12),
        actualEpochs: epochs,
        ..ResultManifest::default()
    };
    SignedManifest { signature: sign(&compute_key(), &manifest), manifest: AbiHex(manifest), held: vec![] }
}

pub(crate) fn failure(reason: Reason) -> SignedFailure {
    let report = FailureReport {
        jobId: granted().jobId,
        attempt: 1,
        reasonCode: reason as u8,
        runtimeDataHash: B256::repeat_byte(5),
        ..FailureReport::default()
    };
    SignedFailure { signature: sign(&compute_key(), &report), report: AbiHex(report) }
}

pub(crate) fn status(task_state: TaskState) -> TaskStatus {
    TaskStatus {
        task_state,
        progress: 0.5,
        epoch: 1,
        loss: Some(2.5),
        start: None,
        failure: None,
        message: String::new(),
    }
}

pub(crate) fn read(head: Option<JobState>, deep: Option<(JobState, Job)>, time: u64) -> Event {
    let deep = deep.map(|(state, job)| Deep { domain: DOMAIN, state, job });
    Event::Read(Box::new(Reading { head, head_time: time, deep, deep_time: time.saturating_sub(2) }))
}

pub(crate) fn read_granted(time: u64) -> Event {
    read(Some(JobState::Granted), Some((JobState::Granted, granted())), time)
}

pub(crate) fn read_running(time: u64) -> Event {
    read(Some(JobState::Running), Some((JobState::Running, running())), time)
}

pub(crate) fn read_ended(state: JobState) -> Event {
    read(Some(state), Some((state, running())), 500)
}
