//! The terms of a policy in words: what a requester agrees to. The text's root is `termsHash`.

use licen_core::abi::Policy;
use licen_core::primitives::U256;

use crate::session::ledger::Token;

/// The terms of `policy`, priced in `token`, for the purposes as the owner named them, and what the owner
/// adds in `license_text`, which may be empty.
#[must_use]
pub fn terms_text(policy: &Policy, token: &Token, purposes: &[String], license_text: &str) -> String {
    let terms = format!(
        "Training of a LoRA adapter inside attested compute, for the purposes {}, at {} per epoch, at \
         most {} epochs per run and {} runs per requester. The adapter is the requester's; the data stays the \
         owner's.",
        purposes.join(", "),
        token.shown(U256::from(policy.royaltyPerEpoch)),
        policy.maxEpochsPerRun,
        policy.maxRunsPerRequester
    );
    if license_text.is_empty() { terms } else { format!("{terms}\n\n{license_text}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use licen_core::primitives::Address;

    #[test]
    fn a_requester_agrees_to_the_owners_own_text_as_well() {
        let (policy, purposes) = (Policy::default(), ["research".to_string()]);
        let coin = Token::coin();
        let plain = terms_text(&policy, &coin, &purposes, "");
        assert!(plain.starts_with("Training of a LoRA adapter") && !plain.contains('\n'));
        assert_eq!(terms_text(&policy, &coin, &purposes, "No resale."), format!("{plain}\n\nNo resale."));
    }
    #[test]
    fn the_price_says_its_token() {
        let token = Token::unread(Address::repeat_byte(7));
        let policy = Policy { token: token.address, royaltyPerEpoch: 250, ..Policy::default() };
        let said = terms_text(&policy, &token, &["research".to_string()], "");
        assert!(said.contains(&format!("at 250 base units of {} per epoch", token.address)), "{said}");
    }
}
