//! Countries as policies and providers name them.

use isocountry::CountryCode;
use licen_core::primitives::B256;

use crate::session::codes;
use crate::session::error::{CliError, Outcome};

/// The country that a code names, in upper case.
///
/// # Errors
/// No country has it.
pub fn country(code: &str) -> Outcome<String> {
    let found = CountryCode::for_alpha2_caseless(code);
    found.map(|country| country.alpha2().to_string()).map_err(|_| {
        CliError::environment(codes::USAGE, format!("{code:?} is no ISO 3166-1 code of a country"))
            .hint("two letters: CH, DE, GB")
    })
}

/// A country as `Custody` keeps it: ASCII from the left.
#[must_use]
pub fn word(code: &str) -> B256 {
    B256::right_padding_from(code.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use licen_core::abi::Provider;
    use licen_core::constraints::ProviderFacts;

    #[test]
    fn a_jurisdiction_is_a_country_that_exists() {
        assert_eq!(country("CH").unwrap(), "CH");
        assert_eq!(country("gb").unwrap(), "GB", "owners compare letter by letter");
        for wrong in ["UK", "XX", "CHE", "", "C", "CH ", "Switzerland"] {
            assert!(country(wrong).is_err(), "{wrong:?}");
        }
        let provider = Provider { jurisdiction: word("CH"), ..Provider::default() };
        assert_eq!(ProviderFacts::registered(B256::ZERO, &provider).jurisdiction, "CH");
    }
}
