// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import { Job, Policy, Reason } from "../../src/Types.sol";

/// The events as the outside knows them, written down a second time on purpose: a changed signature
/// in src/ fails here.
interface DataPolicyEvents {
    event DatasetRegistered(bytes32 indexed datasetRoot, address indexed owner, bytes32 manifestHash);
    event PolicySet(bytes32 indexed policyHash, Policy policy);
    event PolicyPaused(bytes32 indexed datasetUid);
    event PolicyResumed(bytes32 indexed datasetUid);
    event AccessGranted(
        bytes32 indexed jobId, bytes32 indexed datasetRoot, address indexed requester, uint32 epochs
    );
    event JobOpened(bytes32 indexed jobId, Job job);
    event JobStarted(
        bytes32 indexed jobId, uint32 attempt, address signer, bytes32 runtimeDataHash, uint64 runDeadline
    );
    event JobCompleted(
        bytes32 indexed jobId, uint32 actualEpochs, bytes32 resultHash, bytes32 attestationRef
    );
    event RoyaltySettled(bytes32 indexed jobId, uint256 amount);
    event RefundIssued(bytes32 indexed jobId, uint256 amount);
    event JobFailed(bytes32 indexed jobId, Reason reasonCode);
    event JobExpired(bytes32 indexed jobId);
    event JobCancelled(bytes32 indexed jobId);
    event Credited(bytes32 indexed account, address indexed token, uint256 amount);
    event Withdrawn(address indexed account, address indexed token, uint256 amount);
    event Distributed(bytes32 indexed account, address indexed token, uint256 amount);
}
