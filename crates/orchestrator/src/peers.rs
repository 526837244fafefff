//! Compute and custodians over HTTP.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use licen_chain::view::CustodianSet;
use licen_core::abi::{Job, MemberSignature};
use licen_core::eip712::Domain;
use licen_core::job::silence_quorum;
use licen_core::primitives::{Address, B256};
use licen_core::wire::AbiHex;
use licen_core::wire::compute::{CustodianUrl, Dispatch};
use licen_core::wire::custodian::{SilenceRequest, SilenceResponse};
use licen_peers::{CallError, Compute, Custodian, Http, StatusCode, Timeouts, Why};
use tokio::task::JoinSet;

use crate::check;
use crate::config::ComputeUrl;
use crate::effect::AttemptId;
use crate::event::Event;

const TIMEOUTS: Timeouts =
    Timeouts { connect: Duration::from_secs(3), idle: None, whole: Some(Duration::from_secs(15)) };

/// Who may be asked.
#[derive(Debug)]
pub struct Peers {
    http: Http,
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
        Ok(Self {
            http: Http::new(TIMEOUTS).map_err(|e| e.to_string())?,
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

    fn compute(&self, index: usize) -> Result<Compute, CallError> {
        Compute::new(&self.http, &self.compute[index].url)
    }

    /// Gives the job to the first compute that takes it. A Running job is taken only by the one that
    /// made its keys; the others refuse it.
    pub async fn dispatch(&self, id: AttemptId, dispatch: &Dispatch) -> Event {
        let job = &dispatch.job.0;
        let mut why = "no compute is configured for this provider".to_string();
        for index in self.offered(id, job) {
            let given = async { self.compute(index)?.dispatch(id.attempt, dispatch).await };
            match given.await {
                Ok(()) => {
                    self.chosen().insert(job.jobId, (id.attempt, index));
                    return Event::Accepted(id);
                }
                Err(error) if error.status().is_some() => why = format!("compute refuses: {}", said(&error)),
                Err(error) => why = format!("compute: {}", said(&error)),
            }
        }
        Event::DispatchFailed(id, why)
    }

    /// What compute says about the task.
    pub async fn status(&self, id: AttemptId, job: &Job) -> Event {
        let mut why = None;
        for index in self.asked(id, job) {
            let asked = async { self.compute(index)?.status(job.jobId, id.attempt).await };
            match asked.await.into() {
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
            let custodian = Custodian::new(&self.http, base);
            let (member, job_id) = (*member, job.jobId);
            asked.spawn(async move {
                let published = async { custodian?.manifest(job_id).await };
                (member, Answer::from(published.await))
            });
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
        let mut asked = JoinSet::new();
        for (index, member) in (0u16..).zip(&set.members) {
            let Some(base) = self.custodians.get(&member.signer) else { continue };
            let Ok(custodian) = Custodian::new(&self.http, base) else { continue };
            let (signer, job_id, request) = (member.signer, job.jobId, request.clone());
            asked.spawn(async move {
                let said = custodian.silence(job_id, &request).await;
                let Ok(SilenceResponse { silence, signature }) = said else { return None };
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

impl<T> From<Result<T, CallError>> for Answer<T> {
    fn from(result: Result<T, CallError>) -> Self {
        match result {
            Ok(value) => Self::Yes(value),
            Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Self::Unknown,
            Err(error) => Self::No(said(&error)),
        }
    }
}

/// Why there is no answer, without the address: it names the job and says nothing new.
fn said(error: &CallError) -> String {
    match &error.why {
        Why::Refused { status, problem: None } => format!("HTTP {}", status.as_u16()),
        Why::Cut { status, .. } | Why::TooLarge { status, .. } if !status.is_success() => {
            format!("HTTP {}", status.as_u16())
        }
        Why::Unreachable(_) | Why::Late(_) | Why::Broken(_) | Why::Address(_) => error.root(),
        Why::Request(_) | Why::Refused { .. } | Why::Unreadable(_) => error.to_string(),
        Why::Cut { .. } | Why::TooLarge { .. } => error.to_string(),
    }
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
