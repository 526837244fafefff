//! What compute asks for, in words.

use licen_core::price::{Price, Rate};
use licen_core::primitives::U256;
use licen_core::wire::compute::ComputeInfo;

use crate::session::Session;
use crate::session::output::short;

/// What a compute asks for, a sentence for each price; `whose` stands behind those that a provider signs.
pub async fn prices(session: &Session, info: &ComputeInfo, whose: &str) -> Vec<String> {
    let mut said = Vec::new();
    for price in &info.prices {
        said.push(format!("{}{whose}", price_shown(session, price).await));
    }
    if info.unpaid_jobs {
        said.push("0 for jobs that name no provider".into());
    }
    said
}

async fn price_shown(session: &Session, price: &Price) -> String {
    let words = session.words(price.token).await;
    let (amount, unit) = match price.rate {
        Rate::Epoch(fee) => (fee, "epoch"),
        Rate::ComputeSecond(fee) => (fee, "compute second"),
    };
    let model = price.base_model.map_or("any base model".into(), |root| short(&root.to_string()));
    let least = match price.minimum {
        0 => String::new(),
        least => format!(", at least {} per epoch", words.shown(U256::from(least))),
    };
    format!("{} per {unit} of {model}{least}", words.shown(U256::from(amount)))
}
