// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../utils/Base.sol";

import { Receiver } from "../utils/Receivers.sol";
import { CallbackToken, PlainToken } from "../utils/Tokens.sol";

/// The attacks that the protocol's clauses are written against, each tried.
contract ProtocolAttacksTest is Base {
    function contractJob(Receiver.Kind kind) private returns (Receiver r, Job memory j) {
        r = new Receiver{ value: 10 ether }(policies, Receiver.Kind.Accept);
        Policy memory p = makePolicy();
        register(p);
        j = expectedJob(p, makeRequest(3), address(r), 0, 1);
        r.request(p, makeRequest(3), escrowOf(j));
        r.set(kind);
    }

    // -------------------------------------------------------------------------- hostile receivers

    function refundBecomesCredit(Receiver.Kind kind) private {
        (Receiver r, Job memory j) = contractJob(kind);
        vm.warp(j.startDeadline + 1);
        vm.expectEmit(address(policies));
        emit ILedger.Credited(policies.accountOf(address(r)), address(0), j.jobId, escrowOf(j));
        policies.expireJob{ gas: 250_000 }(j);
        assertState(j, JobState.Expired);
        assertEq(creditOf(address(r), address(0)), escrowOf(j));
        r.set(Receiver.Kind.Accept);
        policies.withdraw(address(r), address(0));
        assertEq(address(r).balance, 10 ether);
    }

    function test_attack_rejectingReceiverStopsNoExit() public {
        refundBecomesCredit(Receiver.Kind.Reject);
    }

    function test_attack_gasBurningReceiverStopsNoExit() public {
        refundBecomesCredit(Receiver.Kind.BurnGas);
    }

    function test_attack_returnBombStopsNoExit() public {
        refundBecomesCredit(Receiver.Kind.ReturnBomb);
    }

    function test_attack_reenteringReceiverGetsItsRefundOnce() public {
        (Receiver r, Job memory j) = contractJob(Receiver.Kind.Reenter);
        vm.warp(j.startDeadline + 1);
        policies.expireJob(j);
        assertFalse(r.reentered());
        assertEq(address(r).balance, 10 ether);
        assertEq(address(policies).balance, 0);
    }

    function test_attack_starvingTheRefundOfGasFailsTheTransaction() public {
        Job memory j = granted(address(0), 2);
        vm.warp(j.startDeadline + 1);
        uint256 before = requester.balance;
        // Whatever little gas is given: either nothing happens or the requester has the coin.
        for (uint256 gas_ = 40_000; gas_ < 140_000; gas_ += 5000) {
            uint256 snapshot = vm.snapshotState();
            try policies.expireJob{ gas: gas_ }(j) {
                assertEq(requester.balance - before, escrowOf(j));
                assertEq(creditOf(requester, address(0)), 0);
            } catch {
                assertState(j, JobState.Granted);
            }
            vm.revertToState(snapshot);
        }
    }

    function test_attack_custodyThatRevertsStopsNoExit() public {
        Job memory s = running(address(0), 2, true);
        vm.etch(address(custody), hex"fd");
        vm.warp(s.runDeadline + 1);
        uint256 before = requester.balance;
        policies.expireJob(s);
        assertEq(requester.balance - before, escrowOf(s));
    }

    // -------------------------------------------------------------------------------- hostile tokens

    function callbackJob(CallbackToken t) private returns (Policy memory p) {
        t.mint(requester, 100 ether);
        vm.prank(requester);
        t.approve(address(policies), type(uint256).max);
        p = makePolicy();
        p.token = address(t);
        register(p);
    }

    function test_attack_callbackCannotCountOnePaymentTwice() public {
        CallbackToken t = new CallbackToken();
        Policy memory p = callbackJob(t);
        // In the middle of the measurement the token opens a second job for the same coins.
        t.arm(
            address(policies),
            abi.encodeWithSignature(
                "requestAccess((bytes32,bytes32,address,bytes32,uint64,bytes32,bytes32,address,uint128,uint32,uint32,uint32,uint32,uint64,bytes32[],bytes32,bytes32,bytes32,bytes32,bytes32,uint32,bytes32,uint8,address),(bytes32,uint32,uint64,bytes32,bytes32,bytes32,bytes32,bytes32,uint32,uint256))",
                p,
                makeRequest(3)
            )
        );
        open(p, makeRequest(3));
        assertFalse(t.lastOk());
        assertEq(bytes4(t.lastAnswer()), Reentered.selector);
        assertEq(t.balanceOf(address(policies)), 3 * ROYALTY);
    }

    function test_attack_callbackCannotWithdrawDuringAMeasurement() public {
        CallbackToken t = new CallbackToken();
        Policy memory p = callbackJob(t);
        confirm(start(open(p, makeRequest(3))), 3);
        t.arm(address(policies), abi.encodeCall(ILedger.withdraw, (payee, address(t))));
        open(p, makeRequest(3));
        assertEq(bytes4(t.lastAnswer()), Reentered.selector);
        // And none during a withdrawal.
        t.arm(address(policies), abi.encodeCall(ILedger.withdraw, (payee, address(t))));
        policies.withdraw(payee, address(t));
        assertEq(bytes4(t.lastAnswer()), Reentered.selector);
    }

    function test_attack_callbackCannotEndAJobDuringAPayment() public {
        CallbackToken t = new CallbackToken();
        Policy memory p = callbackJob(t);
        Job memory j = open(p, makeRequest(3));
        vm.warp(j.startDeadline + 1);
        t.arm(address(policies), abi.encodeCall(IDataPolicy.expireJob, (j)));
        open(p, makeRequest(3));
        assertEq(bytes4(t.lastAnswer()), Reentered.selector);
        assertState(j, JobState.Granted);
    }

    function test_attack_oneTokensBooksAreNotAnothers() public {
        PlainToken worthless = new PlainToken();
        worthless.mint(requester, 1e30);
        vm.prank(requester);
        worthless.approve(address(policies), type(uint256).max);
        Policy memory p = makePolicy();
        p.token = address(token);
        register(p);
        confirm(start(open(p, makeRequest(3))), 3);
        uint256 held = token.balanceOf(address(policies));
        vm.expectRevert(abi.encodeWithSelector(NothingToWithdraw.selector, payee, address(worthless)));
        policies.withdraw(payee, address(worthless));
        assertEq(token.balanceOf(address(policies)), held);
    }

    function test_attack_coinsCannotBeSentWithoutAJob() public {
        vm.prank(requester);
        (bool ok,) = address(policies).call{ value: 1 }("");
        assertFalse(ok);
    }

    // -------------------------------------------------------------------------- replayed statements

    function test_attack_statementsOfOneJobAreWorthlessForAnother() public {
        Policy memory p = makePolicy();
        register(p);
        Job memory a = open(p, makeRequest(2));
        Job memory b = open(p, makeRequest(2));
        (Verdict[] memory v, MemberSignature[] memory m) = verdictsOf(started(a, 1), range(0, 2));
        vm.expectRevert(abi.encodeWithSelector(VerdictMismatch.selector, 0));
        policies.startJob(b, compute, v, m);
        a = start(a);
        b = start(b);
        MemberSignature[] memory silences = silencesOf(a, range(0, 2));
        vm.expectPartialRevert(SignatureInvalid.selector);
        policies.markJobFailed(b, silences);
        ResultManifest memory r = makeManifest(a, 1);
        bytes memory signature = sign(computeKey, Digests.hash(r));
        r.jobId = b.jobId;
        vm.expectRevert(abi.encodeWithSelector(SignatureInvalid.selector, compute));
        policies.confirmTrainingComplete(b, r, signature);
    }

    function test_attack_statementsOfOneDeploymentAreWorthlessForAnother() public {
        IDataPolicy first = policies;
        Job memory s = running(address(0), 2, false);
        ResultManifest memory m = makeManifest(s, 2);
        policies = deploy(FEE_BPS);
        bytes memory signature = sign(computeKey, Digests.hash(m));
        policies = first;
        vm.expectRevert(abi.encodeWithSelector(SignatureInvalid.selector, compute));
        policies.confirmTrainingComplete(s, m, signature);
    }

    function test_attack_statementsAreWorthlessAfterAFork() public {
        Job memory s = running(address(0), 2, false);
        ResultManifest memory m = makeManifest(s, 2);
        bytes memory signature = sign(computeKey, Digests.hash(m));
        vm.chainId(999);
        vm.expectRevert(abi.encodeWithSelector(SignatureInvalid.selector, compute));
        policies.confirmTrainingComplete(s, m, signature);
    }

    function test_attack_aTerminalSlotIsNeverReopened() public {
        Job memory j = granted(address(0), 2);
        vm.prank(requester);
        policies.cancelJob(j);
        (Verdict[] memory v, MemberSignature[] memory m) = verdictsOf(started(j, 1), range(0, 2));
        vm.expectRevert(
            abi.encodeWithSelector(JobStateWrong.selector, j.jobId, JobState.Cancelled, JobState.Granted)
        );
        policies.startJob(j, compute, v, m);
        vm.expectPartialRevert(JobStateWrong.selector);
        vm.prank(requester);
        policies.cancelJob(j);
    }

    // --------------------------------------------------------------------------- parties that collude

    function test_attack_custodiansBelowTheQuorumCannotVoidAFinishedRun() public {
        // t = 2 of 3: one silent member and the requester's own verifiers are not enough.
        Policy memory p = makePolicy();
        register(p);
        Request memory r = makeRequest(2);
        r.verifierSet = verifierSetId;
        r.verifierSetVersion = 1;
        Job memory j = open(p, r);
        Job memory s = started(j, 1);
        Verdict[] memory v = new Verdict[](3);
        MemberSignature[] memory m = new MemberSignature[](3);
        for (uint256 i = 0; i < 3; ++i) {
            v[i] = makeVerdict(s);
            if (i == 2) v[i].custodianSet = verifierSetId;
            m[i] = i == 2
                ? signMember(verifierKeys[0], 0, Digests.hash(v[i]))
                : signMember(memberKeys[i], uint16(i), Digests.hash(v[i]));
        }
        policies.startJob(j, compute, v, m);
        m = silencesOf(s, range(0, 1));
        vm.expectPartialRevert(MembersTooFew.selector);
        policies.markJobFailed(s, m);
        m = new MemberSignature[](2);
        m[0] = signMember(verifierKeys[0], 0, Digests.hash(Silence(s.jobId, 1)));
        m[1] = signMember(verifierKeys[1], 1, Digests.hash(Silence(s.jobId, 1)));
        vm.expectPartialRevert(SignatureInvalid.selector);
        policies.markJobFailed(s, m);
        confirm(s, 2);
    }

    function test_attack_operatorCannotEndARunningJob() public {
        Job memory s = running(address(0), 2, false);
        vm.prank(operator);
        vm.expectPartialRevert(JobStateWrong.selector);
        policies.declineJob(s);
        vm.prank(owner);
        vm.expectPartialRevert(JobStateWrong.selector);
        policies.declineJob(s);
    }

    function test_attack_ownerCannotChangeAGrantedJob() public {
        Policy memory p = makePolicy();
        register(p);
        Job memory j = open(p, makeRequest(2));
        Policy memory q = makePolicy();
        q.version = 2;
        q.royaltyPerEpoch = type(uint128).max;
        q.payee = policies.accountOf(stranger);
        q.custodianSet = verifierSetId;
        vm.prank(owner);
        policies.updatePolicy(p, q);
        confirm(start(j), 1);
        assertEq(creditOf(stranger, address(0)), 0);
    }

    function test_attack_ownerCannotRaiseThePriceUnderARequest() public {
        Policy memory p = makePolicy();
        register(p);
        Policy memory q = makePolicy();
        q.version = 2;
        q.royaltyPerEpoch = 2 * ROYALTY;
        vm.prank(owner);
        policies.updatePolicy(p, q);
        // The requester's transaction names the policy that the requester read.
        vm.expectPartialRevert(PolicyStale.selector);
        vm.prank(requester);
        policies.requestAccess{ value: 3 * ROYALTY }(p, makeRequest(3));
    }

    function test_attack_providerCannotRaiseItsPriceUnderARequest() public {
        Policy memory p = makePolicy();
        register(p);
        Request memory r = makeRequest(2);
        r.providerId = providerId;
        SignedQuote memory quote = makeQuote(p, r);
        quote.quote.computeFeePerEpoch *= 2;
        quote.signature = sign(providerKey, Digests.hash(quote.quote));
        vm.expectPartialRevert(ValueWrong.selector);
        vm.prank(requester);
        policies.requestAccess{ value: 2 * (ROYALTY + COMPUTE_FEE) }(p, r, quote, noAdmission());
    }

    function test_attack_majorityCannotRoundAMinorityAway() public {
        policies = deploy(0);
        Split memory split = splitOf(payee, stranger, 9999);
        Policy memory p = makePolicy();
        p.payee = policies.splitAccount(split);
        p.royaltyPerEpoch = 5000;
        register(p);
        // However often it is distributed, rounding is that of everything that ever came in.
        for (uint256 i = 1; i <= 6; ++i) {
            confirm(start(open(p, makeRequest(1))), 1);
            if (policies.distributable(split, address(0)) != 0) policies.distribute(split, address(0));
        }
        assertEq(creditOf(stranger, address(0)), 3);
        assertEq(creditOf(payee, address(0)), 29_997);
    }

    function test_attack_anUnsignedWordOfAPolicyIsNotAPolicy() public {
        // A dirty address in the calldata of a request hashes to something nobody committed to.
        Policy memory p = makePolicy();
        register(p);
        bytes memory data = abi.encodeWithSignature(
            "requestAccess((bytes32,bytes32,address,bytes32,uint64,bytes32,bytes32,address,uint128,uint32,uint32,uint32,uint32,uint64,bytes32[],bytes32,bytes32,bytes32,bytes32,bytes32,uint32,bytes32,uint8,address),(bytes32,uint32,uint64,bytes32,bytes32,bytes32,bytes32,bytes32,uint32,uint256))",
            p,
            makeRequest(1)
        );
        // Word 7 of the policy (token), its highest byte.
        data[4 + 11 * 32 + 7 * 32] = 0x01;
        vm.prank(requester);
        (bool ok, bytes memory answer) = address(policies).call{ value: ROYALTY }(data);
        assertFalse(ok);
        assertEq(bytes4(answer), PolicyStale.selector);
    }
}
