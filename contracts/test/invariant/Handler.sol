// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../utils/Base.sol";
import { Receiver } from "../utils/Receivers.sol";
import { BlacklistToken, CallbackToken, FeeToken, NoReturnToken, PlainToken } from "../utils/Tokens.sol";

/// Plays everybody, at random, and remembers what should be true (test/invariant/README.md).
contract Handler is Base {
    uint32 public constant CAP = 6;
    uint256 public constant TOKENS = 6;

    address[] public tokens;
    Policy[] internal current;
    address[] public requesters;
    /// `outer` pays three: an address, `inner`, and a receiver that rejects coins.
    Split internal outer;
    Split internal inner;
    bytes32[2] public splitAccounts;

    Job[] internal jobs;
    ResultManifest[] internal manifests;
    JobState[] public states;
    uint256[] public endings;

    mapping(address token => uint256) public paidIn;
    mapping(address token => uint256) public paidOut;
    mapping(address token => uint256) public openEscrow;
    mapping(bytes32 account => mapping(address token => uint256)) public paid;
    mapping(uint256 dataset => mapping(address => uint64)) public counters;
    mapping(string step => uint256) public done;

    BlacklistToken internal blacklist;
    CallbackToken internal callback;
    FeeToken public feeToken;
    Policy internal feePolicy;

    function setUp() public override {
        super.setUp();
        blacklist = new BlacklistToken();
        callback = new CallbackToken();
        feeToken = new FeeToken();
        NoReturnToken noReturn = new NoReturnToken();
        // The last one has two decimals, so prices are cents.
        PlainToken cents = new PlainToken();
        tokens = [
            address(0),
            address(token),
            address(blacklist),
            address(callback),
            address(noReturn),
            address(cents)
        ];

        vm.deal(address(this), 10_000 ether);
        requesters.push(requester);
        for (uint256 k = 0; k < 5; ++k) {
            requesters.push(address(new Receiver{ value: 1000 ether }(policies, Receiver.Kind(k))));
        }
        inner.accounts = [policies.accountOf(makeAddr("annotator")), policies.accountOf(makeAddr("curator"))];
        inner.bps = [uint16(3333), 6667];
        inner.start = uint64(START + 3 hours);
        splitAccounts[1] = policies.splitAccount(inner);
        outer.accounts =
            [policies.accountOf(makeAddr("host")), splitAccounts[1], policies.accountOf(requesters[2])];
        outer.bps = [uint16(6000), 3001, 999];
        (outer.start, outer.duration) = (uint64(START), 1 days);
        splitAccounts[0] = policies.splitAccount(outer);
        for (uint256 i = 0; i < tokens.length; ++i) {
            Policy memory p = makePolicy();
            p.salt = bytes32(i + 1);
            p.datasetUid = policies.datasetUid(owner, p.salt);
            p.token = tokens[i];
            p.maxRunsPerRequester = CAP;
            p.royaltyPerEpoch = i == 5 ? 1999 : uint128(ROYALTY + 7 * i + 1);
            p.startWindow = 2 hours;
            if (i % 2 == 0 || i == 5) p.payee = splitAccounts[0];
            register(p);
            current.push(p);
            for (uint256 r = 0; r < requesters.length && i > 0; ++r) {
                PlainToken(tokens[i]).mint(requesters[r], 1e24);
                vm.prank(requesters[r]);
                (bool ok,) = tokens[i].call(
                    abi.encodeCall(PlainToken.approve, (address(policies), type(uint256).max))
                );
                assertTrue(ok);
            }
        }
        feePolicy = makePolicy();
        feePolicy.salt = "fee";
        feePolicy.datasetUid = policies.datasetUid(owner, "fee");
        feePolicy.token = address(feeToken);
        register(feePolicy);
        feeToken.mint(requester, 1e24);
        vm.prank(requester);
        feeToken.approve(address(policies), type(uint256).max);
    }

    function contractUnderTest() external view returns (IDataPolicy) {
        return policies;
    }

    function jobCount() external view returns (uint256) {
        return jobs.length;
    }

    function jobAt(uint256 i) external view returns (Job memory) {
        return jobs[i];
    }

    function policyAt(uint256 i) external view returns (Policy memory) {
        return current[i];
    }

    function manifestAt(uint256 i) external view returns (ResultManifest memory) {
        return manifests[i];
    }

    function splitAt(uint256 i) public view returns (Split memory) {
        return i == 0 ? outer : inner;
    }

    /// The two splits first, then everybody.
    function accounts() external view returns (bytes32[] memory out) {
        address[8] memory known = [
            payee,
            treasury,
            computePayee,
            makeAddressOf(outer.accounts[0]),
            makeAddressOf(inner.accounts[0]),
            makeAddressOf(inner.accounts[1]),
            requester,
            stranger
        ];
        out = new bytes32[](2 + 8 + 5);
        (out[0], out[1]) = (splitAccounts[0], splitAccounts[1]);
        for (uint256 i = 0; i < 8; ++i) {
            out[2 + i] = policies.accountOf(known[i]);
        }
        for (uint256 i = 0; i < 5; ++i) {
            out[10 + i] = policies.accountOf(requesters[1 + i]);
        }
    }

    function makeAddressOf(bytes32 account) private pure returns (address) {
        return address(uint160(uint256(account)));
    }

    /// One call of a walk. Steps that move a job forward come more often, so that walks get somewhere.
    function act(uint256 kind, uint256 seed, uint256 other, uint32 number, bool flag) external {
        uint256 k = kind % 32;
        if (k < 7) request(seed, other, number, flag);
        else if (k < 12) start_(seed);
        else if (k < 13) restart(seed);
        else if (k < 16) confirm_(seed, number);
        else if (k < 17) fail_(seed, uint8(other % 8) + 1, number);
        else if (k < 18) silence(seed);
        else if (k < 19) cancel(seed);
        else if (k < 20) decline(seed);
        else if (k < 22) expire(seed, flag);
        else if (k < 23) reopen(seed);
        else if (k < 25) withdraw(seed, other);
        else if (k < 27) distribute(seed, flag ? 1 : 0);
        else if (k < 28) pause(seed);
        else if (k < 29) update(seed, uint128(other));
        else if (k < 30) list(seed, flag);
        else if (k < 31) flag ? arm(seed) : requestWithAFeeToken(number);
        else pass(number);
    }

    // ---------------------------------------------------------------------------------------- entry

    function request(uint256 tokenSeed, uint256 whoSeed, uint32 epochs, bool quoted) private {
        uint256 i = tokenSeed % tokens.length;
        address who = requesters[whoSeed % requesters.length];
        Policy memory p = current[i];
        (, bool paused) = policies.datasetState(p.datasetUid);
        (, uint32 runs,) = policies.runsOf(p.datasetUid, who);
        if (paused || runs >= CAP || blacklist.listed(who)) return;
        Request memory r = makeRequest(uint32(bound(epochs, 1, p.maxEpochsPerRun)));
        if (quoted) r.providerId = providerId;
        Job memory j = expectedJob(p, r, who, quoted ? COMPUTE_FEE : 0, counters[i][who] + 1);
        uint256 value = i == 0 ? escrowOf(j) : 0;
        if (i == 0 && who.balance < value) return;
        SignedQuote memory quote = quoted ? makeQuote(j) : noQuote();
        vm.prank(who);
        policies.requestAccess{ value: value }(p, r, quote, noAdmission());
        ++counters[i][who];
        jobs.push(j);
        manifests.push();
        states.push(JobState.Granted);
        endings.push(0);
        paidIn[j.token] += escrowOf(j);
        openEscrow[j.token] += escrowOf(j);
        ++done["request"];
    }

    function requestWithAFeeToken(uint32 epochs) private {
        epochs = uint32(bound(epochs, 1, 5));
        vm.expectPartialRevert(TokenAmountWrong.selector);
        vm.prank(requester);
        policies.requestAccess(feePolicy, makeRequest(epochs));
    }

    function update(uint256 seed, uint128 royalty) private {
        uint256 i = seed % tokens.length;
        Policy memory old = current[i];
        Policy memory next = current[i];
        next.version += 1;
        next.royaltyPerEpoch = uint128(bound(royalty, 0, i == 5 ? 99_999 : 1 ether));
        vm.prank(owner);
        policies.updatePolicy(old, next);
        current[i].version = next.version;
        current[i].royaltyPerEpoch = next.royaltyPerEpoch;
    }

    function pause(uint256 seed) private {
        Policy memory p = current[seed % tokens.length];
        (, bool paused) = policies.datasetState(p.datasetUid);
        vm.prank(owner);
        if (paused) policies.resumePolicy(p);
        else policies.pausePolicy(p);
    }

    // ------------------------------------------------------------------------------------- the steps

    function start_(uint256 seed) private {
        (bool found, uint256 k) = pick(seed, JobState.Granted);
        if (!found || block.timestamp > jobs[k].startDeadline) return;
        Job memory j = jobs[k];
        // Granted -> Completed does not exist.
        ResultManifest memory m = makeManifest(j, 1);
        vm.expectPartialRevert(JobStateWrong.selector);
        policies.confirmTrainingComplete(j, m, "");
        jobs[k] = start(j);
        states[k] = JobState.Running;
        ++done["start"];
    }

    function restart(uint256 seed) private {
        (bool found, uint256 k) = pick(seed, JobState.Running);
        if (!found || block.timestamp > jobs[k].runDeadline || jobs[k].attempt >= 3) return;
        Job memory s = jobs[k];
        Job memory r = started(s, s.attempt + 1);
        r.runDeadline = s.runDeadline;
        (Verdict[] memory v, MemberSignature[] memory m) = verdictsOf(r, range(seed % 2, 2));
        policies.restartJob(s, compute, v, m);
        jobs[k] = r;
        ++done["restart"];
    }

    function confirm_(uint256 seed, uint32 epochs) private {
        (bool found, uint256 k) = pick(seed, JobState.Running);
        if (!found) return;
        Job memory s = jobs[k];
        ResultManifest memory m = makeManifest(s, uint32(bound(epochs, 1, s.epochs)));
        bytes memory signature = sign(computeKey, Digests.hash(m));
        if (block.timestamp > s.runDeadline) {
            vm.expectPartialRevert(DeadlinePassed.selector);
            policies.confirmTrainingComplete(s, m, signature);
            return;
        }
        vm.expectPartialRevert(DeadlineNotPassed.selector);
        policies.expireJob(s);
        uint256[5] memory before = books(s);
        policies.confirmTrainingComplete(s, m, signature);
        uint256[5] memory later = books(s);
        uint256 royalty = uint256(s.royaltyPerUnit) * m.actualEpochs;
        uint256 fee = royalty * s.protocolFeeBps / 10_000;
        assertEq(later[0] - before[0], royalty - fee, "payee");
        assertEq(later[1] - before[1], fee, "protocol");
        assertEq(later[2] - before[2], uint256(s.computeFeePerEpoch) * m.actualEpochs, "compute");
        uint256 parts = (later[0] - before[0]) + (later[1] - before[1]) + (later[2] - before[2]);
        ended(k, JobState.Completed, before[4] - later[4]);
        manifests[k] = m;
        // 2: the refund is a coin that left, or a credit.
        assertEq(parts + (later[3] - before[3]) + (before[4] - later[4]), escrowOf(s), "sum");
        ++done["confirm"];
    }

    // ------------------------------------------------------------------------------------- ways out

    function fail_(uint256 seed, uint8 reason, uint32 epochsDone) private {
        (bool found, uint256 k) = pick(seed, JobState.Running);
        if (!found) return;
        Job memory s = jobs[k];
        Reason why = Reason(uint8(bound(reason, 1, 8)));
        if (why == Reason.OWNER_WITHDREW) why = Reason.JOB_SPEC_INVALID;
        FailureReport memory f = makeReport(s, why, uint32(bound(epochsDone, 0, s.epochs)));
        bytes memory signature = sign(computeKey, Digests.hash(f));
        uint256 before = held(s.token);
        policies.markJobFailed(s, f, signature);
        ended(k, JobState.Failed, before - held(s.token));
        ++done["fail"];
    }

    function silence(uint256 seed) private {
        (bool found, uint256 k) = pick(seed, JobState.Running);
        if (!found) return;
        Job memory s = jobs[k];
        uint256 before = held(s.token);
        policies.markJobFailed(s, silencesOf(s, range(seed % 2, 2)));
        ended(k, JobState.Failed, before - held(s.token));
        ++done["silence"];
    }

    function cancel(uint256 seed) private {
        (bool found, uint256 k) = pick(seed, JobState.Granted);
        if (!found) return;
        Job memory j = jobs[k];
        uint256 before = held(j.token);
        vm.prank(j.requester);
        policies.cancelJob(j);
        ended(k, JobState.Cancelled, before - held(j.token));
        ++done["cancel"];
    }

    function decline(uint256 seed) private {
        (bool found, uint256 k) = pick(seed, JobState.Granted);
        if (!found) return;
        Job memory j = jobs[k];
        uint256 before = held(j.token);
        vm.prank(seed % 2 == 0 ? owner : operator);
        policies.declineJob(j);
        ended(k, JobState.Failed, before - held(j.token));
        ++done["decline"];
    }

    function expire(uint256 seed, bool runningJob) private {
        (bool found, uint256 k) = pick(seed, runningJob ? JobState.Running : JobState.Granted);
        if (!found) return;
        Job memory j = jobs[k];
        if (runningJob) {
            // Running -> Cancelled does not exist.
            vm.expectPartialRevert(JobStateWrong.selector);
            vm.prank(j.requester);
            policies.cancelJob(j);
        }
        uint64 deadline = runningJob ? j.runDeadline : j.startDeadline;
        if (block.timestamp <= deadline) {
            if (seed % 4 != 0) return;
            vm.warp(deadline + 1);
        }
        uint256 before = held(j.token);
        policies.expireJob(j);
        ended(k, JobState.Expired, before - held(j.token));
        ++done["expire"];
    }

    function reopen(uint256 seed) private {
        if (jobs.length == 0) return;
        uint256 k = seed % jobs.length;
        if (states[k] == JobState.Granted || states[k] == JobState.Running) return;
        Job memory j = jobs[k];
        vm.expectPartialRevert(JobStateWrong.selector);
        policies.expireJob(j);
        vm.expectPartialRevert(JobStateWrong.selector);
        policies.confirmTrainingComplete(j, makeManifest(j, 1), "");
        vm.expectPartialRevert(JobStateWrong.selector);
        vm.prank(j.requester);
        policies.cancelJob(j);
    }

    // ------------------------------------------------------------------------------------- the money

    /// To itself, or, where the account takes no coins and half of the time, to somewhere else.
    function withdraw(uint256 seed, uint256 tokenSeed) private {
        bytes32[] memory all = this.accounts();
        address t = tokens[tokenSeed % tokens.length];
        withdrawOne(all[2 + seed % (all.length - 2)], t, seed % 2 == 0);
    }

    function withdrawOne(bytes32 account, address t, bool elsewhere) private {
        uint256 owed = policies.credit(account, t);
        if (owed == 0) return;
        address who = makeAddressOf(account);
        uint256 before = held(t);
        if (t == address(callback)) {
            callback.arm(address(policies), abi.encodeCall(ILedger.withdraw, (who, t)));
        }
        bool ok;
        if (elsewhere) {
            vm.prank(who);
            (ok,) = address(policies).call(abi.encodeCall(ILedger.withdrawTo, (makeAddr("elsewhere"), t)));
            assertTrue(ok, "withdrawTo");
        } else {
            (ok,) = address(policies).call(abi.encodeCall(ILedger.withdraw, (who, t)));
        }
        if (!ok) {
            // A receiver or a token that refuses keeps its own credit, and only that.
            assertEq(policies.credit(account, t), owed);
            return;
        }
        assertEq(before - held(t), owed);
        assertEq(policies.credit(account, t), 0);
        paidOut[t] += owed;
        ++done[elsewhere ? "withdrawTo" : "withdraw"];
    }

    function distribute(uint256 tokenSeed, uint256 which) private {
        address t = tokens[tokenSeed % tokens.length];
        Split memory s = splitAt(which);
        uint256 due = policies.distributable(s, t);
        if (due == 0) {
            vm.expectPartialRevert(NothingToDistribute.selector);
            policies.distribute(s, t);
            return;
        }
        policies.distribute(s, t);
        (, uint256 now_) = policies.splitBooks(s, t);
        assertEq(now_, paid[splitAccounts[which]][t] + due);
        paid[splitAccounts[which]][t] = now_;
        ++done[which == 0 ? "distribute" : "distribute inner"];
    }

    /// The end of the world: every job ends, everything vests, everybody is paid. A receiver that takes no
    /// coins is paid somewhere else.
    function drain() external {
        vm.warp(block.timestamp + 365 days);
        for (uint256 r = 0; r < requesters.length; ++r) {
            blacklist.list(requesters[r], false);
        }
        for (uint256 k = 0; k < jobs.length; ++k) {
            if (states[k] != JobState.Granted && states[k] != JobState.Running) continue;
            uint256 before = held(jobs[k].token);
            policies.expireJob(jobs[k]);
            ended(k, JobState.Expired, before - held(jobs[k].token));
        }
        bytes32[] memory all = this.accounts();
        for (uint256 t = 0; t < tokens.length; ++t) {
            for (uint256 which = 0; which < 2; ++which) {
                distribute(t, which);
            }
            for (uint256 i = 2; i < all.length; ++i) {
                withdrawOne(all[i], tokens[t], true);
            }
        }
    }

    function list(uint256 whoSeed, bool value) private {
        blacklist.list(requesters[whoSeed % requesters.length], value);
    }

    function arm(uint256 seed) private {
        if (jobs.length == 0) return;
        callback.arm(address(policies), abi.encodeCall(IDataPolicy.expireJob, (jobs[seed % jobs.length])));
    }

    function pass(uint32 time) private {
        vm.warp(block.timestamp + bound(time, 1, 40 minutes));
    }

    // -------------------------------------------------------------------------------------- internals

    function pick(uint256 seed, JobState state) private view returns (bool, uint256) {
        for (uint256 i = 0; i < jobs.length; ++i) {
            uint256 k = (seed % jobs.length + i) % jobs.length;
            if (states[k] == state) return (true, k);
        }
        return (false, 0);
    }

    function ended(uint256 k, JobState state, uint256 left) private {
        Job memory j = jobs[k];
        states[k] = state;
        ++endings[k];
        openEscrow[j.token] -= escrowOf(j);
        paidOut[j.token] += left;
        if (j.token != address(0)) assertEq(left, 0, "a token is never pushed");
    }

    function held(address t) public view returns (uint256) {
        return t == address(0) ? address(policies).balance : PlainToken(t).balanceOf(address(policies));
    }

    function books(Job memory s) private view returns (uint256[5] memory out) {
        out[0] = policies.credit(s.payee, s.token);
        out[1] = policies.credit(policies.accountOf(treasury), s.token);
        out[2] = policies.credit(s.computePayee, s.token);
        out[3] = policies.credit(policies.accountOf(s.requester), s.token);
        out[4] = held(s.token);
    }
}
