//! `licen policy reseal`: the dataset's key, out of the owner's recovery file, is sealed to other
//! custodians. The dataset stays what it is: its uid, its root, its ciphertext and every granted job.

use licen_core::abi::{Member, Policy};
use licen_core::policy::{LEVEL_HARDWARE, LEVEL_SOFTWARE, validate};
use licen_seal::DatasetKey;
use licen_seal::Envelope;
use licen_seal::envelope::{EnvelopeTerms, MAX_ENVELOPE_BYTES, Uses, seal_envelope};
use serde_json::json;

use crate::cli::ResealArgs;
use crate::owner::members::confirmed;
use crate::owner::next_policy::replace;
use crate::owner::owned::owned;
use crate::owner::publish::envelope_members;
use crate::owner::recovery::recovered_key;
use crate::session::custody::warnings;
use crate::session::error::{CliError, Outcome};
use crate::session::output::short;
use crate::session::{Session, codes, parse_b256};

/// Seals to the newest version of a set, and puts a policy into force that names it.
///
/// # Errors
/// Not the owner, not this dataset's key, no such set, keys that are not confirmed; nothing has left then.
/// Where storage or chain fail later, the new custodians may have the envelope under no policy.
pub async fn reseal(session: &Session, args: &ResealArgs) -> Outcome {
    let dataset = owned(session, &args.dataset).await?;
    let chain = session.chain_at(dataset.contract).await?;
    let chain_id = chain.domain().chain_id;
    let old = &dataset.policy;
    // An index that is behind would make a next version that the contract has already.
    chain.dataset(old).await?;
    let set = match &args.custodian_set {
        Some(set) => parse_b256(set)?,
        None => old.custodianSet,
    };
    let (set_version, t, members) = chain
        .newest_custodians(set)
        .await
        .map_err(|e| e.hint("licen custodian register prints the id of a new set"))?;
    let key = recovered_key(&args.recovery, chain_id, old.datasetUid)?;
    same_key(session, &key, old).await?;
    let next = Policy {
        version: old.version + 1,
        custodianSet: set,
        setVersion: set_version,
        requiredLevel: level(args).unwrap_or(old.requiredLevel),
        appraisalPolicy: args.appraisal_policy.as_deref().map_or(Ok(old.appraisalPolicy), parse_b256)?,
        ..old.clone()
    };
    // Once the envelope is stored its custodians can open it, so whatever can be refused comes before.
    validate(&next, chain_id, chain.now().await?)
        .map_err(|e| CliError::refused(codes::POLICY_INVALID, e.to_string()))?;
    confirmed(session, t, &members).await?;
    for warning in warnings(next.requiredLevel, t) {
        session.ui.warn(&warning);
    }
    agreed(session, old, t, &members)?;
    let terms = EnvelopeTerms {
        chain_id,
        dataset_uid: old.datasetUid,
        uses: Uses::Job,
        t,
        required_level: next.requiredLevel,
        custodian_set: set,
        set_version,
    };
    let envelope = seal_envelope(&key, &terms, &envelope_members(&members)).and_then(|e| e.encode());
    let envelope =
        envelope.map_err(|e| CliError::of(codes::SEAL, "cannot seal the key to the custodians", &e))?;
    drop(key);
    let envelope_hash = session.put_blob(envelope).await?;
    let next = Policy { envelopeHash: envelope_hash, ..next };
    let next = replace(session, &dataset, next, &[], None).await?;
    session.ui.progress(&format!("Sealed to {} custodians, {t} needed", members.len()));
    session.ui.record(&json!({"datasetUid": next.datasetUid, "version": next.version,
        "custodianSet": set, "setVersion": set_version, "envelopeHash": envelope_hash}));
    session.ui.data(&format!("set {} version {set_version}", short(&set.to_string())));
    Ok(())
}

/// The level stands in the envelope as well, so that no policy alone can lower it.
fn level(args: &ResealArgs) -> Option<u8> {
    args.level.as_deref().map(|level| if level == "hardware" { LEVEL_HARDWARE } else { LEVEL_SOFTWARE })
}

/// That the present envelope holds the same key. One that storage has lost holds nobody up: the file
/// names its dataset under the passphrase, and a new envelope is what such a dataset needs.
async fn same_key(session: &Session, key: &DatasetKey, old: &Policy) -> Outcome {
    let Ok(bytes) = session.blob(old.envelopeHash, MAX_ENVELOPE_BYTES as u64).await else {
        session.ui.warn("storage does not have the present envelope, so the key was not compared with it");
        return Ok(());
    };
    let envelope = Envelope::decode(&bytes)
        .map_err(|e| CliError::refused(codes::STORAGE, "the present envelope is not one").because(&e))?;
    if envelope.dek_commit() == key.commitment(&old.datasetUid) {
        return Ok(());
    }
    Err(CliError::refused(
        codes::SEAL,
        "the recovery file holds another key than the dataset is sealed under",
    )
    .hint("--recovery with the file that publish wrote for this dataset"))
}

/// Whoever gets a share has it for ever, so the owner sees to whom.
fn agreed(session: &Session, old: &Policy, t: u8, members: &[Member]) -> Outcome {
    let who: Vec<String> = members.iter().map(|m| m.signer.to_string()).collect();
    let question = format!(
        "seal the key of {} to {} ({t} of {} can open it)?",
        short(&old.datasetRoot.to_string()),
        who.join(", "),
        members.len()
    );
    if session.ui.confirm(&question) {
        return Ok(());
    }
    Err(CliError::environment(codes::NOT_CONFIRMED, "not resealed").hint("--yes confirms it in a script"))
}
