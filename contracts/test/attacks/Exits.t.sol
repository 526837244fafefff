// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../utils/Base.sol";

import { Receiver } from "../utils/Receivers.sol";
import { BlacklistToken } from "../utils/Tokens.sol";

/// From every state the requester gets out alone in bounded time, whatever the others do. In each walk
/// everybody else has stopped, the dataset is paused, its policy has expired, the appraisal policy is
/// revoked, and the requester is the only one who still sends transactions.
contract ExitsTest is Base {
    function abandon(Policy memory p) private {
        vm.prank(owner);
        policies.pausePolicy(p);
        custody.revokeAppraisalPolicy(appraisal);
        vm.warp(START + 20 minutes);
        assertGt(block.timestamp, p.policyExpiry);
    }

    function doomed(address tokenAddress) private returns (Policy memory p) {
        p = makePolicy();
        p.token = tokenAddress;
        p.policyExpiry = uint64(START + 1 minutes);
        register(p);
    }

    function test_exit_cancelWhileGranted() public {
        Policy memory p = doomed(address(0));
        uint256 before = requester.balance;
        Job memory j = open(p, makeRequest(5));
        abandon(p);
        vm.prank(requester);
        policies.cancelJob(j);
        assertEq(requester.balance, before);
    }

    function test_exit_expireAfterTheStartDeadline() public {
        Policy memory p = doomed(address(0));
        uint256 before = requester.balance;
        Job memory j = open(p, makeRequest(5));
        abandon(p);
        vm.warp(j.startDeadline + 1);
        vm.prank(requester);
        policies.expireJob(j);
        assertEq(requester.balance, before);
    }

    function test_exit_expireAfterTheRunDeadline() public {
        Policy memory p = doomed(address(0));
        uint256 before = requester.balance;
        Job memory s = start(open(p, makeRequest(5)));
        abandon(p);
        vm.warp(s.runDeadline + 1);
        vm.prank(requester);
        policies.expireJob(s);
        assertEq(requester.balance, before);
    }

    function test_exit_expireAfterARestart() public {
        Policy memory p = doomed(address(0));
        uint256 before = requester.balance;
        Job memory s = start(open(p, makeRequest(5)));
        Job memory r = started(s, 2);
        r.runDeadline = s.runDeadline;
        (Verdict[] memory v, MemberSignature[] memory m) = verdictsOf(r, range(0, 2));
        policies.restartJob(s, compute, v, m);
        abandon(p);
        vm.warp(r.runDeadline + 1);
        vm.prank(requester);
        policies.expireJob(r);
        assertEq(requester.balance, before);
    }

    function test_exit_confirmWithAManifestTheRequesterHolds() public {
        Policy memory p = doomed(address(0));
        Job memory s = start(open(p, makeRequest(5)));
        ResultManifest memory m = makeManifest(s, 2);
        bytes memory signature = sign(computeKey, Digests.hash(m));
        abandon(p);
        uint256 before = requester.balance;
        vm.prank(requester);
        policies.confirmTrainingComplete(s, m, signature);
        assertEq(requester.balance - before, 3 * ROYALTY);
    }

    function test_exit_failWithAReportTheRequesterHolds() public {
        Policy memory p = doomed(address(0));
        uint256 before = requester.balance;
        Job memory s = start(open(p, makeRequest(5)));
        FailureReport memory f = makeReport(s, Reason.DATASET_MISMATCH, 0);
        bytes memory signature = sign(computeKey, Digests.hash(f));
        abandon(p);
        vm.prank(requester);
        policies.markJobFailed(s, f, signature);
        assertEq(requester.balance, before);
    }

    function test_exit_failWithSilencesTheRequesterCollected() public {
        Policy memory p = doomed(address(0));
        uint256 before = requester.balance;
        Job memory s = start(open(p, makeRequest(5)));
        MemberSignature[] memory m = silencesOf(s, range(0, 2));
        abandon(p);
        vm.prank(requester);
        policies.markJobFailed(s, m);
        assertEq(requester.balance, before);
    }

    function test_exit_withATokenThatListsTheRequester() public {
        BlacklistToken b = new BlacklistToken();
        b.mint(requester, 1 ether);
        vm.prank(requester);
        b.approve(address(policies), 1 ether);
        Policy memory p = doomed(address(b));
        Job memory j = open(p, makeRequest(5));
        abandon(p);
        b.list(requester, true);
        vm.prank(requester);
        policies.cancelJob(j);
        assertEq(creditOf(requester, address(b)), 5 * ROYALTY);
        b.list(requester, false);
        policies.withdraw(requester, address(b));
        assertEq(b.balanceOf(requester), 1 ether);
    }

    function test_exit_withATokenThatListsTheContract() public {
        BlacklistToken b = new BlacklistToken();
        b.mint(requester, 1 ether);
        vm.prank(requester);
        b.approve(address(policies), 1 ether);
        Job memory s = start(open(doomed(address(b)), makeRequest(5)));
        b.list(address(policies), true);
        confirm(s, 2);
        assertEq(creditOf(requester, address(b)), 3 * ROYALTY);
    }

    function test_exit_boundedByTheConstants() public {
        Policy memory p = makePolicy();
        p.startWindow = 7 days;
        p.runWindow = 30 days;
        register(p);
        Job memory j = open(p, makeRequest(1));
        vm.warp(j.startDeadline);
        Job memory s = started(j, 1);
        (Verdict[] memory v, MemberSignature[] memory m) = verdictsOf(s, range(0, 2));
        policies.startJob(j, compute, v, m);
        assertEq(s.runDeadline, START + 37 days);
        vm.warp(START + 37 days + 1);
        vm.prank(requester);
        policies.expireJob(s);
    }
}
