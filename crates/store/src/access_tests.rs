//! Strangers who flood, owners of many datasets, and an index that changes its mind.

use super::*;
use crate::batch::{Batch, Change};
use crate::scope::Scope;
use crate::store::tests_support::dump;
use licen_core::primitives::U256;

const HERE: Address = Address::repeat_byte(0xc0);
const LIMITS: AccessLimits = AccessLimits { per_dataset: 3, in_all: 5 };

fn of(kind: AccessKind, dataset: u8, who: u8, moment: u64) -> Access {
    Access {
        kind,
        contract: HERE,
        dataset_uid: B256::repeat_byte(dataset),
        requester: Address::repeat_byte(who),
        requesters_root: B256::repeat_byte(0xa1),
        moment,
        body: Bytes::from(vec![dataset, who, moment.to_be_bytes()[7]]),
    }
}

fn asked(dataset: u8, who: u8, moment: u64) -> Access {
    of(AccessKind::Request, dataset, who, moment)
}

fn approved(dataset: u8, who: u8, moment: u64) -> Access {
    of(AccessKind::Approval, dataset, who, moment)
}

fn list(n: u8) -> B256 {
    B256::repeat_byte(n)
}

fn under(root: u8, access: Access) -> Access {
    let body = [&access.body[..], &[root]].concat().into();
    Access { requesters_root: list(root), body, ..access }
}

/// Makes a list the current one of these datasets.
async fn has_list(store: &Store, datasets: impl IntoIterator<Item = u8>, root: u8) {
    let mut batch = Batch::default();
    for dataset in datasets {
        let uid = B256::repeat_byte(dataset);
        let policy = Policy { datasetUid: uid, requestersRoot: list(root), ..Policy::default() };
        let policy_hash = B256::from_slice(&[[dataset; 16], [root; 16]].concat());
        let policy = PolicyRow {
            contract: HERE,
            policy_hash,
            dataset_uid: uid,
            version: 1,
            policy_abi: policy.abi_encode().into(),
            set_at: 1,
            set_block: 1,
            set_tx: B256::ZERO,
        };
        let dataset = DatasetRow {
            contract: HERE,
            dataset_uid: uid,
            dataset_root: B256::ZERO,
            owner: Address::ZERO,
            manifest_hash: B256::ZERO,
            policy_hash,
            policy_version: 1,
            royalty_per_epoch: U256::ZERO,
            token: Address::ZERO,
            max_epochs_per_run: 1,
            required_level: 1,
            policy_expiry: 0,
            paused: false,
            registered_at: 1,
            registered_block: 1,
            registered_tx: B256::ZERO,
            updated_at: 1,
        };
        batch.changes.push((1, Change::Policy(Box::new(policy))));
        batch.changes.push((1, Change::Dataset(Box::new(dataset))));
    }
    store.apply(&batch).await.unwrap();
}

/// A database whose index knows datasets 1 to 20, all with one list.
async fn begun() -> Store {
    let store = Store::in_memory().await.unwrap();
    has_list(&store, 1..=20, 0xa1).await;
    store
}

async fn put(store: &Store, access: &Access, now_ms: u64) -> Kept {
    store.put_access(access, LIMITS, now_ms).await.unwrap()
}

async fn who(store: &Store, kind: AccessKind, dataset: u8) -> Vec<u8> {
    who_under(store, kind, dataset, 0xa1).await
}

async fn who_under(store: &Store, kind: AccessKind, dataset: u8, root: u8) -> Vec<u8> {
    let bodies = store.access_of(kind, HERE, B256::repeat_byte(dataset), list(root)).await.unwrap();
    bodies.iter().map(|body| body[1]).collect()
}

#[tokio::test]
async fn a_later_request_replaces_an_earlier_one_and_never_the_other_way_round() {
    let store = begun().await;
    assert_eq!(put(&store, &asked(1, 7, 10), 1).await, Kept::Yes);
    assert_eq!(put(&store, &asked(1, 7, 12), 2).await, Kept::Yes);
    let before = dump(&store).await;
    // Whoever recorded the first one sends it again.
    assert_eq!(put(&store, &asked(1, 7, 10), 3).await, Kept::Older);
    assert_eq!(dump(&store).await, before);
}

#[tokio::test]
async fn of_two_approvals_the_one_that_ends_later_stands() {
    let store = begun().await;
    for (end, kept) in [(100, Kept::Yes), (200, Kept::Yes), (100, Kept::Older), (200, Kept::Yes)] {
        assert_eq!(put(&store, &approved(1, 7, end), 1_000).await, kept);
    }
    let (kind, uid) = (AccessKind::Approval, B256::repeat_byte(1));
    assert_eq!(store.access_of(kind, HERE, uid, list(0xa1)).await.unwrap(), [approved(1, 7, 200).body]);
    // The column cannot tell these ends apart.
    assert_eq!(put(&store, &approved(1, 7, u64::MAX), 1_000).await, Kept::Yes);
    assert_eq!(put(&store, &approved(1, 7, u64::MAX - 1), 1_000).await, Kept::Older);
}

#[tokio::test]
async fn what_stands_is_not_written_again() {
    let store = begun().await;
    for first in [asked(1, 7, 10), approved(1, 7, 100)] {
        assert_eq!(store.access_stands(&first).await.unwrap(), None);
        assert_eq!(put(&store, &first, 1).await, Kept::Yes);
        let before = dump(&store).await;
        let equal = Access { body: Bytes::from_static(b"in other words"), ..first.clone() };
        let earlier = Access { moment: first.moment - 1, ..equal.clone() };
        let later = Access { moment: first.moment + 1, ..equal.clone() };
        for (said, answer) in [(&first, Kept::Yes), (&equal, Kept::Older), (&earlier, Kept::Older)] {
            assert_eq!(store.access_stands(said).await.unwrap(), Some(answer));
            assert_eq!(put(&store, said, 9_000).await, answer);
        }
        assert_eq!(store.access_stands(&later).await.unwrap(), None);
        assert_eq!(dump(&store).await, before);
    }
}

#[tokio::test]
async fn a_flood_of_requests_is_bounded_and_removes_no_approval() {
    let store = begun().await;
    for dataset in 1..=2 {
        assert_eq!(put(&store, &approved(dataset, 9, 100), 0).await, Kept::Yes);
    }
    assert_eq!(put(&store, &asked(2, 1, 1), 1).await, Kept::Yes);
    for n in 10..200 {
        assert_eq!(put(&store, &asked(1, n, 1), u64::from(n)).await, Kept::Yes);
    }
    assert_eq!(who(&store, AccessKind::Request, 1).await, [197, 198, 199], "the newest of a dataset");
    assert_eq!(who(&store, AccessKind::Request, 2).await, [1], "another dataset's stands");
    for n in 10..14 {
        put(&store, &asked(n, n, 1), 1_000).await;
    }
    // Five in all: the dataset with most gave way each time, and then the oldest of equals.
    assert_eq!(who(&store, AccessKind::Request, 13).await, [13]);
    let rows = dump(&store).await;
    assert_eq!(rows.iter().filter(|row| row.contains("request")).count(), 5);
    for dataset in 1..=2 {
        assert_eq!(who(&store, AccessKind::Approval, dataset).await, [9]);
    }
}

#[tokio::test]
async fn approvals_are_bounded_and_what_ended_makes_room() {
    let store = begun().await;
    for n in 1..=3 {
        assert_eq!(put(&store, &approved(1, n, 10), 0).await, Kept::Yes);
    }
    assert_eq!(put(&store, &approved(1, 4, 99), 9_000).await, Kept::Full);
    let longer = put(&store, &approved(1, 3, 99), 9_000).await;
    assert_eq!(longer, Kept::Yes, "one that stands can be made longer");
    assert_eq!(put(&store, &approved(1, 4, 99), 11_000).await, Kept::Yes);
    assert_eq!(who(&store, AccessKind::Approval, 1).await, [3, 4]);
}

#[tokio::test]
async fn an_owner_of_many_datasets_removes_nobody_elses_approval() {
    let store = begun().await;
    // Two end at 50; of dataset 1 there are most.
    for (dataset, n, end) in [(1, 1, 50), (1, 2, 5_000), (1, 3, 5_000), (2, 1, 50), (2, 2, 5_000)] {
        assert_eq!(put(&store, &approved(dataset, n, end), 0).await, Kept::Yes);
    }
    let before = dump(&store).await;
    for dataset in 3..=20 {
        assert_eq!(put(&store, &approved(dataset, 1, 9_000), 50_000).await, Kept::FullInAll);
    }
    assert_eq!(dump(&store).await, before);
    // What ended makes room, whose ever it is.
    let answers = [Kept::Yes, Kept::Yes, Kept::FullInAll];
    for (dataset, answer) in (3..).zip(answers) {
        assert_eq!(put(&store, &approved(dataset, 1, 9_000), 51_000).await, answer);
    }
    assert_eq!(who(&store, AccessKind::Approval, 1).await, [2, 3]);
    assert_eq!(who(&store, AccessKind::Approval, 2).await, [2]);
    // A dataset's own approval under another list gives way to one under the current list.
    has_list(&store, [3], 0xa2).await;
    assert_eq!(put(&store, &under(0xa2, approved(3, 9, 9_000)), 51_000).await, Kept::Yes);
    assert_eq!(put(&store, &under(0xa2, approved(3, 8, 9_000)), 51_000).await, Kept::FullInAll);
    assert_eq!(who(&store, AccessKind::Approval, 3).await, Vec::<u8>::new());
    for (dataset, stand) in [(1, &[2, 3][..]), (2, &[2]), (4, &[1])] {
        assert_eq!(who(&store, AccessKind::Approval, dataset).await, stand);
    }
}

#[tokio::test]
async fn another_list_hides_what_was_said_and_its_return_shows_it_again() {
    let store = begun().await;
    put(&store, &asked(1, 7, 10), 1).await;
    put(&store, &approved(1, 7, 100), 1).await;
    let before = dump(&store).await;
    // A reader in a reorg, or in a replay of the history, asks for the list that the index has then.
    for kind in [AccessKind::Request, AccessKind::Approval] {
        assert_eq!(who_under(&store, kind, 1, 0xa2).await, Vec::<u8>::new());
    }
    assert_eq!(dump(&store).await, before);
    has_list(&store, [1], 0xa2).await;
    for said in [asked(1, 8, 10), approved(1, 7, 50)] {
        assert_eq!(put(&store, &under(0xa2, said), 1).await, Kept::Yes);
    }
    has_list(&store, [1], 0xa1).await;
    for kind in [AccessKind::Request, AccessKind::Approval] {
        assert_eq!(who(&store, kind, 1).await, [7]);
    }
    assert_eq!(who_under(&store, AccessKind::Request, 1, 0xa2).await, [8]);
}

#[tokio::test]
async fn what_waited_while_the_list_changed_is_not_written() {
    let store = begun().await;
    has_list(&store, [1], 0xa2).await;
    let before = dump(&store).await;
    for said in [asked(1, 7, 10), approved(1, 7, 100), asked(99, 7, 10)] {
        assert_eq!(put(&store, &said, 1).await, Kept::OtherList);
    }
    assert_eq!(dump(&store).await, before);
}

#[tokio::test]
async fn what_was_said_under_other_lists_counts_and_goes_first() {
    let store = begun().await;
    for n in 1..=2 {
        put(&store, &asked(1, n, 1), u64::from(n)).await;
        put(&store, &approved(1, n, 100), u64::from(n)).await;
    }
    has_list(&store, [1], 0xa2).await;
    for n in 3..=4 {
        // Requests come in with an earlier time of ours, so that only their list keeps them.
        assert_eq!(put(&store, &under(0xa2, asked(1, n, 1)), 0).await, Kept::Yes);
        assert_eq!(put(&store, &under(0xa2, approved(1, n, 100)), 9).await, Kept::Yes);
    }
    for kind in [AccessKind::Request, AccessKind::Approval] {
        assert_eq!(who(&store, kind, 1).await, [2], "the one that came first went");
        assert_eq!(who_under(&store, kind, 1, 0xa2).await, [3, 4]);
    }
    let next = under(0xa2, approved(1, 5, 100));
    assert_eq!(put(&store, &next, 9).await, Kept::Yes);
    assert_eq!(put(&store, &under(0xa2, approved(1, 6, 100)), 9).await, Kept::Full);
    assert_eq!(who_under(&store, AccessKind::Approval, 1, 0xa2).await, [3, 4, 5]);
}

#[tokio::test]
async fn an_index_that_begins_again_keeps_who_asked() {
    let store = Store::in_memory().await.unwrap();
    store.follow(&Scope::new(Address::repeat_byte(0xcc), &[HERE], 5)).await.unwrap();
    has_list(&store, [1], 0xa1).await;
    put(&store, &asked(1, 7, 10), 1).await;
    put(&store, &approved(1, 7, 100), 1).await;
    store.follow(&Scope::new(Address::repeat_byte(0xcc), &[HERE], 4)).await.unwrap();
    assert_eq!(who(&store, AccessKind::Request, 1).await, [7]);
    assert_eq!(who(&store, AccessKind::Approval, 1).await, [7]);
}

#[tokio::test]
async fn a_database_of_before_gets_the_table_and_keeps_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.sqlite");
    let store = Store::open(&path).await.unwrap();
    store.put_record("space", "name", b"body", 1).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    row::run(&mut tx, "DROP TABLE access", &[]).await.unwrap();
    row::run(&mut tx, "UPDATE schema_version SET version = 1", &[]).await.unwrap();
    tx.commit().await.unwrap();
    store.close().await;
    let store = Store::open(&path).await.unwrap();
    has_list(&store, [1], 0xa1).await;
    assert_eq!(put(&store, &asked(1, 7, 10), 1).await, Kept::Yes);
    store.close().await;
    let store = Store::open(&path).await.unwrap();
    assert_eq!(who(&store, AccessKind::Request, 1).await, [7]);
    assert_eq!(store.record("space", "name").await.unwrap(), Some(Bytes::from_static(b"body")));
}

#[tokio::test]
async fn a_power_cut_leaves_the_old_row_or_the_new_one() {
    let store = begun().await;
    for n in 1..=3 {
        put(&store, &asked(1, n, 1), u64::from(n)).await;
    }
    let before = dump(&store).await;
    for boundary in 0..2 {
        store.fuse.set(boundary);
        assert!(store.put_access(&asked(1, 9, 1), LIMITS, 9).await.is_err());
        store.fuse.set(i64::MAX);
        assert_eq!(dump(&store).await, before, "power cut at boundary {boundary}");
    }
}
