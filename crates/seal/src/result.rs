//! The result container: what a researcher downloads and opens after settlement.
//!
//! Layout: magic "LICENRS2" ‖ u32be header length ‖ header (canonical CBOR) ‖ Tink stream of a
//! deterministic tar, under the AAD "LICEN/result/v2" ‖ chainId ‖ contract ‖ jobId. The header is in
//! the clear and holds commitments, the tar's length and its root only; the resultHash covers all of it.
//! A file root is the same with zeros behind the file, so the length says where the stream ends. The
//! tar's root names the adapter: it is written and read only where it is that of the bytes.

use std::io::{Read, Take, Write};
use std::path::Path;

use licen_core::abi::Member;
use licen_core::canonical;
use licen_core::eip712::Domain;
use licen_core::merkle::{FileTreeBuilder, Hasher, Scalar};
use licen_core::primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::error::SealError;
use crate::key::ResultKey;
use crate::recipient::RecipientPublicKey;
use crate::stream::{Decryptor, Encryptor, ciphertext_len, result_aad};
use crate::tar::{TarReader, TarWriter, unpack};

const MAGIC: &[u8; 8] = b"LICENRS2";
const VERSION: u8 = 2;
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

/// The deterministic tar that a result's stream holds, by its length and its file root. The root is the
/// adapter's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultTar {
    /// Bytes of the tar.
    pub bytes: u64,
    /// File root of exactly these bytes.
    pub root: B256,
}

impl ResultTar {
    /// The tar of `files`, in ascending order of path.
    ///
    /// # Errors
    /// See [`TarWriter::append`].
    pub fn of<'a>(
        hasher: impl Hasher,
        files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, SealError> {
        let mut tar = TarWriter::new(Rooted::new(hasher, std::io::sink()));
        for (path, mut content) in files {
            tar.append(path, content.len() as u64, &mut content)?;
        }
        tar.finish()?.finish().map(|(tar, _)| tar)
    }
}

/// A custodian of a result-key share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultMember {
    /// Its signing address.
    pub custodian: Address,
    /// What its share is sealed to.
    pub pk: RecipientPublicKey,
    /// SHA-256("LICEN/result-share/v2" ‖ jobId ‖ u32be attempt ‖ u8 i ‖ share).
    pub share_commit: B256,
}

/// The header of a result: who holds the key's shares, and commitments to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultHeader {
    terms: ResultTerms,
    t: u8,
    key_commit: B256,
    tar: ResultTar,
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
    adapter_root: B256,
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
        tar: ResultTar,
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
        if ciphertext_len(tar.bytes).is_none() {
            return Err(SealError::Result("it is longer than a stream can be"));
        }
        Ok(Self { terms, t, key_commit, tar, members })
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
            return Err(SealError::Result("it does not begin with LICENRS2"));
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
        let tar = ResultTar { bytes: wire.tar_bytes, root: wire.adapter_root };
        Self::new(terms, wire.t, wire.key_commit, tar, members)
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
            adapter_root: self.tar.root,
            tar_bytes: self.tar.bytes,
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

    /// SHA-256("LICEN/result-key/v2" ‖ jobId ‖ u32be attempt ‖ key).
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
        self.tar.bytes
    }

    /// File root of that tar: the adapter's name, which the manifest says too.
    #[must_use]
    pub fn adapter_root(&self) -> B256 {
        self.tar.root
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
    tar: TarWriter<Rooted<Scalar, Encryptor<W>>>,
    announced: ResultTar,
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
        let tar = TarWriter::new(Rooted::new(Scalar, Encryptor::new(key, &aad, sink)?));
        Ok(Self { tar, announced: header.tar })
    }

    /// Adds a file of exactly `len` bytes.
    ///
    /// # Errors
    /// See [`TarWriter::append`].
    pub fn append(&mut self, path: &str, len: u64, content: &mut impl Read) -> Result<(), SealError> {
        self.tar.append(path, len, content)
    }

    /// Ends archive and stream.
    ///
    /// # Errors
    /// [`SealError::Result`] where the header announced another tar; writing.
    pub fn finish(self) -> Result<W, SealError> {
        let (tar, stream) = self.tar.finish()?.finish()?;
        if tar != self.announced {
            return Err(SealError::Result("its header announces another tar"));
        }
        stream.finish()
    }
}

/// The files of a result, in order. `source` stands behind the header; what stands behind the stream
/// is not read. The last call of `next_entry` refuses a tar that is not the one under the header's
/// adapterRoot.
///
/// # Errors
/// [`SealError::WrongKey`], [`SealError::StreamHeader`] or reading.
pub fn read_result<R: Read>(
    key: &ResultKey,
    header: &ResultHeader,
    source: R,
) -> Result<TarReader<Announced<Decryptor<Take<R>>>>, SealError> {
    check_key(key, header)?;
    let aad = result_aad(&header.terms.domain, &header.terms.job_id);
    let len =
        ciphertext_len(header.tar.bytes).ok_or(SealError::Result("it is longer than a stream can be"))?;
    let stream = Decryptor::new(key, &aad, source.take(len))?;
    let read = Some(FileTreeBuilder::default());
    Ok(TarReader::new(Announced { stream, read, tar: header.tar }))
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

/// Passes bytes on and computes their file root.
struct Rooted<H, W> {
    tree: FileTreeBuilder<H>,
    sink: W,
}

impl<H: Hasher, W: Write> Rooted<H, W> {
    fn new(hasher: H, sink: W) -> Self {
        Self { tree: FileTreeBuilder::new(hasher), sink }
    }

    fn finish(self) -> Result<(ResultTar, W), SealError> {
        let bytes = self.tree.bytes();
        let tree = self.tree.finish().map_err(|_| SealError::Result("it has no root"))?;
        Ok((ResultTar { bytes, root: tree.root }, self.sink))
    }
}

impl<H: Hasher, W: Write> Write for Rooted<H, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.sink.write(bytes)?;
        self.tree.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.sink.flush()
    }
}

/// A stream that ends well only as the tar that its header announced.
pub struct Announced<S> {
    stream: S,
    /// Until the end was met.
    read: Option<FileTreeBuilder>,
    tar: ResultTar,
}

impl<S: Read> Read for Announced<S> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = self.stream.read(out)?;
        if let Some(read) = &mut self.read {
            read.update(&out[..count]);
        }
        if count == 0
            && !out.is_empty()
            && let Some(read) = self.read.take()
        {
            let bytes = read.bytes();
            let root = read.finish().map_err(|_| SealError::Result("it is empty"))?.root;
            if (ResultTar { bytes, root }) != self.tar {
                return Err(SealError::Result("its tar is not the adapter that its header names").into());
            }
        }
        Ok(count)
    }
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
