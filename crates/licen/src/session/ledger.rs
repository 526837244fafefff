//! The ledger of a `DataPolicy`, as the chain has it at its depth, and amounts with their token.

use licen_chain::ChainError;
use licen_core::abi::{DataPolicy, Split};
use licen_core::money::{format_units, parse_units};
use licen_core::primitives::{Address, B256, U256};
use licen_core::sol_types::sol;
use serde_json::{Value, json};

use crate::session::chain_error::chain_error;
use crate::session::chain_view::ChainView;
use crate::session::codes;
use crate::session::error::{CliError, Outcome};

sol! {
    #![sol(alloy_sol_types = licen_core::sol_types)]

    interface Erc20 {
        function decimals() external view returns (uint8);
        function symbol() external view returns (string);
        function balanceOf(address account) external view returns (uint256);
        function allowance(address owner, address spender) external view returns (uint256);
        function approve(address spender, uint256 amount) external;
    }
}

/// Places of the native coin behind the point, on every chain of the EVM.
const COIN_DECIMALS: u8 = 18;
/// More decimals than any token has that means them.
pub const MOST_DECIMALS: u8 = 36;
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

    /// How a token names and counts itself, as the confirmed chain has it. One that does not say is counted in
    /// base units. [`Session::token`] keeps the answer.
    ///
    /// # Errors
    /// The RPC does not answer.
    ///
    /// [`Session::token`]: crate::session::Session::token
    pub async fn token(&self, address: Address) -> Outcome<Token> {
        if address.is_zero() {
            return Ok(Token::coin());
        }
        let rpcs = self.rpcs();
        let block = rpcs.confirmed_head().await.map_err(chain_error)?;
        let decimals = said(rpcs.view(&block, address, &Erc20::decimalsCall {}).await)?;
        let symbol = said(rpcs.view(&block, address, &Erc20::symbolCall {}).await)?;
        let decimals = decimals.filter(|decimals| *decimals <= MOST_DECIMALS);
        let symbol = symbol.filter(|symbol| is_symbol(symbol));
        Ok(Token { address, decimals, symbol })
    }

    /// Whether there is a contract at an address.
    ///
    /// # Errors
    /// The RPC does not answer.
    pub async fn has_code(&self, address: Address) -> Outcome<bool> {
        let rpcs = self.rpcs();
        let block = rpcs.confirmed_head().await.map_err(chain_error)?;
        Ok(!rpcs.code(&block, address).await.map_err(chain_error)?.is_empty())
    }

    /// What an address has of an ERC-20; nothing where the contract does not tell.
    ///
    /// # Errors
    /// The RPC does not answer.
    pub async fn tokens_of(&self, token: Address, account: Address) -> Outcome<Option<U256>> {
        let rpcs = self.rpcs();
        let block = rpcs.confirmed_head().await.map_err(chain_error)?;
        said(rpcs.view(&block, token, &Erc20::balanceOfCall { account }).await)
    }

    /// What `spender` may take of an owner's tokens.
    ///
    /// # Errors
    /// The RPC does not answer, or the contract does not tell.
    pub async fn allowance(&self, token: Address, owner: Address, spender: Address) -> Outcome<U256> {
        let rpcs = self.rpcs();
        let block = rpcs.confirmed_head().await.map_err(chain_error)?;
        let call = Erc20::allowanceCall { owner, spender };
        rpcs.view(&block, token, &call).await.map_err(chain_error)
    }
}

/// What a contract answered; nothing where it is none, or answers something else. An RPC that is down says
/// nothing about a contract.
fn said<T>(answer: Result<T, ChainError>) -> Outcome<Option<T>> {
    match answer {
        Ok(word) => Ok(Some(word)),
        Err(
            ChainError::NoContract { .. }
            | ChainError::Reverted(_)
            | ChainError::Malformed { .. }
            | ChainError::Refused { .. },
        ) => Ok(None),
        Err(error) => Err(chain_error(error)),
    }
}

/// Letters and digits, a letter first: the word is a stranger's, and stands behind a number.
fn is_symbol(text: &str) -> bool {
    (1..=LONGEST_SYMBOL).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// What amounts are counted in: a token as it was read, once, from its contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The ERC-20 token; 0 is the native coin.
    pub address: Address,
    /// Places behind the point; nothing where the token does not say.
    decimals: Option<u8>,
    /// Its name beside an amount, where it has one that can stand there.
    symbol: Option<String>,
}

impl Token {
    /// The native coin.
    #[must_use]
    pub fn coin() -> Self {
        Self { address: Address::ZERO, decimals: Some(COIN_DECIMALS), symbol: None }
    }

    /// A token as its contract says.
    #[cfg(test)]
    pub fn of(address: Address, decimals: u8, symbol: &str) -> Self {
        Self { address, decimals: Some(decimals), symbol: Some(symbol.into()) }
    }

    /// A token that nobody was asked about: its amounts are shown in base units.
    #[must_use]
    pub fn unread(address: Address) -> Self {
        if address.is_zero() { Self::coin() } else { Self { address, decimals: None, symbol: None } }
    }

    /// Whether it is the native coin.
    #[must_use]
    pub fn is_coin(&self) -> bool {
        self.address.is_zero()
    }

    /// Its decimals, where it says them.
    #[must_use]
    pub fn decimals(&self) -> Option<u8> {
        self.decimals
    }

    /// An amount for people.
    #[must_use]
    pub fn shown(&self, amount: U256) -> String {
        let number = self.number(amount);
        if self.is_coin() { number } else { format!("{number} {}", self.name()) }
    }

    /// An amount alone, for a line that says [`Self::beside`] once.
    #[must_use]
    pub fn number(&self, amount: U256) -> String {
        format_units(amount, self.decimals.unwrap_or(0))
    }

    /// What the numbers of a line are counted in; empty for the coin.
    #[must_use]
    pub fn beside(&self) -> String {
        if self.is_coin() { String::new() } else { format!(", in {}", self.name()) }
    }

    /// What one of it is called. The address is always there: anybody may call a token USDC.
    #[must_use]
    pub fn name(&self) -> String {
        let address = self.address;
        match (&self.symbol, self.decimals) {
            _ if self.is_coin() => "coins".into(),
            (_, None) => format!("base units of {address}"),
            (Some(symbol), Some(_)) => format!("{symbol} ({address})"),
            (None, Some(_)) => address.to_string(),
        }
    }

    /// Where a refund is that `amount` of an ended job came back as: an ERC-20 is never pushed.
    #[must_use]
    pub fn came_back(&self, amount: U256) -> String {
        let shown = self.shown(amount);
        if self.is_coin() || amount.is_zero() {
            return format!("{shown} came back");
        }
        format!("{shown} waits as credit: licen withdraw --token {} takes it", self.address)
    }

    /// Base units of what a person typed in whole ones; nothing where it is no such amount, or has more
    /// places than the token.
    #[must_use]
    pub fn parsed(&self, text: &str) -> Option<U256> {
        parse_units(text, self.decimals?)
    }

    /// An amount for programs: base units as a decimal text, and the token.
    #[must_use]
    pub fn amount(&self, amount: U256) -> Value {
        json!({"value": amount.to_string(), "token": self.address})
    }

    /// Adds to a record with amounts what they are counted in.
    #[must_use]
    pub fn beside_record(&self, mut record: Value) -> Value {
        if let Some(map) = record.as_object_mut() {
            map.insert("token".into(), json!(self.address.to_string()));
            map.insert("decimals".into(), json!(self.decimals));
            map.insert("symbol".into(), json!(self.symbol));
        }
        record
    }
}

/// An address as people type it. One in letters of both cases has the checksum of EIP-55: money that is sent
/// to a mistyped address is lost.
///
/// # Errors
/// What it is instead.
pub fn read_address(text: &str) -> Result<Address, String> {
    let not_one = || format!("{text:?} is not an address");
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 40).ok_or_else(not_one)?;
    let address: Address = digits.parse().map_err(|_| not_one())?;
    let lower = digits.bytes().any(|b| b.is_ascii_lowercase());
    let upper = digits.bytes().any(|b| b.is_ascii_uppercase());
    if lower && upper && address.to_checksum(None) != text {
        return Err(format!("{text:?} has a letter of the wrong case: a digit of it is mistyped"));
    }
    Ok(address)
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
    read_address(text).map_err(|what| {
        CliError::environment(codes::USAGE, format!("{flag} {what}"))
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
        let usdc = Token::of(usdc, 6, "USDC");
        let address = usdc.address;
        assert_eq!(usdc.shown(U256::from(1_500_000)), format!("1.5 USDC ({address})"));
        assert_eq!(usdc.amount(U256::from(7))["value"], "7");
        let nameless = Token { symbol: None, ..usdc.clone() };
        assert_eq!(nameless.shown(U256::from(1)), format!("0.000001 {address}"));
        assert_eq!(Token::unread(address).shown(U256::from(7)), format!("7 base units of {address}"));
        assert_eq!(Token::unread(Address::ZERO), Token::coin());
        let record = usdc.beside_record(json!({"escrow": "7"}));
        assert_eq!(
            record,
            json!({"escrow": "7", "token": address.to_string(), "decimals": 6, "symbol": "USDC"})
        );
        assert_eq!(Token::coin().came_back(U256::ZERO), "0 came back");
        assert!(usdc.came_back(U256::from(7)).contains(&format!("licen withdraw --token {address}")));
        assert_eq!((usdc.parsed("1.5"), usdc.parsed("1.0000001")), (Some(U256::from(1_500_000)), None));
        assert_eq!(Token::unread(address).parsed("1"), None, "nobody knows what one of it is");
        assert!(
            is_symbol("USDC")
                && !is_symbol("")
                && !is_symbol("1 000 ETH")
                && !is_symbol("000000")
                && !is_symbol("0ETH")
                && !is_symbol("\u{202e}HTE")
        );
    }
}
