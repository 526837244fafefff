// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import { Test } from "forge-std/Test.sol";

import "../../src/Errors.sol";
import {
    Admission,
    Approval,
    FailureReport,
    Job,
    JobState,
    LEVEL_HARDWARE,
    LEVEL_SOFTWARE,
    Member,
    MemberSignature,
    Policy,
    Provider,
    Quote,
    Reason,
    Request,
    ResultManifest,
    SignedQuote,
    Silence,
    Split,
    UNIT_EPOCH,
    Verdict
} from "../../src/Types.sol";
import { ICustody } from "../../src/interfaces/ICustody.sol";
import { IDataPolicy } from "../../src/interfaces/IDataPolicy.sol";
import { ILedger } from "../../src/interfaces/ILedger.sol";
import { Digests } from "./Digests.sol";
import { PlainToken } from "./Tokens.sol";

/// One small world: an owner, a requester, three custodians of whom two suffice, a second set of the
/// requester's choice, a provider, and compute. Tests reach the contracts through src/interfaces and
/// deploy them from their artifacts, so a test file never compiles them again.
abstract contract Base is Test {
    using Digests for *;

    uint256 internal constant START = 1_800_000_000;
    uint16 internal constant FEE_BPS = 250;
    uint128 internal constant ROYALTY = 0.01 ether;
    uint128 internal constant COMPUTE_FEE = 0.003 ether;
    bytes32 internal constant PURPOSE = keccak256("BIOMEDICAL");

    ICustody internal custody;
    IDataPolicy internal policies;
    PlainToken internal token;

    address internal owner;
    uint256 internal ownerKey;
    address internal requester;
    uint256 internal requesterKey;
    address internal operator = makeAddr("operator");
    address internal treasury = makeAddr("treasury");
    address internal payee = makeAddr("payee");
    address internal computePayee = makeAddr("computePayee");
    address internal stranger = makeAddr("stranger");
    address internal compute;
    uint256 internal computeKey;
    address internal providerSigner;
    uint256 internal providerKey;

    uint256[] internal memberKeys;
    uint256[] internal verifierKeys;
    bytes32 internal setId;
    bytes32 internal verifierSetId;
    bytes32 internal appraisal;
    bytes32 internal providerId;

    function setUp() public virtual {
        vm.warp(START);
        (owner, ownerKey) = makeAddrAndKey("owner");
        (requester, requesterKey) = makeAddrAndKey("requester");
        (compute, computeKey) = makeAddrAndKey("compute");
        (providerSigner, providerKey) = makeAddrAndKey("providerSigner");
        custody = ICustody(deployCode("Custody.sol:Custody"));
        policies = deploy(FEE_BPS);
        token = new PlainToken();
        token.mint(requester, 1e30);
        vm.prank(requester);
        token.approve(address(policies), type(uint256).max);
        vm.deal(requester, 1_000_000 ether);

        (setId, memberKeys) = makeSet("custodian", 3, 2);
        (verifierSetId, verifierKeys) = makeSet("verifier", 2, 1);
        appraisal = custody.createAppraisalPolicy("appraisal", new bytes32[](0));
        providerId = custody.registerProvider(
            "provider", providerSigner, policies.accountOf(computePayee), "CH", new bytes32[](1)
        );
    }

    // ---------------------------------------------------------------------------------- the world

    function deploy(uint16 feeBps) internal returns (IDataPolicy) {
        return IDataPolicy(
            deployCode(
                "DataPolicy.sol:DataPolicy", abi.encode(address(custody), address(0), treasury, feeBps)
            )
        );
    }

    function makeSet(string memory name, uint256 n, uint8 t)
        internal
        returns (bytes32 id, uint256[] memory keys)
    {
        Member[] memory members;
        (members, keys) = makeMembers(name, n);
        id = custody.createSet(keccak256(bytes(name)), t, members);
    }

    function makeMembers(string memory name, uint256 n)
        internal
        returns (Member[] memory members, uint256[] memory keys)
    {
        members = new Member[](n);
        keys = new uint256[](n);
        for (uint256 i = 0; i < n; ++i) {
            (members[i].signer, keys[i]) = makeAddrAndKey(string.concat(name, vm.toString(i)));
            members[i].hpkeKey = keccak256(abi.encode(name, i));
        }
    }

    function makePolicy() internal view returns (Policy memory p) {
        p.owner = owner;
        p.salt = keccak256("salt");
        p.datasetUid = policies.datasetUid(owner, p.salt);
        p.datasetRoot = keccak256("root");
        p.version = 1;
        p.envelopeHash = keccak256("envelope");
        p.payee = policies.accountOf(payee);
        p.royaltyPerEpoch = ROYALTY;
        p.maxEpochsPerRun = 5;
        p.maxRunsPerRequester = 10;
        p.startWindow = 30 minutes;
        p.runWindow = 6 hours;
        p.purposes = new bytes32[](1);
        p.purposes[0] = PURPOSE;
        p.constraintsHash = keccak256("constraints");
        p.manifestHash = keccak256("manifest");
        p.termsHash = keccak256("terms");
        p.custodianSet = setId;
        p.setVersion = 1;
        p.appraisalPolicy = appraisal;
        p.requiredLevel = LEVEL_SOFTWARE;
        p.operator = operator;
    }

    function makeRequest(uint32 epochs) internal pure returns (Request memory r) {
        r.purposeId = PURPOSE;
        r.epochs = epochs;
        r.units = epochs;
        r.termsHash = keccak256("terms");
        r.jobSpecHash = keccak256("spec");
        r.resultKey = keccak256("resultKey");
    }

    function register(Policy memory p) internal {
        vm.prank(p.owner);
        policies.registerDataset(p);
    }

    // ------------------------------------------------------------------------------------- a job

    /// The job as anybody rebuilds it from what was asked; tests compare its hash with the chain.
    function expectedJob(Policy memory p, Request memory r, address who, uint128 fee, uint64 counter)
        internal
        view
        returns (Job memory j)
    {
        j.jobId = policies.jobId(p.datasetUid, who, counter);
        j.policyHash = keccak256(abi.encode(p));
        j.requester = who;
        j.datasetUid = p.datasetUid;
        j.datasetRoot = p.datasetRoot;
        j.envelopeHash = p.envelopeHash;
        j.token = p.token;
        j.payee = p.payee;
        j.operator = p.operator;
        j.owner = p.owner;
        j.royaltyPerUnit = p.royaltyPerEpoch;
        j.unit = UNIT_EPOCH;
        j.units = r.units;
        j.epochs = r.epochs;
        j.computeFeePerEpoch = fee;
        j.providerId = r.providerId;
        j.computePayee = r.providerId == 0 ? bytes32(0) : policies.accountOf(computePayee);
        j.protocolFeeBps = policies.feeBps();
        j.jobSpecHash = r.jobSpecHash;
        j.resultKey = r.resultKey;
        j.purposeId = r.purposeId;
        j.licenseId = r.licenseId;
        j.custodianSet = p.custodianSet;
        j.setVersion = p.setVersion;
        j.verifierSet = r.verifierSet;
        j.verifierSetVersion = r.verifierSetVersion;
        j.appraisalPolicy = p.appraisalPolicy;
        j.requiredLevel = p.requiredLevel;
        j.runWindow = p.runWindow;
        j.startDeadline = uint64(block.timestamp) + p.startWindow;
    }

    function escrowOf(Job memory j) internal pure returns (uint256) {
        return uint256(j.royaltyPerUnit) * j.units + uint256(j.computeFeePerEpoch) * j.epochs;
    }

    /// Opens a job without a provider, as `requester`.
    function open(Policy memory p, Request memory r) internal returns (Job memory j) {
        return openAs(requester, p, r);
    }

    function openAs(address who, Policy memory p, Request memory r) internal returns (Job memory j) {
        (uint64 counter,,) = policies.runsOf(p.datasetUid, who);
        j = expectedJob(p, r, who, 0, counter + 1);
        uint256 value = p.token == address(0) ? escrowOf(j) : 0;
        vm.prank(who);
        policies.requestAccess{ value: value }(p, r);
    }

    /// Opens a job with the provider named and paid.
    function openQuoted(Policy memory p, Request memory r) internal returns (Job memory j) {
        r.providerId = providerId;
        (uint64 counter,,) = policies.runsOf(p.datasetUid, requester);
        j = expectedJob(p, r, requester, COMPUTE_FEE, counter + 1);
        uint256 value = p.token == address(0) ? escrowOf(j) : 0;
        SignedQuote memory quote = makeQuote(j);
        vm.prank(requester);
        policies.requestAccess{ value: value }(p, r, quote, noAdmission());
    }

    /// A quote for the next job of `requester`.
    function makeQuote(Policy memory p, Request memory r) internal view returns (SignedQuote memory) {
        (uint64 counter,,) = policies.runsOf(p.datasetUid, requester);
        Job memory j = expectedJob(p, r, requester, COMPUTE_FEE, counter + 1);
        j.providerId = providerId;
        return makeQuote(j);
    }

    /// A quote for exactly this job.
    function makeQuote(Job memory j) internal view returns (SignedQuote memory q) {
        q.quote = Quote({
            providerId: j.providerId,
            jobId: j.jobId,
            policyHash: j.policyHash,
            licenseId: j.licenseId,
            token: j.token,
            jobSpecHash: j.jobSpecHash,
            epochs: j.epochs,
            computeFeePerEpoch: j.computeFeePerEpoch,
            expiresAt: uint64(block.timestamp) + 1 hours
        });
        q.signature = sign(providerKey, q.quote.hash());
    }

    function noQuote() internal pure returns (SignedQuote memory q) { }

    function noAdmission() internal pure returns (Admission memory a) { }

    /// The job as it stands after a start: what `startJob` and `restartJob` commit to.
    function started(Job memory j, uint32 attempt) internal view returns (Job memory s) {
        s = copy(j);
        s.attempt = attempt;
        s.signer = compute;
        s.runtimeDataHash = runtimeDataHash(attempt);
        if (attempt == 1) s.runDeadline = uint64(block.timestamp) + j.runWindow;
    }

    function start(Job memory j) internal returns (Job memory s) {
        s = started(j, 1);
        uint256[] memory indices = range(0, 2);
        (Verdict[] memory v, MemberSignature[] memory m) = verdictsOf(s, indices);
        policies.startJob(j, compute, v, m);
    }

    function runtimeDataHash(uint32 attempt) internal pure returns (bytes32) {
        return keccak256(abi.encode("runtimeData", attempt));
    }

    function copy(Job memory j) internal pure returns (Job memory) {
        return abi.decode(abi.encode(j), (Job));
    }

    /// A Running job, with the provider named where `quoted`.
    function running(address tokenAddress, uint32 epochs, bool quoted) internal returns (Job memory) {
        Policy memory p = makePolicy();
        p.token = tokenAddress;
        register(p);
        Request memory r = makeRequest(epochs);
        return start(quoted ? openQuoted(p, r) : open(p, r));
    }

    function granted(address tokenAddress, uint32 epochs) internal returns (Job memory) {
        Policy memory p = makePolicy();
        p.token = tokenAddress;
        register(p);
        return open(p, makeRequest(epochs));
    }

    // --------------------------------------------------------------------------------- statements

    function makeVerdict(Job memory s) internal view returns (Verdict memory) {
        return Verdict({
            jobId: s.jobId,
            attempt: s.attempt,
            signer: s.signer,
            runtimeDataHash: s.runtimeDataHash,
            providerId: s.providerId == 0 ? providerId : s.providerId,
            level: LEVEL_SOFTWARE,
            appraisalPolicy: s.appraisalPolicy,
            custodianSet: s.custodianSet,
            setVersion: s.setVersion,
            expiresAt: uint64(block.timestamp) + 10 minutes
        });
    }

    /// Verdicts of the pinned set's members at `indices`.
    function verdictsOf(Job memory s, uint256[] memory indices)
        internal
        view
        returns (Verdict[] memory v, MemberSignature[] memory m)
    {
        v = new Verdict[](indices.length);
        m = new MemberSignature[](indices.length);
        for (uint256 i = 0; i < indices.length; ++i) {
            v[i] = makeVerdict(s);
            m[i] = signMember(memberKeys[indices[i]], uint16(indices[i]), v[i].hash());
        }
    }

    function silencesOf(Job memory s, uint256[] memory indices)
        internal
        view
        returns (MemberSignature[] memory m)
    {
        m = new MemberSignature[](indices.length);
        bytes32 structHash = Silence(s.jobId, s.attempt).hash();
        for (uint256 i = 0; i < indices.length; ++i) {
            m[i] = signMember(memberKeys[indices[i]], uint16(indices[i]), structHash);
        }
    }

    function makeManifest(Job memory s, uint32 epochs) internal pure returns (ResultManifest memory m) {
        m.jobId = s.jobId;
        m.attempt = s.attempt;
        m.datasetRoot = s.datasetRoot;
        m.resultHash = keccak256("result");
        m.actualEpochs = epochs;
        m.samples = 1000;
        m.tokensSeen = 123_456;
        m.tokensTrained = 100_000;
        m.computeSeconds = 3600;
        m.evalBefore = 4_200_000;
        m.evalAfter = 3_100_000;
        m.baseModelRoot = keccak256("base model");
        m.adapterRoot = keccak256("adapter");
        m.attestationRef = keccak256("evidence");
        m.reportHash = keccak256("report");
    }

    function confirm(Job memory s, uint32 epochs) internal {
        ResultManifest memory m = makeManifest(s, epochs);
        policies.confirmTrainingComplete(s, m, sign(computeKey, m.hash()));
    }

    function makeReport(Job memory s, Reason reason, uint32 epochsDone)
        internal
        pure
        returns (FailureReport memory)
    {
        return FailureReport(s.jobId, s.attempt, reason, epochsDone, s.runtimeDataHash);
    }

    function fail(Job memory s, Reason reason, uint32 epochsDone) internal {
        FailureReport memory f = makeReport(s, reason, epochsDone);
        policies.markJobFailed(s, f, sign(computeKey, f.hash()));
    }

    function digestOf(bytes32 structHash) internal view returns (bytes32) {
        return Digests.digest(Digests.domain(address(policies)), structHash);
    }

    function sign(uint256 key, bytes32 structHash) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digestOf(structHash));
        return abi.encodePacked(r, s, v);
    }

    function signMember(uint256 key, uint16 index, bytes32 structHash)
        internal
        view
        returns (MemberSignature memory)
    {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digestOf(structHash));
        return MemberSignature(index, r, bytes32(uint256(s) | (uint256(v - 27) << 255)));
    }

    function range(uint256 from, uint256 count) internal pure returns (uint256[] memory out) {
        out = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) {
            out[i] = from + i;
        }
    }

    // --------------------------------------------------------------------------------------- splits

    function makeSplit(bytes32[] memory accounts, uint16[] memory bps) internal pure returns (Split memory) {
        return Split({ accounts: accounts, bps: bps, start: 0, duration: 0 });
    }

    /// Two addresses by weight.
    function splitOf(address one, address two, uint16 bpsOfOne) internal view returns (Split memory s) {
        s.accounts = new bytes32[](2);
        (s.accounts[0], s.accounts[1]) = (policies.accountOf(one), policies.accountOf(two));
        s.bps = new uint16[](2);
        (s.bps[0], s.bps[1]) = (bpsOfOne, 10_000 - bpsOfOne);
    }

    // --------------------------------------------------------------------------------- assertions

    function assertState(Job memory j, JobState expected) internal view {
        (JobState state, bytes32 commitment) = policies.jobState(j.jobId);
        assertEq(uint8(state), uint8(expected), "state");
        assertEq(commitment, commitmentOf(keccak256(abi.encode(j))), "commitment");
    }

    /// The slot of a Completed job answers for its result too.
    function assertCompleted(Job memory s, ResultManifest memory m) internal view {
        (JobState state, bytes32 commitment) = policies.jobState(s.jobId);
        assertEq(uint8(state), uint8(JobState.Completed), "state");
        assertEq(commitment, resultCommitment(s, m), "commitment");
        assertTrue(policies.isResult(s, m), "isResult");
    }

    function commitmentOf(bytes32 hash) internal pure returns (bytes32) {
        return bytes32((uint256(hash) >> 8) << 8);
    }

    function resultCommitment(Job memory s, ResultManifest memory m) internal pure returns (bytes32) {
        bytes32 job = commitmentOf(keccak256(abi.encode(s)));
        return commitmentOf(keccak256(abi.encodePacked(job, keccak256(abi.encode(m)))));
    }

    function creditOf(address account, address tokenAddress) internal view returns (uint256) {
        return policies.credit(policies.accountOf(account), tokenAddress);
    }

    function runsUsed() internal view returns (uint32 runs) {
        (, runs,) = policies.runsOf(makePolicy().datasetUid, requester);
    }
}
