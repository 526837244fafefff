//! A key share on its way from a custodian to attested compute.

use licen_core::fault::Party;
use licen_core::primitives::Address;
use licen_core::wire::custodian::SealedShare;

use crate::envelope::Envelope;
use crate::error::{SealError, SealedBox};
use crate::hpke;
use crate::key::DatasetKey;
use crate::recipient::RecipientKey;
use crate::share::{KeyShare, combine_points, same};
use crate::warrant::{ReleaseTerms, Warrant};

const BOX: SealedBox = SealedBox::ReleasedShare;

/// Re-seals a share to the key that the warrant names. HPKE with the release domain as info and
/// AAD = SHA-256(runtimeData) ‖ custodianId ‖ u8 i.
///
/// # Errors
/// [`SealError::NotWarranted`] where the share belongs to another dataset, set or use, or demands a
/// higher level; [`SealError::PublicKey`].
pub fn reseal(share: &KeyShare, warrant: &Warrant) -> Result<SealedShare, SealError> {
    warrant.covers(&share.terms)?;
    let terms = warrant.release();
    let aad = release_aad(terms, &share.custodian, share.index);
    let boxed = hpke::seal(&terms.recipient, terms.domain.info(), &aad, share.secret.bytes())?;
    Ok(sealed_share(share.index, share.custodian, boxed))
}

/// Compute's side: opens what a custodian released and checks it against the envelope.
///
/// # Errors
/// [`SealError::Open`], [`SealError::WrongRecipient`] where `terms` name another key than `key`,
/// [`SealError::NotAMember`] where index and custodian are not one member, and
/// [`SealError::WrongShare`], which names the bad custodian.
pub fn open_released(
    sealed: &SealedShare,
    key: &RecipientKey,
    envelope: &Envelope,
    terms: &ReleaseTerms,
) -> Result<KeyShare, SealError> {
    if terms.recipient != key.public() {
        return Err(SealError::WrongRecipient(BOX));
    }
    if envelope.custodian(sealed.i)? != sealed.custodian_id {
        return Err(SealError::NotAMember { index: sealed.i, n: envelope.members().count() });
    }
    let aad = release_aad(terms, &sealed.custodian_id, sealed.i);
    let plain = hpke::open(key, terms.domain.info(), &aad, (&sealed.enc, &sealed.ct), BOX)?;
    envelope.checked_share(sealed.i, hpke::into_secret(&plain, BOX)?, Party::Custodian)
}

/// Makes the dataset key of `envelope` out of t distinct shares, and checks it.
///
/// # Errors
/// [`SealError::TooFewShares`], [`SealError::DuplicateShare`]; [`SealError::ForeignShare`] for a share
/// of another envelope; [`SealError::WrongShare`]; [`SealError::WrongKey`] where the owner dealt
/// shares that do not make the committed key.
pub fn combine(envelope: &Envelope, shares: &[KeyShare]) -> Result<DatasetKey, SealError> {
    let terms = envelope.terms();
    for share in shares {
        let (index, custodian) = (share.index, share.custodian);
        let foreign = |what| SealError::ForeignShare { index, custodian, what };
        if share.terms.dataset_uid != terms.dataset_uid {
            return Err(foreign("dataset"));
        }
        if share.terms != *terms || envelope.custodian(index)? != custodian {
            return Err(foreign("envelope"));
        }
        if !envelope.commits_to(index, &share.secret)? {
            return Err(SealError::WrongShare { index, custodian, from: Party::Custodian });
        }
    }
    let secret = combine_points(shares.iter().map(|share| (share.index, &share.secret)), terms.t)?;
    let key = DatasetKey(secret);
    if !same(&key.commitment(&terms.dataset_uid), &envelope.dek_commit()) {
        return Err(SealError::WrongKey);
    }
    Ok(key)
}

pub(crate) fn sealed_share(i: u8, custodian_id: Address, boxed: hpke::Boxed) -> SealedShare {
    SealedShare { i, custodian_id, enc: boxed.enc.to_vec().into(), ct: boxed.ct.into() }
}

fn release_aad(terms: &ReleaseTerms, custodian: &Address, index: u8) -> Vec<u8> {
    [terms.runtime_data_hash.as_slice(), custodian.as_slice(), &[index]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipient::RecipientPublicKey;
    use crate::warrant::ReleaseDomain;
    use licen_core::primitives::B256;

    #[test]
    fn a_release_sealed_by_javascript_opens_here() {
        let file: serde_json::Value =
            serde_json::from_str(include_str!("../tests/fixtures/javascript.json")).unwrap();
        let bytes = |name: &str| hex::decode(file["release"][name].as_str().unwrap()).unwrap();
        let key = RecipientKey::import(&mut bytes("secret").try_into().unwrap()).ok().unwrap();
        let terms = ReleaseTerms {
            recipient: RecipientPublicKey(B256::ZERO),
            runtime_data_hash: B256::from_slice(&bytes("runtimeDataHash")),
            domain: ReleaseDomain::Simulated,
        };
        let aad = release_aad(&terms, &Address::repeat_byte(0x41), 1);
        let (enc, ct) = (bytes("enc"), bytes("ct"));
        let plain = hpke::open(&key, terms.domain.info(), &aad, (&enc, &ct), BOX).unwrap();
        assert_eq!(plain.as_slice(), bytes("plain"));
        assert!(hpke::open(&key, ReleaseDomain::Production.info(), &aad, (&enc, &ct), BOX).is_err());
    }
}
