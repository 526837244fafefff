// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import { Job, MemberSignature, Policy, Request, ResultManifest, Split, Verdict } from "../src/Types.sol";
import { Base } from "./utils/Base.sol";
import { Digests } from "./utils/Digests.sol";

/// What users pay, as whole transactions (isolate = true). Every struct is filled as a real one is:
/// full hashes, an owner, an operator, a named purpose. Written to snapshots/LICEN.json.
contract GasTest is Base {
    using Digests for *;

    string private constant GROUP = "LICEN";

    Policy private policy;
    Request private request;

    /// `snapshots/LICEN.json` prices the settlement itself. The protocol fee, where a deployment takes
    /// one, is one more credit and is priced apart (snapshots/LICEN-others.json).
    function setUp() public override {
        super.setUp();
        policies = deploy(0);
        vm.prank(requester);
        token.approve(address(policies), type(uint256).max);
        policy = makePolicy();
        request = makeRequest(3);
    }

    function test_registerDataset() public {
        vm.prank(owner);
        policies.registerDataset(policy);
        vm.snapshotGasLastCall(GROUP, "registerDataset");
    }

    function test_requestAccess_native() public {
        register(policy);
        open(policy, request);
        vm.snapshotGasLastCall(GROUP, "requestAccess_native_first");
        open(policy, request);
        vm.snapshotGasLastCall(GROUP, "requestAccess_native_repeat");
    }

    function test_requestAccess_erc20() public {
        policy.token = address(token);
        register(policy);
        open(policy, request);
        open(policy, request);
        vm.snapshotGasLastCall(GROUP, "requestAccess_erc20_repeat");
    }

    function test_startJob() public {
        (bytes32 single, uint256[] memory keys) = makeSet("single", 3, 1);
        policy.custodianSet = single;
        memberKeys = keys;
        register(policy);
        Job memory j = open(policy, request);
        Job memory s = started(j, 1);
        (Verdict[] memory v, MemberSignature[] memory m) = verdictsOf(s, range(1, 1));
        policies.startJob(j, compute, v, m);
        vm.snapshotGasLastCall(GROUP, "startJob_one_verdict");
        j = open(policy, request);
        s = started(j, 1);
        (v, m) = verdictsOf(s, range(1, 2));
        policies.startJob(j, compute, v, m);
        vm.snapshotGasLastCall(GROUP, "startJob_two_verdicts");
    }

    function test_confirm_native() public {
        register(policy);
        Job memory first = start(open(policy, request));
        Job memory second = start(open(policy, request));
        Job memory third = start(open(policy, request));
        confirm(first, 3);
        vm.snapshotGasLastCall(GROUP, "confirm_native_first");
        confirm(second, 3);
        vm.snapshotGasLastCall(GROUP, "confirm_native_repeat");
        confirm(third, 2);
        vm.snapshotGasLastCall("LICEN-others", "confirm_native_repeat_with_refund");
    }

    function test_confirm_native_withFee() public {
        policies = deploy(FEE_BPS);
        policy = makePolicy();
        register(policy);
        Job memory first = start(open(policy, request));
        Job memory second = start(open(policy, request));
        confirm(first, 3);
        vm.snapshotGasLastCall("LICEN-others", "confirm_native_first_with_fee");
        confirm(second, 3);
        vm.snapshotGasLastCall("LICEN-others", "confirm_native_repeat_with_fee");
    }

    /// A job from request to settlement: three transactions, two verdicts, no refund.
    function test_wholeJob_native() public {
        register(policy);
        vm.snapshotValue(GROUP, "wholeJob_native_first", wholeJob());
        vm.snapshotValue(GROUP, "wholeJob_native_repeat", wholeJob());
    }

    function wholeJob() private returns (uint256 gas) {
        (uint64 counter,,) = policies.runsOf(policy.datasetUid, requester);
        Job memory j = expectedJob(policy, request, requester, 0, counter + 1);
        vm.prank(requester);
        policies.requestAccess{ value: escrowOf(j) }(policy, request);
        gas += vm.lastCallGas().gasTotalUsed;
        Job memory s = started(j, 1);
        (Verdict[] memory v, MemberSignature[] memory m) = verdictsOf(s, range(0, 2));
        policies.startJob(j, compute, v, m);
        gas += vm.lastCallGas().gasTotalUsed;
        ResultManifest memory r = makeManifest(s, 3);
        bytes memory signature = sign(computeKey, r.hash());
        policies.confirmTrainingComplete(s, r, signature);
        gas += vm.lastCallGas().gasTotalUsed;
    }

    function test_withdraw() public {
        register(policy);
        confirm(start(open(policy, request)), 3);
        vm.deal(payee, 1);
        vm.prank(payee);
        policies.withdraw(payee, address(0));
        vm.snapshotGasLastCall("LICEN-others", "withdraw_native");
    }

    function test_distribute() public {
        Split memory s = splitOf(payee, stranger, 7000);
        policy.payee = policies.splitAccount(s);
        register(policy);
        confirm(start(open(policy, request)), 3);
        policies.distribute(s, address(0));
        vm.snapshotGasLastCall("LICEN-others", "distribute_two_payees_first");
        confirm(start(open(policy, request)), 3);
        policies.distribute(s, address(0));
        vm.snapshotGasLastCall("LICEN-others", "distribute_two_payees_repeat");
    }

    function test_expireJob() public {
        register(policy);
        Job memory j = open(policy, request);
        Job memory s = start(open(policy, request));
        vm.warp(j.startDeadline + 1);
        vm.prank(stranger);
        policies.expireJob(j);
        vm.snapshotGasLastCall(GROUP, "expireJob");
        vm.warp(s.runDeadline + 1);
        policies.expireJob(s);
        vm.snapshotGasLastCall("LICEN-others", "expireJob_running");
    }
}
