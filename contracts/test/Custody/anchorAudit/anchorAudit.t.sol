// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

contract AnchorAuditTest is Base {
    function test_RevertWhen_theSetVersionDoesNotExist() public {
        vm.expectRevert(abi.encodeWithSelector(SetUnknown.selector, setId, 2));
        custody.anchorAudit(setId, 2, 0, 1, "head");
    }

    function test_RevertWhen_theMemberDoesNotExist() public {
        vm.expectRevert(abi.encodeWithSelector(MemberUnknown.selector, 3, 3));
        custody.anchorAudit(setId, 1, 3, 1, "head");
    }

    function test_RevertWhen_theCallerIsNotThatMember() public {
        vm.expectRevert(
            abi.encodeWithSelector(NotAuthorized.selector, vm.addr(memberKeys[0]), vm.addr(memberKeys[1]))
        );
        vm.prank(vm.addr(memberKeys[0]));
        custody.anchorAudit(setId, 1, 1, 1, "head");
    }

    function test_logsTheHead() public {
        address member = vm.addr(memberKeys[2]);
        vm.expectEmit(address(custody));
        emit ICustody.AuditAnchored(setId, member, 42, "head");
        vm.prank(member);
        custody.anchorAudit(setId, 1, 2, 42, "head");
    }
}
