//! The price of an epoch out of what the owner typed: an amount, and the token it is in.

use licen_core::primitives::{Address, U256};

use crate::session::error::{CliError, Outcome};
use crate::session::ledger::{MOST_DECIMALS, Token, token_address};
use crate::session::{Session, codes};

/// The token of `--token`, as its contract names and counts it; the native coin where left out.
///
/// # Errors
/// Not an address, or nothing at it that requesters could pay in: no contract, or one that is no ERC-20.
pub async fn priced_in(session: &Session, text: Option<&str>) -> Outcome<Token> {
    let address = token_address(text)?;
    let token = session.token(address).await?;
    if token.is_coin() {
        return Ok(token);
    }
    let chain = session.chain().await?;
    let refused = |message: String| CliError::refused(codes::POLICY_INVALID, message);
    if !chain.has_code(address).await? {
        return Err(refused(format!("there is no contract at {address}, so no token"))
            .hint("--token with the address of an ERC-20 token on this chain; left out, the native coin"));
    }
    if token.decimals().is_none() {
        let message = format!("the contract {address} does not say decimals() of at most {MOST_DECIMALS}");
        return Err(refused(message)
            .hint("--token with an ERC-20 token that says its decimals; left out, the native coin"));
    }
    // Something with decimals may still not be paid in; every ERC-20 answers this.
    if chain.tokens_of(address, Address::ZERO).await?.is_none() {
        return Err(refused(format!("the contract {address} has no balances: it is no ERC-20 token"))
            .hint("--token with the address of an ERC-20 token; left out, the native coin"));
    }
    Ok(token)
}

/// Base units of `--royalty`, which is in whole ones of `token`.
///
/// # Errors
/// Something else, or more places than the token has.
pub fn royalty(text: &str, token: &Token) -> Outcome<u128> {
    let units = token.parsed(text).and_then(|royalty| u128::try_from(royalty).ok());
    units.ok_or_else(|| {
        let refused = |of: String| {
            CliError::environment(codes::USAGE, format!("--royalty {text:?} is not an amount {of}"))
        };
        match token.decimals() {
            _ if token.is_coin() => refused("in whole coins".into()).hint("for example --royalty 0.01"),
            Some(0) => refused(format!("of {}, which has no decimals", token.name())).hint("--royalty 1"),
            Some(places) => refused(format!("of {}, which has {places} decimals", token.name()))
                .hint(format!("--royalty {} is the least", token.number(U256::from(1)))),
            None => refused(format!("of {}, which does not say its decimals", token.address))
                .hint("--token with an ERC-20 token that says them, or 0x and 40 zeros for the native coin"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_royalty_has_the_places_of_its_token_and_no_more() {
        let coin = Token::coin();
        assert_eq!(royalty("0.01", &coin).unwrap(), 10_u128.pow(16));
        for wrong in ["", "-1", "1e3", "0.0000000000000000001", "ten", "340282366920938463464"] {
            let error = royalty(wrong, &coin).unwrap_err();
            assert!(error.message.ends_with("in whole coins"), "{}", error.message);
        }
        let cents = Token::of(Address::repeat_byte(7), 2, "EURT");
        assert_eq!((royalty("1.5", &cents).unwrap(), royalty("0", &cents).unwrap()), (150, 0));
        let error = royalty("0.001", &cents).unwrap_err();
        assert!(error.message.ends_with("which has 2 decimals"), "{}", error.message);
        assert_eq!(error.hint.as_deref(), Some("--royalty 0.01 is the least"));
        assert!(royalty("1.5", &Token::of(Address::repeat_byte(7), 0, "ONE")).is_err());
        assert!(royalty("1", &Token::unread(Address::repeat_byte(7))).is_err());
    }
}
