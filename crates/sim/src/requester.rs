//! The requesters: each pays for one job, watches it, takes the way out that is open to anybody, and
//! fetches what was paid for. The same steps as `licen request`, `cancel` and `fetch`.

use licen_core::abi::{DataPolicy, Job, Policy, Quote, Request, ResultKeyChange, SignedQuote, Stop};
use licen_core::constraints::{JobSpec, Learn};
use licen_core::id::{job_id, policy_hash, purpose_id};
use licen_core::job::JobState;
use licen_core::policy::{RequestContext, admit};
use licen_core::primitives::{Address, B256, Bytes, U256};
use licen_core::sol_types::{SolCall, SolStruct};
use licen_core::wire::AbiHex;
use licen_core::wire::compute::StopRequest;
use licen_core::wire::custodian::{ResultKeyRequest, ResultShareResponse, SignedManifest};
use licen_custodian::effect::Reply;
use licen_custodian::event::Ask;
use licen_seal::result::{ResultHeader, read_result};
use licen_seal::result_share::{combine_result, open_result_release};
use licen_seal::{RecipientKey, ResultKeyShare};

use crate::compute::trainer;
use crate::error::SimError;
use crate::keys::{recipient_key, signing_key};
use crate::network::{Answer, Asker, Party, Question};
use crate::owner::PURPOSE;
use crate::sabotage::Sabotage;
use crate::world::{Happening, Sent, World};

/// The base model that every job here names; the stand-in reads none.
pub(crate) const BASE_MODEL: B256 = B256::repeat_byte(0xba);

/// Between two looks at a job, milliseconds.
const WATCH_MS: u64 = 20_000;
/// How long the orchestrator may take before somebody else acts, seconds.
const PATIENCE_SECONDS: u64 = 60;
const ANSWER_MS: u64 = 15_000;

/// One requester with one job.
#[derive(Debug, Default)]
pub(crate) struct Requester {
    pub(crate) address: Address,
    /// Once the contract granted it.
    pub(crate) job: Option<B256>,
    /// Paid into escrow, wei.
    pub(crate) paid: U256,
    /// When a publishable manifest was seen first, Unix seconds.
    seen: Option<u64>,
    /// A way out is under way.
    pub(crate) acting: bool,
    key_replaced: bool,
    shares: Vec<ResultShareResponse>,
    /// The result was opened and is what compute made.
    pub(crate) fetched: bool,
}

impl Requester {
    pub(crate) fn new(address: Address) -> Self {
        Self { address, ..Self::default() }
    }
}

/// The seeded keys of a requester.
pub(crate) fn name(index: usize) -> String {
    format!("requester {index}")
}

impl World {
    /// Predicts every refusal, then pays.
    pub(crate) fn request(&mut self, index: usize) -> Result<(), SimError> {
        let plan = self.scenario.jobs[index].clone();
        let Some(published) = &self.published else { return Ok(()) };
        let policy = published.policy.clone();
        let spec = JobSpec {
            base_model_root: BASE_MODEL,
            training_params: serde_json::Map::default(),
            eval_fraction: 0.0,
            seed: self.scenario.seed,
            learn: Learn::Assistant,
            parents: Vec::new(),
        };
        let (provider, verified) = (self.registry.provider, self.scenario.verifiers.is_some());
        let request = Request {
            purposeId: purpose_id(PURPOSE),
            epochs: plan.epochs,
            units: u64::from(plan.epochs),
            termsHash: policy.termsHash,
            jobSpecHash: self.put_json(&spec)?,
            resultKey: recipient_key(self.scenario.seed, &name(index))?.public().0,
            providerId: if plan.compute_fee.is_some() { provider } else { B256::ZERO },
            verifierSet: if verified { self.registry.verifier_set } else { B256::ZERO },
            verifierSetVersion: u32::from(verified),
            ..Request::default()
        };
        let now = self.chain.head().time;
        let address = self.requesters[index].address;
        let job_id = self.next_job(&policy, address)?;
        let quote = plan.compute_fee.map(|fee| Quote {
            providerId: provider,
            jobId: job_id,
            policyHash: policy_hash(&policy),
            licenseId: U256::ZERO,
            token: policy.token,
            jobSpecHash: request.jobSpecHash,
            epochs: request.epochs,
            computeFeePerEpoch: fee,
            expiresAt: now + 600,
        });
        let context = RequestContext {
            now,
            requester: address,
            job_id,
            admitted: true,
            quote: quote.clone(),
            ..Default::default()
        };
        admit(&policy, &request, &context).map_err(SimError::world)?;
        let fee = plan.compute_fee.unwrap_or_default();
        let price = (U256::from(policy.royaltyPerEpoch) + U256::from(fee)) * U256::from(plan.epochs);
        let call = match quote {
            None => DataPolicy::requestAccess_0Call { policy, request }.abi_encode(),
            Some(quote) => {
                let signature = self.sign("provider", &quote)?;
                let quote = SignedQuote { quote, signature };
                let admission = Default::default();
                DataPolicy::requestAccess_1Call { policy, request, quote, admission }.abi_encode()
            }
        };
        self.requesters[index].paid = price;
        self.send(address, call, price, Sent::Request(index));
        Ok(())
    }

    /// The name of the next job of a requester at a dataset.
    pub(crate) fn next_job(&self, policy: &Policy, requester: Address) -> Result<B256, SimError> {
        let call = DataPolicy::runsOfCall { datasetUid: policy.datasetUid, requester };
        let runs = self.chain.view(self.chain.head(), self.chain.contracts.data_policy, &call)?;
        Ok(job_id(&self.chain.domain(), policy.datasetUid, requester, runs.counter + 1))
    }

    /// A statement signed by the seeded key of `name`, 65 bytes.
    pub(crate) fn sign<T: SolStruct>(&self, name: &str, message: &T) -> Result<Bytes, SimError> {
        let key = signing_key(self.scenario.seed, name)?;
        let signature = key.sign(&self.chain.domain().digest(message)).map_err(SimError::world)?;
        Ok(Bytes::copy_from_slice(signature.as_bytes()))
    }

    /// Looks at the job again and again until nothing is left to do.
    pub(crate) fn watch(&mut self, index: usize) -> Result<(), SimError> {
        if self.scenario.sabotage == Some(Sabotage::NobodyActs) {
            return Ok(());
        }
        let Some(id) = self.requesters[index].job else { return Ok(()) };
        let Some(job) = self.chain.history.job(id).cloned() else { return Ok(()) };
        let head = self.chain.head();
        let (state, time) = (self.chain.job_state(head, id)?.0, head.time);
        let overdue = |deadline: u64| time > deadline + PATIENCE_SECONDS;
        match state {
            Some(JobState::Granted) if overdue(job.startDeadline) => self.expire(index, job),
            Some(JobState::Running) if overdue(job.runDeadline) => self.expire(index, job),
            Some(JobState::Running) => {
                for custodian in 0..self.custodians.len() {
                    let asker = Asker::Watch { job: index };
                    self.ask(Party::Custodian(custodian), Question::Manifest(id), asker, ANSWER_MS);
                }
            }
            Some(JobState::Completed) if !self.requesters[index].fetched => self.fetch(index, &job)?,
            Some(JobState::Granted) => {}
            Some(JobState::Completed | JobState::Failed | JobState::Expired | JobState::Cancelled) | None => {
                return Ok(());
            }
        }
        let pause = WATCH_MS + self.random.between(0, 5_000);
        self.after(pause, Happening::Watch(index));
        Ok(())
    }

    fn expire(&mut self, index: usize, job: Job) {
        if !self.requesters[index].acting {
            self.requesters[index].acting = true;
            self.say(format!("requester {index}: expires the job"));
            let call = DataPolicy::expireJobCall { job }.abi_encode();
            self.send(self.requesters[index].address, call, U256::ZERO, Sent::Escape(index));
        }
    }

    /// A custodian publishes a manifest: if nobody settles in time, the owner or the requester does.
    pub(crate) fn watch_heard(&mut self, index: usize, answer: &Answer) -> Result<(), SimError> {
        let Answer::Reply(Reply::Json(body)) = answer else { return Ok(()) };
        let signed: SignedManifest = serde_json::from_slice(body).map_err(SimError::world)?;
        let now = self.chain.head().time;
        let requester = &mut self.requesters[index];
        let seen = *requester.seen.get_or_insert(now);
        if now < seen + PATIENCE_SECONDS || requester.acting {
            return Ok(());
        }
        let Some(job) = requester.job.and_then(|id| self.chain.history.job(id)).cloned() else {
            return Ok(());
        };
        requester.acting = true;
        let (who, from) = match self.scenario.owner_confirms {
            true => ("owner", self.accounts.owner),
            false => ("requester", self.requesters[index].address),
        };
        self.say(format!("{who}: confirms {}", self.job_name(job.jobId)));
        let (manifest, signature) = (signed.manifest.0, signed.signature);
        let call = DataPolicy::confirmTrainingCompleteCall { job, manifest, signature }.abi_encode();
        self.send(from, call, U256::ZERO, Sent::Escape(index));
        Ok(())
    }

    /// Orders compute to stop after the epoch it is in.
    pub(crate) fn order_stop(&mut self, index: usize) -> Result<(), SimError> {
        let Some(job) = self.requesters[index].job else { return Ok(()) };
        let stop = Stop { jobId: job, attempt: 1 };
        let signature = self.sign(&name(index), &stop)?;
        let request = StopRequest { stop: AbiHex(stop), signature };
        self.ask(Party::Compute, Question::Stop(job, 1, request), Asker::Nobody, ANSWER_MS);
        Ok(())
    }

    /// Takes a Granted job back.
    pub(crate) fn cancel(&mut self, index: usize) {
        let Some(job) = self.requesters[index].job.and_then(|id| self.chain.history.job(id)).cloned() else {
            return;
        };
        let call = DataPolicy::cancelJobCall { job }.abi_encode();
        self.send(self.requesters[index].address, call, U256::ZERO, Sent::WayOut);
    }

    /// The key that the result has to reach this requester under now.
    pub(crate) fn result_key(&self, index: usize) -> Result<RecipientKey, SimError> {
        let lost = self.scenario.jobs[index].key_lost && self.requesters[index].key_replaced;
        let name = if lost { format!("new {}", name(index)) } else { name(index) };
        recipient_key(self.scenario.seed, &name)
    }

    fn fetch(&mut self, index: usize, job: &Job) -> Result<(), SimError> {
        if self.scenario.jobs[index].key_lost {
            self.requesters[index].key_replaced = true;
            let new_key = self.result_key(index)?.public().0;
            let change = ResultKeyChange { jobId: job.jobId, newKey: new_key, nonce: 1 };
            let signature = self.sign(&name(index), &change)?;
            let contract = self.chain.contracts.data_policy;
            let (job, change) = (AbiHex(job.clone()), AbiHex(change));
            let request = ResultKeyRequest { contract, job, change, signature };
            for custodian in 0..self.custodians.len() {
                let ask = Question::Custodian(Box::new(Ask::ResultKey(request.clone())));
                self.ask(Party::Custodian(custodian), ask, Asker::Nobody, ANSWER_MS);
            }
        }
        for custodian in 0..self.custodians.len() {
            let ask = Question::Custodian(Box::new(Ask::Result { job_id: job.jobId }));
            self.ask(Party::Custodian(custodian), ask, Asker::Fetch { job: index }, ANSWER_MS);
        }
        Ok(())
    }

    /// A custodian let a share of the result key go.
    pub(crate) fn fetch_heard(&mut self, index: usize, answer: &Answer) -> Result<(), SimError> {
        let Answer::Reply(Reply::Json(body)) = answer else { return Ok(()) };
        let response: ResultShareResponse = serde_json::from_slice(body).map_err(SimError::world)?;
        let key = self.result_key(index)?;
        // Sealed to the key that was lost: the change had not arrived there yet.
        if response.result_key != key.public().0 || self.requesters[index].fetched {
            return Ok(());
        }
        let known = &mut self.requesters[index].shares;
        known.retain(|old| old.share.i != response.share.i);
        known.push(response);
        let Some(id) = self.requesters[index].job else { return Ok(()) };
        let Some((_, manifest)) = self.chain.history.ended(id).result else { return Ok(()) };
        let (epochs, result) = (manifest.actualEpochs, manifest.resultHash);
        let Ok(blob) = self.storage.get(result) else { return Ok(()) };
        let mut source = &blob[..];
        let header = ResultHeader::read_from(&mut source).map_err(SimError::world)?;
        let mut shares: Vec<ResultKeyShare> = Vec::new();
        for known in &self.requesters[index].shares {
            let share = open_result_release(&known.share, &key, &header, &result);
            shares.push(share.map_err(|e| SimError::Violation(format!("a paid share does not open: {e}")))?);
        }
        if shares.len() < usize::from(header.t()) {
            return Ok(());
        }
        let key = combine_result(&header, &shares);
        let key = key.map_err(|e| SimError::Violation(format!("paid shares make no key: {e}")))?;
        let found = adapter(read_result(&key, &header, source).map_err(SimError::world)?)?;
        let text = self.published.as_ref().map(|p| p.text.clone()).unwrap_or_default();
        if found != trainer::adapter(&text, epochs) {
            return SimError::violation("the fetched adapter is not the one compute made");
        }
        self.requesters[index].fetched = true;
        self.say(format!("requester {index}: fetched and opened the result of {epochs} epochs"));
        Ok(())
    }
}

fn adapter<R: std::io::Read>(mut files: licen_seal::tar::TarReader<R>) -> Result<Vec<u8>, SimError> {
    let mut bytes = Vec::new();
    while let Some(entry) = files.next_entry().map_err(SimError::world)? {
        if entry.path == trainer::FILE {
            let mut content = std::io::Read::take(&mut files, entry.len);
            std::io::Read::read_to_end(&mut content, &mut bytes).map_err(SimError::world)?;
        }
    }
    Ok(bytes)
}
