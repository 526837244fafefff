// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

/// The arithmetic of money, apart from storage so that it can be proved alone (test/halmos).
/// Every division rounds down, and what rounding leaves stays with the party that already has it:
/// nothing is lost and nothing is made.
library Money {
    uint256 internal constant BPS = 10_000;

    /// What a job holds. The widest product is (2^129 - 2) x (2^32 - 1), so nothing can overflow.
    function escrow(uint128 royaltyPerEpoch, uint128 computeFeePerEpoch, uint32 epochs)
        internal
        pure
        returns (uint256)
    {
        unchecked {
            return (uint256(royaltyPerEpoch) + computeFeePerEpoch) * epochs;
        }
    }

    /// The price of a number of epochs on one line of the escrow.
    function line(uint128 perEpoch, uint32 epochs) internal pure returns (uint256) {
        unchecked {
            return uint256(perEpoch) * epochs;
        }
    }

    /// The protocol's part, taken out of the royalty, never added to what the requester pays.
    function protocolFee(uint256 royalty, uint16 feeBps) internal pure returns (uint256) {
        return royalty * feeBps / BPS;
    }

    /// Linear release of everything that ever came in; a duration of 0 releases at once.
    /// Monotone in `totalIn` and in `timestamp`, never above `totalIn`.
    function vested(uint256 totalIn, uint64 start, uint64 duration, uint256 timestamp)
        internal
        pure
        returns (uint256)
    {
        if (duration == 0) return totalIn;
        if (timestamp <= start) return 0;
        uint256 elapsed = timestamp - start;
        if (elapsed >= duration) return totalIn;
        // totalIn x elapsed / duration, without a product that could overflow: with totalIn = q x duration
        // + r it is q x elapsed + r x elapsed / duration, and r x elapsed < 2^128.
        unchecked {
            return totalIn / duration * elapsed + totalIn % duration * elapsed / duration;
        }
    }

    /// The largest whole multiple of 10,000 base units: every weight of it is exact, so a majority
    /// cannot round a minority away however small or frequent the distributions are.
    function whole(uint256 amount) internal pure returns (uint256) {
        unchecked {
            return amount - amount % BPS;
        }
    }
}
