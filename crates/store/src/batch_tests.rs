use super::*;
use crate::select::Select;
use crate::store::tests_support::dump;
use licen_core::primitives::keccak256;

fn hash(number: u64, fork: u8) -> B256 {
    keccak256([&number.to_be_bytes()[..], &[fork]].concat())
}

fn block(number: u64, fork: u8) -> BlockRow {
    BlockRow {
        number,
        hash: hash(number, fork),
        parent_hash: hash(number - 1, fork),
        timestamp: 1_000 + number,
    }
}

fn at(number: u64, fork: u8) -> Position {
    Position { number, hash: hash(number, fork) }
}

const CONTRACT: Address = Address::repeat_byte(0xc0);
const OTHER: Address = Address::repeat_byte(0xc1);

fn dataset(version: u64) -> DatasetRow {
    DatasetRow {
        contract: CONTRACT,
        dataset_uid: B256::repeat_byte(1),
        dataset_root: B256::repeat_byte(2),
        owner: Address::repeat_byte(3),
        manifest_hash: B256::repeat_byte(4),
        policy_hash: B256::repeat_byte(5),
        policy_version: version,
        royalty_per_epoch: U256::from(10),
        token: Address::ZERO,
        max_epochs_per_run: 5,
        required_level: 1,
        policy_expiry: u64::MAX,
        paused: false,
        registered_at: 1_000 + version,
        registered_block: version,
        registered_tx: B256::repeat_byte(6),
        updated_at: 1_000 + version,
    }
}

fn job() -> JobRow {
    let preimage = Job { jobId: B256::repeat_byte(8), epochs: 3, ..Job::default() };
    JobRow {
        job_id: B256::repeat_byte(8),
        contract: CONTRACT,
        dataset_uid: B256::repeat_byte(1),
        dataset_root: B256::repeat_byte(2),
        policy_hash: B256::repeat_byte(5),
        requester: Address::repeat_byte(9),
        owner: Address::repeat_byte(3),
        provider_id: B256::ZERO,
        custodian_set: B256::repeat_byte(7),
        state: JobState::Granted as u8,
        attempt: 0,
        requested_epochs: 3,
        unit: 1,
        units: 3,
        royalty_per_unit: U256::from(10),
        escrow: U256::from(30),
        compute_fee_per_epoch: U256::ZERO,
        token: Address::ZERO,
        actual_epochs: None,
        result_hash: None,
        attestation_ref: None,
        base_model_root: None,
        adapter_root: None,
        report_hash: None,
        samples: None,
        tokens_seen: None,
        tokens_trained: None,
        compute_seconds: None,
        eval_before: None,
        eval_after: None,
        manifest_abi: None,
        royalty: None,
        refund: None,
        fail_reason: None,
        job_abi: preimage.abi_encode().into(),
        start_deadline: 2_000,
        run_deadline: 0,
        granted_at: 1_003,
        started_at: None,
        ended_at: None,
        granted_tx: B256::repeat_byte(10),
        started_tx: None,
        ended_tx: None,
        granted_block: 3,
        updated_block: 3,
        updated_at: 1_003,
    }
}

fn audit(number: u64) -> Change {
    Change::Audit(Box::new(AuditRow {
        id: format!("{number:012}-000000"),
        contract: CONTRACT,
        dataset_root: None,
        job_id: None,
        event_type: "Test".into(),
        timestamp: number,
        tx_hash: B256::ZERO,
        block_number: number,
        log_index: 0,
        details: "{}".into(),
    }))
}

fn started() -> JobPatch {
    JobPatch {
        job_id: B256::repeat_byte(8),
        state: Some(JobState::Running),
        started: Some((1, Address::repeat_byte(11), B256::repeat_byte(12), 5_000)),
        timestamp: 1_004,
        tx_hash: B256::repeat_byte(13),
        ..JobPatch::default()
    }
}

fn manifest() -> ResultManifest {
    ResultManifest {
        jobId: B256::repeat_byte(8),
        actualEpochs: 2,
        resultHash: B256::repeat_byte(14),
        // Beyond what a column of the database holds.
        evalBefore: u64::MAX,
        ..ResultManifest::default()
    }
}

fn completed() -> JobPatch {
    JobPatch {
        job_id: B256::repeat_byte(8),
        state: Some(JobState::Completed),
        result: Some(manifest()),
        royalty: Some(U256::from(20)),
        refund: Some(U256::from(10)),
        timestamp: 1_005,
        tx_hash: B256::repeat_byte(15),
        ..JobPatch::default()
    }
}

fn split(accounts: &[u8]) -> Split {
    let accounts: Vec<B256> = accounts.iter().map(|n| B256::repeat_byte(*n)).collect();
    let bps = vec![1; accounts.len()];
    Split { accounts, bps, start: 7, duration: 9 }
}

fn named(account: u8) -> Change {
    Change::Named { account: B256::repeat_byte(account), timestamp: 1_000 }
}

fn announced(account: u8, accounts: &[u8]) -> Change {
    Change::Announced {
        account: B256::repeat_byte(account),
        split: Box::new(split(accounts)),
        timestamp: 1_001,
        tx_hash: B256::repeat_byte(0x99),
    }
}

/// The changes of blocks 1 to 5; block 5 touches one row twice.
fn changes(number: u64) -> Vec<(u64, Change)> {
    let list = match number {
        1 => vec![Change::Dataset(Box::new(dataset(1))), announced(0xaa, &[0xab])],
        2 => vec![Change::Dataset(Box::new(dataset(2))), audit(2), named(0xaa)],
        3 => vec![Change::Job(Box::new(job())), announced(0xaa, &[0xab, 0xac])],
        4 => vec![Change::JobPatch(Box::new(started())), announced(0xac, &[0xad]), announced(0xaa, &[0xae])],
        5 => vec![
            Change::JobPatch(Box::new(completed())),
            Change::Paused {
                contract: CONTRACT,
                dataset_uid: B256::repeat_byte(1),
                paused: true,
                timestamp: 1_005,
            },
            Change::JobPatch(Box::new(JobPatch { royalty: Some(U256::from(21)), ..completed() })),
        ],
        _ => vec![audit(number)],
    };
    list.into_iter().map(|c| (number, c)).collect()
}

fn step(number: u64, fork: u8) -> Batch {
    Batch {
        from: (number > 1).then(|| at(number - 1, fork)),
        blocks: vec![block(number, fork)],
        changes: changes(number),
        ..Batch::default()
    }
}

#[tokio::test]
async fn undoing_blocks_restores_every_table_byte_by_byte() {
    let store = Store::in_memory().await.unwrap();
    let mut states = vec![dump(&store).await];
    for number in 1..=5 {
        store.apply(&step(number, 0)).await.unwrap();
        states.push(dump(&store).await);
    }
    for to in (1..5u64).rev() {
        let batch = Batch { from: Some(at(5, 0)), undo_above: Some(to), ..Batch::default() };
        store.apply(&batch).await.unwrap();
        assert_eq!(dump(&store).await, states[to as usize], "back to block {to}");
        for number in to + 1..=5 {
            store.apply(&step(number, 0)).await.unwrap();
        }
        assert_eq!(dump(&store).await, states[5], "forward again from {to}");
    }
}

#[tokio::test]
async fn a_power_cut_at_any_boundary_leaves_all_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("licen.db");
    let store = Store::open(&path).await.unwrap();
    for number in 1..=5 {
        store.apply(&step(number, 0)).await.unwrap();
    }
    let before = dump(&store).await;
    // Blocks 4 and 5 vanish and are replaced, with work found in the same step.
    let batch = Batch {
        from: Some(at(5, 0)),
        undo_above: Some(3),
        blocks: vec![block(4, 1), block(5, 1)],
        changes: [changes(4), changes(5), changes(6)].concat(),
        work: vec![NewWork { job_id: B256::repeat_byte(8), phase: "running".into(), data: Bytes::new() }],
        finalized: 2,
        now_ms: 9,
    };
    let mut boundary = 0;
    loop {
        store.fuse.set(boundary);
        let done = store.apply(&batch).await.is_ok();
        store.fuse.set(i64::MAX);
        if done {
            break;
        }
        assert_eq!(dump(&store).await, before, "power cut at boundary {boundary}");
        // What a second process would find on disk after kill -9 at this point.
        let copy = dir.path().join(format!("copy{boundary}.db"));
        for suffix in ["", "-wal"] {
            let from = format!("{}{suffix}", path.display());
            std::fs::copy(from, format!("{}{suffix}", copy.display())).unwrap();
        }
        let reopened = Store::open(&copy).await.unwrap();
        assert_eq!(dump(&reopened).await, before);
        reopened.close().await;
        boundary += 1;
    }
    assert!(boundary >= 8, "only {boundary} boundaries");
    assert_ne!(dump(&store).await, before);
    assert_eq!(store.cursor().await.unwrap(), Some(Cursor { at: at(5, 1), finalized: 2 }));
}

#[tokio::test]
async fn a_job_follows_its_events() {
    let store = Store::in_memory().await.unwrap();
    for number in 1..=5 {
        store.apply(&step(number, 0)).await.unwrap();
    }
    let row = store.job(B256::repeat_byte(8)).await.unwrap().unwrap();
    let preimage = Job::abi_decode(&row.job_abi).unwrap();
    assert_eq!((preimage.attempt, preimage.epochs, preimage.runDeadline), (1, 3, 5_000));
    assert_eq!(row.state, JobState::Completed as u8);
    assert_eq!(
        (row.actual_epochs, row.royalty, row.refund),
        (Some(2), Some(U256::from(21)), Some(U256::from(20)))
    );
    assert_eq!((row.started_at, row.ended_at), (Some(1_004), Some(1_005)));
    let result = ResultManifest::abi_decode(&row.manifest_abi.unwrap()).unwrap();
    assert_eq!((result, row.eval_before), (manifest(), Some(u64::MAX >> 1)));
    let dataset = store.dataset(CONTRACT, B256::repeat_byte(1)).await.unwrap().unwrap();
    assert_eq!((dataset.policy_version, dataset.registered_block, dataset.paused), (2, 1, true));
    assert_eq!(store.jobs(&Select::eq("state", 3u8)).await.unwrap().len(), 1);
    assert_eq!(store.jobs(&Select::eq("state", 2u8)).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_step_from_elsewhere_is_refused() {
    let store = Store::in_memory().await.unwrap();
    store.apply(&step(1, 0)).await.unwrap();
    assert!(matches!(store.apply(&step(1, 0)).await, Err(StoreError::CursorMoved { .. })));
    assert!(matches!(store.apply(&step(2, 1)).await, Err(StoreError::CursorMoved { .. })));
    let orphan = Batch { changes: vec![(2, Change::JobPatch(Box::new(started())))], ..step(2, 0) };
    assert!(matches!(store.apply(&orphan).await, Err(StoreError::JobUnknown(_))));
    store.apply(&step(2, 0)).await.unwrap();
}

#[tokio::test]
async fn final_blocks_are_never_taken_back() {
    let store = Store::in_memory().await.unwrap();
    for number in 1..=5u64 {
        let finalized = number.saturating_sub(2);
        store.apply(&Batch { finalized, ..step(number, 0) }).await.unwrap();
    }
    let window: Vec<u64> = store.window().await.unwrap().iter().map(|b| b.number).collect();
    assert_eq!(window, [3, 4, 5]);
    let deep = Batch { from: Some(at(5, 0)), undo_above: Some(2), ..Batch::default() };
    assert!(matches!(store.apply(&deep).await, Err(StoreError::UndoTooDeep { to: 2, .. })));
    let back = Batch { from: Some(at(5, 0)), undo_above: Some(3), ..Batch::default() };
    store.apply(&back).await.unwrap();
    assert_eq!(store.cursor().await.unwrap().unwrap().at, at(3, 0));
}

#[tokio::test]
async fn only_real_columns_can_be_asked_for() {
    use crate::select::{Op, Where};
    let store = Store::in_memory().await.unwrap();
    for number in 1..=8 {
        store.apply(&step(number, 0)).await.unwrap();
    }
    let evil = Select::eq("state; DROP TABLE jobs", 1u8);
    assert!(matches!(store.jobs(&evil).await, Err(StoreError::ColumnUnknown { .. })));
    let filter = Where::And(vec![
        Where::Or(vec![
            Where::Is("block_number".into(), Op::Gte(7u64.into())),
            Where::Is("block_number".into(), Op::In(vec![2u64.into()])),
        ]),
        Where::Not(Box::new(Where::Is("job_id".into(), Op::IsNull(false)))),
    ]);
    let ask = Select { filter, order: vec![("timestamp".into(), true)], limit: 2, offset: 0 };
    let rows = store.audit_log(&ask).await.unwrap();
    let blocks: Vec<u64> = rows.iter().map(|r| r.block_number).collect();
    assert_eq!(blocks, [8, 7]);
    let next = store.audit_log(&Select { offset: 2, ..ask }).await.unwrap();
    assert_eq!(next.len(), 1);
}

#[tokio::test]
async fn splits_that_nobody_named_leave_no_trace() {
    let store = Store::in_memory().await.unwrap();
    for number in 1..=5 {
        store.apply(&step(number, 0)).await.unwrap();
    }
    let known = async |account: u8| store.split(B256::repeat_byte(account)).await.unwrap();
    // Announced before anything named it, so it took a second announcement; a third changes nothing.
    let outer = known(0xaa).await.unwrap();
    assert_eq!(Split::abi_decode(&outer.split_abi.unwrap()).unwrap(), split(&[0xab, 0xac]));
    assert_eq!((outer.named_block, outer.announced_at), (2, Some(1_001)));
    assert_eq!(known(0xab).await.unwrap().split_abi, None, "named by the split, never announced");
    assert!(known(0xac).await.unwrap().split_abi.is_some());
    assert!(known(0xad).await.is_some());
    assert_eq!(known(0xae).await, None, "named by an announcement that was dropped");
    // An address needs no split behind it.
    let address = Address::repeat_byte(1).into_word();
    let naming = Change::Named { account: address, timestamp: 1 };
    store.apply(&Batch { changes: vec![(6, naming)], ..step(6, 0) }).await.unwrap();
    assert_eq!(store.split(address).await.unwrap(), None);
}

#[tokio::test]
async fn one_dataset_at_two_contracts_is_two_rows() {
    let store = Store::in_memory().await.unwrap();
    let there = DatasetRow { contract: OTHER, policy_expiry: 0, ..dataset(1) };
    let first = vec![(1, Change::Dataset(Box::new(there.clone())))];
    store.apply(&Batch { changes: first, ..step(1, 0) }).await.unwrap();
    store.apply(&Batch { changes: changes(1), ..step(2, 0) }).await.unwrap();
    let uid = B256::repeat_byte(1);
    let paused = Change::Paused { contract: CONTRACT, dataset_uid: uid, paused: true, timestamp: 3 };
    store.apply(&Batch { changes: vec![(3, paused)], ..step(3, 0) }).await.unwrap();
    assert_eq!(store.dataset(OTHER, uid).await.unwrap(), Some(there));
    assert!(store.dataset(CONTRACT, uid).await.unwrap().unwrap().paused);
}
