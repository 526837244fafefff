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
    TermsNotAccepted,
    UnitsMismatch
} from "./Errors.sol";
import { Ledger } from "./Ledger.sol";
import { Admission, Job, JobState, Policy, Quote, Request, SignedQuote, UNIT_EPOCH } from "./Types.sol";
import { ICustody } from "./interfaces/ICustody.sol";
import { IDataPolicy } from "./interfaces/IDataPolicy.sol";
import { Jobs } from "./lib/Jobs.sol";
import { Money } from "./lib/Money.sol";
import { RunCount } from "./lib/Runs.sol";
import { Signatures } from "./lib/Signatures.sol";
import { TypedData } from "./lib/TypedData.sol";

/// @notice Requests: what a researcher asks is checked against the owner's current policy, paid in full, and
/// written down as one slot. From here on the job carries its own terms: nothing that owner, provider
/// or registry change later reaches it.
abstract contract Requests is Datasets {
    // A Running job has cost the owner's custodians a release, so its run returns this often only.
    /// @inheritdoc IDataPolicy
    uint8 public constant MAX_RETURNED_RUNS = 3;
    /// @inheritdoc IDataPolicy
    ICustody public immutable custody;
    /// @inheritdoc IDataPolicy
    address public immutable license;

    /// One word that is located once and then read and written.
    struct Slot {
        bytes32 word;
    }

    /// The same for a run count.
    struct RunSlot {
        RunCount count;
    }

    mapping(bytes32 jobId => Slot) internal _jobs;
    mapping(bytes32 datasetUid => mapping(address requester => RunSlot)) private _runs;

    constructor(address custody_, address license_, address feeRecipient_, uint16 feeBps_)
        Ledger(feeRecipient_, feeBps_)
    {
        if (custody_ == address(0)) revert CustodyZero(custody_);
        // This code knows no license: accepting an address would promise what it cannot do.
        if (license_ != address(0)) revert FeatureNotBuilt(license_);
        custody = ICustody(custody_);
        license = license_;
    }

    // ------------------------------------------------------------------------------------- requests

    /// @inheritdoc IDataPolicy
    function requestAccess(Policy calldata policy, Request calldata request)
        external
        payable
        guarded
        returns (bytes32)
    {
        bytes32 hash = _requireOpen(policy);
        if (request.providerId != 0) revert QuoteMissing(request.providerId);
        if (policy.requestersRoot != 0) revert AdmissionMissing(policy.datasetUid, msg.sender);
        return _open(_draft(policy, hash, request));
    }

    /// @inheritdoc IDataPolicy
    function requestAccess(
        Policy calldata policy,
        Request calldata request,
        SignedQuote calldata quote,
        Admission calldata admission
    ) external payable guarded returns (bytes32) {
        bytes32 hash = _requireOpen(policy);
        _requireAdmitted(policy, admission);
        Job memory job = _draft(policy, hash, request);
        _price(job, quote);
        return _open(job);
    }

    /// @inheritdoc IDataPolicy
    function runsOf(bytes32 uid, address requester)
        external
        view
        returns (uint64 counter, uint32 runs, uint8 returned)
    {
        RunCount count = _runs[uid][requester].count;
        return (count.counter(), count.runs(), count.returned());
    }

    /// @inheritdoc IDataPolicy
    function jobId(bytes32 uid, address requester, uint64 counter) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), uid, requester, counter));
    }

    // ------------------------------------------------------------------------------------ internals

    /// The job that was asked for, under its id, without a provider's price.
    function _draft(Policy calldata policy, bytes32 hash, Request calldata request)
        private
        returns (Job memory job)
    {
        _checkRequest(policy, request);
        job.policyHash = hash;
        job.requester = msg.sender;
        job.datasetUid = policy.datasetUid;
        job.datasetRoot = policy.datasetRoot;
        job.envelopeHash = policy.envelopeHash;
        job.token = policy.token;
        job.payee = policy.payee;
        job.operator = policy.operator;
        job.owner = policy.owner;
        job.royaltyPerUnit = policy.royaltyPerEpoch;
        job.unit = UNIT_EPOCH;
        job.units = request.units;
        job.epochs = request.epochs;
        job.providerId = request.providerId;
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
        job.jobId = jobId(job.datasetUid, msg.sender, _takeRun(job.datasetUid, policy.maxRunsPerRequester));
    }

    function _open(Job memory job) private returns (bytes32 id) {
        id = job.jobId;
        _jobs[id].word = Jobs.pack(Jobs.commitmentMemory(job), JobState.Granted);
        emit AccessGranted(id, job.datasetRoot, msg.sender, job.epochs);
        bytes32 topic = JobOpened.selector;
        uint256 size = Jobs.SIZE;
        // `emit JobOpened(id, job)`: a Job in memory is its own encoding (see Jobs).
        assembly ("memory-safe") {
            log2(job, size, topic, id)
        }
        // Last, because a token may call back; the guard is held.
        _pull(job.token, Money.escrow(job.royaltyPerUnit, job.units, job.computeFeePerEpoch, job.epochs));
    }

    function _checkRequest(Policy calldata policy, Request calldata request) private view {
        uint64 expiry = policy.policyExpiry;
        if (expiry != 0 && block.timestamp > expiry) revert PolicyExpired(expiry, block.timestamp);
        uint32 epochs = request.epochs;
        if (epochs == 0 || epochs > policy.maxEpochsPerRun) {
            revert EpochsOutOfRange(epochs, policy.maxEpochsPerRun);
        }
        // Without a license a unit is an epoch.
        if (request.units != epochs) revert UnitsMismatch(request.units, epochs);
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

    /// The provider's price binds the provider: signed, for exactly this job, not too old.
    function _price(Job memory job, SignedQuote calldata signed) private view {
        bytes32 providerId = job.providerId;
        if (providerId == 0) {
            // A fee that nobody would be paid must not be collected.
            if (
                signed.signature.length != 0 || signed.quote.computeFeePerEpoch != 0
                    || signed.quote.providerId != 0
            ) revert QuoteUnexpected(signed.quote.providerId);
            return;
        }
        if (signed.signature.length == 0) revert QuoteMissing(providerId);
        uint64 expiresAt = signed.quote.expiresAt;
        job.computeFeePerEpoch = signed.quote.computeFeePerEpoch;
        // What the quote must say word for word.
        bytes32 structHash = TypedData.hashMemory(
            Quote({
                providerId: providerId,
                jobId: job.jobId,
                policyHash: job.policyHash,
                licenseId: job.licenseId,
                token: job.token,
                jobSpecHash: job.jobSpecHash,
                epochs: job.epochs,
                computeFeePerEpoch: job.computeFeePerEpoch,
                expiresAt: expiresAt
            })
        );
        if (TypedData.hash(signed.quote) != structHash) revert QuoteMismatch(signed.quote.jobId, job.jobId);
        if (block.timestamp > expiresAt) revert QuoteExpired(expiresAt, block.timestamp);
        (address signer, bytes32 payee) = custody.providerTerms(providerId);
        if (signer == address(0)) revert ProviderUnknown(providerId);
        _requirePayable(payee);
        job.computePayee = payee;
        bytes32 digest = TypedData.digest(domainSeparator(), structHash);
        if (!Signatures.isBy(signer, digest, signed.signature)) revert SignatureInvalid(signer);
    }

    function _takeRun(bytes32 uid, uint32 max) private returns (uint64) {
        RunSlot storage slot = _runs[uid][msg.sender];
        RunCount count = slot.count;
        if (count.runs() >= max) revert RunsUsedUp(count.runs(), max);
        count = count.take();
        slot.count = count;
        return count.counter();
    }

    /// A run that never started costs nobody anything and always returns.
    function _returnRun(Job calldata job, JobState from) internal {
        RunSlot storage slot = _runs[job.datasetUid][job.requester];
        RunCount count = slot.count;
        if (from != JobState.Running) {
            slot.count = count.giveBack();
        } else if (count.returned() < MAX_RETURNED_RUNS) {
            slot.count = count.giveBackStarted();
        }
    }
}
