// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

contract StartJobTest is Base {
    Policy private p;
    Job private j;

    function setUp() public override {
        super.setUp();
        p = makePolicy();
        register(p);
        j = open(p, makeRequest(3));
    }

    function pinned(uint256 count) private view returns (Verdict[] memory v, MemberSignature[] memory m) {
        return verdictsOf(started(j, 1), range(0, count));
    }

    function refuse(bytes memory err, Job memory job, Verdict[] memory v, MemberSignature[] memory m)
        private
    {
        vm.expectRevert(err);
        policies.startJob(job, compute, v, m);
    }

    function testFuzz_RevertWhen_anyBitOfTheJobDiffers(uint256 word, uint8 bit) public {
        (Verdict[] memory v, MemberSignature[] memory m) = pinned(2);
        bytes memory data = abi.encodeCall(policies.startJob, (j, compute, v, m));
        uint256 at_ = 4 + bound(word, 0, 33) * 32 + bit / 8;
        data[at_] = bytes1(uint8(data[at_]) ^ uint8(1 << (bit % 8)));
        (bool ok, bytes memory answer) = address(policies).call(data);
        assertFalse(ok);
        // Another jobId is another job, which is not there.
        bool isId = at_ < 4 + 32;
        assertEq(bytes4(answer), isId ? JobStateWrong.selector : JobMismatch.selector);
    }

    function test_RevertWhen_theJobIsNotGranted() public {
        (Verdict[] memory v, MemberSignature[] memory m) = pinned(2);
        Job memory s = start(j);
        refuse(
            abi.encodeWithSelector(JobStateWrong.selector, j.jobId, JobState.Running, JobState.Granted),
            s,
            v,
            m
        );
        refuse(
            abi.encodeWithSelector(JobStateWrong.selector, j.jobId, JobState.Running, JobState.Granted),
            j,
            v,
            m
        );
    }

    function test_RevertWhen_theStartDeadlineHasPassed() public {
        vm.warp(j.startDeadline + 1);
        (Verdict[] memory v, MemberSignature[] memory m) = pinned(2);
        refuse(abi.encodeWithSelector(DeadlinePassed.selector, j.startDeadline, j.startDeadline + 1), j, v, m);
        vm.warp(j.startDeadline);
        start(j);
    }

    function test_RevertWhen_theSignerIsZero() public {
        (Verdict[] memory v, MemberSignature[] memory m) = pinned(2);
        vm.expectRevert(abi.encodeWithSelector(SignerZero.selector, j.jobId));
        policies.startJob(j, address(0), v, m);
    }

    function test_RevertWhen_theRuntimeDataHashIsZero() public {
        (Verdict[] memory v, MemberSignature[] memory m) = pinned(2);
        v[0].runtimeDataHash = 0;
        refuse(abi.encodeWithSelector(RuntimeDataHashZero.selector, j.jobId), j, v, m);
    }

    function test_RevertWhen_verdictsAndSignaturesDoNotPair() public {
        (Verdict[] memory v, MemberSignature[] memory m) = pinned(2);
        refuse(abi.encodeWithSelector(VerdictCountWrong.selector, 2, 0), j, v, new MemberSignature[](0));
        refuse(abi.encodeWithSelector(VerdictCountWrong.selector, 0, 2), j, new Verdict[](0), m);
        refuse(
            abi.encodeWithSelector(VerdictCountWrong.selector, 0, 0),
            j,
            new Verdict[](0),
            new MemberSignature[](0)
        );
    }

    function test_RevertWhen_theAppraisalPolicyIsRevoked() public {
        (Verdict[] memory v, MemberSignature[] memory m) = pinned(2);
        custody.revokeAppraisalPolicy(appraisal);
        refuse(abi.encodeWithSelector(AppraisalPolicyNotLive.selector, appraisal), j, v, m);
    }

    function test_RevertWhen_theAppraisalPolicyDoesNotExist() public {
        Policy memory q = p;
        q.version = 2;
        q.appraisalPolicy = "none";
        vm.prank(owner);
        policies.updatePolicy(p, q);
        j = open(q, makeRequest(1));
        (Verdict[] memory v, MemberSignature[] memory m) = pinned(2);
        refuse(abi.encodeWithSelector(AppraisalPolicyNotLive.selector, bytes32("none")), j, v, m);
    }

    function test_RevertWhen_thePinnedSetDoesNotExist() public {
        Policy memory q = p;
        q.version = 2;
        q.setVersion = 2;
        vm.prank(owner);
        policies.updatePolicy(p, q);
        j = open(q, makeRequest(1));
        (Verdict[] memory v, MemberSignature[] memory m) = pinned(2);
        refuse(abi.encodeWithSelector(SetUnknown.selector, setId, 2), j, v, m);
    }

    function test_RevertWhen_fewerThanTSigned() public {
        (Verdict[] memory v, MemberSignature[] memory m) = pinned(1);
        refuse(abi.encodeWithSelector(MembersTooFew.selector, setId, 1, 2), j, v, m);
    }

    function test_RevertWhen_aMemberSignedTwice() public {
        (Verdict[] memory v, MemberSignature[] memory m) = pinned(2);
        m[1] = m[0];
        refuse(abi.encodeWithSelector(MembersNotAscending.selector, 0, 1), j, v, m);
    }

    function test_RevertWhen_membersAreOutOfOrder() public {
        (Verdict[] memory v, MemberSignature[] memory m) = pinned(2);
        (m[0], m[1]) = (m[1], m[0]);
        refuse(abi.encodeWithSelector(MembersNotAscending.selector, 0, 2), j, v, m);
    }

    function test_RevertWhen_theMemberIsBeyondTheSet() public {
        (Verdict[] memory v, MemberSignature[] memory m) = pinned(2);
        m[1].index = 3;
        refuse(abi.encodeWithSelector(MemberUnknown.selector, 3, 3), j, v, m);
        m[1].index = type(uint16).max;
        refuse(abi.encodeWithSelector(MemberUnknown.selector, type(uint16).max, 3), j, v, m);
    }

    function test_RevertWhen_aVerdictDiffers() public {
        for (uint256 i = 0; i < 5; ++i) {
            (Verdict[] memory v, MemberSignature[] memory m) = pinned(2);
            if (i == 0) v[1].jobId = "other";
            if (i == 1) v[1].attempt = 2;
            if (i == 2) v[1].signer = stranger;
            if (i == 3) v[1].runtimeDataHash = "other";
            if (i == 4) v[1].appraisalPolicy = "other";
            m[1] = signMember(memberKeys[1], 1, Digests.hash(v[1]));
            refuse(abi.encodeWithSelector(VerdictMismatch.selector, 1), j, v, m);
        }
    }

    function test_RevertWhen_aVerdictIsOfAnotherSetOrVersion() public {
        for (uint256 i = 0; i < 2; ++i) {
            (Verdict[] memory v, MemberSignature[] memory m) = pinned(3);
            if (i == 0) v[2].custodianSet = "other";
            if (i == 1) v[2].setVersion = 2;
            m[2] = signMember(memberKeys[2], 2, Digests.hash(v[2]));
            // Enough of the pinned set, but one verdict belongs nowhere.
            refuse(abi.encodeWithSelector(VerdictMismatch.selector, 2), j, v, m);
        }
    }

    function test_RevertWhen_aVerdictNamesAnotherProvider() public {
        j = openQuoted(p, makeRequest(1));
        (Verdict[] memory v, MemberSignature[] memory m) = pinned(2);
        v[1].providerId = "other";
        m[1] = signMember(memberKeys[1], 1, Digests.hash(v[1]));
        refuse(abi.encodeWithSelector(VerdictMismatch.selector, 1), j, v, m);
        start(j);
    }

    function test_RevertWhen_theLevelIsTooLow() public {
        Policy memory q = p;
        q.version = 2;
        q.requiredLevel = LEVEL_HARDWARE;
        vm.prank(owner);
        policies.updatePolicy(p, q);
        j = open(q, makeRequest(1));
        (Verdict[] memory v, MemberSignature[] memory m) = pinned(2);
        refuse(abi.encodeWithSelector(VerdictLevelTooLow.selector, LEVEL_SOFTWARE, LEVEL_HARDWARE), j, v, m);
        for (uint256 i = 0; i < 2; ++i) {
            v[i].level = LEVEL_HARDWARE;
            m[i] = signMember(memberKeys[i], uint16(i), Digests.hash(v[i]));
        }
        policies.startJob(j, compute, v, m);
    }

    function test_RevertWhen_theLevelIsUnknown() public {
        (Verdict[] memory v, MemberSignature[] memory m) = pinned(2);
        v[0].level = 3;
        refuse(abi.encodeWithSelector(LevelRefused.selector, 3, 31_337), j, v, m);
        v[0].level = 0;
        refuse(abi.encodeWithSelector(VerdictLevelTooLow.selector, 0, 1), j, v, m);
    }

    function test_RevertWhen_theLevelIsSoftwareOffTheLocalChain() public {
        (Verdict[] memory v, MemberSignature[] memory m) = pinned(2);
        vm.chainId(16_602);
        refuse(abi.encodeWithSelector(LevelRefused.selector, LEVEL_SOFTWARE, 16_602), j, v, m);
    }

    function test_RevertWhen_aVerdictHasExpired() public {
        (Verdict[] memory v, MemberSignature[] memory m) = pinned(2);
        vm.warp(v[0].expiresAt + 1);
        refuse(
            abi.encodeWithSelector(
                VerdictExpiryOutOfRange.selector,
                v[0].expiresAt,
                v[0].expiresAt + 1,
                uint256(v[0].expiresAt) + 1 + 15 minutes
            ),
            j,
            v,
            m
        );
        vm.warp(v[0].expiresAt);
        policies.startJob(j, compute, v, m);
    }

    function test_RevertWhen_aVerdictLivesTooLong() public {
        (Verdict[] memory v, MemberSignature[] memory m) = pinned(2);
        v[0].expiresAt = uint64(START + 15 minutes + 1);
        m[0] = signMember(memberKeys[0], 0, Digests.hash(v[0]));
        refuse(
            abi.encodeWithSelector(
                VerdictExpiryOutOfRange.selector, START + 15 minutes + 1, START, START + 15 minutes
            ),
            j,
            v,
            m
        );
        v[0].expiresAt = uint64(START + 15 minutes);
        m[0] = signMember(memberKeys[0], 0, Digests.hash(v[0]));
        policies.startJob(j, compute, v, m);
    }

    function test_RevertWhen_aSignatureIsNotTheMembers() public {
        (Verdict[] memory v, MemberSignature[] memory m) = pinned(2);
        m[1] = signMember(verifierKeys[0], 1, Digests.hash(v[1]));
        refuse(abi.encodeWithSelector(SignatureInvalid.selector, vm.addr(memberKeys[1])), j, v, m);
        m[1] = MemberSignature(1, 0, 0);
        refuse(abi.encodeWithSelector(SignatureInvalid.selector, vm.addr(memberKeys[1])), j, v, m);
    }

    function test_RevertWhen_aSignatureHasAHighS() public {
        (Verdict[] memory v, MemberSignature[] memory m) = pinned(2);
        // In compact form bit 255 is the parity, so a high s cannot even be written without changing it;
        // what fits below it and is above half the order is refused.
        m[1].vs = bytes32(uint256(0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a1));
        refuse(abi.encodeWithSelector(SignatureInvalid.selector, vm.addr(memberKeys[1])), j, v, m);
    }

    function withVerifiers(bytes32 set, uint32 version) private {
        Request memory r = makeRequest(2);
        r.verifierSet = set;
        r.verifierSetVersion = version;
        j = open(p, r);
    }

    function both(uint256 theirs) private view returns (Verdict[] memory v, MemberSignature[] memory m) {
        Job memory s = started(j, 1);
        v = new Verdict[](2 + theirs);
        m = new MemberSignature[](2 + theirs);
        for (uint256 i = 0; i < 2 + theirs; ++i) {
            v[i] = makeVerdict(s);
            if (i < 2) {
                m[i] = signMember(memberKeys[i], uint16(i), Digests.hash(v[i]));
            } else {
                v[i].custodianSet = verifierSetId;
                v[i].setVersion = 1;
                m[i] = signMember(verifierKeys[i - 2], uint16(i - 2), Digests.hash(v[i]));
            }
        }
    }

    function test_RevertWhen_theVerifiersAreMissing() public {
        withVerifiers(verifierSetId, 1);
        (Verdict[] memory v, MemberSignature[] memory m) = both(0);
        refuse(abi.encodeWithSelector(MembersTooFew.selector, verifierSetId, 0, 1), j, v, m);
    }

    function test_RevertWhen_onlyTheVerifiersSigned() public {
        withVerifiers(verifierSetId, 1);
        (Verdict[] memory v, MemberSignature[] memory m) = both(2);
        Verdict[] memory w = new Verdict[](2);
        MemberSignature[] memory n = new MemberSignature[](2);
        (w[0], w[1], n[0], n[1]) = (v[2], v[3], m[2], m[3]);
        refuse(abi.encodeWithSelector(MembersTooFew.selector, setId, 0, 2), j, w, n);
    }

    function test_RevertWhen_aThirdSetIsAdded() public {
        withVerifiers(verifierSetId, 1);
        (Verdict[] memory v, MemberSignature[] memory m) = both(2);
        v[3].custodianSet = "third";
        refuse(abi.encodeWithSelector(VerdictMismatch.selector, 3), j, v, m);
    }

    function test_RevertWhen_theVerifierSetDoesNotExist() public {
        withVerifiers("nowhere", 1);
        (Verdict[] memory v, MemberSignature[] memory m) = both(1);
        refuse(abi.encodeWithSelector(SetUnknown.selector, bytes32("nowhere"), 1), j, v, m);
    }

    function test_startsWhereTheVerifierSetIsThePinnedSet() public {
        withVerifiers(setId, 1);
        start(j);
    }

    function test_startsWhereBothSetsAgree() public {
        withVerifiers(verifierSetId, 1);
        (Verdict[] memory v, MemberSignature[] memory m) = both(1);
        policies.startJob(j, compute, v, m);
        assertState(started(j, 1), JobState.Running);
    }

    function test_pinsSignerAndKey() public {
        (Verdict[] memory v, MemberSignature[] memory m) = pinned(3);
        Job memory s = started(j, 1);
        vm.expectEmit(address(policies));
        emit IDataPolicy.JobStarted(j.jobId, 1, compute, runtimeDataHash(1), uint64(START) + j.runWindow);
        vm.prank(stranger);
        policies.startJob(j, compute, v, m);
        assertState(s, JobState.Running);
    }
}
