// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {
    Admission,
    FailureReport,
    Job,
    JobState,
    MemberSignature,
    Policy,
    Reason,
    Request,
    ResultManifest,
    SignedQuote,
    Verdict
} from "../Types.sol";
import { ICustody } from "./ICustody.sol";
import { ILedger } from "./ILedger.sol";

/// @title Datasets, their policies, and the life of a training job
/// @notice Structs come in calldata, are kept by hash only, and are logged whole once, so whoever calls
/// sends the policy or the job as it is now. Times are Unix seconds, windows seconds.
interface IDataPolicy is ILedger {
    /// @notice A dataset has an owner, a ciphertext and a manifest.
    event DatasetRegistered(bytes32 indexed datasetRoot, address indexed owner, bytes32 manifestHash);

    /// @notice The dataset's policy from now on.
    event PolicySet(bytes32 indexed policyHash, bytes32 indexed datasetUid, Policy policy);

    /// @notice New requests are refused.
    event PolicyPaused(bytes32 indexed datasetUid);

    /// @notice New requests are taken again.
    event PolicyResumed(bytes32 indexed datasetUid);

    /// @notice Signed registrations of `owner` below `nonce` are void.
    event NonceRaised(address indexed owner, uint64 nonce);

    /// @notice A request was paid in full.
    event AccessGranted(
        bytes32 indexed jobId, bytes32 indexed datasetRoot, address indexed requester, uint32 epochs
    );

    /// @notice The job as it was granted.
    event JobOpened(bytes32 indexed jobId, Job job);

    /// @notice An attempt began; `signer` is its one key.
    event JobStarted(
        bytes32 indexed jobId, uint32 attempt, address signer, bytes32 runtimeDataHash, uint64 runDeadline
    );

    /// @notice A job ended by a manifest.
    event JobCompleted(
        bytes32 indexed jobId, uint32 actualEpochs, bytes32 resultHash, bytes32 attestationRef
    );

    /// @notice The manifest that ended it, whole: what `isResult` is asked with.
    event ResultRecorded(bytes32 indexed jobId, ResultManifest manifest);

    /// @notice The owner's line of a settlement, the protocol fee in it.
    event RoyaltySettled(bytes32 indexed jobId, uint256 amount);

    /// @notice A job ended without a result.
    event JobFailed(bytes32 indexed jobId, Reason reasonCode);

    /// @notice A job ended by the clock.
    event JobExpired(bytes32 indexed jobId);

    /// @notice A job ended before its start, by its requester.
    event JobCancelled(bytes32 indexed jobId);

    // ------------------------------------------------------------------------------------- datasets

    /// @notice Registers a dataset, by its owner. The policy's version is 1.
    function registerDataset(Policy calldata policy) external;

    /// @notice Registers a dataset with its owner's signature over
    /// RegisterDataset(Policy policy,uint64 nonce,uint64 deadline), by key or EIP-1271.
    /// @param nonce The owner's current one; it rises by one.
    /// @param deadline The last second in which the signature counts.
    function registerDataset(
        Policy calldata policy,
        uint64 nonce,
        uint64 deadline,
        bytes calldata ownerSignature
    ) external;

    /// @notice Makes void what the caller signed for registration with a lower nonce and nobody sent.
    /// @param nonce The next one that counts; above the current one.
    function raiseNonce(uint64 nonce) external;

    /// @notice Replaces the current policy by its next version, by the owner. Granted jobs are untouched.
    function updatePolicy(Policy calldata old, Policy calldata next) external;

    /// @notice Stops new requests for one dataset, by its owner; never an exit, never a granted job.
    function pausePolicy(Policy calldata policy) external;

    /// @notice Takes new requests again, by the owner.
    function resumePolicy(Policy calldata policy) external;

    // ------------------------------------------------------------------------------------- requests

    /// @notice Opens a job for the caller and takes its escrow. Any provider, no allow-list.
    function requestAccess(Policy calldata policy, Request calldata request)
        external
        payable
        returns (bytes32 id);

    /// @notice Opens a job for the caller with a provider's price and proof of admission, each only where
    /// it is needed, and takes its escrow.
    function requestAccess(
        Policy calldata policy,
        Request calldata request,
        SignedQuote calldata quote,
        Admission calldata admission
    ) external payable returns (bytes32 id);

    // ----------------------------------------------------------------------------------------- jobs

    /// @notice Granted -> Running: t custodians found approved code behind `signer`. By anybody, up to and
    /// including startDeadline.
    /// @param verdicts Those of the pinned set by ascending member, then those of the verifierSet.
    function startJob(
        Job calldata job,
        address signer,
        Verdict[] calldata verdicts,
        MemberSignature[] calldata signatures
    ) external;

    /// @notice Running -> Running, next attempt: the custodians agree, by as many as can declare silence,
    /// that the attempt before is dead. No deadline moves.
    function restartJob(
        Job calldata job,
        address signer,
        Verdict[] calldata verdicts,
        MemberSignature[] calldata signatures
    ) external;

    /// @notice Running -> Completed: pays for what compute says it did, returns the rest, and records the
    /// result. By anybody, up to and including runDeadline.
    /// @param signature Of the job's signer over the manifest.
    function confirmTrainingComplete(
        Job calldata job,
        ResultManifest calldata manifest,
        bytes calldata signature
    ) external;

    /// @notice Running -> Failed by compute's own statement. Only JOB_SPEC_INVALID, which is the
    /// requester's fault, pays for compute's epochs.
    /// @param signature Of the job's signer over the report.
    function markJobFailed(Job calldata job, FailureReport calldata report, bytes calldata signature) external;

    /// @notice Running -> Failed because compute fell silent: said by more members of the pinned set than
    /// could be missing for a manifest to exist.
    function markJobFailed(Job calldata job, MemberSignature[] calldata silences) external;

    /// @notice Granted -> Failed: the operator or the owner will not serve it.
    function declineJob(Job calldata job) external;

    /// @notice Granted -> Cancelled: the requester changed their mind before anybody worked.
    function cancelJob(Job calldata job) external;

    /// @notice Granted or Running -> Expired, by anybody, after startDeadline or runDeadline.
    function expireJob(Job calldata job) external;

    // ---------------------------------------------------------------------------------------- views

    /// @notice The current policy's hash with its low 8 bits 0 (0 = no such dataset), and the pause.
    function datasetState(bytes32 uid) external view returns (bytes32 commitment, bool paused);

    /// @notice The nonce that the owner's next signed registration must name.
    function registrationNonce(address owner) external view returns (uint64);

    /// @notice keccak256(abi.encode("LICEN/uid/v2", chainId, owner, salt)): the same at every deployment.
    function datasetUid(address owner, bytes32 salt) external view returns (bytes32);

    /// @notice keccak256(abi.encode(policy)).
    function policyHash(Policy calldata policy) external pure returns (bytes32);

    /// @notice The EIP-712 domain of everything that is signed for this contract.
    function domainSeparator() external view returns (bytes32);

    /// @notice What a requester has used of a dataset.
    /// @return counter How many jobs it ever opened.
    /// @return runs How many of them count against maxRunsPerRequester.
    /// @return returned How many runs it got back after a start, at most MAX_RETURNED_RUNS.
    function runsOf(bytes32 uid, address requester)
        external
        view
        returns (uint64 counter, uint32 runs, uint8 returned);

    /// @notice keccak256(abi.encode(chainId, contract, uid, requester, counter)); the first counter is 1.
    function jobId(bytes32 uid, address requester, uint64 counter) external view returns (bytes32);

    /// @notice Where a job stands. The commitment has its low 8 bits 0; that of a Completed job is
    /// keccak256(job commitment, keccak256(abi.encode(manifest))), of any other the job commitment,
    /// keccak256(abi.encode(job)).
    function jobState(bytes32 id) external view returns (JobState state, bytes32 commitment);

    /// @notice keccak256(abi.encode(job)) with its low 8 bits 0.
    function jobCommitment(Job calldata job) external pure returns (bytes32);

    /// @notice True where exactly this job, as it ran, is Completed with exactly this manifest.
    function isResult(Job calldata job, ResultManifest calldata manifest) external view returns (bool);

    // ------------------------------------------------------------------------------------ constants

    /// @notice The registries that jobs are checked against.
    function custody() external view returns (ICustody);

    /// @notice 0: licenses are refused.
    function license() external view returns (address);

    /// @notice The longest wait for a start, in seconds.
    function MAX_START_WINDOW() external view returns (uint32);

    /// @notice The longest run, in seconds.
    function MAX_RUN_WINDOW() external view returns (uint32);

    /// @notice The most purposes of one policy.
    function MAX_PURPOSES() external view returns (uint256);

    /// @notice The one chain where a simulated TEE counts.
    function LOCAL_CHAIN_ID() external view returns (uint256);

    /// @notice How often the run of a job that had started is given back.
    function MAX_RETURNED_RUNS() external view returns (uint8);

    /// @notice How far ahead a verdict may expire, in seconds.
    function MAX_VERDICT_AGE() external view returns (uint64);

    /// @notice The most attempts of one job.
    function MAX_ATTEMPTS() external view returns (uint32);
}
