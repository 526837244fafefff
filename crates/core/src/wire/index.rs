//! Rows of the node's index: what a client selects by GraphQL, in the order in which it prints them. A row is a hint:
//! preimages are hashed and compared with the chain before anything is paid or believed.

use alloc::string::String;
use alloc::vec::Vec;
use alloy_primitives::{Address, B256, U256};
use serde::{Deserialize, Serialize};

use super::AbiHex;
use crate::abi::{Job, Policy, ResultManifest};
use crate::job::{JobState, Reason};
use crate::unit::Unit;

/// A row of the index.
pub trait Row {
    /// The fields that a query has to select, with spaces between them.
    const SELECTION: &'static str;
}

/// A struct and the selection that fills it, from one list of names.
macro_rules! row {
    ($(#[$of:meta])* $row:ident { $($(#[$about:meta])* $name:literal $field:ident: $kind:ty,)+ }) => {
        $(#[$of])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $row {
            $($(#[$about])* #[serde(rename = $name)] pub $field: $kind,)+
        }

        impl Row for $row {
            const SELECTION: &'static str = concat!($($name, " "),+);
        }
    };
}

row! {
    /// A dataset as registered at one contract.
    #[derive(Default)]
    DatasetRow {
        /// 0G file root of the ciphertext.
        "datasetRoot" dataset_root: B256,
        /// keccak256 of chain, owner and salt.
        "datasetUid" dataset_uid: B256,
        /// Who registered it.
        #[serde(with = "text")]
        "owner" owner: Address,
        /// 0G file root of its PolicyManifest.
        "manifestHash" manifest_hash: B256,
        /// Whether requests are taken: not paused, not expired.
        "active" active: bool,
        /// Whether the owner paused new requests.
        "paused" paused: bool,
        /// Chain time of the registration, seconds.
        "timestamp" timestamp: u64,
        /// The current policy.
        "policyHash" policy_hash: B256,
        /// Its preimage.
        "policyAbi" policy_abi: AbiHex<Policy>,
        /// The `DataPolicy`.
        #[serde(with = "text")]
        "contract" contract: Address,
        /// Base units.
        #[serde(with = "decimal")]
        "royaltyPerEpoch" royalty_per_epoch: U256,
        /// The zero address is the native coin.
        #[serde(with = "text")]
        "token" token: Address,
        /// Most epochs of one run.
        "maxEpochsPerRun" max_epochs_per_run: u32,
        /// Most runs of one requester; 0 for no limit.
        "maxRunsPerRequester" max_runs_per_requester: u32,
        /// Least attestation level.
        "requiredLevel" required_level: u8,
        /// Transaction of the registration.
        "txHash" tx_hash: B256,
    }
}

row! {
    /// A job; amounts are in base units of its token, and absent until it is settled.
    JobRow {
        /// The jobId.
        "id" id: B256,
        /// 0G file root of the dataset's ciphertext.
        "datasetRoot" dataset_root: B256,
        /// The dataset.
        "datasetUid" dataset_uid: B256,
        /// Who pays and gets the result.
        #[serde(with = "text")]
        "requester" requester: Address,
        /// Most epochs to train.
        "requestedEpochs" requested_epochs: u32,
        /// Where it stands at the head of the chain.
        #[serde(with = "named")]
        "state" state: JobState,
        /// Chain time of the grant, seconds.
        "timestamp" timestamp: u64,
        /// Epochs trained.
        #[serde(deserialize_with = "Option::deserialize")]
        "actualEpochs" actual_epochs: Option<u32>,
        /// Hash of the encrypted result.
        #[serde(deserialize_with = "Option::deserialize")]
        "resultHash" result_hash: Option<B256>,
        /// 0G file root of the evidence.
        #[serde(deserialize_with = "Option::deserialize")]
        "attestationRef" attestation_ref: Option<B256>,
        /// 0G file root of the base model.
        #[serde(deserialize_with = "Option::deserialize")]
        "baseModelRoot" base_model_root: Option<B256>,
        /// 0G file root of the adapter.
        #[serde(deserialize_with = "Option::deserialize")]
        "adapterRoot" adapter_root: Option<B256>,
        /// 0G file root of the report.
        #[serde(deserialize_with = "Option::deserialize")]
        "reportHash" report_hash: Option<B256>,
        /// Visits of training rows.
        #[serde(deserialize_with = "Option::deserialize")]
        "samples" samples: Option<u64>,
        /// Text tokens of the rows visited.
        #[serde(deserialize_with = "Option::deserialize")]
        "tokensSeen" tokens_seen: Option<u64>,
        /// Tokens that a loss was computed for.
        #[serde(deserialize_with = "Option::deserialize")]
        "tokensTrained" tokens_trained: Option<u64>,
        /// Processor seconds of the trainer.
        #[serde(deserialize_with = "Option::deserialize")]
        "computeSeconds" compute_seconds: Option<u64>,
        /// Held-out loss before, millionths.
        #[serde(deserialize_with = "Option::deserialize")]
        "evalBefore" eval_before: Option<u64>,
        /// Held-out loss after, millionths.
        #[serde(deserialize_with = "Option::deserialize")]
        "evalAfter" eval_after: Option<u64>,
        /// What the royalty is counted in.
        #[serde(with = "named")]
        "unit" unit: Unit,
        /// Units paid for.
        "units" units: u64,
        /// Royalty of one unit.
        #[serde(with = "decimal")]
        "royaltyPerUnit" royalty_per_unit: U256,
        /// Why it failed.
        #[serde(with = "named_or_null")]
        "failReason" fail_reason: Option<Reason>,
        /// What was locked.
        #[serde(with = "decimal")]
        "escrow" escrow: U256,
        /// What the payee was credited.
        #[serde(with = "decimal_or_null")]
        "royaltySettled" royalty_settled: Option<U256>,
        /// What went back to the requester.
        #[serde(with = "decimal_or_null")]
        "refundIssued" refund_issued: Option<U256>,
        /// What compute earned.
        #[serde(with = "decimal_or_null")]
        "computeFee" compute_fee: Option<U256>,
        /// What of the royalty went to the protocol.
        #[serde(with = "decimal_or_null")]
        "protocolFee" protocol_fee: Option<U256>,
        /// Latest start, chain seconds.
        "startDeadline" start_deadline: u64,
        /// Latest end, chain seconds; 0 before the start.
        "runDeadline" run_deadline: u64,
        /// The attempt that runs or ran; 0 before the start.
        "attempt" attempt: u32,
        /// The address whose key signs the attempt's manifest.
        #[serde(with = "text_or_null")]
        "signer" signer: Option<Address>,
        /// The job as the contract commits to it.
        #[serde(skip_serializing)]
        "jobAbi" job_abi: AbiHex<Job>,
        /// The policy it pins.
        #[serde(skip_serializing)]
        "policyAbi" policy_abi: AbiHex<Policy>,
        /// What compute stated about it, once Completed.
        #[serde(skip_serializing)]
        #[serde(deserialize_with = "Option::deserialize")]
        "manifestAbi" manifest_abi: Option<AbiHex<ResultManifest>>,
        /// The `DataPolicy` that it runs at.
        #[serde(with = "text")]
        "contract" contract: Address,
        /// Transaction of the grant.
        "txHash" tx_hash: B256,
    }
}

row! {
    /// One move in a contract's ledger.
    PaymentRow {
        /// Sorts in chain order.
        "id" id: String,
        /// The `DataPolicy` whose ledger it is.
        #[serde(with = "text")]
        "contract" contract: Address,
        /// What it did to its account.
        "kind" kind: PaymentKind,
        /// An address in 32 bytes, or the hash of a split.
        "account" account: B256,
        /// The zero address is the native coin.
        #[serde(with = "text")]
        "token" token: Address,
        /// Base units.
        #[serde(with = "decimal")]
        "amount" amount: U256,
        /// What a credit is for: a job, or the account of a split.
        #[serde(deserialize_with = "Option::deserialize")]
        "ref" source: Option<B256>,
        /// The job, where it is for one.
        #[serde(deserialize_with = "Option::deserialize")]
        "jobId" job_id: Option<B256>,
        /// Where a withdrawal went.
        #[serde(with = "text_or_null")]
        "to" to: Option<Address>,
        /// Its transaction.
        "txHash" tx_hash: B256,
    }
}

row! {
    /// A split; all but its account is absent until somebody announces it.
    SplitRow {
        /// The hash of the split.
        "account" account: B256,
        /// Payees.
        #[serde(deserialize_with = "Option::deserialize")]
        "accounts" accounts: Option<Vec<B256>>,
        /// Their parts, hundredths of a percent.
        #[serde(deserialize_with = "Option::deserialize")]
        "bps" bps: Option<Vec<u16>>,
        /// When its money begins to be released, chain seconds.
        #[serde(deserialize_with = "Option::deserialize")]
        "start" start: Option<u64>,
        /// Seconds until all of it is; 0 at once.
        #[serde(deserialize_with = "Option::deserialize")]
        "duration" duration: Option<u64>,
    }
}

/// What a payment did to its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PaymentKind {
    /// It came in.
    Credited,
    /// It was paid out.
    Withdrawn,
    /// It went to the payees of the split.
    Distributed,
}

/// What GraphQL calls by a name.
trait Named: Sized + Copy + 'static {
    const ALL: &'static [Self];
    fn name(self) -> &'static str;
}

impl Named for JobState {
    const ALL: &'static [Self] =
        &[Self::Granted, Self::Running, Self::Completed, Self::Failed, Self::Expired, Self::Cancelled];
    fn name(self) -> &'static str {
        self.name()
    }
}

impl Named for Reason {
    const ALL: &'static [Self] = &Self::ALL;
    fn name(self) -> &'static str {
        self.name()
    }
}

impl Named for Unit {
    const ALL: &'static [Self] = &[Self::Epoch, Self::Sample, Self::Kilotoken, Self::ComputeSecond];
    fn name(self) -> &'static str {
        self.name()
    }
}

/// A value as it is displayed: an address with its checksum.
mod text {
    use alloc::string::String;
    use core::fmt::Display;
    use core::str::FromStr;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(super) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(from: D) -> Result<T, D::Error>
    where
        T::Err: Display,
    {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// The same, or null.
mod text_or_null {
    use alloc::string::String;
    use core::fmt::Display;
    use core::str::FromStr;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<T: Display, S: Serializer>(value: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.collect_str(value),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error>
    where
        T::Err: Display,
    {
        let text: Option<String> = Option::deserialize(from)?;
        text.map(|text| text.parse().map_err(de::Error::custom)).transpose()
    }
}

/// An amount: decimal digits and nothing else.
mod decimal {
    use alloc::string::String;
    use alloy_primitives::U256;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(value: &U256, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(super) fn read<E: de::Error>(text: &str) -> Result<U256, E> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let amount = digits.then(|| U256::from_str_radix(text, 10).ok()).flatten();
        amount.ok_or_else(|| E::custom(format_args!("{text:?} is no amount")))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<U256, D::Error> {
        read(&String::deserialize(from)?)
    }
}

/// The same, or null.
mod decimal_or_null {
    use super::decimal;
    use alloc::string::String;
    use alloy_primitives::U256;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Option<U256>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.collect_str(value),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<U256>, D::Error> {
        let text: Option<String> = Option::deserialize(from)?;
        text.map(|text| decimal::read(&text)).transpose()
    }
}

/// A name of a known list.
mod named {
    use super::Named;
    use alloc::string::String;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<T: Named, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(value.name())
    }

    pub(super) fn of<T: Named, E: de::Error>(name: &str) -> Result<T, E> {
        let known = T::ALL.iter().copied().find(|value| value.name() == name);
        known.ok_or_else(|| E::custom(format_args!("{name:?} is no known name")))
    }

    pub(super) fn deserialize<'de, T: Named, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        of(&String::deserialize(from)?)
    }
}

/// The same, or null.
mod named_or_null {
    use super::{Named, named};
    use alloc::string::String;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<T: Named, S: Serializer>(value: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.serialize_str(value.name()),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, T: Named, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
        let name: Option<String> = Option::deserialize(from)?;
        name.map(|name| named::of(&name)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use serde_json::{Value, json};

    fn answer() -> Value {
        let root = B256::repeat_byte(7).to_string();
        json!({
            "id": root, "datasetRoot": root, "datasetUid": root,
            "requester": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8", "requestedEpochs": 3, "state": "Failed",
            "timestamp": 1_700_000_000, "actualEpochs": null, "resultHash": null, "attestationRef": null,
            "baseModelRoot": null, "adapterRoot": null, "reportHash": null, "samples": null, "tokensSeen": null,
            "tokensTrained": null, "computeSeconds": null, "evalBefore": null, "evalAfter": null,
            "unit": "computeSecond", "units": 300, "royaltyPerUnit": "10000000000000000",
            "failReason": "KEY_RELEASE_FAILED", "escrow": "30000000000000000", "royaltySettled": "0",
            "refundIssued": "30000000000000000", "computeFee": "0", "protocolFee": null,
            "startDeadline": 1_700_000_600, "runDeadline": 0, "attempt": 0, "signer": null,
            "jobAbi": AbiHex(Job::default()), "policyAbi": AbiHex(Policy::default()), "manifestAbi": null,
            "contract": "0x5FbDB2315678afecb367f032d93F642f64180aa3", "txHash": root,
        })
    }

    fn names(row: &Value) -> Vec<&str> {
        let mut names: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    fn selected<R: Row>() -> Vec<&'static str> {
        let mut names: Vec<&str> = R::SELECTION.split_whitespace().collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn an_answer_is_a_row_and_prints_as_it_came() {
        let row: JobRow = serde_json::from_value(answer()).unwrap();
        assert_eq!((row.state, row.unit), (JobState::Failed, Unit::ComputeSecond));
        assert_eq!((row.fail_reason, row.protocol_fee), (Some(Reason::KeyReleaseFailed), None));
        assert_eq!(row.refund_issued, Some(U256::from(30_000_000_000_000_000_u64)));
        let mut printed = answer();
        for preimage in ["jobAbi", "policyAbi", "manifestAbi"] {
            printed.as_object_mut().unwrap().remove(preimage).unwrap();
        }
        assert_eq!(serde_json::to_value(&row).unwrap(), printed);
    }

    #[test]
    fn every_field_of_a_row_is_selected() {
        assert_eq!(selected::<JobRow>(), names(&answer()));
        let dataset = serde_json::to_value(DatasetRow::default()).unwrap();
        assert_eq!(selected::<DatasetRow>(), names(&dataset));
    }

    #[test]
    fn a_field_that_is_missing_or_of_another_kind_is_refused() {
        for name in JobRow::SELECTION.split_whitespace() {
            for wrong in [json!({"no": "value"}), json!(-1), json!("0xnot")] {
                let mut bad = answer();
                bad[name] = wrong;
                assert!(serde_json::from_value::<JobRow>(bad.clone()).is_err(), "{bad}");
            }
            let mut short = answer();
            short.as_object_mut().unwrap().remove(name).unwrap();
            assert!(serde_json::from_value::<JobRow>(short).is_err(), "{name}");
        }
        for wrong in ["", "0x10", "0b11", "1_000", "-1", "1.5", " 1"] {
            for name in ["escrow", "refundIssued"] {
                let mut bad = answer();
                bad[name] = json!(wrong);
                assert!(serde_json::from_value::<JobRow>(bad).is_err(), "{name} {wrong:?}");
            }
        }
        for wrong in [json!("Begun"), json!("failed"), json!(null)] {
            let mut bad = answer();
            bad["state"] = wrong;
            assert!(serde_json::from_value::<JobRow>(bad.clone()).is_err(), "{bad}");
        }
    }
}
