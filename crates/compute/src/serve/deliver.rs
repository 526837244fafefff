//! The way back: custodians hold the result and their shares of its key before the manifest exists,
//! and get the manifest where the host cannot read it. So the host can neither settle alone nor hand
//! the adapter over unpaid.

use std::time::Duration;

use licen_core::abi::{Delivery, Held, Job, MemberSignature, ResultManifest};
use licen_core::canonical::json_to_vec;
use licen_core::eip712::Domain;
use licen_core::job::Reason;
use licen_core::primitives::{B256, Bytes};
use licen_core::result_roots::ResultRoots;
use licen_core::wire::AbiHex;
use licen_core::wire::custodian::{DeliverRequest, HeldResponse, SealedShare, SignedManifest};
use licen_seal::delivery::{DeliveryTerms, seal_manifest};
use tokio::time::Instant;

use super::custodians::{Answers, CallError, Member, Patience, ask_all, ask_slow};
use super::error::Broken;
use super::node::{Node, unix_now};
use super::setup::Prepared;

/// A custodian fetches and hashes the result before it answers.
const HOLD_LIMIT: Duration = Duration::from_secs(300);
/// How long to go on offering shares once t say that they hold the result. A custodian that lies says so
/// first; behind it, a slow honest one is what keeps the paid result available.
const HOLD_SLOW: Duration = Duration::from_secs(15);
/// The same for custodians that nobody can connect to.
const HOLD_GRACE: Duration = Duration::from_secs(2);
const MANIFEST_LIMIT: Duration = Duration::from_secs(30);
const MANIFEST_GRACE: Duration = Duration::from_secs(2);
/// How long to look for t takers of the manifest before fewer have to do.
const MANIFEST_PATIENCE: Duration = Duration::from_secs(90);

/// A sealed, uploaded result.
pub(super) struct SealedResult {
    /// Of the container and of what stands behind it.
    pub(super) roots: ResultRoots,
    /// Commitment to the whole result key.
    pub(super) key_commit: B256,
    /// One share per custodian of the envelope, index 1 first, with its commitment.
    pub(super) shares: Vec<(SealedShare, B256)>,
}

/// Gives every custodian its share until t have signed that they hold the result and the slower ones
/// had their time.
///
/// # Errors
/// `COMPUTE_TASK_FAILED` where too few hold it.
pub(super) async fn hand_out(
    node: &Node,
    prepared: &Prepared,
    job: &Job,
    sealed: &SealedResult,
    signature: Bytes,
) -> Result<Vec<MemberSignature>, Broken> {
    let need = usize::from(prepared.documents.envelope.terms().t);
    let until = Instant::now() + Duration::from_secs(86_400); // the machine's deadline ends this
    let offer = Offer { job, sealed, signature };
    let answers = hold(node, prepared, &offer, Patience { need, grace: HOLD_GRACE, until }).await;
    if answers.good.len() < need {
        let message =
            format!("{} of {need} custodians hold the result: {}", answers.good.len(), answers.complaints());
        return Err(Broken::new(Reason::ComputeTaskFailed, message));
    }
    Ok(answers.good.into_iter().take(need).map(|(_, signature)| signature).collect())
}

/// What custodians are asked to hold.
struct Offer<'a> {
    job: &'a Job,
    sealed: &'a SealedResult,
    /// Of the `Delivery`, by the attested signer.
    signature: Bytes,
}

/// What the attested signer signs about this result.
pub(super) fn delivery_of(prepared: &Prepared, job: &Job, sealed: &SealedResult) -> Delivery {
    sealed.roots.delivery(job, prepared.blobs.url())
}

async fn hold(
    node: &Node,
    prepared: &Prepared,
    offer: &Offer<'_>,
    patience: Patience,
) -> Answers<MemberSignature> {
    let held = offer.sealed.roots.held(offer.job.jobId, offer.job.attempt);
    let slow = || slow_grace(offer.job, unix_now());
    ask_slow(&prepared.documents.members, patience, slow, |member| {
        let held = &held;
        async move {
            let request = share_for(&member, prepared, offer)
                .ok_or_else(|| CallError::lasting("there is no share for this custodian"))?;
            let answer = member.at(&node.http, HOLD_LIMIT)?.deliver_share(&request).await?;
            check_held(&prepared.domain, &member, &answer, held).map_err(CallError::lasting)?;
            Ok(answer.signature.0)
        }
    })
    .await
}

/// At most half of what is left before the run deadline: the other half is for manifest and settlement.
fn slow_grace(job: &Job, now: u64) -> Duration {
    HOLD_SLOW.min(Duration::from_secs(job.runDeadline.saturating_sub(now)) / 2)
}

fn share_for(member: &Member, prepared: &Prepared, offer: &Offer<'_>) -> Option<DeliverRequest> {
    let Offer { job, sealed, signature } = offer;
    let (share, share_commit) = sealed.shares.get(usize::from(member.i).checked_sub(1)?)?;
    Some(DeliverRequest::Share {
        contract: prepared.domain.contract,
        job: AbiHex((*job).clone()),
        roots: sealed.roots,
        share: share.clone(),
        share_commit: *share_commit,
        key_commit: sealed.key_commit,
        blob_url: prepared.blobs.url().to_owned(),
        signature: signature.clone(),
    })
}

fn check_held(
    domain: &Domain,
    member: &Member,
    answer: &HeldResponse,
    expected: &Held,
) -> Result<(), &'static str> {
    let (held, signature) = (&answer.held.0, &answer.signature.0);
    if held != expected {
        return Err("it says that it holds something else");
    }
    if u32::from(signature.index) + 1 != u32::from(member.i) {
        return Err("its Held is signed for another member");
    }
    if domain.member_of(held, signature) != Some(member.id) {
        return Err("its Held is not signed by this custodian");
    }
    Ok(())
}

/// Sends the signed manifest to every custodian, sealed to each; t should take it, one is enough to
/// settle.
///
/// # Errors
/// Nobody took it.
pub(super) async fn send_manifest(
    node: &Node,
    prepared: &Prepared,
    (manifest, signature): (&ResultManifest, &Bytes),
    held: &[MemberSignature],
) -> Result<usize, String> {
    let signed = SignedManifest {
        manifest: AbiHex(manifest.clone()),
        signature: signature.clone(),
        held: held.iter().cloned().map(AbiHex).collect(),
    };
    let signed = json_to_vec(&signed).map_err(|e| e.to_string())?;
    let need = usize::from(prepared.documents.envelope.terms().t);
    let patience = Patience { need, grace: MANIFEST_GRACE, until: Instant::now() + MANIFEST_PATIENCE };
    let answers = ask_all(&prepared.documents.members, patience, |member| {
        let signed = &signed;
        async move {
            let request = sealed_for(&member, prepared, manifest, signed).map_err(CallError::lasting)?;
            Ok(member.at(&node.http, MANIFEST_LIMIT)?.deliver_manifest(&request).await?)
        }
    })
    .await;
    for (member, error) in &answers.failed {
        tracing::warn!(custodian = %member.id, index = member.i, error = %error.message, "has no manifest");
    }
    match answers.good.len() {
        0 => Err(format!("no custodian took the manifest: {}", answers.complaints())),
        taken => Ok(taken),
    }
}

fn sealed_for(
    member: &Member,
    prepared: &Prepared,
    manifest: &ResultManifest,
    signed: &[u8],
) -> Result<DeliverRequest, String> {
    let (_, pk) = usize::from(member.i)
        .checked_sub(1)
        .and_then(|position| prepared.documents.hpke_members.get(position))
        .ok_or("no such member")?;
    let terms = DeliveryTerms { job_id: manifest.jobId, attempt: manifest.attempt, custodian: member.id };
    let (enc, ct) = seal_manifest(signed, &terms, pk).map_err(|e| e.to_string())?;
    let (contract, job_id, attempt) = (prepared.domain.contract, manifest.jobId, manifest.attempt);
    Ok(DeliverRequest::Manifest { contract, job_id, attempt, enc, ct })
}

#[cfg(test)]
mod tests {
    use super::*;
    use licen_core::eip712::compact;
    use licen_core::primitives::Address;
    use licen_seal::SigningKey;

    /// Compute signs its only statement once t custodians hold the result: a word that is not theirs must
    /// not bring it to sign.
    #[test]
    fn a_held_that_its_custodian_did_not_sign_for_this_result_does_not_count() {
        let domain = Domain { chain_id: 31_337, contract: Address::repeat_byte(9) };
        let key = SigningKey::generate().ok().unwrap();
        let member = Member { i: 2, id: key.address(), url: String::new() };
        let roots = ResultRoots {
            result_hash: B256::repeat_byte(2),
            base_model_root: B256::repeat_byte(3),
            adapter_root: B256::repeat_byte(4),
            attestation_ref: B256::repeat_byte(5),
            report_hash: B256::repeat_byte(6),
        };
        let expected = roots.held(B256::repeat_byte(1), 1);
        let sign = |key: &SigningKey, held: &Held, index: u16| {
            let signature = key.sign(&domain.digest(held)).unwrap();
            let signature = compact(index, signature.as_bytes()).unwrap();
            HeldResponse { held: AbiHex(held.clone()), signature: AbiHex(signature) }
        };
        let check = |answer: &HeldResponse| check_held(&domain, &member, answer, &expected);
        assert_eq!(check(&sign(&key, &expected, 1)), Ok(()));
        for other in [
            Held { jobId: B256::ZERO, ..expected.clone() },
            Held { attempt: 2, ..expected.clone() },
            Held { resultHash: B256::ZERO, ..expected.clone() },
            Held { baseModelRoot: B256::ZERO, ..expected.clone() },
            Held { adapterRoot: B256::ZERO, ..expected.clone() },
            Held { attestationRef: B256::ZERO, ..expected.clone() },
            Held { reportHash: B256::ZERO, ..expected.clone() },
        ] {
            assert!(check(&sign(&key, &other, 1)).unwrap_err().contains("something else"), "{other:?}");
            let mut relabelled = sign(&key, &other, 1);
            relabelled.held = AbiHex(expected.clone());
            assert!(check(&relabelled).unwrap_err().contains("not signed"), "{other:?}");
        }
        for index in [0, 2] {
            assert!(check(&sign(&key, &expected, index)).unwrap_err().contains("another member"));
        }
        let host = SigningKey::generate().ok().unwrap();
        assert!(check(&sign(&host, &expected, 1)).unwrap_err().contains("not signed"));
        let elsewhere = Domain { chain_id: 1, ..domain };
        let answer = sign(&key, &expected, 1);
        assert!(check_held(&elsewhere, &member, &answer, &expected).unwrap_err().contains("not signed"));
    }

    #[test]
    fn waiting_for_slow_custodians_leaves_time_to_settle() {
        let job = Job { runDeadline: 1_000, ..Job::default() };
        let grace = |now| slow_grace(&job, now).as_secs();
        assert_eq!([0, 970, 990, 1_000, 2_000].map(grace), [15, 15, 5, 0, 0]);
    }
}
