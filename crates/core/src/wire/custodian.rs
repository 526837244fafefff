//! Custodian `:7101+`.

use alloc::string::String;
use alloc::vec::Vec;
use alloy_primitives::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};

use super::AbiHex;
use crate::abi::{
    Alive, ErasureStatement, Held, Job, MemberSignature, Policy, RefusalStatement, ResultKeyChange,
    ResultManifest, Retire, Silence, Verdict,
};
use crate::result_roots::ResultRoots;

/// `POST /v1/challenge`: asks for a nonce.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChallengeRequest {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The `DataPolicy` contract.
    pub contract: Address,
    /// The job.
    pub job_id: B256,
    /// The attempt, from 1.
    pub attempt: u32,
}

/// Answer: one nonce, valid once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChallengeResponse {
    /// The custodian's signing address.
    pub custodian_id: Address,
    /// 32 random bytes.
    pub nonce: B256,
    /// Seconds until it dies.
    pub expires_in: u32,
}

/// Evidence of a TEE, raw. The one enum for real and simulated hardware.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "teeType", rename_all = "lowercase", deny_unknown_fields)]
pub enum Evidence {
    /// An Intel TDX quote.
    Tdx {
        /// The quote.
        quote: Bytes,
    },
    /// An AMD SEV-SNP attestation report.
    Snp {
        /// The report, 0x4a0 bytes, and behind it the certificate of its chip, DER.
        report: Bytes,
    },
    /// A quote of a simulated TEE: of TDX's format, under LICEN's own root. Level SOFTWARE.
    Simulated {
        /// The quote.
        quote: Bytes,
    },
}

impl Evidence {
    /// The raw quote or report.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Tdx { quote } | Self::Simulated { quote } => quote,
            Self::Snp { report } => report,
        }
    }
}

/// `POST /v1/verdict`: everything a custodian needs to judge one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerdictRequest {
    /// The `DataPolicy` contract of the job.
    pub contract: Address,
    /// The policy the job pins.
    pub policy: AbiHex<Policy>,
    /// The job as granted.
    pub job: AbiHex<Job>,
    /// The attempt, from 1.
    pub attempt: u32,
    /// The evidence.
    pub evidence: Evidence,
    /// Canonical CBOR of `RuntimeData`.
    pub runtime_data: Bytes,
    /// The envelope, whole; its root is the job's envelopeHash.
    pub envelope: Bytes,
    /// Canonical JSON of `Constraints`; its root is the policy's constraintsHash.
    pub constraints: Bytes,
    /// Canonical JSON of `JobSpec`; its root is the job's jobSpecHash.
    pub job_spec: Bytes,
}

/// Answer: the verdict, signed for the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerdictResponse {
    /// The verdict.
    pub verdict: AbiHex<Verdict>,
    /// The member's signature of it.
    pub signature: AbiHex<MemberSignature>,
}

/// `POST /v1/release`: asks for the share, once the job is Running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReleaseRequest {
    /// The `DataPolicy` contract of the job.
    pub contract: Address,
    /// The job as Running.
    pub job: AbiHex<Job>,
}

/// A share sealed to somebody by HPKE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SealedShare {
    /// The share's x coordinate, from 1.
    pub i: u8,
    /// Who sealed it, or whom it is sealed to, by signing address.
    pub custodian_id: Address,
    /// Encapsulated key.
    pub enc: Bytes,
    /// Ciphertext.
    pub ct: Bytes,
}

/// Answer: the dataset key's share, sealed to the key inside the runtime data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReleaseResponse {
    /// The share.
    pub share: SealedShare,
}

/// `POST /v1/deliver`, twice: first the sealed result-key share, then the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
#[expect(clippy::large_enum_variant, reason = "made once per job and serialised at once")]
pub enum DeliverRequest {
    /// Before the manifest exists: this custodian's share of the result key.
    Share {
        /// The `DataPolicy` contract of the job.
        contract: Address,
        /// The job as Running.
        job: AbiHex<Job>,
        /// What is offered.
        roots: ResultRoots,
        /// The share, sealed to this custodian.
        share: SealedShare,
        /// Commitment to the share.
        share_commit: B256,
        /// Commitment to the whole result key.
        key_commit: B256,
        /// Where the blobs can be fetched.
        blob_url: String,
        /// `Delivery` signed by the job's signer, 65 bytes. Without it anybody could make a custodian
        /// fetch and hold a result or evidence of their own, in the place of the real one.
        signature: Bytes,
    },
    /// After t Held: the signed manifest, under HPKE to this custodian.
    Manifest {
        /// The `DataPolicy` contract of the job.
        contract: Address,
        /// The job.
        job_id: B256,
        /// The attempt.
        attempt: u32,
        /// Encapsulated key.
        enc: Bytes,
        /// Ciphertext of canonical JSON of [`SignedManifest`].
        ct: Bytes,
    },
}

/// Answer to the share: this custodian holds what the researcher will be owed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeldResponse {
    /// The statement.
    pub held: AbiHex<Held>,
    /// The member's signature of it.
    pub signature: AbiHex<MemberSignature>,
}

/// `GET /v1/manifest/{jobId}`, and what compute sends: the manifest with what makes it publishable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignedManifest {
    /// The manifest.
    pub manifest: AbiHex<ResultManifest>,
    /// Compute's signature, 65 bytes.
    pub signature: Bytes,
    /// t signatures of `Held` by members of the pinned set.
    pub held: Vec<AbiHex<MemberSignature>>,
}

/// `GET /v1/result/{jobId}`: the result key's share, re-sealed to the requester.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResultShareResponse {
    /// The share, sealed to the result key on record.
    pub share: SealedShare,
    /// Root of the result blob.
    pub result_hash: B256,
    /// The X25519 key it is sealed to.
    pub result_key: B256,
}

/// `POST /v1/result-key`: the requester's wallet replaces a lost result key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResultKeyRequest {
    /// The `DataPolicy` contract of the job.
    pub contract: Address,
    /// The job, whole.
    pub job: AbiHex<Job>,
    /// The change.
    pub change: AbiHex<ResultKeyChange>,
    /// The requester's signature (EIP-712 or EIP-1271).
    pub signature: Bytes,
}

/// `POST /v1/alive`: compute is there and works on this attempt; answered with 204.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AliveRequest {
    /// The `DataPolicy` contract of the job.
    pub contract: Address,
    /// The job as Running; whose signer it is.
    pub job: AbiHex<Job>,
    /// Above every one before it of this attempt.
    pub seq: u64,
    /// [`Alive`] signed by the job's signer, 65 bytes.
    pub signature: Bytes,
}

/// What the job's signer signs to say that it is there.
#[must_use]
pub fn alive(job: &Job, seq: u64) -> Alive {
    Alive { jobId: job.jobId, attempt: job.attempt, seq }
}

/// `POST /v1/silence/{jobId}`: anybody asks whether compute is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SilenceRequest {
    /// The `DataPolicy` contract of the job.
    pub contract: Address,
    /// The job as Running.
    pub job: AbiHex<Job>,
}

/// Answer: this custodian has heard nothing of the attempt's compute and will never hold its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SilenceResponse {
    /// The statement.
    pub silence: AbiHex<Silence>,
    /// The member's signature of it, for `markJobFailed`.
    pub signature: AbiHex<MemberSignature>,
}

/// `POST /v1/retire`: the owner ends a dataset; answered with [`RefusalResponse`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetireRequest {
    /// The owner. With the salt this makes the dataset's uid, so nobody else can be given out as it.
    pub owner: Address,
    /// The dataset's salt, as in its policy.
    pub salt: B256,
    /// What the owner wants.
    pub retire: AbiHex<Retire>,
    /// The owner's signature (EIP-712 or EIP-1271).
    pub signature: Bytes,
}

/// `GET /v1/refusal/{datasetUid}`: this custodian refuses the dataset for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RefusalResponse {
    /// The statement.
    pub refusal: AbiHex<RefusalStatement>,
    /// The custodian's signature of it, 65 bytes.
    pub signature: Bytes,
}

/// `GET /v1/erasure/{hpkeKey}`: this custodian destroyed that key of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ErasureResponse {
    /// The statement.
    pub erasure: AbiHex<ErasureStatement>,
    /// The custodian's signature of it, 65 bytes.
    pub signature: Bytes,
}

/// `GET /v1/custodian`: who this is and what it promises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CustodianInfo {
    /// Signing address.
    pub custodian_id: Address,
    /// X25519 key; the one in `Custody` is the one that counts.
    pub hpke_key: B256,
    /// `MemberKey` of it, signed by this custodian, 65 bytes.
    pub key_signature: Bytes,
    /// Keys that older versions of its sets name, and that it still opens.
    pub former_hpke_keys: Vec<B256>,
    /// Chain it serves.
    pub chain_id: u64,
    /// The `DataPolicy` contracts it serves.
    pub contracts: Vec<Address>,
    /// Days it keeps shares, manifests and result blobs.
    pub retention_days: u32,
    /// Largest result blob it takes, bytes.
    pub max_result_bytes: u64,
    /// Head of its audit log.
    pub audit_head: B256,
}

/// One record of `GET /v1/audit?from=`: hash-chained, nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditRecord {
    /// Position, from 1.
    pub sequence: u64,
    /// Hash of the record before; zero for the first.
    pub previous: B256,
    /// keccak256(u64be sequence ‖ previous ‖ keccak256(entry)).
    pub hash: B256,
    /// Canonical JSON text of what happened.
    pub entry: String,
}
