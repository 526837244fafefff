//! The result container: what a researcher downloads and opens after settlement.
//!
//! Layout: magic "LICENRS1" ‖ u32be header length ‖ header (canonical CBOR) ‖ Tink stream of a
//! deterministic tar, under the AAD "LICEN/result/v1" ‖ chainId ‖ contract ‖ jobId. The header is in
//! the clear and holds commitments and the tar's length only; the resultHash covers all of it. A file
//! root is the same with zeros behind the file, so the length says where the stream ends.

use std::io::{Read, Take, Write};
use std::path::Path;

use licen_core::abi::Member;
use licen_core::canonical;
use licen_core::eip712::Domain;
use licen_core::primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::error::SealError;
use crate::key::ResultKey;
use crate::recipient::RecipientPublicKey;
use crate::stream::{Decryptor, Encryptor, ciphertext_len, result_aad};
use crate::tar::{TarReader, TarWriter, archive_len, unpack};

const MAGIC: &[u8; 8] = b"LICENRS1";
const VERSION: u8 = 1;
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// Which result it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultTerms {
    /// Chain id and `DataPolicy`.
    pub domain: Domain,
    /// The job.
    pub job_id: B256,
    /// The attempt.
    pub attempt: u32,
}

/// A custodian of a result-key share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultMember {
    /// Its signing address.
    pub custodian: Address,
    /// What its share is sealed to.
    pub pk: RecipientPublicKey,
    /// SHA-256("LICEN/result-share/v1" ‖ jobId ‖ u32be attempt ‖ u8 i ‖ share).
    pub share_commit: B256,
}

/// The header of a result: who holds the key's shares, and commitments to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultHeader {
    terms: ResultTerms,
    t: u8,
    key_commit: B256,
    tar_bytes: u64,
    members: Vec<ResultMember>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HeaderWire {
    v: u8,
    chain_id: u64,
    contract: Address,
    job_id: B256,
    attempt: u32,
    t: u8,
    n: u8,
    key_commit: B256,
    tar_bytes: u64,
    shares: Vec<MemberWire>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MemberWire {
    i: u8,
    custodian_id: Address,
    pk: RecipientPublicKey,
    share_commit: B256,
}

impl ResultHeader {
    pub(crate) fn new(
        terms: ResultTerms,
        t: u8,
        key_commit: B256,
        tar_bytes: u64,
        members: Vec<ResultMember>,
    ) -> Result<Self, SealError> {
        let n = members.len();
        if t == 0 || usize::from(t) > n || n > usize::from(u8::MAX) {
            return Err(SealError::Threshold { t, n });
        }
        let repeated = members
            .iter()
            .enumerate()
            .any(|(i, m)| members[..i].iter().any(|o| o.custodian == m.custodian || o.pk == m.pk));
        if repeated || members.iter().any(|m| m.custodian.is_zero()) {
            return Err(SealError::Result("custodians are not distinct"));
        }
        if ciphertext_len(tar_bytes).is_none() {
            return Err(SealError::Result("it is longer than a stream can be"));
        }
        Ok(Self { terms, t, key_commit, tar_bytes, members })
    }

    /// Reads the header and leaves `source` at the stream.
    ///
    /// # Errors
    /// [`SealError::Result`], [`SealError::Canonical`], [`SealError::Threshold`], or reading.
    pub fn read_from(source: &mut impl Read) -> Result<Self, SealError> {
        let mut start = [0; 12];
        read_exact(source, &mut start)?;
        let len = u32::from_be_bytes([start[8], start[9], start[10], start[11]]) as usize;
        if start[..8] != MAGIC[..] {
            return Err(SealError::Result("it does not begin with LICENRS1"));
        }
        if len > MAX_HEADER_BYTES {
            return Err(SealError::Result("the header is larger than 64 KiB"));
        }
        let mut bytes = vec![0; len];
        read_exact(source, &mut bytes)?;
        let wire: HeaderWire = canonical::cbor_from_slice(&bytes)?;
        if wire.v != VERSION {
            return Err(SealError::Result("unknown version"));
        }
        let numbered = (1..=u8::MAX).zip(&wire.shares).all(|(index, share)| share.i == index);
        if usize::from(wire.n) != wire.shares.len() || !numbered {
            return Err(SealError::Result("shares are not numbered 1 to n"));
        }
        let terms = ResultTerms {
            domain: Domain { chain_id: wire.chain_id, contract: wire.contract },
            job_id: wire.job_id,
            attempt: wire.attempt,
        };
        let member = |m: MemberWire| ResultMember {
            custodian: m.custodian_id,
            pk: m.pk,
            share_commit: m.share_commit,
        };
        let members = wire.shares.into_iter().map(member).collect();
        Self::new(terms, wire.t, wire.key_commit, wire.tar_bytes, members)
    }

    fn write_to(&self, sink: &mut impl Write) -> Result<(), SealError> {
        let shares = (1..=u8::MAX).zip(&self.members).map(|(i, m)| MemberWire {
            i,
            custodian_id: m.custodian,
            pk: m.pk,
            share_commit: m.share_commit,
        });
        let bytes = canonical::cbor_to_vec(&HeaderWire {
            v: VERSION,
            chain_id: self.terms.domain.chain_id,
            contract: self.terms.domain.contract,
            job_id: self.terms.job_id,
            attempt: self.terms.attempt,
            t: self.t,
            n: self.members.len() as u8,
            key_commit: self.key_commit,
            tar_bytes: self.tar_bytes,
            shares: shares.collect(),
        })?;
        let len = u32::try_from(bytes.len()).map_err(|_| SealError::Result("header too large"))?;
        sink.write_all(MAGIC)?;
        sink.write_all(&len.to_be_bytes())?;
        sink.write_all(&bytes)?;
        Ok(())
    }

    /// Which result it is.
    #[must_use]
    pub fn terms(&self) -> &ResultTerms {
        &self.terms
    }

    /// Shares needed.
    #[must_use]
    pub fn t(&self) -> u8 {
        self.t
    }

    /// SHA-256("LICEN/result-key/v1" ‖ jobId ‖ u32be attempt ‖ key).
    #[must_use]
    pub fn key_commit(&self) -> B256 {
        self.key_commit
    }

    /// Whether this is the result of that attempt, its key shared to that custodian set and nobody else.
    ///
    /// # Errors
    /// [`SealError::Result`]: a result of somebody's own making.
    pub fn must_be_of(&self, terms: &ResultTerms, t: u8, members: &[Member]) -> Result<(), SealError> {
        let dealt = self.members.iter().map(|m| (m.custodian, m.pk.0));
        if self.terms != *terms {
            return Err(SealError::Result("it is another job's or attempt's"));
        }
        if self.t != t || !dealt.eq(members.iter().map(|m| (m.signer, m.hpkeKey))) {
            return Err(SealError::Result("its key is shared to others than the job's custodians"));
        }
        Ok(())
    }

    /// Bytes of the tar that the stream holds.
    #[must_use]
    pub fn tar_bytes(&self) -> u64 {
        self.tar_bytes
    }

    /// The custodians, index 1 first.
    #[must_use]
    pub fn members(&self) -> &[ResultMember] {
        &self.members
    }

    /// The custodian with `index`, from 1.
    ///
    /// # Errors
    /// [`SealError::NotAMember`].
    pub fn member(&self, index: u8) -> Result<&ResultMember, SealError> {
        let n = self.members.len();
        usize::from(index)
            .checked_sub(1)
            .and_then(|position| self.members.get(position))
            .ok_or(SealError::NotAMember { index, n })
    }
}

/// Writes a result: files in ascending order of path, then [`ResultWriter::finish`].
pub struct ResultWriter<W: Write> {
    tar: TarWriter<Encryptor<W>>,
    announced: u64,
    lengths: Vec<u64>,
}

impl<W: Write> ResultWriter<W> {
    /// Writes the header and starts the stream.
    ///
    /// # Errors
    /// [`SealError::WrongKey`] where the header commits to another key; randomness or writing.
    pub fn new(key: &ResultKey, header: &ResultHeader, mut sink: W) -> Result<Self, SealError> {
        check_key(key, header)?;
        header.write_to(&mut sink)?;
        let aad = result_aad(&header.terms.domain, &header.terms.job_id);
        let tar = TarWriter::new(Encryptor::new(key, &aad, sink)?);
        Ok(Self { tar, announced: header.tar_bytes, lengths: Vec::new() })
    }

    /// Adds a file of exactly `len` bytes.
    ///
    /// # Errors
    /// See [`TarWriter::append`].
    pub fn append(&mut self, path: &str, len: u64, content: &mut impl Read) -> Result<(), SealError> {
        self.lengths.push(len);
        self.tar.append(path, len, content)
    }

    /// Ends archive and stream.
    ///
    /// # Errors
    /// [`SealError::Result`] where the header announced another length; writing.
    pub fn finish(self) -> Result<W, SealError> {
        if archive_len(self.lengths) != self.announced {
            return Err(SealError::Result("its header announces another length"));
        }
        self.tar.finish()?.finish()
    }
}

/// The files of a result, in order. `source` stands behind the header; what stands behind the stream
/// is not read.
///
/// # Errors
/// [`SealError::WrongKey`], [`SealError::StreamHeader`] or reading.
pub fn read_result<R: Read>(
    key: &ResultKey,
    header: &ResultHeader,
    source: R,
) -> Result<TarReader<Decryptor<Take<R>>>, SealError> {
    check_key(key, header)?;
    let aad = result_aad(&header.terms.domain, &header.terms.job_id);
    let len =
        ciphertext_len(header.tar_bytes).ok_or(SealError::Result("it is longer than a stream can be"))?;
    Ok(TarReader::new(Decryptor::new(key, &aad, source.take(len))?))
}

/// Decrypts a result into the new directory `target`, which appears only when everything was
/// verified. Refuses more than `max_bytes` of content.
///
/// # Errors
/// See [`read_result`] and [`unpack`].
pub fn unpack_result(
    key: &ResultKey,
    header: &ResultHeader,
    source: impl Read,
    target: &Path,
    max_bytes: u64,
) -> Result<Vec<String>, SealError> {
    unpack(read_result(key, header, source)?, target, max_bytes)
}

fn check_key(key: &ResultKey, header: &ResultHeader) -> Result<(), SealError> {
    if key.commitment(&header.terms.job_id, header.terms.attempt) != header.key_commit {
        return Err(SealError::WrongKey);
    }
    Ok(())
}

fn read_exact(source: &mut impl Read, buffer: &mut [u8]) -> Result<(), SealError> {
    source.read_exact(buffer).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => SealError::Result("it ends inside the header"),
        _ => SealError::from(error),
    })
}
