// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

// The structs that callers pass in calldata and the contracts keep only by hash. Field order is
// part of the protocol: the hash of a struct is keccak256(abi.encode(struct)), and the same
// definitions stand in `crates/core/src/abi.rs`, checked against each other by `vectors/`.

// Levels of attestation. SOFTWARE (a simulated TEE) is accepted on chain id 31337 only.
uint8 constant LEVEL_SOFTWARE = 1;
uint8 constant LEVEL_HARDWARE = 2;

// What a royalty is counted in. A job without a license counts epochs.
uint8 constant UNIT_EPOCH = 1;
uint8 constant UNIT_SAMPLE = 2;
uint8 constant UNIT_KILOTOKEN = 3;
uint8 constant UNIT_COMPUTE_SECOND = 4;

/// Reasons a Running job fails; the wire value is the position, 0 is never emitted.
enum Reason {
    NONE,
    KEY_RELEASE_FAILED,
    DATASET_DECRYPT_FAILED,
    STORAGE_DOWNLOAD_FAILED,
    COMPUTE_DISPATCH_FAILED,
    COMPUTE_TASK_FAILED,
    DATASET_MISMATCH,
    OWNER_WITHDREW,
    JOB_SPEC_INVALID
}

enum JobState {
    None,
    Granted,
    Running,
    Completed,
    Failed,
    Expired,
    Cancelled
}

/// What an owner demands of every use of one dataset. An account (`payee`) is an address padded to
/// 32 bytes or the hash of a Split.
struct Policy {
    bytes32 datasetUid;
    bytes32 datasetRoot;
    address owner;
    bytes32 salt;
    uint64 version;
    bytes32 envelopeHash;
    bytes32 payee;
    address token;
    uint128 royaltyPerEpoch;
    uint32 maxEpochsPerRun;
    uint32 maxRunsPerRequester;
    uint32 startWindow;
    uint32 runWindow;
    uint64 policyExpiry;
    bytes32[] purposes;
    bytes32 requestersRoot;
    bytes32 constraintsHash;
    bytes32 manifestHash;
    bytes32 termsHash;
    bytes32 custodianSet;
    uint32 setVersion;
    bytes32 appraisalPolicy;
    uint8 requiredLevel;
    address operator;
}

/// What a researcher asks for: at most `epochs` passes, and royalty for at most `units`. Without a
/// license the unit is the epoch, so the two are equal.
struct Request {
    bytes32 purposeId;
    uint32 epochs;
    uint64 units;
    bytes32 termsHash;
    bytes32 jobSpecHash;
    bytes32 resultKey;
    bytes32 providerId;
    bytes32 verifierSet;
    uint32 verifierSetVersion;
    uint256 licenseId;
}

/// A provider's price for exactly one job, signed by the provider's signer. `jobId` names requester
/// and counter, `policyHash` windows and custodians, so a quote opens one job, once.
struct Quote {
    bytes32 providerId;
    bytes32 jobId;
    bytes32 policyHash;
    uint256 licenseId;
    address token;
    bytes32 jobSpecHash;
    uint32 epochs;
    uint128 computeFeePerEpoch;
    uint64 expiresAt;
}

struct SignedQuote {
    Quote quote;
    bytes signature;
}

/// The owner's gas-free admission of one requester; it ends with the list it was given under.
struct Approval {
    bytes32 datasetUid;
    bytes32 requestersRoot;
    address requester;
    uint64 expires;
}

/// How a requester passes an allow-list: a Merkle proof to `requestersRoot`, or an owner-signed
/// Approval where `signature` is not empty.
struct Admission {
    bytes32[] proof;
    Approval approval;
    bytes signature;
}

/// One job, whole; the contract keeps its hash. The last four fields are 0 while Granted.
struct Job {
    bytes32 jobId;
    bytes32 policyHash;
    address requester;
    bytes32 datasetUid;
    bytes32 datasetRoot;
    bytes32 envelopeHash;
    address token;
    bytes32 payee;
    address operator;
    address owner;
    uint128 royaltyPerUnit;
    uint8 unit;
    uint64 units;
    uint32 epochs;
    uint128 computeFeePerEpoch;
    bytes32 providerId;
    bytes32 computePayee;
    uint16 protocolFeeBps;
    bytes32 jobSpecHash;
    bytes32 resultKey;
    bytes32 purposeId;
    uint256 licenseId;
    bytes32 custodianSet;
    uint32 setVersion;
    bytes32 verifierSet;
    uint32 verifierSetVersion;
    bytes32 appraisalPolicy;
    uint8 requiredLevel;
    uint32 runWindow;
    uint64 startDeadline;
    uint64 runDeadline;
    uint32 attempt;
    address signer;
    bytes32 runtimeDataHash;
}

/// A custodian's statement that `signer` runs approved code for one attempt of one job.
struct Verdict {
    bytes32 jobId;
    uint32 attempt;
    address signer;
    bytes32 runtimeDataHash;
    bytes32 providerId;
    uint8 level;
    bytes32 appraisalPolicy;
    bytes32 custodianSet;
    uint32 setVersion;
    uint64 expiresAt;
}

/// A signature by member `index` of a custodian set, EIP-2098 compact, low s only.
struct MemberSignature {
    uint16 index;
    bytes32 r;
    bytes32 vs;
}

/// What compute states about a finished attempt. Losses are x 1e6; `computeSeconds` are CPU seconds of
/// the trainer, rounded up; `adapterRoot` names the plaintext result, `reportHash` the report about it.
struct ResultManifest {
    bytes32 jobId;
    uint32 attempt;
    bytes32 datasetRoot;
    bytes32 resultHash;
    uint32 actualEpochs;
    uint64 samples;
    uint64 tokensSeen;
    uint64 tokensTrained;
    uint64 computeSeconds;
    uint64 evalBefore;
    uint64 evalAfter;
    bytes32 baseModelRoot;
    bytes32 adapterRoot;
    bytes32 attestationRef;
    bytes32 reportHash;
}

/// What compute states about a failed attempt.
struct FailureReport {
    bytes32 jobId;
    uint32 attempt;
    Reason reasonCode;
    uint32 epochsDone;
    bytes32 runtimeDataHash;
}

/// A custodian's statement that it has heard nothing of an attempt for the silence window.
struct Silence {
    bytes32 jobId;
    uint32 attempt;
}

/// Many payees behind one account, keccak256(abi.encode("LICEN/split/v2", Split)). A payee is an
/// account, so splits nest. bps sum to 10,000. Everything that ever came in is released linearly from
/// `start` over `duration`; duration 0 is a cliff at `start`.
struct Split {
    bytes32[] accounts;
    uint16[] bps;
    uint64 start;
    uint64 duration;
}

/// A custodian: the address that signs verdicts and the HPKE key (X25519) that shares are sealed to.
struct Member {
    address signer;
    bytes32 hpkeKey;
}

/// Somebody who runs attested compute.
struct Provider {
    address creator;
    address signer;
    bytes32 payee;
    bytes32 jurisdiction;
    bytes32[] platformIds;
}
