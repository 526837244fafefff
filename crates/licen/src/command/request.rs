//! `licen request`: predict every refusal, show every amount and deadline, then pay.

use std::path::PathBuf;
use std::time::Duration;

use licen_core::abi::{DataPolicy, Job, Policy, Request};
use licen_core::constraints::{Constraints, JobSpec, ProviderFacts, check};
use licen_core::id::purpose_id;
use licen_core::job::{Grant, granted};
use licen_core::money::{escrow, format_units, total_escrow};
use licen_core::policy::{PolicyBreach, RequestContext, admit};
use licen_core::primitives::{Address, B256, U256};
use licen_core::wire::node::ModelInfo;
use licen_seal::RecipientKey;
use serde_json::{Map, Value, json};

use crate::cli::RequestArgs;
use crate::codes;
use crate::command::jobs;
use crate::command::key::key_error;
use crate::command::search::{manifest, short, warnings};
use crate::error::{CliError, Outcome};
use crate::session::Session;

/// Requests one job and gives it as granted.
///
/// # Errors
/// A refusal names the rule and the command that would pass; nothing is paid then.
pub async fn request(session: &Session, args: &RequestArgs) -> Outcome<Job> {
    let chain = session.chain().await?;
    let wallet = session.wallet()?;
    let dataset = session.node()?.dataset(&args.dataset).await?;
    let policy = &dataset.policy;
    let manifest = manifest(session, &dataset).await?;
    let model = base_model(session, &args.base).await?;
    let spec = job_spec(args, &model)?;
    let purpose = match &args.purpose {
        Some(name) => purpose_id(name),
        None => policy.purposes.first().copied().unwrap_or_default(),
    };
    let constraints: Constraints = session.json_blob(policy.constraintsHash).await?;
    check(&constraints, &spec, &ProviderFacts::default()).map_err(|e| {
        CliError::refused(codes::CONSTRAINTS_REFUSE, format!("the owner's constraints refuse the job: {e}"))
    })?;
    let (key, key_file) = result_key(session, args)?;
    let job_spec_hash = session.put_json(&spec).await?;
    let request = Request {
        purposeId: purpose,
        epochs: args.epochs,
        termsHash: policy.termsHash,
        jobSpecHash: job_spec_hash,
        resultKey: key.public().0,
        ..Request::default()
    };
    let state = chain.dataset(policy).await?;
    let (runs, counter) = chain.runs(policy.datasetUid, wallet.address()).await?;
    let context = RequestContext {
        now: chain.now().await?,
        paused: state.paused,
        runs,
        requester: wallet.address(),
        admitted: policy.requestersRoot.is_zero(),
        quote: None,
    };
    admit(policy, &request, &context)
        .map_err(|breach| refusal(args, policy, &manifest.purposes(), &breach))?;
    let (t, _) = chain.custodians(policy.custodianSet, policy.setVersion).await?;
    let price = U256::from(policy.royaltyPerEpoch) * U256::from(args.epochs);
    show_price(session, args, policy, &model, manifest.byte_count(), price, t);
    afford(session, wallet.address(), price).await?;
    if !session.ui.confirm(&format!("Pay {} into escrow?", format_units(price, 18))) {
        return Err(
            CliError::refused(codes::NOT_CONFIRMED, "not confirmed, nothing was paid").hint("add --yes")
        );
    }
    let call = DataPolicy::requestAccess_0Call { policy: policy.clone(), request: request.clone() };
    let label = format!("request:{}:{}", policy.datasetUid, key.public().0);
    let mined = session.send(&label, chain.domain().contract, &call, price).await?;
    let grant = Grant {
        requester: wallet.address(),
        counter: counter + 1,
        now: chain.block_time(mined.block_number).await?,
        protocol_fee_bps: chain.fee_bps().await?,
        ..Grant::default()
    };
    // The contract keeps a hash of the job: that it knows this one proves every field.
    let job = granted(&chain.domain(), policy, &request, &grant);
    chain.state(&job).await?;
    remember_key(session, &job, &key_file)?;
    session.ui.progress(&format!(
        "Escrowed {}, job {} Granted",
        format_units(total_escrow(&job), 18),
        short(&job.jobId.to_string())
    ));
    Ok(job)
}

/// Prints the job, and follows it where asked.
///
/// # Errors
/// The node does not answer.
pub async fn report(session: &Session, args: &RequestArgs, job: &Job) -> Outcome {
    session.ui.record(&json!({
        "jobId": job.jobId, "state": "Granted", "escrow": escrow(job).to_string(), "requestedEpochs": job.epochs,
        "startDeadline": job.startDeadline, "runWindow": job.runWindow
    }));
    session.ui.data(&job.jobId.to_string());
    if args.follow {
        jobs::follow(session, job.jobId, Duration::from_secs(u64::from(job.runWindow) + 3_600)).await?;
    }
    Ok(())
}

async fn base_model(session: &Session, name: &str) -> Outcome<ModelInfo> {
    let models = session.node()?.models().await?;
    let found = models.iter().find(|m| m.name == name || m.base_model_root.to_string() == name).cloned();
    found.ok_or_else(|| {
        let names: Vec<&str> = models.iter().map(|m| m.name.as_str()).collect();
        CliError::refused(codes::NO_MODEL, format!("no base model is called {name:?}")).hint(
            if names.is_empty() {
                "licen model add DIR".into()
            } else {
                format!("--base {}", names.join(" | --base "))
            },
        )
    })
}

fn job_spec(args: &RequestArgs, model: &ModelInfo) -> Outcome<JobSpec> {
    let mut params = match &args.config {
        None => Map::new(),
        Some(path) => {
            let shown = path.display();
            let text = std::fs::read_to_string(path).map_err(|e| {
                CliError::environment(codes::FILE, format!("cannot read {shown}")).because(&e)
            })?;
            match serde_json::from_str(&text) {
                Ok(Value::Object(map)) => map,
                Ok(_) => {
                    return Err(CliError::environment(codes::USAGE, format!("{shown} is not a JSON object")));
                }
                Err(e) => {
                    return Err(
                        CliError::environment(codes::USAGE, format!("{shown} is not JSON")).because(&e)
                    );
                }
            }
        }
    };
    params.insert("num_train_epochs".into(), json!(args.epochs));
    Ok(JobSpec {
        base_model_root: model.base_model_root,
        training_params: params,
        eval_fraction: args.eval_fraction,
        seed: args.seed,
    })
}

/// The rule, and the same command as the policy would take it.
fn refusal(args: &RequestArgs, policy: &Policy, purposes: &[String], breach: &PolicyBreach) -> CliError {
    let error = CliError::refused(codes::POLICY_REFUSES, format!("policy refuses the request: {breach}"));
    let dataset = &args.dataset;
    match breach {
        PolicyBreach::NoEpochs => error.hint(format!("licen request {dataset} --epochs 1")),
        PolicyBreach::TooManyEpochs { cap, .. } => {
            error.hint(format!("licen request {dataset} --epochs {cap}"))
        }
        PolicyBreach::Purpose { .. } => {
            let purpose = purposes.first().map_or("…", String::as_str);
            error.hint(format!("licen request {dataset} --epochs {} --purpose {purpose}", args.epochs))
        }
        PolicyBreach::Paused => {
            error.hint(format!("licen show {dataset} tells when the owner takes requests again"))
        }
        PolicyBreach::NotAdmitted { requester } => {
            error.hint(format!("ask the owner {} to admit {requester}", policy.owner))
        }
        PolicyBreach::Expired { .. } | PolicyBreach::TooManyRuns { .. } => error.hint("licen search"),
        PolicyBreach::Terms { .. }
        | PolicyBreach::NoResultKey
        | PolicyBreach::License { .. }
        | PolicyBreach::Quote(_)
        | PolicyBreach::QuoteMissing => error.hint(format!("licen show {dataset}")),
    }
}

fn show_price(
    session: &Session,
    args: &RequestArgs,
    policy: &Policy,
    model: &ModelInfo,
    bytes: u64,
    price: U256,
    threshold: u8,
) {
    let ui = &session.ui;
    ui.progress(&format!(
        "{} epochs x {} = {} escrow; what is not trained comes back",
        args.epochs,
        format_units(U256::from(policy.royaltyPerEpoch), 18),
        format_units(price, 18)
    ));
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

async fn afford(session: &Session, who: Address, price: U256) -> Outcome {
    let balance = session.chain().await?.balance(who).await?;
    if balance < price {
        let (has, needs) = (format_units(balance, 18), format_units(price, 18));
        return Err(CliError::refused(
            codes::FUNDS,
            format!("the wallet {who} has {has}, the escrow is {needs}"),
        )
        .hint("fund the wallet, or ask for fewer epochs"));
    }
    Ok(())
}

fn result_key(session: &Session, args: &RequestArgs) -> Outcome<(RecipientKey, PathBuf)> {
    if let Some(path) = &args.result_key {
        let key = RecipientKey::load(path).map_err(|e| key_error(path, &e))?;
        return Ok((key, path.clone()));
    }
    let key =
        RecipientKey::generate().map_err(|e| CliError::of(codes::SEAL, "cannot make a result key", &e))?;
    let dir = key_dir(session)?;
    let path = dir.join(format!("{}.key", key.public().0));
    key.save(&path).map_err(|e| key_error(&path, &e))?;
    Ok((key, path))
}

fn key_dir(session: &Session) -> Outcome<PathBuf> {
    let dir = session.config.state_dir()?.join("result-keys");
    std::fs::create_dir_all(&dir).map_err(|e| {
        CliError::environment(codes::FILE, format!("cannot make {}", dir.display())).because(&e)
    })?;
    Ok(dir)
}

/// Where the result key of a job is kept.
///
/// # Errors
/// The state directory cannot be made.
pub fn key_file(session: &Session, job: B256) -> Outcome<PathBuf> {
    Ok(key_dir(session)?.join(format!("job-{job}.key")))
}

fn remember_key(session: &Session, job: &Job, key: &std::path::Path) -> Outcome {
    let link = key_file(session, job.jobId)?;
    let absolute = key.canonicalize().unwrap_or_else(|_| key.to_path_buf());
    std::os::unix::fs::symlink(absolute, &link).map_err(|e| {
        CliError::environment(codes::FILE, format!("cannot write {}", link.display())).because(&e)
    })
}
