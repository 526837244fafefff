//! What `core::policy::admit` predicts and what the contract does, request by request: a researcher is
//! told beforehand exactly what would be refused. Nothing is sent; the calls are tried on the newest
//! block, at times around the policy's and the quote's end.

use licen_core::abi::{Admission, DataPolicy, Policy, Quote, Request, SignedQuote};
use licen_core::id::policy_hash;
use licen_core::policy::{RequestContext, admit};
use licen_core::primitives::{Address, B256, U256};
use licen_core::sol_types::SolCall;

use crate::error::SimError;
use crate::keys::recipient_key;
use crate::requester;
use crate::world::World;

/// How long a quote here counts, seconds.
const QUOTE_SECONDS: u64 = 50;

/// A change that may break one rule.
type Change = fn(&mut Request, Option<&mut Quote>);

const CHANGES: [(&str, Change); 15] = [
    ("as it should be", |_, _| ()),
    ("no epochs", |r, q| epochs(r, q, 0)),
    ("as many epochs as allowed", |r, q| epochs(r, q, 6)),
    ("too many epochs", |r, q| epochs(r, q, 7)),
    ("more units than epochs", |r, _| r.units += 1),
    ("another purpose", |r, _| r.purposeId = B256::repeat_byte(9)),
    ("other terms", |r, _| r.termsHash = B256::repeat_byte(9)),
    ("a license", |r, _| r.licenseId = U256::ONE),
    ("no provider", |r, _| r.providerId = B256::ZERO),
    ("a quote of another provider", |_, q| {
        if let Some(quote) = q {
            quote.providerId = B256::repeat_byte(9);
        }
    }),
    ("a quote for another specification", |_, q| {
        if let Some(quote) = q {
            quote.jobSpecHash = B256::repeat_byte(9);
        }
    }),
    ("a quote for another job", |_, q| {
        if let Some(quote) = q {
            quote.jobId = B256::repeat_byte(9);
        }
    }),
    ("a quote under another policy", |_, q| {
        if let Some(quote) = q {
            quote.policyHash = B256::repeat_byte(9);
        }
    }),
    ("a quote in another token", |_, q| {
        if let Some(quote) = q {
            quote.token = Address::repeat_byte(9);
        }
    }),
    ("a quote for more epochs", |_, q| {
        if let Some(quote) = q {
            quote.epochs += 1;
        }
    }),
];

fn epochs(request: &mut Request, quote: Option<&mut Quote>, epochs: u32) {
    (request.epochs, request.units) = (epochs, u64::from(epochs));
    if let Some(quote) = quote {
        quote.epochs = epochs;
    }
}

impl World {
    /// Tries every change with and without a quote, at every time that matters.
    pub(crate) fn trial(&mut self, index: usize) -> Result<(), SimError> {
        let Some(policy) = self.published.as_ref().map(|p| p.policy.clone()) else { return Ok(()) };
        let now = self.chain.head().time;
        let mut times = vec![now + 1, now + QUOTE_SECONDS, now + QUOTE_SECONDS + 1];
        if policy.policyExpiry != 0 {
            times.extend([policy.policyExpiry - 1, policy.policyExpiry, policy.policyExpiry + 1]);
        }
        for time in times.into_iter().filter(|time| *time > now) {
            for (what, change) in CHANGES {
                for quoted in [false, true] {
                    let quote = Quote { expiresAt: now + QUOTE_SECONDS, ..Quote::default() };
                    self.try_request(index, &policy, (what, change), time, quoted.then_some(quote))?;
                }
            }
        }
        Ok(())
    }

    fn try_request(
        &self,
        index: usize,
        policy: &Policy,
        (what, change): (&str, Change),
        time: u64,
        mut quote: Option<Quote>,
    ) -> Result<(), SimError> {
        let from = self.requesters[index].address;
        let provider = self.registry.provider;
        let mut request = Request {
            purposeId: policy.purposes[0],
            epochs: 1,
            units: 1,
            termsHash: policy.termsHash,
            jobSpecHash: B256::repeat_byte(5),
            resultKey: recipient_key(self.scenario.seed, &requester::name(index))?.public().0,
            ..Request::default()
        };
        if let Some(quote) = &mut quote {
            request.providerId = provider;
            (quote.providerId, quote.jobId) = (provider, self.next_job(policy, from)?);
            (quote.policyHash, quote.token, quote.epochs) = (policy_hash(policy), policy.token, 1);
            (quote.jobSpecHash, quote.computeFeePerEpoch) = (request.jobSpecHash, 11);
        }
        change(&mut request, quote.as_mut());
        let head = self.chain.head();
        let used = DataPolicy::runsOfCall { datasetUid: policy.datasetUid, requester: from };
        let context = RequestContext {
            // What is asked now comes into a block that is at least a second later.
            now: time - 1,
            runs: self.chain.view(head, self.chain.contracts.data_policy, &used)?.runs,
            requester: from,
            job_id: self.next_job(policy, from)?,
            admitted: true,
            quote: quote.clone(),
            ..RequestContext::default()
        };
        let predicted = admit(policy, &request, &context);
        let fee = quote.as_ref().map_or(0, |quote| quote.computeFeePerEpoch);
        let price = (U256::from(policy.royaltyPerEpoch) + U256::from(fee)) * U256::from(request.epochs);
        let policy = policy.clone();
        let call = match quote {
            None => DataPolicy::requestAccess_0Call { policy, request }.abi_encode(),
            Some(quote) => {
                let signature = self.sign("provider", &quote)?;
                let (quote, admission) = (SignedQuote { quote, signature }, Admission::default());
                DataPolicy::requestAccess_1Call { policy, request, quote, admission }.abi_encode()
            }
        };
        let done = self.chain.attempt(from, price, call, time)?;
        match (&predicted, &done) {
            (Ok(()), Ok(())) | (Err(_), Err(_)) => Ok(()),
            (Ok(()), Err(_)) | (Err(_), Ok(())) => {
                let done = done.map_err(|revert| revert.name);
                SimError::violation(format!(
                    "a request, {what}: predicted {predicted:?}, the contract {done:?}"
                ))
            }
        }
    }
}
