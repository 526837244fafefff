//! `licen fetch`: the adapter, decrypted, once the chain says it is paid for.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use licen_core::abi::{Job, ResultKeyChange, ResultManifest};
use licen_core::job::JobState;
use licen_core::primitives::{B256, Bytes};
use licen_core::wire::AbiHex;
use licen_core::wire::custodian::{ResultKeyRequest, ResultShareResponse};
use licen_seal::result::{ResultHeader, ResultTerms, unpack_result};
use licen_seal::result_share::{combine_result, open_result_release};
use licen_seal::{RecipientKey, ResultKeyShare};
use serde_json::json;

use crate::cli::FetchArgs;
use crate::researcher::result_key::key_file;
use crate::session::chain_view::ChainView;
use crate::session::custodian_client::CustodianClient;
use crate::session::error::{CliError, Outcome};
use crate::session::key_file::key_error;
use crate::session::{Session, codes};

/// Most bytes an adapter may unpack to.
const MAX_UNPACKED: u64 = 16 << 30;
const DEADLINE: Duration = Duration::from_secs(20);
/// How long a settlement may take to get as deep as custodians demand.
const SETTLED_WITHIN: Duration = Duration::from_secs(20);
/// What a custodian says until then.
const TOO_EARLY: u16 = 714;

/// Fetches one result into a new directory; gives the files' names.
///
/// # Errors
/// Not Completed, too few custodians, a wrong key: nothing is written.
pub async fn fetch(session: &Session, args: &FetchArgs) -> Outcome<Vec<String>> {
    let (indexed, state) = session.job(&args.job).await?;
    let job = indexed.job.clone();
    if state != JobState::Completed {
        let hint = if state.is_terminal() { "licen jobs show" } else { "licen jobs follow" };
        return Err(CliError::refused(
            codes::JOB_STATE,
            format!("the job is {}, only a Completed job has a result", state.name()),
        )
        .hint(format!("{hint} {}", args.job)));
    }
    if args.out.exists() {
        return Err(CliError::environment(codes::FILE, format!("{} exists already", args.out.display()))
            .hint("--out with a new directory"));
    }
    // Not from the index: whoever serves it could name a result of its own.
    let chain = session.chain_at(indexed.contract).await?;
    let Some(manifest) = chain.history(&job).await?.result else {
        return Err(CliError::environment(
            codes::NODE_NOT_READY,
            "the chain has no ResultRecorded of this job",
        )
        .hint("try again in a few seconds"));
    };
    let result_hash = manifest.resultHash;
    if args.new_result_key {
        replaced_key(session, &chain, args, &job).await?;
    }
    let keys = match &args.result_key {
        Some(path) => vec![load_key(args, path)?],
        None => kept_keys(session, args, &job)?,
    };
    let blob = session.config.state_dir()?.join(format!("fetch-{}.bin", job.jobId));
    let bytes = session.get_file(result_hash, &blob).await?;
    session.ui.progress(&format!("{bytes} bytes, verified against the chain's resultHash"));
    let done = open(session, &chain, args, &job, &manifest, &keys, &blob).await;
    let _ = std::fs::remove_file(&blob);
    let files = done?;
    session.ui.progress(&format!("{} files in {}", files.len(), args.out.display()));
    session
        .ui
        .record(&json!({"jobId": job.jobId, "resultHash": result_hash, "out": args.out, "files": files}));
    session.ui.data(&args.out.display().to_string());
    Ok(files)
}

/// The command that replaces a lost key, as this one was typed.
fn replacing(args: &FetchArgs) -> String {
    format!("licen fetch {} --out {} --new-result-key", args.job, args.out.display())
}

/// Where `--new-result-key` keeps its key.
fn new_key_file(session: &Session, job: &Job) -> Outcome<PathBuf> {
    Ok(key_file(session, job.jobId)?.with_file_name(format!("new-{}.key", job.jobId)))
}

/// Every key of this job in the state directory, the newest first: custodians that were down while
/// the key was replaced still answer the old one.
fn kept_keys(session: &Session, args: &FetchArgs, job: &Job) -> Outcome<Vec<RecipientKey>> {
    let noted = key_file(session, job.jobId)?;
    let named = noted.with_file_name(format!("{}.key", job.resultKey));
    let mut keys: Vec<RecipientKey> = Vec::new();
    for path in [new_key_file(session, job)?, noted.clone(), named] {
        if path.exists() {
            let key = load_key(args, &path)?;
            if keys.iter().all(|known| known.public() != key.public()) {
                keys.push(key);
            }
        }
    }
    if !keys.is_empty() {
        return Ok(keys);
    }
    let place = noted.parent().map(|dir| dir.display().to_string()).unwrap_or_default();
    Err(CliError::environment(codes::KEY_FILE, format!("no result key of this job in {place}"))
        .hint(format!("--result-key FILE where it is elsewhere; where it is lost: {}", replacing(args))))
}

fn load_key(args: &FetchArgs, path: &Path) -> Outcome<RecipientKey> {
    RecipientKey::load(path).map_err(|e| {
        let lost = !path.exists();
        let error = key_error("result", path, &e);
        if lost { error.hint(format!("where it is lost: {}", replacing(args))) } else { error }
    })
}

/// Makes a new result key and has custodians take it in place of the old one.
async fn replaced_key(session: &Session, chain: &ChainView, args: &FetchArgs, job: &Job) -> Outcome {
    let wallet = session.wallet()?.address();
    if wallet != job.requester {
        let message = format!("the job is {}'s, the wallet is {wallet}", job.requester);
        return Err(
            CliError::refused(codes::JOB_STATE, message).hint("--wallet FILE with the requester's key")
        );
    }
    let path = match &args.result_key {
        Some(path) => path.clone(),
        None => new_key_file(session, job)?,
    };
    let key = if path.exists() {
        load_key(args, &path)?
    } else {
        let key = RecipientKey::generate()
            .map_err(|e| CliError::of(codes::SEAL, "cannot make a result key", &e))?;
        key.save(&path).map_err(|e| key_error("result", &path, &e))?;
        key
    };
    replace_key(session, chain, job, &key).await
}

async fn open(
    session: &Session,
    chain: &ChainView,
    args: &FetchArgs,
    job: &Job,
    manifest: &ResultManifest,
    keys: &[RecipientKey],
    blob: &Path,
) -> Outcome<Vec<String>> {
    let seal = |message: &str, e: &licen_seal::SealError| CliError::of(codes::SEAL, message, e);
    let file = File::open(blob)
        .map_err(|e| CliError::environment(codes::FILE, "cannot read the result").because(&e))?;
    let mut source = BufReader::new(file);
    let header =
        ResultHeader::read_from(&mut source).map_err(|e| seal("the result is not one of LICEN's", &e))?;
    let (t, members) = chain.custodians(job.custodianSet, job.setVersion).await?;
    let terms = ResultTerms { domain: chain.domain(), job_id: job.jobId, attempt: job.attempt };
    header.must_be_of(&terms, t, &members).map_err(|e| seal("the result is not this job's", &e))?;
    let shares = gather(session, args, job, &header, &manifest.resultHash, keys).await?;
    let result_key =
        combine_result(&header, &shares).map_err(|e| seal("the result key does not combine", &e))?;
    unpack_result(&result_key, &header, source, &args.out, MAX_UNPACKED)
        .map_err(|e| seal("the result does not decrypt", &e))
}

/// Shares of t custodians. A settlement that is not deep enough for them yet is waited for.
async fn gather(
    session: &Session,
    args: &FetchArgs,
    job: &Job,
    header: &ResultHeader,
    result_hash: &B256,
    keys: &[RecipientKey],
) -> Outcome<Vec<ResultKeyShare>> {
    let needed = usize::from(header.t());
    let deadline = Instant::now() + SETTLED_WITHIN;
    loop {
        let mut shares: Vec<ResultKeyShare> = Vec::new();
        let mut refusals = Vec::new();
        let mut too_early = false;
        for member in header.members() {
            if shares.len() == needed {
                break;
            }
            let answer = match CustodianClient::of(session, member.custodian, DEADLINE).await {
                Ok(client) => client.result_share(job.jobId).await,
                Err(e) => Err(e),
            };
            too_early |= answer.as_ref().is_err_and(|e| e.has_code(TOO_EARLY));
            let opened = answer
                .map_err(|e| e.to_string())
                .and_then(|answer| opened_by_one(keys, &answer, header, result_hash));
            match opened {
                Ok(share) => shares.push(share),
                Err(reason) => refusals.push(format!("{}: {reason}", member.custodian)),
            }
        }
        if shares.len() == needed {
            for refusal in &refusals {
                session.ui.progress(&format!("Custodian {refusal}"));
            }
            session
                .ui
                .progress(&format!("{needed} of {} custodians released their share", header.members().len()));
            return Ok(shares);
        }
        if too_early && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        }
        let message = format!("{} of {needed} custodians needed gave their share", shares.len());
        let mut error = CliError::environment(codes::CUSTODIANS, message)
            .hint(format!("try again later; where the result key is lost: {}", replacing(args)));
        error.causes = refusals;
        return Err(error);
    }
}

/// The share, by whichever of the requester's keys opens it.
fn opened_by_one(
    keys: &[RecipientKey],
    answer: &ResultShareResponse,
    header: &ResultHeader,
    result_hash: &B256,
) -> Result<ResultKeyShare, String> {
    let mut refused = "there is no key to open it with".to_string();
    for key in keys {
        match open_result_release(&answer.share, key, header, result_hash) {
            Ok(share) => return Ok(share),
            Err(e) => refused = e.to_string(),
        }
    }
    Err(refused)
}

/// Tells every custodian the new key, signed by the requester's wallet.
async fn replace_key(session: &Session, chain: &ChainView, job: &Job, key: &RecipientKey) -> Outcome {
    let wallet = session.wallet()?;
    let nonce = chain.now().await?;
    let change = ResultKeyChange { jobId: job.jobId, newKey: key.public().0, nonce };
    let digest = chain.domain().digest(&change);
    let signature = wallet.sign_digest(&digest);
    let request = ResultKeyRequest {
        contract: chain.contract(),
        job: AbiHex(job.clone()),
        change: AbiHex(change),
        signature: Bytes::from(signature.to_vec()),
    };
    let mut accepted = 0;
    let mut refusals = Vec::new();
    let custodians = &session.deployment().await?.custodians;
    for custodian in custodians {
        let asked = match CustodianClient::new(&custodian.url, DEADLINE) {
            Ok(client) => client.replace_result_key(&request).await,
            Err(e) => Err(e),
        };
        match asked {
            Ok(()) => accepted += 1,
            Err(e) => refusals.push(format!("{}: {e}", custodian.id)),
        }
    }
    if accepted == 0 {
        let mut error = CliError::environment(codes::CUSTODIANS, "no custodian took the new result key")
            .hint("try again later: the old key is still the one that counts");
        error.causes = refusals;
        return Err(error);
    }
    session.ui.progress(&format!("{accepted} of {} custodians took the new result key", custodians.len()));
    Ok(())
}
