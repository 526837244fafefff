// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import { Job, JobState } from "../Types.sol";

/// One job in one slot: 248 bits of the hash of every field, and the state in the low 8.
/// Job is 32 static fields, so its memory layout, its ABI encoding and its calldata are the same
/// 1,024 bytes. That is what makes a 32-field job affordable: it is hashed and logged in place.
library Jobs {
    uint256 internal constant SIZE = 1024;
    bytes32 internal constant STATE_MASK = bytes32(uint256(0xff));

    /// Copies calldata unchecked. Dirty high bits change the commitment, and a job is used only
    /// after its commitment matched one that was made from clean values.
    function load(Job calldata source) internal pure returns (Job memory job) {
        assembly ("memory-safe") {
            calldatacopy(job, source, SIZE)
        }
    }

    function hash(Job memory job) internal pure returns (bytes32 result) {
        assembly ("memory-safe") {
            result := keccak256(job, SIZE)
        }
    }

    function commitment(Job memory job) internal pure returns (bytes32) {
        return hash(job) & ~STATE_MASK;
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
