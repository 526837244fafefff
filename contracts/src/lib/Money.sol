// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

/// @notice The arithmetic of money, apart from storage so that it can be proved alone (test/halmos).
/// Every division rounds down, and what rounding leaves stays with the party that already has it:
/// nothing is lost and nothing is made.
library Money {
    uint256 internal constant BPS = 10_000;

    /// @notice What a job holds. It is below 2^192 + 2^160, so nothing can overflow.
    function escrow(uint128 royaltyPerUnit, uint64 units, uint128 computeFeePerEpoch, uint32 epochs)
        internal
        pure
        returns (uint256)
    {
        unchecked {
            return uint256(royaltyPerUnit) * units + computeFee(computeFeePerEpoch, epochs);
        }
    }

    /// @notice The owner's line: what was done is paid for, never more than what was asked for.
    function royalty(uint128 royaltyPerUnit, uint64 units, uint256 done) internal pure returns (uint256) {
        unchecked {
            return royaltyPerUnit * (done < units ? done : units);
        }
    }

    /// @notice The provider's line.
    function computeFee(uint128 computeFeePerEpoch, uint32 epochs) internal pure returns (uint256) {
        unchecked {
            return uint256(computeFeePerEpoch) * epochs;
        }
    }

    /// @notice The protocol's part, taken out of the royalty, never added to what the requester pays.
    function protocolFee(uint256 royalty_, uint16 feeBps) internal pure returns (uint256) {
        return royalty_ * feeBps / BPS;
    }

    /// @notice Linear release of everything that ever came in; a duration of 0 is a cliff at `start`.
    /// Monotone in `totalIn` and in `timestamp`, never above `totalIn`.
    function vested(uint256 totalIn, uint64 start, uint64 duration, uint256 timestamp)
        internal
        pure
        returns (uint256)
    {
        if (timestamp < start) return 0;
        uint256 elapsed = timestamp - start;
        if (elapsed >= duration) return totalIn;
        // totalIn x elapsed / duration, without a product that could overflow: with totalIn = q x duration
        // + r it is q x elapsed + r x elapsed / duration, and r x elapsed < 2^128.
        unchecked {
            return totalIn / duration * elapsed + totalIn % duration * elapsed / duration;
        }
    }

    /// @notice floor(amount x bps / 10,000): what `bps` of `amount` come to. Monotone in `amount`, so what a
    /// payee is owed never falls; over all payees of a split it adds up to at most `amount`.
    function part(uint256 amount, uint16 bps) internal pure returns (uint256) {
        // As in `vested`, no product can overflow where bps <= 10,000.
        unchecked {
            return amount / BPS * bps + amount % BPS * bps / BPS;
        }
    }
}
