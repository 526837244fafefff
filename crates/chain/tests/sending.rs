//! Each transaction once, whatever goes wrong, on a real node.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{World, native, sender_options, wallet};
use licen_chain::anvil::{Anvil, AnvilOptions};
use licen_chain::sender::{Attempt, End, Flight, Intent, JournalError, Observation, Order, Outcome};
use licen_chain::{
    Call, FileJournal, Journal, RpcOptions, Rpcs, SendError, Sender, SenderOptions, WalletKey,
};
use licen_core::abi::DataPolicy;
use licen_core::primitives::{Address, Bytes, U256};

fn pay(key: &str, wei: u64) -> Call {
    let to = Some(Address::repeat_byte(0xee));
    Call { idem_key: key.into(), to, value: U256::from(wei), data: Bytes::new() }
}

async fn node() -> (Anvil, Arc<Rpcs>, tempfile::TempDir) {
    let anvil = common::anvil(&AnvilOptions::default()).await;
    let rpcs = Arc::new(common::connect(&common::rpc_options(anvil.url())).await.unwrap());
    (anvil, rpcs, tempfile::tempdir().unwrap())
}

async fn received(rpcs: &Rpcs) -> U256 {
    rpcs.primary().balance(Address::repeat_byte(0xee)).await.unwrap()
}

#[tokio::test]
async fn a_call_repeated_is_one_transaction() {
    let (_anvil, rpcs, dir) = node().await;
    let sender = wallet(&rpcs, dir.path(), sender_options()).await;
    let first = sender.send_and_confirm(&pay("a", 7)).await.unwrap();
    assert_eq!(sender.send_and_confirm(&pay("a", 7)).await.unwrap(), first);
    let conflict = sender.send_and_confirm(&pay("a", 8)).await;
    assert!(matches!(conflict, Err(SendError::Journal(JournalError::Conflict { .. }))), "{conflict:?}");
    let (b, c) = (pay("b", 1), pay("b", 1));
    let (b, c) = tokio::join!(sender.send_and_confirm(&b), sender.send_and_confirm(&c));
    assert_eq!(b.unwrap().mined, c.unwrap().mined);
    assert_eq!(received(&rpcs).await, U256::from(8));
}

/// The pool forgot the kept transaction, and by now asks for more than it offers.
#[tokio::test]
async fn a_kept_transaction_that_became_too_cheap_holds_up_nobody() {
    let (anvil, rpcs, dir) = node().await;
    let world = Restarting::funded(&rpcs, dir, 43).await;
    let sender = world.sender();
    rpcs.primary().dev_automine(false).await.unwrap();
    let cheap = sender.intend(&pay("cheap", 3)).await.unwrap();
    let flight =
        tokio::time::timeout(Duration::from_secs(1), sender.send_and_confirm(&pay("cheap", 3))).await;
    assert!(flight.is_err(), "nothing is mined: {flight:?}");
    drop(sender);
    let rpc = |method: &'static str, params: serde_json::Value| {
        let body = serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let url = anvil.url().to_string();
        async move { post(&url, &body).await }
    };
    rpc("anvil_dropAllTransactions", serde_json::json!([])).await;
    rpc("anvil_setNextBlockBaseFeePerGas", serde_json::json!(["0x174876e800"])).await;
    rpcs.primary().dev_mine(1).await.unwrap();
    rpcs.primary().dev_automine(true).await.unwrap();
    let again = world.sender();
    again.send_and_confirm(&pay("later", 4)).await.unwrap();
    assert_eq!(received(&rpcs).await, U256::from(7), "both, the first under its old nonce");
    let (kept, attempts) = again.journal().load("cheap").await.unwrap().unwrap();
    assert_eq!((kept.nonce, kept.outcome.map(|o| o.end)), (cheap.nonce, Some(End::Succeeded)));
    assert!(attempts.len() >= 2, "it offers more now");
}

/// A node that counts twenty transactions of others as waiting, or says so.
#[tokio::test]
async fn a_nonce_far_above_what_is_mined_is_not_believed() {
    let (_anvil, rpcs, dir) = node().await;
    let world = Restarting::funded(&rpcs, dir, 45).await;
    rpcs.primary().dev_automine(false).await.unwrap();
    let others = Arc::new(world.sender());
    let tasks: Vec<_> = (0..20)
        .map(|i| {
            let others = others.clone();
            tokio::spawn(async move { others.send_and_confirm(&pay(&format!("{i}"), 1)).await })
        })
        .collect();
    let refused = async {
        loop {
            let dir = tempfile::tempdir().unwrap();
            let elsewhere = Restarting { rpcs: rpcs.clone(), dir, secret: [45; 32] };
            match elsewhere.sender().intend(&pay("mine", 1)).await {
                Err(SendError::NonceGap { latest: 0, pending, .. }) => return pending,
                other => drop(other.unwrap()),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let pending = tokio::time::timeout(Duration::from_secs(20), refused).await.unwrap();
    assert!(pending > 16, "{pending}");
    rpcs.primary().dev_automine(true).await.unwrap();
    rpcs.primary().dev_mine(1).await.unwrap();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
}

/// Two processes of one wallet: the second replaced what the first waits for.
#[tokio::test]
async fn a_version_that_another_process_kept_is_no_stranger() {
    let (_anvil, rpcs, dir) = node().await;
    let world = Restarting::funded(&rpcs, dir, 44).await;
    rpcs.primary().dev_automine(false).await.unwrap();
    let first = world.sender();
    let waiting = tokio::spawn(async move { first.send_and_confirm(&pay("a", 5)).await });
    let journal = world.sender();
    let versions = async |n: usize| {
        while journal.journal().load("a").await.unwrap().is_none_or(|(_, attempts)| attempts.len() < n) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    versions(1).await;
    let soon = SenderOptions { bump_after: Duration::from_millis(50), ..sender_options() };
    let second = world.sender_with(soon);
    let bumping = tokio::spawn(async move { second.send_and_confirm(&pay("a", 5)).await });
    versions(2).await;
    bumping.abort();
    let _ = bumping.await;
    rpcs.primary().dev_automine(true).await.unwrap();
    rpcs.primary().dev_mine(1).await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(received(&rpcs).await, U256::from(5));
}

#[tokio::test]
async fn many_calls_at_once_have_nonces_in_a_row() {
    let (_anvil, rpcs, dir) = node().await;
    let sender = Arc::new(wallet(&rpcs, dir.path(), sender_options()).await);
    let tasks: Vec<_> = (0..8)
        .map(|i| {
            let sender = sender.clone();
            tokio::spawn(async move { sender.send_and_confirm(&pay(&format!("{i}"), 1)).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(received(&rpcs).await, U256::from(8));
}

#[tokio::test]
async fn a_stuck_transaction_is_replaced_under_its_nonce() {
    let (_anvil, rpcs, dir) = node().await;
    rpcs.primary().dev_automine(false).await.unwrap();
    let options = SenderOptions { bump_after: Duration::from_millis(200), ..sender_options() };
    let sender = Arc::new(wallet(&rpcs, dir.path(), options).await);
    let task = tokio::spawn({
        let sender = sender.clone();
        async move { sender.send_and_confirm(&pay("stuck", 3)).await }
    });
    let attempts = loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let kept = sender.journal().load("stuck").await.unwrap();
        let attempts = kept.map(|(_, attempts)| attempts).unwrap_or_default();
        if attempts.len() >= 3 {
            break attempts;
        }
    };
    rpcs.primary().dev_mine(1).await.unwrap();
    let done = task.await.unwrap().unwrap();
    for pair in attempts.windows(2) {
        assert!(pair[1].fees.max_fee * 8 >= pair[0].fees.max_fee * 9, "at least 12.5 % more");
        assert!(pair[1].fees.max_priority_fee * 8 >= pair[0].fees.max_priority_fee * 9);
    }
    assert!(attempts[0].fees.max_priority_fee >= 2_000_000_000, "0G refuses a lower tip");
    let (intent, attempts) = sender.journal().load("stuck").await.unwrap().unwrap();
    assert!(attempts.iter().any(|a| a.hash == done.mined.tx_hash));
    assert_eq!(intent.nonce, 0);
    assert_eq!(received(&rpcs).await, U256::from(3));
}

/// A wallet whose process ends and starts again: same key, same journal.
struct Restarting {
    rpcs: Arc<Rpcs>,
    dir: tempfile::TempDir,
    secret: [u8; 32],
}

impl Restarting {
    async fn funded(rpcs: &Arc<Rpcs>, dir: tempfile::TempDir, secret: u8) -> Self {
        let world = Self { rpcs: rpcs.clone(), dir, secret: [secret; 32] };
        rpcs.primary().dev_fund(world.key().address(), U256::from(common::ETHER)).await.unwrap();
        world
    }

    fn key(&self) -> WalletKey {
        WalletKey::import(&mut self.secret.clone()).unwrap()
    }

    fn sender(&self) -> Sender<FileJournal> {
        self.sender_with(sender_options())
    }

    fn sender_with(&self, options: SenderOptions) -> Sender<FileJournal> {
        let key = self.key();
        let journal = FileJournal::open(self.dir.path(), &self.rpcs.identity(), key.address()).unwrap();
        Sender::new(self.rpcs.clone(), key, journal, options)
    }

    /// The first version, kept but not sent.
    async fn keep_attempt(&self, intent: &Intent) -> Attempt {
        let seen = Observation {
            head: 0,
            nonce_at_depth: intent.nonce,
            nonce_at_head: intent.nonce,
            fees: licen_chain::sender::Fees { max_fee: 10_000_000_000, max_priority_fee: 2_000_000_000 },
            mined: None,
        };
        let mut flight = Flight::new(intent.clone(), Vec::new(), sender_options());
        let now_ms = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
        let Order::Keep(attempt) = flight.observe(now_ms, &seen, &self.key()).remove(0) else {
            panic!("the first version is kept first")
        };
        self.sender().journal().add_attempt(&intent.idem_key, &attempt).await.unwrap();
        attempt
    }
}

#[tokio::test]
async fn a_crash_at_any_point_ends_in_one_transaction() {
    let (_anvil, rpcs, dir) = node().await;
    let world = Restarting::funded(&rpcs, dir, 42).await;

    // After the nonce was reserved, before anything was signed.
    world.sender().intend(&pay("reserved", 1)).await.unwrap();
    // After a version was kept, before it was sent.
    let kept = world.sender().intend(&pay("kept", 10)).await.unwrap();
    let attempt = world.keep_attempt(&kept).await;
    // After it was sent: the bytes are in the pool, its end is not kept.
    let sent = world.sender().intend(&pay("sent", 100)).await.unwrap();
    let bytes = world.keep_attempt(&sent).await.raw;
    assert_eq!((kept.nonce, sent.nonce), (1, 2));
    let raw = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": [bytes] });
    post(_anvil.url(), &raw).await;

    assert_eq!(world.sender().resume().await.unwrap(), 3);
    assert_eq!(received(&rpcs).await, U256::from(111));
    let again = world.sender().send_and_confirm(&pay("kept", 10)).await.unwrap();
    assert_eq!(again.mined.tx_hash, attempt.hash, "the bytes that were kept are the ones that were mined");
    assert_eq!(world.sender().resume().await.unwrap(), 0);
    assert_eq!(world.sender().intend(&pay("next", 1)).await.unwrap().nonce, 3);
    assert_eq!(received(&rpcs).await, U256::from(111));
}

async fn post(url: &str, body: &serde_json::Value) {
    let sent = common::http()
        .to(url)
        .post(url)
        .header("content-type", "application/json")
        .body(body.to_string())
        .send();
    assert!(sent.await.unwrap().status().is_success());
}

#[tokio::test]
async fn a_confirmed_transaction_that_vanished_is_put_back_before_the_next() {
    let (_anvil, rpcs, dir) = node().await;
    let sender = wallet(&rpcs, dir.path(), sender_options()).await;
    rpcs.primary().dev_mine(5).await.unwrap();
    sender.send_and_confirm(&pay("a", 1)).await.unwrap();
    rpcs.primary().dev_reorg(2).await.unwrap();
    assert_eq!(received(&rpcs).await, U256::ZERO);
    sender.send_and_confirm(&pay("b", 2)).await.unwrap();
    assert_eq!(received(&rpcs).await, U256::from(3));
}

#[tokio::test]
async fn a_call_waits_for_the_one_before_it() {
    let (_anvil, rpcs, dir) = node().await;
    let sender = wallet(&rpcs, dir.path(), sender_options()).await;
    sender.intend(&pay("forgotten", 1)).await.unwrap();
    sender.send_and_confirm(&pay("later", 2)).await.unwrap();
    assert_eq!(received(&rpcs).await, U256::from(3));
}

#[tokio::test]
async fn a_nonce_taken_from_elsewhere_is_reported() {
    let (_anvil, rpcs, dir) = node().await;
    let world = Restarting::funded(&rpcs, dir, 43).await;
    world.sender().intend(&pay("ours", 1)).await.unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let journal = FileJournal::open(elsewhere.path(), &rpcs.identity(), world.key().address()).unwrap();
    let other = Sender::new(rpcs.clone(), world.key(), journal, sender_options());
    other.send_and_confirm(&pay("theirs", 2)).await.unwrap();
    let lost = world.sender().send_and_confirm(&pay("ours", 1)).await;
    assert!(matches!(lost, Err(SendError::Displaced { nonce: 0, .. })), "{lost:?}");
    let (intent, _) = world.sender().journal().load("ours").await.unwrap().unwrap();
    assert!(matches!(intent.outcome, Some(Outcome { end: End::Displaced, .. })));
}

#[tokio::test]
async fn what_reverts_in_a_block_says_why() {
    let world = World::start().await;
    let policy = world.publish().await;
    let requester = wallet(&world.rpcs, world.dir.path(), sender_options()).await;
    let job = world.grant(&requester, "request", &policy).await;
    let cancel = DataPolicy::cancelJobCall { job: job.clone() };
    // Both look fine before either is sent.
    requester.intend(&world.call("cancel", 0, &cancel)).await.unwrap();
    requester.intend(&world.call("cancel twice", 0, &cancel)).await.unwrap();
    requester.send_and_confirm(&world.call("cancel", 0, &cancel)).await.unwrap();
    let refused = requester.send_and_confirm(&world.call("cancel twice", 0, &cancel)).await;
    let Err(SendError::Reverted { revert, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(revert.name, "JobStateWrong");
    assert!(revert.to_string().contains("is in state 6"), "{revert}");
    let _ = native();
}

#[tokio::test]
async fn a_transaction_that_vanishes_in_a_reorg_is_mined_again() {
    let (_anvil, rpcs, dir) = node().await;
    let options =
        SenderOptions { confirmations: 3, resend_after: Duration::from_millis(100), ..sender_options() };
    let sender = Arc::new(wallet(&rpcs, dir.path(), options).await);
    rpcs.primary().dev_mine(5).await.unwrap();
    let task = tokio::spawn({
        let sender = sender.clone();
        async move { sender.send_and_confirm(&pay("again", 5)).await }
    });
    while received(&rpcs).await.is_zero() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    rpcs.primary().dev_reorg(1).await.unwrap();
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if task.is_finished() {
            break;
        }
        rpcs.primary().dev_mine(1).await.unwrap();
    }
    let done = task.await.unwrap().unwrap();
    assert!(done.mined.success);
    assert_eq!(received(&rpcs).await, U256::from(5));
}

#[tokio::test]
async fn an_url_never_shows_its_credentials() {
    let options = RpcOptions {
        urls: vec!["http://127.0.0.1:1/v3/secret-token".into()],
        deadline: Duration::from_millis(300),
        ..RpcOptions::default()
    };
    let error = common::connect(&options).await.unwrap_err();
    let shown = format!("{error} {error:?} {options:?}");
    assert!(!shown.contains("secret-token"), "{shown}");
}
