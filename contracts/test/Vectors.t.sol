// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "./utils/Base.sol";

/// vectors/contracts.json is what Rust and TypeScript check their own encodings against. Here every
/// value in it is checked against the deployed contract where the contract exposes it, and against
/// abi.encode and EIP-712 as written down in Digests where it does not. The inputs in the file are
/// compared too, so neither side can drift.
///
/// `LICEN_WRITE_VECTORS=1 forge test --match-contract VectorsTest` prints the file's content.
contract VectorsTest is Base {
    string private constant FILE = "../vectors/contracts.json";
    address private constant DEPLOYED = 0x5FbDB2315678afecb367f032d93F642f64180aa3;

    function setUp() public override {
        super.setUp();
        // The contract stands where the vectors say, so that uid, domain and ids are what it computes.
        deployCodeTo(
            "DataPolicy.sol:DataPolicy",
            abi.encode(address(custody), address(0), address(0), treasury, uint16(FEE_BPS)),
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
        p.payee = keccak256(abi.encode(exampleSplit()));
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

    function exampleSplit() private pure returns (Split memory s) {
        s.payees = new address[](3);
        s.payees[0] = 0x70997970C51812dc3A010C7d01b50e0d17dc79C8;
        s.payees[1] = 0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC;
        s.payees[2] = 0x90F79bf6EB2c4f870365E785982E1f101E93b906;
        s.bps = new uint16[](3);
        s.bps[0] = 6000;
        s.bps[1] = 3000;
        s.bps[2] = 1000;
        s.vesting = Vesting({ start: 1_800_000_000, duration: 31_536_000 });
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
        j.royaltyPerEpoch = p.royaltyPerEpoch;
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

    function test_vectors() public {
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
        expect(file, ".expected.splitAccount", policies.splitAccount(exampleSplit()));
        expect(file, ".expected.splitAccount", keccak256(abi.encode(exampleSplit())));
        expect(file, ".expected.addressAccount", policies.accountOf(p.owner));
        expect(file, ".expected.domainSeparator", policies.domainSeparator());
        expect(file, ".expected.requesterLeaf", keccak256(bytes.concat(keccak256(abi.encode(j.requester)))));
        expect(file, ".expected.custodyId", custody.idOf(p.owner, p.salt));

        Verdict memory v = exampleVerdict();
        Quote memory q = Quote(j.providerId, j.datasetUid, j.jobSpecHash, j.computeFeePerEpoch, 1_800_000_600);
        Approval memory a = Approval(j.datasetUid, j.requester, 1_800_000_700);
        ResultManifest memory m = makeManifest(s, 2);
        FailureReport memory f = makeReport(s, Reason.JOB_SPEC_INVALID, 1);
        Silence memory l = Silence(s.jobId, s.attempt);
        uint64 deadline = 1_800_000_500;
        typed(file, "RegisterDataset", Digests.hashRegister(p, deadline));
        typed(file, "Policy", Digests.hash(p));
        typed(file, "Quote", Digests.hash(q));
        typed(file, "Approval", Digests.hash(a));
        typed(file, "Verdict", Digests.hash(v));
        typed(file, "Silence", Digests.hash(l));
        typed(file, "ResultManifest", Digests.hash(m));
        typed(file, "FailureReport", Digests.hash(f));

        // The inputs in the file, field by field in the order of Types.sol.
        words(file, "policy", abi.encode(p));
        words(file, "split", abi.encode(exampleSplit()));
        words(file, "job", abi.encode(j));
        words(file, "startedJob", abi.encode(s));
        words(file, "verdict", abi.encode(v));
        words(file, "quote", abi.encode(q));
        words(file, "approval", abi.encode(a));
        words(file, "resultManifest", abi.encode(m));
        words(file, "failureReport", abi.encode(f));
        words(file, "silence", abi.encode(l));
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
