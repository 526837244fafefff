//! Compute and custodians over HTTP.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use licen_chain::view::CustodianSet;
use licen_core::abi::{Job, MemberSignature};
use licen_core::eip712::Domain;
use licen_core::job::silence_quorum;
use licen_core::primitives::{Address, B256};
use licen_core::wire::compute::{CustodianUrl, Dispatch, TaskStatus};
use licen_core::wire::custodian::{SignedManifest, SilenceRequest, SilenceResponse};
use licen_core::wire::{AbiHex, Problem};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use crate::check;
use crate::config::ComputeUrl;
use crate::effect::AttemptId;
use crate::event::Event;

/// Nobody answers with more.
const MAX_ANSWER: usize = 1 << 20;
const TIMEOUT: Duration = Duration::from_secs(15);
const CONNECT: Duration = Duration::from_secs(3);

/// Who may be asked.
#[derive(Debug)]
pub struct Peers {
    http: Client,
    compute: Vec<ComputeUrl>,
    custodians: HashMap<Address, String>,
    /// Which attempt of which job which compute took last, as far as this process knows.
    chosen: Mutex<HashMap<B256, (u32, usize)>>,
}

enum Answer<T> {
    Yes(T),
    Unknown,
    No(String),
}

impl Peers {
    /// # Errors
    /// [`ComputeUrl::check`]; no HTTP client can be made on this machine.
    pub fn new(compute: Vec<ComputeUrl>, custodians: &[CustodianUrl]) -> Result<Self, String> {
        ComputeUrl::check(&compute)?;
        // A redirect would let a peer choose whom a job goes to next.
        let http =
            Client::builder().timeout(TIMEOUT).connect_timeout(CONNECT).redirect(Policy::none()).build();
        Ok(Self {
            http: http.map_err(|e| e.to_string())?,
            compute,
            custodians: custodians.iter().map(|c| (c.id, c.url.trim_end_matches('/').to_string())).collect(),
            chosen: Mutex::default(),
        })
    }

    /// Where a member listens.
    #[must_use]
    pub fn custodian(&self, id: Address) -> Option<CustodianUrl> {
        self.custodians.get(&id).map(|url| CustodianUrl { id, url: url.clone() })
    }

    /// The compute nodes that may take a job, in an order of its own.
    fn candidates(&self, job: &Job) -> Vec<usize> {
        let fits = |index: &usize| self.compute[*index].serves(job.providerId);
        let mut fitting: Vec<usize> = (0..self.compute.len()).filter(fits).collect();
        if !fitting.is_empty() {
            let spread = usize::from(job.jobId[31]) % fitting.len();
            fitting.rotate_left(spread);
        }
        fitting
    }

    /// Whom to offer an attempt. A Running one goes to the compute that made its keys; one that is to begin
    /// goes last to the compute that had the job before, or one that takes all and trains none would get all.
    fn offered(&self, id: AttemptId, job: &Job) -> Vec<usize> {
        let mut order = self.candidates(job);
        if let Some((_, had)) = self.chosen().get(&job.jobId).copied() {
            let runs = job.attempt == id.attempt;
            order.sort_by_key(|index| (*index == had) != runs);
        }
        order
    }

    /// Whom to ask about an attempt: only the compute that took it, where this process knows which. What
    /// another says of it could keep a dead attempt alive.
    fn asked(&self, id: AttemptId, job: &Job) -> Vec<usize> {
        match self.chosen().get(&job.jobId).copied() {
            Some((attempt, had)) if attempt == id.attempt => vec![had],
            _ => self.candidates(job),
        }
    }

    fn chosen(&self) -> std::sync::MutexGuard<'_, HashMap<B256, (u32, usize)>> {
        self.chosen.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Nothing is asked about this job any more.
    pub fn forget(&self, job_id: B256) {
        self.chosen().remove(&job_id);
    }

    fn task_url(&self, index: usize, job_id: B256, attempt: u32) -> String {
        format!("{}/v1/jobs/{job_id}/{attempt}", self.compute[index].url.trim_end_matches('/'))
    }

    /// Gives the job to the first compute that takes it. A Running job is taken only by the one that
    /// made its keys; the others refuse it.
    pub async fn dispatch(&self, id: AttemptId, dispatch: &Dispatch) -> Event {
        let job = &dispatch.job.0;
        let Ok(body) = serde_json::to_vec(dispatch) else {
            return Event::DispatchFailed(id, "the job cannot be encoded".into());
        };
        let mut why = "no compute is configured for this provider".to_string();
        for index in self.offered(id, job) {
            let url = self.task_url(index, job.jobId, id.attempt);
            let request = self.http.put(url).header("content-type", "application/json").body(body.clone());
            match answered(request.send().await).await {
                Ok(response) if response.status().is_success() => {
                    self.chosen().insert(job.jobId, (id.attempt, index));
                    return Event::Accepted(id);
                }
                Ok(response) => why = format!("compute refuses: {}", problem(response).await),
                Err(error) => why = format!("compute: {error}"),
            }
        }
        Event::DispatchFailed(id, why)
    }

    /// What compute says about the task.
    pub async fn status(&self, id: AttemptId, job: &Job) -> Event {
        let mut why = None;
        for index in self.asked(id, job) {
            let url = self.task_url(index, job.jobId, id.attempt);
            match get::<TaskStatus>(&self.http, url).await {
                Answer::Yes(status) => {
                    self.chosen().insert(job.jobId, (id.attempt, index));
                    return Event::Status(id, Box::new(status));
                }
                Answer::Unknown => {}
                Answer::No(error) => why = Some(format!("compute: {error}")),
            }
        }
        why.map_or(Event::TaskUnknown(id), |why| Event::StatusFailed(id, why))
    }

    /// The manifest, from whichever member of the set has published a right one.
    pub async fn manifest(&self, domain: Domain, id: AttemptId, job: &Job, members: &[Address]) -> Event {
        let mut asked = JoinSet::new();
        let mut missing = Vec::new();
        for member in members {
            let Some(base) = self.custodians.get(member) else { continue };
            let (http, url) = (self.http.clone(), format!("{base}/v1/manifest/{}", job.jobId));
            let member = *member;
            asked.spawn(async move { (member, get::<SignedManifest>(&http, url).await) });
        }
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok((_, Answer::Yes(signed))) if check::manifest(&domain, job, &signed).is_some() => {
                    return Event::Manifest(id, Box::new(signed));
                }
                Ok((member, Answer::Yes(_))) => missing.push(format!("{member} publishes a wrong manifest")),
                Ok((_, Answer::Unknown)) | Err(_) => {}
                Ok((member, Answer::No(error))) => missing.push(format!("{member}: {error}")),
            }
        }
        missing.sort();
        Event::NoManifest(id, missing.join("; "))
    }
}

impl Peers {
    /// Statements of silence about the running attempt, where enough members make one.
    pub async fn silence(&self, domain: Domain, id: AttemptId, job: &Job, set: &CustodianSet) -> Event {
        let request = SilenceRequest { contract: domain.contract, job: AbiHex(job.clone()) };
        let Ok(body) = serde_json::to_vec(&request) else {
            return Event::NotSilent(id);
        };
        let mut asked = JoinSet::new();
        for (index, member) in (0u16..).zip(&set.members) {
            let Some(base) = self.custodians.get(&member.signer) else { continue };
            let url = format!("{base}/v1/silence/{}", job.jobId);
            let request = self.http.post(url).header("content-type", "application/json").body(body.clone());
            let signer = member.signer;
            asked.spawn(async move {
                let said = read::<SilenceResponse>(answered(request.send().await).await).await;
                let Answer::Yes(SilenceResponse { silence, signature }) = said else { return None };
                Some((index, signer, silence.0, signature.0))
            });
        }
        let mut silences: Vec<MemberSignature> = Vec::new();
        while let Some(said) = asked.join_next().await {
            let Ok(Some((index, signer, silence, signature))) = said else { continue };
            let fits = silence == check::silence(job) && signature.index == index;
            if fits && domain.member_of(&silence, &signature) == Some(signer) {
                silences.push(signature);
            }
        }
        silences.sort_by_key(|signature| signature.index);
        if silences.len() < silence_quorum(usize::from(set.t), set.members.len()) {
            return Event::NotSilent(id);
        }
        Event::Silent(id, silences)
    }
}

async fn answered(result: Result<Response, reqwest::Error>) -> Result<Response, String> {
    // The URL names the job and says nothing new; the reason is in the sources.
    result.map_err(|error| {
        let error = error.without_url();
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(inner) = source {
            text = inner.to_string();
            source = inner.source();
        }
        text
    })
}

async fn get<T: DeserializeOwned>(http: &Client, url: String) -> Answer<T> {
    read(answered(http.get(url).send().await).await).await
}

async fn read<T: DeserializeOwned>(response: Result<Response, String>) -> Answer<T> {
    let response = match response {
        Ok(response) => response,
        Err(error) => return Answer::No(error),
    };
    if response.status() == StatusCode::NOT_FOUND {
        return Answer::Unknown;
    }
    if !response.status().is_success() {
        return Answer::No(problem(response).await);
    }
    match body(response).await.map(|bytes| serde_json::from_slice(&bytes)) {
        Ok(Ok(value)) => Answer::Yes(value),
        Ok(Err(_)) => Answer::No("the answer is not what the protocol says".into()),
        Err(error) => Answer::No(error),
    }
}

async fn body(mut response: Response) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| e.without_url().to_string())? {
        if bytes.len() + chunk.len() > MAX_ANSWER {
            return Err("the answer is too long".into());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

async fn problem(response: Response) -> String {
    let status = response.status();
    let parsed = body(response).await.ok().and_then(|b| serde_json::from_slice::<Problem>(&b).ok());
    parsed.map_or_else(|| format!("HTTP {}", status.as_u16()), |p| p.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_names_a_provider_goes_to_no_other() {
        let provider = B256::repeat_byte(7);
        let at = |port: u16, provider_id| ComputeUrl { url: format!("http://127.0.0.1:{port}"), provider_id };
        let known = [Some(provider), Some(B256::repeat_byte(8)), Some(provider)];
        let peers = Peers::new((1..).zip(known).map(|(port, id)| at(port, id)).collect(), &[]).unwrap();
        let named = Job { providerId: provider, ..Job::default() };
        let mut asked = peers.candidates(&named);
        asked.sort_unstable();
        assert_eq!(asked, [0, 2], "its own machines");
        assert!(Peers::new(vec![at(1, Some(provider)), at(2, None)], &[]).is_err(), "it would get all jobs");
        let alone = Peers::new(vec![at(1, None)], &[]).unwrap();
        assert_eq!(alone.candidates(&named), [0], "compute refuses what names another");
        assert_eq!(peers.candidates(&Job::default()).len(), 3);
    }

    #[test]
    fn an_attempt_that_was_lost_is_offered_elsewhere_and_only_its_compute_is_asked() {
        let named = |n: u8| ComputeUrl {
            url: format!("http://127.0.0.1:{n}"),
            provider_id: Some(B256::repeat_byte(n)),
        };
        let peers = Peers::new(vec![named(1), named(2), named(3)], &[]).unwrap();
        let granted = Job { jobId: B256::repeat_byte(1), ..Job::default() };
        let running = Job { attempt: 1, ..granted.clone() };
        let first = AttemptId { commitment: B256::ZERO, attempt: 1 };
        let second = AttemptId { attempt: 2, ..first };
        assert_eq!(peers.asked(first, &running).len(), 3, "nobody knows yet who has it");
        let took = peers.offered(first, &granted)[0];
        peers.chosen().insert(granted.jobId, (1, took));
        assert_eq!(peers.offered(first, &running)[0], took, "only it has the keys");
        assert_eq!(peers.asked(first, &running), [took], "no other can say that it trains");
        assert_eq!(peers.offered(first, &granted)[2], took, "it was asked before and did not begin");
        assert_eq!(peers.offered(second, &running)[2], took, "it lost the attempt before");
        assert_eq!(peers.asked(second, &running).len(), 3);
    }
}
