// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

/// Every refusal of the contracts, with what was given and what was needed, so that a client can
/// turn each into a sentence and a fix without asking the chain again.

import { JobState, Reason } from "./Types.sol";

// Anywhere.
error Reentered(address caller);
error NotAuthorized(address caller, address expected);
error SignatureInvalid(address expected);
error SignatureExpired(uint256 deadline, uint256 timestamp);
error GasTooLow(uint256 gasLeft, uint256 gasNeeded);

// Ledger: money in and out.
error ValueWrong(uint256 expected, uint256 given);
error TokenAmountWrong(address token, uint256 expected, uint256 received);
error TransferFailed(address token, address to, uint256 amount);
error NothingToWithdraw(address account, address token);
error NothingToDistribute(bytes32 account, address token, uint256 available);
error ReceiverRefused(address to);
error AccountRefused(bytes32 account);
error SplitPayeesOutOfRange(uint256 payees, uint256 max);
error SplitLengthsDiffer(uint256 payees, uint256 bps);
error SplitPayeeZero(uint256 index);
error SplitSumWrong(uint256 sum, uint256 expected);
error FeeTooHigh(uint16 feeBps, uint16 max);
error FeeRecipientZero(uint16 feeBps);

// DataPolicy: deployment.
error CustodyZero(address custody);
error FeatureNotBuilt(address feature);

// DataPolicy: datasets and policies.
error DatasetUidWrong(bytes32 given, bytes32 computed);
error DatasetExists(bytes32 datasetUid);
error DatasetUnknown(bytes32 datasetUid);
error DatasetPaused(bytes32 datasetUid);
error DatasetNotPaused(bytes32 datasetUid);
error DatasetRootZero(bytes32 datasetUid);
error PolicyStale(bytes32 datasetUid, bytes32 given, bytes32 current);
error PolicyVersionWrong(uint64 given, uint64 expected);
error PolicyIdentityChanged(bytes32 datasetUid, bytes32 datasetRoot, address owner, bytes32 salt);
error PolicyPayeeZero(bytes32 datasetUid);
error PolicyLimitZero(uint32 maxEpochsPerRun, uint32 maxRunsPerRequester);
error StartWindowOutOfRange(uint32 given, uint32 max);
error RunWindowOutOfRange(uint32 given, uint32 max);
error PurposesOutOfRange(uint256 given, uint256 max);
error LevelRefused(uint8 level, uint256 chainId);
error NonceWrong(uint64 given, uint64 current);

// DataPolicy: a request.
error PolicyExpired(uint64 policyExpiry, uint256 timestamp);
error EpochsOutOfRange(uint32 epochs, uint32 max);
error UnitsMismatch(uint64 units, uint32 epochs);
error RunsUsedUp(uint32 runs, uint32 max);
error PurposeNotAllowed(bytes32 purposeId);
error TermsNotAccepted(bytes32 given, bytes32 expected);
error LicenseNotBuilt(uint256 licenseId);
error QuoteMissing(bytes32 providerId);
error QuoteUnexpected(bytes32 providerId);
error QuoteMismatch(bytes32 quotedJobId, bytes32 jobId);
error QuoteExpired(uint64 expiresAt, uint256 timestamp);
error ProviderUnknown(bytes32 providerId);
error AdmissionMissing(bytes32 datasetUid, address requester);
error AdmissionProofInvalid(bytes32 requestersRoot, address requester);
error ApprovalMismatch(bytes32 datasetUid, bytes32 requestersRoot, address requester);
error ApprovalExpired(uint64 expires, uint256 timestamp);

// DataPolicy: a job.
error JobStateWrong(bytes32 jobId, JobState current, JobState expected);
error JobMismatch(bytes32 jobId, bytes32 given, bytes32 current);
error DeadlinePassed(uint64 deadline, uint256 timestamp);
error DeadlineNotPassed(uint64 deadline, uint256 timestamp);
error AttemptsUsedUp(uint32 attempt, uint32 max);
error SignerZero(bytes32 jobId);
error RuntimeDataHashZero(bytes32 jobId);
error VerdictCountWrong(uint256 verdicts, uint256 signatures);
error VerdictMismatch(uint256 position);
error VerdictLevelTooLow(uint8 given, uint8 required);
error VerdictExpiryOutOfRange(uint64 expiresAt, uint256 timestamp, uint256 latest);
error AppraisalPolicyNotLive(bytes32 appraisalPolicy);
error MembersTooFew(bytes32 setId, uint256 given, uint256 needed);
error MembersNotAscending(uint256 index, uint256 lowestAllowed);
error ManifestMismatch(bytes32 jobId, uint32 attempt, bytes32 datasetRoot);
error ManifestEmpty();
error ReportMismatch(bytes32 jobId, uint32 attempt, bytes32 runtimeDataHash);
error ReasonNotAllowed(Reason reasonCode);

// Custody.
error SetExists(bytes32 setId);
error SetUnknown(bytes32 setId, uint32 setVersion);
error SetThresholdOutOfRange(uint8 t, uint256 members);
error SetMembersOutOfRange(uint256 members, uint256 max);
error MemberSignerZero(uint256 index);
error MemberKeyZero(uint256 index);
error MemberSignerRepeated(uint256 index, address signer);
error MemberUnknown(uint256 index, uint256 members);
error ProviderExists(bytes32 providerId);
error ProviderSignerZero(bytes32 providerId);
error ProviderPayeeZero(bytes32 providerId);
error AppraisalPolicyExists(bytes32 appraisalPolicy);
error AppraisalPolicyUnknown(bytes32 appraisalPolicy);
error AppraisalPolicyRevoked(bytes32 appraisalPolicy);
error AppraisalEntryZero(bytes32 appraisalPolicy);
error AppraisalEntryExists(bytes32 appraisalPolicy, bytes32 entry);
error AppraisalEntryUnknown(bytes32 appraisalPolicy, bytes32 entry);
