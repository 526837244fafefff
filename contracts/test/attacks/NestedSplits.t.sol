// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../utils/Base.sol";

import { Mute } from "./Findings.t.sol";

/// A split of three payees, one a split with a cliff, one a contract that refuses coins: at the end
/// everything is withdrawn but fewer base units than a split has payees, per level and token.
contract NestedSplitsTest is Base {
    Mute private wallet;
    Split private inner;
    Split private outer;

    function setUp() public override {
        super.setUp();
        policies = deploy(FEE_BPS);
        vm.prank(requester);
        token.approve(address(policies), type(uint256).max);
        wallet = new Mute();
        Split memory s = splitOf(payee, stranger, 3333);
        s.start = uint64(START + 30 days);
        inner = s;
        Split memory t;
        t.accounts = new bytes32[](3);
        t.accounts[0] = policies.splitAccount(s);
        t.accounts[1] = policies.accountOf(address(wallet));
        t.accounts[2] = policies.accountOf(operator);
        t.bps = new uint16[](3);
        (t.bps[0], t.bps[1], t.bps[2]) = (3333, 3333, 3334);
        (t.start, t.duration) = (uint64(START), 10 days);
        outer = t;
    }

    function earn(address tokenAddress, uint128 royalty, bytes32 salt) private {
        Policy memory p = makePolicy();
        p.salt = salt;
        p.datasetUid = policies.datasetUid(owner, salt);
        p.token = tokenAddress;
        p.payee = policies.splitAccount(outer);
        p.royaltyPerEpoch = royalty;
        register(p);
        if (tokenAddress == address(0)) vm.deal(requester, requester.balance + royalty);
        else token.mint(requester, royalty);
        confirm(start(open(p, makeRequest(1))), 1);
    }

    function distribute(address tokenAddress) private {
        if (policies.distributable(outer, tokenAddress) != 0) policies.distribute(outer, tokenAddress);
        if (policies.distributable(inner, tokenAddress) != 0) policies.distribute(inner, tokenAddress);
    }

    function withdrawAll(address tokenAddress) private {
        address[4] memory holders = [payee, stranger, operator, treasury];
        for (uint256 i = 0; i < holders.length; ++i) {
            if (creditOf(holders[i], tokenAddress) != 0) policies.withdraw(holders[i], tokenAddress);
        }
        if (creditOf(address(wallet), tokenAddress) == 0) return;
        if (tokenAddress == address(0)) {
            vm.expectPartialRevert(TransferFailed.selector);
            policies.withdraw(address(wallet), tokenAddress);
        }
        wallet.withdrawTo(policies, makeAddr("elsewhere"), tokenAddress);
    }

    function walk(address tokenAddress, uint128 first, uint128 second) private {
        earn(tokenAddress, first, "first");
        vm.warp(START + 3 days);
        distribute(tokenAddress);
        withdrawAll(tokenAddress);
        // The cliff of the inner split holds its part back, however often somebody asks.
        assertEq(creditOf(stranger, tokenAddress), 0);
        assertEq(policies.distributable(inner, tokenAddress), 0);
        earn(tokenAddress, second, "second");
        vm.warp(START + 29 days);
        distribute(tokenAddress);
        vm.warp(START + 30 days);
        distribute(tokenAddress);
        withdrawAll(tokenAddress);

        uint256 innerLeft = policies.credit(policies.splitAccount(inner), tokenAddress);
        uint256 outerLeft = policies.credit(policies.splitAccount(outer), tokenAddress);
        assertLt(innerLeft, 2, "inner");
        assertLt(outerLeft, 3, "outer");
        uint256 held =
            tokenAddress == address(0) ? address(policies).balance : token.balanceOf(address(policies));
        assertEq(held, innerLeft + outerLeft, "held");
        uint256 fees = first * FEE_BPS / 10_000 + second * FEE_BPS / 10_000;
        (uint256 totalIn, uint256 paid) = policies.splitBooks(outer, tokenAddress);
        assertEq(totalIn, uint256(first) + second - fees);
        assertEq(paid + outerLeft, totalIn);
    }

    function testFuzz_everythingIsWithdrawnButFewerBaseUnitsThanPayees(uint96 first, uint96 second) public {
        walk(address(0), first, second);
    }

    /// The same in cents: no amount is too small to move.
    function testFuzz_everythingIsWithdrawnAlsoOfATokenWithTwoDecimals(uint16 first, uint16 second) public {
        walk(address(token), first, second);
    }
}
