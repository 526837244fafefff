//! One sentence and one hint per custom error. `{name}` stands for the argument of that name.

/// What a custom error means.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) sentence: &'static str,
    pub(crate) hint: Option<&'static str>,
}

pub(crate) fn of(name: &str) -> Option<Entry> {
    let found = TABLE.iter().find(|(n, _, _)| *n == name)?;
    Some(Entry { sentence: found.1, hint: (!found.2.is_empty()).then_some(found.2) })
}

#[cfg(test)]
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(n, _, _)| *n)
}

/// Name, sentence, hint ("" for none).
const TABLE: &[(&str, &str, &str)] = &[
    // The compiler's own, and foreign bytes.
    ("Empty", "the call reverted without a reason", "check the contract addresses in deployment.json"),
    ("Error", "the contract says: {reason}", ""),
    (
        "Panic",
        "the contract stopped at an internal check, code {code}",
        "report this: it is a fault of the contract",
    ),
    ("Unknown", "the contract refused with {data}", ""),
    // Anywhere.
    ("Reentered", "{caller} called back while the contract was moving money", ""),
    (
        "NotAuthorized",
        "{caller} may not do this, only {expected}",
        "sign with the wallet of {expected}: --wallet FILE",
    ),
    ("SignatureInvalid", "the signature is not by {expected}", "sign again with the key of {expected}"),
    (
        "SignatureExpired",
        "the signature was good until {deadline}, chain time is {timestamp}",
        "sign again with a later deadline",
    ),
    (
        "GasTooLow",
        "{gasLeft} gas left, {gasNeeded} needed to pay the refund out safely",
        "send again with a higher gas limit",
    ),
    // Ledger.
    ("ValueWrong", "{given} wei sent, exactly {expected} needed", "licen show DATASET prints the price"),
    (
        "TokenAmountWrong",
        "token {token} delivered {received} of {expected}: tokens that take a fee on transfer are not accepted",
        "use a token without transfer fee",
    ),
    (
        "TransferFailed",
        "token {token} did not transfer {amount} to {to}",
        "check balance and allowance of the token, then send again",
    ),
    (
        "ReceiverRefused",
        "money cannot be sent to {to}: it is the contract itself or nobody",
        "name another address",
    ),
    (
        "AccountRefused",
        "account {account} is the contract itself: money there could never be withdrawn",
        "name another payee",
    ),
    ("NothingToWithdraw", "{account} has no credit in {token}", "licen earnings"),
    (
        "NothingToDistribute",
        "split {account} has {available} base units of {token}: nothing for any payee now",
        "wait until more has come in or vested",
    ),
    ("SplitPayeesOutOfRange", "{payees} payees in the split, 1 to {max} allowed", ""),
    ("SplitLengthsDiffer", "the split has {payees} payees but {bps} weights", "give one weight per payee"),
    ("SplitPayeeZero", "payee {index} of the split is the zero account", ""),
    ("SplitSumWrong", "the weights of the split add up to {sum}, not {expected}", ""),
    ("FeeTooHigh", "protocol fee of {feeBps} basis points, at most {max} allowed", ""),
    ("FeeRecipientZero", "a protocol fee of {feeBps} basis points has no recipient", ""),
    // Deployment.
    ("CustodyZero", "the Custody address is {custody}", "licen deploy deploys Custody first"),
    ("FeatureNotBuilt", "{feature} was given for a feature that this version does not have", ""),
    // Datasets and policies.
    (
        "NonceWrong",
        "the nonce is {given}, the owner's is {current}",
        "sign the registration again with the owner's current nonce",
    ),
    (
        "DatasetUidWrong",
        "the policy names dataset {given}, its owner and salt make {computed}",
        "publish again: the uid is computed from owner and salt",
    ),
    ("DatasetExists", "dataset {datasetUid} is registered already", "licen policy update changes its policy"),
    ("DatasetUnknown", "there is no dataset {datasetUid}", "licen search"),
    ("DatasetPaused", "the owner paused dataset {datasetUid}", "licen policy resume, if you are the owner"),
    ("DatasetNotPaused", "dataset {datasetUid} is not paused", ""),
    ("DatasetRootZero", "dataset {datasetUid} has no root", ""),
    (
        "PolicyStale",
        "policy {given} is not the current one of dataset {datasetUid}",
        "licen show DATASET prints the current policy, then ask again",
    ),
    ("PolicyVersionWrong", "the policy has version {given}, the next one is {expected}", ""),
    (
        "PolicyIdentityChanged",
        "an update may not change dataset {datasetUid}, its root, owner or salt",
        "publish a new dataset instead",
    ),
    ("PolicyPayeeZero", "the policy of dataset {datasetUid} names no payee", ""),
    (
        "PolicyLimitZero",
        "{maxEpochsPerRun} epochs per run and {maxRunsPerRequester} runs per requester: both must be at least 1",
        "",
    ),
    ("StartWindowOutOfRange", "a start window of {given} s, 1 to {max} allowed", ""),
    ("RunWindowOutOfRange", "a run window of {given} s, 1 to {max} allowed", ""),
    ("PurposesOutOfRange", "{given} purposes, 1 to {max} allowed", ""),
    (
        "LevelRefused",
        "attestation level {level} is not allowed on chain {chainId}",
        "off the local chain a policy must require HARDWARE (2)",
    ),
    // A request.
    (
        "PolicyExpired",
        "the policy ended at {policyExpiry}, chain time is {timestamp}",
        "ask the owner to publish a new policy",
    ),
    (
        "EpochsOutOfRange",
        "{epochs} epochs asked, the policy allows 1 to {max} per run",
        "licen request DATASET --epochs {max}",
    ),
    ("UnitsMismatch", "{units} units asked for {epochs} epochs: without a license they are the same", ""),
    (
        "RunsUsedUp",
        "{runs} runs used, the policy allows {max} per requester",
        "ask the owner for a policy with more runs",
    ),
    (
        "PurposeNotAllowed",
        "purpose {purposeId} is not among the allowed ones",
        "licen show DATASET prints them: --purpose NAME",
    ),
    (
        "TermsNotAccepted",
        "terms {given} were accepted, the policy has terms {expected}",
        "read the terms with licen show DATASET, then ask again",
    ),
    ("LicenseNotBuilt", "license {licenseId} was given, licenses do not exist yet", ""),
    (
        "QuoteMissing",
        "provider {providerId} was chosen without its quote",
        "licen request fetches a quote: try again",
    ),
    ("QuoteUnexpected", "a quote of provider {providerId} was given but no provider was chosen", ""),
    (
        "QuoteMismatch",
        "the quote is for job {quotedJobId} or for other terms, this is job {jobId}",
        "licen request fetches a fresh quote: try again",
    ),
    (
        "QuoteExpired",
        "the quote was good until {expiresAt}, chain time is {timestamp}",
        "licen request fetches a fresh quote: try again",
    ),
    ("ProviderUnknown", "there is no provider {providerId}", ""),
    (
        "AdmissionMissing",
        "{requester} is not on the allow-list of dataset {datasetUid} and shows no approval",
        "ask the owner for an approval",
    ),
    (
        "AdmissionProofInvalid",
        "the proof does not place {requester} on allow-list {requestersRoot}",
        "fetch a fresh proof from the owner",
    ),
    (
        "ApprovalMismatch",
        "the approval is for {requester} at dataset {datasetUid} under allow-list {requestersRoot}",
        "ask the owner for an approval of your address under the current policy",
    ),
    (
        "ApprovalExpired",
        "the approval was good until {expires}, chain time is {timestamp}",
        "ask the owner for a new one",
    ),
    // A job.
    (
        "JobStateWrong",
        "job {jobId} is in state {current}, this needs state {expected}",
        "licen jobs shows where it stands",
    ),
    (
        "JobMismatch",
        "the terms given are not those of job {jobId}",
        "licen jobs reads them from the chain: try again",
    ),
    (
        "DeadlinePassed",
        "the deadline was {deadline}, chain time is {timestamp}",
        "licen cancel JOB gets the money back",
    ),
    (
        "DeadlineNotPassed",
        "the deadline is {deadline}, chain time is only {timestamp}",
        "wait until the deadline has passed",
    ),
    (
        "AttemptsUsedUp",
        "attempt {attempt}, at most {max} allowed",
        "wait for the run deadline, then licen cancel JOB",
    ),
    ("SignerZero", "no signer was given for job {jobId}", ""),
    ("RuntimeDataHashZero", "no runtime data was given for job {jobId}", ""),
    ("VerdictCountWrong", "{verdicts} verdicts with {signatures} signatures", ""),
    (
        "VerdictMismatch",
        "verdict {position} is about another job, attempt, signer or set",
        "ask the custodians for verdicts again",
    ),
    (
        "VerdictLevelTooLow",
        "the verdicts say level {given}, the policy requires {required}",
        "run compute on attested hardware",
    ),
    (
        "VerdictExpiryOutOfRange",
        "a verdict expires at {expiresAt}, it must be between {timestamp} and {latest}",
        "ask the custodians for verdicts again",
    ),
    (
        "AppraisalPolicyNotLive",
        "appraisal policy {appraisalPolicy} was revoked",
        "the owner must publish a policy with another one",
    ),
    (
        "MembersTooFew",
        "{given} members of custodian set {setId} signed, {needed} needed",
        "ask more custodians",
    ),
    (
        "MembersNotAscending",
        "member {index} is out of order or repeated, {lowestAllowed} or higher must come here",
        "",
    ),
    ("ManifestMismatch", "the result manifest is not of job {jobId} attempt {attempt}", ""),
    (
        "ManifestEmpty",
        "the result manifest names a root that is 0: result, base model, adapter, evidence or report",
        "",
    ),
    ("ReportMismatch", "the failure report is not of job {jobId} attempt {attempt}", ""),
    ("ReasonNotAllowed", "reason {reasonCode} may not be reported here", ""),
    // Custody.
    ("SetExists", "custodian set {setId} exists already", "use another salt, or add a version"),
    ("SetUnknown", "custodian set {setId} has no version {setVersion}", ""),
    (
        "SetThresholdOutOfRange",
        "a threshold of {t} for {members} members",
        "choose 1 up to the number of members",
    ),
    ("SetMembersOutOfRange", "{members} members, 1 to {max} allowed", ""),
    ("MemberSignerZero", "member {index} has no signing address", ""),
    ("MemberKeyZero", "member {index} has no HPKE key", ""),
    ("MemberSignerRepeated", "member {index} repeats the signing address {signer}", ""),
    ("MemberUnknown", "the custodian set has {members} members, none with index {index}", ""),
    ("ProviderExists", "provider {providerId} exists already", "use another salt"),
    ("ProviderSignerZero", "provider {providerId} has no signing address", ""),
    ("ProviderPayeeZero", "provider {providerId} has no payee", ""),
    ("AppraisalPolicyExists", "appraisal policy {appraisalPolicy} exists already", "use another salt"),
    ("AppraisalPolicyUnknown", "there is no appraisal policy {appraisalPolicy}", ""),
    ("AppraisalPolicyRevoked", "appraisal policy {appraisalPolicy} was revoked for good", "make a new one"),
    ("AppraisalEntryZero", "an entry of appraisal policy {appraisalPolicy} is 0", ""),
    ("AppraisalEntryExists", "appraisal policy {appraisalPolicy} has entry {entry} already", ""),
    ("AppraisalEntryUnknown", "appraisal policy {appraisalPolicy} has no entry {entry}", ""),
];
