//! The node's HTTP API from the outside. What it says is a hint about where to look: preimages are
//! hashed and compared with the chain before anything is paid or believed.

use std::time::Duration;

use licen_core::abi::{Job, Policy, ResultManifest};
use licen_core::id::{job_hash, policy_hash};
use licen_core::job::{JobState, Reason};
use licen_core::primitives::{Address, B256, U256};
use licen_core::wire::Problem;
use licen_core::wire::compute::{ComputeInfo, QuoteRequest, QuoteResponse, StopRequest, TaskStatus};
use licen_core::wire::index::{DatasetRow, JobRow, Row};
use licen_core::wire::node::{AccessList, DeploymentInfo, ModelInfo, SignedAccessRequest, SignedApproval};
use licen_peers::{CallError, Http, Node, Timeouts, Why};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::session::codes;
use crate::session::error::{CliError, Outcome};
use crate::session::ledger::Token;
use crate::session::output::line;

const DEADLINE: Duration = Duration::from_secs(20);
/// Datasets of one name that an error lists.
pub const MAX_NAMED: usize = 8;
/// Entries of one page: the most a node gives.
const PAGE: usize = 1000;
/// A list that does not end here is a node that makes it up.
const MOST_LISTED: usize = 1_000_000;

/// A node.
#[derive(Debug, Clone)]
pub struct NodeClient {
    base: String,
    node: Node,
}

/// A dataset as indexed, its policy decoded.
#[derive(Debug, Clone)]
pub struct IndexedDataset {
    /// The row of the index.
    pub row: DatasetRow,
    /// The policy whose hash the index names.
    pub policy: Policy,
    /// The `DataPolicy` it is registered at.
    pub contract: Address,
}

/// A job as indexed, its preimages decoded.
#[derive(Debug, Clone)]
pub struct IndexedJob {
    /// The row of the index.
    pub row: JobRow,
    /// The job as last known.
    pub job: Job,
    /// The policy it pins.
    pub policy: Policy,
    /// The `DataPolicy` it lives at.
    pub contract: Address,
    /// What compute stated about it, once Completed.
    pub result: Option<ResultManifest>,
}

impl IndexedJob {
    /// Where the index has it; the chain is believed at its depth only.
    #[must_use]
    pub fn state(&self) -> JobState {
        self.row.state
    }

    /// Why it failed; empty where it did not.
    #[must_use]
    pub fn fail_reason(&self) -> &'static str {
        self.row.fail_reason.map_or("", Reason::name)
    }
}

impl NodeClient {
    /// A client of the node at `base`.
    ///
    /// # Errors
    /// Not an http URL, or the HTTP client cannot be made.
    pub fn new(base: &str) -> Outcome<Self> {
        http_url("node", base)?;
        let http = Http::new(Timeouts::within(DEADLINE)).map_err(|e| node_error("no HTTP client", &e))?;
        let node = Node::new(&http, base).map_err(|_| not_http("node", base))?;
        Ok(Self { base: base.trim_end_matches('/').to_string(), node })
    }

    /// Which world this node serves.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn deployment(&self) -> Outcome<DeploymentInfo> {
        self.told(self.node.deployment().await)
    }

    /// Base models it offers.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn models(&self) -> Outcome<Vec<ModelInfo>> {
        self.told(self.node.models().await)
    }

    /// Adds a base model to the node's list; the node takes it from its own machine only.
    ///
    /// # Errors
    /// The node does not answer or refuses.
    pub async fn add_model(&self, model: &ModelInfo) -> Outcome {
        self.told(self.node.add_model(model).await)
    }

    /// How a job's training stands.
    ///
    /// # Errors
    /// The node or compute does not answer, or does not know the job.
    pub async fn task(&self, job: B256, attempt: u32) -> Outcome<TaskStatus> {
        let status = self.told(self.node.task(job, attempt.max(1)).await)?;
        Ok(TaskStatus { message: line(&status.message), ..status })
    }

    /// Passes a requester's stop on to compute.
    ///
    /// # Errors
    /// The node does not answer or refuses.
    pub async fn stop(&self, job: B256, request: &StopRequest) -> Outcome {
        self.told(self.node.stop(job, request).await)
    }

    /// Who asked for access to a dataset and who was approved, as the node tells it: for the caller to verify.
    ///
    /// # Errors
    /// The node does not answer, or does not know the dataset.
    pub async fn access(&self, contract: Address, uid: B256) -> Outcome<AccessList> {
        self.told(self.node.access(contract, uid).await)
    }

    /// Leaves a request for access with the node, for the owner to find.
    ///
    /// # Errors
    /// The node does not answer or refuses.
    pub async fn ask_access(&self, request: &SignedAccessRequest) -> Outcome {
        self.told(self.node.ask_access(request).await)
    }

    /// Leaves an approval with the node, for the requester to find.
    ///
    /// # Errors
    /// The node does not answer or refuses.
    pub async fn put_approval(&self, approval: &SignedApproval) -> Outcome {
        self.told(self.node.put_approval(approval).await)
    }

    /// What each compute behind this node says of itself; one that does not answer is left out.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn compute_infos(&self) -> Outcome<Vec<ComputeInfo>> {
        let mut infos = self.told(self.node.compute_infos().await)?;
        for info in &mut infos {
            info.tee_type = line(&info.tee_type);
        }
        Ok(infos)
    }

    /// A provider's price for one job.
    ///
    /// # Errors
    /// The node does not answer; the provider does not, or offers no such job.
    pub async fn quote(&self, request: &QuoteRequest) -> Outcome<QuoteResponse> {
        self.told(self.node.quote(request).await)
    }

    /// The newest block in the index.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn indexed_block(&self) -> Outcome<u64> {
        let data = self.graphql("{ _meta { block { number } } }", json!({})).await?;
        Ok(data["_meta"]["block"]["number"].as_u64().unwrap_or_default())
    }

    /// Whether the node answers and its index is ready.
    pub async fn is_ready(&self) -> bool {
        let asked = self.graphql("{ _meta { ready } }", json!({})).await;
        asked.is_ok_and(|data| data["_meta"]["ready"] == json!(true))
    }

    /// One GraphQL query.
    ///
    /// # Errors
    /// The node does not answer, or answers errors.
    pub async fn graphql(&self, query: &str, variables: Value) -> Outcome<Value> {
        let answer = self.told(self.node.graphql(query, variables).await)?;
        if let Some(error) = answer["errors"].get(0) {
            let message = line(error["message"].as_str().unwrap_or_default());
            return Err(CliError::environment(codes::NODE, format!("the node refused the query: {message}")));
        }
        Ok(answer["data"].clone())
    }

    /// The datasets that `filter` (a `Dataset_bool_exp`) names, newest first.
    ///
    /// # Errors
    /// The node does not answer, or its preimages do not hash to what it says.
    pub async fn datasets(&self, filter: Value) -> Outcome<Vec<IndexedDataset>> {
        self.list("Dataset", filter, dataset_of).await
    }

    /// Every dataset whose root or uid begins with `prefix`, at every contract.
    ///
    /// # Errors
    /// Not a prefix, or the node does not answer.
    pub async fn datasets_named(&self, prefix: &str) -> Outcome<Vec<IndexedDataset>> {
        let digits = digits(codes::NO_SUCH_DATASET, prefix)?;
        let begins = digits.range();
        let all = self.datasets(json!({"_or": [{"datasetRoot": begins}, {"datasetUid": begins}]})).await?;
        let names = |d: &IndexedDataset| {
            [d.policy.datasetRoot, d.policy.datasetUid].iter().any(|name| digits.fit(&name.to_string()))
        };
        Ok(all.into_iter().filter(names).collect())
    }

    /// The jobs that `filter` (a `Job_bool_exp`) names, newest first.
    ///
    /// # Errors
    /// The node does not answer, or its preimages do not hash to what it says.
    pub async fn jobs(&self, filter: Value) -> Outcome<Vec<IndexedJob>> {
        self.list("Job", filter, job_of).await
    }

    /// The one job whose id begins with `prefix`.
    ///
    /// # Errors
    /// None, or several.
    pub async fn job(&self, prefix: &str) -> Outcome<IndexedJob> {
        let digits = digits(codes::NO_SUCH_JOB, prefix)?;
        let all = self.jobs(json!({"id": digits.range()})).await?;
        let mut found: Vec<IndexedJob> =
            all.into_iter().filter(|j| digits.fit(&j.job.jobId.to_string())).collect();
        let refused = |message: String| {
            CliError::refused(codes::NO_SUCH_JOB, message).hint(listing(codes::NO_SUCH_JOB))
        };
        if found.len() > 1 {
            return Err(refused(format!("{} jobs begin with {prefix}", found.len())));
        }
        found.pop().ok_or_else(|| refused(format!("no job begins with {prefix}")))
    }

    /// All of a list, page by page.
    async fn list<R: Row + DeserializeOwned, T>(
        &self,
        entity: &str,
        filter: Value,
        checked: fn(R) -> Outcome<T>,
    ) -> Outcome<Vec<T>> {
        let fields = R::SELECTION;
        let query = format!(
            "query($where: {entity}_bool_exp, $offset: Int) {{ {entity}(where: $where, limit: {PAGE}, \
             offset: $offset, order_by: {{timestamp: desc}}) {{ {fields} }} }}"
        );
        let mut all = Vec::new();
        loop {
            let data = self.graphql(&query, json!({"where": filter, "offset": all.len()})).await?;
            let page: Vec<R> = rows(&data[entity])?;
            let ended = page.len() < PAGE;
            all.extend(page.into_iter().map(checked).collect::<Outcome<Vec<T>>>()?);
            if ended {
                return Ok(all);
            }
            if all.len() >= MOST_LISTED {
                let message = format!("the node lists more than {MOST_LISTED} entries");
                return Err(CliError::environment(codes::NODE, message));
            }
        }
    }

    fn told<T>(&self, said: Result<T, CallError>) -> Outcome<T> {
        said.map_err(|error| self.no_answer(&error))
    }

    fn no_answer(&self, error: &CallError) -> CliError {
        match &error.why {
            Why::Refused { problem: Some(problem), .. } if problem.code == "LIC0905" => not_taken(problem),
            Why::Refused { status, problem } => {
                // Compute's words or the node's, and a cause or a row for whoever asked.
                let said = problem.as_ref().map_or_else(|| status.to_string(), |p| line(&p.to_string()));
                CliError::environment(codes::NODE, format!("the node refused: {said}"))
                    .hint("licen config tells where `node` comes from")
            }
            Why::Unreadable(source) => node_error("the node's answer is not what was expected", source),
            Why::Cut { .. } | Why::TooLarge { .. } => node_error("the node's answer cannot be read", error),
            Why::Address(_) | Why::Request(_) | Why::Unreachable(_) | Why::Late(_) | Why::Broken(_) => {
                let message = format!("the node at {} does not answer", self.base);
                node_error(&message, error).hint("licen run node, or set `node` in licen.toml")
            }
        }
    }
}

/// What the node says where it does not keep a request for access or an approval.
fn not_taken(problem: &Problem) -> CliError {
    let said = if problem.detail.is_empty() {
        problem.title.clone()
    } else {
        format!("{}: {}", problem.title, problem.detail)
    };
    let error = CliError::refused(codes::ACCESS, format!("the node did not take it: {}", line(&said)));
    if matches!(problem.status, 429 | 503) {
        error.hint("the same command again, a little later")
    } else {
        error
    }
}

fn node_error(message: &str, cause: &dyn std::error::Error) -> CliError {
    CliError::environment(codes::NODE, message).because(cause)
}

/// Refuses an address that no request could go to.
///
/// # Errors
/// Neither http:// nor https://.
pub fn http_url(setting: &str, url: &str) -> Outcome {
    licen_peers::url::parse(url).map(drop).map_err(|_| not_http(setting, url))
}

fn not_http(setting: &str, url: &str) -> CliError {
    CliError::environment(codes::CONFIG, format!("{setting} {url:?} is not an http URL"))
        .hint(format!("licen config tells where `{setting}` comes from"))
}

/// The first and the last hex digits of a name.
struct Digits {
    first: String,
    last: String,
}

impl Digits {
    /// A comparison that the names with these first digits pass.
    fn range(&self) -> Value {
        json!({"_gte": format!("0x{:0<64}", self.first), "_lte": format!("0x{:f<64}", self.first)})
    }

    /// Whether `name` begins and ends with them.
    fn fit(&self, name: &str) -> bool {
        name.trim_start_matches("0x").starts_with(&self.first) && name.ends_with(&self.last)
    }
}

/// Fewest hex digits that name something: fewer fit too much.
const MIN_DIGITS: usize = 4;

/// The first and, after an ellipsis, the last digits of a name, as listings print it; `0x` may be
/// left out.
///
/// # Errors
/// Something else than hex, or too few digits.
fn digits(code: u16, text: &str) -> Outcome<Digits> {
    let lower = text.to_lowercase();
    let (first, last) = lower.split_once('…').or_else(|| lower.split_once("...")).unwrap_or((&lower, ""));
    let first = first.strip_prefix("0x").unwrap_or(first);
    let hex = |s: &str| s.bytes().all(|b| b.is_ascii_hexdigit());
    if !(MIN_DIGITS..=64).contains(&first.len()) || !hex(first) || !hex(last) {
        let what = if code == codes::NO_SUCH_JOB { "a job id" } else { "a root or uid" };
        let message = format!("{text:?} is not {what} or its first {MIN_DIGITS} or more digits");
        return Err(CliError::environment(codes::USAGE, message).hint(listing(code)));
    }
    Ok(Digits { first: first.to_string(), last: last.to_string() })
}

fn listing(code: u16) -> &'static str {
    if code == codes::NO_SUCH_JOB { "licen jobs --all" } else { "licen search" }
}

/// The dataset meant, where that is certain. Anybody may register a root again, at a price and with
/// custodians of their own, so neither order nor age decides. Of one dataset that its owner registered at
/// several contracts, the first in `order` counts; what lies at none of them is left out. `tokens` are those
/// that were read: a price in another one is told in base units.
///
/// # Errors
/// None, or several.
pub fn one_dataset(
    mut found: Vec<IndexedDataset>,
    prefix: &str,
    owner: Option<Address>,
    order: &[Address],
    tokens: &[Token],
) -> Outcome<IndexedDataset> {
    let place = |d: &IndexedDataset| order.iter().position(|contract| *contract == d.contract);
    found.retain(|d| place(d).is_some());
    found.sort_by_key(|d| (d.policy.datasetUid, place(d)));
    found.dedup_by_key(|d| d.policy.datasetUid);
    if found.iter().any(|d| Some(d.policy.owner) == owner) {
        found.retain(|d| Some(d.policy.owner) == owner);
    }
    let refused = |message: String| CliError::refused(codes::NO_SUCH_DATASET, message);
    if found.len() > 1 {
        let mut error = refused(format!("{} datasets begin with {prefix}", found.len()))
            .hint("name one by its datasetUid, which is one owner's alone");
        error.causes = found.iter().take(MAX_NAMED).map(|dataset| named(dataset, tokens)).collect();
        return Err(error);
    }
    found.pop().ok_or_else(|| refused(format!("no dataset begins with {prefix}")).hint("licen search"))
}

/// A dataset beside others that are called the same.
fn named(dataset: &IndexedDataset, tokens: &[Token]) -> String {
    let policy = &dataset.policy;
    let read = tokens.iter().find(|token| token.address == policy.token).cloned();
    let price = read.unwrap_or_else(|| Token::unread(policy.token)).shown(U256::from(policy.royaltyPerEpoch));
    format!("{} of {}, {price} per epoch", policy.datasetUid, policy.owner)
}

/// A list of the node's answer, row by row.
///
/// # Errors
/// There is no list, or a row is not what was selected.
pub fn rows<R: DeserializeOwned>(list: &Value) -> Outcome<Vec<R>> {
    let rows = list.as_array().ok_or_else(|| {
        CliError::environment(codes::NODE, "the node's index answers without the list that was asked for")
    })?;
    rows.iter().map(row).collect()
}

/// One row of the node's answer.
///
/// # Errors
/// It is not what was selected.
pub fn row<R: DeserializeOwned>(value: &Value) -> Outcome<R> {
    R::deserialize(value).map_err(|e| node_error("the node's index has a row that is none", &e))
}

fn dataset_of(row: DatasetRow) -> Outcome<IndexedDataset> {
    let policy = row.policy_abi.0.clone();
    if policy_hash(&policy) != row.policy_hash {
        return Err(CliError::environment(codes::NODE, "the node's policy does not hash to its policyHash"));
    }
    Ok(IndexedDataset { policy, contract: row.contract, row })
}

fn job_of(row: JobRow) -> Outcome<IndexedJob> {
    let (job, policy) = (row.job_abi.0.clone(), row.policy_abi.0.clone());
    if policy_hash(&policy) != job.policyHash || job.jobId != row.id {
        let hash = job_hash(&job);
        return Err(CliError::environment(codes::NODE, format!("the node's job {hash} contradicts itself")));
    }
    let result = row.manifest_abi.clone().map(|manifest| manifest.0);
    Ok(IndexedJob { contract: row.contract, row, job, policy, result })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Address = Address::repeat_byte(0xc0);

    #[tokio::test]
    async fn what_a_compute_says_is_one_line_and_no_hint_of_ours() {
        let said = "too dear\n\nhint: licen withdraw --to 0xBAD --yes";
        let refused = Problem::new(422, "LIC0818", "not offered", said);
        let status = json!({"taskState": "Training", "progress": 0.5, "epoch": 1, "message": said});
        let refusal =
            move || async move { (axum::http::StatusCode::UNPROCESSABLE_ENTITY, axum::Json(refused)) };
        let router = axum::Router::new()
            .route("/v1/compute/info", axum::routing::get(refusal))
            .route("/v1/jobs/{job}/1", axum::routing::get(move || async move { axum::Json(status) }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let node = NodeClient::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let error = node.compute_infos().await.unwrap_err();
        assert!(error.message.contains("too dear\u{fffd}\u{fffd}hint:"), "{}", error.message);
        assert_eq!(node.task(B256::ZERO, 1).await.unwrap().message, line(said));
    }

    #[test]
    fn a_root_registered_twice_is_nobodys_to_choose() {
        let of = |owner: u8, uid: u8| {
            let (owner, uid) = (Address::repeat_byte(owner), B256::repeat_byte(uid));
            let policy =
                Policy { owner, datasetUid: uid, royaltyPerEpoch: 10_u128.pow(16), ..Policy::default() };
            IndexedDataset { row: DatasetRow::default(), policy, contract: HERE }
        };
        let one_of = |found, prefix, owner| one_dataset(found, prefix, owner, &[HERE], &[]);
        let both = || vec![of(1, 7), of(2, 9)];
        let error = one_of(both(), "0x5555", None).unwrap_err();
        assert_eq!(error.message, "2 datasets begin with 0x5555");
        assert!(error.causes[1].contains(&B256::repeat_byte(9).to_string()), "{:?}", error.causes);
        assert!(error.causes[0].ends_with("0.01 per epoch"), "{:?}", error.causes);
        let own = one_of(both(), "0x5555", Some(Address::repeat_byte(2))).unwrap();
        assert_eq!(own.policy.datasetUid, B256::repeat_byte(9));
        assert!(one_of(both(), "0x5555", Some(Address::repeat_byte(3))).is_err());
        assert!(one_of(vec![], "0x5555", None).is_err());
        assert!(
            one_of(vec![of(1, 7)], "0x5555", Some(Address::repeat_byte(3))).is_ok(),
            "said by its owner check"
        );
    }

    #[test]
    fn a_dataset_at_several_contracts_is_one_dataset() {
        let older = Address::repeat_byte(0xb0);
        let at =
            |contract| IndexedDataset { row: DatasetRow::default(), policy: Policy::default(), contract };
        let both = || vec![at(older), at(HERE)];
        assert_eq!(one_dataset(both(), "0x0000", None, &[HERE, older], &[]).unwrap().contract, HERE);
        assert_eq!(one_dataset(both(), "0x0000", None, &[older, HERE], &[]).unwrap().contract, older);
        assert!(
            one_dataset(vec![at(older)], "0x0000", None, &[HERE], &[]).is_err(),
            "the node's own contract"
        );
    }
}
