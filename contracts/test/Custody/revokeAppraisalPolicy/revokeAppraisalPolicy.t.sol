// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

contract RevokeAppraisalPolicyTest is Base {
    function test_RevertWhen_thePolicyDoesNotExistOrWasRevoked() public {
        vm.expectRevert(abi.encodeWithSelector(AppraisalPolicyUnknown.selector, bytes32("none")));
        custody.revokeAppraisalPolicy("none");
        custody.revokeAppraisalPolicy(appraisal);
        vm.expectRevert(abi.encodeWithSelector(AppraisalPolicyRevoked.selector, appraisal));
        custody.revokeAppraisalPolicy(appraisal);
        vm.expectRevert(abi.encodeWithSelector(AppraisalPolicyExists.selector, appraisal));
        custody.createAppraisalPolicy("appraisal", new bytes32[](0));
    }

    function test_RevertWhen_theCallerIsNotTheCreator() public {
        vm.expectRevert(abi.encodeWithSelector(NotAuthorized.selector, stranger, address(this)));
        vm.prank(stranger);
        custody.revokeAppraisalPolicy(appraisal);
    }

    function test_isDeadForEver() public {
        bytes32[] memory entries = new bytes32[](1);
        entries[0] = "one";
        bytes32 id = custody.createAppraisalPolicy("new", entries);
        vm.expectEmit(address(custody));
        emit ICustody.AppraisalPolicyEnded(id);
        custody.revokeAppraisalPolicy(id);
        assertFalse(custody.isAppraisalPolicyLive(id));
        assertFalse(custody.isEntryLive(id, "one"));
    }
}
