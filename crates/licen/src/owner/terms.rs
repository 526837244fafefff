//! The terms of a policy in words: what a requester agrees to. The text's root is `termsHash`.

use licen_core::abi::Policy;
use licen_core::money::format_units;
use licen_core::primitives::{Address, U256};

/// The terms of `policy`, for the purposes as the owner named them, and what the owner adds in
/// `license_text`, which may be empty.
#[must_use]
pub fn terms_text(policy: &Policy, purposes: &[String], license_text: &str) -> String {
    let unit = if policy.token == Address::ZERO { String::new() } else { format!(" of {}", policy.token) };
    let terms = format!(
        "Training of a LoRA adapter inside attested compute, for the purposes {}, at {}{unit} per epoch, at \
         most {} epochs per run and {} runs per requester. The adapter is the requester's; the data stays the \
         owner's.",
        purposes.join(", "),
        format_units(U256::from(policy.royaltyPerEpoch), 18),
        policy.maxEpochsPerRun,
        policy.maxRunsPerRequester
    );
    if license_text.is_empty() { terms } else { format!("{terms}\n\n{license_text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requester_agrees_to_the_owners_own_text_as_well() {
        let (policy, purposes) = (Policy::default(), ["research".to_string()]);
        let plain = terms_text(&policy, &purposes, "");
        assert!(plain.starts_with("Training of a LoRA adapter") && !plain.contains('\n'));
        assert_eq!(terms_text(&policy, &purposes, "No resale."), format!("{plain}\n\nNo resale."));
    }
}
