// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

contract PausePolicyTest is Base {
    Policy private p;

    function setUp() public override {
        super.setUp();
        p = makePolicy();
        register(p);
    }

    function test_RevertWhen_theCallerIsNotTheOwner() public {
        vm.expectRevert(abi.encodeWithSelector(NotAuthorized.selector, operator, owner));
        vm.prank(operator);
        policies.pausePolicy(p);
    }

    function test_RevertWhen_thePolicyIsStale() public {
        Policy memory q = p;
        q.version = 2;
        vm.expectPartialRevert(PolicyStale.selector);
        vm.prank(owner);
        policies.pausePolicy(q);
    }

    function test_RevertWhen_itIsPausedAlready() public {
        vm.startPrank(owner);
        policies.pausePolicy(p);
        vm.expectRevert(abi.encodeWithSelector(DatasetPaused.selector, p.datasetUid));
        policies.pausePolicy(p);
    }

    function test_refusesRequestsAndNothingElse() public {
        Job memory one = open(p, makeRequest(1));
        vm.expectEmit(address(policies));
        emit IDataPolicy.PolicyPaused(p.datasetUid);
        vm.prank(owner);
        policies.pausePolicy(p);
        vm.expectRevert(abi.encodeWithSelector(DatasetPaused.selector, p.datasetUid));
        vm.prank(requester);
        policies.requestAccess{ value: ROYALTY }(p, makeRequest(1));
        confirm(start(one), 1);
    }
}
