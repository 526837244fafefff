//! A custodian that keeps the protocol's order, and ways to break it.

use std::sync::{Arc, Mutex, OnceLock};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use licen_attest::{
    AppraisalPolicy, AttestationResult, ReferenceEntry, ReferenceValues, SimulatedTee, appraise, select,
};
use licen_core::abi::{Job, MemberSignature, ResultManifest, Silence, Verdict};
use licen_core::canonical::json_from_slice;
use licen_core::eip712::{Domain, compact};
use licen_core::id::{as_granted, job_hash};
use licen_core::primitives::{Address, B256};
use licen_core::release::ConfirmedRun;
use licen_core::report::JobReport;
use licen_core::result_roots::ResultRoots;
use licen_core::runtime_data::RuntimeData;
use licen_core::sol_types::SolStruct;
use licen_core::wire::custodian::{
    AliveRequest, ChallengeRequest, ChallengeResponse, DeliverRequest, HeldResponse, ReleaseRequest,
    ReleaseResponse, SignedManifest, SilenceRequest, SilenceResponse, VerdictRequest, VerdictResponse,
};
use licen_core::wire::{AbiHex, Problem};
use licen_seal::delivery::{DeliveryTerms, open_manifest};
use licen_seal::envelope::{Envelope, open_share};
use licen_seal::release::reseal;
use licen_seal::result::ResultHeader;
use licen_seal::result_share::open_result_share;
use licen_seal::{RecipientKey, ResultKeyShare, SigningKey, Warrant};

use super::{listen, now};

/// How a custodian behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Honest,
    /// Nobody listens.
    Dead,
    /// Gives a share of something else.
    WrongShare,
    /// Signs verdicts with a key that is not its own.
    ForgedVerdict,
    /// Refuses every verdict.
    Refuses,
    /// Judges, and then never releases.
    Withholds,
    /// Releases for the job that it was told the chain shows, and for nothing else.
    AsksTheChain,
    /// Says at once that it holds the result, and keeps nothing.
    LiesAboutHolding,
    /// Holds what was offered and signs that it holds another adapter.
    HoldsAnotherAdapter,
    /// Holds what was offered and signs that it holds another report.
    HoldsAnotherReport,
    /// Has called the attempt silent: takes no sign of life and no result of it.
    CallsSilent,
    /// Somebody on its way answers signs of life in its name; it has said nothing of the kind.
    SpokenFor,
    /// Honest, but needs longer to hold the result than compute waits for one that is not there.
    SlowToHold,
}

#[derive(Default)]
struct Memory {
    nonce: B256,
    appraised: Option<AttestationResult>,
    result: Option<(ResultHeader, B256, ResultKeyShare)>,
    /// What it holds.
    roots: Option<ResultRoots>,
    manifest: Option<SignedManifest>,
    running: Option<Job>,
    /// Numbers of the signs of life.
    heard: Vec<u64>,
}

pub(crate) struct Custodian {
    i: u8,
    signer: SigningKey,
    recipient: RecipientKey,
    mode: Mode,
    domain: Domain,
    envelope: Envelope,
    /// Of another key, under the same terms.
    foreign: Envelope,
    url: OnceLock<String>,
    memory: Mutex<Memory>,
}

type Answer<T> = Result<Json<T>, StatusCode>;
type Me = State<Arc<Custodian>>;

impl Custodian {
    pub(crate) fn new(
        i: u8,
        signer: SigningKey,
        recipient: RecipientKey,
        mode: Mode,
        domain: Domain,
        (envelope, foreign): (Envelope, Envelope),
    ) -> Arc<Self> {
        let (url, memory) = (OnceLock::new(), Mutex::default());
        Arc::new(Self { i, signer, recipient, mode, domain, envelope, foreign, url, memory })
    }

    pub(crate) async fn listen(self: Arc<Self>) -> Arc<Self> {
        let router = Router::new()
            .route("/v1/challenge", post(challenge))
            .route("/v1/verdict", post(verdict))
            .route("/v1/release", post(release))
            .route("/v1/deliver", post(deliver))
            .route("/v1/alive", post(alive))
            .route("/v1/silence/{job}", post(silence))
            .with_state(self.clone());
        let url = if self.mode == Mode::Dead { "http://127.0.0.1:9".into() } else { listen(router).await };
        self.url.set(url).unwrap();
        self
    }

    pub(crate) fn id(&self) -> Address {
        self.signer.address()
    }

    pub(crate) fn url(&self) -> String {
        self.url.get().unwrap().clone()
    }

    /// What it holds of the result: header and opened share.
    pub(crate) fn take_result(&self) -> Option<(ResultHeader, B256, ResultKeyShare)> {
        self.memory.lock().unwrap().result.take()
    }

    /// What it signed that it holds.
    pub(crate) fn roots(&self) -> Option<ResultRoots> {
        self.memory.lock().unwrap().roots
    }

    /// What the chain shows from now on.
    pub(crate) fn sees_running(&self, job: &Job) {
        self.memory.lock().unwrap().running = Some(job.clone());
    }

    /// Numbers of the signs of life that came, in order.
    pub(crate) fn heard(&self) -> Vec<u64> {
        self.memory.lock().unwrap().heard.clone()
    }

    pub(crate) fn manifest(&self) -> Option<SignedManifest> {
        self.memory.lock().unwrap().manifest.clone()
    }

    fn sign<T: SolStruct>(&self, message: &T) -> AbiHex<MemberSignature> {
        let signature = self.signer.sign(&self.domain.digest(message)).unwrap();
        AbiHex(compact(u16::from(self.i) - 1, signature.as_bytes()).unwrap())
    }
}

/// What this test's program is listed under.
fn reference_values() -> ReferenceEntry {
    let measurement = SimulatedTee::from_current_exe().unwrap().measurement();
    let values = ReferenceValues::simulated(licen_compute::serve::PROGRAM, vec![measurement]);
    ReferenceEntry::new(&values).unwrap()
}

/// Its root.
pub(crate) fn reference_entry() -> B256 {
    reference_values().root()
}

async fn challenge(State(me): Me, Json(request): Json<ChallengeRequest>) -> Answer<ChallengeResponse> {
    // As the real one answers about a contract that its configuration does not name.
    if request.contract != me.domain.contract {
        return Err(StatusCode::CONFLICT);
    }
    let nonce = B256::new(rand::random());
    me.memory.lock().unwrap().nonce = nonce;
    Ok(Json(ChallengeResponse { custodian_id: me.id(), nonce, expires_in: 120 }))
}

async fn verdict(State(me): Me, Json(request): Json<VerdictRequest>) -> Answer<VerdictResponse> {
    if me.mode == Mode::Refuses {
        return Err(StatusCode::FORBIDDEN);
    }
    let job = &request.job.0;
    assert_eq!(request.contract, me.domain.contract);
    let data = RuntimeData::from_bytes(&request.runtime_data).map_err(|_| StatusCode::BAD_REQUEST)?;
    assert_eq!(data.mismatch(&me.domain, job, request.attempt), None);
    assert_eq!(data.job_hash, job_hash(&as_granted(job)));
    let nonce = std::mem::take(&mut me.memory.lock().unwrap().nonce);
    assert!(data.challenges.iter().any(|c| c.custodian_id == me.id() && c.nonce == nonce));
    let entries = [reference_values()];
    let policy = AppraisalPolicy { chain_id: 31_337, entries: &entries, platforms: None };
    let collateral = select(&request.evidence, []).unwrap();
    let result = appraise(&request.evidence, &request.runtime_data, &collateral, &policy, now()).unwrap();
    let verdict = Verdict {
        jobId: job.jobId,
        attempt: request.attempt,
        signer: data.signer,
        runtimeDataHash: result.runtime_data_hash(),
        providerId: data.provider_id,
        level: result.level(),
        appraisalPolicy: job.appraisalPolicy,
        custodianSet: job.custodianSet,
        setVersion: job.setVersion,
        expiresAt: now() + 600,
    };
    me.memory.lock().unwrap().appraised = Some(result);
    let mut signature = me.sign(&verdict);
    if me.mode == Mode::ForgedVerdict {
        signature = me.sign(&Verdict { attempt: 9, ..verdict.clone() });
    }
    Ok(Json(VerdictResponse { verdict: AbiHex(verdict), signature }))
}

async fn release(State(me): Me, Json(request): Json<ReleaseRequest>) -> Answer<ReleaseResponse> {
    assert_eq!(request.contract, me.domain.contract);
    if me.mode == Mode::Withholds {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    if me.mode == Mode::AsksTheChain && me.memory.lock().unwrap().running.as_ref() != Some(&request.job.0) {
        return Err(StatusCode::TOO_EARLY);
    }
    let appraised = me.memory.lock().unwrap().appraised.clone().ok_or(StatusCode::FORBIDDEN)?;
    let run = ConfirmedRun::from_chain(me.domain, request.job.0, 1, now());
    let warrant = Warrant::compute(&run, &appraised).map_err(|_| StatusCode::FORBIDDEN)?;
    let envelope = if me.mode == Mode::WrongShare { &me.foreign } else { &me.envelope };
    let share = open_share(envelope, &me.recipient, me.i).unwrap();
    Ok(Json(ReleaseResponse { share: reseal(&share, &warrant).unwrap() }))
}

async fn alive(State(me): Me, Json(request): Json<AliveRequest>) -> Result<(), Silent> {
    if matches!(me.mode, Mode::CallsSilent | Mode::SpokenFor) {
        return Err(silent());
    }
    let job = &request.job.0;
    assert_eq!(request.contract, me.domain.contract);
    let said = licen_core::wire::custodian::alive(job, request.seq);
    assert_eq!(me.domain.signer_of(&said, &request.signature), Some(job.signer));
    me.memory.lock().unwrap().heard.push(request.seq);
    Ok(())
}

async fn silence(State(me): Me, Json(request): Json<SilenceRequest>) -> Answer<SilenceResponse> {
    let job = &request.job.0;
    assert_eq!(request.contract, me.domain.contract);
    let statement = Silence { jobId: job.jobId, attempt: job.attempt };
    // In its name, and not by its key.
    let stranger = SigningKey::generate().unwrap_or_else(|_| panic!("randomness"));
    let key = if me.mode == Mode::CallsSilent { &me.signer } else { &stranger };
    let signature = key.sign(&me.domain.digest(&statement)).unwrap();
    let signature = compact(u16::from(me.i) - 1, signature.as_bytes()).unwrap();
    Ok(Json(SilenceResponse { silence: AbiHex(statement), signature: AbiHex(signature) }))
}

type Silent = (StatusCode, Json<Problem>);

fn silent() -> Silent {
    let problem = Problem::new(409, "LIC0718", "the attempt was called silent", "nothing was heard");
    (StatusCode::CONFLICT, Json(problem))
}

async fn deliver(me: Me, request: Json<DeliverRequest>) -> Result<Json<serde_json::Value>, Silent> {
    if me.mode == Mode::CallsSilent {
        return Err(silent());
    }
    let refused = |code: StatusCode| (code, Json(Problem::new(code.as_u16(), "LIC0711", "refused", "")));
    take(me, request).await.map_err(refused)
}

async fn take(State(me): Me, Json(request): Json<DeliverRequest>) -> Answer<serde_json::Value> {
    match request {
        DeliverRequest::Share {
            contract,
            job,
            roots,
            share,
            share_commit,
            key_commit,
            blob_url,
            signature,
        } => {
            assert_eq!(contract, me.domain.contract);
            let said = match me.mode {
                Mode::HoldsAnotherAdapter => ResultRoots { adapter_root: B256::repeat_byte(0x66), ..roots },
                Mode::HoldsAnotherReport => ResultRoots { report_hash: B256::repeat_byte(0x66), ..roots },
                _ => roots,
            };
            let held = said.held(job.0.jobId, job.0.attempt);
            let answer = || {
                let signature = me.sign(&held);
                Ok(Json(
                    serde_json::to_value(HeldResponse { held: AbiHex(held.clone()), signature }).unwrap(),
                ))
            };
            if me.mode == Mode::LiesAboutHolding {
                return answer();
            }
            if me.mode == Mode::SlowToHold {
                tokio::time::sleep(std::time::Duration::from_secs(5)).await;
            }
            let offered = roots.delivery(&job.0, &blob_url);
            assert_eq!(me.domain.signer_of(&offered, &signature), Some(job.0.signer));
            let http = licen_peers::Timeouts::streaming(std::time::Duration::from_secs(30));
            let http = licen_peers::Http::new(http).unwrap().to(&blob_url);
            let client = licen_storage::client::Client::new(http, &blob_url, Default::default()).unwrap();
            let blob = client.get_bytes(roots.result_hash, 1 << 30).await.unwrap();
            client.get_bytes(roots.attestation_ref, 1 << 20).await.unwrap();
            let report = client.get_bytes(roots.report_hash, licen_core::report::MAX_BYTES as u64);
            let report = JobReport::from_blob(&report.await.unwrap()).unwrap();
            assert_eq!((report.job_id, report.attempt), (job.0.jobId, job.0.attempt));
            let header = ResultHeader::read_from(&mut blob.as_slice()).unwrap();
            assert_eq!(header.key_commit(), key_commit);
            assert_eq!(header.adapter_root(), roots.adapter_root);
            assert_eq!(header.member(me.i).unwrap().share_commit, share_commit);
            let opened = open_result_share(&share, &me.recipient, &header, &roots.result_hash).unwrap();
            let mut memory = me.memory.lock().unwrap();
            memory.result = Some((header, roots.result_hash, opened));
            memory.roots = Some(said);
            answer()
        }
        DeliverRequest::Manifest { contract, job_id, attempt, enc, ct } => {
            assert_eq!(contract, me.domain.contract);
            let terms = DeliveryTerms { job_id, attempt, custodian: me.id() };
            let signed =
                open_manifest(&enc, &ct, &terms, &me.recipient).map_err(|_| StatusCode::BAD_REQUEST)?;
            let signed: SignedManifest = json_from_slice(&signed).unwrap();
            let manifest: &ResultManifest = &signed.manifest.0;
            let mut memory = me.memory.lock().unwrap();
            if let Some(held) = memory.roots {
                assert!(ResultRoots::of(manifest) == held, "the manifest says exactly what is held");
            }
            memory.manifest = Some(signed);
            Ok(Json(serde_json::json!({})))
        }
    }
}
