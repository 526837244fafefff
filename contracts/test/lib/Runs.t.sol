// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import { Test } from "forge-std/Test.sol";

import { RunCount } from "../../src/lib/Runs.sol";

/// The three numbers of a word never touch each other.
contract RunsTest is Test {
    function pack(uint64 counter, uint32 runs, uint8 returned) private pure returns (RunCount) {
        return RunCount.wrap(uint256(counter) << 40 | uint256(returned) << 32 | runs);
    }

    function assertRuns(RunCount count, uint64 counter, uint32 runs, uint8 returned) private pure {
        assertEq(count.counter(), counter, "counter");
        assertEq(count.runs(), runs, "runs");
        assertEq(count.returned(), returned, "returned");
    }

    function testFuzz_readsWhatWasPacked(uint64 counter, uint32 runs, uint8 returned) public pure {
        assertRuns(pack(counter, runs, returned), counter, runs, returned);
    }

    function testFuzz_take(uint64 counter, uint32 runs, uint8 returned) public pure {
        counter = uint64(bound(counter, 0, type(uint64).max - 1));
        runs = uint32(bound(runs, 0, type(uint32).max - 1));
        assertRuns(pack(counter, runs, returned).take(), counter + 1, runs + 1, returned);
    }

    function testFuzz_giveBack(uint64 counter, uint32 runs, uint8 returned) public pure {
        runs = uint32(bound(runs, 1, type(uint32).max));
        assertRuns(pack(counter, runs, returned).giveBack(), counter, runs - 1, returned);
    }

    function testFuzz_giveBackStarted(uint64 counter, uint32 runs, uint8 returned) public pure {
        runs = uint32(bound(runs, 1, type(uint32).max));
        returned = uint8(bound(returned, 0, type(uint8).max - 1));
        assertRuns(pack(counter, runs, returned).giveBackStarted(), counter, runs - 1, returned + 1);
    }
}
