//! A custodian's records in memory, with the promises of `store`: one answer per job, attempt and
//! kind for ever, a nonce used once, a log whose every line hashes the one before. They outlive the
//! custodian's process, as a disk does.

use std::collections::BTreeMap;

use licen_core::primitives::{B256, Bytes};
use licen_core::result_roots::ResultRoots;
use licen_custodian::effect::{Load, Write};
use licen_custodian::event::{Answer, Loaded, Wrote};
use licen_store::{AuditEntry, Heard, HeldResult, Release, ResultKeyRecord, SILENCE};

/// The records.
#[derive(Debug, Default)]
pub(crate) struct Records {
    nonces: BTreeMap<B256, (u64, bool)>,
    releases: BTreeMap<(B256, u32, String), Release>,
    verdict_cases: BTreeMap<(B256, u32, String), Bytes>,
    held: BTreeMap<(B256, u32), (HeldResult, Bytes)>,
    keys: BTreeMap<B256, ResultKeyRecord>,
    heard: BTreeMap<(B256, u32), Heard>,
    ended: BTreeMap<B256, Bytes>,
    log: Vec<AuditEntry>,
}

const SHARE: &str = "share";

impl Records {
    /// Answers a load.
    pub(crate) fn load(&self, load: &Load) -> Answer {
        Answer::Loaded(match load {
            Load::Verdict { job_id, attempt, runtime_data_hash, dataset_uid } => {
                let key = (*job_id, *attempt, verdict_kind(runtime_data_hash));
                let before = attempt.saturating_sub(1);
                Loaded::Verdict {
                    given: self.releases.get(&key).cloned(),
                    tombstone: self.ended.contains_key(dataset_uid),
                    held: self.held.contains_key(&(*job_id, before)),
                    silent: self.silence(*job_id, before).is_some(),
                }
            }
            Load::Release { job_id, attempt, runtime_data_hash, dataset_uid } => {
                let key = (*job_id, *attempt, verdict_kind(runtime_data_hash));
                let given = self.releases.contains_key(&key);
                Loaded::Release {
                    case: self.verdict_cases.get(&key).filter(|_| given).cloned(),
                    made: self.releases.get(&(*job_id, *attempt, SHARE.to_owned())).cloned(),
                    tombstone: self.ended.contains_key(dataset_uid),
                    silent: self.silence(*job_id, *attempt).is_some(),
                }
            }
            Load::Held { job_id, attempt } => {
                let mut of_job = self.held.iter().filter(|((id, _), _)| id == job_id);
                let found = match attempt {
                    Some(attempt) => of_job.find(|((_, a), _)| a == attempt),
                    None => of_job.next_back(),
                };
                Loaded::Held {
                    held: found.map(|(_, (held, _))| held.clone()),
                    case: found.map(|(_, (_, case))| case.clone()),
                    key: self.keys.get(job_id).cloned(),
                    silent: attempt.is_some_and(|attempt| self.silence(*job_id, attempt).is_some()),
                }
            }
            Load::Refusal { dataset_uid } => Loaded::Refusal(self.ended.get(dataset_uid).cloned()),
            Load::Life { job_id, attempt } => Loaded::Life {
                heard: self.heard.get(&(*job_id, *attempt)).copied(),
                silence: self.silence(*job_id, *attempt).cloned(),
                held: self.held.contains_key(&(*job_id, *attempt)),
            },
        })
    }

    /// Carries out a write.
    pub(crate) fn write(&mut self, now_ms: u64, write: &Write) -> Answer {
        let wrote = match write {
            Write::Nonce { nonce, expires_ms } => {
                self.nonces.insert(*nonce, (*expires_ms, false));
                Wrote::Done
            }
            Write::UseNonce { nonce } => {
                let good = self.nonces.get(nonce).is_some_and(|(expires, used)| !used && *expires >= now_ms);
                if let Some((_, used)) = self.nonces.get_mut(nonce) {
                    *used = true;
                }
                Wrote::NonceUsed(good)
            }
            Write::Release { release, case, dataset_uid, record } => {
                if let Some(ended) = dataset_uid.filter(|uid| self.ended.contains_key(uid)) {
                    return Answer::Retired(ended);
                }
                return self.release(now_ms, release, case.as_ref(), record);
            }
            Write::Held { held, case, record } => return self.hold(now_ms, held, case, record),
            Write::Manifest { job_id, attempt, manifest, signature, record } => {
                let Some((held, _)) = self.held.get_mut(&(*job_id, *attempt)) else {
                    return Answer::StoreFailed("no such result is held".into());
                };
                match &held.manifest {
                    Some(known) if known != manifest => {
                        return Answer::Conflict("another manifest is published".into());
                    }
                    Some(_) => {}
                    None => {
                        held.manifest = Some(manifest.clone());
                        held.manifest_signature = Some(signature.clone());
                        self.append(now_ms, record);
                    }
                }
                Wrote::Done
            }
            Write::Alive { job_id, attempt, heard } => {
                let key = (*job_id, *attempt);
                let old = self.heard.get(&key).is_some_and(|known| known.seq >= heard.seq);
                if old || self.silence(*job_id, *attempt).is_some() {
                    return Answer::Conflict("it is old, or the attempt was called silent".into());
                }
                self.heard.insert(key, *heard);
                Wrote::Done
            }
            Write::Silence { silence, record } => {
                if self.held.contains_key(&(silence.job_id, silence.attempt)) {
                    return Answer::Conflict("the result is held".into());
                }
                return self.release(now_ms, silence, None, record);
            }
            Write::Refusal { dataset_uid, statement, record } => {
                Wrote::Refusal(self.refuse(now_ms, *dataset_uid, statement, record))
            }
            Write::ResultKey { change, record } => return self.rekey(now_ms, change, record),
            Write::Denial { record, .. } => {
                self.append(now_ms, record);
                Wrote::Done
            }
        };
        Answer::Wrote(wrote)
    }

    fn rekey(&mut self, now_ms: u64, change: &ResultKeyRecord, record: &Bytes) -> Answer {
        if let Some(last) = self.keys.get(&change.job_id).filter(|last| last.nonce >= change.nonce) {
            let same = last.nonce == change.nonce && last.new_key == change.new_key;
            let conflict = || Answer::Conflict("a later result key is known".into());
            return if same { Answer::Wrote(Wrote::Done) } else { conflict() };
        }
        self.keys.insert(change.job_id, change.clone());
        self.append(now_ms, record);
        Answer::Wrote(Wrote::Done)
    }

    fn refuse(&mut self, now_ms: u64, dataset_uid: B256, statement: &Bytes, record: &Bytes) -> Bytes {
        if let Some(known) = self.ended.get(&dataset_uid) {
            return known.clone();
        }
        self.ended.insert(dataset_uid, statement.clone());
        self.append(now_ms, record);
        statement.clone()
    }

    fn hold(&mut self, now_ms: u64, held: &HeldResult, case: &Bytes, record: &Bytes) -> Answer {
        let key = (held.job_id, held.attempt);
        if let Some((stored, _)) = self.held.get(&key) {
            let same = (stored.contract, stored.roots()) == (held.contract, held.roots());
            if !same {
                return Answer::Conflict("another result is held".into());
            }
            return Answer::Wrote(Wrote::Held(stored.clone()));
        }
        if self.silence(held.job_id, held.attempt).is_some() {
            return Answer::Conflict("the attempt was called silent".into());
        }
        self.held.insert(key, (held.clone(), case.clone()));
        self.append(now_ms, record);
        Answer::Wrote(Wrote::Held(held.clone()))
    }

    fn release(&mut self, now_ms: u64, release: &Release, case: Option<&Bytes>, record: &Bytes) -> Answer {
        let key = (release.job_id, release.attempt, release.kind.clone());
        if let Some(stored) = self.releases.get(&key) {
            if (stored.contract, stored.recipient) != (release.contract, release.recipient) {
                return Answer::Conflict("it was given to another key".into());
            }
            return Answer::Wrote(Wrote::Release(stored.clone()));
        }
        if let Some(case) = case {
            self.verdict_cases.insert(key.clone(), case.clone());
        }
        self.releases.insert(key, release.clone());
        self.append(now_ms, record);
        Answer::Wrote(Wrote::Release(release.clone()))
    }

    /// The statement that an attempt is silent.
    pub(crate) fn silence(&self, job: B256, attempt: u32) -> Option<&Release> {
        self.releases.get(&(job, attempt, SILENCE.to_owned()))
    }

    /// Whether an attempt is both held and called silent here, which must never be.
    pub(crate) fn breaks_its_word(&self) -> bool {
        self.held.keys().any(|(job, attempt)| self.silence(*job, *attempt).is_some())
    }

    /// The published manifest of a job's latest attempt, JSON.
    pub(crate) fn manifest(&self, job: B256) -> Option<Bytes> {
        let of_job = self.held.iter().filter(|((id, _), _)| *id == job);
        of_job.last().and_then(|(_, (held, _))| held.manifest.clone())
    }

    /// What is held for a job's latest attempt.
    pub(crate) fn result_of(&self, job: B256) -> Option<ResultRoots> {
        let of_job = self.held.iter().filter(|((id, _), _)| *id == job);
        of_job.last().map(|(_, (held, _))| held.roots())
    }

    /// Whether this result of a job is held.
    pub(crate) fn holds(&self, job: B256, result: B256) -> bool {
        self.held.iter().any(|((id, _), (held, _))| *id == job && held.result_hash == result)
    }

    /// Whether the log is one unbroken chain.
    pub(crate) fn log_holds(&self) -> bool {
        let mut before = B256::ZERO;
        (1..).zip(&self.log).all(|(seq, entry)| {
            let holds = entry.seq == seq
                && entry.prev == before
                && entry.hash == AuditEntry::hash_of(seq, before, &entry.record);
            before = entry.hash;
            holds
        })
    }

    fn append(&mut self, now_ms: u64, record: &Bytes) {
        let seq = self.log.len() as u64 + 1;
        let prev = self.log.last().map_or(B256::ZERO, |entry| entry.hash);
        let hash = AuditEntry::hash_of(seq, prev, record);
        self.log.push(AuditEntry { seq, prev, hash, record: record.clone(), created_ms: now_ms });
    }
}

fn verdict_kind(runtime_data_hash: &B256) -> String {
    format!("verdict:{runtime_data_hash}")
}
