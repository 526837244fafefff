// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

import { FalseToken, FeeToken, NoReturnToken } from "../../utils/Tokens.sol";

contract RequestAccessTest is Base {
    Policy private p;

    function setUp() public override {
        super.setUp();
        p = makePolicy();
        register(p);
    }

    function refuse(bytes memory err, Policy memory q, Request memory r, uint256 value) private {
        vm.expectRevert(err);
        vm.prank(requester);
        policies.requestAccess{ value: value }(q, r);
    }

    function refuseFull(
        bytes memory err,
        Policy memory q,
        Request memory r,
        SignedQuote memory quote,
        Admission memory admission
    ) private {
        vm.expectRevert(err);
        vm.prank(requester);
        policies.requestAccess{ value: 1 ether }(q, r, quote, admission);
    }

    // ---------------------------------------------------------------------------------- the policy

    function test_RevertWhen_theUidIsWrong() public {
        Policy memory q = p;
        q.owner = stranger;
        refuse(
            abi.encodeWithSelector(
                DatasetUidWrong.selector, q.datasetUid, policies.datasetUid(stranger, q.salt)
            ),
            q,
            makeRequest(1),
            ROYALTY
        );
    }

    function test_RevertWhen_theDatasetDoesNotExist() public {
        Policy memory q = p;
        q.salt = "none";
        q.datasetUid = policies.datasetUid(owner, q.salt);
        refuse(abi.encodeWithSelector(DatasetUnknown.selector, q.datasetUid), q, makeRequest(1), ROYALTY);
    }

    function test_RevertWhen_thePolicyIsStale() public {
        Policy memory q = p;
        q.version = 2;
        vm.prank(owner);
        policies.updatePolicy(p, q);
        (bytes32 current,) = policies.datasetState(p.datasetUid);
        bytes32 given = bytes32((uint256(keccak256(abi.encode(p))) >> 8) << 8);
        refuse(
            abi.encodeWithSelector(PolicyStale.selector, p.datasetUid, given, current),
            p,
            makeRequest(1),
            ROYALTY
        );
        open(q, makeRequest(1));
    }

    function testFuzz_RevertWhen_anyFieldIsTampered(uint256 word, uint8 bit) public {
        // Words 0-13 and 15-23 of the policy, as the caller could write them; 14 is an offset.
        word = bound(word, 0, 22);
        if (word >= 14) ++word;
        bytes memory data = abi.encodeWithSignature(
            "requestAccess((bytes32,bytes32,address,bytes32,uint64,bytes32,bytes32,address,uint128,uint32,uint32,uint32,uint32,uint64,bytes32[],bytes32,bytes32,bytes32,bytes32,bytes32,uint32,bytes32,uint8,address),(bytes32,uint32,uint64,bytes32,bytes32,bytes32,bytes32,bytes32,uint32,uint256))",
            p,
            makeRequest(1)
        );
        uint256 at_ = 4 + 11 * 32 + word * 32 + (bit / 8) % 32;
        data[at_] = bytes1(uint8(data[at_]) ^ uint8(1 << (bit % 8)));
        vm.prank(requester);
        (bool ok,) = address(policies).call{ value: ROYALTY }(data);
        assertFalse(ok);
    }

    function test_RevertWhen_thePolicyHasExpired() public {
        Policy memory q = p;
        q.version = 2;
        q.policyExpiry = uint64(START + 100);
        vm.prank(owner);
        policies.updatePolicy(p, q);
        vm.warp(START + 100);
        open(q, makeRequest(1));
        vm.warp(START + 101);
        refuse(
            abi.encodeWithSelector(PolicyExpired.selector, START + 100, START + 101),
            q,
            makeRequest(1),
            ROYALTY
        );
    }

    // --------------------------------------------------------------------------------- the request

    function test_RevertWhen_epochsAreOutOfRange() public {
        refuse(abi.encodeWithSelector(EpochsOutOfRange.selector, 0, 5), p, makeRequest(0), 0);
        refuse(abi.encodeWithSelector(EpochsOutOfRange.selector, 6, 5), p, makeRequest(6), 6 * ROYALTY);
    }

    function test_RevertWhen_unitsAreNotTheEpochs() public {
        Request memory r = makeRequest(2);
        r.units = 3;
        refuse(abi.encodeWithSelector(UnitsMismatch.selector, 3, 2), p, r, 3 * ROYALTY);
        r.units = 1;
        refuse(abi.encodeWithSelector(UnitsMismatch.selector, 1, 2), p, r, ROYALTY);
        r.units = type(uint64).max;
        refuse(abi.encodeWithSelector(UnitsMismatch.selector, type(uint64).max, 2), p, r, 2 * ROYALTY);
        // Nor by its low 32 bits.
        r.units = (1 << 32) + 2;
        refuse(abi.encodeWithSelector(UnitsMismatch.selector, (1 << 32) + 2, 2), p, r, 2 * ROYALTY);
    }

    function test_RevertWhen_theTermsAreOthers() public {
        Request memory r = makeRequest(1);
        r.termsHash = "other";
        refuse(
            abi.encodeWithSelector(TermsNotAccepted.selector, bytes32("other"), p.termsHash), p, r, ROYALTY
        );
    }

    function test_RevertWhen_aLicenseIsNamed() public {
        Request memory r = makeRequest(1);
        r.licenseId = 1;
        refuse(abi.encodeWithSelector(LicenseNotBuilt.selector, 1), p, r, ROYALTY);
    }

    function test_RevertWhen_thePurposeIsNotAllowed() public {
        Request memory r = makeRequest(1);
        r.purposeId = keccak256("COMMERCIAL");
        refuse(abi.encodeWithSelector(PurposeNotAllowed.selector, r.purposeId), p, r, ROYALTY);
    }

    function test_RevertWhen_theRunsAreUsedUp() public {
        for (uint256 i = 0; i < 10; ++i) {
            open(p, makeRequest(1));
        }
        refuse(abi.encodeWithSelector(RunsUsedUp.selector, 10, 10), p, makeRequest(1), ROYALTY);
        // A new version does not start the count anew.
        Policy memory q = p;
        q.version = 2;
        vm.prank(owner);
        policies.updatePolicy(p, q);
        refuse(abi.encodeWithSelector(RunsUsedUp.selector, 10, 10), q, makeRequest(1), ROYALTY);
    }

    // ------------------------------------------------------------------------------------ the money

    function test_RevertWhen_theNativeAmountIsNotExact() public {
        refuse(
            abi.encodeWithSelector(ValueWrong.selector, 2 * ROYALTY, 2 * ROYALTY - 1),
            p,
            makeRequest(2),
            2 * ROYALTY - 1
        );
        refuse(
            abi.encodeWithSelector(ValueWrong.selector, 2 * ROYALTY, 2 * ROYALTY + 1),
            p,
            makeRequest(2),
            2 * ROYALTY + 1
        );
    }

    function withToken(address t) private returns (Policy memory q) {
        q = p;
        q.version = 2;
        q.token = t;
        vm.prank(owner);
        policies.updatePolicy(p, q);
    }

    function test_RevertWhen_nativeIsSentWithAToken() public {
        Policy memory q = withToken(address(token));
        refuse(abi.encodeWithSelector(ValueWrong.selector, 0, 1), q, makeRequest(1), 1);
    }

    function test_RevertWhen_theTokenTakesAFee() public {
        FeeToken t = new FeeToken();
        t.mint(requester, 1 ether);
        vm.prank(requester);
        t.approve(address(policies), 1 ether);
        Policy memory q = withToken(address(t));
        refuse(
            abi.encodeWithSelector(TokenAmountWrong.selector, address(t), ROYALTY, ROYALTY - ROYALTY / 100),
            q,
            makeRequest(1),
            0
        );
    }

    function test_RevertWhen_theTokenRefuses() public {
        FalseToken t = new FalseToken();
        t.mint(requester, 1 ether);
        t.refuse(true);
        Policy memory q = withToken(address(t));
        bytes memory err =
            abi.encodeWithSelector(TransferFailed.selector, address(t), address(policies), ROYALTY);
        refuse(err, q, makeRequest(1), 0);
        // Nothing allowed, so the token itself reverts.
        t.refuse(false);
        refuse(err, q, makeRequest(1), 0);
    }

    function test_RevertWhen_theTokenHasNoCode() public {
        Policy memory q = withToken(makeAddr("nothing"));
        vm.expectRevert();
        vm.prank(requester);
        policies.requestAccess(q, makeRequest(1));
    }

    function test_takesATokenThatReturnsNothing() public {
        NoReturnToken t = new NoReturnToken();
        t.mint(requester, 1 ether);
        vm.prank(requester);
        t.approve(address(policies), 1 ether);
        Job memory j = open(withToken(address(t)), makeRequest(3));
        assertEq(t.balanceOf(address(policies)), 3 * ROYALTY);
        vm.startPrank(requester);
        policies.cancelJob(j);
        policies.withdraw(requester, address(t));
        assertEq(t.balanceOf(requester), 1 ether);
    }

    // ---------------------------------------------------------------------------------- a provider

    function named() private view returns (Request memory r) {
        r = makeRequest(2);
        r.providerId = providerId;
    }

    function test_RevertWhen_thereIsNoQuote() public {
        refuse(abi.encodeWithSelector(QuoteMissing.selector, providerId), p, named(), 1 ether);
        refuseFull(
            abi.encodeWithSelector(QuoteMissing.selector, providerId), p, named(), noQuote(), noAdmission()
        );
    }

    /// One comparison of the whole quote: each field of it, changed by the provider itself.
    function test_RevertWhen_theQuoteIsForSomethingElse() public {
        for (uint256 i = 0; i < 7; ++i) {
            SignedQuote memory quote = makeQuote(p, named());
            bytes32 jobId = quote.quote.jobId;
            if (i == 0) quote.quote.providerId = "other";
            if (i == 1) quote.quote.jobId = "other";
            if (i == 2) quote.quote.policyHash = "other";
            if (i == 3) quote.quote.licenseId = 1;
            if (i == 4) quote.quote.token = address(token);
            if (i == 5) quote.quote.jobSpecHash = "other";
            if (i == 6) quote.quote.epochs += 1;
            quote.signature = sign(providerKey, Digests.hash(quote.quote));
            refuseFull(
                abi.encodeWithSelector(QuoteMismatch.selector, quote.quote.jobId, jobId),
                p,
                named(),
                quote,
                noAdmission()
            );
        }
    }

    function test_RevertWhen_theProviderIsPaidAtTheContract() public {
        custody.updateProvider(
            providerId, providerSigner, policies.accountOf(address(policies)), "CH", new bytes32[](0)
        );
        refuseFull(
            abi.encodeWithSelector(AccountRefused.selector, policies.accountOf(address(policies))),
            p,
            named(),
            makeQuote(p, named()),
            noAdmission()
        );
    }

    function test_RevertWhen_theQuoteHasExpired() public {
        SignedQuote memory quote = makeQuote(p, named());
        vm.warp(quote.quote.expiresAt + 1);
        refuseFull(
            abi.encodeWithSelector(QuoteExpired.selector, quote.quote.expiresAt, quote.quote.expiresAt + 1),
            p,
            named(),
            quote,
            noAdmission()
        );
    }

    function test_RevertWhen_theProviderDoesNotExist() public {
        Request memory r = named();
        r.providerId = "nobody";
        SignedQuote memory quote = makeQuote(p, r);
        quote.quote.providerId = "nobody";
        quote.signature = sign(providerKey, Digests.hash(quote.quote));
        refuseFull(
            abi.encodeWithSelector(ProviderUnknown.selector, bytes32("nobody")), p, r, quote, noAdmission()
        );
    }

    function test_RevertWhen_somebodyElseSignedTheQuote() public {
        SignedQuote memory quote = makeQuote(p, named());
        quote.signature = sign(ownerKey, Digests.hash(quote.quote));
        refuseFull(
            abi.encodeWithSelector(SignatureInvalid.selector, providerSigner),
            p,
            named(),
            quote,
            noAdmission()
        );
        quote = makeQuote(p, named());
        quote.quote.computeFeePerEpoch -= 1;
        refuseFull(
            abi.encodeWithSelector(SignatureInvalid.selector, providerSigner),
            p,
            named(),
            quote,
            noAdmission()
        );
    }

    function test_locksBothLines() public {
        Job memory j = openQuoted(p, makeRequest(2));
        assertState(j, JobState.Granted);
        assertEq(address(policies).balance, 2 * (uint256(ROYALTY) + COMPUTE_FEE));
        assertEq(j.computePayee, policies.accountOf(computePayee));
    }

    function test_RevertWhen_thereIsAQuoteAndNoProvider() public {
        SignedQuote memory quote = makeQuote(p, makeRequest(1));
        refuseFull(
            abi.encodeWithSelector(QuoteUnexpected.selector, providerId),
            p,
            makeRequest(1),
            quote,
            noAdmission()
        );
        quote = noQuote();
        quote.quote.computeFeePerEpoch = 1;
        refuseFull(
            abi.encodeWithSelector(QuoteUnexpected.selector, bytes32(0)),
            p,
            makeRequest(1),
            quote,
            noAdmission()
        );
    }

    // ---------------------------------------------------------------------------------- admission

    function leafOf(address who) private pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(who))));
    }

    function pair(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? keccak256(abi.encode(a, b)) : keccak256(abi.encode(b, a));
    }

    function closed() private returns (Policy memory q, Admission memory a) {
        bytes32 other = pair(leafOf(stranger), leafOf(operator));
        q = p;
        q.version = 2;
        q.requestersRoot = pair(leafOf(requester), other);
        vm.prank(owner);
        policies.updatePolicy(p, q);
        a.proof = new bytes32[](1);
        a.proof[0] = other;
    }

    function test_RevertWhen_thereIsNoAdmission() public {
        (Policy memory q,) = closed();
        bytes memory err = abi.encodeWithSelector(AdmissionMissing.selector, q.datasetUid, requester);
        refuse(err, q, makeRequest(1), ROYALTY);
        refuseFull(err, q, makeRequest(1), noQuote(), noAdmission());
    }

    function test_RevertWhen_theProofDoesNotLeadToTheRoot() public {
        (Policy memory q, Admission memory a) = closed();
        a.proof[0] = leafOf(stranger);
        refuseFull(
            abi.encodeWithSelector(AdmissionProofInvalid.selector, q.requestersRoot, requester),
            q,
            makeRequest(1),
            noQuote(),
            a
        );
        // The right proof is of one requester only.
        (, a) = (q, a);
        a.proof[0] = pair(leafOf(stranger), leafOf(operator));
        vm.deal(stranger, 1 ether);
        vm.expectRevert(abi.encodeWithSelector(AdmissionProofInvalid.selector, q.requestersRoot, stranger));
        vm.prank(stranger);
        policies.requestAccess{ value: ROYALTY }(q, makeRequest(1), noQuote(), a);
    }

    function test_grantsByProof() public {
        (Policy memory q, Admission memory a) = closed();
        vm.prank(requester);
        policies.requestAccess{ value: ROYALTY }(q, makeRequest(1), noQuote(), a);
    }

    function test_grantsAListOfOne() public {
        Policy memory q = p;
        q.version = 2;
        q.requestersRoot = leafOf(requester);
        vm.prank(owner);
        policies.updatePolicy(p, q);
        vm.prank(requester);
        policies.requestAccess{ value: ROYALTY }(q, makeRequest(1), noQuote(), noAdmission());
    }

    function approved(Policy memory q) private view returns (Admission memory a) {
        a.approval = Approval(q.datasetUid, q.requestersRoot, requester, uint64(START + 10));
        a.signature = sign(ownerKey, Digests.hash(a.approval));
    }

    function test_grantsByApproval() public {
        (Policy memory q,) = closed();
        Admission memory a = approved(q);
        vm.prank(requester);
        policies.requestAccess{ value: ROYALTY }(q, makeRequest(1), noQuote(), a);
    }

    function test_RevertWhen_theApprovalIsForSomethingElse() public {
        (Policy memory q,) = closed();
        Admission memory a = approved(q);
        a.approval.requester = stranger;
        refuseFull(
            abi.encodeWithSelector(ApprovalMismatch.selector, q.datasetUid, q.requestersRoot, stranger),
            q,
            makeRequest(1),
            noQuote(),
            a
        );
        a = approved(q);
        a.approval.datasetUid = "other";
        refuseFull(
            abi.encodeWithSelector(ApprovalMismatch.selector, bytes32("other"), q.requestersRoot, requester),
            q,
            makeRequest(1),
            noQuote(),
            a
        );
    }

    function test_RevertWhen_theApprovalIsForAnotherList() public {
        (Policy memory q,) = closed();
        Admission memory a = approved(q);
        a.approval.requestersRoot = "other";
        a.signature = sign(ownerKey, Digests.hash(a.approval));
        refuseFull(
            abi.encodeWithSelector(ApprovalMismatch.selector, q.datasetUid, bytes32("other"), requester),
            q,
            makeRequest(1),
            noQuote(),
            a
        );
    }

    function test_RevertWhen_theApprovalHasExpired() public {
        (Policy memory q,) = closed();
        Admission memory a = approved(q);
        vm.warp(START + 11);
        refuseFull(
            abi.encodeWithSelector(ApprovalExpired.selector, START + 10, START + 11),
            q,
            makeRequest(1),
            noQuote(),
            a
        );
    }

    function test_RevertWhen_theApprovalIsNotTheOwners() public {
        (Policy memory q,) = closed();
        Admission memory a = approved(q);
        a.signature = sign(requesterKey, Digests.hash(a.approval));
        refuseFull(abi.encodeWithSelector(SignatureInvalid.selector, owner), q, makeRequest(1), noQuote(), a);
    }

    // ---------------------------------------------------------------------------------------- grant

    function test_commitsCountsAndLogs() public {
        Request memory r = makeRequest(3);
        r.verifierSet = verifierSetId;
        r.verifierSetVersion = 1;
        Job memory j = expectedJob(p, r, requester, 0, 1);
        vm.expectEmit(address(policies));
        emit IDataPolicy.AccessGranted(j.jobId, p.datasetRoot, requester, 3);
        vm.expectEmit(address(policies));
        emit IDataPolicy.JobOpened(j.jobId, j);
        vm.prank(requester);
        bytes32 id = policies.requestAccess{ value: 3 * ROYALTY }(p, r);
        assertEq(id, j.jobId);
        assertState(j, JobState.Granted);
        assertEq(policies.jobCommitment(j), bytes32((uint256(keccak256(abi.encode(j))) >> 8) << 8));
        (uint64 counter, uint32 runs, uint8 returned) = policies.runsOf(p.datasetUid, requester);
        assertEq(counter, 1);
        assertEq(runs, 1);
        assertEq(returned, 0);
    }

    function test_givesEachJobAnotherId() public {
        Job memory one = open(p, makeRequest(1));
        vm.prank(requester);
        policies.cancelJob(one);
        Job memory two = open(p, makeRequest(1));
        assertTrue(one.jobId != two.jobId);
        (uint64 counter, uint32 runs,) = policies.runsOf(p.datasetUid, requester);
        assertEq(counter, 2);
        assertEq(runs, 1);
    }

    function testFuzz_locksExactlyTheEscrow(uint128 royalty, uint32 epochs) public {
        epochs = uint32(bound(epochs, 1, type(uint32).max));
        Policy memory q = p;
        q.version = 2;
        q.royaltyPerEpoch = royalty;
        q.maxEpochsPerRun = type(uint32).max;
        vm.prank(owner);
        policies.updatePolicy(p, q);
        vm.deal(requester, uint256(royalty) * epochs);
        Job memory j = open(q, makeRequest(epochs));
        assertEq(address(policies).balance, uint256(royalty) * epochs);
        assertEq(requester.balance, 0);
        vm.prank(requester);
        policies.cancelJob(j);
        assertEq(requester.balance, uint256(royalty) * epochs);
    }
}
