//! `licen fetch`: the adapter, decrypted, once the chain says it is paid for.

use std::fs::File;
use std::io::BufReader;
use std::time::Duration;

use licen_core::abi::{Job, ResultKeyChange};
use licen_core::job::JobState;
use licen_core::primitives::{B256, Bytes};
use licen_core::wire::custodian::{ResultKeyRequest, ResultShareResponse};
use licen_core::wire::{AbiHex, Problem};
use licen_seal::result::{ResultHeader, unpack_result};
use licen_seal::result_share::{combine_result, open_result_release};
use licen_seal::{RecipientKey, ResultKeyShare};
use serde_json::json;

use crate::cli::FetchArgs;
use crate::codes;
use crate::command::key::key_error;
use crate::command::request::key_file;
use crate::command::search::short;
use crate::error::{CliError, Outcome};
use crate::session::{Session, parse_b256};

/// Most bytes an adapter may unpack to.
const MAX_UNPACKED: u64 = 16 << 30;
const DEADLINE: Duration = Duration::from_secs(20);

/// Fetches one result into a new directory; gives the files' names.
///
/// # Errors
/// Not Completed, too few custodians, a wrong key: nothing is written.
pub async fn fetch(session: &Session, args: &FetchArgs) -> Outcome<Vec<String>> {
    let indexed = session.node()?.job(&args.job).await?;
    let job = indexed.job.clone();
    let state = session.chain().await?.state(&job).await?;
    if state != JobState::Completed {
        return Err(CliError::refused(
            codes::JOB_STATE,
            format!("the job is {}, only a Completed job has a result", state.name()),
        )
        .hint(format!("licen jobs, or licen cancel {}", args.job)));
    }
    if args.out.exists() {
        return Err(CliError::environment(codes::FILE, format!("{} exists already", args.out.display()))
            .hint("--out with a new directory"));
    }
    let result_hash = parse_b256(&indexed.text("resultHash"))?;
    let path = match (&args.result_key, args.new_result_key) {
        (Some(path), _) => path.clone(),
        (None, false) => key_file(session, job.jobId)?,
        (None, true) => session.config.state_dir()?.join(format!("result-keys/new-{}.key", job.jobId)),
    };
    let key = result_key(&path, args.new_result_key)?;
    if args.new_result_key {
        replace_key(session, &job, &key).await?;
    }
    let blob = session.config.state_dir()?.join(format!("fetch-{}.bin", job.jobId));
    session.get_file(result_hash, &blob).await?;
    let done = open(session, args, &job, result_hash, &key, &blob).await;
    let _ = std::fs::remove_file(&blob);
    let files = done?;
    session.ui.progress(&format!("{} files in {}", files.len(), args.out.display()));
    session
        .ui
        .record(&json!({"jobId": job.jobId, "resultHash": result_hash, "out": args.out, "files": files}));
    session.ui.data(&args.out.display().to_string());
    Ok(files)
}

fn result_key(path: &std::path::Path, make: bool) -> Outcome<RecipientKey> {
    if make && !path.exists() {
        let key = RecipientKey::generate()
            .map_err(|e| CliError::of(codes::SEAL, "cannot make a result key", &e))?;
        key.save(path).map_err(|e| key_error(path, &e))?;
        return Ok(key);
    }
    RecipientKey::load(path).map_err(|e| {
        key_error(path, &e).hint("a lost result key is replaced by the wallet: --new-result-key")
    })
}

async fn open(
    session: &Session,
    args: &FetchArgs,
    job: &Job,
    result_hash: B256,
    key: &RecipientKey,
    blob: &std::path::Path,
) -> Outcome<Vec<String>> {
    let seal = |message: &str, e: &licen_seal::SealError| CliError::of(codes::SEAL, message, e);
    let file = File::open(blob)
        .map_err(|e| CliError::environment(codes::FILE, "cannot read the result").because(&e))?;
    let mut source = BufReader::new(file);
    let header =
        ResultHeader::read_from(&mut source).map_err(|e| seal("the result is not one of LICEN's", &e))?;
    let mut shares: Vec<ResultKeyShare> = Vec::new();
    let mut refusals = Vec::new();
    for member in header.members() {
        if shares.len() == usize::from(header.t()) {
            break;
        }
        let asked = ask(session, member.custodian, job.jobId).await;
        let opened = asked.and_then(|answer| {
            open_result_release(&answer.share, key, &header, &result_hash).map_err(|e| e.to_string())
        });
        match opened {
            Ok(share) => {
                session.ui.progress(&format!(
                    "Custodian {} released its share",
                    short(&member.custodian.to_string())
                ));
                shares.push(share);
            }
            Err(reason) => refusals.push(format!("{}: {reason}", member.custodian)),
        }
    }
    if shares.len() < usize::from(header.t()) {
        let message = format!("{} of {} custodians needed gave their share", shares.len(), header.t());
        let mut error = CliError::environment(codes::CUSTODIANS, message).hint(format!(
            "try again later; licen fetch {} --new-result-key where the key is lost",
            args.job
        ));
        error.causes = refusals;
        return Err(error);
    }
    let result_key =
        combine_result(&header, &shares).map_err(|e| seal("the result key does not combine", &e))?;
    unpack_result(&result_key, &header, source, &args.out, MAX_UNPACKED)
        .map_err(|e| seal("the result does not decrypt", &e))
}

async fn ask(
    session: &Session,
    custodian: licen_core::primitives::Address,
    job: B256,
) -> Result<ResultShareResponse, String> {
    let deployment = session.deployment().await.map_err(|e| e.message)?;
    let url = deployment.custodians.iter().find(|c| c.id == custodian).map(|c| c.url.clone());
    let url = url.ok_or("the deployment has no address for it")?;
    let http = reqwest::Client::builder().timeout(DEADLINE).build().map_err(|e| e.to_string())?;
    let answer = http.get(format!("{}/v1/result/{job}", url.trim_end_matches('/'))).send().await;
    let answer = answer.map_err(|e| e.to_string())?;
    let ok = answer.status().is_success();
    let body = answer.bytes().await.map_err(|e| e.to_string())?;
    if !ok {
        return Err(
            serde_json::from_slice::<Problem>(&body).map_or_else(|_| "refused".into(), |p| p.to_string())
        );
    }
    serde_json::from_slice(&body).map_err(|e| e.to_string())
}

/// Tells every custodian the new key, signed by the requester's wallet.
async fn replace_key(session: &Session, job: &Job, key: &RecipientKey) -> Outcome {
    let wallet = session.wallet()?;
    if wallet.address() != job.requester {
        let message = format!("the job is {}'s, the wallet is {}", job.requester, wallet.address());
        return Err(
            CliError::refused(codes::JOB_STATE, message).hint("--wallet FILE with the requester's key")
        );
    }
    let nonce = session.chain().await?.now().await?;
    let change = ResultKeyChange { jobId: job.jobId, newKey: key.public().0, nonce };
    let digest = session.chain().await?.domain().digest(&change);
    let signature = wallet.sign_digest(&digest);
    let request = ResultKeyRequest {
        job: AbiHex(job.clone()),
        change: AbiHex(change),
        signature: Bytes::from(signature.to_vec()),
    };
    let http = reqwest::Client::builder()
        .timeout(DEADLINE)
        .build()
        .map_err(|e| CliError::environment(codes::CUSTODIANS, "no HTTP client").because(&e))?;
    let mut accepted = 0;
    for custodian in &session.deployment().await?.custodians {
        let url = format!("{}/v1/result-key", custodian.url.trim_end_matches('/'));
        let answer = http.post(url).json(&request).send().await;
        if answer.is_ok_and(|a| a.status().is_success()) {
            accepted += 1;
        }
    }
    if accepted == 0 {
        return Err(CliError::environment(codes::CUSTODIANS, "no custodian took the new result key"));
    }
    session.ui.progress(&format!("{accepted} custodians took the new result key"));
    Ok(())
}
