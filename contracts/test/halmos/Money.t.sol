// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import { JobState } from "../../src/Types.sol";
import { Jobs } from "../../src/lib/Jobs.sol";
import { Money } from "../../src/lib/Money.sol";

/// The arithmetic of money, for all inputs (halmos; `bin/verify.sh halmos`). Nothing here is run by forge.
/// (A product of two unknowns, or a division of a wide one, is more than solvers decide: there the numbers
/// are small or a list of cases, and test/lib/Money.t.sol fuzzes the full widths.)
contract MoneyCheck {
    /// 2: the parts of a settlement add up to the escrow and none of them wraps: for all prices, with
    /// every pair of units up to five and the largest there is.
    function check_settlementAddsUp(uint128 royaltyPerUnit, uint128 computeFeePerEpoch) external pure {
        for (uint32 asked = 1; asked <= 5; ++asked) {
            for (uint32 actual = 1; actual <= asked; ++actual) {
                settle(royaltyPerUnit, asked, actual, computeFeePerEpoch, asked, actual);
            }
        }
        settle(royaltyPerUnit, type(uint64).max, 1, computeFeePerEpoch, type(uint32).max, 1);
        settle(
            royaltyPerUnit,
            type(uint64).max,
            type(uint64).max,
            computeFeePerEpoch,
            type(uint32).max,
            type(uint32).max
        );
        // More units done than were asked for are not paid.
        settle(royaltyPerUnit, 7, type(uint256).max, computeFeePerEpoch, 3, 2);
    }

    function settle(
        uint128 royaltyPerUnit,
        uint64 units,
        uint256 done,
        uint128 computeFeePerEpoch,
        uint32 epochs,
        uint32 actual
    ) private pure {
        uint256 escrow = Money.escrow(royaltyPerUnit, units, computeFeePerEpoch, epochs);
        uint256 royalty = Money.royalty(royaltyPerUnit, units, done);
        uint256 computeFee = Money.computeFee(computeFeePerEpoch, actual);
        // Checked subtraction: a wrap would revert, and halmos would report no passing path.
        uint256 refund = escrow - royalty - computeFee;
        assert(royalty + computeFee + refund == escrow);
        uint64 unpaid = done < units ? units - uint64(done) : 0;
        assert(refund == Money.escrow(royaltyPerUnit, unpaid, computeFeePerEpoch, epochs - actual));
    }

    /// The owner's line never passes what was locked for it, for any price, whatever was done.
    function check_royaltyIsPaidForDoneUpToUnits(uint128 royaltyPerUnit, uint256 done) external pure {
        uint64[5] memory units = [uint64(0), 1, 1000, type(uint32).max, type(uint64).max];
        for (uint256 i = 0; i < units.length; ++i) {
            uint256 royalty = Money.royalty(royaltyPerUnit, units[i], done);
            if (done >= units[i]) assert(royalty == Money.escrow(royaltyPerUnit, units[i], 0, 0));
            if (done == 0) assert(royalty == 0);
        }
    }

    /// What was done decides up to the units asked, for all numbers of both at one price.
    function check_royaltyNeverPassesTheUnits(uint64 units, uint256 done) external pure {
        uint256 counted = Money.royalty(1, units, done);
        assert(counted <= units && counted <= done);
        assert(counted == units || counted == done);
    }

    /// Of a full run nothing is refunded: both lines are the escrow.
    function check_escrowIsBothLines(uint128 royaltyPerUnit, uint64 units, uint128 fee, uint32 epochs)
        external
        pure
    {
        uint256 escrow = Money.escrow(royaltyPerUnit, units, fee, epochs);
        uint256 both = Money.royalty(royaltyPerUnit, units, units) + Money.computeFee(fee, epochs);
        assert(escrow == both);
    }

    /// The largest of every factor does not wrap, so no smaller one does.
    function check_escrowCannotWrap(uint128 royaltyPerUnit, uint128 computeFeePerEpoch) external pure {
        uint256 escrow = Money.escrow(royaltyPerUnit, type(uint64).max, computeFeePerEpoch, type(uint32).max);
        // Checked products of the same numbers.
        assert(
            escrow
                == uint256(royaltyPerUnit) * type(uint64).max + uint256(computeFeePerEpoch) * type(uint32).max
        );
    }

    /// The protocol's part never exceeds its cap nor the royalty, so `royalty - fee` cannot wrap.
    function check_protocolFeeIsPartOfTheRoyalty(uint128 royaltyPerUnit, uint64 units, uint16 feeBps)
        external
        pure
    {
        if (feeBps > 500) return;
        uint256 royalty = Money.royalty(royaltyPerUnit, units, units);
        uint256 fee = Money.protocolFee(royalty, feeBps);
        assert(fee <= royalty);
        assert(feeBps != 0 || fee == 0);
    }

    /// A payee's part is the floor of its weight: at most that, and less than one base unit below it. (The
    /// division is proved alone; what follows rests on what is proved here, not on the division.)
    function check_partIsTheFloor(uint8 amount) external pure {
        assert(isFloor(Money.part(amount, 3333), amount, 3333));
        assert(Money.part(amount, 0) == 0);
        assert(Money.part(amount, 10_000) == amount);
    }

    function isFloor(uint256 part, uint256 amount, uint256 bps) private pure returns (bool) {
        unchecked {
            return part * 10_000 <= amount * bps && amount * bps < part * 10_000 + 10_000;
        }
    }

    /// A floor never falls as more vests, so a distribution pays each payee its gain and nothing wraps.
    function check_floorNeverFalls(uint8 before, uint8 vested, uint8 had, uint8 has) external pure {
        if (before > vested) return;
        if (isFloor(had, before, 3333) && isFloor(has, vested, 3333)) assert(has >= had);
    }

    /// Of three payees the floors add up to at most what vested, and leave fewer base units than payees.
    function check_floorsLeaveFewerUnitsThanPayees(uint8 vested, uint8 one, uint8 two, uint8 three)
        external
        pure
    {
        if (!isFloor(one, vested, 3333) || !isFloor(two, vested, 3332)) return;
        if (!isFloor(three, vested, 3335)) return;
        uint256 paid = uint256(one) + two + three;
        assert(paid <= vested);
        assert(vested - paid < 3);
    }

    /// A split inside of a split: what the outer one pays is all that came in of the inner one, so fewer base
    /// units than there are payees are left over on either level, and nothing else is.
    function check_nestedSplitLeavesFewerUnitsThanPayees(
        uint8 totalIn,
        uint8 toInner,
        uint8 toOther,
        uint8 one,
        uint8 two
    ) external pure {
        if (!isFloor(toInner, totalIn, 4000) || !isFloor(toOther, totalIn, 6000)) return;
        if (!isFloor(one, toInner, 2500) || !isFloor(two, toInner, 7500)) return;
        uint256 outerLeft = uint256(totalIn) - toInner - toOther;
        uint256 innerLeft = uint256(toInner) - one - two;
        assert(outerLeft < 2 && innerLeft < 2);
        assert(uint256(one) + two + toOther + outerLeft + innerLeft == totalIn);
    }

    /// Outside of the ramp vesting is exact: nothing before the start, everything at the end. A duration
    /// of 0 has no ramp: it is a cliff at the start.
    function check_vestedOutsideTheRamp(uint256 totalIn, uint64 start, uint64 duration, uint64 timestamp)
        external
        pure
    {
        if (timestamp < start) {
            assert(Money.vested(totalIn, start, duration, timestamp) == 0);
        } else if (uint256(timestamp) >= uint256(start) + duration) {
            assert(Money.vested(totalIn, start, duration, timestamp) == totalIn);
        }
    }

    /// A ramp begins with nothing.
    function check_vestedAtTheStartOfARamp(uint256 totalIn, uint64 start, uint64 duration) external pure {
        if (duration != 0) assert(Money.vested(totalIn, start, duration, start) == 0);
    }

    /// Without a duration there is nothing between nothing and everything.
    function check_vestedWithACliff(uint256 totalIn, uint64 start, uint64 timestamp) external pure {
        uint256 expected = timestamp < start ? 0 : totalIn;
        assert(Money.vested(totalIn, start, 0, timestamp) == expected);
    }

    /// Inside of the ramp it never exceeds what came in, and it never falls as time passes or as more
    /// comes in, so `newV - V` cannot wrap. (`distribute` is fuzzed over the full widths.)
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
