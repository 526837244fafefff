// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import { CREATE3 } from "solady/utils/CREATE3.sol";
import { SSTORE2 } from "solady/utils/SSTORE2.sol";

import { MemberUnknown, SetUnknown } from "../Errors.sol";

/// A custodian set's version, kept as contract code [t: 1][signer: 20, hpkeKey: 32]* at an address that
/// follows from `Custody`, set and version. Code cannot change or be deleted, which is what a
/// (set, version) must be; and whoever knows the address of `Custody` reads all members at the price
/// of one cold account, without a call.
library Sets {
    uint256 internal constant MEMBER_SIZE = 52;

    /// Writes by `Custody` only; every (set, version) once.
    function write(bytes32 setId, uint32 setVersion, bytes memory data) internal {
        SSTORE2.writeDeterministic(data, _salt(setId, setVersion));
    }

    function read(address custody, bytes32 setId, uint32 setVersion)
        internal
        view
        returns (bytes memory data)
    {
        address at_ = CREATE3.predictDeterministicAddress(_salt(setId, setVersion), custody);
        uint256 codeSize = at_.code.length;
        if (codeSize == 0) revert SetUnknown(setId, setVersion);
        assembly ("memory-safe") {
            data := mload(0x40)
            // The code starts with one STOP, which is not ours.
            let length := sub(codeSize, 1)
            mstore(data, length)
            extcodecopy(at_, add(data, 0x20), 1, length)
            mstore(0x40, and(add(add(data, length), 0x3f), not(0x1f)))
        }
    }

    function threshold(bytes memory data) internal pure returns (uint256 t) {
        assembly ("memory-safe") {
            t := byte(0, mload(add(data, 0x20)))
        }
    }

    function size(bytes memory data) internal pure returns (uint256) {
        unchecked {
            return (data.length - 1) / MEMBER_SIZE;
        }
    }

    /// Never 0: `Custody` refuses such a member, and an index beyond the set is refused here.
    function signer(bytes memory data, uint256 index) internal pure returns (address member) {
        _requireIn(data, index);
        assembly ("memory-safe") {
            member := shr(96, mload(add(add(data, 0x21), mul(index, 52))))
        }
    }

    function key(bytes memory data, uint256 index) internal pure returns (bytes32 hpkeKey) {
        _requireIn(data, index);
        assembly ("memory-safe") {
            hpkeKey := mload(add(add(data, 0x35), mul(index, 52)))
        }
    }

    function _requireIn(bytes memory data, uint256 index) private pure {
        // An index comes as 16 bits, so this cannot wrap.
        unchecked {
            if ((index + 1) * MEMBER_SIZE >= data.length) revert MemberUnknown(index, size(data));
        }
    }

    function _salt(bytes32 setId, uint32 setVersion) private pure returns (bytes32 salt) {
        assembly ("memory-safe") {
            mstore(0x00, setId)
            mstore(0x20, setVersion)
            salt := keccak256(0x00, 0x40)
        }
    }
}
