//! `licen provider register | update | show`: a provider of compute, its country, and its prices.

use isocountry::CountryCode;
use licen_core::abi::{Custody, Provider};
use licen_core::constraints::ProviderFacts;
use licen_core::id::{account_of, custody_id};
use licen_core::price::{Price, Rate};
use licen_core::primitives::{B256, U256, keccak256};
use licen_core::sol_types::SolValue;
use licen_core::wire::compute::ComputeInfo;
use serde_json::json;

use crate::cli::{ProviderArgs, ProviderCommand, ProviderRegisterArgs, ProviderShowArgs, ProviderUpdateArgs};
use crate::codes;
use crate::command::search::short;
use crate::error::{CliError, Outcome};
use crate::ledger::address;
use crate::output::line;
use crate::owner::announce::announce;
use crate::owner::payees::{Payees, payees};
use crate::session::{Session, parse_b256};

/// Most platforms of one provider.
const MAX_PLATFORMS: usize = 1_000;

/// Runs one of them.
///
/// # Errors
/// What each refuses.
pub async fn run(session: &Session, command: &ProviderCommand) -> Outcome {
    match command {
        ProviderCommand::Register(args) => register(session, args).await,
        ProviderCommand::Update(args) => update(session, args).await,
        ProviderCommand::Show(args) => show(session, args).await,
    }
}

async fn register(session: &Session, args: &ProviderRegisterArgs) -> Outcome {
    let signer = address("--signer", &args.signer)?;
    let wallet = session.wallet()?.address();
    let details = Details::read(session, &args.details).await?;
    let payee = details.payee.as_ref().map_or(account_of(wallet), |payee| payee.account);
    let record = Provider {
        creator: wallet,
        signer,
        payee,
        jurisdiction: details.jurisdiction.unwrap_or_default(),
        platformIds: details.platforms,
    };
    let id = create(session, &record).await?;
    announced(session, id, details.payee).await;
    told(session, id, &record);
    Ok(())
}

/// Registers a provider of the wallet's; gives its id. One wallet registers one provider for each signer.
///
/// # Errors
/// It exists with other details, or the contract refuses.
pub async fn create(session: &Session, record: &Provider) -> Outcome<B256> {
    let salt = keccak256(record.signer.abi_encode());
    let id = custody_id(record.creator, salt);
    let chain = session.chain().await?;
    match chain.provider(id).await? {
        // As after a crash.
        Some(known) if known == *record => return Ok(id),
        Some(_) => {
            let message = format!("provider {id} exists already, with other details");
            return Err(
                CliError::refused(codes::POLICY_INVALID, message).hint(format!("licen provider update {id}"))
            );
        }
        None => {}
    }
    let call = Custody::registerProviderCall {
        salt,
        signer: record.signer,
        payee: record.payee,
        jurisdiction: record.jurisdiction,
        platformIds: record.platformIds.clone(),
    };
    let mined = session.send(&format!("provider:{id}"), chain.custody(), &call, U256::ZERO).await?;
    session.indexed(&mined).await;
    Ok(id)
}

async fn update(session: &Session, args: &ProviderUpdateArgs) -> Outcome {
    let id = parse_b256(&args.id)?;
    let chain = session.chain().await?;
    let known = chain.provider(id).await?.ok_or_else(|| unknown(id))?;
    let wallet = session.wallet()?.address();
    if known.creator != wallet {
        let message = format!("provider {id} belongs to {}, the wallet is {wallet}", known.creator);
        return Err(CliError::refused(codes::POLICY_INVALID, message)
            .hint("--wallet FILE with the key that registered it"));
    }
    let details = Details::read(session, &args.details).await?;
    let signer = args.signer.as_deref().map(|text| address("--signer", text)).transpose()?;
    let next = Provider {
        creator: wallet,
        signer: signer.unwrap_or(known.signer),
        payee: details.payee.as_ref().map_or(known.payee, |payee| payee.account),
        jurisdiction: details.jurisdiction.unwrap_or(known.jurisdiction),
        platformIds: if details.platforms.is_empty() { known.platformIds.clone() } else { details.platforms },
    };
    if next == known {
        return Err(CliError::environment(codes::USAGE, "nothing to change")
            .hint("give --signer, --jurisdiction, --platform or --payee"));
    }
    let call = Custody::updateProviderCall {
        providerId: id,
        signer: next.signer,
        payee: next.payee,
        jurisdiction: next.jurisdiction,
        platformIds: next.platformIds.clone(),
    };
    // The same change again, after another one, is a transaction of its own.
    let label = format!("provider:{id}:{}:{}", keccak256(next.abi_encode()), chain.now().await?);
    let mined = session.send(&label, chain.custody(), &call, U256::ZERO).await?;
    session.indexed(&mined).await;
    announced(session, id, details.payee).await;
    told(session, id, &next);
    Ok(())
}

/// What the flags say.
struct Details {
    jurisdiction: Option<B256>,
    platforms: Vec<B256>,
    payee: Option<Payees>,
}

impl Details {
    async fn read(session: &Session, args: &ProviderArgs) -> Outcome<Self> {
        let platforms = args.platforms.iter().map(|id| parse_b256(id)).collect::<Outcome<Vec<_>>>()?;
        if platforms.len() > MAX_PLATFORMS {
            let message = format!("{} platforms, at most {MAX_PLATFORMS}", platforms.len());
            return Err(CliError::environment(codes::USAGE, message));
        }
        Ok(Self {
            jurisdiction: args.jurisdiction.as_deref().map(country).transpose()?.map(|code| word(&code)),
            platforms,
            payee: payees(Some(session), &args.payee).await?,
        })
    }
}

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

async fn announced(session: &Session, id: B256, payee: Option<Payees>) {
    let Some(payee) = payee.filter(|payee| !payee.splits.is_empty()) else { return };
    let Ok(chain) = session.chain().await else { return };
    let occasion = format!("{id}:{}", payee.account);
    if let Err(error) = announce(session, chain.contract(), &payee.splits, &occasion).await {
        session.ui.warn(&format!("the provider is registered, but its splits are not announced: {error}"));
    }
}

fn told(session: &Session, id: B256, provider: &Provider) {
    let ui = &session.ui;
    ui.record(&record(id, provider));
    ui.progress(&format!("quotes are signed by {}", provider.signer));
    if provider.platformIds.is_empty() {
        ui.warn("no platform is registered: custodians refuse all evidence of this provider");
    }
    ui.data(&id.to_string());
}

fn record(id: B256, provider: &Provider) -> serde_json::Value {
    json!({"providerId": id, "creator": provider.creator, "signer": provider.signer, "payee": provider.payee,
        "jurisdiction": ProviderFacts::registered(id, provider).jurisdiction, "platformIds": provider.platformIds})
}

fn unknown(id: B256) -> CliError {
    CliError::refused(codes::POLICY_INVALID, format!("nobody registered the provider {id}"))
        .hint("licen provider show lists the providers of this node")
}

async fn show(session: &Session, args: &ProviderShowArgs) -> Outcome {
    let Some(text) = &args.id else { return show_node(session).await };
    let id = parse_b256(text)?;
    let provider = session.chain().await?.provider(id).await?.ok_or_else(|| unknown(id))?;
    let ui = &session.ui;
    ui.record(&record(id, &provider));
    let platforms: Vec<String> = provider.platformIds.iter().map(ToString::to_string).collect();
    for (name, value) in [
        ("provider", id.to_string()),
        ("creator", provider.creator.to_string()),
        ("signs quotes", provider.signer.to_string()),
        ("payee", account_shown(provider.payee)),
        ("jurisdiction", line(&ProviderFacts::registered(id, &provider).jurisdiction)),
        ("platforms", platforms.join("\n              ")),
    ] {
        if !value.is_empty() {
            ui.data(&format!("{name:<13} {value}"));
        }
    }
    Ok(())
}

fn account_shown(account: B256) -> String {
    licen_core::id::address_of(account).map_or_else(|| format!("split {account}"), |a| a.to_string())
}

/// What the compute of the node says of itself.
async fn show_node(session: &Session) -> Outcome {
    let infos = session.node()?.compute_infos().await?;
    if infos.is_empty() {
        session.ui.progress("no compute of this node answers");
    }
    for info in &infos {
        session.ui.record(&json!(info));
        let named = match info.provider_id.is_zero() {
            true => "no provider".to_string(),
            false => info.provider_id.to_string(),
        };
        session.ui.data(&format!("provider      {named}"));
        session.ui.data(&format!("tee           {}", line(&info.tee_type)));
        if !info.platform_id.is_zero() {
            session.ui.data(&format!("platform      {}", info.platform_id));
        }
        for price in prices(session, info, "").await {
            session.ui.data(&format!("price         {price}"));
        }
    }
    Ok(())
}

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

#[cfg(test)]
mod tests {
    use super::*;

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
