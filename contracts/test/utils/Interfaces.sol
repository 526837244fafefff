// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {
    Admission,
    FailureReport,
    Job,
    JobState,
    Member,
    MemberSignature,
    Policy,
    Provider,
    Request,
    ResultManifest,
    SignedQuote,
    Split,
    Verdict
} from "../../src/Types.sol";

// The contracts as tests call them. Tests never import the contracts themselves: they are deployed from
// their artifacts, so that a test neither compiles them again nor needs their compiler settings.

interface IDataPolicy {
    function LOCAL_CHAIN_ID() external view returns (uint256);
    function MAX_ATTEMPTS() external view returns (uint32);
    function MAX_FEE_BPS() external view returns (uint16);
    function MAX_PAYEES() external view returns (uint256);
    function MAX_PURPOSES() external view returns (uint256);
    function MAX_RETURNED_RUNS() external view returns (uint8);
    function MAX_RUN_WINDOW() external view returns (uint32);
    function MAX_START_WINDOW() external view returns (uint32);
    function MAX_VERDICT_AGE() external view returns (uint64);
    function REFUND_GAS() external view returns (uint256);
    function REFUND_GAS_LEFT() external view returns (uint256);
    function STRIKE_GAS() external view returns (uint256);
    function accountOf(address holder) external pure returns (bytes32);
    function cancelJob(Job calldata job) external;
    function confirmTrainingComplete(
        Job calldata job,
        ResultManifest calldata manifest,
        bytes calldata signature
    ) external;
    function credit(bytes32 account, address token) external view returns (uint256);
    function custody() external view returns (address);
    function datasetState(bytes32 uid) external view returns (bytes32 commitment, bool paused);
    function datasetUid(address owner, bytes32 salt) external view returns (bytes32);
    function declineJob(Job calldata job) external;
    function disputes() external view returns (address);
    function distributable(Split calldata split, address token) external view returns (uint256);
    function distribute(Split calldata split, address token) external;
    function domainSeparator() external view returns (bytes32);
    function expireJob(Job calldata job) external;
    function feeBps() external view returns (uint16);
    function feeRecipient() external view returns (address);
    function jobCommitment(Job calldata job) external pure returns (bytes32);
    function jobId(bytes32 uid, address requester, uint64 counter) external view returns (bytes32);
    function jobState(bytes32 id) external view returns (JobState state, bytes32 commitment);
    function license() external view returns (address);
    function markJobFailed(Job calldata job, MemberSignature[] calldata silences) external;
    function markJobFailed(Job calldata job, FailureReport calldata report, bytes calldata signature) external;
    function pausePolicy(Policy calldata policy) external;
    function policyHash(Policy calldata policy) external pure returns (bytes32);
    function registerDataset(Policy calldata policy) external;
    function registerDataset(Policy calldata policy, uint64 deadline, bytes calldata ownerSignature) external;
    function requestAccess(
        Policy calldata policy,
        Request calldata request,
        SignedQuote calldata quote,
        Admission calldata admission
    ) external payable returns (bytes32);
    function requestAccess(Policy calldata policy, Request calldata request)
        external
        payable
        returns (bytes32);
    function restartJob(
        Job calldata job,
        address signer,
        Verdict[] calldata verdicts,
        MemberSignature[] calldata signatures
    ) external;
    function resumePolicy(Policy calldata policy) external;
    function runsOf(bytes32 uid, address requester)
        external
        view
        returns (uint64 counter, uint32 runs, uint8 returned);
    function splitAccount(Split calldata split) external pure returns (bytes32);
    function splitBooks(bytes32 account, address token)
        external
        view
        returns (uint256 totalIn, uint256 released);
    function startJob(
        Job calldata job,
        address signer,
        Verdict[] calldata verdicts,
        MemberSignature[] calldata signatures
    ) external;
    function updatePolicy(Policy calldata old, Policy calldata next) external;
    function withdraw(address account, address token) external;
}

interface ICustody {
    function APPRAISAL_DELAY() external view returns (uint64);
    function MAX_MEMBERS() external view returns (uint256);
    function addAppraisalEntry(bytes32 appraisalPolicy, bytes32 entry) external;
    function addSetVersion(bytes32 setId, uint8 t, Member[] calldata members)
        external
        returns (uint32 setVersion);
    function anchorAudit(bytes32 setId, uint32 setVersion, uint16 memberIndex, uint64 sequence, bytes32 head)
        external;
    function createAppraisalPolicy(bytes32 salt, bytes32[] calldata entries)
        external
        returns (bytes32 appraisalPolicy);
    function createSet(bytes32 salt, uint8 t, Member[] calldata members) external returns (bytes32 setId);
    function idOf(address creator, bytes32 salt) external pure returns (bytes32);
    function isAppraisalPolicyLive(bytes32 appraisalPolicy) external view returns (bool);
    function isEntryLive(bytes32 appraisalPolicy, bytes32 entry) external view returns (bool);
    function latestSetVersion(bytes32 setId) external view returns (uint32);
    function providerOf(bytes32 providerId) external view returns (Provider memory);
    function providerTerms(bytes32 providerId) external view returns (address signer, bytes32 payee);
    function registerProvider(
        bytes32 salt,
        address signer,
        bytes32 payee,
        bytes32 jurisdiction,
        bytes32[] calldata platformIds
    ) external returns (bytes32 providerId);
    function revokeAppraisalEntry(bytes32 appraisalPolicy, bytes32 entry) external;
    function revokeAppraisalPolicy(bytes32 appraisalPolicy) external;
    function setOf(bytes32 setId, uint32 setVersion) external view returns (uint8 t, Member[] memory members);
    function strike(bytes32 providerId) external;
    function strikes(address reporter, bytes32 providerId) external view returns (uint256);
    function updateProvider(
        bytes32 providerId,
        address signer,
        bytes32 payee,
        bytes32 jurisdiction,
        bytes32[] calldata platformIds
    ) external;
}
