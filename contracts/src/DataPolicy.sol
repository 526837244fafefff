// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {
    AppraisalPolicyNotLive,
    AttemptsUsedUp,
    DeadlineNotPassed,
    DeadlinePassed,
    EpochsOutOfRange,
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
    VerdictMismatch
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
import { IDataPolicy } from "./interfaces/IDataPolicy.sol";
import { Jobs } from "./lib/Jobs.sol";
import { Money } from "./lib/Money.sol";
import { Sets } from "./lib/Sets.sol";
import { Signatures } from "./lib/Signatures.sol";
import { TypedData } from "./lib/TypedData.sol";
import { Units } from "./lib/Units.sol";

/// @title Datasets, their policies, and the life of a training job: escrow, start, settlement, ways out
///
/// @notice Nobody has authority here. Each step is valid because of what owner, provider, custodians or
/// compute signed, or because of the clock, and anybody may send it. Every waiting state has a
/// deadline, and behind every deadline is an exit that the requester can take alone: `cancelJob` and
/// `expireJob`. Exits never look at pause, expiry or revocation, and call nothing that could refuse.
contract DataPolicy is Requests {
    // A verdict says what was true when evidence was fresh, so it must be used soon.
    /// @inheritdoc IDataPolicy
    uint64 public constant MAX_VERDICT_AGE = 15 minutes;
    /// @inheritdoc IDataPolicy
    uint32 public constant MAX_ATTEMPTS = 3;

    /// @param custody_ The registries, for good.
    /// @param license_ 0.
    /// @param feeRecipient_ Where the protocol fee goes; neither 0, where there is a fee, nor this contract.
    /// @param feeBps_ The protocol fee in basis points of the royalty, at most MAX_FEE_BPS.
    constructor(address custody_, address license_, address feeRecipient_, uint16 feeBps_)
        Requests(custody_, license_, feeRecipient_, feeBps_)
    { }

    // ------------------------------------------------------------------------------------ the steps

    /// @inheritdoc IDataPolicy
    function startJob(
        Job calldata job,
        address signer,
        Verdict[] calldata verdicts,
        MemberSignature[] calldata signatures
    ) external {
        Slot storage slot = _require(job, JobState.Granted);
        if (block.timestamp > job.startDeadline) {
            revert DeadlinePassed(job.startDeadline, block.timestamp);
        }
        _start(job, slot, uint64(block.timestamp) + job.runWindow, 1, signer, verdicts, signatures);
    }

    /// @inheritdoc IDataPolicy
    function restartJob(
        Job calldata job,
        address signer,
        Verdict[] calldata verdicts,
        MemberSignature[] calldata signatures
    ) external {
        Slot storage slot = _require(job, JobState.Running);
        if (block.timestamp > job.runDeadline) revert DeadlinePassed(job.runDeadline, block.timestamp);
        if (job.attempt >= MAX_ATTEMPTS) revert AttemptsUsedUp(job.attempt, MAX_ATTEMPTS);
        _start(job, slot, job.runDeadline, job.attempt + 1, signer, verdicts, signatures);
    }

    /// @inheritdoc IDataPolicy
    function confirmTrainingComplete(
        Job calldata job,
        ResultManifest calldata manifest,
        bytes calldata signature
    ) external guarded {
        Slot storage slot = _require(job, JobState.Running);
        if (block.timestamp > job.runDeadline) revert DeadlinePassed(job.runDeadline, block.timestamp);
        _checkManifest(job, manifest);
        _requireSigner(job.signer, TypedData.hash(manifest), signature);
        _record(job.jobId, slot, manifest);

        uint256 royalty = Money.royalty(job.royaltyPerUnit, job.units, Units.done(job.unit, manifest));
        uint256 fee = Money.protocolFee(royalty, job.protocolFeeBps);
        emit RoyaltySettled(job.jobId, royalty);
        unchecked {
            // fee <= royalty, because protocolFeeBps <= MAX_FEE_BPS.
            _credit(job.payee, job.token, job.jobId, royalty - fee);
        }
        _credit(accountOf(feeRecipient), job.token, job.jobId, fee);
        _payAndRefund(job, royalty, manifest.actualEpochs);
    }

    // ------------------------------------------------------------------------------------- ways out

    /// @inheritdoc IDataPolicy
    function markJobFailed(Job calldata job, FailureReport calldata report, bytes calldata signature)
        external
        guarded
    {
        Slot storage slot = _require(job, JobState.Running);
        if (
            report.jobId != job.jobId || report.attempt != job.attempt
                || report.runtimeDataHash != job.runtimeDataHash
        ) revert ReportMismatch(report.jobId, report.attempt, report.runtimeDataHash);
        Reason reason = report.reasonCode;
        // Withdrawing is the owner's act, and only before the start.
        if (reason == Reason.NONE || reason == Reason.OWNER_WITHDREW) revert ReasonNotAllowed(reason);
        uint32 paidEpochs = 0;
        if (reason == Reason.JOB_SPEC_INVALID) {
            paidEpochs = report.epochsDone;
            if (paidEpochs > job.epochs) revert EpochsOutOfRange(paidEpochs, job.epochs);
        }
        _requireSigner(job.signer, TypedData.hash(report), signature);
        _fail(job, slot, JobState.Running, reason, paidEpochs);
    }

    /// @inheritdoc IDataPolicy
    function markJobFailed(Job calldata job, MemberSignature[] calldata silences) external guarded {
        Slot storage slot = _require(job, JobState.Running);
        bytes memory set = Sets.read(address(custody), job.custodianSet, job.setVersion);
        uint256 needed = _silenceQuorum(set);
        if (silences.length < needed) revert MembersTooFew(job.custodianSet, silences.length, needed);
        bytes32 digest = TypedData.digest(domainSeparator(), TypedData.hash(Silence(job.jobId, job.attempt)));
        uint256 next = 0;
        for (uint256 i = 0; i < silences.length; ++i) {
            next = _requireMember(set, next, digest, silences[i]);
        }
        _fail(job, slot, JobState.Running, Reason.COMPUTE_TASK_FAILED, 0);
    }

    /// @inheritdoc IDataPolicy
    function declineJob(Job calldata job) external guarded {
        Slot storage slot = _require(job, JobState.Granted);
        if (msg.sender != job.owner && msg.sender != job.operator) {
            revert NotAuthorized(msg.sender, job.owner);
        }
        _fail(job, slot, JobState.Granted, Reason.OWNER_WITHDREW, 0);
    }

    /// @inheritdoc IDataPolicy
    function cancelJob(Job calldata job) external guarded {
        Slot storage slot = _require(job, JobState.Granted);
        if (msg.sender != job.requester) revert NotAuthorized(msg.sender, job.requester);
        _end(slot, JobState.Cancelled);
        _returnRun(job, JobState.Granted);
        emit JobCancelled(job.jobId);
        _refund(job.jobId, job.token, job.requester, _escrow(job));
    }

    /// @inheritdoc IDataPolicy
    function expireJob(Job calldata job) external guarded {
        JobState state = Jobs.stateOf(_jobs[job.jobId].word);
        if (state != JobState.Granted) state = JobState.Running;
        Slot storage slot = _require(job, state);
        // A job is confirmed up to and including its deadline and expired after it, so the two never race.
        uint64 deadline = state == JobState.Granted ? job.startDeadline : job.runDeadline;
        if (block.timestamp <= deadline) revert DeadlineNotPassed(deadline, block.timestamp);
        _end(slot, JobState.Expired);
        _returnRun(job, state);
        emit JobExpired(job.jobId);
        _refund(job.jobId, job.token, job.requester, _escrow(job));
    }

    // ---------------------------------------------------------------------------------------- views

    /// @inheritdoc IDataPolicy
    function jobState(bytes32 id) external view returns (JobState state, bytes32 commitment) {
        bytes32 slot = _jobs[id].word;
        return (Jobs.stateOf(slot), Jobs.commitmentOf(slot));
    }

    /// @inheritdoc IDataPolicy
    function jobCommitment(Job calldata job) external pure returns (bytes32) {
        return Jobs.commitment(job);
    }

    /// @inheritdoc IDataPolicy
    function isResult(Job calldata job, ResultManifest calldata manifest) external view returns (bool) {
        bytes32 commitment = Jobs.commitmentCompleted(Jobs.commitment(job), keccak256(abi.encode(manifest)));
        return _jobs[job.jobId].word == Jobs.pack(commitment, JobState.Completed);
    }

    // ------------------------------------------------------------------------------------ internals

    /// The slot of a job that is in this state and whose every field is as the chain knows it. The state
    /// comes first, because the slot of a Completed job commits to more than the job.
    function _require(Job calldata job, JobState expected) private view returns (Slot storage slot) {
        slot = _jobs[job.jobId];
        bytes32 word = slot.word;
        JobState state = Jobs.stateOf(word);
        if (state != expected) revert JobStateWrong(job.jobId, state, expected);
        bytes32 given = Jobs.commitment(job);
        if (given != Jobs.commitmentOf(word)) revert JobMismatch(job.jobId, given, Jobs.commitmentOf(word));
    }

    function _checkManifest(Job calldata job, ResultManifest calldata manifest) private pure {
        if (
            manifest.jobId != job.jobId || manifest.attempt != job.attempt
                || manifest.datasetRoot != job.datasetRoot
        ) revert ManifestMismatch(manifest.jobId, manifest.attempt, manifest.datasetRoot);
        uint32 epochs = manifest.actualEpochs;
        if (epochs == 0 || epochs > job.epochs) revert EpochsOutOfRange(epochs, job.epochs);
        if (
            manifest.resultHash == 0 || manifest.attestationRef == 0 || manifest.baseModelRoot == 0
                || manifest.adapterRoot == 0 || manifest.reportHash == 0
        ) revert ManifestEmpty();
    }

    /// Running -> Completed: from here on the slot answers for the result as well as for the job.
    function _record(bytes32 id, Slot storage slot, ResultManifest calldata manifest) private {
        // The one place where every field of the manifest is checked to be clean.
        bytes memory encoded = abi.encode(manifest);
        bytes32 commitment = Jobs.commitmentCompleted(Jobs.commitmentOf(slot.word), keccak256(encoded));
        slot.word = Jobs.pack(commitment, JobState.Completed);
        emit JobCompleted(id, manifest.actualEpochs, manifest.resultHash, manifest.attestationRef);
        bytes32 topic = ResultRecorded.selector;
        // `emit ResultRecorded(id, manifest)`, from the encoding that was just hashed.
        assembly ("memory-safe") {
            log2(add(encoded, 0x20), mload(encoded), topic, id)
        }
    }

    function _start(
        Job calldata job,
        Slot storage slot,
        uint64 runDeadline,
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
        bytes32 appraisalPolicy = job.appraisalPolicy;
        if (!custody.isAppraisalPolicyLive(appraisalPolicy)) {
            revert AppraisalPolicyNotLive(appraisalPolicy);
        }

        // What every verdict must say word for word.
        Verdict memory expected = Verdict({
            jobId: job.jobId,
            attempt: attempt,
            signer: signer,
            runtimeDataHash: runtimeDataHash,
            providerId: job.providerId,
            level: job.requiredLevel,
            appraisalPolicy: appraisalPolicy,
            custodianSet: job.custodianSet,
            setVersion: job.setVersion,
            expiresAt: 0
        });
        // The pinned set's verdicts first, then those of the set that the requester asked for.
        uint256 done = _requireVerdicts(expected, verdicts, signatures, 0);
        bytes32 verifierSet = job.verifierSet;
        if (verifierSet != 0 && (verifierSet != job.custodianSet || job.verifierSetVersion != job.setVersion))
        {
            expected.custodianSet = verifierSet;
            expected.setVersion = job.verifierSetVersion;
            done = _requireVerdicts(expected, verdicts, signatures, done);
        }
        if (done != verdicts.length) revert VerdictMismatch(done);

        slot.word = Jobs.pack(
            Jobs.commitmentStarted(job, runDeadline, attempt, signer, runtimeDataHash), JobState.Running
        );
        emit JobStarted(job.jobId, attempt, signer, runtimeDataHash, runDeadline);
    }

    /// Takes the verdicts of one set, from position `from` up to the first that names another set, and
    /// refuses unless enough distinct members signed exactly this attempt. Returns where it stopped.
    function _requireVerdicts(
        Verdict memory expected,
        Verdict[] calldata verdicts,
        MemberSignature[] calldata signatures,
        uint256 from
    ) private view returns (uint256 position) {
        bytes32 setId = expected.custodianSet;
        bytes memory set = Sets.read(address(custody), setId, expected.setVersion);
        // Whoever restarts in the place of an attempt must also be able to say that it is dead. That is
        // asked of the pinned set, which comes first; the requester's own set never can.
        uint256 needed = from == 0 && expected.attempt > 1 ? _silenceQuorum(set) : Sets.threshold(set);
        bytes32 domain = domainSeparator();
        bytes32 providerId = expected.providerId;
        uint8 requiredLevel = expected.level;
        uint256 next = 0;
        for (position = from; position < verdicts.length; ++position) {
            Verdict calldata verdict = verdicts[position];
            if (verdict.custodianSet != setId || verdict.setVersion != expected.setVersion) break;
            // Checked for themselves, because members may say different things here.
            expected.level = verdict.level;
            if (expected.level < requiredLevel) revert VerdictLevelTooLow(expected.level, requiredLevel);
            _requireLevel(expected.level);
            expected.expiresAt = verdict.expiresAt;
            unchecked {
                // One comparison for both bounds: what lies in the past wraps to more than any age.
                if (uint256(expected.expiresAt) - block.timestamp > MAX_VERDICT_AGE) {
                    revert VerdictExpiryOutOfRange(
                        expected.expiresAt, block.timestamp, block.timestamp + MAX_VERDICT_AGE
                    );
                }
            }
            if (providerId == 0) expected.providerId = verdict.providerId;
            // Everything else at once.
            bytes32 structHash = TypedData.hashMemory(expected);
            if (TypedData.hash(verdict) != structHash) revert VerdictMismatch(position);
            next = _requireMember(set, next, TypedData.digest(domain, structHash), signatures[position]);
        }
        if (position - from < needed) revert MembersTooFew(setId, position - from, needed);
        expected.providerId = providerId;
        expected.level = requiredLevel;
    }

    /// max(t, n - t + 1): with so many silent, fewer than t can hold a share of a finished result.
    function _silenceQuorum(bytes memory set) private pure returns (uint256) {
        uint256 t = Sets.threshold(set);
        uint256 blocking = Sets.size(set) - t + 1;
        return t > blocking ? t : blocking;
    }

    /// Refuses unless the named member signed; members come in ascending order, `next` being the first
    /// allowed, which is what makes them distinct. Returns the next `next`.
    function _requireMember(
        bytes memory set,
        uint256 next,
        bytes32 digest,
        MemberSignature calldata signature
    ) private view returns (uint256) {
        uint256 index = signature.index;
        if (index < next) revert MembersNotAscending(index, next);
        // A member is never 0, so a failed recovery never passes.
        address member = Sets.signer(set, index);
        if (Signatures.recover(digest, signature.r, signature.vs) != member) {
            revert SignatureInvalid(member);
        }
        return index + 1;
    }

    function _requireSigner(address signer, bytes32 structHash, bytes calldata signature) private view {
        // `signer` is never 0 once a job runs.
        if (Signatures.recover(TypedData.digest(domainSeparator(), structHash), signature) != signer) {
            revert SignatureInvalid(signer);
        }
    }

    /// Terminal: no function loads a job in one of these states, so the slot is never reopened.
    function _end(Slot storage slot, JobState state) private {
        slot.word = Jobs.pack(Jobs.commitmentOf(slot.word), state);
    }

    function _fail(Job calldata job, Slot storage slot, JobState from, Reason reason, uint32 paidEpochs)
        private
    {
        _end(slot, JobState.Failed);
        _returnRun(job, from);
        emit JobFailed(job.jobId, reason);
        _payAndRefund(job, 0, paidEpochs);
    }

    /// Compute's line for the epochs it did, then everything that is left back to the requester: the
    /// refund is what remains, so the parts cannot fail to add up to the escrow.
    function _payAndRefund(Job calldata job, uint256 royalty, uint32 paidEpochs) private {
        uint256 computeFee = Money.computeFee(job.computeFeePerEpoch, paidEpochs);
        _credit(job.computePayee, job.token, job.jobId, computeFee);
        _refund(job.jobId, job.token, job.requester, _escrow(job) - royalty - computeFee);
    }

    function _escrow(Job calldata job) private pure returns (uint256) {
        return Money.escrow(job.royaltyPerUnit, job.units, job.computeFeePerEpoch, job.epochs);
    }
}
