// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

contract CreateAppraisalPolicyTest is Base {
    function test_RevertWhen_theSaltWasUsed() public {
        vm.expectRevert(abi.encodeWithSelector(AppraisalPolicyExists.selector, appraisal));
        custody.createAppraisalPolicy("appraisal", new bytes32[](0));
    }

    function test_RevertWhen_anEntryIsZeroOrComesTwice() public {
        bytes32 id = custody.idOf(address(this), "new");
        bytes32[] memory entries = new bytes32[](2);
        entries[0] = "one";
        vm.expectRevert(abi.encodeWithSelector(AppraisalEntryZero.selector, id));
        custody.createAppraisalPolicy("new", entries);
        entries[1] = "one";
        vm.expectRevert(abi.encodeWithSelector(AppraisalEntryExists.selector, id, bytes32("one")));
        custody.createAppraisalPolicy("new", entries);
    }

    function test_isLiveAtOnce() public {
        bytes32[] memory entries = new bytes32[](2);
        (entries[0], entries[1]) = ("one", "two");
        bytes32 id = custody.idOf(address(this), "new");
        assertFalse(custody.isAppraisalPolicyLive(id));
        vm.expectEmit(address(custody));
        emit ICustody.AppraisalPolicyCreated(id, address(this), entries);
        custody.createAppraisalPolicy("new", entries);
        assertTrue(custody.isAppraisalPolicyLive(id));
        assertTrue(custody.isEntryLive(id, "one"));
        assertTrue(custody.isEntryLive(id, "two"));
        assertFalse(custody.isEntryLive(id, "three"));
    }
}
