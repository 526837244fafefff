// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {
    Approval,
    FailureReport,
    Policy,
    Quote,
    ResultManifest,
    Silence,
    Verdict
} from "../../src/Types.sol";

/// EIP-712 as the standard writes it, field by field and without the shortcuts of src/lib/TypedData:
/// what the contracts hash is checked against this.
library Digests {
    string internal constant POLICY =
        "Policy(bytes32 datasetUid,bytes32 datasetRoot,address owner,bytes32 salt,uint64 version,bytes32 envelopeHash,bytes32 payee,address token,uint128 royaltyPerEpoch,uint32 maxEpochsPerRun,uint32 maxRunsPerRequester,uint32 startWindow,uint32 runWindow,uint64 policyExpiry,bytes32[] purposes,bytes32 requestersRoot,bytes32 constraintsHash,bytes32 manifestHash,bytes32 termsHash,bytes32 custodianSet,uint32 setVersion,bytes32 appraisalPolicy,uint8 requiredLevel,address operator)";

    bytes32 internal constant MANIFEST_TYPEHASH = keccak256(
        "ResultManifest(bytes32 jobId,uint32 attempt,bytes32 datasetRoot,bytes32 resultHash,uint32 actualEpochs,uint64 samples,uint64 tokensSeen,uint64 tokensTrained,uint64 computeSeconds,uint64 evalBefore,uint64 evalAfter,bytes32 baseModelRoot,bytes32 adapterRoot,bytes32 attestationRef,bytes32 reportHash)"
    );

    function domain(address verifyingContract) internal view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("LICEN"),
                keccak256("2"),
                block.chainid,
                verifyingContract
            )
        );
    }

    function digest(bytes32 domainHash, bytes32 structHash) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", domainHash, structHash));
    }

    function hash(Policy memory p) internal pure returns (bytes32) {
        bytes memory one = abi.encode(
            keccak256(bytes(POLICY)), p.datasetUid, p.datasetRoot, p.owner, p.salt, p.version, p.envelopeHash
        );
        bytes memory two = abi.encode(
            p.payee,
            p.token,
            p.royaltyPerEpoch,
            p.maxEpochsPerRun,
            p.maxRunsPerRequester,
            p.startWindow,
            p.runWindow,
            p.policyExpiry
        );
        bytes memory three = abi.encode(
            keccak256(abi.encodePacked(p.purposes)),
            p.requestersRoot,
            p.constraintsHash,
            p.manifestHash,
            p.termsHash
        );
        bytes memory four =
            abi.encode(p.custodianSet, p.setVersion, p.appraisalPolicy, p.requiredLevel, p.operator);
        return keccak256(bytes.concat(one, two, three, four));
    }

    function hashRegister(Policy memory p, uint64 nonce, uint64 deadline) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    bytes(
                        string.concat("RegisterDataset(Policy policy,uint64 nonce,uint64 deadline)", POLICY)
                    )
                ),
                hash(p),
                nonce,
                deadline
            )
        );
    }

    function hash(Quote memory q) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "Quote(bytes32 providerId,bytes32 jobId,bytes32 policyHash,uint256 licenseId,address token,bytes32 jobSpecHash,uint32 epochs,uint128 computeFeePerEpoch,uint64 expiresAt)"
                ),
                q.providerId,
                q.jobId,
                q.policyHash,
                q.licenseId,
                q.token,
                q.jobSpecHash,
                q.epochs,
                q.computeFeePerEpoch,
                q.expiresAt
            )
        );
    }

    function hash(Approval memory a) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "Approval(bytes32 datasetUid,bytes32 requestersRoot,address requester,uint64 expires)"
                ),
                a.datasetUid,
                a.requestersRoot,
                a.requester,
                a.expires
            )
        );
    }

    function hash(Verdict memory v) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "Verdict(bytes32 jobId,uint32 attempt,address signer,bytes32 runtimeDataHash,bytes32 providerId,uint8 level,bytes32 appraisalPolicy,bytes32 custodianSet,uint32 setVersion,uint64 expiresAt)"
                ),
                v.jobId,
                v.attempt,
                v.signer,
                v.runtimeDataHash,
                v.providerId,
                v.level,
                v.appraisalPolicy,
                v.custodianSet,
                v.setVersion,
                v.expiresAt
            )
        );
    }

    function hash(Silence memory s) internal pure returns (bytes32) {
        return keccak256(abi.encode(keccak256("Silence(bytes32 jobId,uint32 attempt)"), s.jobId, s.attempt));
    }

    function hash(ResultManifest memory m) internal pure returns (bytes32) {
        bytes memory one =
            abi.encode(MANIFEST_TYPEHASH, m.jobId, m.attempt, m.datasetRoot, m.resultHash, m.actualEpochs);
        bytes memory two = abi.encode(
            m.samples, m.tokensSeen, m.tokensTrained, m.computeSeconds, m.evalBefore, m.evalAfter
        );
        bytes memory three = abi.encode(m.baseModelRoot, m.adapterRoot, m.attestationRef, m.reportHash);
        return keccak256(bytes.concat(one, two, three));
    }

    function hash(FailureReport memory f) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "FailureReport(bytes32 jobId,uint32 attempt,uint8 reasonCode,uint32 epochsDone,bytes32 runtimeDataHash)"
                ),
                f.jobId,
                f.attempt,
                uint8(f.reasonCode),
                f.epochsDone,
                f.runtimeDataHash
            )
        );
    }
}
