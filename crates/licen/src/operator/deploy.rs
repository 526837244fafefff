//! `licen deploy`: the contracts, and deployment.json that pins them.

use licen_chain::{Deployment, deployment};
use licen_core::primitives::Address;
use serde_json::json;

use crate::cli::DeployArgs;
use crate::session::error::{CliError, Outcome};
use crate::session::{Session, codes, ledger};

/// The highest protocol fee that `DataPolicy` takes, basis points of the royalty.
const MAX_FEE_BPS: u16 = 500;

/// `licen deploy`.
///
/// # Errors
/// See [`deploy`].
pub async fn run(session: &Session, args: &DeployArgs) -> Outcome {
    if args.out.exists() {
        return Err(CliError::environment(codes::FILE, format!("{} exists already", args.out.display()))
            .hint("--out with another file: a deployment is never overwritten"));
    }
    // Contracts that nobody noted would be of no use.
    if let Some(dir) = args.out.parent().filter(|dir| !dir.as_os_str().is_empty() && !dir.is_dir()) {
        return Err(CliError::environment(codes::FILE, format!("{} is not a directory", dir.display()))
            .hint("--out with a file in a directory that exists"));
    }
    let contract = deploy(session, args).await?;
    session.ui.record(&json!({"dataPolicy": contract, "file": args.out}));
    let shown = args.out.display();
    session.ui.progress(&format!("Wrote {shown}; LICEN_DEPLOYMENT={shown} makes every command use it"));
    session.ui.data(&contract.to_string());
    Ok(())
}

/// Deploys and writes the file; gives the `DataPolicy` address.
///
/// # Errors
/// Not the local chain, or the chain refuses.
pub async fn deploy(session: &Session, args: &DeployArgs) -> Outcome<Address> {
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
        Some(text) => ledger::address("--fee-recipient", text)?,
    };
    // The contract's own bound, asked before anything is deployed.
    if args.fee_bps > MAX_FEE_BPS {
        let message = format!("--fee-bps {} is over the contract's bound of {MAX_FEE_BPS}", args.fee_bps);
        return Err(CliError::refused(codes::POLICY_INVALID, message).hint("--fee-bps 250 is 2.5 %"));
    }
    let sender = session.sender(rpcs)?;
    let url = session.config.rpc_urls().first().cloned().unwrap_or_default();
    // The name makes a repeated call resume; another file, fee or recipient is another deployment.
    let file = std::path::absolute(&args.out).unwrap_or_else(|_| args.out.clone());
    let name = format!("{}:{fee_recipient}:{}", file.display(), args.fee_bps);
    session.ui.progress(match &args.beside {
        None => "Deploying Custody and DataPolicy",
        Some(_) => "Deploying one more DataPolicy over the same Custody",
    });
    let known = args.beside.as_deref().map(Deployment::read).transpose().map_err(|e| {
        CliError::environment(codes::CONFIG, "the deployment beside is not usable")
            .because(&e)
            .hint("--beside with the deployment.json of the contracts that are there")
    })?;
    let made = match &known {
        None => deployment::deploy(&sender, &name, &url, fee_recipient, args.fee_bps).await,
        Some(known) => deployment::deploy_beside(&sender, &name, known, fee_recipient, args.fee_bps).await,
    };
    let mut deployed =
        made.map_err(|e| CliError::of(codes::TRANSACTION, "the contracts were not deployed", &e))?;
    if known.is_none() || !args.custodians.is_empty() {
        deployed.custodians.clone_from(&args.custodians);
    }
    deployed.write(&args.out).map_err(|e| {
        CliError::environment(codes::FILE, format!("cannot write {}", args.out.display())).because(&e)
    })?;
    Ok(deployed.contracts.newest())
}
