// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

import { BlacklistToken, FalseToken } from "../../utils/Tokens.sol";

contract Refuser {
    bool public open;

    function set(bool value) external {
        open = value;
    }

    receive() external payable {
        require(open, "no");
    }
}

contract WithdrawTest is Base {
    function test_RevertWhen_nothingIsOwed() public {
        vm.expectRevert(abi.encodeWithSelector(NothingToWithdraw.selector, payee, address(0)));
        policies.withdraw(payee, address(0));
    }

    function test_paysTheAccountWhoeverCalls() public {
        confirm(running(address(0), 3, false), 3);
        uint256 owed = creditOf(payee, address(0));
        vm.expectEmit(address(policies));
        emit ILedger.Withdrawn(payee, address(0), payee, owed);
        vm.prank(stranger);
        policies.withdraw(payee, address(0));
        assertEq(payee.balance, owed);
        assertEq(stranger.balance, 0);
        assertEq(creditOf(payee, address(0)), 0);
        vm.expectRevert(abi.encodeWithSelector(NothingToWithdraw.selector, payee, address(0)));
        policies.withdraw(payee, address(0));
    }

    function test_paysATokenAccount() public {
        confirm(running(address(token), 3, false), 3);
        uint256 owed = creditOf(payee, address(token));
        policies.withdraw(payee, address(token));
        assertEq(token.balanceOf(payee), owed);
    }

    function test_RevertWhen_theAccountRefusesTheCoin() public {
        payee = address(new Refuser());
        confirm(running(address(0), 3, false), 3);
        uint256 owed = creditOf(payee, address(0));
        vm.expectRevert(abi.encodeWithSelector(TransferFailed.selector, address(0), payee, owed));
        policies.withdraw(payee, address(0));
        assertEq(creditOf(payee, address(0)), owed);
        Refuser(payable(payee)).set(true);
        policies.withdraw(payee, address(0));
        assertEq(payee.balance, owed);
    }

    function test_RevertWhen_theTokenRefuses() public {
        FalseToken f = new FalseToken();
        token = f;
        f.mint(requester, 1 ether);
        vm.prank(requester);
        f.approve(address(policies), 1 ether);
        confirm(running(address(f), 3, false), 3);
        uint256 owed = creditOf(payee, address(f));
        f.refuse(true);
        vm.expectRevert(abi.encodeWithSelector(TransferFailed.selector, address(f), payee, owed));
        policies.withdraw(payee, address(f));
        f.refuse(false);
        policies.withdraw(payee, address(f));
        assertEq(f.balanceOf(payee), owed);
    }

    function test_RevertWhen_theAccountIsListed() public {
        BlacklistToken b = new BlacklistToken();
        b.mint(requester, 1 ether);
        vm.prank(requester);
        b.approve(address(policies), 1 ether);
        confirm(running(address(b), 3, false), 2);
        b.list(payee, true);
        vm.expectPartialRevert(TransferFailed.selector);
        policies.withdraw(payee, address(b));
        // Others are not affected.
        policies.withdraw(requester, address(b));
        assertEq(b.balanceOf(requester), 1 ether - 2 * ROYALTY);
    }

    function test_RevertWhen_theAccountIsZeroOrTheContract() public {
        vm.expectRevert(abi.encodeWithSelector(ReceiverRefused.selector, address(0)));
        policies.withdraw(address(0), address(token));
        vm.expectRevert(abi.encodeWithSelector(ReceiverRefused.selector, address(policies)));
        policies.withdraw(address(policies), address(token));
    }
}
