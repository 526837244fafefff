//! The ledger of a `DataPolicy`, as the chain has it at its depth, and amounts with their token.

use licen_core::abi::{DataPolicy, Split};
use licen_core::money::format_units;
use licen_core::primitives::{Address, B256, U256};
use licen_core::sol_types::sol;
use serde_json::{Value, json};

use crate::chain_view::{ChainView, chain_error};
use crate::codes;
use crate::error::{CliError, Outcome};

sol! {
    #![sol(alloy_sol_types = licen_core::sol_types)]

    interface Erc20Words {
        function decimals() external view returns (uint8);
        function symbol() external view returns (string);
    }
}

/// More decimals than any token has that means them.
const MOST_DECIMALS: u8 = 36;
/// Longest symbol that is shown.
const LONGEST_SYMBOL: usize = 12;

/// What a split holds of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Books {
    /// Everything that ever came in.
    pub total_in: U256,
    /// What its payees were credited of it.
    pub paid: U256,
    /// What a distribution would move now.
    pub due: U256,
    /// Chain time of that, Unix seconds.
    pub at: u64,
}

impl ChainView {
    /// What an account, an address or a split's, is credited.
    ///
    /// # Errors
    /// The RPC does not answer.
    pub async fn account_credit(&self, account: B256, token: Address) -> Outcome<U256> {
        let rpcs = self.rpcs();
        let block = rpcs.confirmed_head().await.map_err(chain_error)?;
        let call = DataPolicy::creditCall { account, token };
        rpcs.view(&block, self.contract(), &call).await.map_err(chain_error)
    }

    /// What a split holds.
    ///
    /// # Errors
    /// The RPC does not answer, or the split breaks a rule.
    pub async fn books(&self, split: &Split, token: Address) -> Outcome<Books> {
        let rpcs = self.rpcs();
        let block = rpcs.confirmed_head().await.map_err(chain_error)?;
        let call = DataPolicy::splitBooksCall { split: split.clone(), token };
        let books = rpcs.view(&block, self.contract(), &call).await.map_err(chain_error)?;
        let call = DataPolicy::distributableCall { split: split.clone(), token };
        let due = rpcs.view(&block, self.contract(), &call).await.map_err(chain_error)?;
        Ok(Books { total_in: books.totalIn, paid: books.paid, due, at: block.timestamp })
    }

    /// How a token names and counts itself. One that does not say is counted in base units.
    ///
    /// # Errors
    /// The RPC does not answer.
    pub async fn token(&self, address: Address) -> Outcome<Token> {
        if address.is_zero() {
            return Ok(Token::coin());
        }
        let rpcs = self.rpcs();
        let block = rpcs.confirmed_head().await.map_err(chain_error)?;
        let decimals = rpcs.view(&block, address, &Erc20Words::decimalsCall {}).await;
        let symbol = rpcs.view(&block, address, &Erc20Words::symbolCall {}).await;
        let decimals = decimals.ok().filter(|decimals| *decimals <= MOST_DECIMALS);
        let symbol = symbol.ok().filter(|symbol| decimals.is_some() && is_symbol(symbol));
        let symbol = symbol.map(|symbol| format!("{symbol} ({address})"));
        let symbol = symbol.unwrap_or_else(|| match decimals {
            Some(_) => address.to_string(),
            None => format!("base units of {address}"),
        });
        Ok(Token { address, decimals: decimals.unwrap_or(0), symbol })
    }
}

/// Letters and digits only: the word is a stranger's, and stands beside an amount.
fn is_symbol(text: &str) -> bool {
    (1..=LONGEST_SYMBOL).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// What amounts are counted in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The ERC-20 token; 0 is the native coin.
    pub address: Address,
    decimals: u8,
    symbol: String,
}

impl Token {
    /// The native coin.
    #[must_use]
    pub fn coin() -> Self {
        Self { address: Address::ZERO, decimals: 18, symbol: String::new() }
    }

    /// An amount for people.
    #[must_use]
    pub fn shown(&self, amount: U256) -> String {
        let number = format_units(amount, self.decimals);
        if self.symbol.is_empty() { number } else { format!("{number} {}", self.symbol) }
    }

    /// An amount for programs: base units as a decimal text, and the token.
    #[must_use]
    pub fn amount(&self, amount: U256) -> Value {
        json!({"value": amount.to_string(), "token": self.address})
    }
}

/// The token of `--token`; the native coin where left out.
///
/// # Errors
/// Not an address.
pub fn token_address(text: Option<&str>) -> Outcome<Address> {
    text.map_or(Ok(Address::ZERO), |text| address("--token", text))
}

/// An address that a flag names.
///
/// # Errors
/// Something else.
pub fn address(flag: &str, text: &str) -> Outcome<Address> {
    text.parse().map_err(|_| {
        CliError::environment(codes::USAGE, format!("{flag} {text:?} is not an address"))
            .hint("an address is 0x and 40 hex digits")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_say_their_token_and_only_a_word_is_a_symbol() {
        let usdc = Address::repeat_byte(7);
        assert_eq!(Token::coin().shown(U256::from(10u64).pow(U256::from(16))), "0.01");
        let usdc = Token { address: usdc, decimals: 6, symbol: "USDC".into() };
        assert_eq!(usdc.shown(U256::from(1_500_000)), "1.5 USDC");
        assert_eq!(usdc.amount(U256::from(7))["value"], "7");
        assert!(is_symbol("USDC") && !is_symbol("") && !is_symbol("1 000 ETH") && !is_symbol("\u{202e}HTE"));
    }
}
