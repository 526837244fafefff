//! A dataset priced in an ERC-20, from `publish --token` to the last base unit: one with 2 decimals, and one
//! that behaves as USDT does.

use std::time::{Duration, Instant};

use expect_test::{Expect, expect};
use licen_core::abi::Split;
use licen_core::id::{account_of, split_account};
use licen_core::primitives::{Address, B256, U256, hex};
use licen_core::sol_types::{SolCall, SolValue, sol};
use licen_core::split::parts;
use serde_json::{Value, json};

use super::golden;
use super::place::{Place, Said};

sol! {
    #![sol(alloy_sol_types = licen_core::sol_types)]

    interface Erc20 {
        function balanceOf(address account) external view returns (uint256);
        function allowance(address owner, address spender) external view returns (uint256);
        function approve(address spender, uint256 amount) external;
        function transfer(address to, uint256 amount) external;
        function mint(address to, uint256 amount) external;
    }
}

const NAMED: &str = include_str!("../data/NamedToken.json");
const TETHER: &str = include_str!("../data/TetherToken.json");
/// Nobody's wallets, so that what they have is what the split paid.
const PAYEES: [Address; 3] =
    [Address::repeat_byte(0xa1), Address::repeat_byte(0xb2), Address::repeat_byte(0xc3)];
/// Who deploys tokens and mints them.
const MINT: Address = Address::repeat_byte(0xd4);
/// What the requester is given of the token with 2 decimals.
const MINTED: u64 = 1_000;

/// A token of this world.
struct Token<'a> {
    place: &'a Place,
    address: Address,
}

impl<'a> Token<'a> {
    fn deploy(place: &'a Place, artifact: &str, arguments: &[u8]) -> Self {
        let artifact: Value = serde_json::from_str(artifact).unwrap();
        let code = hex::decode(artifact["bytecode"].as_str().unwrap()).unwrap();
        let mined = transact(place, MINT, None, &[&code, arguments].concat());
        let address = mined["contractAddress"].as_str().unwrap().parse().unwrap();
        Self { place, address }
    }

    fn mint(&self, to: Address, amount: u64) {
        let call = Erc20::mintCall { to, amount: U256::from(amount) };
        transact(self.place, MINT, Some(self.address), &call.abi_encode());
        self.place.deepen();
    }

    fn read<C: SolCall>(&self, call: &C) -> U256 {
        let call = json!([{"to": self.address, "data": hex::encode_prefixed(call.abi_encode())}, "latest"]);
        self.place.rpc("eth_call", &call)["result"].as_str().unwrap().parse().unwrap()
    }

    fn of(&self, account: Address) -> U256 {
        self.read(&Erc20::balanceOfCall { account })
    }

    fn allowed(&self, owner: Address, spender: Address) -> U256 {
        self.read(&Erc20::allowanceCall { owner, spender })
    }
}

/// A transaction of an address whose key nobody needs here; gives its receipt.
fn transact(place: &Place, from: Address, to: Option<Address>, data: &[u8]) -> Value {
    place.rpc("anvil_impersonateAccount", &json!([from]));
    let mut call = json!({"from": from, "data": hex::encode_prefixed(data)});
    if let Some(to) = to {
        call["to"] = json!(to);
    }
    let hash = place.rpc("eth_sendTransaction", &json!([call]))["result"].clone();
    place.rpc("anvil_stopImpersonatingAccount", &json!([from]));
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let receipt = place.rpc("eth_getTransactionReceipt", &json!([hash]))["result"].clone();
        if receipt.is_object() {
            assert_eq!(receipt["status"], "0x1", "{receipt}");
            return receipt;
        }
        assert!(Instant::now() < deadline, "{hash} is not mined");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Everything that the parts of the story share.
struct World<'a> {
    place: &'a Place,
    owner: Address,
    requester: Address,
    contract: Address,
}

impl<'a> World<'a> {
    fn of(place: &'a Place) -> Self {
        let text = std::fs::read_to_string(place.dir.join("deployment.json")).unwrap();
        let deployment: Value = serde_json::from_str(&text).unwrap();
        let contract = deployment["contracts"]["dataPolicies"][0].as_str().unwrap().parse().unwrap();
        Self { place, owner: wallet(place, "owner"), requester: wallet(place, "researcher"), contract }
    }

    fn nonce(&self) -> U256 {
        let answer = self.place.rpc("eth_getTransactionCount", &json!([self.requester, "latest"]));
        answer["result"].as_str().unwrap().parse().unwrap()
    }

    /// The record of `earnings` of an account in a token, which the chain must agree with.
    fn credit(&self, account: B256, token: Address) -> U256 {
        let (account, token) = (account.to_string(), token.to_string());
        let args = ["--json", "earnings", "--account", &account, "--token", &token];
        let told = records(&self.place.licen(&args));
        assert!(told[0]["kind"] == "balance" && told[0]["agrees"] == true, "{told:?}");
        units(&told[0]["amount"])
    }
}

fn wallet(place: &Place, who: &str) -> Address {
    let text = std::fs::read_to_string(place.dir.join(format!("{who}.key"))).unwrap();
    let key: Value = serde_json::from_str(&text).unwrap();
    key["address"].as_str().unwrap().parse().unwrap()
}

fn records(said: &Said) -> Vec<Value> {
    assert_eq!(said.exit, 0, "{}{}", said.out, said.err);
    said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn units(amount: &Value) -> U256 {
    let text = amount.as_str().or(amount["value"].as_str()).unwrap_or_else(|| panic!("{amount}"));
    U256::from_str_radix(text, 10).unwrap()
}

fn publish(place: &Place, royalty: &str, token: &str) -> Said {
    let first = ["publish", "sparrows.jsonl", "--name", "S", "--purpose", "p", "--royalty", royalty];
    place.owner(&[&first[..], &["--token", token]].concat())
}

#[test]
fn every_unit_of_a_token_finds_its_way() {
    let place = Place::start();
    place.fund(&MINT.to_string());
    let cents = Token::deploy(&place, NAMED, &("EURT".to_string(), U256::from(2)).abi_encode_params());
    let tether = Token::deploy(&place, TETHER, &[]);
    let world = World::of(&place);
    place.deepen();
    wrong_prices(&world, cents.address);
    let said = publish(&place, "1.25", &cents.address.to_string());
    assert_eq!(said.exit, 0, "{}", said.err);
    let root = said.out.trim().to_owned();
    let shown = place.licen(&["show", &root]);
    let price = format!("price         1.25 EURT ({}) per epoch\n", cents.address);
    assert!(shown.out.contains(&price), "{}{}", shown.out, shown.err);
    let listed = records(&place.licen(&["--json", "search"]));
    let record = listed.iter().find(|r| r["datasetRoot"] == root.as_str()).unwrap();
    let counted = (&record["royaltyPerEpoch"], &record["decimals"], &record["symbol"]);
    assert_eq!(counted, (&json!("125"), &json!(2), &json!("EURT")), "{record}");

    cannot_pay(&world, &root, &cents);
    let refund = partly_trained(&world, &root, &cents);
    withdrawn(&world, &cents, refund);
    let left = shared_by_three(&world, &root, &cents);
    assert_eq!(
        cents.of(world.contract),
        left,
        "the contract keeps what no payee could be given, and no more"
    );
    let all = [world.requester, world.owner, world.contract, fee_recipient(&place)];
    let sum: U256 = all.iter().chain(&PAYEES).map(|holder| cents.of(*holder)).sum();
    assert_eq!(sum, U256::from(MINTED), "what came in went out");
    like_usdt(&world, &root, &tether);
}

/// Nothing is encrypted for a price that nobody could pay or that cannot be said.
fn wrong_prices(world: &World, cents: Address) {
    let refused = |royalty: &str, token: &str, expected: Expect| {
        golden(world.place, &publish(world.place, royalty, token), expected);
    };
    refused(
        "1.255",
        &cents.to_string(),
        expect![[r#"
        error: --royalty "1.255" is not an amount of EURT (0x..), which has 2 decimals [LIC0101]

        hint: --royalty 0.01 is the least
        exit 2
    "#]],
    );
    refused(
        "1",
        &MINT.to_string(),
        expect![[r#"
        error: there is no contract at 0x.., so no token [LIC0203]

        hint: --token with the address of an ERC-20 token on this chain; left out, the native coin
        exit 1
    "#]],
    );
    refused(
        "1",
        &world.contract.to_string(),
        expect![[r#"
        error: the contract 0x.. does not say decimals() of at most 36 [LIC0203]

        hint: --token with an ERC-20 token that says its decimals; left out, the native coin
        exit 1
    "#]],
    );
    refused(
        "1",
        "EURT",
        expect![[r#"
        error: --token "EURT" is not an address [LIC0101]

        hint: an address is 0x and 40 hex digits
        exit 2
    "#]],
    );
    // How many places an amount has only a chain can say.
    let file =
        ["publish", "sparrows.jsonl", "--name", "S", "--purpose", "p", "--royalty", "1.25", "--dry-run"];
    let token = cents.to_string();
    let dry = [&file[..], &["--token", &token]].concat();
    assert_eq!(world.place.licen(&dry).exit, 0);
    let offline = [&["--rpc", "http://127.0.0.1:9"][..], &dry].concat();
    let said = world.place.licen(&offline);
    assert_eq!(said.exit, 2, "{}{}", said.out, said.err);
    assert!(
        said.err.contains("hint: with --token --dry-run asks the chain for its decimals"),
        "{}",
        said.err
    );
}

/// Whoever cannot pay has paid nothing and allowed nothing.
fn cannot_pay(world: &World, root: &str, cents: &Token) {
    let place = world.place;
    let before = world.nonce();
    let ask = |epochs: &str, more: &[&str]| {
        place.licen(&[&["request", root, "--epochs", epochs][..], more].concat())
    };
    golden(
        place,
        &ask("2", &["--yes"]),
        expect![[r#"
        error: the wallet 0x.. has 0 EURT (0x..), the escrow is 2.5 EURT (0x..) [LIC0304]

        hint: send tokens to 0x.., then run the same command again
        exit 1
    "#]],
    );
    cents.mint(world.requester, MINTED);
    golden(
        place,
        &ask("2", &[]),
        expect![[r#"
              dataset 0x.. of 0x..
              base model tiny is 0x..
              2 epochs x 1.25 = 2.5 EURT (0x..) escrow; what is not trained comes back
              starts within 1800 s and runs at most 21600 s, else everything comes back (licen cancel)
              expected training time at most N s on this node
            warning: attestation is simulated (level SOFTWARE): compute is not confidential
            error: not confirmed, nothing was paid [LIC0106]

            hint: licen request 0x.. --epochs 2 --yes
            exit 1
        "#]],
    );
    // Enough for one epoch of two, and no coins for gas.
    let poor = place.licen(&["key", "new", "wallet", "--out", "poor.key"]);
    assert_eq!(poor.exit, 0, "{}", poor.err);
    let text = std::fs::read_to_string(place.path("poor.key")).unwrap();
    let poor: Address =
        serde_json::from_str::<Value>(&text).unwrap()["address"].as_str().unwrap().parse().unwrap();
    cents.mint(poor, 130);
    golden(
        place,
        &ask("2", &["--yes", "--wallet", "poor.key"]),
        expect![[r#"
        error: the wallet 0x.. has 1.3 EURT (0x..), the escrow is 2.5 EURT (0x..) [LIC0304]

        hint: licen request 0x.. --epochs 1
        exit 1
    "#]],
    );
    let gas = ask("1", &["--yes", "--wallet", "poor.key"]);
    assert!(gas.exit == 1 && gas.err.contains(" are needed with gas [LIC0304]"), "{}", gas.err);
    // It has done its part: what it has goes on, so that the sums below are of one requester.
    place.fund(&poor.to_string());
    let back = Erc20::transferCall { to: MINT, amount: U256::from(130) };
    transact(place, poor, Some(cents.address), &back.abi_encode());
    assert_eq!(world.nonce(), before, "nothing was sent");
    assert_eq!(cents.allowed(world.requester, world.contract), U256::ZERO);
}

/// A request that is killed over its approval ends with one approval and one job; two of four epochs run.
fn partly_trained(world: &World, root: &str, cents: &Token) -> U256 {
    let place = world.place;
    // No loss falls by so much, so the second epoch is the last.
    let config = json!({"early_stopping_patience": 1, "early_stopping_threshold": 100.0});
    place.write("short.json", config.to_string());
    let before = world.nonce();
    let request = ["--yes", "request", root, "--epochs", "4", "--config", "short.json", "--follow"];
    place.killed_while_sending(&request);
    let said = place.licen(&request);
    assert_eq!(said.exit, 0, "{}{}", said.out, said.err);
    assert_eq!(world.nonce() - before, U256::from(2), "one approval, one request: {}", said.err);
    assert_eq!(cents.allowed(world.requester, world.contract), U256::ZERO, "exactly the escrow was allowed");
    assert_eq!(cents.of(world.contract), U256::from(500));
    let token = cents.address;
    let waits =
        format!("of the escrow 2.5 EURT ({token}) waits as credit: licen withdraw --token {token} takes it");
    assert!(said.err.contains(&waits), "{}", said.err);

    let jobs = records(&place.licen(&["--json", "jobs"]));
    let job = jobs[0]["jobId"].as_str().unwrap();
    golden(
        place,
        &place.licen(&["jobs", "show", job]),
        expect![[r#"
        job           0x..
        dataset       0x..
        requester     0x..
        state         Completed
        asked         4 epochs
        trained       2 epochs
        escrow        5 EURT (0x..)
        royalty       2.5 EURT (0x..)
        refund        2.5 EURT (0x..)
        credit        2.5 EURT (0x..) wait for 0x..: licen withdraw --token 0x..
        result        0x..
        adapter       0x..
        measured      loss N -> N, rows 48 text (5 held out), N compute seconds
        next          licen fetch 0x.. --out adapter
        exit 0
    "#]],
    );
    assert_eq!(
        (units(&jobs[0]["royaltySettled"]), units(&jobs[0]["refundIssued"])),
        (U256::from(250), U256::from(250))
    );
    assert_eq!((&jobs[0]["decimals"], &jobs[0]["symbol"]), (&json!(2), &json!("EURT")));
    let audit = place.licen(&["audit", job]);
    assert_eq!(audit.exit, 0, "{}{}", audit.out, audit.err);
    let money = format!(
        "5 paid in = 2.5 royalty (0.06 of it protocol fee) + 2.5 refund + 0 compute, in EURT ({token})"
    );
    assert!(audit.out.contains(&money), "{}", audit.out);
    U256::from(250)
}

/// Owner, requester and fee recipient take their credits; nothing of the job is left.
fn withdrawn(world: &World, cents: &Token, refund: U256) {
    let token = cents.address.to_string();
    let before = cents.of(world.requester);
    let fee = fee_recipient(world.place);
    for (who, amount) in [(world.owner, 244_u64), (world.requester, 250), (fee, 6)] {
        assert_eq!(world.credit(account_of(who), cents.address), U256::from(amount), "{who}");
    }
    golden(
        world.place,
        &world.place.licen(&["withdraw", "--token", &token]),
        expect![[r#"
        2.5 EURT (0x..) withdrawn to 0x..
          Withdrawing 2.5 EURT (0x..) to 0x..
        exit 0
    "#]],
    );
    assert_eq!(cents.of(world.requester) - before, refund);
    records(&world.place.owner(&["--json", "withdraw", "--token", &token]));
    records(&world.place.licen(&["--json", "withdraw", "--account", &fee.to_string(), "--token", &token]));
    assert_eq!((cents.of(world.owner), cents.of(fee)), (U256::from(244), U256::from(6)));
    assert_eq!(cents.of(world.contract), U256::ZERO);
}

/// New payees by `policy update`; gives what stays in their split.
fn shared_by_three(world: &World, root: &str, cents: &Token) -> U256 {
    let place = world.place;
    let weights = [3_333_u16, 3_333, 3_334];
    let payees: Vec<String> =
        PAYEES.iter().zip(["33.33", "33.33", "33.34"]).map(|(p, w)| format!("{p}={w}")).collect();
    let mut update = vec!["policy", "update", root];
    payees.iter().for_each(|payee| update.extend(["--payee", payee.as_str()]));
    golden(
        place,
        &place.owner(&update),
        expect![[r#"
          Version 2 holds for new requests; running jobs keep theirs
          Announced split 0x.. with 3 payees
        exit 0
    "#]],
    );
    let split =
        Split { accounts: PAYEES.map(account_of).to_vec(), bps: weights.to_vec(), start: 0, duration: 0 };
    let account = split_account(&split);
    // As a command leaves it that dies between the two: what is allowed already is not allowed again.
    let enough = Erc20::approveCall { spender: world.contract, amount: U256::from(125) };
    transact(place, world.requester, Some(cents.address), &enough.abi_encode());
    place.deepen();
    let before = world.nonce();
    let said = place.licen(&["--yes", "request", root, "--epochs", "1", "--follow"]);
    assert_eq!(said.exit, 0, "{}{}", said.out, said.err);
    assert_eq!(world.nonce() - before, U256::from(1), "the request alone: {}", said.err);
    assert_eq!(cents.allowed(world.requester, world.contract), U256::ZERO);
    let job = records(&place.licen(&["--json", "jobs"]))[0]["jobId"].as_str().unwrap().to_owned();
    let audit = place.licen(&["audit", &job]);
    assert_eq!(audit.exit, 0, "{}{}", audit.out, audit.err);
    let came = world.credit(account, cents.address);
    // 2.5 % of 1.25 is 0.03, rounded down.
    assert_eq!(came, U256::from(122));
    let token = cents.address.to_string();
    let moved = records(&place.licen(&["--json", "distribute", root, "--token", &token]));
    let expected = parts(&split, came);
    let found: Vec<U256> = moved.iter().map(|record| units(&record["amount"])).collect();
    assert_eq!(found, expected, "{moved:?}");
    for (payee, part) in PAYEES.iter().zip(&expected) {
        records(&place.licen(&["--json", "withdraw", "--account", &payee.to_string(), "--token", &token]));
        assert_eq!((cents.of(*payee), world.credit(account_of(*payee), cents.address)), (*part, U256::ZERO));
    }
    let fee = fee_recipient(place);
    records(&place.licen(&["--json", "withdraw", "--account", &fee.to_string(), "--token", &token]));
    let left = world.credit(account, cents.address);
    assert!(left < U256::from(3) && left == came - expected.iter().sum::<U256>(), "{left}");
    left
}

/// A token that returns nothing and changes an allowance by way of 0 only; the job ends by its requester.
fn like_usdt(world: &World, root: &str, tether: &Token) {
    let (place, token) = (world.place, tether.address.to_string());
    golden(
        place,
        &place.owner(&["policy", "update", root, "--token", &token, "--royalty", "0.0000001"]),
        expect![[r#"
            error: --royalty "0.0000001" is not an amount of USDT (0x..), which has 6 decimals [LIC0101]

            hint: --royalty 0.000001 is the least
            exit 2
        "#]],
    );
    let said = place.owner(&["policy", "update", root, "--token", &token, "--royalty", "1.000001"]);
    assert_eq!(said.exit, 0, "{}", said.err);
    tether.mint(world.requester, 5_000_000);
    let some = Erc20::approveCall { spender: world.contract, amount: U256::from(7) };
    transact(place, world.requester, Some(tether.address), &some.abi_encode());
    place.deepen();
    place.end("compute");
    let before = world.nonce();
    let request = place.licen(&["--yes", "--json", "request", root, "--epochs", "2"]);
    let job = records(&request)[0]["jobId"].as_str().unwrap().to_owned();
    assert_eq!(world.nonce() - before, U256::from(3), "to 0, to the escrow, the request: {}", request.err);
    assert_eq!(tether.allowed(world.requester, world.contract), U256::ZERO);
    assert_eq!(tether.of(world.contract), U256::from(2_000_002));
    golden(
        place,
        &place.licen(&["cancel", &job]),
        expect![[r#"
        job 0x.. Cancelled
          job Cancelled: of the escrow 2.000002 USDT (0x..) waits as credit: licen withdraw --token 0x.. takes it
        exit 0
    "#]],
    );
    let shown = place.licen(&["jobs", "show", &job]);
    let waits =
        format!("2.000002 USDT ({token}) wait for {}: licen withdraw --token {token}", world.requester);
    assert!(shown.out.contains(&format!("credit        {waits}")), "{}", shown.out);
    records(&place.licen(&["--json", "withdraw", "--token", &token]));
    assert_eq!((tether.of(world.requester), tether.of(world.contract)), (U256::from(5_000_000), U256::ZERO));
    assert!(!place.licen(&["jobs", "show", &job]).out.contains("credit "), "nothing waits any more");
}

/// Who gets the protocol fee.
fn fee_recipient(place: &Place) -> Address {
    wallet(place, "deployer")
}
