//! `licen request`: predict every refusal, show every amount and deadline, then pay.

pub mod admission;
mod bill;
mod custodians;
mod payment;
mod pending;
mod quote;
mod verifiers;

use std::time::Duration;

use licen_core::abi::{Job, Policy, Request};
use licen_core::constraints::{ConstraintBreach, Constraints};
use licen_core::id::{job_id, purpose_id};
use licen_core::job::{Grant, JobState, granted};
use licen_core::money::total_escrow;
use licen_core::policy::{LEVEL_HARDWARE, RequestContext, admit};
use licen_core::primitives::B256;
use licen_core::wire::AbiHex;
use licen_core::wire::node::ModelInfo;
use serde_json::json;

use self::bill::Bill;
use self::custodians::custodians_answer;
use self::pending::Pending;
use self::quote::{Case, Quoted, Unpaid, Wanted};
use crate::cli::RequestArgs;
use crate::researcher::job_spec::job_spec;
use crate::researcher::result_key::{fresh_key, given_key, remember_key};
use crate::researcher::{jobs, refusal};
use crate::session::chain_view::ChainView;
use crate::session::custody::warnings;
use crate::session::error::{CliError, Outcome, REFUSED};
use crate::session::manifest::manifest;
use crate::session::node_client::IndexedDataset;
use crate::session::output::short;
use crate::session::salt::random_salt;
use crate::session::storage::json_root;
use crate::session::{Session, codes};

/// How often an index that is behind is asked again, a second apart.
const CURRENT_TRIES: u32 = 8;

/// Requests one job and gives it as granted.
///
/// # Errors
/// A refusal names the rule and the command that would pass; nothing is paid then.
pub async fn request(session: &Session, args: &RequestArgs) -> Outcome<Job> {
    let wanted = quote::wanted(args)?;
    let (dataset, chain, paused) = current(session, &args.dataset).await?;
    let policy = &dataset.policy;
    if let Some(job) = unfinished(session, &chain, policy.datasetUid).await? {
        return Ok(job);
    }
    let manifest = manifest(session, &dataset).await?;
    let models = session.node()?.models().await?;
    let model = base_model(args, &models)?;
    let spec = job_spec(args, &model)?;
    let given = given_key(args)?;
    let (spec_hash, spec_bytes) = json_root(&spec)?;
    let mut draft = draft(session, args, policy, spec_hash).await?;
    if let Some((key, _)) = &given {
        draft.resultKey = key.public().0;
    }
    let requester = session.wallet()?.address();
    let admission = admission::admission(session, args, &dataset, &manifest, &chain, requester).await?;
    let admitted = policy.requestersRoot.is_zero() || admission.is_some();
    let context = context(session, &chain, policy, (paused, admitted)).await?;
    admit(policy, &draft, &context)
        .map_err(|breach| refusal::of_policy(args, policy, &manifest.purposes(), &breach))?;
    let constraints: Constraints = session.json_blob(policy.constraintsHash).await?;
    let case = Case {
        chain: &chain,
        policy,
        spec: (&spec_bytes, &spec),
        constraints: &constraints,
        request: &draft,
        context: &context,
    };
    let quoted = quoted_for(session, args, wanted, &models, &case).await?;
    let bill = Bill::new(session.token(policy.token).await?, policy, args.epochs, quoted.as_ref());
    payment::afford(session, args, context.requester, &bill).await?;
    let (t, members) = chain.custodians(policy.custodianSet, policy.setVersion).await?;
    show_price(session, args, policy, &model, manifest.byte_count(), &bill, t);
    custodians_answer(session, t, &members).await;
    if !session.ui.confirm(&format!("Pay {} into escrow?", bill.shown(bill.total()))) {
        return Err(CliError::refused(codes::NOT_CONFIRMED, "not confirmed, nothing was paid")
            .hint(format!("{} --yes", refusal::corrected(args, None, None, None))));
    }
    session.put_json(&spec).await?;
    // Takes blocks of time, so it comes before the price is looked at again.
    payment::allow(session, &chain, &bill, &context).await?;
    let told = |error| payment::still_allowed(&bill, error);
    let (counter, quoted) = renewed(session, &case, quoted).await.map_err(told)?;
    let (key, key_file) = match given {
        Some(given) => given,
        None => fresh_key(session)?,
    };
    let provider = quoted.as_ref().map_or(B256::ZERO, |quoted| quoted.quote().providerId);
    let request = Request { resultKey: key.public().0, providerId: provider, ..draft };
    let (policy, request) = (AbiHex(policy.clone()), AbiHex(request));
    let (contract, admission) = (chain.contract(), admission.map(AbiHex));
    let nonce = random_salt()?;
    let pending = Pending { contract, policy, request, quoted, admission, counter, nonce, key_file };
    pending.keep(session)?;
    // Whatever else stopped it, the transaction may still be mined.
    pay(session, &chain, &pending).await.map_err(|e| if e.exit == REFUSED { told(e) } else { e })
}

/// What will be asked, but for the key of the result and the provider.
async fn draft(session: &Session, args: &RequestArgs, policy: &Policy, spec_hash: B256) -> Outcome<Request> {
    let (verifier_set, verifier_version) = verifiers::chosen(session, args, policy).await?;
    Ok(Request {
        purposeId: match &args.purpose {
            Some(name) => purpose_id(name),
            None => policy.purposes.first().copied().unwrap_or_default(),
        },
        epochs: args.epochs,
        units: u64::from(args.epochs),
        termsHash: policy.termsHash,
        jobSpecHash: spec_hash,
        // Stands for the key that is made once everything else is known to pass.
        resultKey: B256::repeat_byte(1),
        verifierSet: verifier_set,
        verifierSetVersion: verifier_version,
        ..Request::default()
    })
}

/// What the chain knows of the request.
async fn context(
    session: &Session,
    chain: &ChainView,
    policy: &Policy,
    (paused, admitted): (bool, bool),
) -> Outcome<RequestContext> {
    let (uid, requester) = (policy.datasetUid, session.wallet()?.address());
    let counter = chain.counter_at_head(uid, requester).await?;
    Ok(RequestContext {
        now: chain.now().await?,
        paused,
        runs: chain.runs(uid, requester).await?.0,
        requester,
        job_id: job_id(&chain.domain(), uid, requester, counter + 1),
        admitted,
        quote: None,
    })
}

/// Whose compute trains, and for how much; nothing where the request names no provider.
async fn quoted_for(
    session: &Session,
    args: &RequestArgs,
    wanted: Option<Wanted>,
    models: &[ModelInfo],
    case: &Case<'_>,
) -> Outcome<Option<Quoted>> {
    match wanted {
        Some(wanted) => {
            let quoted = quote::best(session, wanted, case).await?;
            quote::within(args, &session.token(case.policy.token).await?, &quoted)?;
            Ok(Some(quoted))
        }
        None => compute_fits(session, args, models, case).await.map(|()| None),
    }
}

/// The counter before the request, and the price as it still holds. A job that was opened meanwhile, by
/// this wallet elsewhere, moves the counter that the quote names: one new quote is asked for then.
async fn renewed(
    session: &Session,
    case: &Case<'_>,
    quoted: Option<Quoted>,
) -> Outcome<(u64, Option<Quoted>)> {
    let (uid, requester) = (case.policy.datasetUid, case.context.requester);
    let counter = case.chain.counter_at_head(uid, requester).await?;
    let Some(quoted) = quoted else { return Ok((counter, None)) };
    let job_id = job_id(&case.chain.domain(), uid, requester, counter + 1);
    let now = case.chain.now().await?;
    if quoted.holds(job_id, now) {
        return Ok((counter, Some(quoted)));
    }
    let context = RequestContext { job_id, now, ..case.context.clone() };
    let wanted = Wanted::Provider(quoted.quote().providerId);
    let again = quote::best(session, wanted, &Case { context: &context, ..*case }).await?;
    quote::no_dearer(&quoted, again).map(|again| (counter, Some(again)))
}

/// The job of a request that was sent and whose end nobody heard, unless it has ended since.
async fn unfinished(session: &Session, chain: &ChainView, dataset_uid: B256) -> Outcome<Option<Job>> {
    let Some(pending) = Pending::of(session, chain.contract(), dataset_uid).await? else { return Ok(None) };
    session.ui.warn("an earlier request of this dataset was sent and its job never told: this is it");
    let job = pay(session, chain, &pending).await?;
    if chain.state(job.jobId).await.is_ok_and(JobState::is_terminal) {
        session.ui.progress("it has ended since, so this is another one");
        return Ok(None);
    }
    session.ui.progress("run the command again for another one");
    Ok(Some(job))
}

/// Sends the request and gives the job as the contract knows it.
async fn pay(session: &Session, chain: &ChainView, pending: &Pending) -> Outcome<Job> {
    let (policy, request) = (&pending.policy.0, &pending.request.0);
    let token = session.token(policy.token).await?;
    let bill = Bill::new(token, policy, request.epochs, pending.quoted.as_ref());
    let mined = pending.send(session, chain, payment::value(policy.token, bill.total())).await?;
    let grant = Grant {
        requester: session.wallet()?.address(),
        counter: pending.counter + 1,
        now: chain.block_time(mined.block_number).await?,
        protocol_fee_bps: chain.fee_bps().await?,
        compute_fee_per_epoch: pending.quoted.as_ref().map_or(0, |quoted| quoted.quote().computeFeePerEpoch),
        compute_payee: pending.quoted.as_ref().map_or(B256::ZERO, |quoted| quoted.payee),
    };
    // Its id is made of contract, dataset, requester and counter: that the contract knows it proves who
    // it is of, and every later command compares its terms.
    let job = granted(&chain.domain(), policy, request, &grant);
    remember_key(session, &job, &pending.key_file)?;
    chain.state(job.jobId).await?;
    pending.forget(session);
    session.indexed(&mined).await;
    session.ui.progress(&format!(
        "Escrowed {}, job {} Granted",
        session.words(job.token).await.shown(total_escrow(&job)),
        short(&job.jobId.to_string())
    ));
    Ok(job)
}

/// The dataset with its current policy. After an update the index may be a block behind.
async fn current(session: &Session, prefix: &str) -> Outcome<(IndexedDataset, ChainView, bool)> {
    session.same_world().await?;
    for _ in 0..CURRENT_TRIES {
        let dataset = session.dataset(prefix).await?;
        let chain = session.chain_at(dataset.contract).await?;
        match chain.dataset(&dataset.policy).await {
            Ok(state) => return Ok((dataset, chain, state.paused)),
            Err(error) if error.code == codes::NODE_NOT_READY => {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(error) => return Err(error),
        }
    }
    let dataset = session.dataset(prefix).await?;
    let chain = session.chain_at(dataset.contract).await?;
    let paused = chain.dataset(&dataset.policy).await?.paused;
    Ok((dataset, chain, paused))
}

/// Refuses what no compute of the node would train without a fee, or custodians would refuse: simulated
/// compute under a policy that demands hardware, a provider or country that the owner does not allow.
async fn compute_fits(
    session: &Session,
    args: &RequestArgs,
    models: &[ModelInfo],
    case: &Case<'_>,
) -> Outcome {
    let infos = session.node()?.compute_infos().await?;
    if infos.is_empty() {
        let seconds = case.policy.startWindow;
        session.ui.warn(&format!(
            "compute does not answer now: if it stays away for {seconds} s everything comes back (licen cancel)"
        ));
    } else if case.policy.requiredLevel == LEVEL_HARDWARE && infos.iter().all(|i| i.tee_type == "simulated") {
        return Err(CliError::refused(
            codes::NO_COMPUTE,
            "the owner demands hardware attestation, the compute of this node is simulated",
        )
        .hint("licen search for a dataset of level SOFTWARE, or --node URL with hardware compute"));
    }
    let with_fee = || {
        let priced = RequestArgs { provider: Some("cheapest".into()), ..args.clone() };
        refusal::corrected(&priced, None, None, None)
    };
    match quote::without_fee(&infos, case).await {
        Ok(()) => Ok(()),
        Err(Unpaid::Failed(error)) => Err(error),
        Err(Unpaid::PricedOnly) => {
            Err(CliError::refused(codes::NO_COMPUTE, "no compute of this node trains without a fee")
                .hint(with_fee()))
        }
        Err(Unpaid::Constraints(breach)) => {
            let allowed = models.iter().find(|m| case.constraints.base_models.contains(&m.base_model_root));
            let error = refusal::of_constraints(args, allowed.map(|m| m.name.as_str()), &breach);
            match breach {
                ConstraintBreach::Provider(_) | ConstraintBreach::Jurisdiction(_) => {
                    Err(error.hint(with_fee()))
                }
                _ => Err(error),
            }
        }
    }
}

/// Prints the job, and follows it where asked.
///
/// # Errors
/// The node does not answer.
pub async fn report(session: &Session, args: &RequestArgs, job: &Job) -> Outcome {
    let token = session.words(job.token).await;
    session.ui.record(&token.beside_record(json!({
        "jobId": job.jobId, "state": "Granted", "escrow": total_escrow(job).to_string(),
        "computeFeePerEpoch": job.computeFeePerEpoch.to_string(), "requestedEpochs": job.epochs,
        "startDeadline": job.startDeadline, "runWindow": job.runWindow
    })));
    session.ui.data(&job.jobId.to_string());
    if args.follow {
        let within =
            Duration::from_secs(job.startDeadline.saturating_sub(session.chain().await?.now().await?));
        let within = within + Duration::from_secs(u64::from(job.runWindow) + 600);
        jobs::ended(session, &jobs::follow(session, job.jobId, within).await?).await?;
    }
    Ok(())
}

fn base_model(args: &RequestArgs, models: &[ModelInfo]) -> Outcome<ModelInfo> {
    let name = &args.base;
    let found = models.iter().find(|m| m.name == *name || m.base_model_root.to_string() == *name).cloned();
    found.ok_or_else(|| {
        let error = CliError::refused(codes::NO_MODEL, format!("no base model is called {name:?}"));
        match models.first() {
            None => error.hint("licen model add DIR"),
            Some(model) => {
                let names: Vec<&str> = models.iter().map(|m| m.name.as_str()).collect();
                let mut error = error.hint(refusal::corrected(args, None, None, Some(&model.name)));
                error.causes = vec![format!("this node has {}", names.join(", "))];
                error
            }
        }
    })
}

fn show_price(
    session: &Session,
    args: &RequestArgs,
    policy: &Policy,
    model: &ModelInfo,
    bytes: u64,
    bill: &Bill,
    threshold: u8,
) {
    let ui = &session.ui;
    ui.progress(&format!("dataset {} of {}", short(&policy.datasetUid.to_string()), policy.owner));
    ui.progress(&format!("base model {} is {}", model.name, short(&model.base_model_root.to_string())));
    for line in bill.lines() {
        ui.progress(&line);
    }
    ui.progress(&format!(
        "starts within {} s and runs at most {} s, else everything comes back (licen cancel)",
        policy.startWindow, policy.runWindow
    ));
    if model.tokens_per_second > 0.0 {
        // A byte-level upper bound: real tokenizers make fewer text tokens than bytes.
        let seconds = bytes as f64 * f64::from(args.epochs) / model.tokens_per_second;
        ui.progress(&format!("expected training time at most {seconds:.0} s on this node"));
    }
    for warning in warnings(policy.requiredLevel, threshold) {
        ui.warn(&warning);
    }
}
