//! What a provider asks for its compute: a price for each base model and token, and what it makes of one
//! epoch of a dataset. Amounts are base units of the token.

use alloc::string::{String, ToString};
use alloy_primitives::{Address, B256, U256};
use serde::{Deserialize, Serialize};

/// What a price counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// One epoch, however long it takes.
    Epoch(u128),
    /// One second of the trainer's CPU time.
    ComputeSecond(u128),
}

/// One entry of a provider's price list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PriceForm", into = "PriceForm")]
pub struct Price {
    /// Root of the base model; `None` for every model without an entry of its own.
    pub base_model: Option<B256>,
    /// What it is paid in; zero is the native coin.
    pub token: Address,
    /// The price.
    pub rate: Rate,
    /// Least that one epoch costs.
    pub minimum: u128,
    /// Bytes of rows that one compute second trains, until the node has measured it.
    pub bytes_per_compute_second: Option<u64>,
}

/// How fast a base model was trained: `bytes` of rows, each visit counted, in `seconds` of CPU time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Speed {
    /// Bytes of rows, once for each epoch.
    pub bytes: u64,
    /// CPU seconds of the trainer.
    pub seconds: u64,
}

/// Why a price makes no fee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// Neither measured nor configured.
    #[error("it has not measured yet how fast it trains this base model")]
    NoSpeed,
    /// More than an escrow can hold.
    #[error("an epoch of this dataset would cost more than an escrow can hold")]
    TooLarge,
}

impl Price {
    /// The entry for a base model and token: its own, else the one for every model.
    #[must_use]
    pub fn of(list: &[Self], base_model: B256, token: Address) -> Option<&Self> {
        let of = |model: Option<B256>| list.iter().find(|p| p.token == token && p.base_model == model);
        of(Some(base_model)).or_else(|| of(None))
    }

    /// computeFeePerEpoch for a dataset of `bytes` of rows, rounded up. `measured` goes before what the
    /// entry says of the speed.
    ///
    /// # Errors
    /// See [`PriceError`].
    pub fn fee_per_epoch(&self, bytes: u64, measured: Option<Speed>) -> Result<u128, PriceError> {
        let fee = match self.rate {
            Rate::Epoch(fee) => U256::from(fee),
            Rate::ComputeSecond(fee) => {
                let configured = self.bytes_per_compute_second.map(|bytes| Speed { bytes, seconds: 1 });
                let speed = measured.or(configured).filter(|speed| speed.bytes > 0);
                let speed = speed.ok_or(PriceError::NoSpeed)?;
                // Below 2^256: 128 + 64 + 64 bits.
                let whole = U256::from(fee) * U256::from(bytes) * U256::from(speed.seconds);
                whole.div_ceil(U256::from(speed.bytes))
            }
        };
        u128::try_from(fee.max(U256::from(self.minimum))).map_err(|_| PriceError::TooLarge)
    }
}

/// A price as files and `/v1/info` have it: amounts are decimal text, because TOML and JSON numbers are too
/// small for them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PriceForm {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base_model: Option<B256>,
    #[serde(default)]
    token: Address,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    per_epoch: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    per_compute_second: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    minimum: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes_per_compute_second: Option<u64>,
}

impl TryFrom<PriceForm> for Price {
    type Error = &'static str;

    fn try_from(form: PriceForm) -> Result<Self, Self::Error> {
        let amount =
            |text: &str| text.parse::<u128>().map_err(|_| "a price is a decimal number of base units");
        let rate = match (&form.per_epoch, &form.per_compute_second) {
            (Some(fee), None) => Rate::Epoch(amount(fee)?),
            (None, Some(fee)) => Rate::ComputeSecond(amount(fee)?),
            _ => return Err("a price has either perEpoch or perComputeSecond"),
        };
        if form.bytes_per_compute_second == Some(0) {
            return Err("bytesPerComputeSecond must be at least 1");
        }
        if form.bytes_per_compute_second.is_some() && matches!(rate, Rate::Epoch(_)) {
            return Err("bytesPerComputeSecond belongs to a price perComputeSecond");
        }
        Ok(Self {
            base_model: form.base_model,
            token: form.token,
            rate,
            minimum: form.minimum.as_deref().map_or(Ok(0), amount)?,
            bytes_per_compute_second: form.bytes_per_compute_second,
        })
    }
}

impl From<Price> for PriceForm {
    fn from(price: Price) -> Self {
        let (per_epoch, per_compute_second) = match price.rate {
            Rate::Epoch(fee) => (Some(fee.to_string()), None),
            Rate::ComputeSecond(fee) => (None, Some(fee.to_string())),
        };
        Self {
            base_model: price.base_model,
            token: price.token,
            per_epoch,
            per_compute_second,
            minimum: (price.minimum > 0).then(|| price.minimum.to_string()),
            bytes_per_compute_second: price.bytes_per_compute_second,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn per_second(fee: u128) -> Price {
        Price {
            base_model: None,
            token: Address::ZERO,
            rate: Rate::ComputeSecond(fee),
            minimum: 0,
            bytes_per_compute_second: None,
        }
    }

    #[test]
    fn a_price_per_compute_second_is_rounded_up_and_never_below_the_minimum() {
        let speed = Some(Speed { bytes: 1_000, seconds: 3 });
        assert_eq!(per_second(10).fee_per_epoch(1_000, speed), Ok(30));
        assert_eq!(per_second(10).fee_per_epoch(1_001, speed), Ok(31), "30.03");
        assert_eq!(per_second(1).fee_per_epoch(1, speed), Ok(1), "0.003");
        assert_eq!(Price { minimum: 40, ..per_second(10) }.fee_per_epoch(1_000, speed), Ok(40));
        assert_eq!(per_second(10).fee_per_epoch(1, None), Err(PriceError::NoSpeed));
        let told = Price { bytes_per_compute_second: Some(500), ..per_second(10) };
        assert_eq!(told.fee_per_epoch(1_000, None), Ok(20));
        assert_eq!(told.fee_per_epoch(1_000, speed), Ok(30), "what was measured goes first");
        assert_eq!(per_second(u128::MAX).fee_per_epoch(1_000, speed), Err(PriceError::TooLarge));
        let epoch = Price { rate: Rate::Epoch(7), ..per_second(0) };
        assert_eq!(epoch.fee_per_epoch(u64::MAX, None), Ok(7));
    }

    proptest! {
        /// A provider is never paid less than its rate for the seconds that it expects.
        #[test]
        fn rounding_never_loses(fee: u64, bytes: u64, per: u32, seconds: u32) {
            prop_assume!(per > 0);
            let speed = Speed { bytes: u64::from(per), seconds: u64::from(seconds) };
            if let Ok(asked) = per_second(u128::from(fee)).fee_per_epoch(bytes, Some(speed)) {
                let whole = U256::from(fee) * U256::from(bytes) * U256::from(seconds);
                let asked = U256::from(asked) * U256::from(per);
                prop_assert!(asked >= whole && asked - whole < U256::from(per));
            }
        }
    }

    #[test]
    fn the_entry_of_a_model_goes_before_the_one_for_all_and_a_token_has_its_own() {
        let (model, token) = (B256::repeat_byte(1), Address::repeat_byte(2));
        let own = Price { base_model: Some(model), ..per_second(1) };
        let list = [per_second(2), own.clone(), Price { token, ..own.clone() }];
        assert_eq!(Price::of(&list, model, Address::ZERO), Some(&own));
        assert_eq!(Price::of(&list, B256::ZERO, Address::ZERO), Some(&list[0]));
        assert_eq!(Price::of(&list, model, token), Some(&list[2]));
        assert_eq!(Price::of(&list, B256::ZERO, token), None, "no price in this token");
    }

    #[test]
    fn a_price_is_one_of_two_and_written_as_text() {
        let read = |form| serde_json::from_value::<Price>(form);
        let price = read(json!({"perEpoch": "1000000000000000000000", "minimum": "5"})).unwrap();
        assert_eq!((price.rate, price.minimum), (Rate::Epoch(10u128.pow(21)), 5));
        assert_eq!(read(serde_json::to_value(&price).unwrap()).unwrap(), price);
        for wrong in [
            json!({}),
            json!({"perEpoch": "1", "perComputeSecond": "1"}),
            json!({"perEpoch": "0.1"}),
            json!({"perEpoch": "-1"}),
            json!({"perEpoch": 1}),
            json!({"perEpoch": "1", "model": "any"}),
            json!({"perEpoch": "1", "bytesPerComputeSecond": 5}),
            json!({"perComputeSecond": "1", "bytesPerComputeSecond": 0}),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
