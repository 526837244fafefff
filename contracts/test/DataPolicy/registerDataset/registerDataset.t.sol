// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

contract Wallet1271 {
    bytes32 public immutable accepted;
    uint256 public immutable mode;

    constructor(bytes32 digest, uint256 mode_) {
        accepted = digest;
        mode = mode_;
    }

    function isValidSignature(bytes32 digest, bytes calldata) external view returns (bytes4) {
        if (mode == 1) revert("no");
        if (mode == 2) {
            // A returndata bomb.
            assembly {
                return(0, 1000000)
            }
        }
        return digest == accepted ? bytes4(0x1626ba7e) : bytes4(0xffffffff);
    }
}

contract RegisterDatasetTest is Base {
    function refuse(bytes memory err, Policy memory p) private {
        vm.expectRevert(err);
        vm.prank(p.owner);
        policies.registerDataset(p);
    }

    function signed(Policy memory p, uint64 deadline) private view returns (bytes memory) {
        return sign(ownerKey, Digests.hashRegister(p, 0, deadline));
    }

    function test_RevertWhen_theCallerIsNotTheOwner() public {
        Policy memory p = makePolicy();
        vm.expectRevert(abi.encodeWithSelector(NotAuthorized.selector, stranger, owner));
        vm.prank(stranger);
        policies.registerDataset(p);
    }

    function test_commitsToThePolicy() public {
        Policy memory p = makePolicy();
        bytes32 hash = keccak256(abi.encode(p));
        assertEq(policies.policyHash(p), hash);
        vm.expectEmit(address(policies));
        emit IDataPolicy.DatasetRegistered(p.datasetRoot, owner, p.manifestHash);
        vm.expectEmit(address(policies));
        emit IDataPolicy.PolicySet(hash, p.datasetUid, p);
        register(p);
        (bytes32 commitment, bool paused) = policies.datasetState(p.datasetUid);
        assertEq(commitment, bytes32((uint256(hash) >> 8) << 8));
        assertFalse(paused);
    }

    function testFuzz_policyHashIsTheAbiHash(bytes32[] memory purposes, uint128 royalty, bytes32 root)
        public
        view
    {
        Policy memory p = makePolicy();
        p.purposes = purposes;
        p.royaltyPerEpoch = royalty;
        p.constraintsHash = root;
        assertEq(policies.policyHash(p), keccak256(abi.encode(p)));
    }

    function test_RevertWhen_theDeadlineHasPassed() public {
        Policy memory p = makePolicy();
        bytes memory signature = signed(p, uint64(START - 1));
        vm.expectRevert(abi.encodeWithSelector(SignatureExpired.selector, START - 1, START));
        policies.registerDataset(p, 0, uint64(START - 1), signature);
    }

    function test_RevertWhen_somebodyElseSigned() public {
        Policy memory p = makePolicy();
        bytes memory signature = sign(requesterKey, Digests.hashRegister(p, 0, uint64(START)));
        vm.expectRevert(abi.encodeWithSelector(SignatureInvalid.selector, owner));
        policies.registerDataset(p, 0, uint64(START), signature);
    }

    function test_RevertWhen_theOwnerSignedAnotherPolicyOrDeadline() public {
        Policy memory p = makePolicy();
        bytes memory signature = signed(p, uint64(START));
        vm.expectRevert(abi.encodeWithSelector(SignatureInvalid.selector, owner));
        policies.registerDataset(p, 0, uint64(START + 1), signature);
        p.payee = policies.accountOf(stranger);
        vm.expectRevert(abi.encodeWithSelector(SignatureInvalid.selector, owner));
        policies.registerDataset(p, 0, uint64(START), signature);
    }

    function test_RevertWhen_theOwnerSignedForAnotherDeploymentOrChain() public {
        Policy memory p = makePolicy();
        bytes32 structHash = Digests.hashRegister(p, 0, uint64(START));
        bytes32 domain = Digests.domain(address(custody));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(ownerKey, Digests.digest(domain, structHash));
        vm.expectRevert(abi.encodeWithSelector(SignatureInvalid.selector, owner));
        policies.registerDataset(p, 0, uint64(START), abi.encodePacked(r, s, v));
        bytes memory signature = signed(p, uint64(START));
        vm.chainId(1);
        vm.expectRevert(abi.encodeWithSelector(SignatureInvalid.selector, owner));
        policies.registerDataset(p, 0, uint64(START), signature);
    }

    function test_RevertWhen_theSignatureHasAHighS() public {
        Policy memory p = makePolicy();
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(ownerKey, digestOf(Digests.hashRegister(p, 0, uint64(START))));
        bytes32 high =
            bytes32(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141 - uint256(s));
        vm.expectRevert(abi.encodeWithSelector(SignatureInvalid.selector, owner));
        policies.registerDataset(
            p, 0, uint64(START), abi.encodePacked(r, high, v == 27 ? uint8(28) : uint8(27))
        );
    }

    function test_RevertWhen_theSignatureIsMalformed() public {
        Policy memory p = makePolicy();
        vm.expectRevert(abi.encodeWithSelector(SignatureInvalid.selector, owner));
        policies.registerDataset(p, 0, uint64(START), hex"");
        vm.expectRevert(abi.encodeWithSelector(SignatureInvalid.selector, owner));
        policies.registerDataset(p, 0, uint64(START), new bytes(65));
        vm.expectRevert(abi.encodeWithSelector(SignatureInvalid.selector, owner));
        policies.registerDataset(p, 0, uint64(START), new bytes(64));
        // A zero owner never "signs" with a failed recovery.
        p.owner = address(0);
        p.datasetUid = policies.datasetUid(address(0), p.salt);
        vm.expectRevert(abi.encodeWithSelector(SignatureInvalid.selector, address(0)));
        policies.registerDataset(p, 0, uint64(START), new bytes(65));
    }

    function test_registersForTheOwnerWhoeverCalls() public {
        Policy memory p = makePolicy();
        vm.prank(stranger);
        policies.registerDataset(p, 0, uint64(START), signed(p, uint64(START)));
        (bytes32 commitment,) = policies.datasetState(p.datasetUid);
        assertTrue(commitment != 0);
    }

    function test_registersWithACompactSignature() public {
        Policy memory p = makePolicy();
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(ownerKey, digestOf(Digests.hashRegister(p, 0, uint64(START))));
        bytes32 vs = bytes32(uint256(s) | (uint256(v - 27) << 255));
        policies.registerDataset(p, 0, uint64(START), abi.encodePacked(r, vs));
    }

    function test_contractOwner() public {
        Policy memory p = makePolicy();
        address wallet = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        p.owner = wallet;
        p.datasetUid = policies.datasetUid(wallet, p.salt);
        Wallet1271 made = new Wallet1271(digestOf(Digests.hashRegister(p, 0, uint64(START))), 0);
        assertEq(address(made), wallet);
        vm.expectRevert(abi.encodeWithSelector(SignatureInvalid.selector, wallet));
        policies.registerDataset(p, 0, uint64(START + 1), "any");
        policies.registerDataset(p, 0, uint64(START), "any");
    }

    function test_RevertWhen_theContractOwnerRevertsOrBombs() public {
        for (uint256 mode = 1; mode < 3; ++mode) {
            Policy memory p = makePolicy();
            p.owner = address(new Wallet1271(0, mode));
            p.datasetUid = policies.datasetUid(p.owner, p.salt);
            vm.expectRevert(abi.encodeWithSelector(SignatureInvalid.selector, p.owner));
            policies.registerDataset{ gas: 1_000_000 }(p, 0, uint64(START), "any");
        }
    }

    function test_RevertWhen_theUidIsWrong() public {
        Policy memory p = makePolicy();
        bytes32 right = p.datasetUid;
        p.datasetUid = keccak256("other");
        refuse(abi.encodeWithSelector(DatasetUidWrong.selector, p.datasetUid, right), p);
    }

    function test_RevertWhen_theDatasetExists() public {
        Policy memory p = makePolicy();
        register(p);
        refuse(abi.encodeWithSelector(DatasetExists.selector, p.datasetUid), p);
    }

    function test_RevertWhen_theRootIsZero() public {
        Policy memory p = makePolicy();
        p.datasetRoot = 0;
        refuse(abi.encodeWithSelector(DatasetRootZero.selector, p.datasetUid), p);
    }

    function test_RevertWhen_theVersionIsNotOne() public {
        Policy memory p = makePolicy();
        p.version = 2;
        refuse(abi.encodeWithSelector(PolicyVersionWrong.selector, 2, 1), p);
    }

    function test_RevertWhen_aTermIsOutOfRange() public {
        Policy memory p = makePolicy();
        p.payee = 0;
        refuse(abi.encodeWithSelector(PolicyPayeeZero.selector, p.datasetUid), p);
        p = makePolicy();
        p.maxEpochsPerRun = 0;
        refuse(abi.encodeWithSelector(PolicyLimitZero.selector, 0, 10), p);
        p = makePolicy();
        p.maxRunsPerRequester = 0;
        refuse(abi.encodeWithSelector(PolicyLimitZero.selector, 5, 0), p);
        p = makePolicy();
        p.startWindow = 0;
        refuse(abi.encodeWithSelector(StartWindowOutOfRange.selector, 0, 7 days), p);
        p.startWindow = 7 days + 1;
        refuse(abi.encodeWithSelector(StartWindowOutOfRange.selector, 7 days + 1, 7 days), p);
        p = makePolicy();
        p.runWindow = 0;
        refuse(abi.encodeWithSelector(RunWindowOutOfRange.selector, 0, 30 days), p);
        p.runWindow = 30 days + 1;
        refuse(abi.encodeWithSelector(RunWindowOutOfRange.selector, 30 days + 1, 30 days), p);
        p = makePolicy();
        p.purposes = new bytes32[](0);
        refuse(abi.encodeWithSelector(PurposesOutOfRange.selector, 0, 64), p);
        p.purposes = new bytes32[](65);
        refuse(abi.encodeWithSelector(PurposesOutOfRange.selector, 65, 64), p);
        p = makePolicy();
        p.payee = policies.accountOf(address(policies));
        refuse(abi.encodeWithSelector(AccountRefused.selector, p.payee), p);
    }

    function test_RevertWhen_theNonceIsNotTheCurrentOne() public {
        Policy memory p = makePolicy();
        bytes memory signature = sign(ownerKey, Digests.hashRegister(p, 1, uint64(START)));
        vm.expectRevert(abi.encodeWithSelector(NonceWrong.selector, 1, 0));
        policies.registerDataset(p, 1, uint64(START), signature);
        // Nor does a signature for one nonce count under another.
        vm.expectRevert(abi.encodeWithSelector(SignatureInvalid.selector, owner));
        policies.registerDataset(p, 0, uint64(START), signature);
        vm.prank(owner);
        policies.raiseNonce(1);
        policies.registerDataset(p, 1, uint64(START), signature);
    }

    function test_aSignedRegistrationUsesItsNonceUp() public {
        Policy memory p = makePolicy();
        policies.registerDataset(p, 0, uint64(START), signed(p, uint64(START)));
        assertEq(policies.registrationNonce(owner), 1);
        assertEq(policies.registrationNonce(stranger), 0);
        Policy memory q = makePolicy();
        q.salt = "next";
        q.datasetUid = policies.datasetUid(owner, q.salt);
        bytes memory signature = signed(q, uint64(START));
        vm.expectRevert(abi.encodeWithSelector(NonceWrong.selector, 0, 1));
        policies.registerDataset(q, 0, uint64(START), signature);
        signature = sign(ownerKey, Digests.hashRegister(q, 1, uint64(START)));
        policies.registerDataset(q, 1, uint64(START), signature);
        assertEq(policies.registrationNonce(owner), 2);
    }

    function test_aDirectRegistrationUsesNoNonce() public {
        register(makePolicy());
        assertEq(policies.registrationNonce(owner), 0);
    }

    /// A uid names chain, owner and salt, and no contract.
    function test_theUidIsTheSameAtEveryDeployment() public {
        Policy memory p = makePolicy();
        assertEq(p.datasetUid, keccak256(abi.encode("LICEN/uid/v2", block.chainid, owner, p.salt)));
        register(p);
        policies = deploy(FEE_BPS);
        assertEq(policies.datasetUid(owner, p.salt), p.datasetUid);
        register(p);
        // Its owner only: a stranger cannot register that uid anywhere.
        policies = deploy(FEE_BPS);
        vm.expectRevert(abi.encodeWithSelector(NotAuthorized.selector, stranger, owner));
        vm.prank(stranger);
        policies.registerDataset(p);
        p.owner = stranger;
        vm.expectPartialRevert(DatasetUidWrong.selector);
        vm.prank(stranger);
        policies.registerDataset(p);
    }

    function test_RevertWhen_theLevelIsUnknown() public {
        Policy memory p = makePolicy();
        p.requiredLevel = 0;
        refuse(abi.encodeWithSelector(LevelRefused.selector, 0, 31_337), p);
        p.requiredLevel = 3;
        refuse(abi.encodeWithSelector(LevelRefused.selector, 3, 31_337), p);
    }

    function test_RevertWhen_theLevelIsSoftwareOffTheLocalChain() public {
        vm.chainId(16_602);
        Policy memory p = makePolicy();
        refuse(abi.encodeWithSelector(LevelRefused.selector, LEVEL_SOFTWARE, 16_602), p);
        p.requiredLevel = LEVEL_HARDWARE;
        register(p);
    }

    function test_RevertWhen_anUnreadFieldIsDirty() public {
        Policy memory p = makePolicy();
        bytes memory data = abi.encodeWithSignature(
            "registerDataset((bytes32,bytes32,address,bytes32,uint64,bytes32,bytes32,address,uint128,uint32,uint32,uint32,uint32,uint64,bytes32[],bytes32,bytes32,bytes32,bytes32,bytes32,uint32,bytes32,uint8,address))",
            p
        );
        // Word 8 (royaltyPerEpoch), its highest byte: 4 of selector, one offset word, 8 words.
        data[4 + 32 + 8 * 32] = 0x01;
        vm.prank(owner);
        (bool ok,) = address(policies).call(data);
        assertFalse(ok);
    }
}
