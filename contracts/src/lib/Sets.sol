// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import { CREATE3 } from "solady/utils/CREATE3.sol";
import { SSTORE2 } from "solady/utils/SSTORE2.sol";

import { MemberUnknown, SetUnknown } from "../Errors.sol";

/// @notice A custodian set's version, kept as contract code [t: 1][signer: 20, hpkeKey: 32]* at an address
/// that follows from `Custody`, set and version. Code cannot change or be deleted, which is what a
/// (set, version) must be; and whoever knows the address of `Custody` reads all members at the price
/// of one cold account, without a call.
library Sets {
    uint256 internal constant THRESHOLD_SIZE = 1;
    uint256 internal constant SIGNER_SIZE = 20;
    uint256 internal constant KEY_SIZE = 32;
    uint256 internal constant MEMBER_SIZE = SIGNER_SIZE + KEY_SIZE;

    /// @notice Writes by `Custody` only; every (set, version) once.
    function write(bytes32 setId, uint32 setVersion, bytes memory data) internal {
        SSTORE2.writeDeterministic(data, _salt(setId, setVersion));
    }

    /// @notice The bytes of a set's version. Reverts where there is none.
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

    /// @notice t: how many members must agree.
    function threshold(bytes memory data) internal pure returns (uint256) {
        return uint8(bytes1(_word(data, 0)));
    }

    /// @notice n: how many members there are.
    function size(bytes memory data) internal pure returns (uint256) {
        unchecked {
            return (data.length - THRESHOLD_SIZE) / MEMBER_SIZE;
        }
    }

    /// @notice The address that member `index` signs with. Never 0: `Custody` refuses such a member, and
    /// an index beyond the set is refused here.
    function signer(bytes memory data, uint256 index) internal pure returns (address) {
        return address(bytes20(_word(data, _at(data, index))));
    }

    /// @notice The HPKE key of member `index`.
    function key(bytes memory data, uint256 index) internal pure returns (bytes32) {
        unchecked {
            return _word(data, _at(data, index) + SIGNER_SIZE);
        }
    }

    /// Where member `index` begins.
    function _at(bytes memory data, uint256 index) private pure returns (uint256) {
        // An index comes as 16 bits, so this cannot wrap.
        unchecked {
            if ((index + 1) * MEMBER_SIZE >= data.length) revert MemberUnknown(index, size(data));
            return THRESHOLD_SIZE + index * MEMBER_SIZE;
        }
    }

    /// The 32 bytes from `offset` on; what lies beyond the end is not looked at by who calls.
    function _word(bytes memory data, uint256 offset) private pure returns (bytes32 word) {
        assembly ("memory-safe") {
            word := mload(add(add(data, 0x20), offset))
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
