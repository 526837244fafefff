//! A genuine bundle, changed in every place: each change breaks the link that it is in.

use std::ops::Range;

use licen_attest::{ReferenceValues, SimulatedPlatform, SimulatedTee, select};
use licen_chain::WalletKey;
use licen_core::canonical::{json_from_slice, json_to_vec};
use licen_core::eip712::compact;
use licen_core::id::job_hash;
use licen_core::merkle::file_tree;
use licen_core::policy::{LEVEL_SOFTWARE, LOCAL_CHAIN_ID};
use licen_core::primitives::{Address, FixedBytes};
use licen_core::runtime_data::{Challenge, LABEL_SIMULATED};
use licen_core::wire::AbiHex;

use super::*;

const STARTED: u64 = 1_800_000_000;
/// Steps through what costs an appraisal each: prime, so that every column of a line of text is met.
const STRIDE: usize = 23;
/// Fields of a bundle, in the order of canonical JSON.
const FIELDS: [&str; 7] =
    ["collateral", "entry", "evidence", "recordedAt", "runtimeData", "signatures", "verdicts"];

/// A started job as the chain has it, the bundle of its start, and the reference values.
struct World {
    domain: Domain,
    job: Job,
    keys: Vec<WalletKey>,
    bundle: EvidenceBundle,
    values: Vec<u8>,
}

impl World {
    fn new() -> Self {
        let domain = Domain { chain_id: LOCAL_CHAIN_ID, contract: Address::repeat_byte(9) };
        let granted = Job {
            jobId: B256::repeat_byte(5),
            epochs: 3,
            custodianSet: B256::repeat_byte(6),
            setVersion: 1,
            appraisalPolicy: B256::repeat_byte(7),
            requiredLevel: LEVEL_SOFTWARE,
            ..Job::default()
        };
        let signer = Address::repeat_byte(2);
        let data = runtime_data_of(&domain, &granted, signer).to_bytes().unwrap();
        let hash = runtime_data::hash(&data);
        let job = Job { attempt: 1, signer, runtimeDataHash: hash, runDeadline: STARTED + 600, ..granted };
        let tee = SimulatedTee::pretend(FixedBytes::repeat_byte(0x11), SimulatedPlatform::Default);
        let values = ReferenceValues::simulated("test", vec![tee.measurement()]).to_bytes().unwrap();
        let evidence = tee.evidence_for(&hash, signer).unwrap();
        let bundle = EvidenceBundle {
            collateral: select(&evidence, []).unwrap().to_bytes().unwrap().into(),
            evidence,
            runtime_data: data.into(),
            verdicts: Vec::new(),
            signatures: Vec::new(),
            recorded_at: STARTED - 20,
            entry: ReferenceEntry::from_bytes(&values).unwrap().root(),
        };
        let keys = (1..=3).map(|i| WalletKey::import(&mut [i; 32]).unwrap()).collect();
        let mut world = Self { domain, job, keys, bundle, values };
        for index in [0, 2] {
            world.judge(index, &world.verdict());
        }
        world
    }

    fn verdict(&self) -> Verdict {
        Verdict {
            jobId: self.job.jobId,
            attempt: self.job.attempt,
            signer: self.job.signer,
            runtimeDataHash: self.job.runtimeDataHash,
            providerId: self.job.providerId,
            level: LEVEL_SOFTWARE,
            appraisalPolicy: self.job.appraisalPolicy,
            custodianSet: self.job.custodianSet,
            setVersion: self.job.setVersion,
            expiresAt: STARTED + 880,
        }
    }

    /// Adds a custodian's verdict to the bundle.
    fn judge(&mut self, index: u16, verdict: &Verdict) {
        let signature = self.keys[usize::from(index)].sign_digest(&self.domain.digest(verdict));
        self.bundle.verdicts.push(AbiHex(verdict.clone()));
        self.bundle.signatures.push(AbiHex(compact(index, &signature).unwrap()));
    }

    fn set(&self, id: B256, version: u32, needed: usize) -> Set {
        let member = |key: &WalletKey| Member { signer: key.address(), hpkeKey: B256::ZERO };
        Set { id, version, needed, members: self.keys.iter().map(member).collect() }
    }

    fn facts(&self) -> Facts<'_> {
        let sets = vec![self.set(self.job.custodianSet, self.job.setVersion, 2)];
        Facts { domain: self.domain, job: &self.job, started: STARTED, sets }
    }

    /// The first link that is broken in a bundle whose root is the one on chain: what somebody could do
    /// who writes the bundle, not what somebody who changes a stored one can.
    fn broken(&self, bundle: &EvidenceBundle) -> Option<&'static str> {
        let facts = self.facts();
        let first = links(bundle, &facts).into_iter().find(|(_, found)| found.is_err());
        if let Some((name, _)) = first {
            return Some(name);
        }
        if bundle.entry != self.bundle.entry {
            return Some("appraisal policy");
        }
        appraised(bundle, &facts, &self.values).is_err().then_some("evidence")
    }

    fn broken_bytes(&self, bytes: &[u8]) -> Option<&'static str> {
        json_from_slice(bytes).map_or(Some("evidence"), |bundle| self.broken(&bundle))
    }
}

fn runtime_data_of(domain: &Domain, job: &Job, signer: Address) -> RuntimeData {
    RuntimeData {
        label: LABEL_SIMULATED.into(),
        level: LEVEL_SOFTWARE,
        chain_id: domain.chain_id,
        contract: domain.contract,
        job_id: job.jobId,
        job_hash: job_hash(job),
        attempt: 1,
        dataset_uid: job.datasetUid,
        dataset_root: job.datasetRoot,
        policy_hash: job.policyHash,
        envelope_hash: job.envelopeHash,
        job_spec_hash: job.jobSpecHash,
        provider_id: job.providerId,
        hpke_key: B256::repeat_byte(1),
        signer,
        tee_type: "simulated".into(),
        sandboxed: true,
        challenges: vec![Challenge { custodian_id: Address::repeat_byte(3), nonce: B256::repeat_byte(4) }],
    }
}

/// Where the value of a field lies.
fn range(bytes: &[u8], field: &str) -> Range<usize> {
    let find = |name: &str| {
        let key = format!("\"{name}\":").into_bytes();
        bytes.windows(key.len()).position(|w| w == key).unwrap() + key.len()
    };
    let next = FIELDS.iter().skip_while(|name| **name != field).nth(1);
    find(field)..next.map_or(bytes.len() - 1, |name| find(name) - name.len() - ",\"\":".len())
}

/// Where certificates lie inside bytes that are written as hex.
fn certificates(value: &[u8]) -> Vec<Range<usize>> {
    let all = |text: &str| -> Vec<usize> {
        let digits = licen_core::primitives::hex::encode(text).into_bytes();
        (0..value.len()).filter(|at| value[*at..].starts_with(&digits)).collect()
    };
    let (begins, ends) = (all("-----BEGIN CERTIFICATE-----"), all("-----END CERTIFICATE-----"));
    assert_eq!(begins.len(), ends.len());
    // With the line's end behind it, as two digits, or as the four of an escape in JSON.
    let behind = 2 * "-----END CERTIFICATE-----".len() + 4;
    begins.iter().zip(&ends).map(|(begin, end)| *begin..*end + behind).collect()
}

#[test]
fn a_genuine_bundle_holds() {
    let world = World::new();
    assert_eq!(world.broken(&world.bundle), None);
    let said = links(&world.bundle, &world.facts()).map(|(name, found)| (name, found.unwrap()));
    assert_eq!(said[3], ("verdicts", "2 of 3 custodians, 2 needed".to_string()));
    let values = appraised(&world.bundle, &world.facts(), &world.values).unwrap();
    assert_eq!(values, format!("appraised at its time {}: level 1", STARTED - 20));
}

#[test]
fn a_changed_byte_anywhere_breaks_the_root_and_then_the_link_it_is_in() {
    let world = World::new();
    let bytes = json_to_vec(&world.bundle).unwrap();
    assert_eq!(world.broken_bytes(&bytes), None);
    let root = file_tree(&bytes).unwrap().root;
    for field in FIELDS {
        let range = range(&bytes, field);
        let costly = matches!(field, "evidence" | "collateral");
        let certificates = certificates(&bytes[range.clone()]);
        let mut tried = 0;
        for at in range.clone().step_by(if costly { STRIDE } else { 1 }) {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_ne!(file_tree(&changed).unwrap().root, root, "{field}, byte {at}");
            tried += 1;
            let Some(broken) = world.broken_bytes(&changed) else {
                // What nobody signed is caught by the root alone: ends of lines in certificates, copies
                // of the root certificate, chains that nobody reads, and seconds within the tolerance.
                let unsigned = certificates.iter().any(|text| text.contains(&(at - range.start)));
                assert!(unsigned || field == "recordedAt", "{field}, byte {at} breaks no link");
                continue;
            };
            // What is no bundle any more cannot be looked into.
            let readable = json_from_slice::<EvidenceBundle>(&changed).is_ok();
            let expected: &[&str] = match (readable, field) {
                (false, _) | (true, "evidence" | "collateral") => &["evidence"],
                (true, "runtimeData") => &["runtime data"],
                (true, "recordedAt") => &["recorded at", "evidence"],
                (true, "entry") => &["appraisal policy"],
                (true, _) => &["verdicts"],
            };
            assert!(expected.contains(&broken), "{field}, byte {at}: {broken}");
        }
        assert!(tried > 8, "{field}: {tried} bytes");
    }
}

#[test]
fn evidence_of_another_time_is_not_of_this_start() {
    let started = 1_000_000;
    assert!(recorded(started, started).is_ok() && recorded(started - 900, started).is_ok());
    for at in [started - VERDICT_SECONDS - SKEW_SECONDS - 1, started + SKEW_SECONDS + 1, 0] {
        assert!(recorded(at, started).is_err(), "{at}");
    }
}

#[test]
fn a_verdict_about_anything_else_breaks_the_verdicts_though_its_custodian_signed_it() {
    type Change = fn(&mut Verdict);
    let changes: [Change; 11] = [
        |v| v.jobId = B256::repeat_byte(1),
        |v| v.attempt = 2,
        |v| v.signer = Address::repeat_byte(1),
        |v| v.runtimeDataHash = B256::repeat_byte(1),
        |v| v.providerId = B256::repeat_byte(1),
        |v| v.custodianSet = B256::repeat_byte(1),
        |v| v.setVersion = 2,
        |v| v.appraisalPolicy = B256::repeat_byte(1),
        |v| v.level = 0,
        |v| v.expiresAt = STARTED - 1,
        |v| v.expiresAt = STARTED + VERDICT_SECONDS + 1,
    ];
    let mut world = World::new();
    world.job.providerId = B256::repeat_byte(8);
    let good = world.verdict();
    let with = |world: &mut World, verdict: &Verdict| {
        (world.bundle.verdicts, world.bundle.signatures) = (Vec::new(), Vec::new());
        world.judge(0, verdict);
        // One that is good beside it must not hide it, nor two.
        world.judge(1, &good);
        world.judge(2, &good);
        verdicts(&world.bundle, &world.facts())
    };
    assert_eq!(with(&mut world, &good).unwrap(), "3 of 3 custodians, 2 needed");
    for (number, change) in changes.iter().enumerate() {
        let mut verdict = good.clone();
        change(&mut verdict);
        assert_ne!(verdict, good, "change {number} changed nothing");
        let said = with(&mut world, &verdict);
        assert_eq!(said.unwrap_err(), "verdict 1 of 3 is not about this start", "change {number}");
    }
}

#[test]
fn verdicts_of_strangers_of_one_twice_and_without_signature_do_not_count() {
    let mut world = World::new();
    let verdict = world.verdict();
    world.judge(2, &verdict);
    let said = verdicts(&world.bundle, &world.facts()).unwrap_err();
    assert_eq!(said, "verdict 3 of 3 is of a custodian that has spoken already");
    world.bundle.signatures[2].0.index = 1;
    let said = verdicts(&world.bundle, &world.facts()).unwrap_err();
    assert_eq!(said, "verdict 3 of 3 is not signed by its custodian");
    world.bundle.signatures.pop();
    let said = verdicts(&world.bundle, &world.facts()).unwrap_err();
    assert_eq!(said, "3 verdicts, but 2 signatures");
    world.bundle.verdicts.truncate(1);
    world.bundle.signatures.truncate(1);
    let said = verdicts(&world.bundle, &world.facts()).unwrap_err();
    assert_eq!(said, "only 1 of 2 needed are about this start");
}

#[test]
fn the_requesters_own_custodians_have_to_be_among_the_verdicts() {
    let mut world = World::new();
    let own = B256::repeat_byte(0xaa);
    let said = |world: &World| {
        let mut facts = world.facts();
        facts.sets.push(world.set(own, 3, 1));
        verdicts(&world.bundle, &facts)
    };
    assert_eq!(said(&world).unwrap_err(), "only 0 of 1 needed are about this start");
    let verdict = Verdict { custodianSet: own, setVersion: 3, ..world.verdict() };
    world.judge(1, &verdict);
    let both = "2 of 3 custodians, 2 needed; of the requester's own 1 of 3 custodians, 1 needed";
    assert_eq!(said(&world).unwrap(), both);
    assert!(verdicts(&world.bundle, &world.facts()).is_err(), "a set that the job does not name");
}
