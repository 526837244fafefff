// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../utils/Base.sol";

import { PlainToken } from "../utils/Tokens.sol";

/// A wallet that takes no coins: no receive, no fallback.
contract Mute {
    function request(IDataPolicy policies, Policy calldata p, Request calldata r) external payable {
        policies.requestAccess{ value: msg.value }(p, r);
    }

    function withdrawTo(IDataPolicy policies, address to, address token) external {
        policies.withdrawTo(to, token);
    }
}

/// What was found in version 1 of the protocol, each tried under the name it was found by.
contract FindingsTest is Base {
    // --------------------------------------------------------------------------------- registration

    /// A signature that was never sent could be sent before the owner's next one, and put an older,
    /// cheaper policy into force.
    function test_finding_anOlderSignedRegistrationFrontRunsTheOwner() public {
        Policy memory cheap = makePolicy();
        cheap.royaltyPerEpoch = 1;
        bytes memory old = sign(ownerKey, Digests.hashRegister(cheap, 0, uint64(START + 1 days)));
        vm.prank(owner);
        policies.raiseNonce(1);
        vm.expectRevert(abi.encodeWithSelector(NonceWrong.selector, 0, 1));
        vm.prank(stranger);
        policies.registerDataset(cheap, 0, uint64(START + 1 days), old);
        // Nor under the new nonce, which it does not name.
        vm.expectRevert(abi.encodeWithSelector(SignatureInvalid.selector, owner));
        vm.prank(stranger);
        policies.registerDataset(cheap, 1, uint64(START + 1 days), old);
        Policy memory p = makePolicy();
        bytes memory signature = sign(ownerKey, Digests.hashRegister(p, 1, uint64(START + 1 days)));
        policies.registerDataset(p, 1, uint64(START + 1 days), signature);
        (bytes32 commitment,) = policies.datasetState(p.datasetUid);
        assertEq(commitment, commitmentOf(keccak256(abi.encode(p))));
    }

    // --------------------------------------------------------------------------------------- quotes

    function named() private view returns (Request memory r) {
        r = makeRequest(2);
        r.providerId = providerId;
    }

    function refuseQuote(address who, Policy memory p, SignedQuote memory quote, bytes32 jobId) private {
        vm.deal(who, 1 ether);
        vm.expectRevert(abi.encodeWithSelector(QuoteMismatch.selector, quote.quote.jobId, jobId));
        vm.prank(who);
        policies.requestAccess(p, named(), quote, noAdmission());
    }

    /// A price in coins was taken as the same number of base units of whatever token the owner chose.
    function test_finding_quoteIsNotBoundToTheToken() public {
        Policy memory p = makePolicy();
        register(p);
        SignedQuote memory quote = makeQuote(p, named());
        Policy memory q = makePolicy();
        q.version = 2;
        q.token = address(token);
        vm.prank(owner);
        policies.updatePolicy(p, q);
        refuseQuote(requester, q, quote, quote.quote.jobId);
        // Not even where the provider signed for the new policy and nothing but the token is another.
        quote = makeQuote(q, named());
        quote.quote.token = address(0);
        quote.signature = sign(providerKey, Digests.hash(quote.quote));
        refuseQuote(requester, q, quote, quote.quote.jobId);
        quote = makeQuote(q, named());
        vm.prank(requester);
        policies.requestAccess(q, named(), quote, noAdmission());
    }

    /// One quote bound a provider to as many jobs as anybody opened before it expired.
    function test_finding_oneQuoteOpensAnyNumberOfJobsForAnybody() public {
        Policy memory p = makePolicy();
        register(p);
        SignedQuote memory quote = makeQuote(p, named());
        // Not for somebody else, before or after its use.
        refuseQuote(stranger, p, quote, policies.jobId(p.datasetUid, stranger, 1));
        vm.prank(requester);
        policies.requestAccess{ value: 2 * (ROYALTY + COMPUTE_FEE) }(p, named(), quote, noAdmission());
        refuseQuote(requester, p, quote, policies.jobId(p.datasetUid, requester, 2));
        refuseQuote(stranger, p, quote, policies.jobId(p.datasetUid, stranger, 1));
        // Nor after the job has ended and its run is back.
        Request memory r = named();
        Job memory j = expectedJob(p, r, requester, COMPUTE_FEE, 1);
        vm.prank(requester);
        policies.cancelJob(j);
        refuseQuote(requester, p, quote, policies.jobId(p.datasetUid, requester, 2));
    }

    /// A quote that is written for one dataset opens none of the same owner's others, and none elsewhere.
    function test_attack_aQuoteOfOneDeploymentOpensNothingAtAnother() public {
        Policy memory p = makePolicy();
        register(p);
        SignedQuote memory quote = makeQuote(p, named());
        policies = deploy(FEE_BPS);
        register(p);
        refuseQuote(requester, p, quote, policies.jobId(p.datasetUid, requester, 1));
    }

    // ------------------------------------------------------------------------------------- approvals

    /// An approval outlived the list that the owner had given it under, until it expired.
    function test_finding_anApprovalOutlivesTheListThatItWasGivenUnder() public {
        Policy memory p = makePolicy();
        p.requestersRoot = "one list";
        register(p);
        Admission memory a;
        a.approval = Approval(p.datasetUid, p.requestersRoot, requester, uint64(START + 365 days));
        a.signature = sign(ownerKey, Digests.hash(a.approval));
        vm.prank(requester);
        policies.requestAccess{ value: ROYALTY }(p, makeRequest(1), noQuote(), a);

        Policy memory q = makePolicy();
        q.version = 2;
        q.requestersRoot = "another list";
        vm.prank(owner);
        policies.updatePolicy(p, q);
        vm.expectRevert(
            abi.encodeWithSelector(ApprovalMismatch.selector, q.datasetUid, bytes32("one list"), requester)
        );
        vm.prank(requester);
        policies.requestAccess{ value: ROYALTY }(q, makeRequest(1), noQuote(), a);
        // The signature is over the list, so it cannot be written over.
        a.approval.requestersRoot = q.requestersRoot;
        vm.expectRevert(abi.encodeWithSelector(SignatureInvalid.selector, owner));
        vm.prank(requester);
        policies.requestAccess{ value: ROYALTY }(q, makeRequest(1), noQuote(), a);
    }

    // --------------------------------------------------------------------------------------- results

    /// Which result a job was paid for stood in an event only: no contract could ask for it.
    function test_finding_theChainForgetsTheResult() public {
        Job memory s = running(address(0), 3, true);
        ResultManifest memory m = makeManifest(s, 2);
        bytes memory signature = sign(computeKey, Digests.hash(m));
        vm.expectEmit(address(policies));
        emit IDataPolicy.ResultRecorded(s.jobId, m);
        policies.confirmTrainingComplete(s, m, signature);
        assertTrue(policies.isResult(s, m));
        m.resultHash = "another result";
        assertFalse(policies.isResult(s, m));
        // Neither another result nor any other exit replaces it.
        signature = sign(computeKey, Digests.hash(m));
        bytes memory ended =
            abi.encodeWithSelector(JobStateWrong.selector, s.jobId, JobState.Completed, JobState.Running);
        vm.expectRevert(ended);
        policies.confirmTrainingComplete(s, m, signature);
        vm.warp(s.runDeadline + 1);
        vm.expectRevert(ended);
        policies.expireJob(s);
        FailureReport memory f = makeReport(s, Reason.DATASET_MISMATCH, 0);
        vm.expectRevert(ended);
        policies.markJobFailed(s, f, "");
        MemberSignature[] memory silences = silencesOf(s, range(0, 2));
        vm.expectRevert(ended);
        policies.markJobFailed(s, silences);
        vm.expectRevert(
            abi.encodeWithSelector(JobStateWrong.selector, s.jobId, JobState.Completed, JobState.Granted)
        );
        vm.prank(requester);
        policies.cancelJob(s);
        assertTrue(policies.isResult(s, makeManifest(s, 2)));
    }

    /// Nor can the slot of a Completed job be opened as a job whose hash is the result's.
    function test_attack_aResultCommitmentIsNoJob() public {
        Job memory s = running(address(0), 3, false);
        confirm(s, 1);
        (JobState state, bytes32 commitment) = policies.jobState(s.jobId);
        assertEq(uint8(state), uint8(JobState.Completed));
        assertTrue(commitment != policies.jobCommitment(s));
        vm.expectPartialRevert(JobStateWrong.selector);
        policies.expireJob(s);
    }

    // ----------------------------------------------------------------------------------------- money

    /// A wallet contract without a receive function lost its refund: it could be credited, never paid.
    function test_finding_aWalletThatCannotReceiveLosesItsRefund() public {
        Mute wallet = new Mute();
        Policy memory p = makePolicy();
        register(p);
        Job memory j = expectedJob(p, makeRequest(3), address(wallet), 0, 1);
        uint256 escrow = escrowOf(j);
        vm.deal(address(this), escrow);
        wallet.request{ value: escrow }(policies, p, makeRequest(3));
        vm.warp(j.startDeadline + 1);
        policies.expireJob(j);
        assertEq(creditOf(address(wallet), address(0)), escrow);
        vm.expectRevert(abi.encodeWithSelector(TransferFailed.selector, address(0), address(wallet), escrow));
        policies.withdraw(address(wallet), address(0));
        wallet.withdrawTo(policies, stranger, address(0));
        assertEq(stranger.balance, escrow);
        assertEq(address(policies).balance, 0);
    }

    /// Tokens that were withdrawn to the contract itself stayed there, counted for nobody.
    function test_finding_withdrawToTheContractItselfOrphansTokens() public {
        confirm(running(address(token), 3, false), 3);
        uint256 held = token.balanceOf(address(policies));
        bytes memory refused = abi.encodeWithSelector(ReceiverRefused.selector, address(policies));
        vm.expectRevert(refused);
        vm.prank(payee);
        policies.withdrawTo(address(policies), address(token));
        vm.expectRevert(refused);
        policies.withdraw(address(policies), address(token));
        assertEq(token.balanceOf(address(policies)), held);

        // No name leads there either: policy, provider, announced split.
        bytes32 itself = policies.accountOf(address(policies));
        Policy memory p = makePolicy();
        Policy memory q = makePolicy();
        q.version = 2;
        q.token = p.token = address(token);
        q.payee = itself;
        vm.expectRevert(abi.encodeWithSelector(AccountRefused.selector, itself));
        vm.prank(owner);
        policies.updatePolicy(p, q);
        Split memory s = splitOf(address(policies), stranger, 5000);
        vm.expectRevert(abi.encodeWithSelector(AccountRefused.selector, itself));
        policies.announce(s);
        bytes32 registry = policies.accountOf(address(custody));
        vm.expectRevert(abi.encodeWithSelector(AccountRefused.selector, registry));
        custody.updateProvider(providerId, providerSigner, registry, "CH", new bytes32[](0));
        vm.expectRevert(abi.encodeWithSelector(AccountRefused.selector, registry));
        custody.registerProvider("new", providerSigner, registry, "CH", new bytes32[](0));
    }

    /// Only whole multiples of 10,000 base units moved: 99.99 of a token with two decimals stayed.
    function test_finding_splitDustOfATokenWithFewDecimals() public {
        policies = deploy(0);
        vm.prank(requester);
        token.approve(address(policies), type(uint256).max);
        Split memory s = splitOf(payee, stranger, 7000);
        Policy memory p = makePolicy();
        p.token = address(token);
        p.payee = policies.splitAccount(s);
        p.royaltyPerEpoch = 9999;
        register(p);
        confirm(start(open(p, makeRequest(1))), 1);
        policies.distribute(s, address(token));
        assertEq(creditOf(payee, address(token)), 6999);
        assertEq(creditOf(stranger, address(token)), 2999);
        assertEq(policies.credit(p.payee, address(token)), 1);
    }

    /// A start without a duration was ignored: everything could be distributed at once.
    function test_finding_aCliffWithoutDurationIsIgnored() public {
        Split memory s = splitOf(payee, stranger, 7000);
        s.start = uint64(START + 30 days);
        Policy memory p = makePolicy();
        p.payee = policies.splitAccount(s);
        register(p);
        confirm(start(open(p, makeRequest(1))), 1);
        assertEq(policies.distributable(s, address(0)), 0);
        vm.warp(START + 30 days - 1);
        vm.expectPartialRevert(NothingToDistribute.selector);
        policies.distribute(s, address(0));
        vm.warp(START + 30 days);
        policies.distribute(s, address(0));
        assertEq(policies.credit(p.payee, address(0)), 0);
    }

    // --------------------------------------------------------------------------------------- strikes

    /// One quote opened jobs that nobody started running for, each a strike against its provider.
    function test_finding_strikesAreForgedWithOneQuote() public {
        // No function of either contract counts them.
        assertNoFunction("out/Custody.sol/Custody.json", "strike");
        assertNoFunction("out/DataPolicy.sol/DataPolicy.json", "strike");
        (bool ok,) = address(custody).call(abi.encodeWithSignature("strike(bytes32)", providerId));
        assertFalse(ok);
        assertNoSelector(address(custody).code, bytes4(keccak256("strike(bytes32)")));
        assertNoSelector(address(policies).code, bytes4(keccak256("strike(bytes32)")));

        // No way out of a job with a named provider calls the registry.
        Policy memory p = makePolicy();
        register(p);
        Job memory expired = start(openQuoted(p, makeRequest(1)));
        Job memory failed = start(openQuoted(p, makeRequest(1)));
        Job memory silent = start(openQuoted(p, makeRequest(1)));
        MemberSignature[] memory silences = silencesOf(silent, range(0, 2));
        vm.expectCall(address(custody), "", 0);
        fail(failed, Reason.COMPUTE_TASK_FAILED, 0);
        policies.markJobFailed(silent, silences);
        vm.warp(expired.runDeadline + 1);
        policies.expireJob(expired);
    }

    // -------------------------------------------------------------------- what is known and accepted

    /// After the run deadline no manifest settles, but compute's word that the JobSpec cannot be trained
    /// still does: what is mined first counts.
    function test_accepted_afterTheRunDeadlineAReportAndExpiryRace() public {
        Job memory s = running(address(0), 3, true);
        vm.warp(s.runDeadline + 1);
        uint256 snapshot = vm.snapshotState();
        fail(s, Reason.JOB_SPEC_INVALID, 3);
        assertEq(creditOf(computePayee, address(0)), 3 * COMPUTE_FEE);
        vm.revertToState(snapshot);
        policies.expireJob(s);
        assertEq(creditOf(computePayee, address(0)), 0);
    }

    /// A custodian that is in the owner's set and in the requester's gives a verdict for each.
    function test_accepted_aMemberOfBothSetsCountsTwice() public {
        Member[] memory members = new Member[](1);
        members[0] = Member({ signer: vm.addr(memberKeys[0]), hpkeKey: "key" });
        bytes32 both = custody.createSet("both", 1, members);
        Policy memory p = makePolicy();
        register(p);
        Request memory r = makeRequest(1);
        (r.verifierSet, r.verifierSetVersion) = (both, 1);
        Job memory j = open(p, r);
        Job memory s = started(j, 1);
        Verdict[] memory v = new Verdict[](3);
        MemberSignature[] memory m = new MemberSignature[](3);
        for (uint256 i = 0; i < 3; ++i) {
            v[i] = makeVerdict(s);
            if (i == 2) v[i].custodianSet = both;
            m[i] = signMember(memberKeys[i % 2], uint16(i % 2), Digests.hash(v[i]));
        }
        policies.startJob(j, compute, v, m);
        assertState(s, JobState.Running);
    }

    /// Three runs come back after a start, the fourth does not, whoever's fault it was.
    function test_accepted_fourFailuresLockARequesterWithACapOfOneOut() public {
        Policy memory p = makePolicy();
        p.maxRunsPerRequester = 1;
        register(p);
        for (uint256 i = 0; i < 4; ++i) {
            fail(start(open(p, makeRequest(1))), Reason.DATASET_DECRYPT_FAILED, 0);
        }
        vm.expectRevert(abi.encodeWithSelector(RunsUsedUp.selector, 1, 1));
        vm.prank(requester);
        policies.requestAccess{ value: ROYALTY }(p, makeRequest(1));
    }

    function assertNoFunction(string memory artifact, string memory word) private view {
        string[] memory functions = vm.parseJsonKeys(vm.readFile(artifact), ".methodIdentifiers");
        assertGt(functions.length, 0);
        for (uint256 i = 0; i < functions.length; ++i) {
            assertEq(vm.indexOf(vm.toLowercase(functions[i]), word), type(uint256).max, functions[i]);
        }
    }

    function assertNoSelector(bytes memory code, bytes4 selector) private pure {
        for (uint256 i = 0; i + 4 <= code.length; ++i) {
            bytes4 word;
            assembly {
                word := mload(add(add(code, 0x20), i))
            }
            assertTrue(bytes4(word) != selector);
        }
    }
}
