//! Shares of a result key: from compute to the custodians when training ends, from the custodians
//! to the researcher when the chain says Completed.

use licen_core::canonical;
use licen_core::fault::Party;
use licen_core::primitives::{Address, B256};
use licen_core::wire::custodian::SealedShare;
use serde::Serialize;

use crate::error::{SealError, SealedBox};
use crate::hpke;
use crate::key::ResultKey;
use crate::recipient::{RecipientKey, RecipientPublicKey};
use crate::release::sealed_share;
use crate::result::{ResultHeader, ResultMember, ResultTar, ResultTerms};
use crate::secret::Secret;
use crate::shamir;
use crate::share::{ResultKeyShare, combine_points, result_share_commitment, same};
use crate::warrant::ResultWarrant;

const SHARE_INFO: &[u8] = b"LICEN/result-share/v2";
const RELEASE_INFO: &[u8] = b"LICEN/result-release/v2";

/// The shares of one result key as dealt. They wait for the resultHash, which covers the header
/// with their commitments.
pub struct ResultShares {
    header: ResultHeader,
    secrets: Vec<Secret>,
}

impl ResultShares {
    /// Splits `key` among the custodians that the envelope names, never among others. The result will
    /// hold `tar`.
    ///
    /// # Errors
    /// [`SealError::Threshold`], [`SealError::Random`], [`SealError::Result`].
    pub fn deal(
        key: &ResultKey,
        terms: &ResultTerms,
        t: u8,
        custodians: &[(Address, RecipientPublicKey)],
        tar: ResultTar,
    ) -> Result<Self, SealError> {
        let secrets = shamir::split(&key.0, t, custodians.len())?;
        let members = custodians
            .iter()
            .zip((1..=u8::MAX).zip(&secrets))
            .map(|((custodian, pk), (index, secret))| ResultMember {
                custodian: *custodian,
                pk: *pk,
                share_commit: result_share_commitment(&terms.job_id, terms.attempt, index, secret),
            })
            .collect();
        let key_commit = key.commitment(&terms.job_id, terms.attempt);
        Ok(Self { header: ResultHeader::new(*terms, t, key_commit, tar, members)?, secrets })
    }

    /// The header that the result begins with.
    #[must_use]
    pub fn header(&self) -> &ResultHeader {
        &self.header
    }

    /// Seals each share to its custodian: info "LICEN/result-share/v2", AAD = canonical CBOR
    /// {attempt, chainId, contract, jobId, resultHash}.
    ///
    /// # Errors
    /// [`SealError::PublicKey`].
    pub fn seal(&self, result_hash: &B256) -> Result<Vec<SealedShare>, SealError> {
        let aad = share_aad(self.header.terms(), result_hash)?;
        (1..=u8::MAX)
            .zip(self.header.members())
            .zip(&self.secrets)
            .map(|((index, member), secret)| {
                let boxed = hpke::seal(&member.pk, SHARE_INFO, &aad, secret.bytes())?;
                Ok(sealed_share(index, member.custodian, boxed))
            })
            .collect()
    }
}

/// The custodian's side: opens its share and checks it against the result's header.
///
/// # Errors
/// [`SealError::WrongRecipient`], [`SealError::NotAMember`], [`SealError::Open`];
/// [`SealError::WrongShare`] where compute dealt a share that does not match.
pub fn open_result_share(
    sealed: &SealedShare,
    key: &RecipientKey,
    header: &ResultHeader,
    result_hash: &B256,
) -> Result<ResultKeyShare, SealError> {
    let what = SealedBox::ResultShare;
    let member = member_of(header, sealed)?;
    if member.pk != key.public() {
        return Err(SealError::WrongRecipient(what));
    }
    let aad = share_aad(header.terms(), result_hash)?;
    let plain = hpke::open(key, SHARE_INFO, &aad, (&sealed.enc, &sealed.ct), what)?;
    checked(header, sealed, hpke::into_secret(&plain, what)?, result_hash, what.sealed_by())
}

/// Re-seals a share to the requester: info "LICEN/result-release/v2", AAD = jobId ‖ resultHash ‖
/// custodianId ‖ u8 i.
///
/// # Errors
/// [`SealError::NotWarranted`] for a share of another job, attempt or result.
pub fn reseal_result(share: &ResultKeyShare, warrant: &ResultWarrant) -> Result<SealedShare, SealError> {
    warrant.covers(share)?;
    let aad = release_aad(&share.job_id, &share.result_hash, &share.custodian, share.index);
    let boxed = hpke::seal(warrant.recipient(), RELEASE_INFO, &aad, share.secret.bytes())?;
    Ok(sealed_share(share.index, share.custodian, boxed))
}

/// The researcher's side: opens what a custodian released.
///
/// # Errors
/// As [`open_result_share`].
pub fn open_result_release(
    sealed: &SealedShare,
    key: &RecipientKey,
    header: &ResultHeader,
    result_hash: &B256,
) -> Result<ResultKeyShare, SealError> {
    let what = SealedBox::ReleasedResultShare;
    member_of(header, sealed)?;
    let aad = release_aad(&header.terms().job_id, result_hash, &sealed.custodian_id, sealed.i);
    let plain = hpke::open(key, RELEASE_INFO, &aad, (&sealed.enc, &sealed.ct), what)?;
    checked(header, sealed, hpke::into_secret(&plain, what)?, result_hash, what.sealed_by())
}

/// Makes the result key out of t distinct shares, and checks it against the header.
///
/// # Errors
/// [`SealError::TooFewShares`], [`SealError::DuplicateShare`], [`SealError::ForeignShare`],
/// [`SealError::WrongShare`], [`SealError::WrongKey`].
pub fn combine_result(header: &ResultHeader, shares: &[ResultKeyShare]) -> Result<ResultKey, SealError> {
    let terms = header.terms();
    for share in shares {
        let (index, custodian) = (share.index, share.custodian);
        let foreign = |what| SealError::ForeignShare { index, custodian, what };
        if share.domain != terms.domain || share.job_id != terms.job_id {
            return Err(foreign("job"));
        }
        if share.attempt != terms.attempt {
            return Err(foreign("attempt"));
        }
        let member = header.member(index)?;
        if member.custodian != custodian {
            return Err(foreign("set"));
        }
        if !commits(header, index, member, &share.secret) {
            return Err(SealError::WrongShare { index, custodian, from: Party::Custodian });
        }
    }
    let secret = combine_points(shares.iter().map(|share| (share.index, &share.secret)), header.t())?;
    let key = ResultKey(secret);
    if !same(&key.commitment(&terms.job_id, terms.attempt), &header.key_commit()) {
        return Err(SealError::WrongKey);
    }
    Ok(key)
}

fn member_of<'a>(header: &'a ResultHeader, sealed: &SealedShare) -> Result<&'a ResultMember, SealError> {
    let member = header.member(sealed.i)?;
    if member.custodian != sealed.custodian_id {
        return Err(SealError::NotAMember { index: sealed.i, n: header.members().len() });
    }
    Ok(member)
}

fn commits(header: &ResultHeader, index: u8, member: &ResultMember, secret: &Secret) -> bool {
    let terms = header.terms();
    same(&result_share_commitment(&terms.job_id, terms.attempt, index, secret), &member.share_commit)
}

fn checked(
    header: &ResultHeader,
    sealed: &SealedShare,
    secret: Secret,
    result_hash: &B256,
    from: Party,
) -> Result<ResultKeyShare, SealError> {
    let (index, custodian) = (sealed.i, sealed.custodian_id);
    if !commits(header, index, header.member(index)?, &secret) {
        return Err(SealError::WrongShare { index, custodian, from });
    }
    let terms = header.terms();
    Ok(ResultKeyShare {
        secret,
        index,
        custodian,
        domain: terms.domain,
        job_id: terms.job_id,
        attempt: terms.attempt,
        result_hash: *result_hash,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShareAad {
    chain_id: u64,
    contract: Address,
    job_id: B256,
    attempt: u32,
    result_hash: B256,
}

fn share_aad(terms: &ResultTerms, result_hash: &B256) -> Result<Vec<u8>, SealError> {
    Ok(canonical::cbor_to_vec(&ShareAad {
        chain_id: terms.domain.chain_id,
        contract: terms.domain.contract,
        job_id: terms.job_id,
        attempt: terms.attempt,
        result_hash: *result_hash,
    })?)
}

fn release_aad(job_id: &B256, result_hash: &B256, custodian: &Address, index: u8) -> Vec<u8> {
    [job_id.as_slice(), result_hash.as_slice(), custodian.as_slice(), &[index]].concat()
}

#[cfg(test)]
pub(crate) mod tests;
