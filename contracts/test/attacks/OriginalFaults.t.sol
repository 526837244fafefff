// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../utils/Base.sol";

import { Receiver } from "../utils/Receivers.sol";

/// Every fault that was found in the original DataPolicy, attempted here.
contract OriginalFaultsTest is Base {
    function contractJob(Receiver.Kind kind, uint32 epochs) private returns (Receiver r, Job memory j) {
        r = new Receiver{ value: 10 ether }(policies, Receiver.Kind.Accept);
        Policy memory p = makePolicy();
        register(p);
        j = expectedJob(p, makeRequest(epochs), address(r), 0, 1);
        r.request(p, makeRequest(epochs), escrowOf(j));
        r.set(kind);
    }

    /// A requester that rejects coins made confirm revert, waited, and took everything back.
    function test_fault_a_requesterThatRejectsCannotTrainForFree() public {
        (Receiver r, Job memory j) = contractJob(Receiver.Kind.Reject, 3);
        Job memory s = start(j);
        confirm(s, 2);
        assertEq(creditOf(payee, address(0)), 2 * ROYALTY - 2 * uint256(ROYALTY) * FEE_BPS / 10_000);
        assertEq(creditOf(address(r), address(0)), ROYALTY);
        r.set(Receiver.Kind.Accept);
        policies.withdraw(address(r), address(0));
        assertEq(address(r).balance, 10 ether - 2 * ROYALTY);
    }

    /// An owner's account that rejects coins made every confirm revert.
    function test_fault_a_payeeThatRejectsBlocksNobody() public {
        payee = address(new Receiver(policies, Receiver.Kind.Reject));
        Job memory s = running(address(0), 3, true);
        uint256 before = requester.balance;
        confirm(s, 2);
        assertEq(requester.balance - before, uint256(ROYALTY) + COMPUTE_FEE);
    }

    /// Anybody could time a Running job out as soon as the session was over, and front-run confirm.
    function test_fault_b_noSecondBelongsToBothConfirmAndExpire() public {
        Job memory s = running(address(0), 3, false);
        vm.warp(s.runDeadline);
        vm.expectPartialRevert(DeadlineNotPassed.selector);
        policies.expireJob(s);
        uint256 snapshot = vm.snapshotState();
        confirm(s, 3);
        vm.revertToState(snapshot);
        vm.warp(s.runDeadline + 1);
        ResultManifest memory m = makeManifest(s, 3);
        bytes memory signature = sign(computeKey, Digests.hash(m));
        vm.expectPartialRevert(DeadlinePassed.selector);
        policies.confirmTrainingComplete(s, m, signature);
        policies.expireJob(s);
    }

    /// Whoever saw a root in the mempool could register it first, and its owner no more.
    function test_fault_c_aCopiedRootTakesNothingFromItsOwner() public {
        Policy memory theft = makePolicy();
        theft.owner = stranger;
        theft.payee = policies.accountOf(stranger);
        vm.expectPartialRevert(DatasetUidWrong.selector);
        vm.prank(stranger);
        policies.registerDataset(theft);
        theft.datasetUid = policies.datasetUid(stranger, theft.salt);
        register(theft);
        register(makePolicy());
        assertTrue(theft.datasetUid != makePolicy().datasetUid);
    }

    /// One lost backend key bricked every job: here strangers send every step.
    function test_fault_d_noStepNeedsAnAccountOfOurs() public {
        Policy memory p = makePolicy();
        vm.startPrank(stranger);
        policies.registerDataset(
            p, 0, uint64(START), sign(ownerKey, Digests.hashRegister(p, 0, uint64(START)))
        );
        vm.stopPrank();
        Job memory j = open(p, makeRequest(2));
        vm.startPrank(stranger);
        Job memory s = start(j);
        vm.stopPrank();
        vm.startPrank(makeAddr("another"));
        confirm(s, 1);
        policies.withdraw(payee, address(0));
    }

    /// Failed and refunded runs used the cap up.
    function test_fault_e_aRunThatFailedComesBack() public {
        Policy memory p = makePolicy();
        p.maxRunsPerRequester = 1;
        register(p);
        Job memory j = open(p, makeRequest(1));
        vm.warp(j.startDeadline + 1);
        policies.expireJob(j);
        fail(start(open(p, makeRequest(1))), Reason.KEY_RELEASE_FAILED, 0);
        Job memory s = start(open(p, makeRequest(1)));
        confirm(s, 1);
        vm.expectRevert(abi.encodeWithSelector(RunsUsedUp.selector, 1, 1));
        vm.prank(requester);
        policies.requestAccess{ value: ROYALTY }(p, makeRequest(1));
    }

    /// Native coin and one payee only.
    function test_fault_f_tokensAndManyPayees() public {
        Split memory split = splitOf(payee, stranger, 7500);
        Policy memory p = makePolicy();
        p.token = address(token);
        p.payee = policies.splitAccount(split);
        register(p);
        confirm(start(open(p, makeRequest(4))), 4);
        policies.distribute(split, address(token));
        policies.withdraw(stranger, address(token));
        uint256 net = 4 * uint256(ROYALTY) - 4 * uint256(ROYALTY) * FEE_BPS / 10_000;
        assertEq(token.balanceOf(stranger), net / 4);
    }

    /// Confirm accepted a job that had never started.
    function test_fault_g_aJobThatNeverStartedCannotBeConfirmed() public {
        Job memory j = granted(address(0), 2);
        ResultManifest memory m = makeManifest(j, 2);
        bytes memory signature = sign(computeKey, Digests.hash(m));
        vm.expectRevert(
            abi.encodeWithSelector(JobStateWrong.selector, j.jobId, JobState.Granted, JobState.Running)
        );
        policies.confirmTrainingComplete(j, m, signature);
        // Not even with the fields of a start made up.
        Job memory s = started(j, 1);
        m = makeManifest(s, 2);
        signature = sign(computeKey, Digests.hash(m));
        vm.expectRevert(
            abi.encodeWithSelector(JobStateWrong.selector, s.jobId, JobState.Granted, JobState.Running)
        );
        policies.confirmTrainingComplete(s, m, signature);
    }

    /// Any non-zero attestation passed: here the key that custodians appraised must sign it.
    function test_fault_h_anAttestationIsSignedByTheAppraisedKey() public {
        Job memory s = running(address(0), 2, false);
        ResultManifest memory m = makeManifest(s, 2);
        m.attestationRef = keccak256("a random uuid");
        bytes memory signature = sign(requesterKey, Digests.hash(m));
        vm.expectRevert(abi.encodeWithSelector(SignatureInvalid.selector, compute));
        policies.confirmTrainingComplete(s, m, signature);
    }

    /// A refund took a second transaction that somebody had to send.
    function test_fault_i_failureAndRefundAreOneTransaction() public {
        Job memory s = running(address(0), 2, false);
        uint256 before = requester.balance;
        fail(s, Reason.STORAGE_DOWNLOAD_FAILED, 0);
        assertEq(requester.balance - before, escrowOf(s));
        assertEq(address(policies).balance, 0);
    }

    /// Zero epochs were granted for nothing, and trained.
    function test_fault_j_zeroEpochsAreNoFreeRun() public {
        Policy memory p = makePolicy();
        register(p);
        vm.expectRevert(abi.encodeWithSelector(EpochsOutOfRange.selector, 0, 5));
        vm.prank(requester);
        policies.requestAccess(p, makeRequest(0));
        Job memory s = start(open(p, makeRequest(1)));
        ResultManifest memory m = makeManifest(s, 0);
        bytes memory signature = sign(computeKey, Digests.hash(m));
        vm.expectRevert(abi.encodeWithSelector(EpochsOutOfRange.selector, 0, 1));
        policies.confirmTrainingComplete(s, m, signature);
    }

    /// Actual epochs were always what was asked: here what was not trained is not paid.
    function test_fault_k_onlyTrainedEpochsArePaid() public {
        Job memory s = running(address(0), 5, false);
        uint256 before = requester.balance;
        confirm(s, 1);
        assertEq(requester.balance - before, 4 * ROYALTY);
    }
}
