//! What an owner allows. `admit` predicts, rule by rule, whether `requestAccess` will revert, so that
//! a refusal names the rule before anything is signed; `sim` holds it against the contract.

use alloc::string::String;
use alloy_primitives::{Address, B256, U256};

use crate::abi::{Policy, Quote, Request};
use crate::fault::{Fault, Party};

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
    if quote.datasetUid != policy.datasetUid {
        return Err(PolicyBreach::Quote("other dataset"));
    }
    if quote.jobSpecHash != request.jobSpecHash {
        return Err(PolicyBreach::Quote("other job specification"));
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
    if policy.disputeWindow != 0 || !policy.arbitrator.is_zero() {
        return fail("disputeWindow", "and arbitrator must be 0: this deployment has no disputes");
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
    fn what_ends_now_is_over_before_the_next_block() {
        let (mut policy, mut request, mut context) = open_policy();
        request.providerId = B256::repeat_byte(5);
        let quote = |expires| Quote {
            providerId: B256::repeat_byte(5),
            datasetUid: B256::repeat_byte(1),
            expiresAt: expires,
            ..Quote::default()
        };
        context.quote = Some(quote(context.now + 1));
        policy.policyExpiry = context.now + 1;
        assert_eq!(admit(&policy, &request, &context), Ok(()));
        context.quote = Some(quote(context.now));
        assert_eq!(admit(&policy, &request, &context), Err(PolicyBreach::Quote("expired")));
        policy.policyExpiry = context.now;
        let expired = PolicyBreach::Expired { expiry: context.now, now: context.now };
        assert_eq!(admit(&policy, &request, &context), Err(expired));
    }

    #[test]
    fn every_rule_refuses_by_name() {
        type Change = fn(&mut Policy, &mut Request, &mut RequestContext);
        let cases: [(Change, PolicyBreach); 12] = [
            (|_, _, c| c.paused = true, PolicyBreach::Paused),
            (|p, _, _| p.policyExpiry = 100, PolicyBreach::Expired { expiry: 100, now: 100 }),
            (|_, r, _| r.epochs = 0, PolicyBreach::NoEpochs),
            (|_, r, _| r.epochs = 6, PolicyBreach::TooManyEpochs { asked: 6, cap: 5 }),
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
