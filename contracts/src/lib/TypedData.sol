// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import { Approval, FailureReport, Policy, Quote, ResultManifest, Silence, Verdict } from "../Types.sol";

/// @notice EIP-712 struct hashes of everything that is signed for `DataPolicy`. Static structs are hashed
/// as they lie: their memory, their calldata and their ABI encoding are the same words. A word with dirty
/// high bits gives a digest that no wallet produces, so it can only fail.
library TypedData {
    bytes32 internal constant POLICY_TYPEHASH = keccak256(
        "Policy(bytes32 datasetUid,bytes32 datasetRoot,address owner,bytes32 salt,uint64 version,bytes32 envelopeHash,bytes32 payee,address token,uint128 royaltyPerEpoch,uint32 maxEpochsPerRun,uint32 maxRunsPerRequester,uint32 startWindow,uint32 runWindow,uint64 policyExpiry,bytes32[] purposes,bytes32 requestersRoot,bytes32 constraintsHash,bytes32 manifestHash,bytes32 termsHash,bytes32 custodianSet,uint32 setVersion,bytes32 appraisalPolicy,uint8 requiredLevel,address operator)"
    );
    bytes32 internal constant REGISTER_TYPEHASH = keccak256(
        "RegisterDataset(Policy policy,uint64 nonce,uint64 deadline)Policy(bytes32 datasetUid,bytes32 datasetRoot,address owner,bytes32 salt,uint64 version,bytes32 envelopeHash,bytes32 payee,address token,uint128 royaltyPerEpoch,uint32 maxEpochsPerRun,uint32 maxRunsPerRequester,uint32 startWindow,uint32 runWindow,uint64 policyExpiry,bytes32[] purposes,bytes32 requestersRoot,bytes32 constraintsHash,bytes32 manifestHash,bytes32 termsHash,bytes32 custodianSet,uint32 setVersion,bytes32 appraisalPolicy,uint8 requiredLevel,address operator)"
    );
    bytes32 internal constant QUOTE_TYPEHASH = keccak256(
        "Quote(bytes32 providerId,bytes32 jobId,bytes32 policyHash,uint256 licenseId,address token,bytes32 jobSpecHash,uint32 epochs,uint128 computeFeePerEpoch,uint64 expiresAt)"
    );
    bytes32 internal constant APPROVAL_TYPEHASH =
        keccak256("Approval(bytes32 datasetUid,bytes32 requestersRoot,address requester,uint64 expires)");
    bytes32 internal constant VERDICT_TYPEHASH = keccak256(
        "Verdict(bytes32 jobId,uint32 attempt,address signer,bytes32 runtimeDataHash,bytes32 providerId,uint8 level,bytes32 appraisalPolicy,bytes32 custodianSet,uint32 setVersion,uint64 expiresAt)"
    );
    bytes32 internal constant SILENCE_TYPEHASH = keccak256("Silence(bytes32 jobId,uint32 attempt)");
    bytes32 internal constant MANIFEST_TYPEHASH = keccak256(
        "ResultManifest(bytes32 jobId,uint32 attempt,bytes32 datasetRoot,bytes32 resultHash,uint32 actualEpochs,uint64 samples,uint64 tokensSeen,uint64 tokensTrained,uint64 computeSeconds,uint64 evalBefore,uint64 evalAfter,bytes32 baseModelRoot,bytes32 adapterRoot,bytes32 attestationRef,bytes32 reportHash)"
    );
    bytes32 internal constant REPORT_TYPEHASH = keccak256(
        "FailureReport(bytes32 jobId,uint32 attempt,uint8 reasonCode,uint32 epochsDone,bytes32 runtimeDataHash)"
    );

    // How many words each struct has.
    uint256 internal constant QUOTE_FIELDS = 9;
    uint256 internal constant APPROVAL_FIELDS = 4;
    uint256 internal constant VERDICT_FIELDS = 10;
    uint256 internal constant MANIFEST_FIELDS = 15;
    uint256 internal constant REPORT_FIELDS = 5;
    uint256 internal constant POLICY_FIELDS = 24;

    // The ABI encoding of a policy: [0x20][its fields, one of them the offset of `purposes`][purposes:
    // length, items].
    uint256 internal constant POLICY_PURPOSES_FIELD = 14;
    uint256 private constant POLICY_HEAD_SIZE = POLICY_FIELDS * 32;
    uint256 private constant PURPOSES_OFFSET_AT = 32 + POLICY_PURPOSES_FIELD * 32;
    uint256 private constant PURPOSES_LENGTH_AT = 32 + POLICY_HEAD_SIZE;
    uint256 private constant PURPOSES_AT = PURPOSES_LENGTH_AT + 32;

    /// @notice The struct hash of a quote.
    function hash(Quote calldata quote) internal pure returns (bytes32) {
        return _hash(QUOTE_TYPEHASH, _at(quote), QUOTE_FIELDS);
    }

    /// @notice The same hash of a quote in memory.
    function hashMemory(Quote memory quote) internal pure returns (bytes32) {
        uint256 at;
        assembly ("memory-safe") {
            at := quote
        }
        return _hashMemory(QUOTE_TYPEHASH, at, QUOTE_FIELDS);
    }

    /// @notice The struct hash of an approval.
    function hash(Approval calldata approval) internal pure returns (bytes32) {
        return _hash(APPROVAL_TYPEHASH, _at(approval), APPROVAL_FIELDS);
    }

    /// @notice The struct hash of a verdict.
    function hash(Verdict calldata verdict) internal pure returns (bytes32) {
        return _hash(VERDICT_TYPEHASH, _at(verdict), VERDICT_FIELDS);
    }

    /// @notice The same hash of a verdict in memory.
    function hashMemory(Verdict memory verdict) internal pure returns (bytes32) {
        uint256 at;
        assembly ("memory-safe") {
            at := verdict
        }
        return _hashMemory(VERDICT_TYPEHASH, at, VERDICT_FIELDS);
    }

    /// @notice The struct hash of a result manifest.
    function hash(ResultManifest calldata manifest) internal pure returns (bytes32) {
        return _hash(MANIFEST_TYPEHASH, _at(manifest), MANIFEST_FIELDS);
    }

    /// @notice The struct hash of a failure report.
    function hash(FailureReport calldata report) internal pure returns (bytes32) {
        return _hash(REPORT_TYPEHASH, _at(report), REPORT_FIELDS);
    }

    /// @notice The struct hash of a word of silence.
    function hash(Silence memory silence) internal pure returns (bytes32) {
        return keccak256(abi.encode(SILENCE_TYPEHASH, silence.jobId, silence.attempt));
    }

    /// @notice The owner's assent to a registration sent by somebody else.
    function hashRegister(Policy calldata policy, uint64 nonce, uint64 deadline)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(REGISTER_TYPEHASH, hash(policy), nonce, deadline));
    }

    /// @notice The struct hash of a policy: in the encoding, the first word becomes the type hash, and the
    /// offset of `purposes` becomes the hash of its items.
    function hash(Policy calldata policy) internal pure returns (bytes32 result) {
        (uint256 head, uint256 length) = _encode(policy);
        bytes32 typeHash = POLICY_TYPEHASH;
        uint256 offsetAt = PURPOSES_OFFSET_AT;
        uint256 lengthAt = PURPOSES_LENGTH_AT;
        uint256 itemsAt = PURPOSES_AT;
        assembly ("memory-safe") {
            mstore(head, typeHash)
            mstore(add(head, offsetAt), keccak256(add(head, itemsAt), sub(length, itemsAt)))
            result := keccak256(head, lengthAt)
        }
    }

    /// @notice keccak256(abi.encode(policy)), from the words as they lie in calldata.
    function policyHash(Policy calldata policy) internal pure returns (bytes32 result) {
        (uint256 head, uint256 length) = _encode(policy);
        assembly ("memory-safe") {
            result := keccak256(head, length)
        }
    }

    /// @notice What is signed: the struct's hash under a domain that was computed once.
    function digest(bytes32 domain, bytes32 structHash) internal pure returns (bytes32 result) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, hex"1901")
            mstore(add(free, 0x02), domain)
            mstore(add(free, 0x22), structHash)
            result := keccak256(free, 0x42)
        }
    }

    /// Writes the ABI encoding of a policy behind the free pointer without claiming it. Only the layout
    /// is made canonical. Dirty words give a hash that nobody committed to or signed: `Datasets._set`
    /// encodes strictly.
    function _encode(Policy calldata policy) private pure returns (uint256 head, uint256 length) {
        bytes32[] calldata purposes = policy.purposes;
        uint256 headSize = POLICY_HEAD_SIZE;
        uint256 offsetAt = PURPOSES_OFFSET_AT;
        uint256 lengthAt = PURPOSES_LENGTH_AT;
        uint256 itemsAt = PURPOSES_AT;
        assembly ("memory-safe") {
            head := mload(0x40)
            mstore(head, 0x20)
            calldatacopy(add(head, 0x20), policy, headSize)
            mstore(add(head, offsetAt), headSize)
            mstore(add(head, lengthAt), purposes.length)
            let size := shl(5, purposes.length)
            calldatacopy(add(head, itemsAt), purposes.offset, size)
            length := add(itemsAt, size)
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

    function _hashMemory(bytes32 typeHash, uint256 at, uint256 words) private pure returns (bytes32 result) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, typeHash)
            mcopy(add(free, 0x20), at, shl(5, words))
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
