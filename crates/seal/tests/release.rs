//! A dataset key's walk: owner, custodians, warrant, compute.

use licen_core::abi::Job;
use licen_core::eip712::Domain;
use licen_core::fault::{Fault, Party};
use licen_core::id::dataset_uid;
use licen_core::primitives::{Address, B256};
use licen_core::release::{AttestationResult, ConfirmedRun};
use licen_core::wire::custodian::SealedShare;
use licen_seal::envelope::{EnvelopeMember, EnvelopeTerms, MemberPublicKey, Uses, open_share, seal_envelope};
use licen_seal::error::SealedBox;
use licen_seal::release::{combine, open_released, reseal};
use licen_seal::warrant::{ReleaseDomain, ReleaseTerms};
use licen_seal::{DatasetKey, Envelope, KeyShare, RecipientKey, SealError, Warrant, WarrantError};

const HASH: B256 = B256::repeat_byte(0x55);
const SIGNER: Address = Address::repeat_byte(0x5a);

struct World {
    custodians: Vec<RecipientKey>,
    compute: RecipientKey,
    envelope: Envelope,
    dek_commit: B256,
}

fn domain() -> Domain {
    Domain { chain_id: 31337, contract: Address::repeat_byte(0x11) }
}

fn terms() -> EnvelopeTerms {
    EnvelopeTerms {
        chain_id: domain().chain_id,
        dataset_uid: B256::repeat_byte(0x22),
        uses: Uses::Job,
        t: 2,
        required_level: 1,
        custodian_set: B256::repeat_byte(0x33),
        set_version: 7,
    }
}

fn world_with(terms: &EnvelopeTerms) -> World {
    let custodians: Vec<_> = (1..=3).map(|i| RecipientKey::import(&mut [i; 32]).ok().unwrap()).collect();
    let members: Vec<_> = (0x41..)
        .zip(&custodians)
        .map(|(byte, key)| EnvelopeMember {
            custodian: Address::repeat_byte(byte),
            pk: MemberPublicKey::Hpke(key.public()),
        })
        .collect();
    let key = DatasetKey::generate().ok().unwrap();
    World {
        envelope: seal_envelope(&key, terms, &members).unwrap(),
        custodians,
        compute: RecipientKey::generate().ok().unwrap(),
        dek_commit: key.commitment(&terms.dataset_uid),
    }
}

fn world() -> World {
    world_with(&terms())
}

fn job() -> Job {
    Job {
        jobId: B256::repeat_byte(0x66),
        datasetUid: terms().dataset_uid,
        custodianSet: terms().custodian_set,
        setVersion: 7,
        requiredLevel: 1,
        attempt: 1,
        signer: SIGNER,
        runtimeDataHash: HASH,
        runDeadline: 1000,
        ..Job::default()
    }
}

fn run(job: Job) -> ConfirmedRun {
    ConfirmedRun::from_chain(domain(), job, 10, 500)
}

impl World {
    fn evidence(&self, level: u8) -> AttestationResult {
        AttestationResult::from_appraisal(HASH, SIGNER, self.compute.public().0, level, B256::ZERO)
    }

    fn warrant(&self) -> Warrant {
        Warrant::compute(&run(job()), &self.evidence(1)).unwrap()
    }

    fn share(&self, index: u8) -> KeyShare {
        open_share(&self.envelope, &self.custodians[usize::from(index) - 1], index).ok().unwrap()
    }

    fn release_terms(&self) -> ReleaseTerms {
        let domain = ReleaseDomain::Simulated;
        ReleaseTerms { recipient: self.compute.public(), runtime_data_hash: HASH, domain }
    }

    fn open(&self, sealed: &SealedShare) -> Result<KeyShare, SealError> {
        open_released(sealed, &self.compute, &self.envelope, &self.release_terms())
    }
}

#[test]
fn any_two_custodians_give_compute_the_key() {
    let world = world();
    assert_eq!(*world.warrant().release(), world.release_terms());
    for pair in [[1, 2], [1, 3], [3, 2]] {
        let shares =
            pair.map(|i| world.open(&reseal(&world.share(i), &world.warrant()).unwrap()).ok().unwrap());
        let key = combine(&world.envelope, &shares).ok().unwrap();
        assert_eq!(key.commitment(&terms().dataset_uid), world.dek_commit);
    }
}

#[test]
fn a_warrant_needs_chain_and_evidence_to_agree() {
    let world = world();
    let refused = |job: Job, evidence: &AttestationResult| Warrant::compute(&run(job), evidence).unwrap_err();
    let good = world.evidence(1);
    for job in [
        Job { attempt: 0, ..job() },
        Job { signer: Address::ZERO, ..job() },
        Job { runtimeDataHash: B256::ZERO, ..job() },
    ] {
        assert_eq!(refused(job, &good), WarrantError::NotRunning);
    }
    let other_signer = Job { signer: Address::repeat_byte(1), ..job() };
    assert_eq!(refused(other_signer, &good), WarrantError::Mismatch("signer"));
    let other_attempt = Job { attempt: 2, runtimeDataHash: B256::repeat_byte(1), ..job() };
    assert_eq!(refused(other_attempt, &good), WarrantError::Mismatch("runtime data hash"));
    let late = Job { runDeadline: 499, ..job() };
    assert_eq!(refused(late, &good), WarrantError::Late { deadline: 499, now: 500 });
    let hardware = Job { requiredLevel: 2, ..job() };
    assert_eq!(refused(hardware, &good), WarrantError::Level { found: 1, required: 2 });
    for level in [0, 3, 255] {
        assert_eq!(refused(job(), &world.evidence(level)), WarrantError::Level { found: level, required: 1 });
    }
    let unknown = Job { requiredLevel: 0, ..job() };
    assert_eq!(refused(unknown, &good), WarrantError::Level { found: 1, required: 0 });
    let no_key = AttestationResult::from_appraisal(HASH, SIGNER, B256::ZERO, 1, B256::ZERO);
    assert_eq!(refused(job(), &no_key), WarrantError::NoRecipient);
    assert_eq!(refused(job(), &no_key).fault(), Party::Requester);
}

#[test]
fn simulated_evidence_counts_on_the_local_chain_only() {
    let world = world();
    for chain_id in [1, 16602, 16661] {
        let elsewhere = Domain { chain_id, ..domain() };
        let run = ConfirmedRun::from_chain(elsewhere, job(), 10, 500);
        assert_eq!(Warrant::compute(&run, &world.evidence(1)), Err(WarrantError::Simulated(chain_id)));
        assert!(Warrant::compute(&run, &world.evidence(2)).is_ok());
    }
}

#[test]
fn a_simulated_release_opens_nowhere_as_a_real_one() {
    let world = world();
    let sealed = reseal(&world.share(1), &world.warrant()).unwrap();
    let real = ReleaseTerms { domain: ReleaseDomain::Production, ..world.release_terms() };
    let opened = open_released(&sealed, &world.compute, &world.envelope, &real);
    assert!(matches!(opened, Err(SealError::Open(SealedBox::ReleasedShare))));
    let hardware = Warrant::compute(&run(job()), &world.evidence(2)).unwrap();
    let sealed = reseal(&world.share(1), &hardware).unwrap();
    assert!(open_released(&sealed, &world.compute, &world.envelope, &real).is_ok());
    assert!(world.open(&sealed).is_err());
}

#[test]
fn a_warrant_covers_one_dataset_set_and_use() {
    let warrant = world().warrant();
    for (changed, what) in [
        (EnvelopeTerms { dataset_uid: B256::ZERO, ..terms() }, "dataset"),
        (EnvelopeTerms { uses: Uses::Download, ..terms() }, "use"),
        (EnvelopeTerms { custodian_set: B256::ZERO, ..terms() }, "custodian set"),
        (EnvelopeTerms { set_version: 6, ..terms() }, "custodian set version"),
        (EnvelopeTerms { required_level: 2, ..terms() }, "attestation level"),
        (EnvelopeTerms { chain_id: 1, ..terms() }, "chain"),
    ] {
        let error = reseal(&world_with(&changed).share(1), &warrant).unwrap_err();
        assert!(matches!(error, SealError::NotWarranted(found) if found == what), "{error}");
    }
}

/// The envelope names no contract: an owner registers one dataset with several, and who trusts which is the
/// custodians' own configuration.
#[test]
fn one_envelope_serves_every_contract_of_its_chain() {
    let world = world();
    for contract in [0x11, 0x12] {
        let domain = Domain { contract: Address::repeat_byte(contract), ..domain() };
        let run = ConfirmedRun::from_chain(domain, job(), 10, 500);
        let warrant = Warrant::compute(&run, &world.evidence(1)).unwrap();
        assert!(world.open(&reseal(&world.share(1), &warrant).unwrap()).is_ok());
    }
}

/// A stranger who registers the same envelope gets another uid, because the uid names who registers.
#[test]
fn a_stranger_s_registration_of_an_envelope_opens_nothing() {
    let world = world();
    let uid =
        |owner: u8| dataset_uid(domain().chain_id, Address::repeat_byte(owner), B256::repeat_byte(0x5a));
    assert_ne!(uid(1), uid(2));
    let registered = Job { datasetUid: uid(2), ..job() };
    let warrant = Warrant::compute(&run(registered), &world.evidence(1)).unwrap();
    let owners = world_with(&EnvelopeTerms { dataset_uid: uid(1), ..terms() });
    let error = reseal(&owners.share(1), &warrant).unwrap_err();
    assert!(matches!(error, SealError::NotWarranted("dataset")), "{error}");
}

#[test]
fn a_release_is_bound_to_its_context() {
    let world = world();
    let sealed = reseal(&world.share(1), &world.warrant()).unwrap();
    assert!(world.open(&sealed).is_ok());

    let other_run = ReleaseTerms { runtime_data_hash: B256::ZERO, ..world.release_terms() };
    let opened = open_released(&sealed, &world.compute, &world.envelope, &other_run);
    assert!(matches!(opened, Err(SealError::Open(_))));

    let thief = RecipientKey::generate().ok().unwrap();
    let opened = open_released(&sealed, &thief, &world.envelope, &world.release_terms());
    assert!(matches!(opened, Err(SealError::WrongRecipient(_))));
    let as_thief = ReleaseTerms { recipient: thief.public(), ..world.release_terms() };
    let opened = open_released(&sealed, &thief, &world.envelope, &as_thief);
    assert!(matches!(opened, Err(SealError::Open(_))));

    let as_second = SealedShare { i: 2, custodian_id: Address::repeat_byte(0x42), ..sealed.clone() };
    assert!(matches!(world.open(&as_second), Err(SealError::Open(_))));
    let mixed = SealedShare { i: 2, ..sealed.clone() };
    assert!(matches!(world.open(&mixed), Err(SealError::NotAMember { .. })));
    for index in [0, 4] {
        let moved = SealedShare { i: index, ..sealed.clone() };
        assert!(matches!(world.open(&moved), Err(SealError::NotAMember { .. })));
    }
    for position in 0..sealed.ct.len() {
        let mut ct = sealed.ct.to_vec();
        ct[position] ^= 4;
        let changed = SealedShare { ct: ct.into(), ..sealed.clone() };
        assert!(matches!(world.open(&changed), Err(SealError::Open(_))));
    }
}

#[test]
fn a_custodian_that_gives_another_share_is_named() {
    // The same terms dealt again: custodian 2 answers with its share of the other deal.
    let (world, other) = (world(), world());
    let warrant = world.warrant();
    let good = world.open(&reseal(&world.share(1), &warrant).unwrap()).ok().unwrap();
    let error = world.open(&reseal(&other.share(2), &warrant).unwrap()).err().unwrap();
    let bad = Address::repeat_byte(0x42);
    assert!(
        matches!(error, SealError::WrongShare { index: 2, custodian, from: Party::Custodian } if custodian == bad)
    );
    assert_eq!(error.fault(), Party::Custodian);
    assert!(matches!(combine(&world.envelope, &[good]), Err(SealError::TooFewShares { have: 1, need: 2 })));
}

#[test]
fn the_manifest_reaches_its_custodian_only() {
    use licen_seal::delivery::{DeliveryTerms, open_manifest, seal_manifest};
    let world = world();
    let terms =
        DeliveryTerms { job_id: B256::repeat_byte(0x66), attempt: 1, custodian: Address::repeat_byte(0x41) };
    let key = &world.custodians[0];
    let (enc, ct) = seal_manifest(b"{\"attempt\":1}", &terms, &key.public()).unwrap();
    assert_eq!(open_manifest(&enc, &ct, &terms, key).unwrap().as_slice(), b"{\"attempt\":1}");
    for other in [
        DeliveryTerms { job_id: B256::ZERO, ..terms },
        DeliveryTerms { attempt: 2, ..terms },
        DeliveryTerms { custodian: Address::repeat_byte(0x42), ..terms },
    ] {
        let opened = open_manifest(&enc, &ct, &other, key);
        assert!(matches!(opened, Err(SealError::Open(SealedBox::Manifest))));
    }
    assert!(open_manifest(&enc, &ct, &terms, &world.custodians[1]).is_err());
}
