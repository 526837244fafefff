// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

contract CreateSetTest is Base {
    function test_RevertWhen_theSaltWasUsed() public {
        (Member[] memory members,) = makeMembers("m", 2);
        bytes32 id = custody.createSet("salt", 1, members);
        vm.expectRevert(abi.encodeWithSelector(SetExists.selector, id));
        custody.createSet("salt", 1, members);
    }

    function test_RevertWhen_theMembersAreOutOfRange() public {
        vm.expectRevert(abi.encodeWithSelector(SetMembersOutOfRange.selector, 0, 16));
        custody.createSet("salt", 1, new Member[](0));
        (Member[] memory members,) = makeMembers("m", 17);
        vm.expectRevert(abi.encodeWithSelector(SetMembersOutOfRange.selector, 17, 16));
        custody.createSet("salt", 1, members);
    }

    function test_RevertWhen_theThresholdIsOutOfRange() public {
        (Member[] memory members,) = makeMembers("m", 3);
        vm.expectRevert(abi.encodeWithSelector(SetThresholdOutOfRange.selector, 0, 3));
        custody.createSet("salt", 0, members);
        vm.expectRevert(abi.encodeWithSelector(SetThresholdOutOfRange.selector, 4, 3));
        custody.createSet("salt", 4, members);
    }

    function test_RevertWhen_aMemberIsIncomplete() public {
        (Member[] memory members,) = makeMembers("m", 3);
        members[1].signer = address(0);
        vm.expectRevert(abi.encodeWithSelector(MemberSignerZero.selector, 1));
        custody.createSet("salt", 2, members);
        (members,) = makeMembers("m", 3);
        members[2].hpkeKey = 0;
        vm.expectRevert(abi.encodeWithSelector(MemberKeyZero.selector, 2));
        custody.createSet("salt", 2, members);
        (members,) = makeMembers("m", 3);
        members[2].signer = members[0].signer;
        vm.expectRevert(abi.encodeWithSelector(MemberSignerRepeated.selector, 2, members[0].signer));
        custody.createSet("salt", 2, members);
    }

    function testFuzz_keepsVersionOne(uint8 n, uint8 t) public {
        n = uint8(bound(n, 1, 16));
        t = uint8(bound(t, 1, n));
        (Member[] memory members,) = makeMembers("m", n);
        bytes32 id = custody.idOf(stranger, "salt");
        assertEq(id, keccak256(abi.encode(stranger, bytes32("salt"))));
        vm.expectEmit(address(custody));
        emit ICustody.CustodianSetVersion(id, 1, stranger, t, members);
        vm.prank(stranger);
        custody.createSet("salt", t, members);
        (uint8 keptT, Member[] memory kept) = custody.setOf(id, 1);
        assertEq(keptT, t);
        assertEq(abi.encode(kept), abi.encode(members));
        assertEq(custody.latestSetVersion(id), 1);
        vm.expectRevert(abi.encodeWithSelector(SetUnknown.selector, id, 2));
        custody.setOf(id, 2);
        vm.expectRevert(abi.encodeWithSelector(SetUnknown.selector, id, 0));
        custody.setOf(id, 0);
    }

    function test_leavesTheSaltFreeForOthers() public {
        (Member[] memory members,) = makeMembers("m", 1);
        bytes32 one = custody.createSet("salt", 1, members);
        vm.prank(stranger);
        bytes32 two = custody.createSet("salt", 1, members);
        assertTrue(one != two);
    }
}
