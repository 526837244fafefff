//! What can be said about a dispatch from the dispatch alone. The node that sends it is believed in
//! nothing: either a value follows from another that custodians compare with the chain, or it is
//! refused here.

use std::collections::HashSet;

use licen_attest::TeeChoice;
use licen_core::abi::Job;
use licen_core::id::{dataset_uid, policy_hash};
use licen_core::job::verifier_set;
use licen_core::policy::{LEVEL_SOFTWARE, LOCAL_CHAIN_ID, MAX_RUN_WINDOW, MAX_START_WINDOW};
use licen_core::primitives::{Address, B256};
use licen_core::unit::Unit;
use licen_core::wire::compute::{Dispatch, Verifiers};

use super::config::{Config, check_url};

/// Most attempts the contract allows.
const MAX_ATTEMPTS: u32 = 3;
/// Most members of a custodian set: a share's x coordinate is one byte.
const MAX_MEMBERS: usize = 255;

/// How far the chain's clock may be ahead of ours, seconds.
pub(super) const CLOCK_SKEW: u64 = 120;

/// Why a dispatch is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DispatchError {
    /// A value is not what another one says it must be.
    #[error("the dispatch contradicts itself: {0}")]
    Inconsistent(&'static str),
    /// This node does not do that.
    #[error("this node cannot take the job: {0}")]
    NotHere(String),
    /// Too late.
    #[error("the {0} deadline has passed")]
    TooLate(&'static str),
}

/// Where the job of a dispatch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// This attempt has not started.
    Granted,
    /// This attempt is Running with this key.
    Running {
        /// The attested signer on chain.
        signer: Address,
        /// Hash of the runtime data on chain.
        runtime_data_hash: B256,
        /// Unix seconds.
        run_deadline: u64,
    },
}

/// Checks everything that needs no document.
///
/// # Errors
/// The first rule broken.
pub fn check_dispatch(
    job_id: B256,
    attempt: u32,
    dispatch: &Dispatch,
    config: &Config,
    now: u64,
) -> Result<Stage, DispatchError> {
    let job = &dispatch.job.0;
    if job.jobId != job_id {
        return Err(DispatchError::Inconsistent("jobId is not the one in the path"));
    }
    check_policy(dispatch)?;
    check_windows(dispatch, now)?;
    check_custodians(dispatch)?;
    check_verifiers(dispatch)?;
    check_here(job, dispatch.chain_id, config)?;
    check_peers(dispatch, config)?;
    let stage = stage_of(job, attempt)?;
    check_run_deadline(dispatch, now)?;
    match stage {
        Stage::Granted if job.startDeadline <= now && job.attempt == 0 => {
            Err(DispatchError::TooLate("start"))
        }
        Stage::Granted if job.attempt > 0 && job.runDeadline <= now => Err(DispatchError::TooLate("run")),
        Stage::Running { run_deadline, .. } if run_deadline <= now => Err(DispatchError::TooLate("run")),
        Stage::Granted | Stage::Running { .. } => Ok(stage),
    }
}

fn check_peers(dispatch: &Dispatch, config: &Config) -> Result<(), DispatchError> {
    let blobs = config.blob_url.is_none().then_some(&dispatch.blob_url);
    let verifiers = dispatch.verifiers.iter().flat_map(|verifiers| &verifiers.members);
    let custodians = dispatch.custodian_urls.iter().map(|custodian| &custodian.url);
    let mut urls = custodians.chain(verifiers.map(|verifier| &verifier.url)).chain(blobs);
    urls.try_for_each(|url| config.check_peer(url)).map_err(DispatchError::NotHere)
}

fn stage_of(job: &Job, attempt: u32) -> Result<Stage, DispatchError> {
    if !(1..=MAX_ATTEMPTS).contains(&attempt) {
        return Err(DispatchError::Inconsistent("attempt is not 1, 2 or 3"));
    }
    let started = [job.runDeadline != 0, !job.signer.is_zero(), !job.runtimeDataHash.is_zero()];
    if started.iter().any(|s| *s != (job.attempt > 0)) {
        return Err(DispatchError::Inconsistent("the job is neither as granted nor as Running"));
    }
    if job.attempt == attempt {
        return Ok(Stage::Running {
            signer: job.signer,
            runtime_data_hash: job.runtimeDataHash,
            run_deadline: job.runDeadline,
        });
    }
    if job.attempt + 1 == attempt {
        return Ok(Stage::Granted);
    }
    Err(DispatchError::Inconsistent("attempt does not follow the job's"))
}

/// The contract bounds both windows and counts the first from the grant, so nothing here waits for ever.
fn check_windows(dispatch: &Dispatch, now: u64) -> Result<(), DispatchError> {
    let (policy, job) = (&dispatch.policy.0, &dispatch.job.0);
    let granted = job.startDeadline.checked_sub(u64::from(policy.startWindow));
    let checks = [
        ((1..=MAX_START_WINDOW).contains(&policy.startWindow), "startWindow"),
        ((1..=MAX_RUN_WINDOW).contains(&policy.runWindow), "runWindow"),
        (granted.is_some_and(|granted| granted <= now + CLOCK_SKEW), "startDeadline"),
    ];
    let broken = checks.into_iter().find(|(holds, _)| !holds);
    broken.map_or(Ok(()), |(_, field)| Err(DispatchError::Inconsistent(field)))
}

/// The contract adds the run window to the time of the first start, which lies between the grant and the
/// start deadline.
fn check_run_deadline(dispatch: &Dispatch, now: u64) -> Result<(), DispatchError> {
    let (policy, job) = (&dispatch.policy.0, &dispatch.job.0);
    let granted = job.startDeadline.saturating_sub(u64::from(policy.startWindow));
    let latest = job.startDeadline.min(now + CLOCK_SKEW);
    let started = job.runDeadline.checked_sub(u64::from(job.runWindow));
    if job.attempt > 0 && !started.is_some_and(|started| (granted..=latest).contains(&started)) {
        return Err(DispatchError::Inconsistent("runDeadline is no run window after a possible start"));
    }
    Ok(())
}

fn check_policy(dispatch: &Dispatch) -> Result<(), DispatchError> {
    let (policy, job) = (&dispatch.policy.0, &dispatch.job.0);
    let checks = [
        (policy_hash(policy) == job.policyHash, "policyHash"),
        (dataset_uid(dispatch.chain_id, policy.owner, policy.salt) == policy.datasetUid, "datasetUid"),
        (policy.datasetUid == job.datasetUid, "datasetUid"),
        (policy.datasetRoot == job.datasetRoot, "datasetRoot"),
        (policy.envelopeHash == job.envelopeHash, "envelopeHash"),
        (policy.owner == job.owner, "owner"),
        (policy.payee == job.payee, "payee"),
        (policy.token == job.token, "token"),
        (policy.operator == job.operator, "operator"),
        // Of every job without a license, and no other is taken.
        (job.unit == Unit::Epoch as u8, "unit"),
        (policy.royaltyPerEpoch == job.royaltyPerUnit, "royaltyPerUnit"),
        (job.units == u64::from(job.epochs), "units"),
        (policy.runWindow == job.runWindow, "runWindow"),
        (policy.custodianSet == job.custodianSet, "custodianSet"),
        (policy.setVersion == job.setVersion, "setVersion"),
        (policy.appraisalPolicy == job.appraisalPolicy, "appraisalPolicy"),
        (policy.requiredLevel == job.requiredLevel, "requiredLevel"),
        (policy.purposes.contains(&job.purposeId), "purposeId"),
        ((1..=policy.maxEpochsPerRun).contains(&job.epochs), "epochs"),
        (!job.requester.is_zero(), "requester"),
        (!job.resultKey.is_zero(), "resultKey"),
    ];
    let broken = checks.into_iter().find(|(holds, _)| !holds);
    broken.map_or(Ok(()), |(_, field)| Err(DispatchError::Inconsistent(field)))
}

fn check_custodians(dispatch: &Dispatch) -> Result<(), DispatchError> {
    let urls = &dispatch.custodian_urls;
    let ids: HashSet<Address> = urls.iter().map(|c| c.id).collect();
    if urls.is_empty() || urls.len() > MAX_MEMBERS || ids.len() != urls.len() {
        return Err(DispatchError::Inconsistent("custodianUrls"));
    }
    if dispatch.threshold == 0 || usize::from(dispatch.threshold) > urls.len() {
        return Err(DispatchError::Inconsistent("threshold"));
    }
    let verifiers = dispatch.verifiers.iter().flat_map(|set| &set.members);
    for url in urls.iter().map(|c| &c.url).chain([&dispatch.blob_url]).chain(verifiers.map(|v| &v.url)) {
        check_url(url).map_err(DispatchError::NotHere)?;
    }
    Ok(())
}

/// The contract asks for their verdicts behind those of the pinned set, so they have to be named exactly
/// where the job names a set of theirs.
fn check_verifiers(dispatch: &Dispatch) -> Result<(), DispatchError> {
    let wanted = verifier_set(&dispatch.job.0).is_some();
    let Some(Verifiers { members, threshold }) = &dispatch.verifiers else {
        return if wanted { Err(DispatchError::Inconsistent("verifiers")) } else { Ok(()) };
    };
    let ids: HashSet<Address> = members.iter().map(|member| member.id).collect();
    let indices: HashSet<u8> = members.iter().map(|member| member.index).collect();
    let distinct = ids.len() == members.len() && indices.len() == members.len();
    let enough = *threshold > 0 && usize::from(*threshold) <= members.len() && members.len() < MAX_MEMBERS;
    let named = members.iter().all(|member| usize::from(member.index) < MAX_MEMBERS);
    if wanted && distinct && enough && named { Ok(()) } else { Err(DispatchError::Inconsistent("verifiers")) }
}

fn check_here(job: &Job, chain_id: u64, config: &Config) -> Result<(), DispatchError> {
    let not_here = |reason: &str| Err(DispatchError::NotHere(reason.into()));
    serves(config, chain_id, job.requiredLevel, job.providerId).or_else(not_here)?;
    if job.providerId.is_zero() && !config.takes_unpaid_jobs() {
        return not_here("it names no provider, and this node trains for its own price only");
    }
    if !job.licenseId.is_zero() {
        return not_here(NO_LICENSES);
    }
    Ok(())
}

/// Why no job under a license is priced or taken.
pub(super) const NO_LICENSES: &str = "jobs under a license are not built yet";

/// Whether this node prices and takes jobs of a chain, at an attestation level, for a provider; zero is any.
///
/// # Errors
/// Why it does not.
pub(super) fn serves(config: &Config, chain_id: u64, level: u8, provider: B256) -> Result<(), &'static str> {
    if config.chain_id.is_some_and(|served| served != chain_id) {
        return Err("it is on another chain than the one this node serves");
    }
    let simulated = config.tee == TeeChoice::Simulated;
    if simulated && chain_id != LOCAL_CHAIN_ID {
        return Err("a simulated TEE serves the local chain id 31337 only");
    }
    if simulated && level > LEVEL_SOFTWARE {
        return Err("the owner demands hardware, this TEE is simulated");
    }
    if !provider.is_zero() && provider != config.provider_id {
        return Err("it names another provider");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use licen_core::policy::LEVEL_HARDWARE;

    use super::*;

    #[test]
    fn a_node_with_a_tee_takes_what_a_simulation_may_not() {
        let config = |tee| {
            let file = serde_json::json!({"workDir": "work", "tee": tee});
            serde_json::from_value::<Config>(file).unwrap()
        };
        let hardware = Job { requiredLevel: LEVEL_HARDWARE, ..Job::default() };
        let refused = |job: &Job, chain_id, tee| check_here(job, chain_id, &config(tee)).err();
        assert!(matches!(refused(&hardware, LOCAL_CHAIN_ID, "simulated"), Some(DispatchError::NotHere(_))));
        assert!(matches!(refused(&Job::default(), 1, "simulated"), Some(DispatchError::NotHere(_))));
        for tee in ["tdx", "snp"] {
            assert!(refused(&hardware, 1, tee).is_none());
        }
    }
}
