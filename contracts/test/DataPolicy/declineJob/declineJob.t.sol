// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

contract DeclineJobTest is Base {
    function test_RevertWhen_theJobIsNotGranted() public {
        Job memory s = running(address(0), 2, false);
        vm.expectRevert(
            abi.encodeWithSelector(JobStateWrong.selector, s.jobId, JobState.Running, JobState.Granted)
        );
        vm.prank(owner);
        policies.declineJob(s);
    }

    function test_RevertWhen_theCallerIsNeither() public {
        Job memory j = granted(address(0), 2);
        vm.expectRevert(abi.encodeWithSelector(NotAuthorized.selector, stranger, owner));
        vm.prank(stranger);
        policies.declineJob(j);
    }

    function test_declines() public {
        Policy memory p = makePolicy();
        register(p);
        address[2] memory who = [owner, operator];
        for (uint256 i = 0; i < 2; ++i) {
            Job memory j = open(p, makeRequest(2));
            uint256 before = requester.balance;
            vm.expectEmit(address(policies));
            emit IDataPolicy.JobFailed(j.jobId, Reason.OWNER_WITHDREW);
            vm.prank(who[i]);
            policies.declineJob(j);
            assertState(j, JobState.Failed);
            assertEq(requester.balance - before, 2 * ROYALTY);
            assertEq(runsUsed(), 0);
        }
    }
}
