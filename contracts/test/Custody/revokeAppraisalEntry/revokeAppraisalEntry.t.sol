// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

contract RevokeAppraisalEntryTest is Base {
    function test_RevertWhen_theCallerIsNotTheCreator() public {
        vm.expectRevert(abi.encodeWithSelector(NotAuthorized.selector, stranger, address(this)));
        vm.prank(stranger);
        custody.revokeAppraisalEntry(appraisal, "one");
    }

    function test_RevertWhen_theEntryIsNotThere() public {
        bytes memory err = abi.encodeWithSelector(AppraisalEntryUnknown.selector, appraisal, bytes32("one"));
        vm.expectRevert(err);
        custody.revokeAppraisalEntry(appraisal, "one");
        custody.addAppraisalEntry(appraisal, "one");
        custody.revokeAppraisalEntry(appraisal, "one");
        vm.expectRevert(err);
        custody.revokeAppraisalEntry(appraisal, "one");
    }

    function test_isDeadForEver() public {
        custody.addAppraisalEntry(appraisal, "one");
        custody.addAppraisalEntry(appraisal, "two");
        vm.expectEmit(address(custody));
        emit ICustody.AppraisalEntryRevoked(appraisal, "one");
        custody.revokeAppraisalEntry(appraisal, "one");
        vm.warp(START + 365 days);
        assertFalse(custody.isEntryLive(appraisal, "one"));
        assertTrue(custody.isEntryLive(appraisal, "two"));
        custody.revokeAppraisalEntry(appraisal, "two");
        assertFalse(custody.isEntryLive(appraisal, "two"));
        assertTrue(custody.isAppraisalPolicyLive(appraisal));
    }
}
