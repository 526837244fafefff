// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import { Job, JobState } from "../Types.sol";

/// One job in one slot: 248 bits of the hash of every field, and the state in the low 8.
///
/// Job is 32 static fields, so its memory layout, its ABI encoding and its calldata are the same
/// 1,024 bytes, and it is hashed as it lies. Dirty high bits change the hash, so a job that matches
/// its slot is clean.
library Jobs {
    uint256 internal constant SIZE = 1024;
    bytes32 internal constant STATE_MASK = bytes32(uint256(0xff));

    function commitment(Job calldata job) internal pure returns (bytes32 result) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, job, SIZE)
            result := keccak256(free, SIZE)
        }
        return result & ~STATE_MASK;
    }

    function commitmentMemory(Job memory job) internal pure returns (bytes32 result) {
        assembly ("memory-safe") {
            result := keccak256(job, SIZE)
        }
        return result & ~STATE_MASK;
    }

    /// The commitment of the same job with its last four fields as given: what a start changes.
    function commitmentStarted(
        Job calldata job,
        uint64 runDeadline,
        uint32 attempt,
        address signer,
        bytes32 runtimeDataHash
    ) internal pure returns (bytes32 result) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, job, 896)
            mstore(add(free, 896), runDeadline)
            mstore(add(free, 928), attempt)
            mstore(add(free, 960), signer)
            mstore(add(free, 992), runtimeDataHash)
            result := keccak256(free, SIZE)
        }
        return result & ~STATE_MASK;
    }

    function pack(bytes32 commitment_, JobState state) internal pure returns (bytes32) {
        return commitment_ | bytes32(uint256(uint8(state)));
    }

    function stateOf(bytes32 slot) internal pure returns (JobState) {
        return JobState(uint8(uint256(slot)));
    }

    function commitmentOf(bytes32 slot) internal pure returns (bytes32) {
        return slot & ~STATE_MASK;
    }
}
