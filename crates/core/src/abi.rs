//! The contracts' ABI in Rust: the structs of `contracts/src/Types.sol` (hashed with
//! `keccak256(abi.encode(..))` or EIP-712), calls, events and views. `chain` checks that every
//! selector and topic here equals the committed artifacts in `contracts/abi/`.
#![allow(missing_docs, clippy::too_many_arguments)]

use alloy_sol_types::sol;

sol! {
    #[derive(Debug, PartialEq, Eq, Default)]
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

    #[derive(Debug, PartialEq, Eq, Default)]
    struct RegisterDataset {
        Policy policy;
        uint64 nonce;
        uint64 deadline;
    }

    #[derive(Debug, PartialEq, Eq, Default)]
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

    #[derive(Debug, PartialEq, Eq, Default)]
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

    #[derive(Debug, PartialEq, Eq, Default)]
    struct SignedQuote {
        Quote quote;
        bytes signature;
    }

    #[derive(Debug, PartialEq, Eq, Default)]
    struct Approval {
        bytes32 datasetUid;
        bytes32 requestersRoot;
        address requester;
        uint64 expires;
    }

    #[derive(Debug, PartialEq, Eq, Default)]
    struct Admission {
        bytes32[] proof;
        Approval approval;
        bytes signature;
    }

    #[derive(Debug, PartialEq, Eq, Default)]
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

    #[derive(Debug, PartialEq, Eq, Default)]
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

    #[derive(Debug, PartialEq, Eq, Default)]
    struct MemberSignature {
        uint16 index;
        bytes32 r;
        bytes32 vs;
    }

    #[derive(Debug, PartialEq, Eq, Default)]
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

    #[derive(Debug, PartialEq, Eq, Default)]
    struct FailureReport {
        bytes32 jobId;
        uint32 attempt;
        uint8 reasonCode;
        uint32 epochsDone;
        bytes32 runtimeDataHash;
    }

    #[derive(Debug, PartialEq, Eq, Default)]
    struct Silence {
        bytes32 jobId;
        uint32 attempt;
    }

    /// A custodian holds the result blob, its opened, checked result-key share, the evidence bundle
    /// and the report (off chain); the manifest may say nothing else about them.
    #[derive(Debug, PartialEq, Eq, Default)]
    struct Held {
        bytes32 jobId;
        uint32 attempt;
        bytes32 resultHash;
        bytes32 baseModelRoot;
        bytes32 adapterRoot;
        bytes32 attestationRef;
        bytes32 reportHash;
    }

    /// Compute offers a result and its evidence to a custodian (off chain): all that the custodian
    /// keeps and everything it fetches. `blobUrlHash` is keccak256 of the URL's bytes.
    #[derive(Debug, PartialEq, Eq, Default)]
    struct Delivery {
        bytes32 jobId;
        uint32 attempt;
        bytes32 resultHash;
        bytes32 baseModelRoot;
        bytes32 adapterRoot;
        bytes32 attestationRef;
        bytes32 reportHash;
        bytes32 blobUrlHash;
    }

    /// Compute is alive (off chain); `seq` rises by one.
    #[derive(Debug, PartialEq, Eq, Default)]
    struct Alive {
        bytes32 jobId;
        uint32 attempt;
        uint64 seq;
    }

    /// The requester ends training after the current epoch (off chain).
    #[derive(Debug, PartialEq, Eq, Default)]
    struct Stop {
        bytes32 jobId;
        uint32 attempt;
    }

    /// The owner ends a dataset (off chain): whoever gets this refuses it for ever.
    #[derive(Debug, PartialEq, Eq, Default)]
    struct Retire {
        bytes32 datasetUid;
    }

    /// A researcher asks the owner to be admitted (off chain). `askedAt` is Unix seconds of the researcher's
    /// clock; `note` is `core::admission::is_note`.
    #[derive(Debug, PartialEq, Eq, Default)]
    struct AccessRequest {
        bytes32 datasetUid;
        bytes32 requestersRoot;
        address requester;
        uint64 askedAt;
        string note;
    }

    /// A custodian's word that an HPKE key is its own (off chain): a set's creator could name any.
    #[derive(Debug, PartialEq, Eq, Default)]
    struct MemberKey {
        bytes32 hpkeKey;
    }

    /// A custodian refuses a dataset for ever (off chain). Seconds, its own clock.
    #[derive(Debug, PartialEq, Eq, Default)]
    struct RefusalStatement {
        bytes32 datasetUid;
        uint64 refusedAt;
    }

    /// A custodian destroyed an HPKE key (off chain). Seconds, its own clock.
    #[derive(Debug, PartialEq, Eq, Default)]
    struct ErasureStatement {
        bytes32 hpkeKey;
        uint64 erasedAt;
    }

    /// The requester's wallet replaces a lost result key (off chain).
    #[derive(Debug, PartialEq, Eq, Default)]
    struct ResultKeyChange {
        bytes32 jobId;
        bytes32 newKey;
        uint64 nonce;
    }

    #[derive(Debug, PartialEq, Eq, Default)]
    struct Split {
        bytes32[] accounts;
        uint16[] bps;
        uint64 start;
        uint64 duration;
    }

    #[derive(Debug, PartialEq, Eq, Default)]
    struct Member {
        address signer;
        bytes32 hpkeKey;
    }

    #[derive(Debug, PartialEq, Eq, Default)]
    struct Provider {
        address creator;
        address signer;
        bytes32 payee;
        bytes32 jurisdiction;
        bytes32[] platformIds;
    }

    #[derive(Debug, PartialEq, Eq)]
    interface DataPolicy {
        event DatasetRegistered(bytes32 indexed datasetRoot, address indexed owner, bytes32 manifestHash);
        event PolicySet(bytes32 indexed policyHash, bytes32 indexed datasetUid, Policy policy);
        event PolicyPaused(bytes32 indexed datasetUid);
        event PolicyResumed(bytes32 indexed datasetUid);
        event AccessGranted(bytes32 indexed jobId, bytes32 indexed datasetRoot, address indexed requester, uint32 epochs);
        event JobOpened(bytes32 indexed jobId, Job job);
        event JobStarted(bytes32 indexed jobId, uint32 attempt, address signer, bytes32 runtimeDataHash, uint64 runDeadline);
        event JobCompleted(bytes32 indexed jobId, uint32 actualEpochs, bytes32 resultHash, bytes32 attestationRef);
        event ResultRecorded(bytes32 indexed jobId, ResultManifest manifest);
        event RoyaltySettled(bytes32 indexed jobId, uint256 amount);
        event RefundIssued(bytes32 indexed jobId, uint256 amount);
        event JobFailed(bytes32 indexed jobId, uint8 reasonCode);
        event JobExpired(bytes32 indexed jobId);
        event JobCancelled(bytes32 indexed jobId);
        event Credited(bytes32 indexed account, address indexed token, bytes32 indexed ref, uint256 amount);
        event Withdrawn(address indexed account, address indexed token, address to, uint256 amount);
        event Distributed(bytes32 indexed account, address indexed token, uint256 amount);
        event SplitAnnounced(bytes32 indexed account, Split split);
        event NonceRaised(address indexed owner, uint64 nonce);

        function registerDataset(Policy policy) external;
        function registerDataset(Policy policy, uint64 nonce, uint64 deadline, bytes ownerSignature) external;
        function raiseNonce(uint64 nonce) external;
        function updatePolicy(Policy old, Policy next) external;
        function pausePolicy(Policy policy) external;
        function resumePolicy(Policy policy) external;
        function requestAccess(Policy policy, Request request) external payable returns (bytes32 jobId);
        function requestAccess(Policy policy, Request request, SignedQuote quote, Admission admission) external payable returns (bytes32 jobId);
        function startJob(Job job, address signer, Verdict[] verdicts, MemberSignature[] signatures) external;
        function restartJob(Job job, address signer, Verdict[] verdicts, MemberSignature[] signatures) external;
        function confirmTrainingComplete(Job job, ResultManifest manifest, bytes signature) external;
        function markJobFailed(Job job, FailureReport report, bytes signature) external;
        function markJobFailed(Job job, MemberSignature[] silences) external;
        function declineJob(Job job) external;
        function cancelJob(Job job) external;
        function expireJob(Job job) external;
        function withdraw(address account, address token) external;
        function withdrawTo(address to, address token) external;
        function announce(Split split) external;
        function distribute(Split split, address token) external;

        function datasetState(bytes32 datasetUid) external view returns (bytes32 commitment, bool paused);
        function registrationNonce(address owner) external view returns (uint64 nonce);
        function jobState(bytes32 jobId) external view returns (uint8 state, bytes32 commitment);
        function isResult(Job job, ResultManifest manifest) external view returns (bool);
        function runsOf(bytes32 datasetUid, address requester) external view returns (uint64 counter, uint32 runs, uint8 returned);
        function credit(bytes32 account, address token) external view returns (uint256 amount);
        function splitBooks(Split split, address token) external view returns (uint256 totalIn, uint256 paid);
        function distributable(Split split, address token) external view returns (uint256 amount);
        function custody() external view returns (address);
        function feeBps() external view returns (uint16);
    }

    #[derive(Debug, PartialEq, Eq)]
    interface Custody {
        event CustodianSetVersion(bytes32 indexed setId, uint32 setVersion, address indexed creator, uint8 t, Member[] members);
        event ProviderSet(bytes32 indexed providerId, Provider provider);
        event AuditAnchored(bytes32 indexed setId, address indexed member, uint64 sequence, bytes32 head);

        function createSet(bytes32 salt, uint8 t, Member[] members) external returns (bytes32 setId);
        function addSetVersion(bytes32 setId, uint8 t, Member[] members) external returns (uint32 setVersion);
        function setOf(bytes32 setId, uint32 setVersion) external view returns (uint8 t, Member[] members);
        function latestSetVersion(bytes32 setId) external view returns (uint32);
        function registerProvider(bytes32 salt, address signer, bytes32 payee, bytes32 jurisdiction, bytes32[] platformIds) external returns (bytes32 providerId);
        function updateProvider(bytes32 providerId, address signer, bytes32 payee, bytes32 jurisdiction, bytes32[] platformIds) external;
        function providerOf(bytes32 providerId) external view returns (Provider provider);
        function createAppraisalPolicy(bytes32 salt, bytes32[] entries) external returns (bytes32 id);
        function addAppraisalEntry(bytes32 id, bytes32 entry) external;
        function revokeAppraisalEntry(bytes32 id, bytes32 entry) external;
        function revokeAppraisalPolicy(bytes32 id) external;
        function isEntryLive(bytes32 id, bytes32 entry) external view returns (bool live);
        function isAppraisalPolicyLive(bytes32 id) external view returns (bool live);
        function anchorAudit(bytes32 setId, uint32 setVersion, uint16 memberIndex, uint64 sequence, bytes32 head) external;
    }

    /// The part of an ERC-20 that LICEN calls.
    #[derive(Debug, PartialEq, Eq)]
    interface Erc20 {
        function approve(address spender, uint256 amount) external returns (bool);
        function balanceOf(address account) external view returns (uint256);
    }
}
