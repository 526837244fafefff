//! Following a real node through a change of its history, and its replacement by another chain.

mod common;

use common::{World, rpc_options, sender_options, wallet};
use licen_chain::anvil::AnvilOptions;
use licen_chain::fetch::{self, FollowError};
use licen_chain::stream::StreamOptions;
use licen_chain::{Advance, ChainError, ChainEvent, Follower};
use licen_core::primitives::B256;

/// What a role would have in its tables.
#[derive(Default)]
struct Tables {
    rows: Vec<ChainEvent>,
    at: Option<(u64, B256)>,
    undone: usize,
}

impl Tables {
    fn apply(&mut self, step: Advance) {
        assert_eq!(step.from, self.at);
        if let Some(above) = step.undo_above {
            self.undone += self.rows.iter().filter(|e| e.block_number > above).count();
            self.rows.retain(|e| e.block_number <= above);
        }
        self.rows.extend(step.events);
        self.at = step.blocks.last().map(|b| (b.number, b.hash));
    }

    fn names(&self) -> Vec<&'static str> {
        self.rows.iter().map(|e| e.kind.name()).collect()
    }
}

async fn follow(world: &World, follower: &mut Follower, tables: &mut Tables) -> Result<(), FollowError> {
    while let Some(step) = fetch::step(&world.rpcs, &world.deployment.contracts, follower).await? {
        tables.apply(step);
    }
    Ok(())
}

#[tokio::test]
async fn rows_go_back_with_a_reorg_and_return() {
    let world = World::start().await;
    let policy = world.publish().await;
    let requester = wallet(&world.rpcs, world.dir.path(), sender_options()).await;
    let options =
        StreamOptions { start_block: world.deployment.start_block, finality: 16, ..StreamOptions::default() };
    let mut follower = Follower::new(options, Vec::new(), 0);
    let mut tables = Tables::default();
    let job = world.grant(&requester, "request", &policy).await;
    follow(&world, &mut follower, &mut tables).await.unwrap();
    let granted = tables.names();
    assert_eq!(granted[granted.len() - 2..], ["AccessGranted", "JobOpened"]);
    let running = world.run(&job).await;
    world.rpcs.primary().dev_mine(2).await.unwrap();
    follow(&world, &mut follower, &mut tables).await.unwrap();
    assert_eq!(tables.names().last(), Some(&"JobStarted"));

    // The start and the two blocks above it vanish.
    world.rpcs.primary().dev_reorg(3).await.unwrap();
    follow(&world, &mut follower, &mut tables).await.unwrap();
    assert_eq!((tables.names(), tables.undone), (granted.clone(), 1));
    let gone = world.chain.confirmed_run(&running).await;
    assert!(matches!(gone, Err(ChainError::JobMismatch { .. } | ChainError::JobState { .. })), "{gone:?}");

    // It is started again, on the new history, by somebody else.
    let start = world.start_call(&job).await;
    requester.send_and_confirm(&world.call("start again", 0, &start)).await.unwrap();
    follow(&world, &mut follower, &mut tables).await.unwrap();
    assert_eq!(tables.names().last(), Some(&"JobStarted"));
    assert_eq!(tables.rows.len(), granted.len() + 1);

    // A follower that starts from nothing, in ranges, sees the same.
    world.rpcs.primary().dev_mine(20).await.unwrap();
    let mut fresh = Tables::default();
    follow(&world, &mut Follower::new(StreamOptions { max_range: 3, ..options }, Vec::new(), 0), &mut fresh)
        .await
        .unwrap();
    assert_eq!(fresh.rows, tables.rows);
}

#[tokio::test]
async fn another_chain_behind_the_same_url_is_refused() {
    let mut world = World::start().await;
    let options = StreamOptions { start_block: 0, finality: 16, ..StreamOptions::default() };
    let mut follower = Follower::new(options, Vec::new(), 0);
    let mut tables = Tables::default();
    follow(&world, &mut follower, &mut tables).await.unwrap();
    let (before, port) = (tables.at, world.anvil.url().rsplit(':').next().unwrap().parse().unwrap());
    drop(std::mem::replace(&mut world.anvil, common::anvil(&AnvilOptions::default()).await));
    let arguments = vec!["--timestamp".into(), "1700000000".into()];
    let replaced =
        common::anvil(&AnvilOptions { port: Some(port), arguments, ..AnvilOptions::default() }).await;
    let refused = follow(&world, &mut follower, &mut tables).await;
    assert!(matches!(refused, Err(FollowError::Chain(ChainError::OtherChain { .. }))), "{refused:?}");
    assert_eq!((tables.at, tables.undone), (before, 0));
    let read = world.chain.job_state(B256::ZERO).await;
    assert!(matches!(read, Err(ChainError::OtherChain { .. })), "{read:?}");
    let pinned = licen_chain::RpcOptions {
        expected: Some(world.deployment.identity()),
        ..rpc_options(replaced.url())
    };
    assert!(matches!(common::connect(&pinned).await, Err(ChainError::OtherChain { .. })));
}
