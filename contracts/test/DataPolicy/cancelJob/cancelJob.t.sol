// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

contract CancelJobTest is Base {
    function test_RevertWhen_theJobIsNotGranted() public {
        Job memory s = running(address(0), 2, false);
        vm.expectRevert(
            abi.encodeWithSelector(JobStateWrong.selector, s.jobId, JobState.Running, JobState.Granted)
        );
        vm.prank(requester);
        policies.cancelJob(s);
    }

    function test_RevertWhen_theCallerIsNotTheRequester() public {
        Job memory j = granted(address(0), 2);
        vm.expectRevert(abi.encodeWithSelector(NotAuthorized.selector, owner, requester));
        vm.prank(owner);
        policies.cancelJob(j);
    }

    function testFuzz_cancels(uint32 later) public {
        Job memory j = granted(address(0), 2);
        uint256 before = requester.balance;
        vm.warp(START + later);
        vm.expectEmit(address(policies));
        emit IDataPolicy.JobCancelled(j.jobId);
        vm.prank(requester);
        policies.cancelJob(j);
        assertState(j, JobState.Cancelled);
        assertEq(requester.balance - before, 2 * ROYALTY);
        assertEq(runsUsed(), 0);
    }
}
