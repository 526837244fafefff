//! `licen deploy`: the contracts, and deployment.json that pins them.

use licen_chain::deployment;
use licen_core::primitives::Address;
use licen_core::wire::compute::CustodianUrl;
use serde_json::json;

use crate::cli::DeployArgs;
use crate::codes;
use crate::error::{CliError, Outcome};
use crate::session::Session;

/// `licen deploy`.
///
/// # Errors
/// See [`deploy`].
pub async fn run(session: &Session, args: &DeployArgs) -> Outcome {
    if args.out.exists() {
        return Err(CliError::environment(codes::FILE, format!("{} exists already", args.out.display()))
            .hint("--out with another file: a deployment is never overwritten"));
    }
    let contract = deploy(session, args, &[]).await?;
    session.ui.record(&json!({"dataPolicy": contract, "file": args.out}));
    session.ui.data(&contract.to_string());
    Ok(())
}

/// Deploys and writes the file; gives the `DataPolicy` address.
///
/// # Errors
/// Not the local chain, or the chain refuses.
pub async fn deploy(session: &Session, args: &DeployArgs, custodians: &[CustodianUrl]) -> Outcome<Address> {
    let rpcs = session.rpcs(None).await?;
    let chain_id = rpcs.identity().chain_id;
    if chain_id != licen_core::policy::LOCAL_CHAIN_ID {
        return Err(CliError::refused(
            codes::WRONG_CHAIN,
            format!("--network {} is chain id 31337, the RPC is {chain_id}", args.network),
        )
        .hint("set `rpc` to an anvil started with --chain-id 31337"));
    }
    let fee_recipient = match &args.fee_recipient {
        None => session.wallet()?.address(),
        Some(text) => text.parse().map_err(|_| {
            CliError::environment(codes::USAGE, format!("--fee-recipient {text:?} is not an address"))
        })?,
    };
    let sender = session.sender(rpcs)?;
    let url = session.config.rpc_urls().first().cloned().unwrap_or_default();
    let name = args.out.display().to_string();
    let mut deployed = deployment::deploy(&sender, &name, &url, fee_recipient, args.fee_bps)
        .await
        .map_err(|e| CliError::of(codes::TRANSACTION, "the contracts were not deployed", &e))?;
    deployed.custodians = custodians.to_vec();
    deployed.write(&args.out).map_err(|e| {
        CliError::environment(codes::FILE, format!("cannot write {}", args.out.display())).because(&e)
    })?;
    Ok(deployed.contracts.data_policy)
}
