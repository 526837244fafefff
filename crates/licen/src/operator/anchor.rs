//! `licen custodian anchor`: a member says on chain where its audit log stands.

use licen_core::abi::Custody;
use licen_core::primitives::U256;
use serde_json::json;

use crate::cli::AnchorArgs;
use crate::session::config::Config;
use crate::session::error::{CliError, Outcome};
use crate::session::output::Ui;
use crate::session::toml_file::read_toml;
use crate::session::{Session, codes, parse_b256};

/// Sends the head of the log, signed by the custodian's own key; one that is anchored already is not sent.
///
/// # Errors
/// Not a member, a log that does not verify, or no coins.
pub async fn anchor(ui: Ui, args: &AnchorArgs) -> Outcome {
    let custodian: licen_custodian::Config = read_toml(&args.config)?;
    let set = parse_b256(&args.set)?;
    let path = |path: &std::path::Path| Some(path.display().to_string());
    let flags = [
        ("rpc", Some(custodian.rpc_urls.join(","))),
        ("confirmations", Some(custodian.confirmations.to_string())),
        ("deployment", path(&custodian.deployment)),
        ("wallet", path(&custodian.signing_key_file)),
        ("state", path(&custodian.state_dir)),
    ];
    let session = Session::as_custodian(ui, Config::load(&flags)?);
    let head = licen_custodian::anchor::head(&custodian).await;
    let head = head.map_err(|e| CliError::of(codes::CUSTODIANS, "the audit log cannot be anchored", &e))?;
    let Some((sequence, head)) = head else {
        ui.progress("The audit log is empty: nothing to anchor");
        return Ok(());
    };
    let chain = session.chain().await?;
    let own = session.wallet()?.address();
    let (version, _, members) = chain.newest_custodians(set).await?;
    let index = members.iter().position(|member| member.signer == own).and_then(|i| u16::try_from(i).ok());
    let index = index.ok_or_else(|| {
        CliError::refused(codes::CUSTODIANS, format!("{own} is no member of set {set} version {version}"))
            .hint("--set with the id that licen custodian register printed")
    })?;
    if chain.anchors(set, own).await?.contains(&(sequence, head)) {
        ui.progress("This head is anchored already");
    } else {
        let call =
            Custody::anchorAuditCall { setId: set, setVersion: version, memberIndex: index, sequence, head };
        session.send(&format!("anchor:{set}:{head}"), chain.custody(), &call, U256::ZERO).await?;
    }
    ui.record(&json!({"custodianSet": set, "custodian": own, "sequence": sequence, "head": head}));
    ui.data(&format!("{sequence} {head}"));
    Ok(())
}
