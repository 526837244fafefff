//! The life of a job: `Granted -> Running -> Completed | Failed | Expired | Cancelled`.

use alloy_primitives::{Address, B256};

use crate::abi::{Job, Policy, Request};
use crate::eip712::Domain;
use crate::id::{job_id, policy_hash};
use crate::unit::Unit;

/// Where a job stands; the value is `JobState` of `Types.sol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum JobState {
    /// Paid for, not started.
    Granted = 1,
    /// Compute is attested and may get the key.
    Running = 2,
    /// Trained, settled.
    Completed = 3,
    /// Failed by report, silence or the owner's withdrawal; refunded.
    Failed = 4,
    /// A deadline passed; refunded.
    Expired = 5,
    /// The requester took it back before it started; refunded.
    Cancelled = 6,
}

impl JobState {
    /// From the contract's number; `None` for 0 (no such job) and unknown numbers.
    #[must_use]
    pub fn from_chain(value: u8) -> Option<Self> {
        Some(match value {
            1 => Self::Granted,
            2 => Self::Running,
            3 => Self::Completed,
            4 => Self::Failed,
            5 => Self::Expired,
            6 => Self::Cancelled,
            _ => return None,
        })
    }

    /// From its name; `None` for any other text.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        (1..=6).filter_map(Self::from_chain).find(|state| state.name() == name)
    }

    /// Whether nothing can change any more.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Granted | Self::Running => false,
            Self::Completed | Self::Failed | Self::Expired | Self::Cancelled => true,
        }
    }

    /// The name people and GraphQL see.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Granted => "Granted",
            Self::Running => "Running",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
            Self::Expired => "Expired",
            Self::Cancelled => "Cancelled",
        }
    }
}

/// Why a job failed; the value is `Reason` of `Types.sol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// Custodians released too few shares.
    KeyReleaseFailed = 1,
    /// The ciphertext does not open under the released key.
    DatasetDecryptFailed = 2,
    /// A blob could not be fetched or does not hash to its root.
    StorageDownloadFailed = 3,
    /// Compute could not begin.
    ComputeDispatchFailed = 4,
    /// Training failed.
    ComputeTaskFailed = 5,
    /// The plaintext is not what the owner committed to.
    DatasetMismatch = 6,
    /// The owner or operator withdrew a Granted job.
    OwnerWithdrew = 7,
    /// The job specification cannot be carried out.
    JobSpecInvalid = 8,
}

impl Reason {
    /// Every reason, in the order of `Types.sol`.
    pub const ALL: [Self; 8] = [
        Self::KeyReleaseFailed,
        Self::DatasetDecryptFailed,
        Self::StorageDownloadFailed,
        Self::ComputeDispatchFailed,
        Self::ComputeTaskFailed,
        Self::DatasetMismatch,
        Self::OwnerWithdrew,
        Self::JobSpecInvalid,
    ];

    /// From the contract's number.
    #[must_use]
    pub fn from_chain(value: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|r| *r as u8 == value)
    }

    /// The name of docs/protocol.md §4.7.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::KeyReleaseFailed => "KEY_RELEASE_FAILED",
            Self::DatasetDecryptFailed => "DATASET_DECRYPT_FAILED",
            Self::StorageDownloadFailed => "STORAGE_DOWNLOAD_FAILED",
            Self::ComputeDispatchFailed => "COMPUTE_DISPATCH_FAILED",
            Self::ComputeTaskFailed => "COMPUTE_TASK_FAILED",
            Self::DatasetMismatch => "DATASET_MISMATCH",
            Self::OwnerWithdrew => "OWNER_WITHDREW",
            Self::JobSpecInvalid => "JOB_SPEC_INVALID",
        }
    }
}

/// Most starts of one job; the contract's constant.
pub const MAX_ATTEMPTS: u32 = 3;

/// Shortest time without a word after which compute may be called silent, seconds.
pub const SILENCE_SECONDS: u64 = 600;

/// How many of n members have to agree that an attempt is dead: so many that the others are too few to
/// hold a finished result, and no fewer than hold a key.
#[must_use]
pub fn silence_quorum(t: usize, n: usize) -> usize {
    t.max((n + 1).saturating_sub(t))
}

/// Seconds without a word after which a run of this window may be called silent. `floor` is
/// [`SILENCE_SECONDS`] wherever somebody's money is at stake.
#[must_use]
pub fn silence_after(floor: u64, run_window: u32) -> u64 {
    floor.max(u64::from(run_window) / 20)
}

/// The set that the requester named beside the owner's, with its version; `None` where there is none or
/// it is the same one.
#[must_use]
pub fn verifier_set(job: &Job) -> Option<(B256, u32)> {
    let named = (job.verifierSet, job.verifierSetVersion);
    (!job.verifierSet.is_zero() && named != (job.custodianSet, job.setVersion)).then_some(named)
}

/// When the first attempt of a started job began, chain time: no restart moves its deadline.
#[must_use]
pub fn first_started_at(job: &Job) -> u64 {
    job.runDeadline.saturating_sub(u64::from(job.runWindow))
}

/// What the contract adds to a request when it grants it.
#[derive(Debug, Clone, Default)]
pub struct Grant {
    /// Who asked.
    pub requester: Address,
    /// The requester's counter at this dataset, after this request.
    pub counter: u64,
    /// Block time, seconds.
    pub now: u64,
    /// The contract's protocol fee.
    pub protocol_fee_bps: u16,
    /// From the quote; 0 without one.
    pub compute_fee_per_epoch: u128,
    /// The provider's payee from `Custody`; zero without a quote.
    pub compute_payee: B256,
}

/// The job that `requestAccess` opens; what it emits in `JobOpened`.
#[must_use]
pub fn granted(domain: &Domain, policy: &Policy, request: &Request, grant: &Grant) -> Job {
    Job {
        jobId: job_id(domain, policy.datasetUid, grant.requester, grant.counter),
        policyHash: policy_hash(policy),
        requester: grant.requester,
        datasetUid: policy.datasetUid,
        datasetRoot: policy.datasetRoot,
        envelopeHash: policy.envelopeHash,
        token: policy.token,
        payee: policy.payee,
        operator: policy.operator,
        owner: policy.owner,
        royaltyPerUnit: policy.royaltyPerEpoch,
        unit: Unit::Epoch as u8,
        units: request.units,
        epochs: request.epochs,
        computeFeePerEpoch: grant.compute_fee_per_epoch,
        providerId: request.providerId,
        computePayee: grant.compute_payee,
        protocolFeeBps: grant.protocol_fee_bps,
        jobSpecHash: request.jobSpecHash,
        resultKey: request.resultKey,
        purposeId: request.purposeId,
        licenseId: request.licenseId,
        custodianSet: policy.custodianSet,
        setVersion: policy.setVersion,
        verifierSet: request.verifierSet,
        verifierSetVersion: request.verifierSetVersion,
        appraisalPolicy: policy.appraisalPolicy,
        requiredLevel: policy.requiredLevel,
        runWindow: policy.runWindow,
        startDeadline: grant.now + u64::from(policy.startWindow),
        ..Job::default()
    }
}

/// The job after `JobStarted`: the four fields that starting or restarting sets.
#[must_use]
pub fn started(job: &Job, attempt: u32, signer: Address, runtime_data_hash: B256, run_deadline: u64) -> Job {
    Job { attempt, signer, runtimeDataHash: runtime_data_hash, runDeadline: run_deadline, ..job.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_those_of_the_contract() {
        for value in 1..=6u8 {
            assert_eq!(JobState::from_chain(value).unwrap() as u8, value);
        }
        assert_eq!(JobState::from_chain(0), None);
        assert_eq!(JobState::from_chain(7), None);
        for reason in Reason::ALL {
            assert_eq!(Reason::from_chain(reason as u8), Some(reason));
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.name());
        }
        assert_eq!(Reason::from_chain(0), None);
    }

    #[test]
    fn who_can_say_silence_leaves_too_few_to_hold_a_result() {
        for n in 1..=16usize {
            for t in 1..=n {
                let q = silence_quorum(t, n);
                assert!(q <= n && q >= t && n - q < t, "t {t} n {n} q {q}");
            }
        }
        assert_eq!((silence_after(SILENCE_SECONDS, 3_600), silence_after(600, 86_400)), (600, 4_320));
    }

    #[test]
    fn a_started_job_remembers_how_it_was_granted() {
        let domain = Domain { chain_id: 31_337, contract: Address::repeat_byte(1) };
        let grant = Grant { requester: Address::repeat_byte(2), counter: 1, now: 5, ..Grant::default() };
        let job = granted(&domain, &Policy::default(), &Request::default(), &grant);
        let running = started(&job, 1, Address::repeat_byte(3), B256::repeat_byte(4), 99);
        assert_ne!(crate::id::job_commitment(&job), crate::id::job_commitment(&running));
        assert_eq!(crate::id::as_granted(&running), job);
    }
}
