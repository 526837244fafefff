// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import { JobState } from "../../src/Types.sol";
import { Jobs } from "../../src/lib/Jobs.sol";
import { Money } from "../../src/lib/Money.sol";

/// The arithmetic of money, for all inputs (halmos; `bin/verify.sh halmos`). Nothing here is run by forge.
contract MoneyCheck {
    /// 2: the parts of a settlement add up to the escrow and none of them wraps: for all prices, with
    /// every pair of epochs up to five and the largest there is. (A product of two unknowns is more than
    /// solvers decide; fuzzing covers the rest, see confirmTrainingComplete.t.sol.)
    function check_settlementAddsUp(uint128 royaltyPerEpoch, uint128 computeFeePerEpoch) external pure {
        for (uint32 epochs = 1; epochs <= 5; ++epochs) {
            for (uint32 actual = 1; actual <= epochs; ++actual) {
                settle(royaltyPerEpoch, computeFeePerEpoch, epochs, actual);
            }
        }
        settle(royaltyPerEpoch, computeFeePerEpoch, type(uint32).max, 1);
        settle(royaltyPerEpoch, computeFeePerEpoch, type(uint32).max, type(uint32).max);
    }

    function settle(uint128 royaltyPerEpoch, uint128 computeFeePerEpoch, uint32 epochs, uint32 actual)
        private
        pure
    {
        uint256 escrow = Money.escrow(royaltyPerEpoch, computeFeePerEpoch, epochs);
        uint256 royalty = Money.line(royaltyPerEpoch, actual);
        uint256 computeFee = Money.line(computeFeePerEpoch, actual);
        // Checked subtraction: a wrap would revert, and halmos would report no passing path.
        uint256 refund = escrow - royalty - computeFee;
        assert(royalty + computeFee + refund == escrow);
        assert(refund == Money.escrow(royaltyPerEpoch, computeFeePerEpoch, epochs - actual));
    }

    function check_nothingIsRefundedOfAFullRun(
        uint128 royaltyPerEpoch,
        uint128 computeFeePerEpoch,
        uint32 epochs
    ) external pure {
        uint256 escrow = Money.escrow(royaltyPerEpoch, computeFeePerEpoch, epochs);
        assert(escrow == Money.line(royaltyPerEpoch, epochs) + Money.line(computeFeePerEpoch, epochs));
    }

    /// The protocol's part never exceeds its cap nor the royalty, so `royalty - fee` cannot wrap.
    function check_protocolFeeIsPartOfTheRoyalty(uint128 royaltyPerEpoch, uint32 actual, uint16 feeBps)
        external
        pure
    {
        if (feeBps > 500) return;
        uint256 royalty = Money.line(royaltyPerEpoch, actual);
        uint256 fee = Money.protocolFee(royalty, feeBps);
        assert(fee <= royalty);
        assert(feeBps != 0 || fee == 0);
    }

    /// What is moved is a whole multiple of 10,000, at most what there is, and leaves less than that.
    function check_wholeLeavesLessThanOneUnit(uint16 amount) external pure {
        uint256 moved = Money.whole(amount);
        assert(moved <= amount);
        assert(amount - moved < 10_000);
        assert(moved % 10_000 == 0);
    }

    /// Weights that sum to 10,000 share all of what is moved: `unit` is what 10,000 of them make.
    function check_splitLosesNothing(uint128 unit) external pure {
        uint16[7] memory weights = [uint16(0), 1, 1000, 3333, 5000, 9999, 10_000];
        uint256 moved = uint256(unit) * 10_000;
        for (uint256 i = 0; i < weights.length; ++i) {
            assert(uint256(unit) * weights[i] + uint256(unit) * (10_000 - weights[i]) == moved);
        }
    }

    /// Outside of the ramp vesting is exact: nothing before the start, everything at the end.
    function check_vestedOutsideTheRamp(uint256 totalIn, uint64 start, uint64 duration, uint64 timestamp)
        external
        pure
    {
        if (duration == 0 || uint256(timestamp) >= uint256(start) + duration) {
            assert(Money.vested(totalIn, start, duration, timestamp) == totalIn);
        } else if (timestamp <= start) {
            assert(Money.vested(totalIn, start, duration, timestamp) == 0);
        }
    }

    /// Inside of the ramp it never exceeds what came in, and it never falls as time passes or as more
    /// comes in, so `vested - released` cannot wrap. (`distribute` is fuzzed over the full widths.)
    function check_vestedNeverExceedsAndNeverFalls(uint8 totalIn, uint8 more) external pure {
        uint256 before = 0;
        for (uint64 elapsed = 1; elapsed < 4; ++elapsed) {
            uint256 vested = Money.vested(totalIn, 1000, 4, 1000 + elapsed);
            assert(vested <= totalIn);
            assert(vested >= before);
            assert(Money.vested(uint256(totalIn) + more, 1000, 4, 1000 + elapsed) >= vested);
            before = vested;
        }
    }

    /// A slot gives back what was put in: 248 bits of commitment and the state.
    function check_slotKeepsCommitmentAndState(bytes32 hash, uint8 state) external pure {
        if (state > 6) return;
        bytes32 commitment = Jobs.commitmentOf(hash);
        bytes32 slot = Jobs.pack(commitment, JobState(state));
        assert(Jobs.commitmentOf(slot) == commitment);
        assert(uint8(Jobs.stateOf(slot)) == state);
    }
}
