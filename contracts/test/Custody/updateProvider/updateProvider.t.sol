// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

contract UpdateProviderTest is Base {
    function test_RevertWhen_theCallerIsNotTheCreator() public {
        vm.expectRevert(abi.encodeWithSelector(NotAuthorized.selector, stranger, address(this)));
        vm.prank(stranger);
        custody.updateProvider(providerId, stranger, "payee", "CH", new bytes32[](0));
        vm.expectRevert(abi.encodeWithSelector(NotAuthorized.selector, address(this), address(0)));
        custody.updateProvider("none", stranger, "payee", "CH", new bytes32[](0));
    }

    function test_RevertWhen_signerOrPayeeIsZero() public {
        vm.expectRevert(abi.encodeWithSelector(ProviderSignerZero.selector, providerId));
        custody.updateProvider(providerId, address(0), "payee", "CH", new bytes32[](0));
        vm.expectRevert(abi.encodeWithSelector(ProviderPayeeZero.selector, providerId));
        custody.updateProvider(providerId, compute, 0, "CH", new bytes32[](0));
    }

    function test_leavesOpenedJobsAsQuoted() public {
        Job memory s = running(address(0), 2, true);
        custody.updateProvider(providerId, stranger, policies.accountOf(stranger), "US", new bytes32[](0));
        Provider memory provider = custody.providerOf(providerId);
        assertEq(provider.signer, stranger);
        assertEq(provider.creator, address(this));
        assertEq(provider.platformIds.length, 0);
        confirm(s, 2);
        assertEq(creditOf(computePayee, address(0)), 2 * COMPUTE_FEE);
        assertEq(creditOf(stranger, address(0)), 0);
    }
}
