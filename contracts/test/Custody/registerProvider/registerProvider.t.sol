// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

contract RegisterProviderTest is Base {
    function test_RevertWhen_theSaltWasUsed() public {
        vm.expectRevert(abi.encodeWithSelector(ProviderExists.selector, providerId));
        custody.registerProvider("provider", compute, "payee", "CH", new bytes32[](0));
    }

    function test_RevertWhen_signerOrPayeeIsZero() public {
        bytes32 id = custody.idOf(address(this), "new");
        vm.expectRevert(abi.encodeWithSelector(ProviderSignerZero.selector, id));
        custody.registerProvider("new", address(0), "payee", "CH", new bytes32[](0));
        vm.expectRevert(abi.encodeWithSelector(ProviderPayeeZero.selector, id));
        custody.registerProvider("new", compute, 0, "CH", new bytes32[](0));
    }

    function test_keepsTheProvider() public {
        bytes32[] memory platforms = new bytes32[](2);
        platforms[1] = "chip";
        Provider memory expected = Provider(stranger, compute, "payee", "DE", platforms);
        bytes32 id = custody.idOf(stranger, "new");
        vm.expectEmit(address(custody));
        emit ICustody.ProviderSet(id, expected);
        vm.prank(stranger);
        custody.registerProvider("new", compute, "payee", "DE", platforms);
        assertEq(abi.encode(custody.providerOf(id)), abi.encode(expected));
        (address signer, bytes32 account) = custody.providerTerms(id);
        assertEq(signer, compute);
        assertEq(account, "payee");
    }
}
