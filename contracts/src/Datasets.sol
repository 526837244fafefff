// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import { MerkleProofLib } from "solady/utils/MerkleProofLib.sol";

import {
    AdmissionMissing,
    AdmissionProofInvalid,
    ApprovalExpired,
    ApprovalMismatch,
    DatasetExists,
    DatasetNotPaused,
    DatasetPaused,
    DatasetRootZero,
    DatasetUidWrong,
    DatasetUnknown,
    LevelRefused,
    NonceWrong,
    NotAuthorized,
    PolicyIdentityChanged,
    PolicyLimitZero,
    PolicyPayeeZero,
    PolicyStale,
    PolicyVersionWrong,
    PurposesOutOfRange,
    RunWindowOutOfRange,
    SignatureExpired,
    SignatureInvalid,
    StartWindowOutOfRange
} from "./Errors.sol";
import { Ledger } from "./Ledger.sol";
import { Admission, Approval, LEVEL_HARDWARE, LEVEL_SOFTWARE, Policy } from "./Types.sol";
import { IDataPolicy } from "./interfaces/IDataPolicy.sol";
import { Signatures } from "./lib/Signatures.sol";
import { TypedData } from "./lib/TypedData.sol";

/// @notice Datasets and their one current policy each, kept as one slot: 248 bits of the policy's hash, and
/// whether the dataset is paused. The policy itself comes in calldata and is logged once in full.
///
/// A dataset's uid is made of its owner's address, so nobody can take a uid before its owner does,
/// and it stands in every AAD, so a copied root registered by somebody else opens nothing. It names no
/// contract: the same dataset can be registered at every deployment, by its owner or with a signature for
/// that deployment.
abstract contract Datasets is Ledger, IDataPolicy {
    /// @inheritdoc IDataPolicy
    uint32 public constant MAX_START_WINDOW = 7 days;
    /// @inheritdoc IDataPolicy
    uint32 public constant MAX_RUN_WINDOW = 30 days;
    // A request looks its purpose up one by one.
    /// @inheritdoc IDataPolicy
    uint256 public constant MAX_PURPOSES = 64;
    // A chain that exists on one machine only.
    /// @inheritdoc IDataPolicy
    uint256 public constant LOCAL_CHAIN_ID = 31_337;

    bytes32 private constant _DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant _NAME_HASH = keccak256("LICEN");
    bytes32 private constant _VERSION_HASH = keccak256("2");

    bytes32 private constant _ACTIVE = bytes32(uint256(1));
    bytes32 private constant _PAUSED = bytes32(uint256(2));
    bytes32 private constant _COMMITMENT = ~bytes32(uint256(0xff));

    uint256 private immutable _chainId;
    bytes32 private immutable _domain;

    mapping(bytes32 datasetUid => bytes32) private _datasets;
    mapping(address owner => uint64) private _nonces;

    constructor() {
        _chainId = block.chainid;
        _domain = _makeDomain();
    }

    /// @inheritdoc IDataPolicy
    function registerDataset(Policy calldata policy) external {
        if (msg.sender != policy.owner) revert NotAuthorized(msg.sender, policy.owner);
        _register(policy);
    }

    /// @inheritdoc IDataPolicy
    function registerDataset(
        Policy calldata policy,
        uint64 nonce,
        uint64 deadline,
        bytes calldata ownerSignature
    ) external {
        address owner = policy.owner;
        if (block.timestamp > deadline) revert SignatureExpired(deadline, block.timestamp);
        // So that what was signed before and never sent cannot put an older policy into force.
        uint64 current = _nonces[owner];
        if (nonce != current) revert NonceWrong(nonce, current);
        _nonces[owner] = nonce + 1;
        bytes32 digest = TypedData.digest(domainSeparator(), TypedData.hashRegister(policy, nonce, deadline));
        if (!Signatures.isBy(owner, digest, ownerSignature)) revert SignatureInvalid(owner);
        _register(policy);
    }

    /// @inheritdoc IDataPolicy
    function raiseNonce(uint64 nonce) external {
        uint64 current = _nonces[msg.sender];
        if (nonce <= current) revert NonceWrong(nonce, current);
        _nonces[msg.sender] = nonce;
        emit NonceRaised(msg.sender, nonce);
    }

    /// @inheritdoc IDataPolicy
    function updatePolicy(Policy calldata old, Policy calldata next) external {
        (bytes32 slot,) = _owned(old);
        // Requests that name the old one are refused from now on; jobs that run under it are untouched,
        // because a job carries its own terms.
        if (
            next.datasetUid != old.datasetUid || next.datasetRoot != old.datasetRoot
                || next.owner != old.owner || next.salt != old.salt
        ) revert PolicyIdentityChanged(old.datasetUid, next.datasetRoot, next.owner, next.salt);
        // A version that cannot be raised any more reverts here by checked arithmetic.
        if (next.version != old.version + 1) revert PolicyVersionWrong(next.version, old.version + 1);
        _checkPolicy(next);
        _set(next, slot & ~_COMMITMENT);
    }

    /// @inheritdoc IDataPolicy
    function pausePolicy(Policy calldata policy) external {
        (bytes32 slot, bytes32 uid) = _owned(policy);
        if (slot & _PAUSED != 0) revert DatasetPaused(uid);
        _datasets[uid] = slot | _PAUSED;
        emit PolicyPaused(uid);
    }

    /// @inheritdoc IDataPolicy
    function resumePolicy(Policy calldata policy) external {
        (bytes32 slot, bytes32 uid) = _owned(policy);
        if (slot & _PAUSED == 0) revert DatasetNotPaused(uid);
        _datasets[uid] = slot & ~_PAUSED;
        emit PolicyResumed(uid);
    }

    /// @inheritdoc IDataPolicy
    function datasetState(bytes32 uid) external view returns (bytes32 commitment, bool paused) {
        bytes32 slot = _datasets[uid];
        return (slot & _COMMITMENT, slot & _PAUSED != 0);
    }

    /// @inheritdoc IDataPolicy
    function registrationNonce(address owner) external view returns (uint64) {
        return _nonces[owner];
    }

    /// @inheritdoc IDataPolicy
    function datasetUid(address owner, bytes32 salt) public view returns (bytes32) {
        return keccak256(abi.encode("LICEN/uid/v2", block.chainid, owner, salt));
    }

    /// @inheritdoc IDataPolicy
    function policyHash(Policy calldata policy) external pure returns (bytes32) {
        return TypedData.policyHash(policy);
    }

    /// @inheritdoc IDataPolicy
    function domainSeparator() public view returns (bytes32) {
        // What is signed for one chain and one deployment is void on every other, also on a fork.
        return block.chainid == _chainId ? _domain : _makeDomain();
    }

    /// Refuses unless `policy` is the current policy of its dataset and requests are open.
    function _requireOpen(Policy calldata policy) internal view returns (bytes32 hash) {
        bytes32 slot;
        bytes32 uid;
        (slot, uid, hash) = _current(policy);
        if (slot & _PAUSED != 0) revert DatasetPaused(uid);
    }

    /// Refuses unless the owner admits the caller: by the allow-list in the policy, or by a signature
    /// that costs the owner no gas. The leaf is hashed twice, so no inner node can pass for one.
    function _requireAdmitted(Policy calldata policy, Admission calldata admission) internal view {
        bytes32 root = policy.requestersRoot;
        if (root == 0) return;
        if (admission.signature.length == 0) {
            if (admission.proof.length == 0 && root != _leaf(msg.sender)) {
                revert AdmissionMissing(policy.datasetUid, msg.sender);
            }
            if (!MerkleProofLib.verifyCalldata(admission.proof, root, _leaf(msg.sender))) {
                revert AdmissionProofInvalid(root, msg.sender);
            }
            return;
        }
        Approval calldata approval = admission.approval;
        if (
            approval.datasetUid != policy.datasetUid || approval.requestersRoot != root
                || approval.requester != msg.sender
        ) revert ApprovalMismatch(approval.datasetUid, approval.requestersRoot, approval.requester);
        if (block.timestamp > approval.expires) revert ApprovalExpired(approval.expires, block.timestamp);
        bytes32 digest = TypedData.digest(domainSeparator(), TypedData.hash(approval));
        if (!Signatures.isBy(policy.owner, digest, admission.signature)) {
            revert SignatureInvalid(policy.owner);
        }
    }

    /// SOFTWARE proves nothing, so it exists on the local chain only; other levels do not exist.
    function _requireLevel(uint8 level) internal view {
        if (level == LEVEL_HARDWARE) return;
        if (level != LEVEL_SOFTWARE || block.chainid != LOCAL_CHAIN_ID) {
            revert LevelRefused(level, block.chainid);
        }
    }

    function _makeDomain() private view returns (bytes32) {
        return
            keccak256(abi.encode(_DOMAIN_TYPEHASH, _NAME_HASH, _VERSION_HASH, block.chainid, address(this)));
    }

    function _register(Policy calldata policy) private {
        bytes32 uid = _checkUid(policy);
        if (_datasets[uid] != 0) revert DatasetExists(uid);
        if (policy.datasetRoot == 0) revert DatasetRootZero(uid);
        if (policy.version != 1) revert PolicyVersionWrong(policy.version, 1);
        _checkPolicy(policy);
        emit DatasetRegistered(policy.datasetRoot, policy.owner, policy.manifestHash);
        _set(policy, _ACTIVE);
    }

    function _set(Policy calldata policy, bytes32 flags) private {
        // The one place where every field is checked to be clean, before anything is committed to.
        bytes memory encoded = abi.encode(policy);
        bytes32 hash = keccak256(encoded);
        bytes32 uid = policy.datasetUid;
        _datasets[uid] = (hash & _COMMITMENT) | flags;
        bytes32 topic = PolicySet.selector;
        // `emit PolicySet(hash, uid, policy)`, from the encoding that was just hashed.
        assembly ("memory-safe") {
            log3(add(encoded, 0x20), mload(encoded), topic, hash, uid)
        }
    }

    function _checkPolicy(Policy calldata policy) private view {
        if (policy.payee == 0) revert PolicyPayeeZero(policy.datasetUid);
        _requirePayable(policy.payee);
        if (policy.maxEpochsPerRun == 0 || policy.maxRunsPerRequester == 0) {
            revert PolicyLimitZero(policy.maxEpochsPerRun, policy.maxRunsPerRequester);
        }
        if (policy.startWindow == 0 || policy.startWindow > MAX_START_WINDOW) {
            revert StartWindowOutOfRange(policy.startWindow, MAX_START_WINDOW);
        }
        if (policy.runWindow == 0 || policy.runWindow > MAX_RUN_WINDOW) {
            revert RunWindowOutOfRange(policy.runWindow, MAX_RUN_WINDOW);
        }
        uint256 purposes = policy.purposes.length;
        if (purposes == 0 || purposes > MAX_PURPOSES) revert PurposesOutOfRange(purposes, MAX_PURPOSES);
        _requireLevel(policy.requiredLevel);
    }

    function _owned(Policy calldata policy) private view returns (bytes32 slot, bytes32 uid) {
        if (msg.sender != policy.owner) revert NotAuthorized(msg.sender, policy.owner);
        (slot, uid,) = _current(policy);
    }

    function _current(Policy calldata policy) private view returns (bytes32 slot, bytes32 uid, bytes32 hash) {
        uid = _checkUid(policy);
        slot = _datasets[uid];
        if (slot == 0) revert DatasetUnknown(uid);
        hash = TypedData.policyHash(policy);
        if (hash & _COMMITMENT != slot & _COMMITMENT) {
            revert PolicyStale(uid, hash & _COMMITMENT, slot & _COMMITMENT);
        }
    }

    function _checkUid(Policy calldata policy) private view returns (bytes32 uid) {
        uid = datasetUid(policy.owner, policy.salt);
        if (policy.datasetUid != uid) revert DatasetUidWrong(policy.datasetUid, uid);
    }

    function _leaf(address requester) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(keccak256(abi.encode(requester))));
    }
}
