// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {
    AppraisalPolicyNotLive,
    AttemptsUsedUp,
    DeadlineNotPassed,
    DeadlinePassed,
    EpochsOutOfRange,
    GasTooLow,
    JobMismatch,
    JobStateWrong,
    ManifestEmpty,
    ManifestMismatch,
    MembersNotAscending,
    MembersTooFew,
    NotAuthorized,
    ReasonNotAllowed,
    ReportMismatch,
    RuntimeDataHashZero,
    SignatureInvalid,
    SignerZero,
    VerdictCountWrong,
    VerdictExpiryOutOfRange,
    VerdictLevelTooLow,
    VerdictMismatch,
    VerdictProviderWrong
} from "./Errors.sol";
import { Requests } from "./Requests.sol";
import {
    FailureReport,
    Job,
    JobState,
    MemberSignature,
    Reason,
    ResultManifest,
    Silence,
    Verdict
} from "./Types.sol";
import { ICustody } from "./interfaces/ICustody.sol";
import { Jobs } from "./lib/Jobs.sol";
import { Money } from "./lib/Money.sol";
import { Signatures } from "./lib/Signatures.sol";
import { TypedData } from "./lib/TypedData.sol";

/// Datasets, their policies, and the life of a training job: escrow, start, settlement, ways out.
///
/// Nobody has authority here. Each step is valid because of what owner, provider, custodians or
/// compute signed, or because of the clock, and anybody may send it. Every waiting state has a
/// deadline, and behind every deadline is an exit that the requester can take alone: `cancelJob` and
/// `expireJob`. Exits never look at pause, expiry or revocation, and call nothing that could refuse.
contract DataPolicy is Requests {
    /// A verdict says what was true when evidence was fresh, so it must be used soon.
    uint64 public constant MAX_VERDICT_AGE = 15 minutes;
    uint32 public constant MAX_ATTEMPTS = 3;
    /// What one strike may cost; it is a record, never a condition.
    uint256 public constant STRIKE_GAS = 60_000;

    event JobStarted(
        bytes32 indexed jobId, uint32 attempt, address signer, bytes32 runtimeDataHash, uint64 runDeadline
    );
    event JobCompleted(
        bytes32 indexed jobId, uint32 actualEpochs, bytes32 resultHash, bytes32 attestationRef
    );
    event RoyaltySettled(bytes32 indexed jobId, uint256 amount);
    event JobFailed(bytes32 indexed jobId, Reason reasonCode);
    event JobExpired(bytes32 indexed jobId);
    event JobCancelled(bytes32 indexed jobId);

    constructor(address custody_, address license_, address disputes_, address feeRecipient_, uint16 feeBps_)
        Requests(custody_, license_, disputes_, feeRecipient_, feeBps_)
    { }

    // ------------------------------------------------------------------------------------ the steps

    /// Granted -> Running: the custodians found approved code behind `signer`. The chain now names
    /// the one key that shares may go to.
    function startJob(
        Job calldata job,
        address signer,
        Verdict[] calldata verdicts,
        MemberSignature[] calldata signatures
    ) external {
        Job memory loaded = _load(job, JobState.Granted);
        if (block.timestamp > loaded.startDeadline) {
            revert DeadlinePassed(loaded.startDeadline, block.timestamp);
        }
        loaded.runDeadline = uint64(block.timestamp) + loaded.runWindow;
        _start(loaded, 1, signer, verdicts, signatures);
    }

    /// Running -> Running, next attempt: the custodians agree, by as many as can declare silence,
    /// that the attempt before is dead. No deadline moves.
    function restartJob(
        Job calldata job,
        address signer,
        Verdict[] calldata verdicts,
        MemberSignature[] calldata signatures
    ) external {
        Job memory loaded = _load(job, JobState.Running);
        if (block.timestamp > loaded.runDeadline) revert DeadlinePassed(loaded.runDeadline, block.timestamp);
        if (loaded.attempt >= MAX_ATTEMPTS) revert AttemptsUsedUp(loaded.attempt, MAX_ATTEMPTS);
        _start(loaded, loaded.attempt + 1, signer, verdicts, signatures);
    }

    /// Running -> Completed: pays for the epochs that compute says it trained, returns the rest.
    function confirmTrainingComplete(
        Job calldata job,
        ResultManifest calldata manifest,
        bytes calldata signature
    ) external guarded {
        Job memory loaded = _load(job, JobState.Running);
        if (block.timestamp > loaded.runDeadline) revert DeadlinePassed(loaded.runDeadline, block.timestamp);
        if (
            manifest.jobId != loaded.jobId || manifest.attempt != loaded.attempt
                || manifest.datasetRoot != loaded.datasetRoot
        ) revert ManifestMismatch(manifest.jobId, manifest.attempt, manifest.datasetRoot);
        uint32 epochs = manifest.actualEpochs;
        if (epochs == 0 || epochs > loaded.epochs) revert EpochsOutOfRange(epochs, loaded.epochs);
        if (manifest.resultHash == 0 || manifest.attestationRef == 0) {
            revert ManifestEmpty(manifest.resultHash, manifest.attestationRef);
        }
        _requireSigner(loaded.signer, TypedData.hash(manifest), signature);

        _end(loaded, JobState.Completed);
        emit JobCompleted(loaded.jobId, epochs, manifest.resultHash, manifest.attestationRef);
        uint256 royalty = Money.line(loaded.royaltyPerEpoch, epochs);
        uint256 fee = Money.protocolFee(royalty, loaded.protocolFeeBps);
        emit RoyaltySettled(loaded.jobId, royalty);
        unchecked {
            // fee <= royalty, because protocolFeeBps <= MAX_FEE_BPS.
            _credit(loaded.payee, loaded.token, royalty - fee);
        }
        _credit(accountOf(feeRecipient), loaded.token, fee);
        _payAndRefund(loaded, royalty, epochs);
    }

    // ------------------------------------------------------------------------------------- ways out

    /// Running -> Failed by compute's own statement. Only JOB_SPEC_INVALID, which is the requester's
    /// fault, pays for compute's epochs.
    function markJobFailed(Job calldata job, FailureReport calldata report, bytes calldata signature)
        external
        guarded
    {
        Job memory loaded = _load(job, JobState.Running);
        if (
            report.jobId != loaded.jobId || report.attempt != loaded.attempt
                || report.runtimeDataHash != loaded.runtimeDataHash
        ) revert ReportMismatch(report.jobId, report.attempt, report.runtimeDataHash);
        Reason reason = report.reasonCode;
        // Withdrawing is the owner's act, and only before the start.
        if (reason == Reason.NONE || reason == Reason.OWNER_WITHDREW) revert ReasonNotAllowed(reason);
        uint32 paidEpochs = 0;
        if (reason == Reason.JOB_SPEC_INVALID) {
            paidEpochs = report.epochsDone;
            if (paidEpochs > loaded.epochs) revert EpochsOutOfRange(paidEpochs, loaded.epochs);
        }
        _requireSigner(loaded.signer, TypedData.hash(report), signature);
        if (reason == Reason.COMPUTE_TASK_FAILED) _strike(loaded.providerId);
        _fail(loaded, JobState.Running, reason, paidEpochs);
    }

    /// Running -> Failed because compute fell silent: said by more members of the pinned set than
    /// could be missing for a manifest to exist.
    function markJobFailed(Job calldata job, MemberSignature[] calldata silences) external guarded {
        Job memory loaded = _load(job, JobState.Running);
        uint256 members = _members(silences, 0, silences.length);
        (uint256 t, uint256 n,, address[] memory signers) =
            custody.quorum(loaded.custodianSet, loaded.setVersion, members, 0);
        uint256 needed = _silenceQuorum(t, n);
        if (silences.length < needed) {
            revert MembersTooFew(loaded.custodianSet, silences.length, needed);
        }
        bytes32 digest = _hashTypedData(TypedData.hash(Silence(loaded.jobId, loaded.attempt)));
        for (uint256 i = 0; i < silences.length; ++i) {
            _requireMember(signers[i], digest, silences[i]);
        }
        _strike(loaded.providerId);
        _fail(loaded, JobState.Running, Reason.COMPUTE_TASK_FAILED, 0);
    }

    /// Granted -> Failed: the operator or the owner will not serve it.
    function declineJob(Job calldata job) external guarded {
        Job memory loaded = _load(job, JobState.Granted);
        if (msg.sender != loaded.owner && msg.sender != loaded.operator) {
            revert NotAuthorized(msg.sender, loaded.owner);
        }
        _fail(loaded, JobState.Granted, Reason.OWNER_WITHDREW, 0);
    }

    /// Granted -> Cancelled: the requester changed their mind before anybody worked.
    function cancelJob(Job calldata job) external guarded {
        Job memory loaded = _load(job, JobState.Granted);
        if (msg.sender != loaded.requester) revert NotAuthorized(msg.sender, loaded.requester);
        _end(loaded, JobState.Cancelled);
        _returnRun(loaded, JobState.Granted);
        emit JobCancelled(loaded.jobId);
        _payAndRefund(loaded, 0, 0);
    }

    /// Granted or Running -> Expired: by anybody, as soon as nothing else can happen to it. A job is
    /// confirmed up to and including its deadline and expired after it, so the two never race.
    function expireJob(Job calldata job) external guarded {
        Job memory loaded = Jobs.load(job);
        JobState state = _matched(loaded);
        if (state != JobState.Granted && state != JobState.Running) {
            revert JobStateWrong(loaded.jobId, state, JobState.Running);
        }
        uint64 deadline = state == JobState.Granted ? loaded.startDeadline : loaded.runDeadline;
        if (block.timestamp <= deadline) revert DeadlineNotPassed(deadline, block.timestamp);
        _end(loaded, JobState.Expired);
        _returnRun(loaded, state);
        emit JobExpired(loaded.jobId);
        if (state == JobState.Running) _strike(loaded.providerId);
        _payAndRefund(loaded, 0, 0);
    }

    // ---------------------------------------------------------------------------------------- views

    /// The commitment is keccak256(abi.encode(job)) with its low 8 bits 0.
    function jobState(bytes32 id) external view returns (JobState state, bytes32 commitment) {
        bytes32 slot = _jobs[id];
        return (Jobs.stateOf(slot), Jobs.commitmentOf(slot));
    }

    function jobCommitment(Job calldata job) external pure returns (bytes32) {
        return Jobs.commitment(Jobs.load(job));
    }

    // ------------------------------------------------------------------------------------ internals

    function _load(Job calldata job, JobState expected) private view returns (Job memory loaded) {
        loaded = Jobs.load(job);
        JobState state = _matched(loaded);
        if (state != expected) revert JobStateWrong(loaded.jobId, state, expected);
    }

    /// The state of a job whose every field is as the chain knows it.
    function _matched(Job memory job) private view returns (JobState) {
        bytes32 slot = _jobs[job.jobId];
        bytes32 given = Jobs.commitment(job);
        if (given != Jobs.commitmentOf(slot)) {
            revert JobMismatch(job.jobId, given, Jobs.commitmentOf(slot));
        }
        return Jobs.stateOf(slot);
    }

    function _start(
        Job memory job,
        uint32 attempt,
        address signer,
        Verdict[] calldata verdicts,
        MemberSignature[] calldata signatures
    ) private {
        if (signer == address(0)) revert SignerZero(job.jobId);
        if (verdicts.length == 0 || verdicts.length != signatures.length) {
            revert VerdictCountWrong(verdicts.length, signatures.length);
        }
        bytes32 runtimeDataHash = verdicts[0].runtimeDataHash;
        if (runtimeDataHash == 0) revert RuntimeDataHashZero(job.jobId);
        bool restart = attempt > 1;
        job.attempt = attempt;
        job.signer = signer;
        job.runtimeDataHash = runtimeDataHash;

        // The pinned set's verdicts first, then those of the set that the requester asked for.
        uint256 split = verdicts.length;
        bool second = job.verifierSet != 0
            && (job.verifierSet != job.custodianSet || job.verifierSetVersion != job.setVersion);
        if (second) {
            split = 0;
            while (
                split < verdicts.length && verdicts[split].custodianSet == job.custodianSet
                    && verdicts[split].setVersion == job.setVersion
            ) ++split;
        }
        _requireVerdicts(job, job.custodianSet, job.setVersion, verdicts[:split], signatures[:split], restart);
        if (second) {
            _requireVerdicts(
                job, job.verifierSet, job.verifierSetVersion, verdicts[split:], signatures[split:], false
            );
        }

        _jobs[job.jobId] = Jobs.pack(Jobs.commitment(job), JobState.Running);
        emit JobStarted(job.jobId, attempt, signer, runtimeDataHash, job.runDeadline);
    }

    /// Refuses unless enough distinct members of one set signed exactly this attempt.
    function _requireVerdicts(
        Job memory job,
        bytes32 setId,
        uint32 setVersion,
        Verdict[] calldata verdicts,
        MemberSignature[] calldata signatures,
        bool restart
    ) private view {
        address[] memory signers;
        {
            uint256 members = _members(signatures, 0, signatures.length);
            uint256 needed;
            uint256 n;
            bool live;
            (needed, n, live, signers) = custody.quorum(setId, setVersion, members, job.appraisalPolicy);
            if (!live) revert AppraisalPolicyNotLive(job.appraisalPolicy);
            if (restart) needed = _silenceQuorum(needed, n);
            if (signers.length < needed) revert MembersTooFew(setId, signers.length, needed);
        }
        for (uint256 i = 0; i < verdicts.length; ++i) {
            Verdict calldata verdict = verdicts[i];
            if (
                verdict.jobId != job.jobId || verdict.attempt != job.attempt || verdict.signer != job.signer
                    || verdict.runtimeDataHash != job.runtimeDataHash || verdict.custodianSet != setId
                    || verdict.setVersion != setVersion || verdict.appraisalPolicy != job.appraisalPolicy
            ) revert VerdictMismatch(i);
            if (job.providerId != 0 && verdict.providerId != job.providerId) {
                revert VerdictProviderWrong(verdict.providerId, job.providerId);
            }
            _requireLevel(verdict.level);
            if (verdict.level < job.requiredLevel) {
                revert VerdictLevelTooLow(verdict.level, job.requiredLevel);
            }
            uint64 expiresAt = verdict.expiresAt;
            if (expiresAt < block.timestamp || expiresAt > block.timestamp + MAX_VERDICT_AGE) {
                revert VerdictExpiryOutOfRange(expiresAt, block.timestamp, block.timestamp + MAX_VERDICT_AGE);
            }
            _requireMember(signers[i], _hashTypedData(TypedData.hash(verdict)), signatures[i]);
        }
    }

    /// The named members as bits; ascending order is what makes them distinct.
    function _members(MemberSignature[] calldata signatures, uint256 from, uint256 to)
        private
        pure
        returns (uint256 members)
    {
        for (uint256 i = from; i < to; ++i) {
            uint16 index = signatures[i].index;
            // A set has at most 16 members; `Custody` refuses bits beyond the set's size.
            if (index > 255 || members >> index != 0) revert MembersNotAscending(i, index);
            members |= uint256(1) << index;
        }
    }

    /// max(t, n - t + 1): with so many silent, fewer than t can hold a share of a finished result.
    function _silenceQuorum(uint256 t, uint256 n) private pure returns (uint256) {
        uint256 blocking = n - t + 1;
        return t > blocking ? t : blocking;
    }

    function _requireMember(address member, bytes32 digest, MemberSignature calldata signature) private view {
        // `member` is never 0 (Custody), so a failed recovery never passes.
        if (Signatures.recover(digest, signature.r, signature.vs) != member) {
            revert SignatureInvalid(member);
        }
    }

    function _requireSigner(address signer, bytes32 structHash, bytes calldata signature) private view {
        // `signer` is never 0 once a job runs.
        if (Signatures.recover(_hashTypedData(structHash), signature) != signer) {
            revert SignatureInvalid(signer);
        }
    }

    /// Terminal: no function loads a job in one of these states, so the slot is never reopened.
    function _end(Job memory job, JobState state) private {
        _jobs[job.jobId] = Jobs.pack(Jobs.commitment(job), state);
    }

    function _fail(Job memory job, JobState from, Reason reason, uint32 paidEpochs) private {
        _end(job, JobState.Failed);
        _returnRun(job, from);
        emit JobFailed(job.jobId, reason);
        _payAndRefund(job, 0, paidEpochs);
    }

    /// Compute's line for the epochs it did, then everything that is left back to the requester: the
    /// refund is what remains, so the parts cannot fail to add up to the escrow.
    function _payAndRefund(Job memory job, uint256 royalty, uint32 paidEpochs) private {
        uint256 computeFee = Money.line(job.computeFeePerEpoch, paidEpochs);
        _credit(job.computePayee, job.token, computeFee);
        _refund(job.jobId, job.token, job.requester, _escrow(job) - royalty - computeFee);
    }

    /// Remembers that a provider named in advance did not end its job. Nothing about it can stop an
    /// exit, and nobody can starve it without failing the whole transaction.
    function _strike(bytes32 providerId) private {
        if (providerId == 0) return;
        uint256 gasLeft = gasleft();
        if (gasLeft < STRIKE_GAS * 2) revert GasTooLow(gasLeft, STRIKE_GAS * 2);
        address target = address(custody);
        bytes memory data = abi.encodeCall(ICustody.strike, (providerId));
        assembly ("memory-safe") {
            pop(call(STRIKE_GAS, target, 0, add(data, 0x20), mload(data), 0, 0))
        }
    }
}
