// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import { Job, JobState } from "../Types.sol";

/// @notice One job in one slot: 248 bits of the hash of every field, and the state in the low 8. The slot of
/// a Completed job commits to its result as well.
///
/// Job has static fields only, so its memory layout, its ABI encoding and its calldata are the same
/// bytes, and it is hashed as it lies. Dirty high bits change the hash, so a job that matches its slot
/// is clean.
library Jobs {
    uint256 internal constant FIELDS = 34;
    uint256 internal constant SIZE = FIELDS * 32;
    // The last four fields, which a start writes.
    uint256 internal constant RUN_DEADLINE_AT = SIZE - 4 * 32;
    uint256 internal constant ATTEMPT_AT = SIZE - 3 * 32;
    uint256 internal constant SIGNER_AT = SIZE - 2 * 32;
    uint256 internal constant RUNTIME_DATA_HASH_AT = SIZE - 1 * 32;

    bytes32 internal constant STATE_MASK = bytes32(uint256(0xff));

    /// @notice The hash of a job in calldata, its low 8 bits 0.
    function commitment(Job calldata job) internal pure returns (bytes32 result) {
        uint256 size = SIZE;
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, job, size)
            result := keccak256(free, size)
        }
        return result & ~STATE_MASK;
    }

    /// @notice The hash of a job in memory, its low 8 bits 0.
    function commitmentMemory(Job memory job) internal pure returns (bytes32 result) {
        uint256 size = SIZE;
        assembly ("memory-safe") {
            result := keccak256(job, size)
        }
        return result & ~STATE_MASK;
    }

    /// @notice The commitment of the same job with its last four fields as given: what a start changes.
    function commitmentStarted(
        Job calldata job,
        uint64 runDeadline,
        uint32 attempt,
        address signer,
        bytes32 runtimeDataHash
    ) internal pure returns (bytes32 result) {
        uint256 size = SIZE;
        uint256 runDeadlineAt = RUN_DEADLINE_AT;
        uint256 attemptAt = ATTEMPT_AT;
        uint256 signerAt = SIGNER_AT;
        uint256 runtimeDataHashAt = RUNTIME_DATA_HASH_AT;
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, job, runDeadlineAt)
            mstore(add(free, runDeadlineAt), runDeadline)
            mstore(add(free, attemptAt), attempt)
            mstore(add(free, signerAt), signer)
            mstore(add(free, runtimeDataHashAt), runtimeDataHash)
            result := keccak256(free, size)
        }
        return result & ~STATE_MASK;
    }

    /// @notice What the slot of a Completed job holds: the job as it ran, and the manifest that ended it.
    function commitmentCompleted(bytes32 commitment_, bytes32 manifestHash)
        internal
        pure
        returns (bytes32 result)
    {
        assembly ("memory-safe") {
            mstore(0x00, commitment_)
            mstore(0x20, manifestHash)
            result := keccak256(0x00, 0x40)
        }
        return result & ~STATE_MASK;
    }

    /// @notice A slot.
    function pack(bytes32 commitment_, JobState state) internal pure returns (bytes32) {
        return commitment_ | bytes32(uint256(uint8(state)));
    }

    /// @notice The state in a slot.
    function stateOf(bytes32 slot) internal pure returns (JobState) {
        return JobState(uint8(uint256(slot)));
    }

    /// @notice The commitment in a slot.
    function commitmentOf(bytes32 slot) internal pure returns (bytes32) {
        return slot & ~STATE_MASK;
    }
}
