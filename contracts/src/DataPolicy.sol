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
import { ICustody } from "./interfaces/ICustody.sol";
import { Jobs } from "./lib/Jobs.sol";
import { Money } from "./lib/Money.sol";
import { Sets } from "./lib/Sets.sol";
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
        Slot storage slot = _require(job, JobState.Granted);
        if (block.timestamp > job.startDeadline) {
            revert DeadlinePassed(job.startDeadline, block.timestamp);
        }
        _start(job, slot, uint64(block.timestamp) + job.runWindow, 1, signer, verdicts, signatures);
    }

    /// Running -> Running, next attempt: the custodians agree, by as many as can declare silence,
    /// that the attempt before is dead. No deadline moves.
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

    /// Running -> Completed: pays for the epochs that compute says it trained, returns the rest.
    function confirmTrainingComplete(
        Job calldata job,
        ResultManifest calldata manifest,
        bytes calldata signature
    ) external guarded {
        Slot storage slot = _require(job, JobState.Running);
        if (block.timestamp > job.runDeadline) revert DeadlinePassed(job.runDeadline, block.timestamp);
        if (
            manifest.jobId != job.jobId || manifest.attempt != job.attempt
                || manifest.datasetRoot != job.datasetRoot
        ) revert ManifestMismatch(manifest.jobId, manifest.attempt, manifest.datasetRoot);
        uint32 epochs = manifest.actualEpochs;
        if (epochs == 0 || epochs > job.epochs) revert EpochsOutOfRange(epochs, job.epochs);
        if (manifest.resultHash == 0 || manifest.attestationRef == 0) {
            revert ManifestEmpty(manifest.resultHash, manifest.attestationRef);
        }
        _requireSigner(job.signer, TypedData.hash(manifest), signature);

        _end(slot, JobState.Completed);
        emit JobCompleted(job.jobId, epochs, manifest.resultHash, manifest.attestationRef);
        uint256 royalty = Money.line(job.royaltyPerEpoch, epochs);
        uint256 fee = Money.protocolFee(royalty, job.protocolFeeBps);
        emit RoyaltySettled(job.jobId, royalty);
        unchecked {
            // fee <= royalty, because protocolFeeBps <= MAX_FEE_BPS.
            _credit(job.payee, job.token, royalty - fee);
        }
        _credit(accountOf(feeRecipient), job.token, fee);
        _payAndRefund(job, royalty, epochs);
    }

    // ------------------------------------------------------------------------------------- ways out

    /// Running -> Failed by compute's own statement. Only JOB_SPEC_INVALID, which is the requester's
    /// fault, pays for compute's epochs.
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

    /// Running -> Failed because compute fell silent: said by more members of the pinned set than
    /// could be missing for a manifest to exist.
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

    /// Granted -> Failed: the operator or the owner will not serve it.
    function declineJob(Job calldata job) external guarded {
        Slot storage slot = _require(job, JobState.Granted);
        if (msg.sender != job.owner && msg.sender != job.operator) {
            revert NotAuthorized(msg.sender, job.owner);
        }
        _fail(job, slot, JobState.Granted, Reason.OWNER_WITHDREW, 0);
    }

    /// Granted -> Cancelled: the requester changed their mind before anybody worked.
    function cancelJob(Job calldata job) external guarded {
        Slot storage slot = _require(job, JobState.Granted);
        if (msg.sender != job.requester) revert NotAuthorized(msg.sender, job.requester);
        _end(slot, JobState.Cancelled);
        _returnRun(job, JobState.Granted);
        emit JobCancelled(job.jobId);
        _refund(job.jobId, job.token, job.requester, _escrow(job));
    }

    /// Granted or Running -> Expired: by anybody, as soon as nothing else can happen to it. A job is
    /// confirmed up to and including its deadline and expired after it, so the two never race.
    function expireJob(Job calldata job) external guarded {
        (Slot storage slot, JobState state) = _matched(job);
        if (state != JobState.Granted && state != JobState.Running) {
            revert JobStateWrong(job.jobId, state, JobState.Running);
        }
        uint64 deadline = state == JobState.Granted ? job.startDeadline : job.runDeadline;
        if (block.timestamp <= deadline) revert DeadlineNotPassed(deadline, block.timestamp);
        _end(slot, JobState.Expired);
        _returnRun(job, state);
        emit JobExpired(job.jobId);
        if (state == JobState.Running) _strike(job.providerId);
        _refund(job.jobId, job.token, job.requester, _escrow(job));
    }

    // ---------------------------------------------------------------------------------------- views

    /// The commitment is keccak256(abi.encode(job)) with its low 8 bits 0.
    function jobState(bytes32 id) external view returns (JobState state, bytes32 commitment) {
        bytes32 slot = _jobs[id].word;
        return (Jobs.stateOf(slot), Jobs.commitmentOf(slot));
    }

    function jobCommitment(Job calldata job) external pure returns (bytes32) {
        return Jobs.commitment(job);
    }

    // ------------------------------------------------------------------------------------ internals

    function _require(Job calldata job, JobState expected) private view returns (Slot storage) {
        (Slot storage slot, JobState state) = _matched(job);
        if (state != expected) revert JobStateWrong(job.jobId, state, expected);
        return slot;
    }

    /// The slot and the state of a job whose every field is as the chain knows it.
    function _matched(Job calldata job) private view returns (Slot storage, JobState) {
        Slot storage slot = _jobs[job.jobId];
        bytes32 word = slot.word;
        bytes32 given = Jobs.commitment(job);
        if (given != Jobs.commitmentOf(word)) revert JobMismatch(job.jobId, given, Jobs.commitmentOf(word));
        return (slot, Jobs.stateOf(word));
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
        if (reason == Reason.COMPUTE_TASK_FAILED) _strike(job.providerId);
        _payAndRefund(job, 0, paidEpochs);
    }

    /// Compute's line for the epochs it did, then everything that is left back to the requester: the
    /// refund is what remains, so the parts cannot fail to add up to the escrow.
    function _payAndRefund(Job calldata job, uint256 royalty, uint32 paidEpochs) private {
        uint256 computeFee = Money.line(job.computeFeePerEpoch, paidEpochs);
        _credit(job.computePayee, job.token, computeFee);
        _refund(job.jobId, job.token, job.requester, _escrow(job) - royalty - computeFee);
    }

    function _escrow(Job calldata job) private pure returns (uint256) {
        return Money.escrow(job.royaltyPerEpoch, job.computeFeePerEpoch, job.epochs);
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
