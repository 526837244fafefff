// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

/// @notice Who signed a digest. One signature has one form: a high s is refused, so nobody can make a second
/// valid encoding of somebody else's signature, and a failed recovery is never the address 0.
library Signatures {
    /// Half the order of secp256k1, rounded down.
    uint256 private constant HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;
    bytes4 private constant EIP1271_MAGIC = 0x1626ba7e;

    /// @notice Recovers an EIP-2098 compact signature, or returns 0.
    function recover(bytes32 digest, bytes32 r, bytes32 vs) internal view returns (address) {
        uint256 s = uint256(vs) & (type(uint256).max >> 1);
        if (s > HALF_ORDER) return address(0);
        return _ecrecover(digest, uint8((uint256(vs) >> 255) + 27), r, bytes32(s));
    }

    /// @notice Recovers 65 bytes (r, s, v) or 64 bytes (EIP-2098), or returns 0.
    function recover(bytes32 digest, bytes calldata signature) internal view returns (address) {
        if (signature.length == 64) {
            return recover(digest, bytes32(signature[0:32]), bytes32(signature[32:64]));
        }
        if (signature.length != 65) return address(0);
        bytes32 s = bytes32(signature[32:64]);
        uint8 v = uint8(signature[64]);
        if (uint256(s) > HALF_ORDER || (v != 27 && v != 28)) return address(0);
        return _ecrecover(digest, v, bytes32(signature[0:32]), s);
    }

    /// @notice True where `account` signed: by its key, or, where it has code, by EIP-1271. The key is asked
    /// first because an account that delegates its code (EIP-7702) still has its key.
    function isBy(address account, bytes32 digest, bytes calldata signature) internal view returns (bool) {
        if (account == address(0)) return false;
        if (recover(digest, signature) == account) return true;
        if (account.code.length == 0) return false;
        bytes memory data = abi.encodeWithSelector(EIP1271_MAGIC, digest, signature);
        bytes32 magic = EIP1271_MAGIC;
        bool ok;
        // Only one word of the answer is copied: what a hostile account returns costs us nothing.
        assembly ("memory-safe") {
            mstore(0, 0)
            ok := staticcall(gas(), account, add(data, 32), mload(data), 0, 32)
            ok := and(ok, gt(returndatasize(), 31))
            ok := and(ok, eq(mload(0), magic))
        }
        return ok;
    }

    function _ecrecover(bytes32 digest, uint8 v, bytes32 r, bytes32 s)
        private
        view
        returns (address account)
    {
        // As the built-in `ecrecover`, without allocating; returndatasize is 0 where recovery failed.
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(0x00, digest)
            mstore(0x20, v)
            mstore(0x40, r)
            mstore(0x60, s)
            let ok := staticcall(gas(), 1, 0x00, 0x80, 0x00, 0x20)
            account := mul(mload(0x00), and(ok, eq(returndatasize(), 0x20)))
            mstore(0x40, free)
            mstore(0x60, 0)
        }
    }
}
