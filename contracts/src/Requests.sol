// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import { Datasets } from "./Datasets.sol";
import {
    AdmissionMissing,
    CustodyZero,
    EpochsOutOfRange,
    FeatureNotBuilt,
    LicenseNotBuilt,
    PolicyExpired,
    ProviderUnknown,
    PurposeNotAllowed,
    QuoteExpired,
    QuoteMismatch,
    QuoteMissing,
    QuoteUnexpected,
    RunsUsedUp,
    SignatureInvalid,
    TermsNotAccepted
} from "./Errors.sol";
import { Ledger } from "./Ledger.sol";
import { Admission, Job, JobState, Policy, Request, SignedQuote } from "./Types.sol";
import { ICustody } from "./interfaces/ICustody.sol";
import { Jobs } from "./lib/Jobs.sol";
import { Money } from "./lib/Money.sol";
import { Signatures } from "./lib/Signatures.sol";
import { TypedData } from "./lib/TypedData.sol";

/// Requests: what a researcher asks is checked against the owner's current policy, paid in full, and
/// written down as one slot. From here on the job carries its own terms: nothing that owner, provider
/// or registry change later reaches it.
abstract contract Requests is Datasets {
    /// A Running job has cost the owner's custodians a release, so its run slot returns this often only.
    uint8 public constant MAX_RETURNED_RUNS = 3;
    ICustody public immutable custody;
    /// 0 = the feature is refused.
    address public immutable license;
    address public immutable disputes;

    uint256 private constant _ONE_RUN = 1;
    uint256 private constant _ONE_RETURNED = 1 << 32;
    uint256 private constant _ONE_COUNTER = 1 << 40;

    /// One word that is located once and then read and written.
    struct Slot {
        bytes32 word;
    }

    mapping(bytes32 jobId => Slot) internal _jobs;
    /// counter << 40 | returned << 32 | runs, in one word: the counter only grows, so no jobId comes
    /// twice, and it lies beside what changes with it.
    mapping(bytes32 datasetUid => mapping(address requester => Slot)) private _runs;

    event AccessGranted(
        bytes32 indexed jobId, bytes32 indexed datasetRoot, address indexed requester, uint32 epochs
    );
    event JobOpened(bytes32 indexed jobId, Job job);

    constructor(address custody_, address license_, address disputes_, address feeRecipient_, uint16 feeBps_)
        Ledger(feeRecipient_, feeBps_)
    {
        if (custody_ == address(0)) revert CustodyZero(custody_);
        // This code knows neither contract: accepting an address would promise what it cannot do.
        if (license_ != address(0)) revert FeatureNotBuilt(license_);
        if (disputes_ != address(0)) revert FeatureNotBuilt(disputes_);
        custody = ICustody(custody_);
        license = license_;
        disputes = disputes_;
    }

    // ------------------------------------------------------------------------------------- requests

    /// Any provider, no allow-list.
    function requestAccess(Policy calldata policy, Request calldata request)
        external
        payable
        guarded
        returns (bytes32)
    {
        bytes32 hash = _requireOpen(policy);
        if (request.providerId != 0) revert QuoteMissing(request.providerId);
        if (policy.requestersRoot != 0) revert AdmissionMissing(policy.datasetUid, msg.sender);
        return _open(policy, hash, request, 0, 0);
    }

    /// With a provider's price and proof of admission, each only where it is needed.
    function requestAccess(
        Policy calldata policy,
        Request calldata request,
        SignedQuote calldata quote,
        Admission calldata admission
    ) external payable guarded returns (bytes32) {
        bytes32 hash = _requireOpen(policy);
        _requireAdmitted(policy, admission);
        bytes32 computePayee = _requireQuote(policy.datasetUid, request, quote);
        return _open(policy, hash, request, quote.quote.computeFeePerEpoch, computePayee);
    }

    function runsOf(bytes32 uid, address requester)
        external
        view
        returns (uint64 counter, uint32 runs, uint8 returned)
    {
        uint256 entry = uint256(_runs[uid][requester].word);
        // forge-lint: disable-next-line(unsafe-typecast)
        return (uint64(entry >> 40), uint32(entry), uint8(entry >> 32));
    }

    function jobId(bytes32 uid, address requester, uint64 counter) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), uid, requester, counter));
    }

    // ------------------------------------------------------------------------------------ internals

    function _open(
        Policy calldata policy,
        bytes32 hash,
        Request calldata request,
        uint128 computeFeePerEpoch,
        bytes32 computePayee
    ) private returns (bytes32 id) {
        _checkRequest(policy, request);

        Job memory job;
        job.policyHash = hash;
        job.requester = msg.sender;
        job.datasetUid = policy.datasetUid;
        job.datasetRoot = policy.datasetRoot;
        job.envelopeHash = policy.envelopeHash;
        job.token = policy.token;
        job.payee = policy.payee;
        job.operator = policy.operator;
        job.owner = policy.owner;
        job.royaltyPerEpoch = policy.royaltyPerEpoch;
        job.epochs = request.epochs;
        job.computeFeePerEpoch = computeFeePerEpoch;
        job.providerId = request.providerId;
        job.computePayee = computePayee;
        job.protocolFeeBps = feeBps;
        job.jobSpecHash = request.jobSpecHash;
        job.resultKey = request.resultKey;
        job.purposeId = request.purposeId;
        job.licenseId = request.licenseId;
        job.custodianSet = policy.custodianSet;
        job.setVersion = policy.setVersion;
        job.verifierSet = request.verifierSet;
        job.verifierSetVersion = request.verifierSetVersion;
        job.appraisalPolicy = policy.appraisalPolicy;
        job.requiredLevel = policy.requiredLevel;
        job.runWindow = policy.runWindow;
        job.startDeadline = uint64(block.timestamp) + policy.startWindow;

        id = jobId(job.datasetUid, msg.sender, _takeRun(job.datasetUid, policy.maxRunsPerRequester));
        job.jobId = id;
        _jobs[id].word = Jobs.pack(Jobs.commitmentMemory(job), JobState.Granted);
        emit AccessGranted(id, job.datasetRoot, msg.sender, job.epochs);
        bytes32 topic = JobOpened.selector;
        // `emit JobOpened(id, job)`: a Job in memory is its own encoding (see Jobs).
        assembly ("memory-safe") {
            log2(job, 1024, topic, id)
        }
        // Last, because a token may call back; the guard is held.
        _pull(job.token, Money.escrow(job.royaltyPerEpoch, job.computeFeePerEpoch, job.epochs));
    }

    function _checkRequest(Policy calldata policy, Request calldata request) private view {
        uint64 expiry = policy.policyExpiry;
        if (expiry != 0 && block.timestamp > expiry) revert PolicyExpired(expiry, block.timestamp);
        uint32 epochs = request.epochs;
        if (epochs == 0 || epochs > policy.maxEpochsPerRun) {
            revert EpochsOutOfRange(epochs, policy.maxEpochsPerRun);
        }
        if (request.termsHash != policy.termsHash) {
            revert TermsNotAccepted(request.termsHash, policy.termsHash);
        }
        if (request.licenseId != 0) revert LicenseNotBuilt(request.licenseId);
        bytes32 purposeId = request.purposeId;
        uint256 purposes = policy.purposes.length;
        for (uint256 i = 0; i < purposes; ++i) {
            if (policy.purposes[i] == purposeId) return;
        }
        revert PurposeNotAllowed(purposeId);
    }

    /// The provider's price binds the provider: signed, for this dataset and this job, not too old.
    function _requireQuote(bytes32 uid, Request calldata request, SignedQuote calldata signed)
        private
        view
        returns (bytes32 payee)
    {
        bytes32 providerId = request.providerId;
        if (providerId == 0) {
            // A fee that nobody would be paid must not be collected.
            if (
                signed.signature.length != 0 || signed.quote.computeFeePerEpoch != 0
                    || signed.quote.providerId != 0
            ) revert QuoteUnexpected(signed.quote.providerId);
            return 0;
        }
        if (signed.signature.length == 0) revert QuoteMissing(providerId);
        if (
            signed.quote.providerId != providerId || signed.quote.datasetUid != uid
                || signed.quote.jobSpecHash != request.jobSpecHash
        ) {
            revert QuoteMismatch(signed.quote.providerId, signed.quote.datasetUid, signed.quote.jobSpecHash);
        }
        if (block.timestamp > signed.quote.expiresAt) {
            revert QuoteExpired(signed.quote.expiresAt, block.timestamp);
        }
        address signer;
        (signer, payee) = custody.providerTerms(providerId);
        if (signer == address(0)) revert ProviderUnknown(providerId);
        bytes32 digest = TypedData.digest(domainSeparator(), TypedData.hash(signed.quote));
        if (!Signatures.isBy(signer, digest, signed.signature)) revert SignatureInvalid(signer);
    }

    function _takeRun(bytes32 uid, uint32 max) private returns (uint64 counter) {
        Slot storage slot = _runs[uid][msg.sender];
        uint256 entry = uint256(slot.word);
        // forge-lint: disable-next-line(unsafe-typecast)
        uint32 runs = uint32(entry);
        if (runs >= max) revert RunsUsedUp(runs, max);
        unchecked {
            // runs < 2^32 - 1 here, and nobody pays for 2^64 requests.
            entry += _ONE_COUNTER + _ONE_RUN;
        }
        slot.word = bytes32(entry);
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint64(entry >> 40);
    }

    /// A run that never started costs nobody anything and always returns.
    function _returnRun(Job calldata job, JobState from) internal {
        Slot storage slot = _runs[job.datasetUid][job.requester];
        uint256 entry = uint256(slot.word);
        unchecked {
            // The job that ends took a run and has not given it back, so runs >= 1.
            if (from == JobState.Running) {
                // forge-lint: disable-next-line(unsafe-typecast)
                if (uint8(entry >> 32) >= MAX_RETURNED_RUNS) return;
                entry += _ONE_RETURNED;
            }
            entry -= _ONE_RUN;
        }
        slot.word = bytes32(entry);
    }
}
