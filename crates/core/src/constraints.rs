//! The documents a policy and a request name by root: what the owner allows to be trained, and
//! what the researcher wants trained. Custodians check one against the other before a verdict,
//! compute before training.

use alloc::string::String;
use alloc::vec::Vec;
use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::abi::Provider;
use crate::fault::{Fault, Party};

/// Largest part of the rows that may be held out of training.
const MAX_EVAL_FRACTION: f64 = 0.9;

/// Limits on a training run; `None` and 0 mean no limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrainingLimits {
    /// Largest LoRA rank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rank: Option<u32>,
    /// Most trainable parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_trainable_params: Option<u64>,
    /// Fewest rows a dataset must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_rows: Option<u64>,
    /// Most optimizer steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u64>,
    /// Differential-privacy budget; needs a trainer that can keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
    /// Highest leak score of the adapter; needs a trainer that measures it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_leak_score: Option<f64>,
}

/// What an owner allows; canonical JSON, named by its root as `constraintsHash`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Constraints {
    /// Roots of allowed base models; empty leaves it to the node's list.
    #[serde(default)]
    pub base_models: Vec<B256>,
    /// Limits on the run.
    #[serde(default)]
    pub training_limits: TrainingLimits,
    /// Allowed providers; empty allows any.
    #[serde(default)]
    pub providers: Vec<B256>,
    /// Allowed jurisdictions of a provider (ISO 3166 codes); empty allows any.
    #[serde(default)]
    pub jurisdictions: Vec<String>,
}

/// Which messages of a conversation training learns. Rows of other shapes have one answer or are learned
/// whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Learn {
    /// Every message of the role assistant, but those of weight 0.
    #[default]
    Assistant,
    /// The last of them alone. No trainer does that yet, so [`check`] refuses it.
    Last,
}

/// What a researcher wants; canonical JSON, named by its root as `jobSpecHash`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobSpec {
    /// Root of the base model's deterministic tar.
    pub base_model_root: B256,
    /// 0G's names, as `licen-compute train --config` takes them.
    pub training_params: Map<String, Value>,
    /// Part of the rows held out for the loss before and after, 0 ≤ f < 1.
    pub eval_fraction: f64,
    /// Seed of every random choice in training.
    pub seed: u64,
    /// Which messages of a conversation are learned.
    #[serde(default)]
    pub learn: Learn,
    /// Adapter roots of earlier results to build on. No trainer does that yet, so [`check`] refuses any.
    #[serde(default)]
    pub parents: Vec<B256>,
}

/// The rule of the owner's [`Constraints`] that a job breaks.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConstraintBreach {
    /// The base model is not on the owner's list.
    #[error("base model {0} is not among those the owner allows")]
    BaseModel(B256),
    /// The rank is too large.
    #[error("LoRA rank {asked} asked, at most {limit} allowed")]
    Rank {
        /// Asked.
        asked: u64,
        /// Allowed.
        limit: u32,
    },
    /// Too many optimizer steps.
    #[error("{asked} steps asked, at most {limit} allowed")]
    Steps {
        /// Asked.
        asked: u64,
        /// Allowed.
        limit: u64,
    },
    /// Too many trainable parameters.
    #[error("{asked} trainable parameters, at most {limit} allowed")]
    TrainableParams {
        /// What the adapter has.
        asked: u64,
        /// Allowed.
        limit: u64,
    },
    /// Too few rows.
    #[error("the dataset has {rows} rows, the owner demands at least {limit}")]
    Rows {
        /// What the dataset has.
        rows: u64,
        /// Demanded.
        limit: u64,
    },
    /// The provider is not on the owner's list.
    #[error("provider {0} is not among those the owner allows")]
    Provider(B256),
    /// The provider's jurisdiction is not on the owner's list.
    #[error("jurisdiction {0:?} is not among those the owner allows")]
    Jurisdiction(String),
    /// No trainer here can keep this promise, so the job is refused rather than the promise broken.
    #[error("the owner demands {0}, which this trainer cannot guarantee")]
    Unsupported(&'static str),
    /// The specification itself is not usable.
    #[error("job specification: {0}")]
    Spec(String),
}

impl Fault for ConstraintBreach {
    fn fault(&self) -> Party {
        match self {
            Self::BaseModel(_)
            | Self::Rank { .. }
            | Self::Steps { .. }
            | Self::TrainableParams { .. }
            | Self::Spec(_) => Party::Requester,
            Self::Rows { .. } => Party::Owner,
            Self::Provider(_) | Self::Jurisdiction(_) | Self::Unsupported(_) => Party::Compute,
        }
    }
    fn retryable(&self) -> bool {
        false
    }
}

/// Who would run the job, as far as constraints care.
#[derive(Debug, Clone, Default)]
pub struct ProviderFacts {
    /// Id in `Custody`; zero for an unregistered node.
    pub provider_id: B256,
    /// ISO 3166 code it registered.
    pub jurisdiction: String,
}

impl ProviderFacts {
    /// A provider as `Custody` has it.
    #[must_use]
    pub fn registered(provider_id: B256, provider: &Provider) -> Self {
        // ASCII from the left, zeros behind it.
        let code = provider.jurisdiction.iter().copied().take_while(|byte| *byte != 0).collect();
        Self { provider_id, jurisdiction: String::from_utf8(code).unwrap_or_default() }
    }
}

/// What can be checked before anything is decrypted.
///
/// # Errors
/// The first rule broken.
pub fn check(
    constraints: &Constraints,
    spec: &JobSpec,
    provider: &ProviderFacts,
) -> Result<(), ConstraintBreach> {
    if !constraints.base_models.is_empty() && !constraints.base_models.contains(&spec.base_model_root) {
        return Err(ConstraintBreach::BaseModel(spec.base_model_root));
    }
    if !constraints.providers.is_empty() && !constraints.providers.contains(&provider.provider_id) {
        return Err(ConstraintBreach::Provider(provider.provider_id));
    }
    if !constraints.jurisdictions.is_empty() && !constraints.jurisdictions.contains(&provider.jurisdiction) {
        return Err(ConstraintBreach::Jurisdiction(provider.jurisdiction.clone()));
    }
    if !(0.0..=MAX_EVAL_FRACTION).contains(&spec.eval_fraction) {
        return Err(ConstraintBreach::Spec("evalFraction must be between 0 and 0.9".into()));
    }
    if spec.learn == Learn::Last {
        let reason = "learn \"last\" is not built: trainers learn every assistant message (\"assistant\")";
        return Err(ConstraintBreach::Spec(reason.into()));
    }
    if !spec.parents.is_empty() {
        let reason = "parents must be empty: no trainer builds on an earlier result yet";
        return Err(ConstraintBreach::Spec(reason.into()));
    }
    check_limits(&constraints.training_limits, &spec.training_params)
}

fn check_limits(limits: &TrainingLimits, params: &Map<String, Value>) -> Result<(), ConstraintBreach> {
    if limits.epsilon.is_some() {
        return Err(ConstraintBreach::Unsupported("a differential-privacy budget (epsilon)"));
    }
    if limits.max_leak_score.is_some() {
        return Err(ConstraintBreach::Unsupported("a leak score (maxLeakScore)"));
    }
    if let Some(limit) = limits.max_rank {
        let asked = ["lora_r", "r"].iter().find_map(|k| params.get(*k)).map_or(Ok(8), |v| {
            v.as_u64().ok_or_else(|| ConstraintBreach::Spec("lora_r must be a whole number".into()))
        })?;
        if asked > u64::from(limit) {
            return Err(ConstraintBreach::Rank { asked, limit });
        }
    }
    if let (Some(limit), Some(asked)) = (limits.max_steps, params.get("max_steps").and_then(Value::as_i64))
        && asked > 0
        && asked.unsigned_abs() > limit
    {
        return Err(ConstraintBreach::Steps { asked: asked.unsigned_abs(), limit });
    }
    Ok(())
}

/// What can be checked only inside compute, where rows and parameters are known.
///
/// # Errors
/// The first rule broken.
pub fn check_run(
    constraints: &Constraints,
    rows: u64,
    trainable_params: u64,
    steps: u64,
) -> Result<(), ConstraintBreach> {
    let limits = &constraints.training_limits;
    if let Some(limit) = limits.min_rows.filter(|l| rows < *l) {
        return Err(ConstraintBreach::Rows { rows, limit });
    }
    if let Some(limit) = limits.max_trainable_params.filter(|l| trainable_params > *l) {
        return Err(ConstraintBreach::TrainableParams { asked: trainable_params, limit });
    }
    if let Some(limit) = limits.max_steps.filter(|l| steps > *l) {
        return Err(ConstraintBreach::Steps { asked: steps, limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    fn spec() -> JobSpec {
        let Value::Object(training_params) = serde_json::json!({"lora_r": 16, "max_steps": 100}) else {
            unreachable!()
        };
        JobSpec {
            base_model_root: B256::repeat_byte(1),
            training_params,
            eval_fraction: 0.1,
            seed: 7,
            learn: Learn::Assistant,
            parents: Vec::new(),
        }
    }

    #[test]
    fn each_constraint_refuses_by_name() {
        let provider = ProviderFacts { provider_id: B256::repeat_byte(2), jurisdiction: "CH".into() };
        let ok = Constraints::default();
        assert_eq!(check(&ok, &spec(), &provider), Ok(()));
        let limits = |l: TrainingLimits| Constraints { training_limits: l, ..Constraints::default() };
        let model = Constraints { base_models: vec![B256::ZERO], ..Constraints::default() };
        assert!(matches!(check(&model, &spec(), &provider), Err(ConstraintBreach::BaseModel(_))));
        let rank = limits(TrainingLimits { max_rank: Some(8), ..Default::default() });
        assert_eq!(check(&rank, &spec(), &provider), Err(ConstraintBreach::Rank { asked: 16, limit: 8 }));
        let steps = limits(TrainingLimits { max_steps: Some(99), ..Default::default() });
        assert!(matches!(check(&steps, &spec(), &provider), Err(ConstraintBreach::Steps { .. })));
        let dp = limits(TrainingLimits { epsilon: Some(3.0), ..Default::default() });
        let unkept = check(&dp, &spec(), &provider).map_err(|breach| breach.to_string());
        assert!(unkept.is_err_and(|why| why.contains("epsilon")));
        let leak = limits(TrainingLimits { max_leak_score: Some(0.5), ..Default::default() });
        let unkept = check(&leak, &spec(), &provider).map_err(|breach| breach.to_string());
        assert!(unkept.is_err_and(|why| why.contains("maxLeakScore")));
        let place = Constraints { jurisdictions: vec!["DE".into()], ..Constraints::default() };
        assert!(matches!(check(&place, &spec(), &provider), Err(ConstraintBreach::Jurisdiction(_))));
        let who = Constraints { providers: vec![B256::ZERO], ..Constraints::default() };
        assert!(matches!(check(&who, &spec(), &provider), Err(ConstraintBreach::Provider(_))));
        let few = limits(TrainingLimits { min_rows: Some(10), ..Default::default() });
        assert_eq!(check_run(&few, 9, 0, 0), Err(ConstraintBreach::Rows { rows: 9, limit: 10 }));
    }

    #[test]
    fn a_rank_left_out_is_the_default_of_the_trainer() {
        let mut spec = spec();
        spec.training_params.remove("lora_r");
        let limits = TrainingLimits { max_rank: Some(4), ..Default::default() };
        let constraints = Constraints { training_limits: limits, ..Constraints::default() };
        let got = check(&constraints, &spec, &ProviderFacts::default());
        assert_eq!(got, Err(ConstraintBreach::Rank { asked: 8, limit: 4 }));
    }

    #[test]
    fn documents_are_canonical_and_closed() {
        let bytes = crate::canonical::json_to_vec(&spec()).unwrap();
        assert_eq!(crate::canonical::json_from_slice::<JobSpec>(&bytes).unwrap(), spec());
        assert!(serde_json::from_str::<Constraints>(r#"{"baseModels":[],"maxRank":3}"#).is_err());
        let said = String::from_utf8(bytes).unwrap();
        assert!(said.contains(r#""learn":"assistant","parents":[],"#), "{said}");
        let other = said.replace("assistant", "first");
        assert!(crate::canonical::json_from_slice::<JobSpec>(other.as_bytes()).is_err());
    }

    /// A job that no trainer can do as asked is refused by each who looks, the payer's command first.
    #[test]
    fn what_no_trainer_does_is_refused_with_the_reason() {
        let refused = |spec: JobSpec| {
            let provider = ProviderFacts::default();
            check(&Constraints::default(), &spec, &provider).map_err(|breach| breach.to_string())
        };
        assert_eq!(refused(spec()), Ok(()));
        let last = refused(JobSpec { learn: Learn::Last, ..spec() });
        assert!(last.is_err_and(|why| why.contains("learn \"last\" is not built")));
        let parents = refused(JobSpec { parents: vec![B256::ZERO], ..spec() });
        assert!(parents.is_err_and(|why| why.contains("parents must be empty")));
    }
}
