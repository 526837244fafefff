//! `licen publish`: check, commit, encrypt, seal, upload, register. Nothing is registered before
//! everything the registration names is stored. A try that fails removes the ciphertext: its key is
//! gone, so the next one encrypts anew.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use licen_core::abi::{DataPolicy, Member, Policy, Split};
use licen_core::admission::AllowList;
use licen_core::constraints::{Constraints, TrainingLimits};
use licen_core::id::{account_of, dataset_uid, policy_hash, purpose_id};
use licen_core::policy::{self, LEVEL_HARDWARE, LEVEL_SOFTWARE, LOCAL_CHAIN_ID};
use licen_core::policy_manifest::{Description, Facts, PolicyManifest, TokenCount};
use licen_core::primitives::{Address, B256, U256, keccak256};
use licen_seal::DatasetKey;
use licen_seal::RecipientPublicKey;
use licen_seal::envelope::{EnvelopeMember, EnvelopeTerms, MemberPublicKey, Uses, seal_envelope};
use licen_seal::recovery::{RecoveryCost, save_recovery};
use serde_json::json;
use zeroize::Zeroizing;

use crate::cli::PublishArgs;
use crate::owner::allow_list::allow_list;
use crate::owner::announce::announce;
use crate::owner::describe::description;
use crate::owner::encrypt::{Encrypted, encrypt};
use crate::owner::members::confirmed;
use crate::owner::payees::{Payees, payees};
use crate::owner::price::{priced_in, royalty};
use crate::owner::recovery::read_passphrase;
use crate::owner::terms::terms_text;
use crate::owner::tokens::{count_tokens, tokenizer};
use crate::session::country::country;
use crate::session::custody::warnings;
use crate::session::error::{CliError, Outcome};
use crate::session::ledger::Token;
use crate::session::output::{Ui, short};
use crate::session::salt::random_salt;
use crate::session::storage::json_root;
use crate::session::{Session, codes, parse_b256};

/// What publishing ends with.
#[derive(Debug)]
pub struct Published {
    /// The policy as registered.
    pub policy: Policy,
    /// Rows.
    pub rows: u64,
    /// Plaintext bytes.
    pub bytes: u64,
}

/// Publishes one file.
///
/// # Errors
/// Anything refused before registration leaves nothing registered.
pub async fn publish(session: &Session, args: &PublishArgs) -> Outcome<Published> {
    let ui = &session.ui;
    looks_like_rows(&args.file)?;
    let about = description(args)?;
    let chain = session.chain().await?;
    let wallet = session.wallet()?;
    session.same_world().await?;
    let domain = chain.domain();
    let salt = random_salt()?;
    let uid = dataset_uid(domain.chain_id, wallet.address(), salt);
    let passphrase = passphrase(args)?;
    let constraints = constraints(args)?;
    let list = allow_list(ui, &args.access)?;
    let token = priced_in(session, args.token.as_deref()).await?;
    args.count_with.iter().try_for_each(|base| tokenizer(base).map(drop))?;
    let (terms, members) = custody(session, args, uid).await?;
    let paid = payees(Some(session), &args.payee).await?.unwrap_or_else(|| alone(wallet.address()));
    let offered = offered(args, &token, wallet.address(), paid.account, terms.required_level)?;
    let draft = draft(session, args, offered, uid, salt, &terms)?;
    // Everything but the file is known to pass before hours may go into encrypting it.
    let stand_in = Policy { datasetRoot: B256::repeat_byte(1), ..draft.clone() };
    policy::validate(&stand_in, domain.chain_id, chain.now().await?).map_err(|e| {
        CliError::refused(codes::POLICY_INVALID, e.to_string()).hint("licen publish --help shows every bound")
    })?;
    for warning in warnings(draft.requiredLevel, terms.t) {
        ui.warn(&warning);
    }

    confirmed(session, terms.t, &members).await?;
    let members = envelope_members(&members);

    let key =
        DatasetKey::generate().map_err(|e| CliError::of(codes::SEAL, "cannot make a dataset key", &e))?;
    let out = session.config.state_dir()?.join(format!("publish-{uid}.bin"));
    let encrypted = encrypt_file(&session.ui, args, &key, domain.chain_id, &uid, &out)?;
    let _guard = Leftover(Some(out));
    let envelope = seal_envelope(&key, &terms, &members).and_then(|e| e.encode());
    let envelope =
        envelope.map_err(|e| CliError::of(codes::SEAL, "cannot seal the key to the custodians", &e))?;
    tell_custodians(session, args, &terms, members.len());
    let tokens: Vec<TokenCount> =
        args.count_with.iter().map(|base| count_tokens(ui, &args.file, base)).collect::<Outcome<_>>()?;
    let about = Description { published: chain.now().await?, ..about };
    let told = Told { about, tokens, splits: paid.splits, list };
    let policy = store(session, args, draft, &constraints, &encrypted, &told, envelope).await?;
    let recovery = match (&args.recovery, passphrase) {
        (Some(path), Some(passphrase)) => {
            save_recovery_file(path, &key, domain.chain_id, &uid, &passphrase)?;
            ui.progress(&format!("Wrote the recovery file {}", path.display()));
            Some(path)
        }
        _ => None,
    };
    drop(key);
    register(session, &policy, recovery.map(PathBuf::as_path)).await?;
    ui.progress(&format!(
        "Registered: {} per epoch, at most {} per run, purposes {}",
        token.shown(U256::from(policy.royaltyPerEpoch)),
        args.max_epochs,
        args.purposes.join(", ")
    ));
    announce_payees(session, domain.contract, &policy, &told.splits).await;
    Ok(Published { policy, rows: encrypted.row_count, bytes: encrypted.byte_count })
}

async fn register(session: &Session, policy: &Policy, recovery: Option<&Path>) -> Outcome {
    let contract = session.chain().await?.contract();
    let call = DataPolicy::registerDataset_0Call { policy: policy.clone() };
    let label = register_label(contract, policy.datasetUid);
    let sent = session.send(&label, contract, &call, U256::ZERO).await;
    let mined = sent.inspect_err(|error| {
        if let (Some(path), crate::session::error::REFUSED) = (recovery, error.exit) {
            set_aside(&session.ui, path, &policy.datasetUid);
        }
    })?;
    session.indexed(&mined).await;
    Ok(())
}

/// Announces the splits of a policy in force. Where that fails nothing is lost, since the manifest has them.
pub async fn announce_payees(session: &Session, contract: Address, policy: &Policy, splits: &[Split]) {
    let occasion = policy_hash(policy).to_string();
    if let Err(error) = announce(session, contract, splits, &occasion).await {
        session.ui.warn(&format!("the policy holds, but its splits are not announced: {error}"));
        session.ui.warn(&format!("licen distribute {} announces them", policy.datasetUid));
    }
}

/// The wallet alone is paid.
fn alone(owner: Address) -> Payees {
    Payees { account: account_of(owner), splits: Vec::new() }
}

/// Names the transaction that registers a dataset at a contract.
#[must_use]
pub fn register_label(contract: Address, uid: B256) -> String {
    format!("register:{contract}:{uid}")
}

/// What `--dry-run` does: everything that happens to the file, under a key that is thrown away.
///
/// # Errors
/// What publishing would refuse about the file.
pub async fn dry_run(session: &Session, args: &PublishArgs) -> Outcome {
    looks_like_rows(&args.file)?;
    let about = description(args)?;
    let paid = payees(None, &args.payee).await?.unwrap_or_else(|| alone(Address::ZERO));
    let token = told_offline(session, args).await?;
    let policy = offered(args, &token, Address::ZERO, paid.account, level(args, 0))?;
    constraints(args)?;
    let list = allow_list(&session.ui, &args.access)?;
    args.count_with.iter().try_for_each(|base| tokenizer(base).map(drop))?;
    let key =
        DatasetKey::generate().map_err(|e| CliError::of(codes::SEAL, "cannot make a dataset key", &e))?;
    let out = session.config.state_dir()?.join(format!("dry-run-{}.bin", std::process::id()));
    let guard = Leftover(Some(out.clone()));
    let (clock, cpu) = (Instant::now(), cpu_time());
    let encrypted = encrypt_file(&session.ui, args, &key, 0, &B256::ZERO, &out)?;
    let (seconds, cpu_seconds) = (clock.elapsed().as_secs_f64(), (cpu_time() - cpu).as_secs_f64());
    let stored = std::fs::metadata(&out).map_or(0, |m| m.len());
    drop(guard);
    let tokens: Vec<TokenCount> = args
        .count_with
        .iter()
        .map(|base| count_tokens(&session.ui, &args.file, base))
        .collect::<Outcome<_>>()?;
    if let Some(path) = &args.manifest {
        let published = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let about = Description { published, ..about };
        let told = Told { about, tokens: tokens.clone(), splits: paid.splits, list };
        let requesters = told.requesters_root();
        let policy = Policy { datasetRoot: encrypted.dataset_root, requestersRoot: requesters, ..policy };
        let text = terms_text(&policy, &token, &args.purposes, &told.about.license_text);
        write_manifest(path, &told.manifest(args, &encrypted, &policy, &text)?)?;
    }
    session.ui.record(&json!({"rows": encrypted.row_count, "bytes": encrypted.byte_count,
        "tokenCounts": tokens, "storedBytes": stored, "seconds": seconds, "cpuSeconds": cpu_seconds}));
    session.ui.data(&format!(
        "{} rows, {} bytes would be stored as {stored}; nothing was kept",
        encrypted.row_count, encrypted.byte_count
    ));
    Ok(())
}

/// The token of the price. What it is called and how it is counted only a chain can say.
async fn told_offline(session: &Session, args: &PublishArgs) -> Outcome<Token> {
    if args.token.is_some()
        && let Err(error) = session.chain().await
    {
        return Err(
            error.hint("with --token --dry-run asks the chain for its decimals: set `node` and `rpc`")
        );
    }
    priced_in(session, args.token.as_deref()).await
}

/// Processor time of this process so far.
fn cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Refuses what is no file with rows before anything is connected.
fn looks_like_rows(file: &Path) -> Outcome {
    let shown = file.display();
    let cannot = |e: &std::io::Error| {
        CliError::environment(codes::FILE, format!("cannot read {shown}"))
            .because(e)
            .hint("give a JSON Lines file: one JSON object per line")
    };
    let found = std::fs::File::open(file).and_then(|f| f.metadata()).map_err(|e| cannot(&e))?;
    if !found.is_file() {
        return Err(cannot(&std::io::Error::from(std::io::ErrorKind::IsADirectory)));
    }
    if found.len() == 0 {
        return Err(CliError::refused(codes::EMPTY_FILE, format!("{shown} is empty"))
            .hint("every line must be one JSON object, for example {\"text\": \"...\"}"));
    }
    Ok(())
}

fn encrypt_file(
    ui: &Ui,
    args: &PublishArgs,
    key: &DatasetKey,
    chain_id: u64,
    uid: &B256,
    out: &Path,
) -> Outcome<Encrypted> {
    let mut shown = 0;
    let encrypted = encrypt(&args.file, out, key, chain_id, uid, args.preview, &mut |bytes| {
        if bytes >= shown + (1 << 30) {
            shown = bytes;
            ui.progress(&format!("encrypted {} GiB", bytes >> 30));
        }
    })?;
    if !encrypted.trainable {
        ui.warn(
            "row 1 has none of the shapes training takes: {\"text\"}, {\"messages\"}, \
             {\"prompt\", \"completion\"} or {\"instruction\", \"input\", \"output\"}",
        );
    }
    ui.progress(&format!(
        "Checked {} rows and encrypted {} bytes",
        encrypted.row_count, encrypted.byte_count
    ));
    Ok(encrypted)
}

/// Prints what [`publish`] did.
pub fn report(session: &Session, done: &Published) {
    let policy = &done.policy;
    session.ui.record(&json!({
        "datasetRoot": policy.datasetRoot, "datasetUid": policy.datasetUid, "policyHash": policy_hash(policy),
        "manifestHash": policy.manifestHash, "envelopeHash": policy.envelopeHash, "rows": done.rows, "bytes": done.bytes
    }));
    session.ui.data(&policy.datasetRoot.to_string());
}

/// Removes the ciphertext when publishing is over: the node has it, or it was never registered and
/// its key is gone.
struct Leftover(Option<PathBuf>);

impl Drop for Leftover {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            let _ = std::fs::remove_file(path);
        }
    }
}

async fn custody(session: &Session, args: &PublishArgs, uid: B256) -> Outcome<(EnvelopeTerms, Vec<Member>)> {
    let set = match &args.custodian_set {
        Some(set) => set.clone(),
        None => session.config.get("custodian_set").to_string(),
    };
    if set.is_empty() {
        return Err(CliError::environment(codes::CONFIG, "no custodian set to seal the key to")
            .hint("licen custodian register, then --custodian-set ID"));
    }
    let set = parse_b256(&set)?;
    let chain = session.chain().await?;
    let known = chain.newest_custodians(set).await;
    let (set_version, t, members) =
        known.map_err(|e| e.hint("licen custodian register prints the id of a new set"))?;
    let terms = EnvelopeTerms {
        chain_id: chain.domain().chain_id,
        dataset_uid: uid,
        uses: Uses::Job,
        t,
        required_level: level(args, chain.domain().chain_id),
        custodian_set: set,
        set_version,
    };
    Ok((terms, members))
}

/// Members of a set as an envelope names them.
#[must_use]
pub fn envelope_members(members: &[Member]) -> Vec<EnvelopeMember> {
    let member = |m: &Member| EnvelopeMember {
        custodian: m.signer,
        pk: MemberPublicKey::Hpke(RecipientPublicKey(m.hpkeKey)),
    };
    members.iter().map(member).collect()
}

/// A local chain has simulated compute only, which the warning after it says; no other chain takes
/// level SOFTWARE.
fn level(args: &PublishArgs, chain_id: u64) -> u8 {
    match args.level.as_str() {
        "software" => LEVEL_SOFTWARE,
        "hardware" => LEVEL_HARDWARE,
        _ if chain_id == LOCAL_CHAIN_ID => LEVEL_SOFTWARE,
        _ => LEVEL_HARDWARE,
    }
}

/// The policy as far as it is known without the file.
fn draft(
    session: &Session,
    args: &PublishArgs,
    offered: Policy,
    uid: B256,
    salt: B256,
    terms: &EnvelopeTerms,
) -> Outcome<Policy> {
    let appraisal = match &args.appraisal_policy {
        Some(id) => id.clone(),
        None => session.config.get("appraisal_policy").to_string(),
    };
    if appraisal.is_empty() {
        return Err(CliError::environment(codes::CONFIG, "no appraisal policy to demand of compute")
            .hint("licen custodian appraisal, then --appraisal-policy ID"));
    }
    Ok(Policy {
        datasetUid: uid,
        salt,
        custodianSet: terms.custodian_set,
        setVersion: terms.set_version,
        appraisalPolicy: parse_b256(&appraisal)?,
        ..offered
    })
}

/// What the flags alone say of the policy: all that the offer in words is made of, but for names and roots.
fn offered(args: &PublishArgs, token: &Token, owner: Address, payee: B256, level: u8) -> Outcome<Policy> {
    Ok(Policy {
        owner,
        version: 1,
        payee,
        token: token.address,
        royaltyPerEpoch: royalty(&args.royalty, token)?,
        maxEpochsPerRun: args.max_epochs,
        maxRunsPerRequester: args.max_runs,
        startWindow: args.start_window,
        runWindow: args.run_window,
        policyExpiry: args.expires,
        purposes: args.purposes.iter().map(|p| purpose_id(p)).collect(),
        requiredLevel: level,
        ..Policy::default()
    })
}

fn constraints(args: &PublishArgs) -> Outcome<Constraints> {
    Ok(Constraints {
        base_models: args
            .base_models
            .iter()
            .map(|m| parse_b256(m).map_err(|e| e.hint("licen model list prints roots")))
            .collect::<Outcome<_>>()?,
        training_limits: TrainingLimits {
            max_rank: args.max_rank,
            max_steps: args.max_steps,
            ..TrainingLimits::default()
        },
        providers: args
            .providers
            .iter()
            .map(|id| parse_b256(id).map_err(|e| e.hint("licen provider show prints ids")))
            .collect::<Outcome<_>>()?,
        jurisdictions: args.jurisdictions.iter().map(|code| country(code)).collect::<Outcome<_>>()?,
    })
}

/// What the public is told beside what the rows are.
struct Told {
    about: Description,
    tokens: Vec<TokenCount>,
    splits: Vec<Split>,
    /// Whom the policy admits; everybody where there is none.
    list: Option<AllowList>,
}

impl Told {
    fn requesters_root(&self) -> B256 {
        self.list.as_ref().map(AllowList::root).unwrap_or_default()
    }

    /// The manifest of a dataset whose policy is complete but for it, under the terms `text`.
    fn manifest(
        &self,
        args: &PublishArgs,
        encrypted: &Encrypted,
        policy: &Policy,
        text: &str,
    ) -> Outcome<Vec<u8>> {
        let facts = Facts {
            rows_root: encrypted.rows_root,
            row_count: encrypted.row_count,
            byte_count: encrypted.byte_count,
            token_counts: self.tokens.clone(),
            preview: encrypted.preview.clone(),
            human_text_hash: keccak256(text),
            split: self.splits.iter().map(Into::into).collect(),
            allow_list: self.list.as_ref().map(|list| Ok(json_root(list)?.0)).transpose()?,
            ..Facts::default()
        };
        PolicyManifest::build(&self.about, facts, encrypted.stored_bytes, policy, &args.purposes)
            .and_then(|manifest| manifest.offers(policy).and_then(|()| manifest.to_bytes()))
            .map_err(|e| CliError::environment(codes::USAGE, "cannot write the manifest").because(&e))
    }
}

fn write_manifest(path: &Path, bytes: &[u8]) -> Outcome {
    std::fs::write(path, bytes).map_err(|e| {
        CliError::environment(codes::FILE, format!("cannot write {}", path.display())).because(&e)
    })
}

/// Uploads everything the policy names by root, and fills the roots in.
async fn store(
    session: &Session,
    args: &PublishArgs,
    mut policy: Policy,
    constraints: &Constraints,
    encrypted: &Encrypted,
    told: &Told,
    envelope: Vec<u8>,
) -> Outcome<Policy> {
    policy.datasetRoot = encrypted.dataset_root;
    policy.requestersRoot = told.requesters_root();
    if let Some(list) = &told.list {
        session.put_json(list).await?;
    }
    policy.constraintsHash = session.put_json(constraints).await?;
    policy.envelopeHash = session.put_blob(envelope).await?;
    let token = session.token(policy.token).await?;
    let terms = terms_text(&policy, &token, &args.purposes, &told.about.license_text);
    policy.termsHash = session.put_blob(terms.clone().into_bytes()).await?;
    let manifest = told.manifest(args, encrypted, &policy, &terms)?;
    if let Some(path) = &args.manifest {
        write_manifest(path, &manifest)?;
    }
    policy.manifestHash = session.put_blob(manifest).await?;
    session.put_file(encrypted.dataset_root, &encrypted.path).await?;
    session.ui.progress(&format!("Stored, datasetRoot {}", short(&encrypted.dataset_root.to_string())));
    Ok(policy)
}

/// Who can open the dataset from now on, and whose word that set is.
fn tell_custodians(session: &Session, args: &PublishArgs, terms: &EnvelopeTerms, members: usize) {
    let named_by = match &args.custodian_set {
        Some(_) => "--custodian-set",
        None => session.config.origin("custodian_set"),
    };
    let (set, version) = (short(&terms.custodian_set.to_string()), terms.set_version);
    session.ui.progress(&format!("Sealed the key to {members} custodians, {} needed", terms.t));
    session.ui.progress(&format!("They are set {set}, version {version}, named by {named_by}"));
}

/// After a refusal the key probably opens nothing. But a refused transaction may still be mined, and this
/// is the only copy of its key: it makes room for the next try, and no more.
fn set_aside(ui: &Ui, recovery: &Path, uid: &B256) {
    let aside = PathBuf::from(format!("{}.{uid}", recovery.display()));
    if std::fs::rename(recovery, &aside).is_ok() {
        let aside = aside.display();
        ui.warn(&format!(
            "the recovery file is now {aside}: keep it until you know that nothing was registered"
        ));
    }
}

/// The passphrase for `--recovery`, read before anything else happens.
fn passphrase(args: &PublishArgs) -> Outcome<Option<Zeroizing<Vec<u8>>>> {
    let (Some(path), Some(file)) = (&args.recovery, &args.passphrase_file) else { return Ok(None) };
    if path.exists() {
        return Err(CliError::environment(codes::FILE, format!("{} exists already", path.display()))
            .hint("--recovery with another file: a recovery file is never overwritten"));
    }
    read_passphrase(file).map(Some)
}

fn save_recovery_file(
    path: &Path,
    key: &DatasetKey,
    chain_id: u64,
    uid: &B256,
    passphrase: &[u8],
) -> Outcome {
    save_recovery(path, key, chain_id, uid, passphrase, RecoveryCost::default()).map_err(|e| {
        CliError::environment(codes::FILE, format!("cannot write {}", path.display())).because(&e)
    })
}
