// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { Test } from "forge-std/Test.sol";

import { Money } from "../../src/lib/Money.sol";

/// Over the full widths, against arithmetic that is done another way (512-bit products).
contract MoneyTest is Test {
    function testFuzz_partIsTheFlooredProduct(uint256 amount, uint16 bps) public pure {
        bps = uint16(bound(bps, 0, 10_000));
        assertEq(Money.part(amount, bps), Math.mulDiv(amount, bps, 10_000));
    }

    function testFuzz_vestedIsTheFlooredProduct(uint256 totalIn, uint64 start, uint64 duration, uint64 now_)
        public
        pure
    {
        uint256 expected = totalIn;
        if (now_ < start) expected = 0;
        else if (now_ - start < duration) expected = Math.mulDiv(totalIn, now_ - start, duration);
        assertEq(Money.vested(totalIn, start, duration, now_), expected);
    }

    function testFuzz_vestedNeverFalls(
        uint256 totalIn,
        uint256 more,
        uint64 start,
        uint64 duration,
        uint64 now_
    ) public pure {
        more = bound(more, 0, type(uint256).max - totalIn);
        uint256 before = Money.vested(totalIn, start, duration, now_);
        assertGe(Money.vested(totalIn + more, start, duration, now_), before);
        assertGe(Money.vested(totalIn, start, duration, uint256(now_) + 1), before);
    }

    function testFuzz_escrowPaysForWhatIsDone(uint128 perUnit, uint64 units, uint256 done) public pure {
        uint256 royalty = Money.royalty(perUnit, units, done);
        assertEq(royalty, uint256(perUnit) * Math.min(units, done));
        assertLe(royalty, Money.escrow(perUnit, units, 0, 0));
    }

    function testFuzz_escrowIsBothLines(uint128 perUnit, uint64 units, uint128 perEpoch, uint32 epochs)
        public
        pure
    {
        // Checked products and sum: none of them can overflow.
        uint256 expected = uint256(perUnit) * uint256(units) + uint256(perEpoch) * uint256(epochs);
        assertEq(Money.escrow(perUnit, units, perEpoch, epochs), expected);
    }

    function test_theLargestEscrowThereIs() public pure {
        assertLt(
            Money.escrow(type(uint128).max, type(uint64).max, type(uint128).max, type(uint32).max),
            2 ** 192 + 2 ** 160
        );
    }

    /// floor(V x bps) of all payees leaves fewer base units than there are payees.
    function testFuzz_partsLeaveFewerUnitsThanPayees(uint256 amount, uint16 a, uint16 b) public pure {
        a = uint16(bound(a, 0, 10_000));
        b = uint16(bound(b, 0, 10_000 - a));
        uint256 paid = Money.part(amount, a) + Money.part(amount, b) + Money.part(amount, 10_000 - a - b);
        assertLe(paid, amount);
        assertLt(amount - paid, 3);
    }
}
