//! `licen attest`.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use licen_attest::{
    Claims, Collateral, Examination, MAX_EVIDENCE_BYTES, ReferenceEntry, ReferenceValues, Tcb,
};
use licen_core::abi::Custody;
use licen_core::primitives::{B256, Bytes, U256};
use serde_json::json;

use crate::cli::{AttestCommand, PolicyFileArgs, VerifyArgs};
use crate::session::error::{CliError, Outcome};
use crate::session::output::Ui;
use crate::session::{Session, codes, parse_b256};

/// How long an added entry waits, hours; the contract's constant.
const TIMELOCK_HOURS: u64 = 48;

/// `attest verify`: what an appraisal policy makes of evidence, without a node or a chain.
///
/// # Errors
/// The evidence is refused, or a file cannot be used.
pub fn verify(ui: &Ui, args: &VerifyArgs) -> Outcome {
    let values = read_policy(&args.policy)?;
    let collateral = Collateral::from_file(&read(&args.collateral)?).map_err(|e| {
        CliError::environment(codes::FILE, format!("cannot use {}", args.collateral.display())).because(&e)
    })?;
    let evidence = raw(read(&args.evidence)?);
    let at = args.at.unwrap_or_else(now);
    let found = licen_attest::examine(&evidence, &collateral, &values, at);
    ui.record(&json!({
        "accepted": found.refusal.is_none(),
        "rule": found.refusal.as_ref().map(licen_attest::Refusal::rule),
        "reason": found.refusal.as_ref().map(ToString::to_string),
        "claims": found.claims,
        "ear": found.ear,
    }));
    if let Some(claims) = &found.claims {
        show(ui, claims);
    }
    match &found.refusal {
        None => {
            accepted(ui, &values, &found, at);
            Ok(())
        }
        Some(refusal) => {
            let message = format!("evidence refused by rule {}: {refusal}", refusal.rule());
            Err(CliError::refused(codes::EVIDENCE, message).hint(next_step(refusal.rule())))
        }
    }
}

/// What whoever holds the evidence, or wrote the policy, can do about it.
fn next_step(rule: &str) -> &'static str {
    match rule {
        "collateral-validity" | "collateral-age" => {
            "fetch the collateral anew, or give the moment it was valid at: --at UNIX_SECONDS"
        }
        "tee-type" | "product" => {
            "another policy may fit: teeTypes and amd.products say what this one accepts"
        }
        "size" | "format" | "signature" | "collateral" => {
            "give the quote or report as the TEE made it, and collateral of its platform"
        }
        "measurement" | "platform" => "if this program and machine are yours, list them in the policy",
        "debug" | "vmpl" | "migration" => "start the guest without it: no policy can accept this",
        _ => "the platform has to be updated or set up anew, or the policy has to choose otherwise",
    }
}

fn show(ui: &Ui, claims: &Claims) {
    let line = |name: &str, value: String| ui.data(&format!("{name:<13} {value}"));
    line("evidence", format!("{}, identity {}", claims.tee_type.name(), claims.identity));
    line("program", serde_json::to_string(&claims.measurement).unwrap_or_default());
    line("platform", claims.platform.map_or_else(|| "masked".to_owned(), |id| id.to_string()));
    match &claims.tcb {
        Tcb::Intel(tcb) => {
            let advisories = if tcb.advisories.is_empty() {
                "no advisories".to_owned()
            } else {
                tcb.advisories.join(", ")
            };
            line("tcb", format!("{}, evaluation {}, {advisories}", tcb.status, tcb.evaluation_number));
            line(
                "collateral",
                format!("issued {}, valid until {}", tcb.collateral_issued, tcb.collateral_expires),
            );
        }
        Tcb::Amd(tcb) => {
            let svn = tcb.reported;
            line(
                "tcb",
                format!(
                    "{:?}, report version {}, bootloader {}, tee {}, snp {}, microcode {}",
                    tcb.product, tcb.report_version, svn.bootloader, svn.tee, svn.snp, svn.microcode
                ),
            );
        }
    }
    line("report data", claims.report_data.to_string());
}

fn accepted(ui: &Ui, values: &ReferenceValues, found: &Examination, at: u64) {
    ui.data(&format!("accepted      {} at {at}: {}", values.name, found.ear.status()));
    if values.measurements.is_empty() {
        ui.warn(
            "the policy names no program: that the hardware is genuine says nothing about what runs on it",
        );
    }
}

/// `attest policy`: writes reference values and prints their root.
///
/// # Errors
/// A policy file that cannot be used, or that leaves programs unappraised.
pub fn policy(ui: &Ui, args: &PolicyFileArgs) -> Outcome {
    let entry = write_entry(&read_policy(&args.file)?, args.out.as_deref())?;
    ui.record(&json!({"entry": entry, "file": args.out}));
    ui.data(&entry.to_string());
    Ok(())
}

/// `attest add` and `attest revoke`.
///
/// # Errors
/// The wallet did not create the appraisal policy, or the contract refuses for another reason.
pub async fn registry(session: &Session, command: &AttestCommand) -> Outcome {
    match command {
        AttestCommand::Add(args) => {
            let id = parse_b256(&args.id)?;
            let entry = write_entry(&read_policy(&args.policy)?, Some(&args.out))?;
            let chain = session.chain().await?;
            let call = Custody::addAppraisalEntryCall { id, entry };
            session.send(&format!("appraisal:{id}:{entry}"), chain.custody(), &call, U256::ZERO).await?;
            if session.put_file(entry, &args.out).await.is_err() {
                session.ui.warn(
                    "no node took the reference values: licen storage put them before an audit needs them",
                );
            }
            session
                .ui
                .record(&json!({"appraisalPolicy": id, "entry": entry, "liveAfterHours": TIMELOCK_HOURS}));
            session.ui.data(&format!(
                "{entry} is live in {TIMELOCK_HOURS} hours; give {} to custodians before",
                args.out.display()
            ));
            Ok(())
        }
        AttestCommand::Revoke(args) => revoke(session, &args.id, args.entry.as_deref()).await,
        AttestCommand::Verify(_) | AttestCommand::Policy(_) => Ok(()),
    }
}

async fn revoke(session: &Session, id: &str, entry: Option<&str>) -> Outcome {
    let id = parse_b256(id)?;
    let entry: Option<B256> = entry.map(parse_b256).transpose()?;
    let what =
        entry.map_or_else(|| format!("appraisal policy {id}"), |entry| format!("entry {entry} of {id}"));
    if !session
        .ui
        .confirm(&format!("revoke {what} at once and for ever: no key is released under it any more?"))
    {
        return Err(
            CliError::environment(codes::NOT_CONFIRMED, "not revoked").hint("--yes confirms it in a script")
        );
    }
    let chain = session.chain().await?;
    let custody = chain.custody();
    match entry {
        Some(entry) => {
            let call = Custody::revokeAppraisalEntryCall { id, entry };
            session.send(&format!("revoke:{id}:{entry}"), custody, &call, U256::ZERO).await?;
        }
        None => {
            let call = Custody::revokeAppraisalPolicyCall { id };
            session.send(&format!("revoke:{id}"), custody, &call, U256::ZERO).await?;
        }
    }
    session.ui.record(&json!({"revoked": id, "entry": entry}));
    session.ui.data(&format!("revoked {what}"));
    Ok(())
}

/// Reads a policy file, TOML.
///
/// # Errors
/// It cannot be read, has unknown names, or contradicts itself.
pub fn read_policy(path: &Path) -> Outcome<ReferenceValues> {
    let none = || {
        CliError::environment(codes::APPRAISAL_POLICY, format!("{} is no appraisal policy", path.display()))
    };
    let text = String::from_utf8(read(path)?).map_err(|e| none().because(&e))?;
    let values: ReferenceValues = toml::from_str(&text).map_err(|e| none().in_file(&e))?;
    values.check().map_err(|e| none().because(&e))?;
    Ok(values)
}

/// Writes reference values as canonical JSON, if asked to, and gives their root.
///
/// # Errors
/// Values that name no program, or a file that cannot be written.
pub fn write_entry(values: &ReferenceValues, out: Option<&Path>) -> Outcome<B256> {
    let refuse = |e: &dyn std::error::Error| {
        CliError::refused(codes::APPRAISAL_POLICY, "these values cannot stand on chain").because(e)
    };
    let bytes = values.to_bytes().map_err(|e| refuse(&e))?;
    let entry = ReferenceEntry::from_bytes(&bytes).map_err(|e| refuse(&e))?.root();
    if let Some(out) = out {
        std::fs::write(out, bytes).map_err(|e| {
            CliError::environment(codes::FILE, format!("cannot write {}", out.display())).because(&e)
        })?;
    }
    Ok(entry)
}

fn read(path: &Path) -> Outcome<Vec<u8>> {
    std::fs::read(path).map_err(|e| {
        CliError::environment(codes::FILE, format!("cannot read {}", path.display())).because(&e)
    })
}

/// Evidence as bytes; some tools write it as hex text.
fn raw(bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() > 3 * MAX_EVIDENCE_BYTES {
        return bytes;
    }
    let text = std::str::from_utf8(&bytes).map(str::trim).unwrap_or_default();
    match text.parse::<Bytes>() {
        Ok(decoded) if !decoded.is_empty() => decoded.to_vec(),
        _ => bytes,
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
