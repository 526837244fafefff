//! Refusals of `request`: the exact rule, and the command that would pass.

use licen_core::abi::Policy;
use licen_core::constraints::ConstraintBreach;
use licen_core::policy::PolicyBreach;

use crate::cli::RequestArgs;
use crate::session::codes;
use crate::session::error::CliError;

/// The command as it was typed, with other epochs, purpose or base model.
#[must_use]
pub fn corrected(
    args: &RequestArgs,
    epochs: Option<u32>,
    purpose: Option<&str>,
    base: Option<&str>,
) -> String {
    let mut words = vec!["licen request".to_string(), args.dataset.clone()];
    words.push(format!("--epochs {}", epochs.unwrap_or(args.epochs)));
    let base = base.unwrap_or(&args.base);
    if base != "tiny" {
        words.push(format!("--base {base}"));
    }
    if let Some(purpose) = purpose.or(args.purpose.as_deref()) {
        words.push(format!("--purpose {purpose}"));
    }
    if let Some(path) = &args.config {
        words.push(format!("--config {}", path.display()));
    }
    if args.eval_fraction != 0.1 {
        words.push(format!("--eval-fraction {}", args.eval_fraction));
    }
    if args.seed != 0 {
        words.push(format!("--seed {}", args.seed));
    }
    if let Some(set) = &args.verifier_set {
        words.push(format!("--verifier-set {set}"));
    }
    if let Some(provider) = &args.provider {
        words.push(format!("--provider {provider}"));
    }
    if let Some(most) = &args.max_fee {
        words.push(format!("--max-fee {most}"));
    }
    if let Some(path) = &args.result_key {
        words.push(format!("--result-key {}", path.display()));
    }
    if args.follow {
        words.push("--follow".into());
    }
    words.join(" ")
}

/// A breach of the policy.
#[must_use]
pub fn of_policy(
    args: &RequestArgs,
    policy: &Policy,
    purposes: &[String],
    breach: &PolicyBreach,
) -> CliError {
    let said = match (breach, &args.purpose) {
        (PolicyBreach::Purpose { .. }, Some(name)) => {
            format!("purpose {name} asked, the owner allows {}", purposes.join(", "))
        }
        _ => breach.to_string(),
    };
    let error = CliError::refused(codes::POLICY_REFUSES, format!("policy refuses the request: {said}"));
    let dataset = &args.dataset;
    match breach {
        PolicyBreach::Units { epochs, .. } => error.hint(corrected(args, Some(*epochs), None, None)),
        PolicyBreach::NoEpochs => error.hint(corrected(args, Some(1), None, None)),
        PolicyBreach::TooManyEpochs { cap, .. } => error.hint(corrected(args, Some(*cap), None, None)),
        PolicyBreach::Purpose { .. } => {
            error.hint(corrected(args, None, purposes.first().map(String::as_str), None))
        }
        PolicyBreach::Paused => {
            error.hint(format!("licen show {dataset} tells when the owner takes requests again"))
        }
        PolicyBreach::NotAdmitted { .. } => error.hint(format!("licen access {dataset} --ask")),
        PolicyBreach::TooManyRuns { .. } => error.hint(format!(
            "licen jobs shows your runs; the owner {} can raise the cap, or licen search for another dataset",
            policy.owner
        )),
        PolicyBreach::Expired { .. } => error.hint(format!(
            "the owner {} can set a later end, or licen search for another dataset",
            policy.owner
        )),
        PolicyBreach::Terms { .. }
        | PolicyBreach::NoResultKey
        | PolicyBreach::License { .. }
        | PolicyBreach::Quote(_)
        | PolicyBreach::QuoteMissing => error.hint(format!("licen show {dataset}")),
    }
}

/// A breach of the owner's constraints; `allowed` is a base model of this node that they allow.
#[must_use]
pub fn of_constraints(args: &RequestArgs, allowed: Option<&str>, breach: &ConstraintBreach) -> CliError {
    if let ConstraintBreach::Spec(reason) = breach {
        return CliError::environment(
            codes::USAGE,
            format!("the training settings are not usable: {reason}"),
        )
        .hint("licen-compute train --help lists every setting");
    }
    let message = format!("the owner's constraints refuse the job: {breach}");
    let error = CliError::refused(codes::CONSTRAINTS_REFUSE, message);
    let file = args.config.as_ref().map_or("a file for --config".into(), |path| path.display().to_string());
    match breach {
        ConstraintBreach::Rank { limit, .. } => error.hint(format!("set \"lora_r\": {limit} in {file}")),
        ConstraintBreach::Steps { limit, .. } => error.hint(format!("set \"max_steps\": {limit} in {file}")),
        ConstraintBreach::BaseModel(_) => match allowed {
            Some(name) => error.hint(corrected(args, None, None, Some(name))),
            None => error
                .hint(format!("licen show {} lists what is allowed; this node has none of it", args.dataset)),
        },
        ConstraintBreach::Spec(_)
        | ConstraintBreach::TrainableParams { .. }
        | ConstraintBreach::Rows { .. }
        | ConstraintBreach::Provider(_)
        | ConstraintBreach::Jurisdiction(_)
        | ConstraintBreach::Unsupported(_) => error.hint(format!("licen show {}", args.dataset)),
    }
}
