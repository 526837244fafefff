//! The signed manifest of a job, as its custodians publish it.

use std::time::Duration;

use licen_core::abi::Job;
use licen_core::eip712::Domain;
use licen_core::wire::custodian::SignedManifest;
use licen_orchestrator::check;

use crate::session::custodian_client::{CustodianClient, NoAnswer};
use crate::session::error::{CliError, Outcome};
use crate::session::output::short;
use crate::session::{Session, codes};

/// How long one custodian may take to answer.
const CUSTODIAN_WITHIN: Duration = Duration::from_secs(10);

/// The manifest of a job, as any custodian of the deployment publishes it. Where it came from does
/// not matter: compute's signature does, and a custodian that answers something else is passed over.
///
/// # Errors
/// No custodian has it yet.
pub async fn held_manifest(session: &Session, domain: &Domain, job: &Job) -> Outcome<SignedManifest> {
    let custodians = &session.deployment().await?.custodians;
    let mut silent = 0;
    for custodian in custodians {
        let answer = match CustodianClient::new(&custodian.url, CUSTODIAN_WITHIN) {
            Ok(client) => client.manifest(job.jobId).await,
            Err(e) => Err(e),
        };
        match answer {
            Ok(signed) if check::manifest(domain, job, &signed).is_some() => return Ok(signed),
            Ok(_) | Err(NoAnswer::Unreadable(_)) => {
                session.ui.warn(&format!("custodian {} answers with another manifest", custodian.id));
            }
            Err(NoAnswer::Silent(_)) => silent += 1,
            Err(NoAnswer::Refused(_)) => {}
        }
    }
    if silent > 0 && silent == custodians.len() {
        return Err(CliError::environment(codes::CUSTODIANS, format!("none of {silent} custodians answers"))
            .hint("try again later, or ask the custodians named in deployment.json"));
    }
    Err(CliError::refused(codes::CUSTODIANS, "no custodian publishes a manifest of this job yet")
        .hint(format!("licen jobs follow {}", short(&job.jobId.to_string()))))
}
