// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

contract RestartJobTest is Base {
    Policy private p;
    Job private s;

    function setUp() public override {
        super.setUp();
        p = makePolicy();
        register(p);
        s = start(open(p, makeRequest(3)));
    }

    function restarted() private view returns (Job memory r) {
        r = started(s, s.attempt + 1);
        r.runDeadline = s.runDeadline;
    }

    function restart() private {
        Job memory r = restarted();
        (Verdict[] memory v, MemberSignature[] memory m) = verdictsOf(r, range(1, 2));
        policies.restartJob(s, compute, v, m);
        s = r;
    }

    function test_RevertWhen_theJobIsNotRunning() public {
        Job memory j = open(p, makeRequest(1));
        (Verdict[] memory v, MemberSignature[] memory m) = verdictsOf(restarted(), range(0, 2));
        vm.expectRevert(
            abi.encodeWithSelector(JobStateWrong.selector, j.jobId, JobState.Granted, JobState.Running)
        );
        policies.restartJob(j, compute, v, m);
        s.epochs += 1;
        vm.expectPartialRevert(JobMismatch.selector);
        policies.restartJob(s, compute, v, m);
    }

    function test_RevertWhen_theRunDeadlineHasPassed() public {
        vm.warp(s.runDeadline + 1);
        (Verdict[] memory v, MemberSignature[] memory m) = verdictsOf(restarted(), range(0, 2));
        vm.expectRevert(abi.encodeWithSelector(DeadlinePassed.selector, s.runDeadline, s.runDeadline + 1));
        policies.restartJob(s, compute, v, m);
        vm.warp(s.runDeadline);
        restart();
    }

    function test_RevertWhen_threeAttemptsWereMade() public {
        restart();
        restart();
        (Verdict[] memory v, MemberSignature[] memory m) = verdictsOf(restarted(), range(0, 2));
        vm.expectRevert(abi.encodeWithSelector(AttemptsUsedUp.selector, 3, 3));
        policies.restartJob(s, compute, v, m);
    }

    function test_RevertWhen_fewerThanTheSilenceQuorumSigned() public {
        // t = 1 of 3: one verdict starts, but three must agree that an attempt is dead.
        (bytes32 id, uint256[] memory keys) = makeSet("wide", 3, 1);
        Policy memory q = p;
        q.version = 2;
        q.custodianSet = id;
        vm.prank(owner);
        policies.updatePolicy(p, q);
        memberKeys = keys;
        s = start(open(q, makeRequest(1)));
        (Verdict[] memory v, MemberSignature[] memory m) = verdictsOf(restarted(), range(0, 2));
        vm.expectRevert(abi.encodeWithSelector(MembersTooFew.selector, id, 2, 3));
        policies.restartJob(s, compute, v, m);
        (v, m) = verdictsOf(restarted(), range(0, 3));
        policies.restartJob(s, compute, v, m);
    }

    function test_RevertWhen_fewerThanTSigned() public {
        (Verdict[] memory v, MemberSignature[] memory m) = verdictsOf(restarted(), range(0, 1));
        vm.expectRevert(abi.encodeWithSelector(MembersTooFew.selector, setId, 1, 2));
        policies.restartJob(s, compute, v, m);
    }

    function test_RevertWhen_verdictsAreOfTheAttemptBefore() public {
        (Verdict[] memory v, MemberSignature[] memory m) = verdictsOf(s, range(0, 2));
        vm.expectRevert(abi.encodeWithSelector(VerdictMismatch.selector, 0));
        policies.restartJob(s, compute, v, m);
    }

    function test_needsTheVerifiersToo() public {
        Request memory q = makeRequest(1);
        q.verifierSet = verifierSetId;
        q.verifierSetVersion = 1;
        Job memory j = open(p, q);
        (Verdict[] memory v, MemberSignature[] memory m) = withVerifier(started(j, 1));
        policies.startJob(j, compute, v, m);
        s = started(j, 1);
        (v, m) = verdictsOf(restarted(), range(0, 2));
        vm.expectRevert(abi.encodeWithSelector(MembersTooFew.selector, verifierSetId, 0, 1));
        policies.restartJob(s, compute, v, m);
        // One of two verifiers suffices: the silence quorum is asked of the pinned set only.
        (v, m) = withVerifier(restarted());
        policies.restartJob(s, compute, v, m);
        assertState(restarted(), JobState.Running);
    }

    function withVerifier(Job memory r)
        private
        view
        returns (Verdict[] memory v, MemberSignature[] memory m)
    {
        v = new Verdict[](3);
        m = new MemberSignature[](3);
        for (uint256 i = 0; i < 3; ++i) {
            v[i] = makeVerdict(r);
            if (i == 2) {
                v[i].custodianSet = verifierSetId;
                m[i] = signMember(verifierKeys[1], 1, Digests.hash(v[i]));
            } else {
                m[i] = signMember(memberKeys[i], uint16(i), Digests.hash(v[i]));
            }
        }
    }

    function test_pinsTheNewKeyAndMovesNoDeadline() public {
        vm.warp(START + 1 hours);
        Job memory r = restarted();
        (Verdict[] memory v, MemberSignature[] memory m) = verdictsOf(r, range(0, 2));
        vm.expectEmit(address(policies));
        emit IDataPolicy.JobStarted(s.jobId, 2, compute, runtimeDataHash(2), s.runDeadline);
        policies.restartJob(s, compute, v, m);
        assertState(r, JobState.Running);
        assertEq(r.runDeadline, s.runDeadline);
    }

    function test_makesStatementsOfTheAttemptBeforeWorthless() public {
        Job memory first = s;
        ResultManifest memory m = makeManifest(first, 3);
        bytes memory signature = sign(computeKey, Digests.hash(m));
        restart();
        vm.expectPartialRevert(JobMismatch.selector);
        policies.confirmTrainingComplete(first, m, signature);
        vm.expectRevert(abi.encodeWithSelector(ManifestMismatch.selector, s.jobId, 1, s.datasetRoot));
        policies.confirmTrainingComplete(s, m, signature);
        confirm(s, 3);
    }
}
