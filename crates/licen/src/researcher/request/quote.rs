//! `--provider ID|cheapest`: a provider's signed price for exactly this job, compared with what the job will
//! say before any money moves.

use licen_core::abi::{Policy, Quote, Request, SignedQuote};
use licen_core::constraints::{Constraints, JobSpec, ProviderFacts, check};
use licen_core::policy::{RequestContext, admit};
use licen_core::primitives::{B256, Bytes, U256};
use licen_core::wire::AbiHex;
use licen_core::wire::compute::{ComputeInfo, QuoteRequest};
use serde::{Deserialize, Serialize};

use crate::cli::RequestArgs;
use crate::session::chain_view::ChainView;
use crate::session::error::{CliError, Outcome};
use crate::session::ledger::Token;
use crate::session::output::{line, short};
use crate::session::{Session, codes};

/// Least that a quote has to live on: confirming, sending and mining take their time.
const MARGIN: u64 = 60;

/// Whose price is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Any that the owner allows, at the least fee.
    Cheapest,
    /// This one.
    Provider(B256),
}

/// Reads `--provider`.
///
/// # Errors
/// Neither an id nor `cheapest`.
pub(super) fn wanted(args: &RequestArgs) -> Outcome<Option<Wanted>> {
    let Some(text) = &args.provider else { return Ok(None) };
    if text == "cheapest" {
        return Ok(Some(Wanted::Cheapest));
    }
    match text.parse::<B256>().ok().filter(|id| !id.is_zero()) {
        Some(id) => Ok(Some(Wanted::Provider(id))),
        None => Err(CliError::environment(codes::USAGE, format!("--provider {text:?} names no provider"))
            .hint("--provider cheapest, or an id that licen provider show prints")),
    }
}

/// Everything that a price depends on.
pub(super) struct Case<'a> {
    pub chain: &'a ChainView,
    pub policy: &'a Policy,
    /// Canonical JSON of the job specification, and what it says.
    pub spec: (&'a [u8], &'a JobSpec),
    pub constraints: &'a Constraints,
    /// What will be asked, but for the provider.
    pub request: &'a Request,
    /// Whose job, under which id.
    pub context: &'a RequestContext,
}

/// A price, and whose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Quoted {
    /// What the contract is shown.
    pub signed: AbiHex<SignedQuote>,
    /// Where the fee goes.
    pub payee: B256,
}

impl Quoted {
    /// The quote.
    pub fn quote(&self) -> &Quote {
        &self.signed.0.quote
    }

    /// Whether it is still about this job, and will be when it is mined.
    pub fn holds(&self, job_id: B256, now: u64) -> bool {
        self.quote().jobId == job_id && self.quote().expiresAt >= now + MARGIN
    }
}

/// The least price of a job.
///
/// # Errors
/// No provider that is wanted offers it; the causes say why, one provider a line.
pub(super) async fn best(session: &Session, wanted: Wanted, case: &Case<'_>) -> Outcome<Quoted> {
    let mut infos = session.node()?.compute_infos().await?;
    infos.retain(|info| !info.provider_id.is_zero());
    infos.sort_by_key(|info| info.provider_id);
    infos.dedup_by_key(|info| info.provider_id);
    if let Wanted::Provider(id) = wanted {
        infos.retain(|info| info.provider_id == id);
    }
    let (mut best, mut refusals): (Option<Quoted>, Vec<String>) = (None, Vec::new());
    for info in infos {
        match priced(session, info.provider_id, case).await {
            Ok(found) => {
                let fee = found.quote().computeFeePerEpoch;
                if best.as_ref().is_none_or(|known| fee < known.quote().computeFeePerEpoch) {
                    best = Some(found);
                }
            }
            Err(error) => {
                let who = short(&info.provider_id.to_string());
                refusals.push(format!("{who}: {}", line(&error.message)));
            }
        }
    }
    best.ok_or_else(|| nobody(wanted, refusals))
}

/// The second price, which must not be above the price that the requester agreed to.
///
/// # Errors
/// The second price is higher.
pub(super) fn no_dearer(agreed: &Quoted, again: Quoted) -> Outcome<Quoted> {
    if again.quote().computeFeePerEpoch <= agreed.quote().computeFeePerEpoch {
        return Ok(again);
    }
    Err(CliError::refused(codes::NO_COMPUTE, "the provider asks for more now; nothing was paid")
        .hint("run the same command again to see its price"))
}

/// Refuses a price above `--max-fee`.
///
/// # Errors
/// The price is above it, or `--max-fee` is no amount.
pub(super) fn within(args: &RequestArgs, token: &Token, quoted: &Quoted) -> Outcome {
    let Some(text) = &args.max_fee else { return Ok(()) };
    let most = token.parsed(text).ok_or_else(|| {
        CliError::environment(
            codes::USAGE,
            format!("--max-fee {text:?} is not an amount in {}", token.name()),
        )
        .hint("for example --max-fee 0.002")
    })?;
    let fee = U256::from(quoted.quote().computeFeePerEpoch);
    if fee <= most {
        return Ok(());
    }
    let message = format!("the least fee is {} per epoch, at most {text} is allowed", token.shown(fee));
    Err(CliError::refused(codes::NO_COMPUTE, message)
        .hint("licen provider show lists prices; raise --max-fee"))
}

fn nobody(wanted: Wanted, refusals: Vec<String>) -> CliError {
    let message = match (wanted, refusals.is_empty()) {
        (Wanted::Cheapest, true) => "no provider answers at this node".to_string(),
        (Wanted::Cheapest, false) => "no provider of this node offers the job".to_string(),
        (Wanted::Provider(id), true) => format!("this node sends jobs to no provider {id}"),
        (Wanted::Provider(id), false) => format!("provider {id} does not offer the job"),
    };
    let mut error = CliError::refused(codes::NO_COMPUTE, message)
        .hint("licen provider show lists what this node's providers ask for; --node URL asks another node");
    error.causes = refusals;
    error
}

/// One provider's price, if the contract will take its quote.
async fn priced(session: &Session, id: B256, case: &Case<'_>) -> Outcome<Quoted> {
    let refused = |message: String| CliError::refused(codes::NO_COMPUTE, message);
    let provider = case.chain.provider(id).await?;
    let provider = provider.ok_or_else(|| refused("it is not registered".into()))?;
    let facts = ProviderFacts::registered(id, &provider);
    check(case.constraints, case.spec.1, &facts).map_err(|breach| refused(breach.to_string()))?;
    let domain = case.chain.domain();
    let asked = QuoteRequest {
        chain_id: domain.chain_id,
        contract: domain.contract,
        provider_id: id,
        job_id: case.context.job_id,
        policy: AbiHex(case.policy.clone()),
        job_spec: Bytes::copy_from_slice(case.spec.0),
        epochs: case.request.epochs,
        license_id: case.request.licenseId,
        blob_url: String::new(),
    };
    let answer = session.node()?.quote(&asked).await?;
    let quote = answer.quote.0;
    let request = Request { providerId: id, ..case.request.clone() };
    let context = RequestContext { quote: Some(quote.clone()), ..case.context.clone() };
    admit(case.policy, &request, &context).map_err(|breach| refused(breach.to_string()))?;
    if quote.expiresAt < case.context.now + MARGIN {
        return Err(refused(format!("its quote lives for less than {MARGIN} s")));
    }
    if !case.chain.is_signed_by(provider.signer, domain.digest(&quote), &answer.signature).await? {
        return Err(refused("its quote is not signed by the address that it registered".into()));
    }
    let signed = AbiHex(SignedQuote { quote, signature: answer.signature });
    Ok(Quoted { signed, payee: provider.payee })
}

/// Whether some compute of the node may train a job that names no provider.
///
/// # Errors
/// Every compute that answers refuses it: the owner's constraints, or its own price.
pub(super) async fn without_fee(infos: &[ComputeInfo], case: &Case<'_>) -> Result<(), Unpaid> {
    let mut breach = None;
    for info in infos.iter().filter(|info| info.unpaid_jobs) {
        let registered = match info.provider_id.is_zero() {
            true => None,
            false => case.chain.provider(info.provider_id).await.map_err(Unpaid::Failed)?,
        };
        let facts = registered.map_or_else(ProviderFacts::default, |provider| {
            ProviderFacts::registered(info.provider_id, &provider)
        });
        match check(case.constraints, case.spec.1, &facts) {
            Ok(()) => return Ok(()),
            Err(found) => breach = Some(found),
        }
    }
    // Where none answers, the owner's word on base model and settings still counts.
    match breach {
        Some(breach) => Err(Unpaid::Constraints(breach)),
        None if infos.is_empty() => {
            let open = Constraints { providers: vec![], jurisdictions: vec![], ..case.constraints.clone() };
            check(&open, case.spec.1, &ProviderFacts::default()).map_err(Unpaid::Constraints)
        }
        None => Err(Unpaid::PricedOnly),
    }
}

/// Why nobody would train a job without a fee.
pub(super) enum Unpaid {
    /// The owner forbids it.
    Constraints(licen_core::constraints::ConstraintBreach),
    /// All of them train for their own price only.
    PricedOnly,
    /// The chain did not say.
    Failed(CliError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_is_for_one_job_and_lives_until_it_is_mined() {
        let (job, now) = (B256::repeat_byte(1), 1_000);
        let quote = Quote { jobId: job, expiresAt: now + MARGIN, ..Quote::default() };
        let signed = AbiHex(SignedQuote { quote, signature: Bytes::new() });
        let quoted = Quoted { signed, payee: B256::ZERO };
        assert!(quoted.holds(job, now));
        assert!(!quoted.holds(job, now + 1), "it would expire on the way");
        assert!(!quoted.holds(B256::repeat_byte(2), now), "the counter moved");
    }

    #[test]
    fn a_second_price_is_never_dearer_than_the_one_agreed_to() {
        let at = |fee| {
            let quote = Quote { computeFeePerEpoch: fee, ..Quote::default() };
            Quoted { signed: AbiHex(SignedQuote { quote, signature: Bytes::new() }), payee: B256::ZERO }
        };
        for (again, fits) in [(6, true), (7, true), (8, false)] {
            assert_eq!(no_dearer(&at(7), at(again)).is_ok(), fits, "{again}");
        }
    }

    #[test]
    fn who_refuses_and_why_is_said_for_each() {
        let error = nobody(Wanted::Cheapest, vec!["0x51ab…: too dear".into()]);
        assert_eq!(error.message, "no provider of this node offers the job");
        assert_eq!(error.causes, ["0x51ab…: too dear"]);
        let id = B256::repeat_byte(5);
        assert!(nobody(Wanted::Provider(id), vec![]).message.contains(&id.to_string()));
    }
}
