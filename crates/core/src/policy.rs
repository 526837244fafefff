//! What an owner allows. `admit` predicts, rule by rule, whether `requestAccess` will revert, so that
//! a refusal names the rule before anything is signed; `sim` holds it against the contract.

use alloc::string::String;
use alloy_primitives::{Address, B256, U256};

use crate::abi::{Policy, Quote, Request};
use crate::fault::{Fault, Party};
use crate::id::policy_hash;

/// Attestation by a simulated TEE; accepted on [`LOCAL_CHAIN_ID`] only.
pub const LEVEL_SOFTWARE: u8 = 1;
/// Attestation by real hardware.
pub const LEVEL_HARDWARE: u8 = 2;
/// The only chain id on which level SOFTWARE exists.
pub const LOCAL_CHAIN_ID: u64 = 31_337;
/// Longest startWindow the contract takes, seconds.
pub const MAX_START_WINDOW: u32 = 7 * 24 * 3_600;
/// Longest runWindow the contract takes, seconds.
pub const MAX_RUN_WINDOW: u32 = 30 * 24 * 3_600;
/// Most purposes of one policy, as in `DataPolicy`.
pub const MAX_PURPOSES: usize = 64;
/// startWindow where the owner names none, seconds.
pub const DEFAULT_START_WINDOW: u32 = 30 * 60;
/// runWindow where the owner names none, seconds.
pub const DEFAULT_RUN_WINDOW: u32 = 6 * 3_600;

/// What the chain knows beside the policy when a request arrives.
#[derive(Debug, Clone, Default)]
pub struct RequestContext {
    /// Time of the newest block, seconds. The request comes into a later one, so what ends now is over.
    pub now: u64,
    /// Whether the owner paused the dataset.
    pub paused: bool,
    /// Runs of this requester that count against the cap.
    pub runs: u32,
    /// The requester.
    pub requester: Address,
    /// Whether the requester is on the allow-list or holds a live approval (always true where open).
    pub admitted: bool,
    /// The id that the request will get.
    pub job_id: B256,
    /// A provider's quote, already checked for its signature.
    pub quote: Option<Quote>,
}

/// The rule a request breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyBreach {
    /// The owner paused the dataset.
    #[error("the owner has paused this dataset")]
    Paused,
    /// The policy has ended.
    #[error("the policy expired at {expiry} (chain time {now})")]
    Expired {
        /// Unix seconds.
        expiry: u64,
        /// Unix seconds.
        now: u64,
    },
    /// No epochs asked.
    #[error("0 epochs asked, at least 1 is needed")]
    NoEpochs,
    /// More than one run may take.
    #[error("{asked} epochs asked, at most {cap} per run")]
    TooManyEpochs {
        /// What was asked.
        asked: u32,
        /// The owner's cap.
        cap: u32,
    },
    /// Without a license the unit is the epoch.
    #[error("{units} units asked for {epochs} epochs, without a license they are the same")]
    Units {
        /// What was asked.
        units: u64,
        /// What was asked.
        epochs: u32,
    },
    /// No runs left.
    #[error("{runs} runs used, at most {cap} per requester")]
    TooManyRuns {
        /// Runs that count.
        runs: u32,
        /// The owner's cap.
        cap: u32,
    },
    /// The purpose is not allowed.
    #[error("purpose {purpose} is not among those the owner allows")]
    Purpose {
        /// keccak256 of the purpose's name.
        purpose: B256,
    },
    /// Assent to other terms than the policy's.
    #[error("the request agrees to terms {asked}, the policy's are {terms}")]
    Terms {
        /// What the request names.
        asked: B256,
        /// What the policy names.
        terms: B256,
    },
    /// Not on the allow-list.
    #[error("requester {requester} is not admitted by the owner")]
    NotAdmitted {
        /// Who asked.
        requester: Address,
    },
    /// No result could be delivered.
    #[error("the result key is zero")]
    NoResultKey,
    /// Licenses are not part of this deployment.
    #[error("license {license} named, but this deployment has no licenses")]
    License {
        /// What the request names.
        license: U256,
    },
    /// The quote is about something else.
    #[error("the quote does not match the request: {0}")]
    Quote(&'static str),
    /// A provider is named without its quote, or the other way round.
    #[error("a named provider needs its signed quote")]
    QuoteMissing,
}

impl Fault for PolicyBreach {
    fn fault(&self) -> Party {
        match self {
            Self::Paused | Self::Expired { .. } => Party::Owner,
            Self::NoEpochs
            | Self::TooManyEpochs { .. }
            | Self::Units { .. }
            | Self::TooManyRuns { .. }
            | Self::Purpose { .. }
            | Self::Terms { .. }
            | Self::NotAdmitted { .. }
            | Self::NoResultKey
            | Self::License { .. }
            | Self::Quote(_)
            | Self::QuoteMissing => Party::Requester,
        }
    }
    fn retryable(&self) -> bool {
        matches!(self, Self::Paused)
    }
}

/// Whether `requestAccess` takes this request now.
///
/// # Errors
/// The first rule it breaks.
pub fn admit(policy: &Policy, request: &Request, context: &RequestContext) -> Result<(), PolicyBreach> {
    if context.paused {
        return Err(PolicyBreach::Paused);
    }
    if policy.policyExpiry != 0 && context.now >= policy.policyExpiry {
        return Err(PolicyBreach::Expired { expiry: policy.policyExpiry, now: context.now });
    }
    if request.epochs == 0 {
        return Err(PolicyBreach::NoEpochs);
    }
    if request.epochs > policy.maxEpochsPerRun {
        return Err(PolicyBreach::TooManyEpochs { asked: request.epochs, cap: policy.maxEpochsPerRun });
    }
    if request.units != u64::from(request.epochs) {
        return Err(PolicyBreach::Units { units: request.units, epochs: request.epochs });
    }
    if context.runs >= policy.maxRunsPerRequester {
        return Err(PolicyBreach::TooManyRuns { runs: context.runs, cap: policy.maxRunsPerRequester });
    }
    if !policy.purposes.contains(&request.purposeId) {
        return Err(PolicyBreach::Purpose { purpose: request.purposeId });
    }
    if request.termsHash != policy.termsHash {
        return Err(PolicyBreach::Terms { asked: request.termsHash, terms: policy.termsHash });
    }
    if !policy.requestersRoot.is_zero() && !context.admitted {
        return Err(PolicyBreach::NotAdmitted { requester: context.requester });
    }
    if request.resultKey.is_zero() {
        return Err(PolicyBreach::NoResultKey);
    }
    if !request.licenseId.is_zero() {
        return Err(PolicyBreach::License { license: request.licenseId });
    }
    check_quote(policy, request, context)
}

fn check_quote(policy: &Policy, request: &Request, context: &RequestContext) -> Result<(), PolicyBreach> {
    let Some(quote) = &context.quote else {
        return if request.providerId.is_zero() { Ok(()) } else { Err(PolicyBreach::QuoteMissing) };
    };
    if request.providerId.is_zero() || quote.providerId != request.providerId {
        return Err(PolicyBreach::Quote("other provider"));
    }
    if quote.jobId != context.job_id {
        return Err(PolicyBreach::Quote("other job"));
    }
    if quote.policyHash != policy_hash(policy) {
        return Err(PolicyBreach::Quote("other policy"));
    }
    if quote.token != policy.token {
        return Err(PolicyBreach::Quote("other token"));
    }
    if quote.jobSpecHash != request.jobSpecHash {
        return Err(PolicyBreach::Quote("other job specification"));
    }
    if quote.epochs != request.epochs {
        return Err(PolicyBreach::Quote("other number of epochs"));
    }
    if quote.licenseId != request.licenseId {
        return Err(PolicyBreach::Quote("other license"));
    }
    if context.now >= quote.expiresAt {
        return Err(PolicyBreach::Quote("expired"));
    }
    Ok(())
}

/// Why a policy cannot be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("policy field {field}: {reason}")]
pub struct PolicyInvalid {
    /// The field's name in `Types.sol`.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

/// Checks everything `registerDataset` checks but the signature and the dataset's novelty.
///
/// # Errors
/// The first field that is out of bounds.
pub fn validate(policy: &Policy, chain_id: u64, now: u64) -> Result<(), PolicyInvalid> {
    let fail = |field, reason: &str| Err(PolicyInvalid { field, reason: reason.into() });
    if policy.datasetRoot.is_zero() {
        return fail("datasetRoot", "is zero");
    }
    if policy.owner.is_zero() {
        return fail("owner", "is zero");
    }
    if policy.payee.is_zero() {
        return fail("payee", "is zero: nobody would be paid");
    }
    if policy.maxEpochsPerRun == 0 || policy.maxRunsPerRequester == 0 {
        return fail("maxEpochsPerRun", "and maxRunsPerRequester must be at least 1");
    }
    if policy.startWindow == 0 || policy.startWindow > MAX_START_WINDOW {
        return fail("startWindow", "must be 1 second to 7 days");
    }
    if policy.runWindow == 0 || policy.runWindow > MAX_RUN_WINDOW {
        return fail("runWindow", "must be 1 second to 30 days");
    }
    if policy.policyExpiry != 0 && policy.policyExpiry <= now {
        return fail("policyExpiry", "is in the past");
    }
    if policy.purposes.is_empty() {
        return fail("purposes", "is empty: no request could pass");
    }
    if policy.purposes.len() > MAX_PURPOSES {
        return fail("purposes", "are more than 64");
    }
    match policy.requiredLevel {
        LEVEL_HARDWARE => {}
        LEVEL_SOFTWARE if chain_id == LOCAL_CHAIN_ID => {}
        LEVEL_SOFTWARE => return fail("requiredLevel", "SOFTWARE exists on the local chain id 31337 only"),
        _ => return fail("requiredLevel", "must be 1 (SOFTWARE) or 2 (HARDWARE)"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn open_policy() -> (Policy, Request, RequestContext) {
        let policy = Policy {
            datasetUid: B256::repeat_byte(1),
            maxEpochsPerRun: 5,
            maxRunsPerRequester: 2,
            purposes: vec![B256::repeat_byte(9)],
            termsHash: B256::repeat_byte(3),
            ..Policy::default()
        };
        let request = Request {
            purposeId: B256::repeat_byte(9),
            epochs: 3,
            units: 3,
            termsHash: B256::repeat_byte(3),
            resultKey: B256::repeat_byte(4),
            ..Request::default()
        };
        (policy, request, RequestContext { now: 100, ..RequestContext::default() })
    }

    #[test]
    fn a_request_inside_the_policy_passes() {
        let (policy, request, context) = open_policy();
        assert_eq!(admit(&policy, &request, &context), Ok(()));
    }

    #[test]
    fn a_quote_is_for_exactly_one_job() {
        let (policy, mut request, mut context) = open_policy();
        request.providerId = B256::repeat_byte(5);
        context.job_id = B256::repeat_byte(6);
        let quote = Quote {
            providerId: request.providerId,
            jobId: context.job_id,
            policyHash: policy_hash(&policy),
            epochs: request.epochs,
            expiresAt: context.now + 1,
            ..Quote::default()
        };
        let mut admit = |change: fn(&mut Quote)| {
            let mut changed = quote.clone();
            change(&mut changed);
            context.quote = Some(changed);
            super::admit(&policy, &request, &context)
        };
        assert_eq!(admit(|_| ()), Ok(()));
        type Change = fn(&mut Quote);
        let changes: [(Change, &str); 7] = [
            (|q| q.providerId = B256::ZERO, "other provider"),
            (|q| q.jobId = B256::ZERO, "other job"),
            (|q| q.policyHash = B256::ZERO, "other policy"),
            (|q| q.token = Address::repeat_byte(1), "other token"),
            (|q| q.jobSpecHash = B256::repeat_byte(1), "other job specification"),
            (|q| q.epochs += 1, "other number of epochs"),
            (|q| q.licenseId = U256::ONE, "other license"),
        ];
        for (change, reason) in changes {
            assert_eq!(admit(change), Err(PolicyBreach::Quote(reason)));
        }
    }

    #[test]
    fn what_ends_now_is_over_before_the_next_block() {
        let (mut policy, mut request, mut context) = open_policy();
        request.providerId = B256::repeat_byte(5);
        let quote = |policy: &Policy, expires| Quote {
            providerId: B256::repeat_byte(5),
            policyHash: policy_hash(policy),
            epochs: 3,
            expiresAt: expires,
            ..Quote::default()
        };
        policy.policyExpiry = context.now + 1;
        context.quote = Some(quote(&policy, context.now + 1));
        assert_eq!(admit(&policy, &request, &context), Ok(()));
        context.quote = Some(quote(&policy, context.now));
        assert_eq!(admit(&policy, &request, &context), Err(PolicyBreach::Quote("expired")));
        policy.policyExpiry = context.now;
        let expired = PolicyBreach::Expired { expiry: context.now, now: context.now };
        assert_eq!(admit(&policy, &request, &context), Err(expired));
    }

    #[test]
    fn every_rule_refuses_by_name() {
        type Change = fn(&mut Policy, &mut Request, &mut RequestContext);
        let cases: [(Change, PolicyBreach); 13] = [
            (|_, _, c| c.paused = true, PolicyBreach::Paused),
            (|p, _, _| p.policyExpiry = 100, PolicyBreach::Expired { expiry: 100, now: 100 }),
            (|_, r, _| r.epochs = 0, PolicyBreach::NoEpochs),
            (|_, r, _| r.epochs = 6, PolicyBreach::TooManyEpochs { asked: 6, cap: 5 }),
            (|_, r, _| r.units = 4, PolicyBreach::Units { units: 4, epochs: 3 }),
            (|_, _, c| c.runs = 2, PolicyBreach::TooManyRuns { runs: 2, cap: 2 }),
            (|_, r, _| r.purposeId = B256::ZERO, PolicyBreach::Purpose { purpose: B256::ZERO }),
            (
                |_, r, _| r.termsHash = B256::ZERO,
                PolicyBreach::Terms { asked: B256::ZERO, terms: B256::repeat_byte(3) },
            ),
            (
                |p, _, _| p.requestersRoot = B256::repeat_byte(8),
                PolicyBreach::NotAdmitted { requester: Address::ZERO },
            ),
            (|_, r, _| r.resultKey = B256::ZERO, PolicyBreach::NoResultKey),
            (|_, r, _| r.licenseId = U256::ONE, PolicyBreach::License { license: U256::ONE }),
            (|_, r, _| r.providerId = B256::repeat_byte(5), PolicyBreach::QuoteMissing),
            (|_, _, c| c.quote = Some(Quote::default()), PolicyBreach::Quote("other provider")),
        ];
        for (change, breach) in cases {
            let (mut policy, mut request, mut context) = open_policy();
            change(&mut policy, &mut request, &mut context);
            assert_eq!(admit(&policy, &request, &context), Err(breach));
        }
    }
}
