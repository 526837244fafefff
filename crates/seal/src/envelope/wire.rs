//! The CBOR shape of an envelope and of a share's AAD.

use licen_core::primitives::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};

use super::{Envelope, EnvelopeTerms, SealedShare, Uses, VERSION};
use crate::error::SealError;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct EnvelopeWire {
    v: u8,
    suite: u8,
    chain_id: u64,
    dataset_uid: B256,
    uses: Uses,
    t: u8,
    n: u8,
    required_level: u8,
    custodian_set: B256,
    set_version: u32,
    dek_commit: B256,
    shares: Vec<ShareWire>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ShareWire {
    i: u8,
    custodian_id: Address,
    pk: Bytes,
    share_commit: B256,
    enc: Bytes,
    ct: Bytes,
}

/// Every header field and what names one share.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShareAad<'a> {
    v: u8,
    suite: u8,
    chain_id: u64,
    dataset_uid: B256,
    uses: Uses,
    t: u8,
    n: u8,
    required_level: u8,
    custodian_set: B256,
    set_version: u32,
    dek_commit: B256,
    i: u8,
    custodian_id: Address,
    pk: &'a Bytes,
    share_commit: B256,
}

impl<'a> ShareAad<'a> {
    pub(super) fn new(envelope: &Envelope, index: u8, share: &'a SealedShare) -> Self {
        let terms = &envelope.terms;
        Self {
            v: VERSION,
            suite: envelope.suite,
            chain_id: terms.chain_id,
            dataset_uid: terms.dataset_uid,
            uses: terms.uses,
            t: terms.t,
            n: count(envelope),
            required_level: terms.required_level,
            custodian_set: terms.custodian_set,
            set_version: terms.set_version,
            dek_commit: envelope.dek_commit,
            i: index,
            custodian_id: share.custodian,
            pk: &share.pk,
            share_commit: share.share_commit,
        }
    }
}

impl From<&Envelope> for EnvelopeWire {
    fn from(envelope: &Envelope) -> Self {
        let terms = &envelope.terms;
        let shares = (1..=u8::MAX)
            .zip(&envelope.shares)
            .map(|(i, share)| ShareWire {
                i,
                custodian_id: share.custodian,
                pk: share.pk.clone(),
                share_commit: share.share_commit,
                enc: share.enc.clone(),
                ct: share.ct.clone(),
            })
            .collect();
        Self {
            v: VERSION,
            suite: envelope.suite,
            chain_id: terms.chain_id,
            dataset_uid: terms.dataset_uid,
            uses: terms.uses,
            t: terms.t,
            n: count(envelope),
            required_level: terms.required_level,
            custodian_set: terms.custodian_set,
            set_version: terms.set_version,
            dek_commit: envelope.dek_commit,
            shares,
        }
    }
}

impl TryFrom<EnvelopeWire> for Envelope {
    type Error = SealError;

    fn try_from(wire: EnvelopeWire) -> Result<Self, SealError> {
        if wire.v != VERSION {
            return Err(SealError::Envelope("unknown version"));
        }
        if usize::from(wire.n) != wire.shares.len() {
            return Err(SealError::Envelope("n is not the number of shares"));
        }
        if (1..=u8::MAX).zip(&wire.shares).any(|(index, share)| share.i != index) {
            return Err(SealError::Envelope("shares are not numbered 1 to n in order"));
        }
        let terms = EnvelopeTerms {
            chain_id: wire.chain_id,
            dataset_uid: wire.dataset_uid,
            uses: wire.uses,
            t: wire.t,
            required_level: wire.required_level,
            custodian_set: wire.custodian_set,
            set_version: wire.set_version,
        };
        let shares = wire
            .shares
            .into_iter()
            .map(|share| SealedShare {
                custodian: share.custodian_id,
                pk: share.pk,
                share_commit: share.share_commit,
                enc: share.enc,
                ct: share.ct,
            })
            .collect();
        Ok(Self { terms, suite: wire.suite, dek_commit: wire.dek_commit, shares })
    }
}

/// At most 255, which `shamir::split` and `Envelope::check` have seen to.
fn count(envelope: &Envelope) -> u8 {
    u8::try_from(envelope.shares.len()).unwrap_or(u8::MAX)
}
