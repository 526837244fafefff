// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

contract ConfirmTrainingCompleteTest is Base {
    function refuse(bytes memory err, Job memory s, ResultManifest memory m) private {
        bytes memory signature = sign(computeKey, Digests.hash(m));
        vm.expectRevert(err);
        policies.confirmTrainingComplete(s, m, signature);
    }

    function test_RevertWhen_theJobIsNotRunning() public {
        Job memory j = granted(address(0), 3);
        refuse(
            abi.encodeWithSelector(JobStateWrong.selector, j.jobId, JobState.Granted, JobState.Running),
            j,
            makeManifest(j, 3)
        );
        Job memory none = copy(j);
        none.jobId = "none";
        vm.expectRevert(
            abi.encodeWithSelector(JobStateWrong.selector, none.jobId, JobState.None, JobState.Running)
        );
        policies.confirmTrainingComplete(none, makeManifest(none, 3), "");
    }

    function test_RevertWhen_theRunDeadlineHasPassed() public {
        Job memory s = running(address(0), 3, false);
        vm.warp(s.runDeadline + 1);
        refuse(
            abi.encodeWithSelector(DeadlinePassed.selector, s.runDeadline, s.runDeadline + 1),
            s,
            makeManifest(s, 3)
        );
        vm.warp(s.runDeadline);
        confirm(s, 3);
    }

    function test_RevertWhen_aFieldDiffers() public {
        Job memory s = running(address(0), 3, false);
        for (uint256 i = 0; i < 3; ++i) {
            ResultManifest memory m = makeManifest(s, 3);
            if (i == 0) m.jobId = "other";
            if (i == 1) m.attempt = 2;
            if (i == 2) m.datasetRoot = "other";
            refuse(abi.encodeWithSelector(ManifestMismatch.selector, m.jobId, m.attempt, m.datasetRoot), s, m);
        }
    }

    function test_RevertWhen_theEpochsAreOutOfRange() public {
        Job memory s = running(address(0), 3, false);
        refuse(abi.encodeWithSelector(EpochsOutOfRange.selector, 0, 3), s, makeManifest(s, 0));
        refuse(abi.encodeWithSelector(EpochsOutOfRange.selector, 4, 3), s, makeManifest(s, 4));
    }

    function test_RevertWhen_theJobIsAnother() public {
        Job memory s = running(address(0), 3, false);
        Job memory other = copy(s);
        other.royaltyPerUnit -= 1;
        refuse(
            abi.encodeWithSelector(
                JobMismatch.selector,
                s.jobId,
                commitmentOf(keccak256(abi.encode(other))),
                commitmentOf(keccak256(abi.encode(s)))
            ),
            other,
            makeManifest(s, 3)
        );
    }

    function test_RevertWhen_aHashIsNotNamed() public {
        Job memory s = running(address(0), 3, false);
        for (uint256 i = 0; i < 5; ++i) {
            ResultManifest memory m = makeManifest(s, 3);
            if (i == 0) m.resultHash = 0;
            if (i == 1) m.attestationRef = 0;
            if (i == 2) m.baseModelRoot = 0;
            if (i == 3) m.adapterRoot = 0;
            if (i == 4) m.reportHash = 0;
            refuse(abi.encodeWithSelector(ManifestEmpty.selector), s, m);
        }
    }

    function test_RevertWhen_anUnreadFieldOfTheManifestIsDirty() public {
        Job memory s = running(address(0), 3, false);
        ResultManifest memory m = makeManifest(s, 3);
        bytes memory data = abi.encodeCall(IDataPolicy.confirmTrainingComplete, (s, m, new bytes(65)));
        // The highest byte of `samples`, word 5, behind the selector and the 34 words of the job.
        uint256 manifestAt = 4 + 34 * 32;
        data[manifestAt + 5 * 32] = 0x01;
        // Compute's key signs what lies there, dirt and all.
        bytes memory dirty = abi.encode(m);
        dirty[5 * 32] = 0x01;
        bytes32 structHash = keccak256(bytes.concat(Digests.MANIFEST_TYPEHASH, dirty));
        bytes memory signature = sign(computeKey, structHash);
        for (uint256 i = 0; i < 65; ++i) {
            data[4 + 34 * 32 + 15 * 32 + 2 * 32 + i] = signature[i];
        }
        (bool ok,) = address(policies).call(data);
        assertFalse(ok);
        // The same bytes without the dirt pass, so that nothing but the dirt was refused.
        data[manifestAt + 5 * 32] = 0x00;
        signature = sign(computeKey, Digests.hash(m));
        for (uint256 i = 0; i < 65; ++i) {
            data[4 + 34 * 32 + 15 * 32 + 2 * 32 + i] = signature[i];
        }
        (ok,) = address(policies).call(data);
        assertTrue(ok);
    }

    function test_RevertWhen_theSignerDidNotSignThis() public {
        Job memory s = running(address(0), 3, false);
        ResultManifest memory m = makeManifest(s, 2);
        bytes memory err = abi.encodeWithSelector(SignatureInvalid.selector, compute);
        bytes memory signature = sign(providerKey, Digests.hash(m));
        vm.expectRevert(err);
        policies.confirmTrainingComplete(s, m, signature);
        signature = sign(computeKey, Digests.hash(m));
        m.actualEpochs = 3;
        vm.expectRevert(err);
        policies.confirmTrainingComplete(s, m, signature);
        m.actualEpochs = 2;
        m.evalAfter += 1;
        vm.expectRevert(err);
        policies.confirmTrainingComplete(s, m, signature);
        m.evalAfter -= 1;
        signature[64] = bytes1(uint8(signature[64]) - 27);
        vm.expectRevert(err);
        policies.confirmTrainingComplete(s, m, signature);
    }

    function test_settlesEveryLine() public {
        Job memory s = running(address(0), 5, true);
        uint256 before = requester.balance;
        ResultManifest memory m = makeManifest(s, 2);
        bytes memory signature = sign(computeKey, Digests.hash(m));
        uint256 fee = 2 * uint256(ROYALTY) * FEE_BPS / 10_000;
        uint256 refund = 3 * (uint256(ROYALTY) + COMPUTE_FEE);
        vm.expectEmit(address(policies));
        emit IDataPolicy.JobCompleted(s.jobId, 2, m.resultHash, m.attestationRef);
        vm.expectEmit(address(policies));
        emit IDataPolicy.ResultRecorded(s.jobId, m);
        vm.expectEmit(address(policies));
        emit IDataPolicy.RoyaltySettled(s.jobId, 2 * ROYALTY);
        vm.expectEmit(address(policies));
        emit ILedger.Credited(s.payee, address(0), s.jobId, 2 * ROYALTY - fee);
        vm.expectEmit(address(policies));
        emit ILedger.Credited(policies.accountOf(treasury), address(0), s.jobId, fee);
        vm.expectEmit(address(policies));
        emit ILedger.Credited(s.computePayee, address(0), s.jobId, 2 * COMPUTE_FEE);
        vm.expectEmit(address(policies));
        emit ILedger.RefundIssued(s.jobId, refund);
        vm.prank(stranger);
        policies.confirmTrainingComplete(s, m, signature);
        assertCompleted(s, m);
        assertEq(creditOf(payee, address(0)), 2 * ROYALTY - fee);
        assertEq(creditOf(treasury, address(0)), fee);
        assertEq(creditOf(computePayee, address(0)), 2 * COMPUTE_FEE);
        assertEq(requester.balance - before, refund);
        assertEq(address(policies).balance, 2 * (uint256(ROYALTY) + COMPUTE_FEE));
        assertEq(runsUsed(), 1);
    }

    function test_creditsTheRefundOfATokenJob() public {
        Job memory s = running(address(token), 5, true);
        confirm(s, 1);
        assertEq(creditOf(requester, address(token)), 4 * (uint256(ROYALTY) + COMPUTE_FEE));
    }

    function test_acceptsACompactSignature() public {
        Job memory s = running(address(0), 3, false);
        ResultManifest memory m = makeManifest(s, 3);
        (uint8 v, bytes32 r, bytes32 z) = vm.sign(computeKey, digestOf(Digests.hash(m)));
        bytes32 vs = bytes32(uint256(z) | (uint256(v - 27) << 255));
        policies.confirmTrainingComplete(s, m, abi.encodePacked(r, vs));
    }

    function test_worksWhilePausedUpdatedExpiredAndRevoked() public {
        Policy memory p = makePolicy();
        p.policyExpiry = uint64(START + 10);
        register(p);
        Job memory s = start(open(p, makeRequest(3)));
        Policy memory q = p;
        vm.startPrank(owner);
        policies.pausePolicy(p);
        q = makePolicy();
        q.version = 2;
        policies.updatePolicy(p, q);
        vm.stopPrank();
        custody.revokeAppraisalPolicy(appraisal);
        vm.warp(START + 11);
        confirm(s, 3);
        assertCompleted(s, makeManifest(s, 3));
    }

    function test_RevertWhen_itWasSettled() public {
        Job memory s = running(address(0), 3, false);
        confirm(s, 3);
        refuse(
            abi.encodeWithSelector(JobStateWrong.selector, s.jobId, JobState.Completed, JobState.Running),
            s,
            makeManifest(s, 3)
        );
    }

    function testFuzz_partsAddUpToTheEscrow(uint128 royalty, uint32 epochs, uint32 actual, uint16 bps)
        public
    {
        epochs = uint32(bound(epochs, 1, type(uint32).max));
        actual = uint32(bound(actual, 1, epochs));
        policies = deploy(uint16(bound(bps, 0, 500)));
        Policy memory p = makePolicy();
        p.royaltyPerEpoch = royalty;
        p.maxEpochsPerRun = epochs;
        register(p);
        uint256 escrow = (uint256(royalty) + COMPUTE_FEE) * epochs;
        vm.deal(requester, escrow);
        Job memory s = start(openQuoted(p, makeRequest(epochs)));
        confirm(s, actual);
        assertEq(
            creditOf(payee, address(0)) + creditOf(treasury, address(0)) + creditOf(computePayee, address(0))
                + requester.balance,
            escrow
        );
        assertEq(creditOf(payee, address(0)) + creditOf(treasury, address(0)), uint256(royalty) * actual);
        assertEq(creditOf(computePayee, address(0)), uint256(COMPUTE_FEE) * actual);
    }
}
