// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

import { BlacklistToken, CallbackToken, FalseToken } from "../../utils/Tokens.sol";

contract WithdrawToTest is Base {
    function earned(address tokenAddress) private returns (uint256) {
        confirm(running(tokenAddress, 3, false), 3);
        return creditOf(payee, tokenAddress);
    }

    function refuse(bytes memory err, address who, address to, address tokenAddress) private {
        vm.expectRevert(err);
        vm.prank(who);
        policies.withdrawTo(to, tokenAddress);
    }

    function test_RevertWhen_theReceiverIsZeroOrTheContract() public {
        uint256 owed = earned(address(token));
        refuse(
            abi.encodeWithSelector(ReceiverRefused.selector, address(0)), payee, address(0), address(token)
        );
        refuse(
            abi.encodeWithSelector(ReceiverRefused.selector, address(policies)),
            payee,
            address(policies),
            address(token)
        );
        assertEq(creditOf(payee, address(token)), owed);
    }

    function test_RevertWhen_nothingIsOwed() public {
        earned(address(0));
        refuse(
            abi.encodeWithSelector(NothingToWithdraw.selector, stranger, address(0)),
            stranger,
            payee,
            address(0)
        );
        // The native credit is none in another token.
        refuse(
            abi.encodeWithSelector(NothingToWithdraw.selector, payee, address(token)),
            payee,
            stranger,
            address(token)
        );
    }

    function test_RevertWhen_theReceiverRefusesTheCoin() public {
        uint256 owed = earned(address(0));
        address wall = address(custody);
        refuse(
            abi.encodeWithSelector(TransferFailed.selector, address(0), wall, owed), payee, wall, address(0)
        );
        assertEq(creditOf(payee, address(0)), owed);
    }

    function test_RevertWhen_theTokenRefuses() public {
        FalseToken f = new FalseToken();
        f.mint(requester, 1 ether);
        vm.prank(requester);
        f.approve(address(policies), 1 ether);
        uint256 owed = earned(address(f));
        f.refuse(true);
        refuse(
            abi.encodeWithSelector(TransferFailed.selector, address(f), stranger, owed),
            payee,
            stranger,
            address(f)
        );
        assertEq(creditOf(payee, address(f)), owed);
    }

    function test_paysAnotherAddressEverythingTheCallerIsOwed() public {
        uint256 owed = earned(address(0));
        vm.expectEmit(address(policies));
        emit ILedger.Withdrawn(payee, address(0), stranger, owed);
        vm.prank(payee);
        policies.withdrawTo(stranger, address(0));
        assertEq(stranger.balance, owed);
        assertEq(payee.balance, 0);
        refuse(
            abi.encodeWithSelector(NothingToWithdraw.selector, payee, address(0)), payee, stranger, address(0)
        );
    }

    function test_paysATokenPastAListThatNamesTheAccount() public {
        BlacklistToken b = new BlacklistToken();
        b.mint(requester, 1 ether);
        vm.prank(requester);
        b.approve(address(policies), 1 ether);
        uint256 owed = earned(address(b));
        b.list(payee, true);
        vm.prank(payee);
        policies.withdrawTo(stranger, address(b));
        assertEq(b.balanceOf(stranger), owed);
    }

    function test_RevertWhen_aTokenCallsBack() public {
        CallbackToken t = new CallbackToken();
        t.mint(requester, 1 ether);
        vm.prank(requester);
        t.approve(address(policies), 1 ether);
        uint256 owed = earned(address(t));
        t.arm(address(policies), abi.encodeCall(ILedger.withdraw, (payee, address(t))));
        vm.prank(payee);
        policies.withdrawTo(stranger, address(t));
        assertEq(bytes4(t.lastAnswer()), Reentered.selector);
        assertEq(t.balanceOf(stranger), owed);
        assertEq(t.balanceOf(payee), 0);
    }

    /// A credit of a split is nobody's to send: only an address that calls has one.
    function testFuzz_onlyTheCallersCreditMoves(address caller, address to) public {
        vm.assume(caller != payee && caller != treasury);
        vm.assume(to != address(0) && to != address(policies));
        uint256 owed = earned(address(token));
        vm.expectRevert(abi.encodeWithSelector(NothingToWithdraw.selector, caller, address(token)));
        vm.prank(caller);
        policies.withdrawTo(to, address(token));
        assertEq(creditOf(payee, address(token)), owed);
    }
}
