// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

contract StrikeTest is Base {
    function test_countsUnderWhoeverReports() public {
        vm.startPrank(stranger);
        custody.strike(providerId);
        vm.expectEmit(address(custody));
        emit CustodyEvents.ProviderStruck(stranger, providerId, 2);
        custody.strike(providerId);
        vm.stopPrank();
        assertEq(custody.strikes(stranger, providerId), 2);
        assertEq(custody.strikes(address(policies), providerId), 0);
    }
}
