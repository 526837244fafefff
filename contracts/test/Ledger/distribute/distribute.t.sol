// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

contract DistributeTest is Base {
    function three() private view returns (Split memory s) {
        s.accounts = new bytes32[](3);
        s.accounts[0] = policies.accountOf(address(0xa1));
        s.accounts[1] = policies.accountOf(address(0xa2));
        s.accounts[2] = policies.accountOf(address(0xa3));
        s.bps = new uint16[](3);
        s.bps[0] = 6000;
        s.bps[1] = 3000;
        s.bps[2] = 1000;
    }

    /// Earns `royalty` for the split, without a protocol fee.
    function earn(Split memory s, uint128 royalty, uint64 salt) private {
        Policy memory p = makePolicy();
        p.salt = bytes32(uint256(salt));
        p.datasetUid = policies.datasetUid(owner, p.salt);
        p.payee = keccak256(abi.encode("LICEN/split/v2", s));
        p.royaltyPerEpoch = royalty;
        vm.deal(requester, royalty);
        register(p);
        confirm(start(open(p, makeRequest(1))), 1);
    }

    function setUp() public override {
        super.setUp();
        policies = deploy(0);
    }

    function refuse(bytes memory err, Split memory s) private {
        vm.expectRevert(err);
        policies.distribute(s, address(0));
    }

    function nothing(Split memory s, uint256 available) private view returns (bytes memory) {
        return abi.encodeWithSelector(
            NothingToDistribute.selector, policies.splitAccount(s), address(0), available
        );
    }

    function owed(uint160 who) private view returns (uint256) {
        return creditOf(address(who), address(0));
    }

    // ---------------------------------------------------------------------------------- the split

    function test_RevertWhen_thePayeesAreOutOfRange() public {
        Split memory s;
        refuse(abi.encodeWithSelector(SplitPayeesOutOfRange.selector, 0, 64), s);
        s.accounts = new bytes32[](65);
        refuse(abi.encodeWithSelector(SplitPayeesOutOfRange.selector, 65, 64), s);
    }

    function test_RevertWhen_theWeightsDoNotPair() public {
        Split memory s = three();
        s.bps = new uint16[](2);
        refuse(abi.encodeWithSelector(SplitLengthsDiffer.selector, 3, 2), s);
    }

    function test_RevertWhen_theWeightsDoNotSum() public {
        Split memory s = three();
        s.bps[2] = 1001;
        refuse(abi.encodeWithSelector(SplitSumWrong.selector, 10_001, 10_000), s);
        s.bps[2] = 999;
        refuse(abi.encodeWithSelector(SplitSumWrong.selector, 9999, 10_000), s);
        // Weights that wrap to the right sum in 16 bits are still too many.
        s.bps[0] = 65_535;
        s.bps[1] = 9999;
        s.bps[2] = 2;
        refuse(abi.encodeWithSelector(SplitSumWrong.selector, 75_536, 10_000), s);
    }

    function test_RevertWhen_theBooksOfAnImpossibleSplitAreAsked() public {
        Split memory s = three();
        s.bps = new uint16[](2);
        vm.expectRevert(abi.encodeWithSelector(SplitLengthsDiffer.selector, 3, 2));
        policies.splitBooks(s, address(0));
        vm.expectRevert(abi.encodeWithSelector(SplitLengthsDiffer.selector, 3, 2));
        policies.distributable(s, address(0));
    }

    // ----------------------------------------------------------------------------------- nothing

    function test_RevertWhen_nothingIsForAnybody() public {
        Split memory s = three();
        refuse(nothing(s, 0), s);
        earn(s, 1, 1);
        // 6,000 bps of one base unit are nobody's.
        refuse(nothing(s, 1), s);
        earn(s, 1, 2);
        policies.distribute(s, address(0));
        assertEq(owed(0xa1), 1);
        refuse(nothing(s, 1), s);
    }

    function test_RevertWhen_nothingHasVested() public {
        Split memory s = three();
        (s.start, s.duration) = (uint64(START + 10), 100);
        earn(s, 1 ether, 1);
        refuse(nothing(s, 1 ether), s);
        vm.warp(START + 10);
        refuse(nothing(s, 1 ether), s);
        vm.warp(START + 11);
        policies.distribute(s, address(0));
        assertEq(owed(0xa1), 0.006 ether);
    }

    function test_RevertWhen_theCliffIsAhead() public {
        Split memory s = three();
        s.start = uint64(START + 10);
        earn(s, 1 ether, 1);
        vm.warp(START + 9);
        refuse(nothing(s, 1 ether), s);
        vm.warp(START + 10);
        policies.distribute(s, address(0));
        assertEq(owed(0xa1), 0.6 ether);
    }

    // ---------------------------------------------------------------------------------- something

    function test_movesByWeightAndLeavesFewerUnitsThanPayees() public {
        Split memory s = three();
        bytes32 account = policies.splitAccount(s);
        earn(s, 1_234_567_891, 1);
        assertEq(policies.distributable(s, address(0)), 1_234_567_890);
        vm.expectEmit(address(policies));
        emit ILedger.Distributed(account, address(0), 1_234_567_890);
        vm.expectEmit(address(policies));
        emit ILedger.Credited(s.accounts[0], address(0), account, 740_740_734);
        vm.expectEmit(address(policies));
        emit ILedger.Credited(s.accounts[1], address(0), account, 370_370_367);
        vm.expectEmit(address(policies));
        emit ILedger.Credited(s.accounts[2], address(0), account, 123_456_789);
        vm.prank(stranger);
        policies.distribute(s, address(0));
        assertEq(owed(0xa1), 740_740_734);
        assertEq(owed(0xa2), 370_370_367);
        assertEq(owed(0xa3), 123_456_789);
        assertEq(policies.credit(account, address(0)), 1);
        (uint256 totalIn, uint256 paid) = policies.splitBooks(s, address(0));
        assertEq(totalIn, 1_234_567_891);
        assertEq(paid, 1_234_567_890);
        // What was left over counts with what comes next.
        earn(s, 9, 2);
        policies.distribute(s, address(0));
        assertEq(owed(0xa1) + owed(0xa2) + owed(0xa3), 1_234_567_900);
    }

    function test_releasesLinearlyWhatEverCameIn() public {
        Split memory s = three();
        (s.start, s.duration) = (uint64(START), 1000);
        earn(s, 1 ether, 1);
        vm.warp(START + 250);
        policies.distribute(s, address(0));
        assertEq(owed(0xa1), 0.15 ether);
        // What comes in later vests by the same clock.
        earn(s, 1 ether, 2);
        vm.warp(START + 500);
        policies.distribute(s, address(0));
        assertEq(owed(0xa1), 0.6 ether);
        vm.warp(START + 5000);
        policies.distribute(s, address(0));
        assertEq(owed(0xa1), 1.2 ether);
        assertEq(owed(0xa3), 0.2 ether);
    }

    function test_sixtyFourPayees() public {
        Split memory s;
        s.accounts = new bytes32[](64);
        s.bps = new uint16[](64);
        for (uint256 i = 0; i < 64; ++i) {
            s.accounts[i] = bytes32(0x1000 + i);
            s.bps[i] = i < 16 ? 157 : 156;
        }
        earn(s, 1 ether, 1);
        policies.distribute(s, address(0));
        assertEq(owed(0x1000), 1 ether * 157 / 10_000);
    }

    function test_paysOneAccountTwiceWhereItIsNamedTwice() public {
        Split memory s = three();
        s.accounts[2] = s.accounts[0];
        earn(s, 1 ether, 1);
        policies.distribute(s, address(0));
        assertEq(owed(0xa1), 0.7 ether);
    }

    function test_creditsASplitInsideOfASplit() public {
        Split memory inner = three();
        inner.start = uint64(START + 100);
        Split memory outer = three();
        outer.accounts[1] = policies.splitAccount(inner);
        earn(outer, 1 ether, 1);
        policies.distribute(outer, address(0));
        assertEq(policies.credit(outer.accounts[1], address(0)), 0.3 ether);
        refuse(nothing(inner, 0.3 ether), inner);
        vm.warp(START + 100);
        policies.distribute(inner, address(0));
        assertEq(owed(0xa1), 0.6 ether + 0.18 ether);
        assertEq(owed(0xa2), 0.09 ether);
        assertEq(owed(0xa3), 0.1 ether + 0.03 ether);
    }

    /// Nothing about one account stops the others: neither 0 nor the contract itself.
    function test_paysTheOthersWhereOneAccountCannotBePaid() public {
        Split memory s = three();
        s.accounts[1] = 0;
        s.accounts[2] = policies.accountOf(address(policies));
        earn(s, 1 ether, 1);
        policies.distribute(s, address(0));
        policies.withdraw(address(0xa1), address(0));
        assertEq(address(0xa1).balance, 0.6 ether);
    }

    /// Books are kept by the whole split: another start or weight is another account.
    function test_anotherSplitHasOtherBooks() public {
        Split memory s = three();
        earn(s, 1 ether, 1);
        Split memory t = three();
        t.start = 1;
        refuse(nothing(t, 0), t);
        t = three();
        (t.bps[0], t.bps[1]) = (t.bps[1], t.bps[0]);
        refuse(nothing(t, 0), t);
        (uint256 totalIn,) = policies.splitBooks(t, address(0));
        assertEq(totalIn, 0);
    }

    /// At any time each payee has exactly its weight of what had vested when it was last distributed,
    /// rounded down once, however often it was called.
    function testFuzz_neverMovesMoreThanCameIn(
        uint128 first,
        uint128 second,
        uint64 start_,
        uint32 duration,
        uint32 step,
        uint16 weight
    ) public {
        first = uint128(bound(first, 1, type(uint128).max));
        second = uint128(bound(second, 1, type(uint128).max));
        Split memory s = three();
        s.bps[0] = uint16(bound(weight, 0, 9000));
        s.bps[1] = 9000 - s.bps[0];
        (s.start, s.duration) = (uint64(bound(start_, START - 1e9, START + 1e9)), duration);
        earn(s, first, 1);
        uint256 moved;
        for (uint256 i = 0; i < 4; ++i) {
            vm.warp(block.timestamp + step);
            uint256 due = policies.distributable(s, address(0));
            if (due != 0) policies.distribute(s, address(0));
            moved += due;
            assertBooks(s, i < 2 ? first : uint256(first) + second, moved, due != 0);
            if (i == 1) earn(s, second, 2);
        }
    }

    function assertBooks(Split memory s, uint256 cameIn, uint256 moved, bool distributed) private view {
        (uint256 totalIn, uint256 paid) = policies.splitBooks(s, address(0));
        assertEq(totalIn, cameIn);
        assertEq(paid, moved);
        assertEq(policies.credit(policies.splitAccount(s), address(0)), cameIn - moved);
        assertEq(owed(0xa1) + owed(0xa2) + owed(0xa3), moved);
        uint256 vested = vestedOf(totalIn, s);
        assertLe(moved, vested);
        assertLt(vested - moved, 3);
        if (!distributed) return;
        assertEq(owed(0xa1), vested * s.bps[0] / 10_000);
        assertEq(owed(0xa2), vested * s.bps[1] / 10_000);
        assertEq(owed(0xa3), vested * s.bps[2] / 10_000);
    }

    /// As the protocol says it, with products that fit because amounts are below 2^129.
    function vestedOf(uint256 totalIn, Split memory s) private view returns (uint256) {
        if (block.timestamp < s.start) return 0;
        if (block.timestamp - s.start >= s.duration) return totalIn;
        return totalIn * (block.timestamp - s.start) / s.duration;
    }
}
