// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

contract DistributeTest is Base {
    function three() private pure returns (Split memory s) {
        s.payees = new address[](3);
        s.payees[0] = address(0xa1);
        s.payees[1] = address(0xa2);
        s.payees[2] = address(0xa3);
        s.bps = new uint16[](3);
        s.bps[0] = 6000;
        s.bps[1] = 3000;
        s.bps[2] = 1000;
    }

    /// Earns `epochs` x ROYALTY for the split, without a protocol fee.
    function earn(Split memory s, uint128 royalty, uint64 salt) private {
        Policy memory p = makePolicy();
        p.salt = bytes32(uint256(salt));
        p.datasetUid = policies.datasetUid(owner, p.salt);
        p.payee = keccak256(abi.encode(s));
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

    function test_RevertWhen_thePayeesAreOutOfRange() public {
        Split memory s;
        refuse(abi.encodeWithSelector(SplitPayeesOutOfRange.selector, 0, 64), s);
        s.payees = new address[](65);
        refuse(abi.encodeWithSelector(SplitPayeesOutOfRange.selector, 65, 64), s);
    }

    function test_RevertWhen_theWeightsDoNotPair() public {
        Split memory s = three();
        s.bps = new uint16[](2);
        refuse(abi.encodeWithSelector(SplitLengthsDiffer.selector, 3, 2), s);
    }

    function test_RevertWhen_aPayeeIsZero() public {
        Split memory s = three();
        s.payees[1] = address(0);
        refuse(abi.encodeWithSelector(SplitPayeeZero.selector, 1), s);
    }

    function test_RevertWhen_theWeightsDoNotSum() public {
        Split memory s = three();
        s.bps[2] = 1001;
        refuse(abi.encodeWithSelector(SplitSumWrong.selector, 10_001, 10_000), s);
        s.bps[2] = 999;
        refuse(abi.encodeWithSelector(SplitSumWrong.selector, 9999, 10_000), s);
    }

    function test_RevertWhen_tooLittleCanMove() public {
        Split memory s = three();
        bytes32 account = policies.splitAccount(s);
        refuse(abi.encodeWithSelector(NothingToDistribute.selector, account, address(0), 0), s);
        earn(s, 9999, 1);
        refuse(abi.encodeWithSelector(NothingToDistribute.selector, account, address(0), 9999), s);
        earn(s, 1, 2);
        policies.distribute(s, address(0));
        assertEq(creditOf(address(0xa1), address(0)), 6000);
    }

    function test_RevertWhen_nothingHasVested() public {
        Split memory s = three();
        s.vesting = Vesting(uint64(START + 10), 100);
        earn(s, 1 ether, 1);
        refuse(
            abi.encodeWithSelector(
                NothingToDistribute.selector, policies.splitAccount(s), address(0), 1 ether
            ),
            s
        );
    }

    function test_movesByExactWeights() public {
        Split memory s = three();
        bytes32 account = policies.splitAccount(s);
        earn(s, 1_234_567_891, 1);
        assertEq(policies.distributable(s, address(0)), 1_234_560_000);
        vm.expectEmit(address(policies));
        emit DataPolicyEvents.Distributed(account, address(0), 1_234_560_000);
        vm.prank(stranger);
        policies.distribute(s, address(0));
        assertEq(creditOf(address(0xa1), address(0)), 740_736_000);
        assertEq(creditOf(address(0xa2), address(0)), 370_368_000);
        assertEq(creditOf(address(0xa3), address(0)), 123_456_000);
        assertEq(policies.credit(account, address(0)), 7891);
        (uint256 totalIn, uint256 released) = policies.splitBooks(account, address(0));
        assertEq(totalIn, 1_234_567_891);
        assertEq(released, 1_234_560_000);
    }

    function test_releasesLinearlyWhatEverCameIn() public {
        Split memory s = three();
        s.vesting = Vesting(uint64(START), 1000);
        earn(s, 1 ether, 1);
        vm.warp(START + 250);
        policies.distribute(s, address(0));
        assertEq(creditOf(address(0xa1), address(0)), 0.15 ether);
        // What comes in later vests by the same clock.
        earn(s, 1 ether, 2);
        vm.warp(START + 500);
        policies.distribute(s, address(0));
        assertEq(creditOf(address(0xa1), address(0)), 0.6 ether);
        vm.warp(START + 5000);
        policies.distribute(s, address(0));
        assertEq(creditOf(address(0xa1), address(0)), 1.2 ether);
        assertEq(creditOf(address(0xa3), address(0)), 0.2 ether);
    }

    function test_sixtyFourPayees() public {
        Split memory s;
        s.payees = new address[](64);
        s.bps = new uint16[](64);
        for (uint256 i = 0; i < 64; ++i) {
            s.payees[i] = address(uint160(0x1000 + i));
            s.bps[i] = i < 16 ? 157 : 156;
        }
        earn(s, 1 ether, 1);
        policies.distribute(s, address(0));
        assertEq(creditOf(address(0x1000), address(0)), 1 ether * 157 / 10_000);
    }

    function testFuzz_neverMovesMoreThanCameIn(
        uint128 first,
        uint128 second,
        uint64 start_,
        uint32 duration,
        uint32 step
    ) public {
        first = uint128(bound(first, 1, type(uint128).max));
        second = uint128(bound(second, 1, type(uint128).max));
        Split memory s = three();
        s.vesting = Vesting(uint64(bound(start_, START - 1e9, START + 1e9)), duration);
        bytes32 account = policies.splitAccount(s);
        earn(s, first, 1);
        uint256 moved;
        for (uint256 i = 0; i < 4; ++i) {
            vm.warp(block.timestamp + step);
            if (policies.distributable(s, address(0)) != 0) policies.distribute(s, address(0));
            if (i == 1) earn(s, second, 2);
            uint256 now_ = creditOf(address(0xa1), address(0)) + creditOf(address(0xa2), address(0))
                + creditOf(address(0xa3), address(0));
            assertGe(now_, moved);
            moved = now_;
            (uint256 totalIn, uint256 released) = policies.splitBooks(account, address(0));
            assertEq(released, moved);
            assertEq(totalIn, policies.credit(account, address(0)) + moved);
            assertEq(creditOf(address(0xa1), address(0)), moved / 10_000 * 6000);
        }
    }
}
