//! The routes over a real database and HTTP, and everybody who would misuse them. Signatures of contract
//! wallets are tried in a world (`tests/world/access.rs`), where there is a chain.

use std::sync::atomic::{AtomicUsize, Ordering};

use licen_chain::{RpcOptions, Rpcs, WalletKey};
use licen_core::abi::{AccessRequest, Approval};
use licen_core::id::policy_hash;
use licen_core::primitives::{Bytes, U256};
use licen_core::wire::AbiHex;
use licen_store::{Batch, Change, DatasetRow, PolicyRow, Scope};
use serde_json::{Value, json};

use super::*;

const CHAIN: u64 = 31_337;
const HERE: Address = Address::repeat_byte(0xc0);
const THERE: Address = Address::repeat_byte(0xd0);

struct Bench {
    base: String,
    store: Store,
    owner: WalletKey,
    http: reqwest::Client,
}

impl Bench {
    async fn start() -> Self {
        let fast = Rate { per_second: 1e6, at_once: 1e6 };
        Self::start_with(Limits {
            requests: AccessLimits { per_dataset: 3, in_all: 5 },
            approvals: AccessLimits { per_dataset: 2, in_all: 4 },
            writes: Rates { per_dataset: fast, in_all: fast },
            ..Limits::default()
        })
        .await
    }

    async fn start_with(limits: Limits) -> Self {
        Self::start_over(limits, Vec::new()).await
    }

    async fn start_over(limits: Limits, chains: Vec<Chain>) -> Self {
        let store = Store::in_memory().await.unwrap();
        let book = AccessBook::new(store.clone(), CHAIN, vec![HERE, THERE], chains, limits);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router(Arc::new(book))).await });
        let http = reqwest::Client::new();
        let bench = Self { base, store, owner: WalletKey::generate(), http };
        for contract in [HERE, THERE] {
            bench.has(contract, &bench.policy(1)).await;
        }
        bench
    }

    /// A policy that is not open.
    fn policy(&self, dataset: u8) -> Policy {
        Policy {
            datasetUid: B256::repeat_byte(dataset),
            owner: self.owner.address(),
            requestersRoot: B256::repeat_byte(0xa1),
            ..Policy::default()
        }
    }

    /// Puts a policy into force in the index.
    async fn has(&self, contract: Address, policy: &Policy) {
        let hash = policy_hash(policy);
        let dataset = DatasetRow {
            contract,
            dataset_uid: policy.datasetUid,
            dataset_root: B256::ZERO,
            owner: policy.owner,
            manifest_hash: B256::ZERO,
            policy_hash: hash,
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
        let row = PolicyRow {
            contract,
            policy_hash: hash,
            dataset_uid: policy.datasetUid,
            version: 1,
            policy_abi: policy.abi_encode().into(),
            set_at: 1,
            set_block: 1,
            set_tx: B256::ZERO,
        };
        let changes = vec![(1, Change::Dataset(Box::new(dataset))), (1, Change::Policy(Box::new(row)))];
        self.store.apply(&Batch { changes, ..Batch::default() }).await.unwrap();
    }

    async fn post<T: serde::Serialize>(&self, path: &str, body: &T) -> (u16, String) {
        self.post_bytes(path, serde_json::to_vec(body).unwrap()).await
    }

    /// The status, and the title of a problem.
    async fn post_bytes(&self, path: &str, body: Vec<u8>) -> (u16, String) {
        let answer = self.http.post(format!("{}{path}", self.base)).body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        let said: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        if status != 200 {
            assert_eq!((&said["code"], &said["status"]), (&"LIC0905".into(), &status.into()), "{said}");
        }
        (status, said["title"].as_str().unwrap_or_default().to_string())
    }

    async fn asks(&self, said: &SignedAccessRequest) -> (u16, String) {
        self.post("/v1/access", said).await
    }

    async fn approves(&self, said: &SignedApproval) -> (u16, String) {
        self.post("/v1/approvals", said).await
    }

    async fn shown(&self, contract: Address, dataset: u8) -> AccessList {
        let path = format!("{}/v1/access/{contract}/{}", self.base, B256::repeat_byte(dataset));
        let answer = self.http.get(path).send().await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    /// The owner's approval of a requester.
    fn approval(&self, dataset: u8, requester: Address, expires: u64) -> SignedApproval {
        let policy = self.policy(dataset);
        let approval = Approval {
            datasetUid: policy.datasetUid,
            requestersRoot: policy.requestersRoot,
            requester,
            expires,
        };
        approved(&self.owner, HERE, approval)
    }

    /// Empties the index, as when a contract joins that was deployed later.
    async fn begins_again(&self) {
        for joined in [&[HERE][..], &[HERE, THERE]] {
            self.store.follow(&Scope::new(Address::repeat_byte(0xcc), joined, 1)).await.unwrap();
        }
    }

    async fn show_status(&self, contract: Address, dataset: u8) -> u16 {
        let path = format!("{}/v1/access/{contract}/{}", self.base, B256::repeat_byte(dataset));
        self.http.get(path).send().await.unwrap().status().as_u16()
    }

    async fn nothing_is_kept(&self) {
        assert_eq!(self.shown(HERE, 1).await, AccessList::default());
        assert_eq!(self.shown(THERE, 1).await, AccessList::default());
    }
}

/// So many at once, and hardly any after that.
fn at_once(per_dataset: f64, in_all: f64) -> Rates {
    let rate = |at_once| Rate { per_second: 0.001, at_once };
    Rates { per_dataset: rate(per_dataset), in_all: rate(in_all) }
}

/// A chain where every account is a contract that says no, and how often one was asked.
async fn chain_of_nays() -> (Chain, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counts = asked.clone();
    let answer = move |Json(question): Json<Value>| async move {
        let block = json!({
            "number": "0x9", "hash": B256::repeat_byte(1), "parentHash": B256::ZERO, "timestamp": "0x1",
        });
        let result = match question["method"].as_str().unwrap() {
            "eth_chainId" => json!("0x7a69"),
            "eth_blockNumber" => json!("0x9"),
            "eth_getBlockByNumber" => block,
            "eth_getCode" => json!("0x01"),
            "eth_call" => {
                counts.fetch_add(1, Ordering::SeqCst);
                json!(B256::ZERO)
            }
            other => panic!("{other}"),
        };
        Json(json!({"jsonrpc": "2.0", "id": question["id"], "result": result}))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let urls = vec![format!("http://{}", listener.local_addr().unwrap())];
    let app = Router::new().route("/", post(answer));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let http = crate::session::rpc::rpc_client(Duration::from_secs(10)).unwrap();
    let options = RpcOptions { urls, ..RpcOptions::default() };
    let rpcs = Rpcs::connect(|url| http.to(url), &options).await.unwrap();
    (Chain::new(Arc::new(rpcs), HERE, Address::repeat_byte(0xcc)), asked)
}

fn now() -> u64 {
    unix_ms() / 1_000
}

fn asked(key: &WalletKey, dataset: u8) -> AccessRequest {
    AccessRequest {
        datasetUid: B256::repeat_byte(dataset),
        requestersRoot: B256::repeat_byte(0xa1),
        requester: key.address(),
        askedAt: now(),
        note: "For a paper on birds, ünïcode".into(),
    }
}

fn signed_under(domain: Domain, key: &WalletKey, request: AccessRequest) -> SignedAccessRequest {
    let signature = Bytes::copy_from_slice(&key.sign_digest(&domain.digest(&request)));
    SignedAccessRequest { contract: HERE, request: AbiHex(request), signature }
}

fn signed(key: &WalletKey, request: AccessRequest) -> SignedAccessRequest {
    signed_under(Domain { chain_id: CHAIN, contract: HERE }, key, request)
}

fn approved(key: &WalletKey, contract: Address, approval: Approval) -> SignedApproval {
    let digest = Domain { chain_id: CHAIN, contract }.digest(&approval);
    let signature = Bytes::copy_from_slice(&key.sign_digest(&digest));
    SignedApproval { contract, approval: AbiHex(approval), signature }
}

#[tokio::test]
async fn who_asks_is_shown_to_everybody_as_it_was_signed() {
    let bench = Bench::start().await;
    let (who, other) = (WalletKey::generate(), WalletKey::generate());
    let request = signed(&who, asked(&who, 1));
    let approval = bench.approval(1, other.address(), now() + 60);
    assert_eq!(bench.asks(&request).await.0, 200);
    assert_eq!(bench.approves(&approval).await.0, 200);
    let kept = AccessList { requests: vec![request.clone()], approvals: vec![approval] };
    assert_eq!(bench.shown(HERE, 1).await, kept);
    assert_eq!(bench.shown(THERE, 1).await, AccessList::default(), "each contract for itself");
    assert_eq!(bench.asks(&request).await.0, 200, "sent again, it is the same");
    assert_eq!(bench.shown(HERE, 1).await, kept);
}

#[tokio::test]
async fn a_stranger_approves_nobody() {
    let bench = Bench::start().await;
    let stranger = WalletKey::generate();
    let honest = bench.approval(1, stranger.address(), now() + 60);
    let mut forged = vec![approved(&stranger, HERE, honest.approval.0.clone())];
    // The owner's own signature, for another contract, for somebody else, for longer, or bent.
    forged.push(SignedApproval { contract: THERE, ..honest.clone() });
    let elsewhere = approved(&bench.owner, THERE, honest.approval.0.clone());
    forged.push(SignedApproval { contract: HERE, ..elsewhere });
    for change in [(|a| a.requester = Address::repeat_byte(9)) as fn(&mut Approval), |a| a.expires += 1_000] {
        let mut bent = honest.clone();
        change(&mut bent.approval.0);
        forged.push(bent);
    }
    let other_chain = Domain { chain_id: 1, contract: HERE }.digest(&honest.approval.0);
    let signature = Bytes::copy_from_slice(&bench.owner.sign_digest(&other_chain));
    forged.push(SignedApproval { signature, ..honest.clone() });
    forged.push(SignedApproval { signature: Bytes::new(), ..honest.clone() });
    for said in &forged {
        assert_eq!(bench.approves(said).await, (403, "not signed".into()), "{said:?}");
    }
    bench.nothing_is_kept().await;
    assert_eq!(bench.approves(&honest).await.0, 200);
}

#[tokio::test]
async fn nobody_asks_in_anothers_name() {
    let bench = Bench::start().await;
    let (who, other) = (WalletKey::generate(), WalletKey::generate());
    let request = asked(&who, 1);
    let elsewhere = signed_under(Domain { chain_id: CHAIN, contract: THERE }, &who, request.clone());
    let mut noted = signed(&who, request.clone());
    noted.request.0.note = "something else".into();
    for said in [signed(&other, request.clone()), elsewhere, noted] {
        assert_eq!(bench.asks(&said).await, (403, "not signed".into()));
    }
    // An approval's signature is none of a request.
    let approval = bench.approval(1, bench.owner.address(), now() + 60);
    let own = AccessRequest { requester: bench.owner.address(), ..request };
    let taken = SignedAccessRequest { contract: HERE, request: AbiHex(own), signature: approval.signature };
    assert_eq!(bench.asks(&taken).await.0, 403);
    bench.nothing_is_kept().await;
}

#[tokio::test]
async fn what_the_policy_does_not_ask_for_is_not_kept() {
    let bench = Bench::start().await;
    let who = WalletKey::generate();
    bench.has(HERE, &Policy { requestersRoot: B256::ZERO, ..bench.policy(2) }).await;
    let conflict = (409, "it does not fit the dataset's policy".to_string());
    let of = |change: fn(&mut AccessRequest)| {
        let mut request = asked(&who, 1);
        change(&mut request);
        signed(&who, request)
    };
    assert_eq!(bench.asks(&of(|r| r.requestersRoot = B256::repeat_byte(0xa2))).await, conflict);
    assert_eq!(bench.asks(&of(|r| r.datasetUid = B256::repeat_byte(2))).await, conflict, "open to everybody");
    assert_eq!(bench.asks(&of(|r| r.requester = Address::ZERO)).await, conflict);
    assert_eq!(
        bench.asks(&of(|r| r.datasetUid = B256::repeat_byte(3))).await,
        (404, "no such dataset".into())
    );
    let elsewhere = SignedAccessRequest { contract: Address::repeat_byte(7), ..of(|_| ()) };
    assert_eq!(bench.asks(&elsewhere).await.0, 404);
    for change in
        [(|r| r.askedAt += 900) as fn(&mut AccessRequest), |r| r.askedAt -= 900, |r| r.askedAt = u64::MAX]
    {
        assert_eq!(bench.asks(&of(change)).await, (409, "asked at another time".into()));
    }
    let ended = bench.approval(1, who.address(), now() - 1);
    assert_eq!(bench.approves(&ended).await, conflict);
    let mut approval = ended.approval.0;
    (approval.expires, approval.requestersRoot) = (now() + 60, B256::repeat_byte(0xa2));
    assert_eq!(bench.approves(&approved(&bench.owner, HERE, approval)).await, conflict, "another list");
    bench.nothing_is_kept().await;
}

#[tokio::test]
async fn a_note_drives_no_terminal_and_is_short() {
    let bench = Bench::start().await;
    let who = WalletKey::generate();
    let long = "ü".repeat(141);
    for note in ["\u{1b}[2Jpaid", "a\nmay    0x0", "a\u{202e}b", "a\u{9b}31m", "\0", &long] {
        let request = AccessRequest { note: note.into(), ..asked(&who, 1) };
        let (status, _) = bench.asks(&signed(&who, request)).await;
        assert_eq!(status, 409, "{note:?}");
    }
    // Bytes that are no UTF-8 are no note.
    let said = signed(&who, AccessRequest { note: "abcd".into(), ..asked(&who, 1) });
    let text = serde_json::to_string(&said).unwrap();
    let broken = text.replace("61626364", "ff626364");
    assert_ne!(text, broken);
    assert_eq!(bench.post_bytes("/v1/access", broken.into_bytes()).await.0, 400);
    bench.nothing_is_kept().await;
}

#[tokio::test]
async fn bodies_that_are_none_or_too_large_are_refused() {
    let bench = Bench::start().await;
    let who = WalletKey::generate();
    let honest = signed(&who, asked(&who, 1));
    for path in ["/v1/access", "/v1/approvals"] {
        for body in [b"".to_vec(), b"{}".to_vec(), b"[1]".to_vec(), b"{\"contract\":".to_vec()] {
            assert_eq!(bench.post_bytes(path, body).await.0, 400);
        }
        assert_eq!(bench.post_bytes(path, vec![b' '; MAX_BODY + 1]).await, (413, "too large".into()));
    }
    let mut more = serde_json::to_value(&honest).unwrap();
    more["also"] = 1.into();
    assert_eq!(bench.post("/v1/access", &more).await.0, 400, "an unknown member");
    let wide = SignedAccessRequest { signature: vec![1; MAX_SIGNATURE + 1].into(), ..honest };
    assert_eq!(bench.asks(&wide).await, (400, "not understood".into()));
    for path in ["/v1/access/0x12/0x34", "/v1/access/nobody/nothing"] {
        let answer = bench.http.get(format!("{}{path}", bench.base)).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 400);
    }
    bench.nothing_is_kept().await;
}

#[tokio::test]
async fn an_older_request_or_a_shorter_approval_does_not_come_back() {
    let bench = Bench::start().await;
    let who = WalletKey::generate();
    let old = signed(&who, AccessRequest { askedAt: now() - 9, note: "old".into(), ..asked(&who, 1) });
    let new = signed(&who, AccessRequest { note: "new".into(), ..asked(&who, 1) });
    let (short, long) =
        (bench.approval(1, who.address(), now() + 60), bench.approval(1, who.address(), now() + 600));
    assert_eq!((bench.asks(&old).await.0, bench.asks(&new).await.0), (200, 200));
    assert_eq!((bench.approves(&short).await.0, bench.approves(&long).await.0), (200, 200));
    let stands = (409, "another one stands".to_string());
    // A stranger recorded both and sends them again.
    assert_eq!((bench.asks(&old).await, bench.approves(&short).await), (stands.clone(), stands));
    assert_eq!(bench.shown(HERE, 1).await, AccessList { requests: vec![new], approvals: vec![long] });
}

#[tokio::test]
async fn a_flood_of_fresh_keys_is_bounded_and_removes_no_approval() {
    let bench = Bench::start().await;
    bench.has(HERE, &bench.policy(2)).await;
    let approval = bench.approval(1, Address::repeat_byte(7), now() + 600);
    assert_eq!(bench.approves(&approval).await.0, 200);
    for _ in 0..20 {
        let stranger = WalletKey::generate();
        assert_eq!(bench.asks(&signed(&stranger, asked(&stranger, 1))).await.0, 200);
    }
    let kept = bench.shown(HERE, 1).await;
    assert_eq!((kept.requests.len(), kept.approvals), (3, vec![approval.clone()]));
    // Too many of one dataset are its owner's alone to bear.
    assert_eq!(bench.approves(&bench.approval(1, Address::repeat_byte(8), now() + 600)).await.0, 200);
    let third = bench.approves(&bench.approval(1, Address::repeat_byte(9), now() + 600)).await;
    assert_eq!(third, (507, "too many approvals".into()));
    assert_eq!(bench.approves(&bench.approval(2, Address::repeat_byte(9), now() + 600)).await.0, 200);
    assert_eq!(bench.shown(HERE, 1).await.approvals.len(), 2);
}

#[tokio::test]
async fn a_full_node_takes_no_approval_and_removes_none() {
    let bench = Bench::start().await;
    for dataset in 2..=4 {
        bench.has(HERE, &bench.policy(dataset)).await;
    }
    let approval = |dataset, n| bench.approval(dataset, Address::repeat_byte(n), now() + 600);
    for (dataset, n) in [(1, 7), (1, 8), (2, 7), (2, 8)] {
        assert_eq!(bench.approves(&approval(dataset, n)).await.0, 200);
    }
    for dataset in 3..=4 {
        assert_eq!(bench.approves(&approval(dataset, 7)).await, (507, "full".into()));
    }
    for dataset in 1..=2 {
        assert_eq!(bench.shown(HERE, dataset).await.approvals.len(), 2);
    }
}

#[tokio::test]
async fn requests_in_a_hurry_wait_and_hold_up_neither_approvals_nor_other_datasets() {
    let limits = Limits { writes: at_once(2.0, 4.0), ..Limits::default() };
    let bench = Bench::start_with(limits).await;
    bench.has(HERE, &bench.policy(2)).await;
    let busy = (429, "too many at once".to_string());
    for n in 0..8 {
        let stranger = WalletKey::generate();
        let answer = bench.asks(&signed(&stranger, asked(&stranger, 1))).await;
        assert!(if n < 2 { answer.0 == 200 } else { answer == busy }, "{n}: {answer:?}");
    }
    let honest = WalletKey::generate();
    assert_eq!(bench.asks(&signed(&honest, asked(&honest, 2))).await.0, 200);
    let approval = bench.approval(1, Address::repeat_byte(7), now() + 600);
    assert_eq!(bench.approves(&approval).await.0, 200);
}

#[tokio::test]
async fn who_sends_a_public_approval_again_and_again_stops_nobody() {
    let limits = Limits { writes: at_once(3.0, 3.0), ..Limits::default() };
    let bench = Bench::start_with(limits).await;
    let who = Address::repeat_byte(7);
    let (short, long) = (bench.approval(1, who, now() + 60), bench.approval(1, who, now() + 600));
    assert_eq!((bench.approves(&short).await.0, bench.approves(&long).await.0), (200, 200));
    for _ in 0..10 {
        assert_eq!(bench.approves(&long).await, (200, String::new()), "it is kept");
        assert_eq!(bench.approves(&short).await, (409, "another one stands".into()));
    }
    let other = bench.approval(1, Address::repeat_byte(8), now() + 600);
    assert_eq!(bench.approves(&other).await.0, 200, "the third write");
    let none_left = bench.approval(1, Address::repeat_byte(9), now() + 600);
    assert_eq!(bench.approves(&none_left).await.0, 429, "the pace is as slow as this test needs it");
}

#[tokio::test]
async fn signatures_that_are_none_block_only_the_contract_wallets_of_their_dataset() {
    let (chain, calls) = chain_of_nays().await;
    let limits = Limits { questions: at_once(2.0, 4.0), ..Limits::default() };
    let bench = Bench::start_over(limits, vec![chain]).await;
    bench.has(HERE, &bench.policy(2)).await;
    let forged = |dataset| {
        let honest = bench.approval(dataset, Address::repeat_byte(7), now() + 600);
        SignedApproval { signature: Bytes::from_static(b"none"), ..honest }
    };
    let (unsigned, busy) = ((403, "not signed".to_string()), (429, "too many at once".to_string()));
    for n in 0..8 {
        let answer = bench.approves(&forged(1)).await;
        assert_eq!(answer, if n < 2 { unsigned.clone() } else { busy.clone() }, "{n}");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 2, "who comes too often is refused before the chain is asked");
    assert_eq!(bench.approves(&forged(2)).await, unsigned, "another dataset's wallet is still asked");
    let wallet = WalletKey::generate();
    let request =
        SignedAccessRequest { signature: Bytes::from_static(b"none"), ..signed(&wallet, asked(&wallet, 1)) };
    assert_eq!(bench.asks(&request).await, unsigned, "requests have a pace of their own");
    // Keys need no question.
    let honest = bench.approval(1, Address::repeat_byte(7), now() + 600);
    assert_eq!(bench.approves(&honest).await.0, 200);
}

#[test]
fn paces_of_datasets_are_forgotten_oldest_first() {
    let paces = Paces::new(Rates {
        per_dataset: Rate { per_second: 0.001, at_once: 1.0 },
        in_all: Rate { per_second: 1e9, at_once: 1e9 },
    });
    let dataset = |n: usize| (HERE, B256::from(U256::from(n)));
    for n in 0..PACED {
        assert!(paces.may_go(dataset(n)));
        assert!(!paces.may_go(dataset(n)));
    }
    assert!(!paces.may_go(dataset(0)), "nothing is forgotten yet, and this one was used last");
    assert!(paces.may_go(dataset(PACED)));
    assert_eq!(paces.state.lock().unwrap().1.len(), PACED);
    assert!(!paces.may_go(dataset(0)));
    assert!(paces.may_go(dataset(1)), "the one that rested longest is as new");
}

#[tokio::test]
async fn a_new_list_hides_what_was_said_under_the_old_one_until_that_is_current_again() {
    let bench = Bench::start().await;
    let who = WalletKey::generate();
    let request = signed(&who, asked(&who, 1));
    let approval = bench.approval(1, who.address(), now() + 600);
    assert_eq!((bench.asks(&request).await.0, bench.approves(&approval).await.0), (200, 200));
    let next = Policy { requestersRoot: B256::repeat_byte(0xa2), version: 2, ..bench.policy(1) };
    bench.has(HERE, &next).await;
    bench.nothing_is_kept().await;
    assert_eq!((bench.asks(&request).await.0, bench.approves(&approval).await.0), (409, 409));
    // Somebody asks under the new list, too.
    let under_next = AccessRequest { requestersRoot: next.requestersRoot, ..asked(&who, 1) };
    let under_next = signed(&who, under_next);
    assert_eq!(bench.asks(&under_next).await.0, 200);
    // The block of the update is taken back.
    bench.has(HERE, &bench.policy(1)).await;
    let kept = AccessList { requests: vec![request], approvals: vec![approval] };
    assert_eq!(bench.shown(HERE, 1).await, kept);
    bench.has(HERE, &next).await;
    let kept = AccessList { requests: vec![under_next], approvals: Vec::new() };
    assert_eq!(bench.shown(HERE, 1).await, kept);
}

#[tokio::test]
async fn who_looks_while_the_index_reads_its_history_again_removes_nothing() {
    let bench = Bench::start().await;
    let current = Policy { requestersRoot: B256::repeat_byte(0xa2), version: 2, ..bench.policy(1) };
    bench.has(HERE, &current).await;
    let who = WalletKey::generate();
    let request = signed(&who, AccessRequest { requestersRoot: current.requestersRoot, ..asked(&who, 1) });
    let approval = Approval {
        datasetUid: current.datasetUid,
        requestersRoot: current.requestersRoot,
        requester: who.address(),
        expires: now() + 600,
    };
    let approval = approved(&bench.owner, HERE, approval);
    assert_eq!((bench.asks(&request).await.0, bench.approves(&approval).await.0), (200, 200));
    bench.begins_again().await;
    assert_eq!(bench.show_status(HERE, 1).await, 404, "the dataset is not registered yet");
    bench.has(HERE, &bench.policy(1)).await;
    assert_eq!(bench.shown(HERE, 1).await, AccessList::default(), "its first list stands");
    assert_eq!((bench.asks(&request).await.0, bench.approves(&approval).await.0), (409, 409));
    bench.has(HERE, &current).await;
    let kept = AccessList { requests: vec![request], approvals: vec![approval] };
    assert_eq!(bench.shown(HERE, 1).await, kept);
}

#[tokio::test]
async fn an_approval_that_ended_is_not_shown() {
    let bench = Bench::start().await;
    let approval = bench.approval(1, Address::repeat_byte(7), now() + 1);
    assert_eq!(bench.approves(&approval).await.0, 200);
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(bench.shown(HERE, 1).await.approvals, []);
}
