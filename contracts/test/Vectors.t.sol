// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "./utils/Base.sol";

import { UNIT_COMPUTE_SECOND, UNIT_KILOTOKEN, UNIT_SAMPLE } from "../src/Types.sol";
import { Money } from "../src/lib/Money.sol";
import { Units } from "../src/lib/Units.sol";

/// vectors/contracts.json is what Rust and TypeScript check their own encodings against. Here every
/// value in it is checked against the deployed contract where the contract exposes it, and against
/// abi.encode and EIP-712 as written down in Digests where it does not. The inputs in the file are
/// compared too, so neither side can drift. `vectors/check_contracts.py` computes all of it a second
/// time from the inputs, in another language.
///
/// `LICEN_WRITE_VECTORS=1 forge test --match-contract VectorsTest` prints the file's content.
contract VectorsTest is Base {
    /// What was asked, what was done, and what it comes to.
    struct MoneyCase {
        uint128 royaltyPerUnit;
        uint8 unit;
        uint64 units;
        uint32 epochs;
        uint128 computeFeePerEpoch;
        uint16 protocolFeeBps;
        uint32 actualEpochs;
        uint64 samples;
        uint64 tokensTrained;
        uint64 computeSeconds;
    }

    struct VestingCase {
        uint256 totalIn;
        uint64 start;
        uint64 duration;
        uint64 timestamp;
        uint16 bps;
    }

    uint64 private constant NONCE = 4;
    uint64 private constant DEADLINE = 1_800_000_500;

    string private constant FILE = "../vectors/contracts.json";
    address private constant DEPLOYED = 0x5FbDB2315678afecb367f032d93F642f64180aa3;

    function setUp() public override {
        super.setUp();
        // The contract stands where the vectors say, so that uid, domain and ids are what it computes.
        deployCodeTo(
            "DataPolicy.sol:DataPolicy",
            abi.encode(address(custody), address(0), treasury, uint16(FEE_BPS)),
            DEPLOYED
        );
        policies = IDataPolicy(DEPLOYED);
    }

    function examplePolicy() private view returns (Policy memory p) {
        p.owner = 0x70997970C51812dc3A010C7d01b50e0d17dc79C8;
        p.salt = keccak256("vectors/salt");
        p.datasetUid = policies.datasetUid(p.owner, p.salt);
        p.datasetRoot = keccak256("vectors/datasetRoot");
        p.version = 1;
        p.envelopeHash = keccak256("vectors/envelopeHash");
        p.payee = policies.splitAccount(exampleSplit());
        p.token = address(0);
        p.royaltyPerEpoch = 10_000_000_000_000_000;
        p.maxEpochsPerRun = 5;
        p.maxRunsPerRequester = 3;
        p.startWindow = 1800;
        p.runWindow = 21_600;
        p.policyExpiry = 1_900_000_000;
        p.purposes = new bytes32[](2);
        p.purposes[0] = keccak256("BIOMEDICAL");
        p.purposes[1] = keccak256("NEURAL_RESEARCH");
        p.requestersRoot = keccak256("vectors/requestersRoot");
        p.constraintsHash = keccak256("vectors/constraintsHash");
        p.manifestHash = keccak256("vectors/manifestHash");
        p.termsHash = keccak256("vectors/termsHash");
        p.custodianSet = keccak256("vectors/custodianSet");
        p.setVersion = 7;
        p.appraisalPolicy = keccak256("vectors/appraisalPolicy");
        p.requiredLevel = 1;
        p.operator = 0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC;
    }

    /// A payee of `exampleSplit`.
    function exampleInnerSplit() private pure returns (Split memory s) {
        s.accounts = new bytes32[](2);
        s.accounts[0] = bytes32(uint256(uint160(0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC)));
        s.accounts[1] = bytes32(uint256(uint160(0x90F79bf6EB2c4f870365E785982E1f101E93b906)));
        s.bps = new uint16[](2);
        (s.bps[0], s.bps[1]) = (7500, 2500);
        s.start = 1_800_000_000;
    }

    function exampleSplit() private view returns (Split memory s) {
        s.accounts = new bytes32[](3);
        s.accounts[0] = bytes32(uint256(uint160(0x70997970C51812dc3A010C7d01b50e0d17dc79C8)));
        s.accounts[1] = policies.splitAccount(exampleInnerSplit());
        s.accounts[2] = bytes32(uint256(uint160(0x90F79bf6EB2c4f870365E785982E1f101E93b906)));
        s.bps = new uint16[](3);
        (s.bps[0], s.bps[1], s.bps[2]) = (6000, 3000, 1000);
        (s.start, s.duration) = (1_800_000_000, 31_536_000);
    }

    function exampleRequest() private view returns (Request memory r) {
        Job memory j = exampleJob();
        r = makeRequest(j.epochs);
        r.purposeId = j.purposeId;
        r.termsHash = examplePolicy().termsHash;
        r.jobSpecHash = j.jobSpecHash;
        r.resultKey = j.resultKey;
        r.providerId = j.providerId;
        r.verifierSet = j.verifierSet;
        r.verifierSetVersion = j.verifierSetVersion;
    }

    function exampleJob() private view returns (Job memory j) {
        Policy memory p = examplePolicy();
        j.jobId = policies.jobId(p.datasetUid, 0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65, 1);
        j.policyHash = policies.policyHash(p);
        j.requester = 0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65;
        j.datasetUid = p.datasetUid;
        j.datasetRoot = p.datasetRoot;
        j.envelopeHash = p.envelopeHash;
        j.token = p.token;
        j.payee = p.payee;
        j.operator = p.operator;
        j.owner = p.owner;
        j.royaltyPerUnit = p.royaltyPerEpoch;
        j.unit = UNIT_EPOCH;
        j.units = 3;
        j.epochs = 3;
        j.computeFeePerEpoch = 2_000_000_000_000_000;
        j.providerId = keccak256("vectors/providerId");
        j.computePayee = bytes32(uint256(uint160(0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc)));
        j.protocolFeeBps = 250;
        j.jobSpecHash = keccak256("vectors/jobSpecHash");
        j.resultKey = keccak256("vectors/resultKey");
        j.purposeId = p.purposes[0];
        j.licenseId = 0;
        j.custodianSet = p.custodianSet;
        j.setVersion = p.setVersion;
        j.verifierSet = keccak256("vectors/verifierSet");
        j.verifierSetVersion = 2;
        j.appraisalPolicy = p.appraisalPolicy;
        j.requiredLevel = p.requiredLevel;
        j.runWindow = p.runWindow;
        j.startDeadline = 1_800_001_800;
    }

    function exampleStarted() private view returns (Job memory j) {
        j = exampleJob();
        j.runDeadline = 1_800_023_400;
        j.attempt = 1;
        j.signer = 0x976EA74026E726554dB657fA54763abd0C3a0aa9;
        j.runtimeDataHash = keccak256("vectors/runtimeDataHash");
    }

    function exampleVerdict() private view returns (Verdict memory v) {
        Job memory j = exampleStarted();
        v = makeVerdict(j);
        v.expiresAt = 1_800_000_900;
    }

    function exampleQuote() private view returns (Quote memory q) {
        q = makeQuote(exampleJob()).quote;
        q.expiresAt = 1_800_000_600;
    }

    function exampleApproval() private view returns (Approval memory) {
        Job memory j = exampleJob();
        return Approval(j.datasetUid, examplePolicy().requestersRoot, j.requester, 1_800_000_700);
    }

    function test_vectors_ids() public {
        Policy memory p = examplePolicy();
        Job memory j = exampleJob();
        Job memory s = exampleStarted();
        string memory file = vm.readFile(FILE);
        expect(file, ".expected.datasetUid", policies.datasetUid(p.owner, p.salt));
        expect(file, ".expected.policyHash", policies.policyHash(p));
        expect(file, ".expected.policyHash", keccak256(abi.encode(p)));
        expect(file, ".expected.jobId", policies.jobId(p.datasetUid, j.requester, 1));
        expect(file, ".expected.jobHash", keccak256(abi.encode(j)));
        expect(file, ".expected.jobCommitment", policies.jobCommitment(j));
        expect(file, ".expected.startedJobHash", keccak256(abi.encode(s)));
        expect(file, ".expected.startedJobCommitment", policies.jobCommitment(s));
        expect(file, ".expected.manifestHash", keccak256(abi.encode(makeManifest(s, 2))));
        expect(file, ".expected.resultCommitment", resultCommitment(s, makeManifest(s, 2)));
        expect(file, ".expected.splitAccount", policies.splitAccount(exampleSplit()));
        expect(file, ".expected.splitAccount", keccak256(abi.encode("LICEN/split/v2", exampleSplit())));
        expect(file, ".expected.innerSplitAccount", policies.splitAccount(exampleInnerSplit()));
        expect(file, ".expected.addressAccount", policies.accountOf(p.owner));
        expect(file, ".expected.domainSeparator", policies.domainSeparator());
        expect(file, ".expected.requesterLeaf", keccak256(bytes.concat(keccak256(abi.encode(j.requester)))));
        expect(file, ".expected.custodyId", custody.idOf(p.owner, p.salt));
    }

    function test_vectors_statements() public {
        string memory file = vm.readFile(FILE);
        Job memory s = exampleStarted();
        typed(file, "RegisterDataset", Digests.hashRegister(examplePolicy(), NONCE, DEADLINE));
        typed(file, "Policy", Digests.hash(examplePolicy()));
        typed(file, "Quote", Digests.hash(exampleQuote()));
        typed(file, "Approval", Digests.hash(exampleApproval()));
        typed(file, "Verdict", Digests.hash(exampleVerdict()));
        typed(file, "Silence", Digests.hash(Silence(s.jobId, s.attempt)));
        typed(file, "ResultManifest", Digests.hash(makeManifest(s, 2)));
        typed(file, "FailureReport", Digests.hash(makeReport(s, Reason.JOB_SPEC_INVALID, 1)));
    }

    /// The inputs in the file, field by field in the order of Types.sol.
    function test_vectors_inputs() public {
        string memory file = vm.readFile(FILE);
        Job memory s = exampleStarted();
        words(file, "policy", abi.encode(examplePolicy()));
        words(file, "split", abi.encode(exampleSplit()));
        words(file, "innerSplit", abi.encode(exampleInnerSplit()));
        words(file, "request", abi.encode(exampleRequest()));
        words(file, "job", abi.encode(exampleJob()));
        words(file, "startedJob", abi.encode(s));
        words(file, "verdict", abi.encode(exampleVerdict()));
        words(file, "quote", abi.encode(exampleQuote()));
        words(file, "approval", abi.encode(exampleApproval()));
        words(file, "resultManifest", abi.encode(makeManifest(s, 2)));
        words(file, "failureReport", abi.encode(makeReport(s, Reason.JOB_SPEC_INVALID, 1)));
        words(file, "silence", abi.encode(Silence(s.jobId, s.attempt)));
    }

    function done(uint8 unit, ResultManifest calldata m) external pure returns (uint256) {
        return Units.done(unit, m);
    }

    function moneyCases() private pure returns (MoneyCase[] memory c) {
        c = new MoneyCase[](8);
        c[0] = MoneyCase(1e16, UNIT_EPOCH, 5, 5, 2e15, 250, 2, 1000, 100_000, 3600);
        c[1] = MoneyCase(7, UNIT_SAMPLE, 20_000, 3, 11, 499, 3, 19_999, 1, 1);
        c[2] = MoneyCase(7, UNIT_SAMPLE, 20_000, 3, 11, 500, 1, 20_001, 1, 1);
        c[3] = MoneyCase(13, UNIT_KILOTOKEN, 1000, 2, 0, 1, 2, 1, 999_001, 1);
        c[4] = MoneyCase(13, UNIT_KILOTOKEN, 1000, 2, 0, 0, 2, 1, 1000, 1);
        c[5] = MoneyCase(13, UNIT_KILOTOKEN, 1000, 2, 5, 0, 2, 1, 0, 1);
        c[6] = MoneyCase(3, UNIT_COMPUTE_SECOND, 7200, 9, 17, 333, 8, 1, 1, 7201);
        c[7] = MoneyCase(
            type(uint128).max,
            UNIT_KILOTOKEN,
            type(uint64).max,
            type(uint32).max,
            type(uint128).max,
            500,
            type(uint32).max,
            1,
            type(uint64).max,
            1
        );
    }

    function test_vectors_money() public {
        string memory file = vm.readFile(FILE);
        MoneyCase[] memory cases = moneyCases();
        for (uint256 i = 0; i < cases.length; ++i) {
            string memory at = string.concat(".money[", vm.toString(i), "]");
            moneyInputs(file, at, cases[i]);
            moneyOutputs(file, at, cases[i]);
        }
    }

    function moneyInputs(string memory file, string memory at, MoneyCase memory c) private {
        number(file, at, ".royaltyPerUnit", c.royaltyPerUnit);
        number(file, at, ".unit", c.unit);
        number(file, at, ".units", c.units);
        number(file, at, ".epochs", c.epochs);
        number(file, at, ".computeFeePerEpoch", c.computeFeePerEpoch);
        number(file, at, ".protocolFeeBps", c.protocolFeeBps);
        number(file, at, ".actualEpochs", c.actualEpochs);
        number(file, at, ".samples", c.samples);
        number(file, at, ".tokensTrained", c.tokensTrained);
        number(file, at, ".computeSeconds", c.computeSeconds);
    }

    function moneyOutputs(string memory file, string memory at, MoneyCase memory c) private {
        ResultManifest memory m;
        m.actualEpochs = c.actualEpochs;
        m.samples = c.samples;
        m.tokensTrained = c.tokensTrained;
        m.computeSeconds = c.computeSeconds;
        uint256 did = this.done(c.unit, m);
        uint256 royalty = Money.royalty(c.royaltyPerUnit, c.units, did);
        uint256 escrow = Money.escrow(c.royaltyPerUnit, c.units, c.computeFeePerEpoch, c.epochs);
        uint256 fee = Money.computeFee(c.computeFeePerEpoch, c.actualEpochs);
        number(file, at, ".done", did);
        number(file, at, ".escrow", escrow);
        number(file, at, ".royalty", royalty);
        number(file, at, ".protocolFee", Money.protocolFee(royalty, c.protocolFeeBps));
        number(file, at, ".computeFee", fee);
        number(file, at, ".refund", escrow - royalty - fee);
    }

    function vestingCases() private pure returns (VestingCase[] memory c) {
        c = new VestingCase[](7);
        c[0] = VestingCase(1e18, 1_800_000_000, 1000, 1_800_000_333, 3333);
        c[1] = VestingCase(9999, 1_800_000_000, 0, 1_799_999_999, 10_000);
        c[2] = VestingCase(9999, 1_800_000_000, 0, 1_800_000_000, 3333);
        c[3] = VestingCase(9999, 1_800_000_000, 7, 1_800_000_000, 3333);
        c[4] = VestingCase(9999, 1_800_000_000, 7, 1_800_000_006, 3334);
        c[5] = VestingCase(9999, 1_800_000_000, 7, 1_800_000_007, 1);
        c[6] = VestingCase(type(uint256).max, 0, type(uint64).max, type(uint64).max - 1, 9999);
    }

    function test_vectors_vesting() public {
        string memory file = vm.readFile(FILE);
        VestingCase[] memory cases = vestingCases();
        for (uint256 i = 0; i < cases.length; ++i) {
            VestingCase memory c = cases[i];
            string memory at = string.concat(".vesting[", vm.toString(i), "]");
            number(file, at, ".totalIn", c.totalIn);
            number(file, at, ".start", c.start);
            number(file, at, ".duration", c.duration);
            number(file, at, ".timestamp", c.timestamp);
            number(file, at, ".bps", c.bps);
            uint256 vested = Money.vested(c.totalIn, c.start, c.duration, c.timestamp);
            number(file, at, ".vested", vested);
            number(file, at, ".part", Money.part(vested, c.bps));
        }
    }

    function number(string memory file, string memory at, string memory field, uint256 value) private {
        string memory path = string.concat(at, field);
        if (printing()) {
            emit log_named_uint(path, value);
            return;
        }
        assertEq(vm.parseUint(vm.parseJsonString(file, path)), value, path);
    }

    function typed(string memory file, string memory name, bytes32 structHash) private {
        expect(file, string.concat(".expected.structHash.", name), structHash);
        expect(
            file,
            string.concat(".expected.digest.", name),
            Digests.digest(policies.domainSeparator(), structHash)
        );
    }

    /// The ABI encoding of an input, which fixes every field of it.
    function words(string memory file, string memory name, bytes memory encoded) private {
        string memory path = string.concat(".encoded.", name);
        if (printing()) {
            emit log_named_bytes(path, encoded);
            return;
        }
        assertEq(vm.parseJsonBytes(file, path), encoded, path);
    }

    function expect(string memory file, string memory path, bytes32 value) private {
        if (printing()) {
            emit log_named_bytes32(path, value);
            return;
        }
        assertEq(vm.parseJsonBytes32(file, path), value, path);
    }

    function printing() private view returns (bool) {
        return vm.envOr("LICEN_WRITE_VECTORS", false);
    }
}
