// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

contract ExpireJobTest is Base {
    function test_RevertWhen_theJobHasEnded() public {
        Job memory j = granted(address(0), 2);
        vm.prank(requester);
        policies.cancelJob(j);
        vm.warp(START + 365 days);
        vm.expectRevert(
            abi.encodeWithSelector(JobStateWrong.selector, j.jobId, JobState.Cancelled, JobState.Running)
        );
        policies.expireJob(j);
    }

    function test_RevertWhen_theStartDeadlineHasNotPassed() public {
        Job memory j = granted(address(0), 2);
        vm.warp(j.startDeadline);
        vm.expectRevert(abi.encodeWithSelector(DeadlineNotPassed.selector, j.startDeadline, j.startDeadline));
        policies.expireJob(j);
    }

    function test_RevertWhen_theRunDeadlineHasNotPassed() public {
        Job memory s = running(address(0), 2, false);
        vm.warp(s.runDeadline);
        vm.expectRevert(abi.encodeWithSelector(DeadlineNotPassed.selector, s.runDeadline, s.runDeadline));
        policies.expireJob(s);
    }

    function test_expiresAGrantedJob() public {
        Job memory j = granted(address(0), 2);
        uint256 before = requester.balance;
        vm.warp(j.startDeadline + 1);
        vm.expectEmit(address(policies));
        emit IDataPolicy.JobExpired(j.jobId);
        vm.prank(stranger);
        policies.expireJob(j);
        assertState(j, JobState.Expired);
        assertEq(requester.balance - before, 2 * ROYALTY);
        (, uint32 runs, uint8 returned) = policies.runsOf(j.datasetUid, requester);
        assertEq(runs, 0);
        assertEq(returned, 0);
    }

    function test_expiresARunningJob() public {
        Job memory s = running(address(token), 2, true);
        vm.warp(s.runDeadline + 1);
        vm.prank(stranger);
        policies.expireJob(s);
        assertState(s, JobState.Expired);
        assertEq(creditOf(requester, address(token)), escrowOf(s));
        (, uint32 runs, uint8 returned) = policies.runsOf(s.datasetUid, requester);
        assertEq(runs, 0);
        assertEq(returned, 1);
    }
}
