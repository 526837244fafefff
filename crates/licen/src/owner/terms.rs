//! The terms of a policy in words: what a requester agrees to. The text's root is `termsHash`.

use licen_core::abi::Policy;
use licen_core::money::format_units;
use licen_core::primitives::{Address, U256};

/// The terms of `policy`, for the purposes as the owner named them.
#[must_use]
pub fn terms_text(policy: &Policy, purposes: &[String]) -> String {
    let unit = if policy.token == Address::ZERO { String::new() } else { format!(" of {}", policy.token) };
    format!(
        "Training of a LoRA adapter inside attested compute, for the purposes {}, at {}{unit} per epoch, at \
         most {} epochs per run and {} runs per requester. The adapter is the requester's; the data stays the \
         owner's.",
        purposes.join(", "),
        format_units(U256::from(policy.royaltyPerEpoch), 18),
        policy.maxEpochsPerRun,
        policy.maxRunsPerRequester
    )
}
