use super::*;
use crate::fixture::{DOMAIN, Model, header, history};
use licen_core::abi::DataPolicy;
use licen_core::primitives::U256;
use licen_store::{Select, Store};
use proptest::prelude::*;

/// Everything that follows the chain, row by row.
async fn dump(store: &Store) -> String {
    let all = Select { limit: 1_000, ..Select::default() };
    format!(
        "{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}",
        store.datasets(&all).await.unwrap(),
        store.policies(&all).await.unwrap(),
        store.jobs(&all).await.unwrap(),
        store.audit_log(&all).await.unwrap(),
        store.custodian_sets(&all).await.unwrap(),
        store.providers(&all).await.unwrap(),
        store.payments(&all).await.unwrap(),
    )
}

#[derive(Debug, Clone, Copy)]
enum Op {
    Register,
    Update(usize),
    Pause(usize, bool),
    Open(usize, u32),
    Start(usize),
    Complete(usize, u32),
    Fail(usize, Reason),
    Cancel(usize),
    Withdraw,
    Custody,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => Just(Op::Register),
        1 => (0usize..3).prop_map(Op::Update),
        1 => (0usize..3, any::<bool>()).prop_map(|(at, p)| Op::Pause(at, p)),
        4 => (0usize..3, 1u32..5).prop_map(|(at, e)| Op::Open(at, e)),
        4 => (0usize..6).prop_map(Op::Start),
        3 => (0usize..6, 1u32..5).prop_map(|(at, e)| Op::Complete(at, e)),
        2 => (0usize..6, prop::sample::select(&Reason::ALL[..])).prop_map(|(at, r)| Op::Fail(at, r)),
        1 => (0usize..6).prop_map(Op::Cancel),
        1 => Just(Op::Withdraw),
        1 => Just(Op::Custody),
    ]
}

fn run(model: &mut Model, op: Op) {
    match op {
        Op::Register => model.register(),
        Op::Update(at) => model.update(at),
        Op::Pause(at, paused) => model.pause(at, paused),
        Op::Open(at, epochs) => model.open(at, epochs),
        Op::Start(at) => model.start(at),
        Op::Complete(at, epochs) => model.complete(at, epochs),
        Op::Fail(at, reason) => model.fail(at, reason),
        Op::Cancel(at) => model.cancel(at),
        Op::Withdraw => model.withdraw(),
        Op::Custody => model.custody(),
    }
}

async fn undo_is_exact(blocks: Vec<Vec<Op>>, cut: usize) {
    let mut model = Model::default();
    for ops in blocks {
        model.next_block();
        for op in ops {
            run(&mut model, op);
        }
    }
    let store = Store::in_memory().await.unwrap();
    let mut dumps = Vec::new();
    let mut below = None;
    for number in 0..=model.block {
        let batch = crate::batch(&store, &DOMAIN, &model.advance(below, None, number, number)).await.unwrap();
        store.apply(&batch).await.unwrap();
        dumps.push(dump(&store).await);
        below = Some(header(number, 0));
    }
    let common = u64::try_from(cut).unwrap() % (model.block + 1);
    let undo = licen_store::Batch {
        from: below.map(|h| licen_store::Position { number: h.number, hash: h.hash }),
        undo_above: Some(common),
        ..licen_store::Batch::default()
    };
    store.apply(&undo).await.unwrap();
    assert_eq!(dump(&store).await, dumps[usize::try_from(common).unwrap()], "undo to {common}");
    // Undo and what comes instead, in one step.
    let below = Some(header(common, 0));
    let again = model.advance(below, None, common + 1, model.block);
    if common < model.block {
        let batch = crate::batch(&store, &DOMAIN, &again).await.unwrap();
        store.apply(&batch).await.unwrap();
    }
    let last = dumps.last().unwrap().clone();
    assert_eq!(dump(&store).await, last, "again from {common}");
    let top = Some(header(model.block, 0));
    let both = model.advance(top, Some(common), common + 1, model.block);
    if common < model.block {
        let batch = crate::batch(&store, &DOMAIN, &both).await.unwrap();
        store.apply(&batch).await.unwrap();
        assert_eq!(dump(&store).await, last, "undo and again from {common}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn taking_blocks_back_restores_every_byte(
        blocks in prop::collection::vec(prop::collection::vec(op(), 0..6), 1..8),
        cut in 0usize..8,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(undo_is_exact(blocks, cut));
    }
}

fn last(model: &Model, change: impl FnOnce(&mut EventKind)) -> Result<Applied, ApplyError> {
    let mut view = View::default();
    let mut events = model.events.clone();
    change(&mut events.last_mut().unwrap().kind);
    let mut applied = Applied::default();
    for event in &events {
        applied = apply(&DOMAIN, event, &mut view)?;
    }
    Ok(applied)
}

#[test]
fn money_that_does_not_add_up_stops_the_index() {
    let mut model = history();
    model.start(2);
    model.complete(2, 1);
    assert!(last(&model, |_| {}).is_ok());
    let refused = last(&model, |kind| {
        let EventKind::RefundIssued(refund) = kind else { panic!("a refund is last") };
        refund.amount += U256::ONE;
    });
    assert!(matches!(refused, Err(ApplyError::Money { what: "refund", .. })));
    model.events.pop();
    let refused = last(&model, |kind| {
        let EventKind::RoyaltySettled(royalty) = kind else { panic!("a royalty is before it") };
        royalty.amount -= U256::ONE;
    });
    assert!(matches!(refused, Err(ApplyError::Money { what: "royalty", .. })));
    model.events.pop();
    let refused = last(&model, |kind| {
        let EventKind::JobCompleted(completed) = kind else { panic!("the completion is before it") };
        completed.actualEpochs = 2;
    });
    assert!(matches!(refused, Err(ApplyError::Range { what: "actualEpochs", .. })));
}

#[test]
fn names_that_are_not_hashes_of_what_they_name_stop_the_index() {
    let mut model = Model::default();
    model.register();
    let refused = last(&model, |kind| {
        let EventKind::PolicySet(set) = kind else { panic!("a policy is last") };
        set.policy.royaltyPerEpoch = 0;
    });
    assert!(matches!(refused, Err(ApplyError::Identity { what: "policy", .. })));
    let refused = last(&model, |kind| {
        let EventKind::PolicySet(set) = kind else { panic!("a policy is last") };
        set.policy.salt = B256::repeat_byte(99);
        set.policyHash = policy_hash(&set.policy);
    });
    assert!(matches!(refused, Err(ApplyError::Identity { what: "dataset", .. })));
    let unknown = EventKind::JobExpired(DataPolicy::JobExpired { jobId: B256::repeat_byte(1) });
    let refused = last(&model, |kind| *kind = unknown);
    assert!(matches!(refused, Err(ApplyError::JobUnknown(_))));
}

#[test]
fn a_refund_that_no_number_of_epochs_explains_is_refused() {
    let mut model = Model::default();
    model.register();
    model.open(0, 3);
    model.start(0);
    model.fail(0, Reason::JobSpecInvalid);
    assert!(last(&model, |_| {}).is_ok());
    let refused = last(&model, |kind| {
        let EventKind::RefundIssued(refund) = kind else { panic!("a refund is last") };
        refund.amount -= U256::ONE;
    });
    assert!(matches!(refused, Err(ApplyError::Money { .. })));
}
