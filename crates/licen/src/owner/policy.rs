//! `licen policy update | pause | resume | register`; `reseal` has a file of its own.

use licen_core::abi::{DataPolicy, Policy};
use licen_core::policy::validate;
use licen_core::primitives::{Address, B256, U256};
use serde_json::json;

use crate::cli::{DatasetArg, PolicyCommand, PolicyUpdateArgs};
use crate::owner::allow_list::allow_list;
use crate::owner::next_policy::replace;
use crate::owner::owned::{must_own, owned};
use crate::owner::pause::set_paused;
use crate::owner::payees::payees;
use crate::owner::price::{priced_in, royalty};
use crate::owner::publish::{announce_payees, register_label};
use crate::owner::reseal::reseal;
use crate::session::error::{CliError, Outcome};
use crate::session::output::short;
use crate::session::{Session, codes};

/// Runs one of them.
///
/// # Errors
/// Not the owner, no such dataset, or a policy the contract would refuse.
pub async fn run(session: &Session, command: &PolicyCommand) -> Outcome {
    match command {
        PolicyCommand::Update(args) => update(session, args).await,
        PolicyCommand::Pause(args) => pause(session, args, true).await,
        PolicyCommand::Resume(args) => pause(session, args, false).await,
        PolicyCommand::Reseal(args) => reseal(session, args).await,
        PolicyCommand::Register(args) => register(session, args).await,
    }
}

async fn update(session: &Session, args: &PolicyUpdateArgs) -> Outcome {
    let dataset = owned(session, &args.dataset).await?;
    let chain = session.chain_at(dataset.contract).await?;
    let old = dataset.policy.clone();
    if args.royalty.is_none()
        && args.max_epochs.is_none()
        && args.max_runs.is_none()
        && args.expires.is_none()
        && args.payee.payees.is_empty()
        && args.access.allow.is_none()
        && !args.access.by_approval
        && !args.open
    {
        return Err(CliError::environment(codes::USAGE, "nothing to change").hint(
            "give --royalty, --max-epochs, --max-runs, --expires, --payee, --allow, --by-approval or --open",
        ));
    }
    // An index that is behind would make a next version that the contract has already.
    chain.dataset(&old).await?;
    let mut next = Policy { version: old.version + 1, ..old.clone() };
    if let Some(text) = &args.royalty {
        let token = match &args.token {
            Some(token) => priced_in(session, Some(token)).await?,
            None => session.token(old.token).await?,
        };
        (next.token, next.royaltyPerEpoch) = (token.address, royalty(text, &token)?);
    }
    next.maxEpochsPerRun = args.max_epochs.unwrap_or(next.maxEpochsPerRun);
    next.maxRunsPerRequester = args.max_runs.unwrap_or(next.maxRunsPerRequester);
    next.policyExpiry = args.expires.unwrap_or(next.policyExpiry);
    let paid = payees(Some(session), &args.payee).await?;
    next.payee = paid.as_ref().map_or(next.payee, |paid| paid.account);
    let splits = paid.map(|paid| paid.splits).unwrap_or_default();
    let list = admitted(session, args, &mut next).await?;
    let next = replace(session, &dataset, next, &splits, list).await?;
    announce_payees(session, dataset.contract, &next, &splits).await;
    session.ui.record(&json!({"datasetUid": next.datasetUid, "version": next.version}));
    Ok(())
}

/// Changes whom `next` admits as the flags say; gives the root of a list that is new, stored.
async fn admitted(session: &Session, args: &PolicyUpdateArgs, next: &mut Policy) -> Outcome<Option<B256>> {
    if args.open {
        next.requestersRoot = B256::ZERO;
        session.ui.progress("Everybody may request it");
    }
    let Some(list) = allow_list(&session.ui, &args.access)? else { return Ok(None) };
    if !next.requestersRoot.is_zero() {
        session.ui.progress("Every approval that was given before ends with this");
    }
    next.requestersRoot = list.root();
    session.put_json(&list).await.map(Some)
}

/// Registers a dataset of the wallet's own at one more `DataPolicy`, under its present terms. Ciphertext and
/// envelope stay what they are.
async fn register(session: &Session, args: &DatasetArg) -> Outcome {
    let target = session.chain().await?;
    let there = target.contract();
    let wallet = session.wallet()?.address();
    let known = &session.deployment().await?.contracts.data_policies;
    let others: Vec<Address> = known.iter().copied().filter(|contract| *contract != there).collect();
    let found = session.node()?.datasets_named(&args.dataset).await?;
    let dataset = session.one(found, &args.dataset, Some(wallet), &others).await?;
    must_own(&dataset, wallet)?;
    session.chain_at(dataset.contract).await?.dataset(&dataset.policy).await?;
    let policy = Policy { version: 1, ..dataset.policy };
    let (uid, chain_id) = (policy.datasetUid, target.domain().chain_id);
    if target.is_registered(uid).await? {
        let message = format!("dataset {} is registered at {there} already", short(&uid.to_string()));
        return Err(CliError::refused(codes::POLICY_INVALID, message)
            .hint(format!("licen policy update {uid} --contract {there} changes its terms there")));
    }
    validate(&policy, chain_id, target.now().await?)
        .map_err(|e| CliError::refused(codes::POLICY_INVALID, e.to_string()))?;
    let call = DataPolicy::registerDataset_0Call { policy };
    let mined = session.send(&register_label(there, uid), there, &call, U256::ZERO).await?;
    session.indexed(&mined).await;
    session.ui.progress("Registered there as well; caps, price and pause count for each contract apart");
    session.ui.record(&json!({"datasetUid": uid, "contract": there}));
    session.ui.data(&format!("{uid} at {there}"));
    Ok(())
}

async fn pause(session: &Session, args: &DatasetArg, pause: bool) -> Outcome {
    let dataset = owned(session, &args.dataset).await?;
    set_paused(session, &dataset, pause).await
}
