//! EIP-712 digests under the LICEN domain, and who signed them.

use alloc::vec::Vec;
use alloy_primitives::{Address, B256, Signature, U256};
use alloy_sol_types::{Eip712Domain, SolStruct, SolValue};

use crate::abi::{ErasureStatement, MemberKey, MemberSignature, RefusalStatement, Retire};

/// The domain of what is signed for one deployment: name, version, chain id and the `DataPolicy` address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Domain {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The `DataPolicy` contract.
    pub contract: Address,
}

impl Domain {
    fn eip712(&self) -> Eip712Domain {
        eip712(self.chain_id, Some(self.contract))
    }

    /// The domain of statements, which hold at every deployment of this chain.
    #[must_use]
    pub fn chain(&self) -> ChainDomain {
        ChainDomain { chain_id: self.chain_id }
    }

    /// keccak256 of the EIP-712 domain.
    #[must_use]
    pub fn separator(&self) -> B256 {
        self.eip712().separator()
    }

    /// The 32 bytes that are signed for `message`.
    #[must_use]
    pub fn digest<T: SolStruct>(&self, message: &T) -> B256 {
        message.eip712_signing_hash(&self.eip712())
    }

    /// The address whose key signed `message` with a 65-byte r‖s‖v signature. Refuses high s and
    /// any v but 27 and 28, as the contracts do, so one message has one signature per key.
    #[must_use]
    pub fn signer_of<T: SolStruct>(&self, message: &T, signature: &[u8]) -> Option<Address> {
        signer_of(&self.digest(message), signature)
    }

    /// The address that signed `message` in the compact form used on chain.
    #[must_use]
    pub fn member_of<T: SolStruct>(&self, message: &T, signature: &MemberSignature) -> Option<Address> {
        let vs = U256::from_be_bytes(signature.vs.0);
        let s = vs & (U256::MAX >> 1);
        recover(&self.digest(message), U256::from_be_bytes(signature.r.0), s, vs.bit(255))
    }
}

/// The domain of statements about a dataset or a key: name, version and chain id. No contract is named,
/// because a dataset and a key are the same at every deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainDomain {
    /// EIP-155 chain id.
    pub chain_id: u64,
}

/// What is signed under a [`ChainDomain`], and nothing else is.
pub trait Statement: SolStruct {}

impl Statement for Retire {}
impl Statement for RefusalStatement {}
impl Statement for ErasureStatement {}
impl Statement for MemberKey {}

impl ChainDomain {
    /// The 32 bytes that are signed for `statement`.
    #[must_use]
    pub fn digest<T: Statement>(&self, statement: &T) -> B256 {
        statement.eip712_signing_hash(&eip712(self.chain_id, None))
    }

    /// The address whose key signed `statement`, as [`Domain::signer_of`].
    #[must_use]
    pub fn signer_of<T: Statement>(&self, statement: &T, signature: &[u8]) -> Option<Address> {
        signer_of(&self.digest(statement), signature)
    }
}

fn eip712(chain_id: u64, verifying_contract: Option<Address>) -> Eip712Domain {
    Eip712Domain {
        name: Some("LICEN".into()),
        version: Some("2".into()),
        chain_id: Some(U256::from(chain_id)),
        verifying_contract,
        salt: None,
    }
}

fn signer_of(digest: &B256, signature: &[u8]) -> Option<Address> {
    let [rs @ .., v] = signature else { return None };
    if rs.len() != 64 || !matches!(v, 27 | 28) {
        return None;
    }
    let r = U256::from_be_slice(&rs[..32]);
    let s = U256::from_be_slice(&rs[32..]);
    recover(digest, r, s, *v == 28)
}

/// Turns r‖s‖v into the compact member form; `None` where it is not 65 bytes with v 27 or 28.
#[must_use]
pub fn compact(index: u16, signature: &[u8]) -> Option<MemberSignature> {
    if signature.len() != 65 || !matches!(signature[64], 27 | 28) {
        return None;
    }
    let r = B256::from_slice(&signature[..32]);
    let mut vs = B256::from_slice(&signature[32..64]);
    if vs[0] & 0x80 != 0 {
        return None;
    }
    if signature[64] == 28 {
        vs[0] |= 0x80;
    }
    Some(MemberSignature { index, r, vs })
}

fn recover(digest: &B256, r: U256, s: U256, odd: bool) -> Option<Address> {
    let signature = Signature::new(r, s, odd);
    if signature.normalize_s().is_some() {
        return None;
    }
    signature.recover_address_from_prehash(digest).ok()
}

/// keccak256(abi.encode(value)), the hash by which the contracts commit to structs.
#[must_use]
pub fn abi_hash<T: SolValue>(value: &T) -> B256 {
    let bytes: Vec<u8> = value.abi_encode();
    alloy_primitives::keccak256(bytes)
}
