//! When a share leaves a custodian: the chain must have said so first, and of all parties only the one
//! it is meant for can open it.

use licen_core::job::JobState;
use licen_core::primitives::B256;
use licen_core::wire::custodian::{ResultShareResponse, SealedShare};
use licen_seal::RecipientKey;
use licen_seal::release::open_released;
use licen_seal::result::ResultHeader;
use licen_seal::result_share::open_result_release;
use licen_seal::warrant::{ReleaseDomain, ReleaseTerms};

use crate::custodian;
use crate::error::SimError;
use crate::keys::recipient_key;
use crate::requester;
use crate::world::World;

impl World {
    /// A dataset key's share leaves, for a job that has run with exactly this signer.
    pub(crate) fn dataset_share_leaves(
        &mut self,
        job: B256,
        custodian: usize,
        share: &SealedShare,
    ) -> Result<(), SimError> {
        self.watcher.dataset_shares += 1;
        let name = self.job_name(job);
        let Some(known) = self.chain.history.job_at(job, self.chain.deep().number) else {
            return SimError::violation(format!("{name}: a share left for a job that no deep block knows"));
        };
        if known.attempt == 0 {
            return SimError::violation(format!("{name}: a share left before the job ran at depth"));
        }
        if usize::from(share.i) != custodian + 1 || share.custodian_id != self.custodians[custodian].id {
            return SimError::violation(format!("{name}: custodian {custodian} let another's share go"));
        }
        let Some(published) = &self.published else { return Ok(()) };
        for (who, key) in self.outsiders(&[])? {
            // Whatever terms they claim, the box is not theirs.
            let terms = ReleaseTerms {
                recipient: key.public(),
                runtime_data_hash: known.runtimeDataHash,
                domain: ReleaseDomain::Simulated,
            };
            if open_released(share, &key, &published.envelope, &terms).is_ok() {
                return SimError::violation(format!("{name}: {who} can open a share of the dataset key"));
            }
        }
        Ok(())
    }

    /// A result key's share leaves, for a job that is Completed at depth.
    pub(crate) fn result_share_leaves(
        &mut self,
        job: B256,
        custodian: usize,
        answer: &ResultShareResponse,
    ) -> Result<(), SimError> {
        self.watcher.result_shares += 1;
        let name = self.job_name(job);
        let deep = self.chain.deep();
        if self.chain.job_state(deep, job)?.0 != Some(JobState::Completed) {
            return SimError::violation(format!("{name}: custodian {custodian} let a result go unpaid"));
        }
        let paid = self.chain.history.ended(job).result.map(|(_, manifest)| manifest.resultHash);
        if paid != Some(answer.result_hash) {
            return SimError::violation(format!("{name}: another result left than the one paid for"));
        }
        let Ok(blob) = self.storage.get(answer.result_hash) else { return Ok(()) };
        let header = ResultHeader::read_from(&mut &blob[..]).map_err(SimError::world)?;
        let Some(index) = self.requesters.iter().position(|r| r.job == Some(job)) else { return Ok(()) };
        let own = [requester::name(index), format!("new {}", requester::name(index))];
        for (who, key) in self.outsiders(&own)? {
            if open_result_release(&answer.share, &key, &header, &answer.result_hash).is_ok() {
                return SimError::violation(format!("{name}: {who} can open a share of the result key"));
            }
        }
        Ok(())
    }

    /// Everybody with a key of their own but those in `except`; compute's keys live for one attempt.
    fn outsiders(&self, except: &[String]) -> Result<Vec<(String, RecipientKey)>, SimError> {
        let requesters = (0..self.requesters.len()).map(requester::name);
        let custodians = (0..self.custodians.len()).map(custodian::name);
        let others = ["owner", "orchestrator", "stranger"].map(str::to_owned);
        let all = requesters.chain(custodians).chain(others).filter(|name| !except.contains(name));
        all.map(|name| recipient_key(self.scenario.seed, &name).map(|key| (name, key))).collect()
    }
}
