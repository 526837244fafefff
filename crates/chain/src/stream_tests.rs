use super::*;
use alloy::primitives::{Address, Bytes, keccak256};
use licen_core::abi::DataPolicy;
use licen_core::sol_types::SolEvent;
use proptest::prelude::*;

/// A chain in memory: per height the fork number that stands there.
#[derive(Debug, Clone)]
struct World {
    forks: Vec<u8>,
}

impl World {
    fn new(length: usize) -> Self {
        Self { forks: vec![0; length] }
    }

    fn hash(&self, number: u64) -> B256 {
        keccak256(&self.forks[..=number as usize])
    }

    fn header(&self, number: u64) -> Option<Header> {
        ((number as usize) < self.forks.len()).then(|| Header {
            number,
            hash: self.hash(number),
            parent_hash: if number == 0 { B256::ZERO } else { self.hash(number - 1) },
            timestamp: number,
        })
    }

    fn head(&self) -> u64 {
        self.forks.len() as u64 - 1
    }

    /// Replaces the newest `depth` blocks and adds `more`.
    fn reorg(&mut self, depth: usize, fork: u8, more: usize) {
        let keep = self.forks.len() - depth;
        self.forks.truncate(keep);
        self.forks.extend(std::iter::repeat_n(fork, depth + more));
    }

    /// Every block has one event that names its block's hash.
    fn logs(&self, from: u64, to: u64) -> Vec<RawLog> {
        (from..=to)
            .map(|number| RawLog {
                contract: Address::repeat_byte(1),
                topics: vec![DataPolicy::JobExpired::SIGNATURE_HASH, self.hash(number)],
                data: Bytes::new(),
                block_number: number,
                block_hash: self.hash(number),
                timestamp: number,
                tx_hash: B256::ZERO,
                log_index: 0,
            })
            .collect()
    }

    fn answer(&self, ask: Ask) -> Answer {
        match ask {
            Ask::Head => Answer::Head(self.header(self.head()).unwrap()),
            Ask::Range { from, to } if to - from > 9 => {
                let _ = (from, to);
                Answer::RangeTooLarge
            }
            Ask::Range { from, to } => {
                Answer::Range { last: self.header(to).unwrap(), logs: self.logs(from, to) }
            }
            Ask::Block(n) => match self.header(n) {
                Some(header) => Answer::Block { header, logs: self.logs(n, n) },
                None => Answer::NoBlock,
            },
            Ask::Header(n) => self.header(n).map_or(Answer::NoBlock, Answer::Header),
            Ask::Wait => unreachable!("nobody answers a wait"),
        }
    }
}

/// What a role would have in its tables: (height, block hash the event names).
#[derive(Debug, Default)]
struct Tables {
    rows: Vec<(u64, B256)>,
    at: Option<(u64, B256)>,
    finalized: u64,
    undone: usize,
}

impl Tables {
    fn apply(&mut self, step: &Advance) {
        assert_eq!(step.from, self.at, "a step starts where the tables are");
        if let Some(above) = step.undo_above {
            assert!(above >= self.finalized, "final blocks are never taken back");
            assert!(!step.blocks.is_empty(), "nothing is taken back without a replacement");
            self.undone += self.rows.iter().filter(|r| r.0 > above).count();
            self.rows.retain(|r| r.0 <= above);
        }
        for event in &step.events {
            let event::EventKind::JobExpired(e) = &event.kind else { panic!("another event") };
            self.rows.push((event.block_number, e.jobId));
        }
        self.at = step.blocks.last().map(|b| (b.number, b.hash));
        assert!(step.finalized >= self.finalized);
        self.finalized = step.finalized;
    }
}

fn run(follower: &mut Follower, world: &World, tables: &mut Tables) -> Result<(), StreamError> {
    for _ in 0..10_000 {
        match follower.ask() {
            Ask::Wait => return Ok(()),
            ask => {
                if let Some(step) = follower.feed(world.answer(ask))? {
                    tables.apply(&step);
                }
            }
        }
    }
    panic!("the follower never rests");
}

fn expected(world: &World) -> Vec<(u64, B256)> {
    (0..=world.head()).map(|n| (n, world.hash(n))).collect()
}

fn options() -> StreamOptions {
    StreamOptions { start_block: 0, finality: 8, max_range: 100 }
}

#[test]
fn backfill_shrinks_its_ranges_and_then_goes_block_by_block() {
    let world = World::new(200);
    let mut tables = Tables::default();
    let mut follower = Follower::new(options(), Vec::new(), 0);
    run(&mut follower, &world, &mut tables).unwrap();
    assert_eq!(tables.rows, expected(&world));
    assert!(follower.range < options().max_range, "ranges were halved");
    assert_eq!(tables.finalized, 199 - 8);
}

#[test]
fn a_reorg_takes_back_exactly_the_replaced_blocks() {
    let mut world = World::new(20);
    let mut tables = Tables::default();
    let mut follower = Follower::new(options(), Vec::new(), 0);
    run(&mut follower, &world, &mut tables).unwrap();
    world.reorg(3, 1, 0);
    run(&mut follower, &world, &mut tables).unwrap();
    assert_eq!((tables.rows.clone(), tables.undone), (expected(&world), 3));
    world.reorg(5, 2, 4);
    run(&mut follower, &world, &mut tables).unwrap();
    assert_eq!((tables.rows.clone(), tables.undone), (expected(&world), 8));
}

#[test]
fn a_shorter_chain_replaces_a_longer_one() {
    let mut world = World::new(20);
    let mut tables = Tables::default();
    let mut follower = Follower::new(options(), Vec::new(), 0);
    run(&mut follower, &world, &mut tables).unwrap();
    world.reorg(4, 1, 0);
    world.forks.truncate(18);
    run(&mut follower, &world, &mut tables).unwrap();
    assert_eq!(tables.rows, expected(&world));
}

#[test]
fn an_rpc_that_is_behind_undoes_nothing() {
    let world = World::new(20);
    let mut tables = Tables::default();
    let mut follower = Follower::new(options(), Vec::new(), 0);
    run(&mut follower, &world, &mut tables).unwrap();
    for length in [18, 15, 5, 1] {
        let behind = World::new(length);
        // Below the window the follower cannot tell "behind" from "replaced": it must not undo either.
        let _ = run(&mut follower, &behind, &mut tables);
        assert_eq!(tables.rows, expected(&world));
    }
    run(&mut follower, &world, &mut tables).unwrap();
    assert_eq!(tables.undone, 0);
}

#[test]
fn a_change_below_finality_stops_the_follower() {
    let mut world = World::new(40);
    let mut tables = Tables::default();
    let mut follower = Follower::new(options(), Vec::new(), 0);
    run(&mut follower, &world, &mut tables).unwrap();
    world.reorg(12, 1, 3);
    let before = tables.rows.clone();
    let stopped = run(&mut follower, &world, &mut tables);
    assert!(matches!(stopped, Err(StreamError::ReorgTooDeep { .. })), "{stopped:?}");
    assert_eq!(tables.rows, before);
}

#[test]
fn a_reorg_while_the_role_was_down_is_noticed() {
    let mut world = World::new(30);
    let mut tables = Tables::default();
    let mut follower = Follower::new(options(), Vec::new(), 0);
    run(&mut follower, &world, &mut tables).unwrap();
    let window: Vec<Header> = follower.window.iter().copied().collect();
    world.reorg(4, 1, 60);
    let mut restarted = Follower::new(options(), window, tables.finalized);
    run(&mut restarted, &world, &mut tables).unwrap();
    assert_eq!((tables.rows.clone(), tables.undone), (expected(&world), 4));
}

#[test]
fn contradicting_answers_change_nothing() {
    let world = World::new(5);
    let mut follower = Follower::new(options(), Vec::new(), 0);
    assert_eq!(follower.ask(), Ask::Head);
    follower.feed(world.answer(Ask::Head)).unwrap();
    assert_eq!(follower.ask(), Ask::Block(0));
    let header = world.header(0).unwrap();
    let foreign = Answer::Block { header, logs: world.logs(1, 1) };
    assert!(matches!(follower.feed(foreign), Err(StreamError::Inconsistent(_))));
    follower.ask();
    follower.feed(world.answer(Ask::Head)).unwrap();
    let doubled = [world.logs(0, 0), world.logs(0, 0)].concat();
    let refused = follower.feed(Answer::Block { header, logs: doubled });
    assert!(matches!(refused, Err(StreamError::Inconsistent(_))));
    assert_eq!(follower.position(), None);
}

proptest! {
    /// Whatever the chain does within its finality, and wherever the role restarts, the tables end
    /// equal to the chain.
    #[test]
    fn tables_follow_any_history(moves in prop::collection::vec((0usize..7, 0usize..12, any::<bool>()), 1..30)) {
        let mut world = World::new(12);
        let mut tables = Tables::default();
        let mut follower = Follower::new(options(), Vec::new(), 0);
        run(&mut follower, &world, &mut tables).unwrap();
        for (i, (depth, more, restart)) in moves.into_iter().enumerate() {
            world.reorg(depth, i as u8 + 1, more);
            if restart {
                let window: Vec<Header> = follower.window.iter().copied().collect();
                follower = Follower::new(options(), window, tables.finalized);
            }
            run(&mut follower, &world, &mut tables).unwrap();
            prop_assert_eq!(&tables.rows, &expected(&world));
        }
    }

    /// A change of the chain between any two answers only costs another round.
    #[test]
    fn a_change_between_answers_is_harmless(at in 0usize..60, depth in 1usize..7, more in 0usize..5) {
        let mut world = World::new(30);
        let mut tables = Tables::default();
        let mut follower = Follower::new(options(), Vec::new(), 0);
        for i in 0..400 {
            if i == at {
                world.reorg(depth, 9, more);
            }
            let ask = follower.ask();
            if ask == Ask::Wait {
                continue;
            }
            if let Ok(Some(step)) = follower.feed(world.answer(ask)) {
                tables.apply(&step);
            }
        }
        prop_assert_eq!(&tables.rows, &expected(&world));
    }
}
