// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

contract MarkJobFailedTest is Base {
    function refuse(bytes memory err, Job memory s, FailureReport memory f) private {
        bytes memory signature = sign(computeKey, Digests.hash(f));
        vm.expectRevert(err);
        policies.markJobFailed(s, f, signature);
    }

    // ------------------------------------------------------------------------------------- a report

    function test_RevertWhen_theJobIsNotRunning() public {
        Job memory j = granted(address(0), 2);
        refuse(
            abi.encodeWithSelector(JobStateWrong.selector, j.jobId, JobState.Granted, JobState.Running),
            j,
            makeReport(j, Reason.DATASET_MISMATCH, 0)
        );
    }

    function test_RevertWhen_aFieldDiffers() public {
        Job memory s = running(address(0), 2, false);
        for (uint256 i = 0; i < 3; ++i) {
            FailureReport memory f = makeReport(s, Reason.DATASET_MISMATCH, 0);
            if (i == 0) f.jobId = "other";
            if (i == 1) f.attempt = 2;
            if (i == 2) f.runtimeDataHash = "other";
            refuse(
                abi.encodeWithSelector(ReportMismatch.selector, f.jobId, f.attempt, f.runtimeDataHash), s, f
            );
        }
    }

    function test_RevertWhen_theReasonIsNotComputes() public {
        Job memory s = running(address(0), 2, false);
        refuse(
            abi.encodeWithSelector(ReasonNotAllowed.selector, Reason.NONE), s, makeReport(s, Reason.NONE, 0)
        );
        refuse(
            abi.encodeWithSelector(ReasonNotAllowed.selector, Reason.OWNER_WITHDREW),
            s,
            makeReport(s, Reason.OWNER_WITHDREW, 0)
        );
    }

    function test_RevertWhen_theReasonDoesNotExist() public {
        Job memory s = running(address(0), 2, false);
        FailureReport memory f = makeReport(s, Reason.JOB_SPEC_INVALID, 0);
        bytes memory data = abi.encodeWithSelector(
            bytes4(
                keccak256(
                    "markJobFailed((bytes32,bytes32,address,bytes32,bytes32,bytes32,address,bytes32,address,address,uint128,uint8,uint64,uint32,uint128,bytes32,bytes32,uint16,bytes32,bytes32,bytes32,uint256,bytes32,uint32,bytes32,uint32,bytes32,uint8,uint32,uint64,uint64,uint32,address,bytes32),(bytes32,uint32,uint8,uint32,bytes32),bytes)"
                )
            ),
            s,
            f,
            sign(computeKey, Digests.hash(f))
        );
        data[4 + 34 * 32 + 3 * 32 - 1] = 0x09;
        (bool ok,) = address(policies).call(data);
        assertFalse(ok);
    }

    function test_RevertWhen_theSignerDidNotSignThis() public {
        Job memory s = running(address(0), 2, false);
        FailureReport memory f = makeReport(s, Reason.DATASET_MISMATCH, 0);
        bytes memory signature = sign(ownerKey, Digests.hash(f));
        vm.expectRevert(abi.encodeWithSelector(SignatureInvalid.selector, compute));
        policies.markJobFailed(s, f, signature);
        signature = sign(computeKey, Digests.hash(f));
        f.reasonCode = Reason.JOB_SPEC_INVALID;
        vm.expectRevert(abi.encodeWithSelector(SignatureInvalid.selector, compute));
        policies.markJobFailed(s, f, signature);
    }

    function test_RevertWhen_moreEpochsAreClaimedThanAsked() public {
        Job memory s = running(address(0), 2, true);
        refuse(
            abi.encodeWithSelector(EpochsOutOfRange.selector, 3, 2),
            s,
            makeReport(s, Reason.JOB_SPEC_INVALID, 3)
        );
    }

    function testFuzz_paysComputeForAnInvalidJobSpec(uint32 done) public {
        done = uint32(bound(done, 0, 5));
        Job memory s = running(address(0), 5, true);
        uint256 before = requester.balance;
        fail(s, Reason.JOB_SPEC_INVALID, done);
        assertEq(creditOf(computePayee, address(0)), uint256(COMPUTE_FEE) * done);
        assertEq(requester.balance - before, escrowOf(s) - uint256(COMPUTE_FEE) * done);
        assertEq(creditOf(payee, address(0)), 0);
    }

    function test_returnsEverything() public {
        Job memory s = running(address(0), 5, true);
        uint256 before = requester.balance;
        FailureReport memory f = makeReport(s, Reason.DATASET_MISMATCH, type(uint32).max);
        bytes memory signature = sign(computeKey, Digests.hash(f));
        vm.expectEmit(address(policies));
        emit IDataPolicy.JobFailed(s.jobId, Reason.DATASET_MISMATCH);
        vm.expectEmit(address(policies));
        emit ILedger.RefundIssued(s.jobId, escrowOf(s));
        vm.prank(stranger);
        policies.markJobFailed(s, f, signature);
        assertState(s, JobState.Failed);
        assertEq(requester.balance - before, escrowOf(s));
        assertEq(address(policies).balance, 0);
    }

    function test_returnsEverythingForEveryReasonButOne() public {
        Policy memory p = makePolicy();
        register(p);
        uint256 before = requester.balance;
        for (uint8 r = 1; r <= uint8(type(Reason).max); ++r) {
            if (Reason(r) == Reason.OWNER_WITHDREW || Reason(r) == Reason.JOB_SPEC_INVALID) continue;
            fail(start(openQuoted(p, makeRequest(1))), Reason(r), 1);
            assertEq(requester.balance, before);
        }
    }

    // --------------------------------------------------------------------------------------- silence

    function test_RevertWhen_aGrantedJobIsSilent() public {
        Job memory j = granted(address(0), 2);
        MemberSignature[] memory m = silencesOf(j, range(0, 2));
        vm.expectRevert(
            abi.encodeWithSelector(JobStateWrong.selector, j.jobId, JobState.Granted, JobState.Running)
        );
        policies.markJobFailed(j, m);
    }

    function test_RevertWhen_tooFewAreSilent() public {
        Job memory s = running(address(0), 2, false);
        MemberSignature[] memory m = silencesOf(s, range(0, 1));
        vm.expectRevert(abi.encodeWithSelector(MembersTooFew.selector, setId, 1, 2));
        policies.markJobFailed(s, m);
    }

    function test_RevertWhen_aMemberIsSilentTwice() public {
        Job memory s = running(address(0), 2, false);
        MemberSignature[] memory m = silencesOf(s, range(0, 2));
        m[1] = m[0];
        vm.expectRevert(abi.encodeWithSelector(MembersNotAscending.selector, 0, 1));
        policies.markJobFailed(s, m);
    }

    function test_RevertWhen_theSilenceIsOfAnotherAttempt() public {
        Job memory s = running(address(0), 2, false);
        Job memory other = copy(s);
        other.attempt = 2;
        MemberSignature[] memory m = silencesOf(other, range(0, 2));
        vm.expectRevert(abi.encodeWithSelector(SignatureInvalid.selector, vm.addr(memberKeys[0])));
        policies.markJobFailed(s, m);
    }

    function test_RevertWhen_theVerifiersAreSilent() public {
        Policy memory p = makePolicy();
        register(p);
        Request memory r = makeRequest(1);
        r.verifierSet = setId;
        r.verifierSetVersion = 1;
        Job memory s = start(open(p, r));
        memberKeys = verifierKeys;
        MemberSignature[] memory m = silencesOf(s, range(0, 2));
        vm.expectPartialRevert(SignatureInvalid.selector);
        policies.markJobFailed(s, m);
    }

    function test_returnsEverythingOfASilentJob() public {
        Job memory s = running(address(token), 2, true);
        MemberSignature[] memory m = silencesOf(s, range(1, 2));
        vm.expectEmit(address(policies));
        emit IDataPolicy.JobFailed(s.jobId, Reason.COMPUTE_TASK_FAILED);
        vm.prank(stranger);
        policies.markJobFailed(s, m);
        assertState(s, JobState.Failed);
        assertEq(creditOf(requester, address(token)), escrowOf(s));
    }

    /// max(t, n - t + 1) for every t of a set of five.
    function test_theSilenceQuorumOfEveryThreshold() public {
        uint256[5] memory needed = [uint256(5), 4, 3, 4, 5];
        Policy memory p = makePolicy();
        register(p);
        for (uint8 t = 1; t <= 5; ++t) {
            p = silenceOfFive(p, t, needed[t - 1]);
        }
    }

    function silenceOfFive(Policy memory p, uint8 t, uint256 needed) private returns (Policy memory q) {
        bytes32 id;
        (id, memberKeys) = makeSet(string.concat("five", vm.toString(t)), 5, t);
        q = makePolicy();
        q.version = t + 1;
        q.custodianSet = id;
        vm.prank(owner);
        policies.updatePolicy(p, q);
        Job memory s = startWith(open(q, makeRequest(1)), t);
        MemberSignature[] memory m = silencesOf(s, range(0, needed - 1));
        vm.expectRevert(abi.encodeWithSelector(MembersTooFew.selector, id, needed - 1, needed));
        policies.markJobFailed(s, m);
        policies.markJobFailed(s, silencesOf(s, range(0, needed)));
    }

    function startWith(Job memory j, uint256 members) private returns (Job memory s) {
        s = started(j, 1);
        (Verdict[] memory v, MemberSignature[] memory m) = verdictsOf(s, range(0, members));
        policies.startJob(j, compute, v, m);
    }

    // ------------------------------------------------------------------------------------- run slots

    function test_aRunComesBackThreeTimesFromRunning() public {
        Policy memory p = makePolicy();
        register(p);
        for (uint32 i = 1; i <= 5; ++i) {
            fail(start(open(p, makeRequest(1))), Reason.DATASET_MISMATCH, 0);
            (uint64 counter, uint32 runs, uint8 returned) = policies.runsOf(p.datasetUid, requester);
            assertEq(counter, i);
            assertEq(runs, i <= 3 ? 0 : i - 3);
            assertEq(returned, i <= 3 ? i : 3);
        }
    }
}
