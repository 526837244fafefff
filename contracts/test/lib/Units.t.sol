// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import { Test } from "forge-std/Test.sol";

import {
    ResultManifest,
    UNIT_COMPUTE_SECOND,
    UNIT_EPOCH,
    UNIT_KILOTOKEN,
    UNIT_SAMPLE
} from "../../src/Types.sol";
import { Units } from "../../src/lib/Units.sol";

contract UnitsTest is Test {
    function done(uint8 unit, ResultManifest calldata m) external pure returns (uint256) {
        return Units.done(unit, m);
    }

    function test_eachUnitReadsItsOwnField() public view {
        ResultManifest memory m;
        m.actualEpochs = 3;
        m.samples = 3000;
        m.tokensSeen = 9_999_999;
        m.tokensTrained = 1_000_001;
        m.computeSeconds = 77;
        assertEq(this.done(UNIT_EPOCH, m), 3);
        assertEq(this.done(UNIT_SAMPLE, m), 3000);
        assertEq(this.done(UNIT_KILOTOKEN, m), 1001);
        assertEq(this.done(UNIT_COMPUTE_SECOND, m), 77);
    }

    function testFuzz_aBegunKilotokenCountsWhole(uint64 tokens) public view {
        ResultManifest memory m;
        m.tokensTrained = tokens;
        uint256 kilotokens = this.done(UNIT_KILOTOKEN, m);
        assertGe(kilotokens * 1000, tokens);
        assertLt(kilotokens * 1000, uint256(tokens) + 1000);
    }
}
