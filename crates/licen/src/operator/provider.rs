//! `licen provider register | update | show`: a provider of compute, its country, and its prices.

use licen_core::abi::{Custody, Provider};
use licen_core::constraints::ProviderFacts;
use licen_core::id::{account_of, custody_id};
use licen_core::primitives::{B256, U256, keccak256};
use licen_core::sol_types::SolValue;
use serde_json::json;

use crate::cli::{ProviderArgs, ProviderCommand, ProviderRegisterArgs, ProviderShowArgs, ProviderUpdateArgs};
use crate::owner::announce::announce;
use crate::owner::payees::{Payees, payees};
use crate::session::country::{country, word};
use crate::session::error::{CliError, Outcome};
use crate::session::ledger::address;
use crate::session::output::line;
use crate::session::prices::prices;
use crate::session::{Session, codes, parse_b256};

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
