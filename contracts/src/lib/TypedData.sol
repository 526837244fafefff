// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import { Approval, FailureReport, Policy, Quote, ResultManifest, Silence, Verdict } from "../Types.sol";

/// EIP-712 struct hashes of everything that is signed for `DataPolicy`. Static structs are hashed
/// as they lie in calldata: their ABI encoding is their EIP-712 encoding. A word with dirty high
/// bits gives a digest that no wallet produces, so it can only fail.
library TypedData {
    bytes32 internal constant POLICY_TYPEHASH = keccak256(
        "Policy(bytes32 datasetUid,bytes32 datasetRoot,address owner,bytes32 salt,uint64 version,bytes32 envelopeHash,bytes32 payee,address token,uint128 royaltyPerEpoch,uint32 maxEpochsPerRun,uint32 maxRunsPerRequester,uint32 startWindow,uint32 runWindow,uint64 policyExpiry,bytes32[] purposes,bytes32 requestersRoot,bytes32 constraintsHash,bytes32 manifestHash,bytes32 termsHash,bytes32 custodianSet,uint32 setVersion,bytes32 appraisalPolicy,uint8 requiredLevel,address operator,uint32 disputeWindow,address arbitrator)"
    );
    bytes32 internal constant REGISTER_TYPEHASH = keccak256(
        "RegisterDataset(Policy policy,uint64 deadline)Policy(bytes32 datasetUid,bytes32 datasetRoot,address owner,bytes32 salt,uint64 version,bytes32 envelopeHash,bytes32 payee,address token,uint128 royaltyPerEpoch,uint32 maxEpochsPerRun,uint32 maxRunsPerRequester,uint32 startWindow,uint32 runWindow,uint64 policyExpiry,bytes32[] purposes,bytes32 requestersRoot,bytes32 constraintsHash,bytes32 manifestHash,bytes32 termsHash,bytes32 custodianSet,uint32 setVersion,bytes32 appraisalPolicy,uint8 requiredLevel,address operator,uint32 disputeWindow,address arbitrator)"
    );
    bytes32 internal constant QUOTE_TYPEHASH = keccak256(
        "Quote(bytes32 providerId,bytes32 datasetUid,bytes32 jobSpecHash,uint128 computeFeePerEpoch,uint64 expiresAt)"
    );
    bytes32 internal constant APPROVAL_TYPEHASH =
        keccak256("Approval(bytes32 datasetUid,address requester,uint64 expires)");
    bytes32 internal constant VERDICT_TYPEHASH = keccak256(
        "Verdict(bytes32 jobId,uint32 attempt,address signer,bytes32 runtimeDataHash,bytes32 providerId,uint8 level,bytes32 appraisalPolicy,bytes32 custodianSet,uint32 setVersion,uint64 expiresAt)"
    );
    bytes32 internal constant SILENCE_TYPEHASH = keccak256("Silence(bytes32 jobId,uint32 attempt)");
    bytes32 internal constant MANIFEST_TYPEHASH = keccak256(
        "ResultManifest(bytes32 jobId,uint32 attempt,bytes32 datasetRoot,bytes32 resultHash,uint32 actualEpochs,uint64 samples,uint64 tokensSeen,uint64 tokensTrained,uint64 evalBefore,uint64 evalAfter,bytes32 attestationRef)"
    );
    bytes32 internal constant REPORT_TYPEHASH = keccak256(
        "FailureReport(bytes32 jobId,uint32 attempt,uint8 reasonCode,uint32 epochsDone,bytes32 runtimeDataHash)"
    );

    function hash(Quote calldata quote) internal pure returns (bytes32) {
        return _hash(QUOTE_TYPEHASH, _at(quote), 5);
    }

    function hash(Approval calldata approval) internal pure returns (bytes32) {
        return _hash(APPROVAL_TYPEHASH, _at(approval), 3);
    }

    function hash(Verdict calldata verdict) internal pure returns (bytes32) {
        return _hash(VERDICT_TYPEHASH, _at(verdict), 10);
    }

    /// The same hash of a verdict in memory: all fields are static, so they lie as they are encoded.
    function hashMemory(Verdict memory verdict) internal pure returns (bytes32 result) {
        bytes32 typeHash = VERDICT_TYPEHASH;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, typeHash)
            mcopy(add(free, 0x20), verdict, 320)
            result := keccak256(free, 352)
        }
    }

    /// What is signed: the struct's hash under a domain that was computed once.
    function digest(bytes32 domain, bytes32 structHash) internal pure returns (bytes32 result) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, hex"1901")
            mstore(add(free, 0x02), domain)
            mstore(add(free, 0x22), structHash)
            result := keccak256(free, 0x42)
        }
    }

    function hash(ResultManifest calldata manifest) internal pure returns (bytes32) {
        return _hash(MANIFEST_TYPEHASH, _at(manifest), 11);
    }

    function hash(FailureReport calldata report) internal pure returns (bytes32) {
        return _hash(REPORT_TYPEHASH, _at(report), 5);
    }

    function hash(Silence memory silence) internal pure returns (bytes32) {
        return keccak256(abi.encode(SILENCE_TYPEHASH, silence.jobId, silence.attempt));
    }

    /// The owner's assent to a registration sent by somebody else.
    function hashRegister(Policy calldata policy, uint64 deadline) internal pure returns (bytes32) {
        return keccak256(abi.encode(REGISTER_TYPEHASH, hash(policy), deadline));
    }

    /// keccak256(abi.encode(policy)), from the words as they lie in calldata.
    function policyHash(Policy calldata policy) internal pure returns (bytes32 result) {
        (uint256 head, uint256 length) = _encode(policy);
        assembly ("memory-safe") {
            result := keccak256(head, length)
        }
    }

    /// In the encoding, the first word becomes the type hash, and word 14, the offset of `purposes`,
    /// becomes the hash of its items.
    function hash(Policy calldata policy) internal pure returns (bytes32 result) {
        (uint256 head, uint256 length) = _encode(policy);
        bytes32 typeHash = POLICY_TYPEHASH;
        assembly ("memory-safe") {
            mstore(head, typeHash)
            mstore(add(head, 0x1e0), keccak256(add(head, 0x380), sub(length, 0x380)))
            result := keccak256(head, 0x360)
        }
    }

    /// Writes the ABI encoding of a policy behind the free pointer without claiming it:
    /// [0x20][26 words, word 14 = 0x340][purposes: length, items]. Only the layout is made canonical.
    /// Dirty words give a hash that nobody committed to or signed: `Datasets._set` encodes strictly.
    function _encode(Policy calldata policy) private pure returns (uint256 head, uint256 length) {
        bytes32[] calldata purposes = policy.purposes;
        assembly ("memory-safe") {
            head := mload(0x40)
            mstore(head, 0x20)
            calldatacopy(add(head, 0x20), policy, 0x340)
            mstore(add(head, 0x1e0), 0x340)
            mstore(add(head, 0x360), purposes.length)
            let size := shl(5, purposes.length)
            calldatacopy(add(head, 0x380), purposes.offset, size)
            length := add(0x380, size)
        }
    }

    function _hash(bytes32 typeHash, uint256 offset, uint256 words) private pure returns (bytes32 result) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, typeHash)
            calldatacopy(add(free, 0x20), offset, shl(5, words))
            result := keccak256(free, shl(5, add(words, 1)))
        }
    }

    function _at(Quote calldata value) private pure returns (uint256 offset) {
        assembly ("memory-safe") {
            offset := value
        }
    }

    function _at(Approval calldata value) private pure returns (uint256 offset) {
        assembly ("memory-safe") {
            offset := value
        }
    }

    function _at(Verdict calldata value) private pure returns (uint256 offset) {
        assembly ("memory-safe") {
            offset := value
        }
    }

    function _at(ResultManifest calldata value) private pure returns (uint256 offset) {
        assembly ("memory-safe") {
            offset := value
        }
    }

    function _at(FailureReport calldata value) private pure returns (uint256 offset) {
        assembly ("memory-safe") {
            offset := value
        }
    }
}
