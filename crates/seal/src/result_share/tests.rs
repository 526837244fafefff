//! The walk of a result key, and every way to take a wrong turn.

use licen_core::abi::{Job, ResultKeyChange, ResultManifest};
use licen_core::eip712::Domain;
use licen_core::release::ConfirmedSettlement;

use super::*;
use crate::warrant::WarrantError;

const HASH: B256 = B256::repeat_byte(0x88);

pub(crate) struct World {
    pub(crate) key: ResultKey,
    pub(crate) custodians: Vec<RecipientKey>,
    pub(crate) shares: ResultShares,
    pub(crate) researcher: RecipientKey,
}

fn domain() -> Domain {
    Domain { chain_id: 31337, contract: Address::repeat_byte(0x11) }
}

fn terms() -> ResultTerms {
    ResultTerms { domain: domain(), job_id: B256::repeat_byte(0x66), attempt: 2 }
}

pub(crate) fn world_of(terms: &ResultTerms) -> World {
    let custodians: Vec<_> = (1..=3).map(|i| RecipientKey::import(&mut [i; 32]).ok().unwrap()).collect();
    let members: Vec<_> =
        (0x41..).zip(&custodians).map(|(byte, key)| (Address::repeat_byte(byte), key.public())).collect();
    let key = ResultKey(Secret::take(&mut [9; 32]));
    let shares =
        ResultShares::deal(&key, terms, 2, &members, ResultTar { bytes: 1_024, root: HASH }).ok().unwrap();
    World { key, custodians, shares, researcher: RecipientKey::import(&mut [77; 32]).ok().unwrap() }
}

fn world() -> World {
    world_of(&terms())
}

fn manifest(result_hash: B256) -> ResultManifest {
    ResultManifest { resultHash: result_hash, ..ResultManifest::default() }
}

fn settlement(world: &World, result_hash: B256) -> ConfirmedSettlement {
    let job = Job {
        jobId: terms().job_id,
        attempt: terms().attempt,
        resultKey: world.researcher.public().0,
        ..Job::default()
    };
    ConfirmedSettlement::from_chain(domain(), job, manifest(result_hash))
}

impl World {
    fn held(&self, index: u8) -> ResultKeyShare {
        let position = usize::from(index) - 1;
        let sealed = &self.shares.seal(&HASH).unwrap()[position];
        open_result_share(sealed, &self.custodians[position], self.shares.header(), &HASH).ok().unwrap()
    }

    fn released(&self, index: u8) -> ResultKeyShare {
        let warrant = ResultWarrant::settled(&settlement(self, HASH)).unwrap();
        let sealed = reseal_result(&self.held(index), &warrant).unwrap();
        open_result_release(&sealed, &self.researcher, self.shares.header(), &HASH).ok().unwrap()
    }
}

#[test]
fn the_researcher_gets_the_key_from_any_two() {
    let world = world();
    for pair in [[1, 2], [3, 1], [2, 3]] {
        let shares = pair.map(|i| world.released(i));
        let key = combine_result(world.shares.header(), &shares).ok().unwrap();
        assert_eq!(key.0.bytes(), world.key.0.bytes());
    }
    let few = [world.released(1)];
    assert!(matches!(combine_result(world.shares.header(), &few), Err(SealError::TooFewShares { .. })));
    let twice = [world.released(1), world.released(1)];
    assert!(matches!(
        combine_result(world.shares.header(), &twice),
        Err(SealError::DuplicateShare { index: 1 })
    ));
}

#[test]
fn a_share_opens_for_its_custodian_and_this_result_only() {
    let world = world();
    let header = world.shares.header();
    let sealed = world.shares.seal(&HASH).unwrap();
    let open = |sealed: &SealedShare, key: usize, hash: &B256| {
        open_result_share(sealed, &world.custodians[key], header, hash).err()
    };
    assert!(open(&sealed[0], 0, &HASH).is_none());
    assert!(matches!(open(&sealed[0], 1, &HASH), Some(SealError::WrongRecipient(_))));
    assert!(matches!(open(&sealed[0], 0, &B256::ZERO), Some(SealError::Open(SealedBox::ResultShare))));
    let renamed = SealedShare { custodian_id: Address::repeat_byte(0x42), ..sealed[0].clone() };
    assert!(matches!(open(&renamed, 0, &HASH), Some(SealError::NotAMember { .. })));
    for index in [0, 4] {
        let moved = SealedShare { i: index, ..sealed[0].clone() };
        assert!(matches!(open(&moved, 0, &HASH), Some(SealError::NotAMember { .. })));
    }
    for position in 0..sealed[0].ct.len() {
        let mut ct = sealed[0].ct.to_vec();
        ct[position] ^= 1;
        let changed = SealedShare { ct: ct.into(), ..sealed[0].clone() };
        assert!(matches!(open(&changed, 0, &HASH), Some(SealError::Open(_))));
    }
    let short = SealedShare { enc: vec![1; 31].into(), ..sealed[0].clone() };
    assert!(matches!(open(&short, 0, &HASH), Some(SealError::Open(_))));
}

#[test]
fn a_misdealt_share_is_computes_fault() {
    use licen_core::fault::Fault;
    let mut world = world();
    world.shares.secrets[0] = Secret::take(&mut [1; 32]);
    let sealed = &world.shares.seal(&HASH).unwrap()[0];
    let error = open_result_share(sealed, &world.custodians[0], world.shares.header(), &HASH).err().unwrap();
    assert!(matches!(error, SealError::WrongShare { index: 1, from: Party::Compute, .. }));
    assert_eq!(error.fault(), Party::Compute);
}

#[test]
fn a_bad_release_names_its_custodian() {
    let world = world();
    let warrant = ResultWarrant::settled(&settlement(&world, HASH)).unwrap();
    let mut held = world.held(2);
    held.secret = Secret::take(&mut [1; 32]);
    let sealed = reseal_result(&held, &warrant).unwrap();
    let header = world.shares.header();
    let error = open_result_release(&sealed, &world.researcher, header, &HASH).err().unwrap();
    let bad = Address::repeat_byte(0x42);
    assert!(
        matches!(error, SealError::WrongShare { index: 2, custodian, from: Party::Custodian } if custodian == bad)
    );
    let other = RecipientKey::import(&mut [78; 32]).ok().unwrap();
    let sealed = reseal_result(&world.held(2), &warrant).unwrap();
    let error = open_result_release(&sealed, &other, header, &HASH).err().unwrap();
    assert!(matches!(error, SealError::Open(SealedBox::ReleasedResultShare)));
}

#[test]
fn only_the_settled_result_is_released() {
    let world = world();
    let other_result = ResultWarrant::settled(&settlement(&world, B256::ZERO)).unwrap();
    assert!(matches!(reseal_result(&world.held(1), &other_result), Err(SealError::NotWarranted("result"))));
    let elsewhere = settlement(&world, HASH);
    for (job, what) in [
        (Job { jobId: B256::ZERO, ..elsewhere.job().clone() }, "job"),
        (Job { attempt: 1, ..elsewhere.job().clone() }, "attempt"),
    ] {
        let other = ConfirmedSettlement::from_chain(domain(), job, manifest(HASH));
        let warrant = ResultWarrant::settled(&other).unwrap();
        let error = reseal_result(&world.held(1), &warrant).unwrap_err();
        assert!(matches!(error, SealError::NotWarranted(found) if found == what));
    }
    let other_chain = Domain { chain_id: 1, ..domain() };
    let other = ConfirmedSettlement::from_chain(other_chain, elsewhere.job().clone(), manifest(HASH));
    let warrant = ResultWarrant::settled(&other).unwrap();
    assert!(matches!(reseal_result(&world.held(1), &warrant), Err(SealError::NotWarranted(_))));
}

#[test]
fn a_lost_result_key_can_be_replaced() {
    let world = world();
    let new = RecipientKey::import(&mut [78; 32]).ok().unwrap();
    let settled = settlement(&world, HASH);
    let change = ResultKeyChange { jobId: terms().job_id, newKey: new.public().0, nonce: 1 };
    let warrant = ResultWarrant::settled_with_new_key(&settled, &change).unwrap();
    let sealed = reseal_result(&world.held(1), &warrant).unwrap();
    assert!(open_result_release(&sealed, &new, world.shares.header(), &HASH).is_ok());
    assert!(open_result_release(&sealed, &world.researcher, world.shares.header(), &HASH).is_err());

    let foreign = ResultKeyChange { jobId: B256::ZERO, ..change.clone() };
    assert_eq!(ResultWarrant::settled_with_new_key(&settled, &foreign), Err(WarrantError::Mismatch("job")));
    let nobody = ResultKeyChange { newKey: B256::ZERO, ..change };
    assert_eq!(ResultWarrant::settled_with_new_key(&settled, &nobody), Err(WarrantError::NoRecipient));
    let never_ran = ConfirmedSettlement::from_chain(domain(), Job::default(), manifest(HASH));
    assert_eq!(ResultWarrant::settled(&never_ran), Err(WarrantError::NotRunning));
}

#[test]
fn shares_of_another_job_or_attempt_do_not_combine() {
    let world = world();
    let mut foreign = world.released(2);
    foreign.attempt = 1;
    let error = combine_result(world.shares.header(), &[world.released(1), foreign]).err().unwrap();
    assert!(matches!(error, SealError::ForeignShare { index: 2, what: "attempt", .. }));
    let mut foreign = world.released(2);
    foreign.job_id = B256::ZERO;
    let error = combine_result(world.shares.header(), &[world.released(1), foreign]).err().unwrap();
    assert!(matches!(error, SealError::ForeignShare { index: 2, what: "job", .. }));
    let mut wrong = world.released(2);
    wrong.secret = Secret::take(&mut [1; 32]);
    let error = combine_result(world.shares.header(), &[world.released(1), wrong]).err().unwrap();
    assert!(matches!(error, SealError::WrongShare { index: 2, .. }));
}

#[test]
fn the_aads_are_those_in_the_vectors() {
    let v: serde_json::Value = serde_json::from_str(include_str!("../../../../vectors/seal.json")).unwrap();
    let share = share_aad(&terms(), &HASH).unwrap();
    assert_eq!(hex::encode(share), v["resultShareAad"].as_str().unwrap());
    let release = release_aad(&terms().job_id, &HASH, &Address::repeat_byte(0x41), 1);
    assert_eq!(hex::encode(release), v["resultReleaseAad"].as_str().unwrap());
}

/// A share re-sealed to the researcher, for `generate_js.mjs check`.
pub(crate) fn release_for_javascript() -> serde_json::Value {
    let world = world();
    let warrant = ResultWarrant::settled(&settlement(&world, HASH)).unwrap();
    let sealed = reseal_result(&world.held(1), &warrant).unwrap();
    let aad = release_aad(&terms().job_id, &HASH, &sealed.custodian_id, 1);
    serde_json::json!({
        "secret": hex::encode(world.researcher.secret().bytes()), "aad": hex::encode(aad),
        "enc": sealed.enc, "ct": sealed.ct, "jobId": terms().job_id, "attempt": 2, "index": 1,
        "shareCommit": world.shares.header().members()[0].share_commit,
    })
}
