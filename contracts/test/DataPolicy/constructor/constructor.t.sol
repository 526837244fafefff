// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

contract ConstructorTest is Base {
    function make(address c, address l, address f, uint16 bps) private returns (IDataPolicy) {
        bytes memory code =
            abi.encodePacked(vm.getCode("DataPolicy.sol:DataPolicy"), abi.encode(c, l, f, bps));
        address out;
        assembly {
            out := create(0, add(code, 0x20), mload(code))
            if iszero(out) {
                returndatacopy(0, 0, returndatasize())
                revert(0, returndatasize())
            }
        }
        return IDataPolicy(out);
    }

    function attempt(address c, address l, address f, uint16 bps) external returns (IDataPolicy) {
        return make(c, l, f, bps);
    }

    function test_RevertWhen_custodyIsZero() public {
        vm.expectRevert(abi.encodeWithSelector(CustodyZero.selector, address(0)));
        this.attempt(address(0), address(0), treasury, 0);
    }

    function test_RevertWhen_licenseIsNotZero() public {
        vm.expectRevert(abi.encodeWithSelector(FeatureNotBuilt.selector, stranger));
        this.attempt(address(custody), stranger, treasury, 0);
    }

    function test_RevertWhen_theFeeIsAboveTheCap() public {
        vm.expectRevert(abi.encodeWithSelector(FeeTooHigh.selector, 501, 500));
        this.attempt(address(custody), address(0), treasury, 501);
    }

    function test_RevertWhen_thereIsAFeeAndNoRecipient() public {
        vm.expectRevert(abi.encodeWithSelector(FeeRecipientZero.selector, 1));
        this.attempt(address(custody), address(0), address(0), 1);
    }

    function attemptToPayItself() external returns (IDataPolicy) {
        // Where the next contract of this one will stand.
        address made = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        return make(address(custody), address(0), made, 100);
    }

    function test_RevertWhen_theFeeGoesToTheContractItself() public {
        vm.expectPartialRevert(AccountRefused.selector);
        this.attemptToPayItself();
    }

    function test_keepsWhatItWasGiven() public {
        IDataPolicy made = make(address(custody), address(0), treasury, 500);
        assertEq(address(made.custody()), address(custody));
        assertEq(made.license(), address(0));
        assertEq(made.feeRecipient(), treasury);
        assertEq(made.feeBps(), 500);
        assertEq(made.domainSeparator(), Digests.domain(address(made)));
    }
}
