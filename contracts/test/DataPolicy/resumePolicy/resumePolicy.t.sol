// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

contract ResumePolicyTest is Base {
    Policy private p;

    function setUp() public override {
        super.setUp();
        p = makePolicy();
        register(p);
    }

    function test_RevertWhen_theCallerIsNotTheOwner() public {
        vm.expectRevert(abi.encodeWithSelector(NotAuthorized.selector, stranger, owner));
        vm.prank(stranger);
        policies.resumePolicy(p);
    }

    function test_RevertWhen_itIsNotPaused() public {
        vm.expectRevert(abi.encodeWithSelector(DatasetNotPaused.selector, p.datasetUid));
        vm.prank(owner);
        policies.resumePolicy(p);
    }

    function test_takesRequestsAgain() public {
        vm.startPrank(owner);
        policies.pausePolicy(p);
        vm.expectEmit(address(policies));
        emit IDataPolicy.PolicyResumed(p.datasetUid);
        policies.resumePolicy(p);
        vm.stopPrank();
        open(p, makeRequest(1));
    }
}
