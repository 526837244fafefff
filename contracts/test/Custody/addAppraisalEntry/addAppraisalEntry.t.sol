// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

contract AddAppraisalEntryTest is Base {
    function test_RevertWhen_thePolicyDoesNotExistOrWasRevoked() public {
        vm.expectRevert(abi.encodeWithSelector(AppraisalPolicyUnknown.selector, bytes32("none")));
        custody.addAppraisalEntry("none", "one");
        custody.revokeAppraisalPolicy(appraisal);
        vm.expectRevert(abi.encodeWithSelector(AppraisalPolicyRevoked.selector, appraisal));
        custody.addAppraisalEntry(appraisal, "one");
    }

    function test_RevertWhen_theCallerIsNotTheCreator() public {
        vm.expectRevert(abi.encodeWithSelector(NotAuthorized.selector, stranger, address(this)));
        vm.prank(stranger);
        custody.addAppraisalEntry(appraisal, "one");
    }

    function test_RevertWhen_theEntryIsNotNew() public {
        vm.expectRevert(abi.encodeWithSelector(AppraisalEntryZero.selector, appraisal));
        custody.addAppraisalEntry(appraisal, 0);
        custody.addAppraisalEntry(appraisal, "one");
        bytes memory err = abi.encodeWithSelector(AppraisalEntryExists.selector, appraisal, bytes32("one"));
        vm.expectRevert(err);
        custody.addAppraisalEntry(appraisal, "one");
        custody.revokeAppraisalEntry(appraisal, "one");
        vm.expectRevert(err);
        custody.addAppraisalEntry(appraisal, "one");
    }

    function test_isLiveAfterTheDelay() public {
        vm.expectEmit(address(custody));
        emit ICustody.AppraisalEntryAdded(appraisal, "one", uint64(START + 48 hours));
        custody.addAppraisalEntry(appraisal, "one");
        vm.warp(START + 48 hours - 1);
        assertFalse(custody.isEntryLive(appraisal, "one"));
        vm.warp(START + 48 hours);
        assertTrue(custody.isEntryLive(appraisal, "one"));
    }
}
