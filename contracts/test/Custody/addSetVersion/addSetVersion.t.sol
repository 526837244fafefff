// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

contract AddSetVersionTest is Base {
    function test_RevertWhen_theCallerIsNotTheCreator() public {
        (Member[] memory members,) = makeMembers("m", 2);
        vm.expectRevert(abi.encodeWithSelector(NotAuthorized.selector, stranger, address(this)));
        vm.prank(stranger);
        custody.addSetVersion(setId, 1, members);
        vm.expectRevert(abi.encodeWithSelector(NotAuthorized.selector, address(this), address(0)));
        custody.addSetVersion("none", 1, members);
    }

    function test_RevertWhen_theSetIsNotInOrder() public {
        (Member[] memory members,) = makeMembers("m", 2);
        vm.expectRevert(abi.encodeWithSelector(SetThresholdOutOfRange.selector, 3, 2));
        custody.addSetVersion(setId, 3, members);
        vm.expectRevert(abi.encodeWithSelector(SetMembersOutOfRange.selector, 0, 16));
        custody.addSetVersion(setId, 1, new Member[](0));
    }

    function test_keepsTheNextVersionAndChangesNoneBefore() public {
        (uint8 t1, Member[] memory first) = custody.setOf(setId, 1);
        (Member[] memory members,) = makeMembers("next", 5);
        vm.expectEmit(address(custody));
        emit ICustody.CustodianSetVersion(setId, 2, address(this), 4, members);
        assertEq(custody.addSetVersion(setId, 4, members), 2);
        (uint8 t2, Member[] memory second) = custody.setOf(setId, 2);
        assertEq(t2, 4);
        assertEq(abi.encode(second), abi.encode(members));
        (uint8 t, Member[] memory again) = custody.setOf(setId, 1);
        assertEq(t, t1);
        assertEq(abi.encode(again), abi.encode(first));
        assertEq(custody.latestSetVersion(setId), 2);
    }
}
