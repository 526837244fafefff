//! `licen custodian register | update | erase | appraisal`.

use licen_attest::ReferenceValues;
use licen_core::abi::{Custody, Member};
use licen_core::id::custody_id;
use licen_core::primitives::{B256, U256, keccak256};
use licen_core::sol_types::SolValue;
use serde_json::json;

use crate::cli::{AppraisalArgs, EraseArgs, RegisterArgs, UpdateSetArgs};
use crate::operator::attest;
use crate::session::error::{CliError, Outcome};
use crate::session::ledger::read_address;
use crate::session::toml_file::read_toml;
use crate::session::{Session, codes, parse_b256};

/// `custodian register`: creates a set and prints its id.
///
/// # Errors
/// See [`create_set`].
pub async fn register(session: &Session, args: &RegisterArgs) -> Outcome {
    let set = create_set(session, args).await?;
    session
        .ui
        .record(&json!({"custodianSet": set, "threshold": args.threshold, "members": args.members.len()}));
    session.ui.data(&set.to_string());
    Ok(())
}

/// `custodian appraisal`: creates an appraisal policy and prints its id.
///
/// # Errors
/// See [`create_appraisal`].
pub async fn appraisal(session: &Session, args: &AppraisalArgs) -> Outcome {
    let (id, entry) = create_appraisal(session, args).await?;
    if args.measure.is_some() {
        session.ui.warn("these reference values are for a simulated TEE: level SOFTWARE, not confidential");
    }
    if session.put_file(entry, &args.out).await.is_err() {
        session
            .ui
            .warn("no node took the reference values: licen storage put them before an audit needs them");
    }
    session.ui.record(&json!({"appraisalPolicy": id, "entry": entry, "file": args.out}));
    session.ui.data(&id.to_string());
    Ok(())
}

/// `custodian update`: adds a version to a set.
///
/// # Errors
/// As [`create_set`]; the wallet did not create the set.
pub async fn update(session: &Session, args: &UpdateSetArgs) -> Outcome {
    let id = parse_b256(&args.id)?;
    let members = members(&args.members)?;
    let (t, count) = (args.members.threshold, members.len());
    let chain = session.chain().await?;
    let (last, last_t, last_members) = chain.newest_custodians(id).await?;
    if (last_t, &last_members) == (t, &members) {
        // As after a crash: the same version twice would only cost its owners a reseal.
        session.ui.progress("The newest version of the set is this one already");
        session.ui.data(&format!("version {last}: any {t} of {count}"));
        return Ok(());
    }
    let named = keccak256((members.clone(), U256::from(t)).abi_encode());
    let call = Custody::addSetVersionCall { setId: id, t, members };
    session.send(&format!("set:{id}:{}:{named}", last + 1), chain.custody(), &call, U256::ZERO).await?;
    let version = last + 1;
    session
        .ui
        .progress("Datasets stay sealed to the older version until their owners say licen policy reseal");
    session.ui.record(&json!({"custodianSet": id, "setVersion": version, "threshold": t, "members": count}));
    session.ui.data(&format!("version {version}: any {t} of {count}"));
    Ok(())
}

/// `custodian erase`: destroys a key, and prints the signed statement of it.
///
/// # Errors
/// Something needs the key; it is still there then.
pub async fn erase(session: &Session, args: &EraseArgs) -> Outcome {
    let config: licen_custodian::Config = read_toml(&args.config)?;
    let shown = args.key.display();
    if !session.ui.confirm(&format!("destroy {shown} for ever: nobody can open what is sealed to it?")) {
        return Err(CliError::environment(codes::NOT_CONFIRMED, "not destroyed")
            .hint("--yes confirms it in a script"));
    }
    let made = licen_custodian::erase::erase(&config, &args.key).await;
    let made = made.map_err(|e| match &e {
        licen_custodian::Error::KeyNeeded { .. } => {
            CliError::refused(codes::KEY_NEEDED, format!("{shown} was not destroyed"))
                .because(&e)
                .hint("licen explain LIC0702 says how each use ends")
        }
        licen_custodian::Error::Busy(_) => {
            CliError::environment(codes::CUSTODIANS, "the key was not destroyed")
                .because(&e)
                .hint("stop the custodian, erase, start it again without the key")
        }
        _ => CliError::of(codes::CUSTODIANS, "the key was not destroyed", &e),
    })?;
    let erasure = &made.erasure.0;
    session.ui.record(
        &json!({"hpkeKey": erasure.hpkeKey, "erasedAt": erasure.erasedAt, "signature": made.signature}),
    );
    session.ui.data(&format!("{} destroyed at {}", erasure.hpkeKey, erasure.erasedAt));
    Ok(())
}

fn members(args: &RegisterArgs) -> Outcome<Vec<Member>> {
    let members: Vec<Member> = args.members.iter().map(|m| member(m)).collect::<Outcome<_>>()?;
    if args.threshold == 0 || usize::from(args.threshold) > members.len() {
        let message = format!("a threshold of {} with {} members", args.threshold, members.len());
        return Err(
            CliError::environment(codes::USAGE, message).hint("--threshold 1 to the number of members")
        );
    }
    Ok(members)
}

/// Creates a custodian set.
///
/// # Errors
/// A member that is not ADDRESS:KEY, a threshold outside 1..=members.
pub async fn create_set(session: &Session, args: &RegisterArgs) -> Outcome<B256> {
    let members = members(args)?;
    let salt = keccak256((members.clone(), U256::from(args.threshold)).abi_encode());
    let wallet = session.wallet()?.address();
    let set = custody_id(wallet, salt);
    let chain = session.chain().await?;
    let call = Custody::createSetCall { salt, t: args.threshold, members };
    session.send(&format!("set:{set}"), chain.custody(), &call, U256::ZERO).await?;
    Ok(set)
}

/// Measures a binary or reads a policy file, writes reference values, and creates an appraisal policy that demands them;
/// gives the policy's id and the reference values' root.
///
/// # Errors
/// The binary or the policy file cannot be read.
pub async fn create_appraisal(session: &Session, args: &AppraisalArgs) -> Outcome<(B256, B256)> {
    let values = match (&args.measure, &args.policy) {
        (Some(program), _) => {
            let measurement = licen_attest::measure(program).map_err(|e| {
                CliError::environment(codes::FILE, format!("cannot measure {}", program.display()))
                    .because(&e)
            })?;
            ReferenceValues {
                allow_unsandboxed: args.allow_unsandboxed,
                ..ReferenceValues::simulated("licen-compute", vec![measurement])
            }
        }
        (None, Some(file)) => attest::read_policy(file)?,
        (None, None) => {
            return Err(CliError::environment(codes::USAGE, "neither --measure nor --policy was given"));
        }
    };
    let entry = attest::write_entry(&values, Some(&args.out))?;
    let wallet = session.wallet()?.address();
    let id = custody_id(wallet, entry);
    let chain = session.chain().await?;
    let call = Custody::createAppraisalPolicyCall { salt: entry, entries: vec![entry] };
    session.send(&format!("appraisal:{id}"), chain.custody(), &call, U256::ZERO).await?;
    Ok((id, entry))
}

/// Reads ADDRESS:KEY.
///
/// # Errors
/// It is something else.
pub fn member(text: &str) -> Outcome<Member> {
    let bad = || {
        CliError::environment(codes::USAGE, format!("--member {text:?} is not ADDRESS:KEY"))
            .hint("licen key new custodian prints it")
    };
    let (address, key) = text.split_once(':').ok_or_else(bad)?;
    Ok(Member {
        signer: read_address(address).map_err(|_| bad())?,
        hpkeKey: parse_b256(key).map_err(|_| bad())?,
    })
}
