//! Envelope v2: a dataset key, shared among custodians, each share sealed to one of them.
//!
//! Canonical CBOR (RFC 8949 §4.2.1), text keys. Each share's AAD is the canonical CBOR map of every
//! header field plus that share's `i`, `custodianId`, `pk` and `shareCommit`, so a share opens only
//! inside the envelope it was dealt for.
//!
//! Suite 1 is HPKE with info "LICEN/envelope/v2". Suite 2 is ECIES over secp256k1 as `eciesjs` and
//! `ecies` write it by default: `enc` = 65-byte ephemeral key, `ct` = nonce[16] ‖ tag[16] ‖
//! ciphertext. ECIES takes no AAD, so its plaintext is SHA-256(AAD) ‖ share, and opening refuses any
//! other hash.

#[cfg(test)]
mod tests;
mod wire;

use licen_core::canonical;
use licen_core::fault::Party;
use licen_core::primitives::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::error::{SealError, SealedBox};
use crate::hpke;
use crate::key::{DatasetKey, sha256};
use crate::recipient::{EciesPublicKey, EciesRecipientKey, RecipientKey, RecipientPublicKey};
use crate::secret::Secret;
use crate::shamir;
use crate::share::{KeyShare, same, share_commitment};

/// The largest envelope that anybody accepts.
pub const MAX_ENVELOPE_BYTES: usize = 64 * 1024;

const VERSION: u8 = 2;
const INFO: &[u8] = b"LICEN/envelope/v2";
const BOX: SealedBox = SealedBox::EnvelopeShare;
const SUITE_HPKE: u8 = 1;
const SUITE_ECIES: u8 = 2;
const ECIES_EPHEMERAL_BYTES: usize = 65;
/// AAD hash ‖ share.
const ECIES_PLAIN_BYTES: usize = 64;

/// What a dataset key in an envelope may be used for. One key has one use: a job envelope never
/// opens for a license holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Uses {
    /// Training jobs in attested compute.
    Job,
    /// Download by the holder of a license.
    Download,
}

/// What an envelope is bound to; the same values stand on chain. It names no contract: whose dataset it
/// is stands in the uid, which contracts it serves is the custodians' own configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnvelopeTerms {
    /// The chain.
    pub chain_id: u64,
    /// The dataset.
    pub dataset_uid: B256,
    /// What the key is for.
    pub uses: Uses,
    /// Shares needed.
    pub t: u8,
    /// The lowest attestation level that may get a share: 1 SOFTWARE, 2 HARDWARE.
    pub required_level: u8,
    /// The custodian set in `Custody`.
    pub custodian_set: B256,
    /// Its version.
    pub set_version: u32,
}

/// A custodian to deal a share to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnvelopeMember {
    /// Its signing address, which names it.
    pub custodian: Address,
    /// What to seal to.
    pub pk: MemberPublicKey,
}

/// A member's public key; its kind decides the suite, and all members have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberPublicKey {
    /// Suite 1.
    Hpke(RecipientPublicKey),
    /// Suite 2.
    Ecies(EciesPublicKey),
}

/// A well-formed envelope. Whether its terms are those on chain, the caller compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    terms: EnvelopeTerms,
    suite: u8,
    dek_commit: B256,
    shares: Vec<SealedShare>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct SealedShare {
    custodian: Address,
    pk: Bytes,
    share_commit: B256,
    enc: Bytes,
    ct: Bytes,
}

/// A private key that opens shares: [`RecipientKey`] (suite 1) or [`EciesRecipientKey`] (suite 2).
pub trait OpensShare: private::OpensShare {}
impl OpensShare for RecipientKey {}
impl OpensShare for EciesRecipientKey {}

/// Splits `key` among `members` (index 1 is the first) and seals each share to its member.
///
/// # Errors
/// Bad terms or members ([`SealError::Envelope`], [`SealError::Threshold`], [`SealError::PublicKey`]),
/// or more members than an envelope of 64 KiB holds.
pub fn seal_envelope(
    key: &DatasetKey,
    terms: &EnvelopeTerms,
    members: &[EnvelopeMember],
) -> Result<Envelope, SealError> {
    let suite = suite_of(members)?;
    let secrets = shamir::split(&key.0, terms.t, members.len())?;
    let dek_commit = key.commitment(&terms.dataset_uid);
    let mut envelope = Envelope { terms: *terms, suite, dek_commit, shares: Vec::new() };
    envelope.shares = members
        .iter()
        .zip((1..=u8::MAX).zip(&secrets))
        .map(|(member, (index, secret))| SealedShare {
            custodian: member.custodian,
            pk: Bytes::copy_from_slice(member.pk.as_slice()),
            share_commit: share_commitment(&terms.dataset_uid, index, secret),
            enc: Bytes::new(),
            ct: Bytes::new(),
        })
        .collect();
    for (member, (index, secret)) in members.iter().zip((1..=u8::MAX).zip(&secrets)) {
        let aad = envelope.aad(index)?;
        let (enc, ct) = seal_share(&member.pk, &aad, secret)?;
        let share = &mut envelope.shares[usize::from(index) - 1];
        (share.enc, share.ct) = (enc, ct);
    }
    envelope.check()?;
    envelope.encode()?;
    Ok(envelope)
}

/// Opens the share of member `index` (from 1) and checks its commitment.
///
/// # Errors
/// [`SealError::WrongRecipient`] where it is sealed to another key than `key`;
/// [`SealError::WrongShare`] where the owner dealt a share that does not match its commitment.
pub fn open_share<K: OpensShare>(envelope: &Envelope, key: &K, index: u8) -> Result<KeyShare, SealError> {
    let share = envelope.share(index)?;
    if envelope.suite != key.suite() || share.pk.as_ref() != key.public_bytes().as_slice() {
        return Err(SealError::WrongRecipient(BOX));
    }
    let secret = key.open(&envelope.aad(index)?, share)?;
    envelope.checked_share(index, secret, Party::Owner)
}

impl Envelope {
    /// Reads an envelope and refuses everything but its one canonical form.
    ///
    /// # Errors
    /// [`SealError::EnvelopeTooLarge`], [`SealError::Canonical`], [`SealError::Envelope`].
    pub fn decode(bytes: &[u8]) -> Result<Self, SealError> {
        check_size(bytes.len())?;
        let envelope = canonical::cbor_from_slice::<wire::EnvelopeWire>(bytes)?.try_into()?;
        Self::check(&envelope)?;
        Ok(envelope)
    }

    /// The canonical bytes; their file root is the envelopeHash.
    ///
    /// # Errors
    /// [`SealError::EnvelopeTooLarge`].
    pub fn encode(&self) -> Result<Vec<u8>, SealError> {
        let bytes = canonical::cbor_to_vec(&wire::EnvelopeWire::from(self))?;
        check_size(bytes.len())?;
        Ok(bytes)
    }

    /// What it is bound to.
    #[must_use]
    pub fn terms(&self) -> &EnvelopeTerms {
        &self.terms
    }

    /// 1 = HPKE, 2 = ECIES.
    #[must_use]
    pub fn suite(&self) -> u8 {
        self.suite
    }

    /// The commitment to the dataset key.
    #[must_use]
    pub fn dek_commit(&self) -> B256 {
        self.dek_commit
    }

    /// Members, each with the address that names it and the bytes of its public key, from index 1.
    pub fn members(&self) -> impl Iterator<Item = (Address, &[u8])> {
        self.shares.iter().map(|share| (share.custodian, share.pk.as_ref()))
    }

    /// The members' HPKE keys, to which compute seals the shares of the result key.
    ///
    /// # Errors
    /// [`SealError::Envelope`] for suite 2, whose members have no HPKE key here.
    pub fn hpke_members(&self) -> Result<Vec<(Address, RecipientPublicKey)>, SealError> {
        if self.suite != SUITE_HPKE {
            return Err(SealError::Envelope("members of suite 2 have no HPKE key"));
        }
        Ok(self
            .members()
            .map(|(custodian, pk)| (custodian, RecipientPublicKey(B256::from_slice(pk))))
            .collect())
    }

    /// The index, from 1, of a custodian.
    #[must_use]
    pub fn index_of(&self, custodian: &Address) -> Option<u8> {
        (1..=u8::MAX)
            .zip(&self.shares)
            .find(|(_, share)| share.custodian == *custodian)
            .map(|(index, _)| index)
    }

    /// Admits a secret as the share of member `index` if it matches the commitment.
    pub(crate) fn checked_share(
        &self,
        index: u8,
        secret: Secret,
        from: Party,
    ) -> Result<KeyShare, SealError> {
        let custodian = self.custodian(index)?;
        if !self.commits_to(index, &secret)? {
            return Err(SealError::WrongShare { index, custodian, from });
        }
        Ok(KeyShare { secret, index, custodian, terms: self.terms })
    }

    pub(crate) fn commits_to(&self, index: u8, secret: &Secret) -> Result<bool, SealError> {
        let commit = share_commitment(&self.terms.dataset_uid, index, secret);
        Ok(same(&commit, &self.share(index)?.share_commit))
    }

    pub(crate) fn custodian(&self, index: u8) -> Result<Address, SealError> {
        self.share(index).map(|share| share.custodian)
    }

    fn share(&self, index: u8) -> Result<&SealedShare, SealError> {
        let n = self.shares.len();
        usize::from(index)
            .checked_sub(1)
            .and_then(|position| self.shares.get(position))
            .ok_or(SealError::NotAMember { index, n })
    }

    fn aad(&self, index: u8) -> Result<Vec<u8>, SealError> {
        Ok(canonical::cbor_to_vec(&wire::ShareAad::new(self, index, self.share(index)?))?)
    }

    fn check(&self) -> Result<(), SealError> {
        let n = self.shares.len();
        if self.terms.t == 0 || usize::from(self.terms.t) > n || n > usize::from(u8::MAX) {
            return Err(SealError::Threshold { t: self.terms.t, n });
        }
        if !matches!(self.terms.required_level, 1 | 2) {
            return Err(SealError::Envelope("requiredLevel is neither 1 nor 2"));
        }
        let (pk_bytes, enc_bytes, ct_bytes) = match self.suite {
            SUITE_HPKE => (32, 32, 32 + 16),
            SUITE_ECIES => (33, ECIES_EPHEMERAL_BYTES, 16 + 16 + ECIES_PLAIN_BYTES),
            _ => return Err(SealError::Envelope("unknown suite")),
        };
        for (position, share) in self.shares.iter().enumerate() {
            if share.custodian == Address::ZERO {
                return Err(SealError::Envelope("a custodian is the zero address"));
            }
            if self.shares[..position].iter().any(|other| other.custodian == share.custodian) {
                return Err(SealError::Envelope("a custodian stands twice"));
            }
            if self.shares[..position].iter().any(|other| other.pk == share.pk) {
                return Err(SealError::Envelope("two custodians have one public key"));
            }
            if share.pk.len() != pk_bytes || share.enc.len() != enc_bytes || share.ct.len() != ct_bytes {
                return Err(SealError::Envelope("a field of a share has the wrong length"));
            }
        }
        Ok(())
    }
}

impl MemberPublicKey {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Hpke(key) => key.0.as_slice(),
            Self::Ecies(key) => key.as_bytes(),
        }
    }
}

fn suite_of(members: &[EnvelopeMember]) -> Result<u8, SealError> {
    let suite = |member: &EnvelopeMember| match member.pk {
        MemberPublicKey::Hpke(_) => SUITE_HPKE,
        MemberPublicKey::Ecies(_) => SUITE_ECIES,
    };
    let first = members.first().map(suite).ok_or(SealError::Envelope("no custodians"))?;
    if members.iter().any(|member| suite(member) != first) {
        return Err(SealError::Envelope("members of two suites"));
    }
    Ok(first)
}

fn seal_share(to: &MemberPublicKey, aad: &[u8], share: &Secret) -> Result<(Bytes, Bytes), SealError> {
    match to {
        MemberPublicKey::Hpke(to) => {
            let boxed = hpke::seal(to, INFO, aad, share.bytes())?;
            Ok((Bytes::copy_from_slice(&boxed.enc), boxed.ct.into()))
        }
        MemberPublicKey::Ecies(to) => {
            let mut plain = Zeroizing::new([0; ECIES_PLAIN_BYTES]);
            plain[..32].copy_from_slice(sha256(&[aad]).as_slice());
            plain[32..].copy_from_slice(share.bytes());
            let sealed = ecies::encrypt(to.as_bytes(), plain.as_slice()).map_err(|_| SealError::PublicKey)?;
            let (enc, ct) = sealed.split_at(ECIES_EPHEMERAL_BYTES);
            Ok((Bytes::copy_from_slice(enc), Bytes::copy_from_slice(ct)))
        }
    }
}

fn check_size(bytes: usize) -> Result<(), SealError> {
    if bytes > MAX_ENVELOPE_BYTES {
        return Err(SealError::EnvelopeTooLarge { bytes, max: MAX_ENVELOPE_BYTES });
    }
    Ok(())
}

mod private {
    use super::*;

    pub trait OpensShare {
        fn suite(&self) -> u8;
        fn public_bytes(&self) -> Vec<u8>;
        #[allow(private_interfaces)]
        fn open(&self, aad: &[u8], share: &SealedShare) -> Result<Secret, SealError>;
    }

    impl OpensShare for RecipientKey {
        fn suite(&self) -> u8 {
            SUITE_HPKE
        }

        fn public_bytes(&self) -> Vec<u8> {
            self.public().0.to_vec()
        }

        #[allow(private_interfaces)]
        fn open(&self, aad: &[u8], share: &SealedShare) -> Result<Secret, SealError> {
            hpke::into_secret(&hpke::open(self, INFO, aad, (&share.enc, &share.ct), BOX)?, BOX)
        }
    }

    impl OpensShare for EciesRecipientKey {
        fn suite(&self) -> u8 {
            SUITE_ECIES
        }

        fn public_bytes(&self) -> Vec<u8> {
            self.public().as_bytes().to_vec()
        }

        #[allow(private_interfaces)]
        fn open(&self, aad: &[u8], share: &SealedShare) -> Result<Secret, SealError> {
            let sealed = [share.enc.as_ref(), share.ct.as_ref()].concat();
            let plain = ecies::decrypt(self.secret().bytes(), &sealed).map_err(|_| SealError::Open(BOX))?;
            let plain = Zeroizing::new(plain);
            let (hash, share) = plain.split_first_chunk::<32>().ok_or(SealError::Open(BOX))?;
            if !bool::from(hash.ct_eq(&sha256(&[aad]).0)) {
                return Err(SealError::Open(BOX));
            }
            hpke::into_secret(share, BOX)
        }
    }
}
