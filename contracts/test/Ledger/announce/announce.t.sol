// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

contract AnnounceTest is Base {
    function refuse(bytes memory err, Split memory s) private {
        vm.expectRevert(err);
        policies.announce(s);
    }

    function test_RevertWhen_thePayeesAreOutOfRange() public {
        Split memory s;
        refuse(abi.encodeWithSelector(SplitPayeesOutOfRange.selector, 0, 64), s);
        s.accounts = new bytes32[](65);
        refuse(abi.encodeWithSelector(SplitPayeesOutOfRange.selector, 65, 64), s);
    }

    function test_RevertWhen_theWeightsDoNotPair() public {
        Split memory s = splitOf(payee, stranger, 5000);
        s.bps = new uint16[](3);
        refuse(abi.encodeWithSelector(SplitLengthsDiffer.selector, 2, 3), s);
    }

    function test_RevertWhen_theWeightsDoNotSum() public {
        Split memory s = splitOf(payee, stranger, 5000);
        s.bps[1] = 4999;
        refuse(abi.encodeWithSelector(SplitSumWrong.selector, 9999, 10_000), s);
    }

    function test_RevertWhen_aPayeeIsZero() public {
        Split memory s = splitOf(payee, stranger, 5000);
        s.accounts[1] = 0;
        refuse(abi.encodeWithSelector(SplitPayeeZero.selector, 1), s);
    }

    function test_RevertWhen_aPayeeIsTheContract() public {
        Split memory s = splitOf(payee, address(policies), 5000);
        refuse(abi.encodeWithSelector(AccountRefused.selector, s.accounts[1]), s);
    }

    function test_logsTheSplitUnderItsAccount() public {
        Split memory inner = splitOf(payee, stranger, 2500);
        (inner.start, inner.duration) = (7, 9);
        Split memory outer = splitOf(owner, operator, 1);
        outer.accounts[1] = keccak256(abi.encode("LICEN/split/v2", inner));
        assertEq(policies.splitAccount(inner), outer.accounts[1]);
        vm.expectEmit(address(policies));
        emit ILedger.SplitAnnounced(outer.accounts[1], inner);
        vm.prank(stranger);
        policies.announce(inner);
        vm.expectEmit(address(policies));
        emit ILedger.SplitAnnounced(policies.splitAccount(outer), outer);
        policies.announce(outer);
    }

    /// The label is part of what is hashed, so nothing else that is hashed here can be a split.
    function testFuzz_anAccountIsTaggedAsASplit(bytes32[] memory accounts, uint16[] memory bps, uint64 start)
        public
        view
    {
        Split memory s = Split(accounts, bps, start, 1);
        assertEq(policies.splitAccount(s), keccak256(abi.encode("LICEN/split/v2", s)));
        assertTrue(policies.splitAccount(s) != keccak256(abi.encode(s)));
    }
}
