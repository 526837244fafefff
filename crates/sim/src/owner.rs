//! The owner: makes a dataset, encrypts it, seals its key to the custodians, registers it. The same
//! steps as `licen publish`, over the same `core` and `seal`.

use std::io::Write;

use licen_core::abi::{DataPolicy, Policy, Split};
use licen_core::canonical::json_to_vec;
use licen_core::constraints::Constraints;
use licen_core::id::{account_of, dataset_uid, purpose_id, split_account};
use licen_core::policy::{self, LEVEL_SOFTWARE};
use licen_core::policy_manifest::{Description, Facts, PolicyManifest};
use licen_core::primitives::{B256, keccak256};
use licen_core::sol_types::SolCall;
use licen_seal::envelope::{EnvelopeMember, EnvelopeTerms, MemberPublicKey, Uses, seal_envelope};
use licen_seal::rows::{RowsCommitment, RowsKey, commit};
use licen_seal::stream::{Encryptor, dataset_aad};
use licen_seal::{DatasetKey, Envelope, RecipientPublicKey};

use crate::error::SimError;
use crate::keys::dataset_key;
use crate::scenario::Fault;
use crate::world::{SETTLE_MS, Sent, World};

/// The one purpose here.
pub(crate) const PURPOSE: &str = "RESEARCH";

/// What the owner published.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) policy: Policy,
    pub(crate) envelope: Envelope,
    /// The split behind the payee, where it is one.
    pub(crate) split: Option<Split>,
    /// The plaintext, to compare what compute read.
    pub(crate) text: Vec<u8>,
}

impl World {
    /// Publishes: everything the policy names is stored before the registration is sent.
    pub(crate) fn publish(&mut self) -> Result<(), SimError> {
        let domain = self.chain.domain();
        let owner = self.accounts.owner;
        let salt = self.random.word();
        let uid = dataset_uid(domain.chain_id, owner, salt);
        let key = dataset_key(self.scenario.seed);
        let text = self.rows();
        let mut encryptor =
            Encryptor::new(&key, &dataset_aad(domain.chain_id, &uid), Vec::new()).map_err(SimError::world)?;
        encryptor.write_all(&text).map_err(SimError::world)?;
        let ciphertext = encryptor.finish().map_err(SimError::world)?;
        if key.appears_in(&ciphertext) {
            return SimError::violation("the dataset key stands in the ciphertext");
        }
        let committed = commit(RowsKey::derive(&key, &uid), &text).map_err(SimError::world)?;
        let envelope = self.seal(&key, uid)?;
        let dataset_root = self.storage.put(&ciphertext)?;
        let split = self.scenario.split.map(|bps| Split {
            accounts: vec![account_of(owner), account_of(self.accounts.partner)],
            bps: vec![bps, 10_000 - bps],
            ..Split::default()
        });
        let scenario = &self.scenario;
        let mut policy = Policy {
            datasetUid: uid,
            datasetRoot: dataset_root,
            owner,
            salt,
            version: 1,
            envelopeHash: self.storage.put(&envelope.encode().map_err(SimError::world)?)?,
            payee: split.as_ref().map_or_else(|| account_of(owner), split_account),
            royaltyPerEpoch: scenario.royalty_per_epoch,
            maxEpochsPerRun: 6,
            maxRunsPerRequester: 3,
            startWindow: scenario.start_window,
            runWindow: scenario.run_window,
            policyExpiry: self.policy_expiry(),
            purposes: vec![purpose_id(PURPOSE)],
            constraintsHash: self.put_json(&Constraints::default())?,
            termsHash: self.storage.put(b"Training inside attested compute.")?,
            custodianSet: self.registry.custodian_set,
            setVersion: 1,
            appraisalPolicy: self.registry.appraisal_policy,
            requiredLevel: LEVEL_SOFTWARE,
            operator: self.accounts.orchestrator,
            ..Policy::default()
        };
        policy.manifestHash = self.put_manifest(&policy, &committed)?;
        policy::validate(&policy, domain.chain_id, self.chain.head().time).map_err(SimError::world)?;
        let call = DataPolicy::registerDataset_0Call { policy: policy.clone() }.abi_encode();
        self.published = Some(Published { policy, envelope, split, text });
        self.send(owner, call, Default::default(), Sent::Setup);
        Ok(())
    }

    /// Unix seconds; 0 = never.
    fn policy_expiry(&self) -> u64 {
        let last = self.scenario.jobs.iter().map(|plan| plan.asked_ms).max().unwrap_or_default();
        let first = self.now_seconds() + SETTLE_MS / 1000;
        self.scenario.expires_after.map_or(0, |seconds| first + last / 1000 + seconds)
    }

    fn rows(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        for row in 0..self.scenario.rows {
            let words = self.random.between(1, 60);
            let line = format!("{{\"text\":\"row {row}{}\"}}\n", " word".repeat(words as usize));
            text.extend_from_slice(line.as_bytes());
            if self.random.chance(10) {
                text.push(b'\n');
            }
        }
        text
    }

    fn seal(&self, key: &DatasetKey, uid: B256) -> Result<Envelope, SimError> {
        let terms = EnvelopeTerms {
            chain_id: self.chain.domain().chain_id,
            dataset_uid: uid,
            uses: Uses::Job,
            t: self.scenario.t,
            required_level: LEVEL_SOFTWARE,
            custodian_set: self.registry.custodian_set,
            set_version: 1,
        };
        let member = |c: &crate::custodian::Custodian| EnvelopeMember {
            custodian: c.id,
            pk: MemberPublicKey::Hpke(RecipientPublicKey(c.hpke_key)),
        };
        let members: Vec<EnvelopeMember> = self.pinned().iter().map(member).collect();
        seal_envelope(key, &terms, &members).map_err(SimError::world)
    }

    fn put_manifest(&self, policy: &Policy, committed: &RowsCommitment) -> Result<B256, SimError> {
        // A dishonest or careless owner: one row more than there is.
        let mislabelled = self.scenario.faults.contains(&Fault::DatasetMislabelled);
        let facts = Facts {
            rows_root: committed.rows_root,
            row_count: committed.row_count + u64::from(mislabelled),
            byte_count: committed.byte_count,
            human_text_hash: keccak256("terms"),
            ..Facts::default()
        };
        let about = Description { name: "rows of a seed".into(), ..Description::default() };
        let manifest =
            PolicyManifest::build(&about, facts, committed.byte_count, policy, &[PURPOSE.to_owned()]);
        let bytes = manifest.and_then(|m| m.to_bytes()).map_err(SimError::world)?;
        self.storage.put(&bytes)
    }

    /// Stores a value's canonical JSON.
    pub(crate) fn put_json<T: serde::Serialize>(&self, value: &T) -> Result<B256, SimError> {
        self.storage.put(&json_to_vec(value).map_err(SimError::world)?)
    }

    /// The owner will not serve what is still Granted.
    pub(crate) fn owner_declines(&mut self) {
        for id in self.chain.history.opened.clone() {
            if let Some(job) = self.chain.history.job(id).cloned() {
                let call = DataPolicy::declineJobCall { job }.abi_encode();
                self.send(self.accounts.owner, call, Default::default(), Sent::WayOut);
            }
        }
    }
}
