//! The policy in the words of ODRL 2.2, in LICEN's profile. Operands, actions, operators and units are
//! IRIs, numbers and times are typed: to a reader of linked data a bare string would be a phrase in English.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};
use alloy_primitives::Address;
use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};

use crate::abi::Policy;
use crate::id::purpose_id;

/// IRI of LICEN's ODRL profile.
pub const ODRL_PROFILE: &str = "https://licen.example/odrl/1";
/// The last second of the year 9999: what ISO 8601 writes with four digits.
const LAST_DATE: u64 = 253_402_300_799;

/// The offer of `policy`: training is permitted under constraints, for a duty to pay per epoch. Purposes
/// by the names that the owner gave them.
pub(super) fn offer(policy: &Policy, purposes: &[String]) -> Value {
    let mut constraints = vec![
        constraint("licen:epochsPerRun", "odrl:lteq", integer(policy.maxEpochsPerRun)),
        constraint("odrl:count", "odrl:lteq", integer(policy.maxRunsPerRequester)),
        constraint("licen:attestationLevel", "odrl:gteq", integer(policy.requiredLevel)),
    ];
    if !purposes.is_empty() {
        // One constraint: all constraints of a permission have to hold, and no job has every purpose.
        constraints.push(constraint("odrl:purpose", "odrl:isAnyOf", purposes.iter().map(purpose).collect()));
    }
    if policy.policyExpiry != 0 {
        constraints.push(constraint("odrl:dateTime", "odrl:lteq", date_time(policy.policyExpiry)));
    }
    let mut price = constraint("odrl:payAmount", "odrl:eq", integer(policy.royaltyPerEpoch));
    price["odrl:unit"] = coin(policy.token);
    price["licen:per"] = iri("licen:epoch");
    json!({
        "@type": ["CreativeWork", "odrl:Offer"],
        "odrl:profile": iri(ODRL_PROFILE),
        "odrl:uid": iri(format!("licen:{}", policy.datasetUid)),
        "odrl:assigner": account(policy.owner),
        "licen:purposes": purposes,
        "odrl:permission": [{
            "@type": "odrl:Permission",
            "odrl:action": iri("licen:train"),
            "odrl:target": iri(format!("zgs:{}", policy.datasetRoot)),
            "odrl:constraint": constraints,
            "odrl:duty": [{
                "@type": "odrl:Duty",
                "odrl:action": iri("odrl:compensate"),
                "odrl:constraint": [price]
            }]
        }]
    })
}

/// Names of the purposes in an offer, in its order.
pub(super) fn purposes(offer: &Value) -> Vec<String> {
    let names = offer.get("licen:purposes").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(|n| n.as_str().map(ToString::to_string)).collect()
}

/// `ethereum:` and an address (ERC-681): an owner, or the token of a price.
pub(super) fn account(address: Address) -> Value {
    iri(format!("ethereum:{address}"))
}

/// Unix seconds as ISO 8601 in UTC; nothing after the year 9999.
pub(super) fn iso_8601(seconds: u64) -> Option<String> {
    let seconds = i64::try_from(seconds).ok().filter(|s| s.unsigned_abs() <= LAST_DATE)?;
    Some(DateTime::from_timestamp(seconds, 0)?.to_rfc3339_opts(SecondsFormat::Secs, true))
}

fn constraint(operand: &str, operator: &str, value: Value) -> Value {
    json!({
        "@type": "odrl:Constraint",
        "odrl:leftOperand": iri(operand),
        "odrl:operator": iri(operator),
        "odrl:rightOperand": value
    })
}

fn iri(name: impl Into<String>) -> Value {
    json!({"@id": name.into()})
}

fn integer(number: impl ToString) -> Value {
    json!({"@type": "xsd:integer", "@value": number.to_string()})
}

/// A time after the year 9999 stays Unix seconds.
fn date_time(seconds: u64) -> Value {
    match iso_8601(seconds) {
        Some(date) => json!({"@type": "xsd:dateTime", "@value": date}),
        None => integer(seconds),
    }
}

fn coin(token: Address) -> Value {
    if token == Address::ZERO { iri("licen:nativeCoin") } else { account(token) }
}

fn purpose(name: &String) -> Value {
    json!({"@id": format!("licen:purpose/{}", purpose_id(name)), "name": name})
}
