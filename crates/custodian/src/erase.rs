//! The end of a key: what is sealed to it can then be opened by nobody, which is what an owner who
//! retires a dataset is waiting for. A key goes only when nothing needs it: no process, no live policy
//! and no open job of any contract, former ones included, no result within the time it was promised for.
//!
//! The intention is written first, then the file goes, then the statement is signed. Repeated after a
//! crash, the command finishes.

use std::path::Path;

use licen_chain::{Chain, Deployment, KeyUse};
use licen_core::abi::{ErasureStatement, Policy};
use licen_core::eip712::ChainDomain;
use licen_core::job::JobState;
use licen_core::primitives::{Address, B256};
use licen_core::wire::AbiHex;
use licen_core::wire::custodian::ErasureResponse;
use licen_seal::key_file::{self, Wiped};
use licen_seal::result::ResultHeader;
use licen_seal::{RecipientKey, SigningKey};
use licen_store::{HeldResult, Store};

use crate::audit::Line;
use crate::config::Config;
use crate::contracts::Connection;
use crate::error::Error;
use crate::ledger::{HELD_SPACE, held_name};
use crate::lock::Lock;
use crate::machine::HeldCase;
use crate::run::{now_ms, open_store};

/// Keys that are about to be destroyed, by their files.
const INTENT_SPACE: &str = "erasing";
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Destroys the key in `file`, and says so over this custodian's signature. The custodian must not run.
///
/// # Errors
/// [`Error::KeyNeeded`] names what needs it, [`Error::Busy`] says that the custodian runs; nothing was
/// destroyed. Otherwise see [`Error`].
pub async fn erase(config: &Config, file: &Path) -> Result<ErasureResponse, Error> {
    config.check().map_err(Error::Config)?;
    let signing = SigningKey::load(&config.signing_key_file)?;
    let connection = Connection::open(config).await?;
    connection.served(config).await?;
    let pinned = connection.store_identity();
    let store = open_store(&config.state_dir, &pinned).await?;
    let _alone = Lock::of(&config.state_dir)?;
    if let Some(sequence) = store.verify_audit().await? {
        return Err(Error::AuditBroken(sequence));
    }
    let place = std::path::absolute(file).map_err(|source| Error::File { path: file.to_owned(), source })?;
    let begun = begun(&store, &place).await?;
    let key = match (key_file::is_wiped(&place)?, begun) {
        (Wiped::No, _) => RecipientKey::load(&place)?.public().0,
        (Wiped::Overwritten | Wiped::Gone, Some(key)) => key,
        (Wiped::Overwritten | Wiped::Gone, None) => return Err(Error::NoKey(place)),
    };
    must_be_unused(config, &connection, &store, signing.address(), key).await?;
    let intent = place.display().to_string();
    store.put_record(INTENT_SPACE, &key.to_string(), intent.as_bytes(), now_ms()).await?;
    key_file::destroy(&place)?;
    let now = now_ms();
    let erasure = ErasureStatement { hpkeKey: key, erasedAt: now / 1000 };
    let signature =
        signing.sign(&ChainDomain { chain_id: pinned.chain_id }.digest(&erasure))?.as_bytes().to_vec().into();
    let made = ErasureResponse { erasure: AbiHex(erasure), signature };
    let bytes = serde_json::to_vec(&made).map_err(|e| Error::Config(e.to_string()))?;
    let line = Line::of_key("erasure", now, key).bytes();
    let stored = store.put_erasure(key, &bytes, &line, now).await?;
    store.close().await;
    Ok(serde_json::from_slice(&stored).unwrap_or(made))
}

/// The key of that file whose destruction was begun. Of several, one without a statement comes first: a
/// path may have been used again.
async fn begun(store: &Store, place: &Path) -> Result<Option<B256>, Error> {
    let name = place.display().to_string();
    let mut stated = None;
    for (key, path) in store.records(INTENT_SPACE).await? {
        let Some(key) = (path[..] == *name.as_bytes()).then(|| key.parse().ok()).flatten() else { continue };
        if store.erasure(key).await?.is_none() {
            return Ok(Some(key));
        }
        stated = Some(key);
    }
    Ok(stated)
}

async fn must_be_unused(
    config: &Config,
    connection: &Connection,
    store: &Store,
    own: Address,
    key: B256,
) -> Result<(), Error> {
    let needed = |by: String| Err(Error::KeyNeeded { key, by });
    for file in config.former_recipient_key_files.iter().chain([&config.recipient_key_file]) {
        if key_file::is_wiped(file)? == Wiped::No && RecipientKey::load(file)?.public().0 == key {
            return needed(format!("the configuration names it as {}", file.display()));
        }
    }
    let mut named = false;
    for (chain, since) in deployments(config, connection).await? {
        let used = chain.key_use(key, since).await?;
        named |= used.named;
        if let Some(by) = user(&chain, store, &used).await? {
            return needed(by);
        }
    }
    if !named {
        return needed(
            "no custodian set names it: a chain that does not know it knows no use of it".to_owned(),
        );
    }
    let now_ms = now_ms();
    for held in store.held_results().await? {
        let until = held.created_ms + u64::from(config.retention_days) * DAY_MS;
        if until > now_ms && opens(store, &held, own, key).await? {
            return needed(format!("the result of job {} is promised until {}", held.job_id, until / 1000));
        }
    }
    Ok(())
}

/// Every contract whose policies and jobs a key of this custodian may serve, and the block to look from:
/// those of deployment.json, whether this custodian serves them or not, and those it served once.
async fn deployments(config: &Config, connection: &Connection) -> Result<Vec<(Chain, u64)>, Error> {
    let Deployment { contracts, start_block, .. } = &connection.deployment;
    let current = contracts.data_policies.iter().map(|address| (*address, contracts.custody, *start_block));
    let former = config.former_contracts.iter().map(|f| (f.data_policy, f.custody, f.start_block));
    let mut chains = Vec::new();
    for (data_policy, custody, since) in current.chain(former) {
        // A former contract with a wrong Custody would seem to need nothing.
        connection.must_work_with(data_policy, custody).await?;
        chains.push((Chain::new(connection.rpcs.clone(), data_policy, custody), since));
    }
    Ok(chains)
}

/// What of one contract still needs the key.
async fn user(chain: &Chain, store: &Store, used: &KeyUse) -> Result<Option<String>, Error> {
    for policy in &used.policies {
        if is_live(store, policy, used.now).await? {
            return Ok(Some(format!("dataset {} is sealed to it under a live policy", policy.datasetUid)));
        }
    }
    for job in &used.jobs {
        let state = chain.job_state(job.jobId).await?.value.0;
        if state.is_some_and(|state| matches!(state, JobState::Granted | JobState::Running)) {
            return Ok(Some(format!("job {} has not ended", job.jobId)));
        }
    }
    Ok(None)
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
