// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

contract RaiseNonceTest is Base {
    function test_RevertWhen_itIsNotAboveTheCurrentOne() public {
        vm.expectRevert(abi.encodeWithSelector(NonceWrong.selector, 0, 0));
        policies.raiseNonce(0);
        policies.raiseNonce(5);
        vm.expectRevert(abi.encodeWithSelector(NonceWrong.selector, 5, 5));
        policies.raiseNonce(5);
        vm.expectRevert(abi.encodeWithSelector(NonceWrong.selector, 4, 5));
        policies.raiseNonce(4);
    }

    function test_raisesTheCallersOnly() public {
        vm.expectEmit(address(policies));
        emit IDataPolicy.NonceRaised(owner, 3);
        vm.prank(owner);
        policies.raiseNonce(3);
        assertEq(policies.registrationNonce(owner), 3);
        assertEq(policies.registrationNonce(stranger), 0);
        vm.prank(stranger);
        policies.raiseNonce(9);
        assertEq(policies.registrationNonce(owner), 3);
    }

    function test_makesVoidWhatWasSignedBefore() public {
        Policy memory p = makePolicy();
        bytes memory signature = sign(ownerKey, Digests.hashRegister(p, 0, uint64(START)));
        vm.prank(owner);
        policies.raiseNonce(1);
        vm.expectRevert(abi.encodeWithSelector(NonceWrong.selector, 0, 1));
        policies.registerDataset(p, 0, uint64(START), signature);
    }

    /// The last nonce there is ends signed registrations for good, and nothing else.
    function test_theLastNonceStopsSignedRegistrationsOnly() public {
        vm.prank(owner);
        policies.raiseNonce(type(uint64).max);
        Policy memory p = makePolicy();
        bytes memory signature = sign(ownerKey, Digests.hashRegister(p, type(uint64).max, uint64(START)));
        vm.expectRevert();
        policies.registerDataset(p, type(uint64).max, uint64(START), signature);
        register(p);
    }
}
