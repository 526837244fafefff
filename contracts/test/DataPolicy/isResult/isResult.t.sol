// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

contract IsResultTest is Base {
    Job private s;
    ResultManifest private m;

    function setUp() public override {
        super.setUp();
        s = running(address(0), 3, true);
        m = makeManifest(s, 2);
    }

    function test_falseUntilTheJobIsCompleted() public {
        assertFalse(policies.isResult(s, m));
        confirm(s, 2);
        assertTrue(policies.isResult(s, m));
    }

    function test_falseForAJobThatEndedOtherwise() public {
        fail(s, Reason.DATASET_MISMATCH, 0);
        assertFalse(policies.isResult(s, m));
    }

    function test_falseForAJobThatDoesNotExist() public {
        confirm(s, 2);
        Job memory other = copy(s);
        other.jobId = "none";
        assertFalse(policies.isResult(other, m));
    }

    function testFuzz_falseForAnyOtherManifest(uint256 bit) public {
        confirm(s, 2);
        bit = bound(bit, 0, 15 * 256 - 1);
        bytes memory data = abi.encodeCall(IDataPolicy.isResult, (s, m));
        uint256 at_ = 4 + 34 * 32 + bit / 8;
        data[at_] = bytes1(uint8(data[at_]) ^ uint8(1 << (bit % 8)));
        (bool ok, bytes memory answer) = address(policies).staticcall(data);
        // A dirty word is no manifest at all.
        if (ok) assertFalse(abi.decode(answer, (bool)));
    }

    function testFuzz_falseForAnyOtherJob(uint256 bit) public {
        confirm(s, 2);
        bit = bound(bit, 0, 34 * 256 - 1);
        bytes memory data = abi.encodeCall(IDataPolicy.isResult, (s, m));
        data[4 + bit / 8] = bytes1(uint8(data[4 + bit / 8]) ^ uint8(1 << (bit % 8)));
        (bool ok, bytes memory answer) = address(policies).staticcall(data);
        if (ok) assertFalse(abi.decode(answer, (bool)));
    }

    /// The Job alone says nothing about a Completed job any more.
    function test_jobStateAnswersForTheResult() public {
        confirm(s, 2);
        assertCompleted(s, m);
        (, bytes32 commitment) = policies.jobState(s.jobId);
        assertTrue(commitment != policies.jobCommitment(s));
    }
}
