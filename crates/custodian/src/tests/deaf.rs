//! Words of compute that were said and not taken in: they make nobody silent, whoever sees to it that they
//! are not.

use super::silence::{running, sign_of_life, silence_of};
use super::*;
use crate::machine::Machine;

/// An RPC that answers each call just in time, and all of them too late.
#[tokio::test]
async fn a_slow_chain_makes_nobody_silent() {
    let (_, mut bench, compute, job) = running().await;
    bench.pass(560);
    let (id, mut effects) = (RequestId(1 << 64), Vec::new());
    let ask = Box::new(sign_of_life(&job, &compute, 0));
    let asked = Event::Asked { id, caller: PEER, fresh: B256::ZERO, body_hash: B256::ZERO, ask };
    bench.machine.step(bench.now_ms, asked, &mut effects);
    let Effect::Load(load) = effects.remove(0).1 else { panic!("{effects:?}") };
    let loaded = ledger::load(&bench.store, &load).await;
    bench.machine.step(bench.now_ms, Event::Answered(id, Box::new(loaded)), &mut effects);
    assert!(matches!(&effects[..], [(_, Effect::Read(_))]), "it waits for the chain: {effects:?}");
    // Its patience ends at 610 s, long after the word was said.
    bench.pass(60);
    assert_eq!(status(&bench.ask(silence_of(&job)).await), 425);
    bench.pass(600);
    assert_eq!(status(&bench.ask(silence_of(&job)).await), 200);
}

/// Somebody behind the same address asks so often that compute's words are turned away.
#[tokio::test]
async fn a_busy_address_makes_nobody_silent() {
    let (_, mut bench, compute, job) = running().await;
    bench.machine = Machine::new(Settings {
        rates: Rates { per_peer: 30, per_job: 1_000, total: 10_000 },
        ..settings(1)
    });
    bench.pass(599);
    while status(&bench.ask(silence_of(&job)).await) != 429 {}
    assert_eq!(status(&bench.ask(sign_of_life(&job, &compute, 0)).await), 429);
    bench.pass(20);
    assert_eq!(status(&bench.ask(silence_of(&job)).await), 425);
}
