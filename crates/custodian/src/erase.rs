//! The end of a key: what is sealed to it can then be opened by nobody, which is what an owner who
//! retires a dataset is waiting for. A key goes only when nothing needs it: no process, no live policy,
//! no open job, no result within the time it was promised for.
//!
//! The intention is written first, then the file goes, then the statement is signed. Repeated after a
//! crash, the command finishes.

use std::path::Path;
use std::time::Duration;

use licen_chain::{Chain, Deployment};
use licen_core::abi::{ErasureStatement, Policy};
use licen_core::job::JobState;
use licen_core::primitives::{Address, B256};
use licen_core::wire::AbiHex;
use licen_core::wire::custodian::{CustodianInfo, ErasureResponse};
use licen_seal::result::ResultHeader;
use licen_seal::{RecipientKey, SigningKey, key_file};
use licen_store::{HeldResult, Store};

use crate::audit::Line;
use crate::config::Config;
use crate::error::Error;
use crate::ledger::{HELD_SPACE, held_name};
use crate::machine::HeldCase;
use crate::run::{connect, now_ms, open_store};

/// Keys that are about to be destroyed, by their files.
const INTENT_SPACE: &str = "erasing";
const ASK_WITHIN: Duration = Duration::from_secs(5);
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Destroys the key in `file`, and says so over this custodian's signature.
///
/// # Errors
/// [`Error::KeyNeeded`] names what needs it; nothing was destroyed. Otherwise see [`Error`].
pub async fn erase(config: &Config, file: &Path) -> Result<ErasureResponse, Error> {
    config.check().map_err(Error::Config)?;
    let signing = SigningKey::load(&config.signing_key_file)?;
    let (chain, pinned) = connect(config).await?;
    let store = open_store(&config.state_dir, &pinned).await?;
    if let Some(sequence) = store.verify_audit().await? {
        return Err(Error::AuditBroken(sequence));
    }
    let key = match file.exists() {
        true => {
            let key = RecipientKey::load(file)?.public().0;
            must_be_unused(config, &chain, &store, signing.address(), key).await?;
            let intent = file.display().to_string();
            store.put_record(INTENT_SPACE, &key.to_string(), intent.as_bytes(), now_ms()).await?;
            key_file::destroy(file)?;
            key
        }
        false => begun(&store, file).await?,
    };
    let now = now_ms();
    let erasure = ErasureStatement { hpkeKey: key, erasedAt: now / 1000 };
    let signature = signing.sign(&chain.domain().digest(&erasure))?.as_bytes().to_vec().into();
    let made = ErasureResponse { erasure: AbiHex(erasure), signature };
    let bytes = serde_json::to_vec(&made).map_err(|e| Error::Config(e.to_string()))?;
    let line = Line::of_key("erasure", now, key).bytes();
    let stored = store.put_erasure(key, &bytes, &line, now).await?;
    store.close().await;
    Ok(serde_json::from_slice(&stored).unwrap_or(made))
}

/// The key whose file was destroyed before the statement could be written.
async fn begun(store: &Store, file: &Path) -> Result<B256, Error> {
    let name = file.display().to_string();
    let intents = store.records(INTENT_SPACE).await?;
    let found = intents.iter().find(|(_, path)| path[..] == *name.as_bytes());
    found.and_then(|(key, _)| key.parse().ok()).ok_or_else(|| Error::NoKey(file.to_owned()))
}

async fn must_be_unused(
    config: &Config,
    chain: &Chain,
    store: &Store,
    own: Address,
    key: B256,
) -> Result<(), Error> {
    let needed = |by: String| Err(Error::KeyNeeded { key, by });
    for file in config.former_recipient_key_files.iter().chain([&config.recipient_key_file]) {
        if file.exists() && RecipientKey::load(file)?.public().0 == key {
            return needed(format!("the configuration names it as {}", file.display()));
        }
    }
    if is_loaded(config, key).await {
        return needed(format!("the custodian at {} has it in memory", config.listen));
    }
    let start = Deployment::read(&config.deployment)?.start_block;
    let used = chain.key_use(key, start).await?;
    let now_ms = now_ms();
    for policy in &used.policies {
        if is_live(store, policy, now_ms / 1000).await? {
            return needed(format!("dataset {} is sealed to it under a live policy", policy.datasetUid));
        }
    }
    for job in &used.jobs {
        let state = chain.job_state(job.jobId).await?.value.0;
        if state.is_some_and(|state| matches!(state, JobState::Granted | JobState::Running)) {
            return needed(format!("job {} has not ended", job.jobId));
        }
    }
    for held in store.held_results().await? {
        let until = held.created_ms + u64::from(config.retention_days) * DAY_MS;
        if until > now_ms && opens(store, &held, own, key).await? {
            return needed(format!("the result of job {} is promised until {}", held.job_id, until / 1000));
        }
    }
    Ok(())
}

/// Whether the running custodian has it: nothing of it may stay behind in memory.
async fn is_loaded(config: &Config, key: B256) -> bool {
    let client = reqwest::Client::builder().timeout(ASK_WITHIN).no_proxy().build();
    let Ok(client) = client else { return false };
    let Ok(answer) = client.get(format!("http://{}/v1/custodian", config.listen)).send().await else {
        return false;
    };
    let about = answer.bytes().await.ok().and_then(|b| serde_json::from_slice::<CustodianInfo>(&b).ok());
    about.is_some_and(|about| about.hpke_key == key || about.former_hpke_keys.contains(&key))
}

/// A policy that ended, or whose dataset this custodian refuses for ever, needs its key no more.
async fn is_live(store: &Store, policy: &Policy, now: u64) -> Result<bool, Error> {
    let expired = policy.policyExpiry != 0 && policy.policyExpiry < now;
    Ok(!expired && store.tombstone(policy.datasetUid).await?.is_none())
}

/// Whether a held result's share is sealed to the key. What cannot be read counts as sealed to it.
async fn opens(store: &Store, held: &HeldResult, own: Address, key: B256) -> Result<bool, Error> {
    let case = store.record(HELD_SPACE, &held_name(&held.job_id, held.attempt)).await?;
    let case = case.and_then(|case| serde_json::from_slice::<HeldCase>(&case).ok());
    let header = case.and_then(|case| ResultHeader::read_from(&mut &case.head[..]).ok());
    let sealed_to = header
        .as_ref()
        .and_then(|header| header.members().iter().find(|member| member.custodian == own))
        .map(|member| member.pk.0);
    Ok(sealed_to.is_none_or(|sealed_to| sealed_to == key))
}
