//! `licen run node` and `licen run custodian`.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use licen_chain::{Chain, Deployment, RpcOptions, Rpcs};
use licen_core::wire::node::DeploymentInfo;
use licen_indexer::Freshness;
use licen_storage::Blobs;
use licen_store::Store;
use tokio::sync::{broadcast, watch};

use crate::roles::node::access::{AccessBook, Limits};
use crate::roles::node::forward::Computes;
use crate::roles::node::models::Models;
use crate::roles::node::serve::{NodeConfig, Shared, router};
use crate::session::chain_error::chain_error;
use crate::session::codes;
use crate::session::error::{CliError, Outcome};
use crate::session::rpc::rpc_client;
use crate::session::toml_file::read_toml;

/// Progress messages kept for slow listeners.
const PROGRESS: usize = 256;

/// Runs a node until SIGTERM or Ctrl-C.
///
/// # Errors
/// The configuration, the chain, the database or the address cannot be used.
pub async fn node(path: &Path) -> Outcome {
    logs();
    let config: NodeConfig = read_toml(path)?;
    let broken = |what: &str, e: &dyn std::error::Error| {
        CliError::environment(codes::NODE, what.to_string()).because(e)
    };
    let deployment =
        Deployment::read(&config.deployment).map_err(|e| broken("the deployment is not usable", &e))?;
    let rpcs = connect(&config, &deployment).await?;
    std::fs::create_dir_all(&config.state).map_err(|e| broken("cannot make the state directory", &e))?;
    let store = Store::open(&config.state.join("node.sqlite"))
        .await
        .map_err(|e| broken("the database is not usable", &e))?;
    let blobs = Blobs::open(config.state.join("blobs"), licen_storage::blobs::Options::default())
        .map_err(|e| broken("the blob directory is not usable", &e))?;
    let freshness = Freshness::new(deployment.chain_id, deployment.genesis_hash);
    let shared = Arc::new(Shared {
        deployment: info(&deployment),
        models: Models::open(config.state.join("models.json"))?,
        compute: Computes::new(&config.compute, &config.blob_url())
            .map_err(|e| broken("no HTTP client", &e))?,
        index: store.clone(),
        trusted_proxies: config.trusted_proxies.clone(),
    });
    let book = AccessBook::new(
        store.clone(),
        deployment.chain_id,
        deployment.contracts.data_policies.clone(),
        deployment.chains(&rpcs),
        Limits::default(),
    );
    let app = router(shared)
        .merge(crate::roles::node::access::router(Arc::new(book)))
        .merge(licen_indexer::router(
            licen_indexer::graphql::schema(store.clone(), freshness.clone()),
            freshness.clone(),
        ))
        .merge(licen_storage::http::router(blobs, licen_storage::http::Options::default()));
    let listener = tokio::net::TcpListener::bind(config.listen).await.map_err(|e| {
        broken(&format!("cannot listen on {}", config.listen), &e)
            .hint(format!("choose another `listen` in {}", path.display()))
    })?;
    tracing::info!(listen = %config.listen, "node");
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        ended().await;
        let _ = stop.send(true);
    });
    let serving = axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(wait(stopped.clone()));
    let index_config = licen_indexer::Config {
        start_block: deployment.start_block,
        poll_ms: config.poll_ms,
        ..licen_indexer::Config::default()
    };
    let chains = deployment.chains(&rpcs);
    let indexing = licen_indexer::run(
        index_config,
        store.clone(),
        &rpcs,
        &deployment.contracts,
        freshness,
        wait(stopped.clone()),
    );
    let driving = orchestrate(&config, &deployment, store, chains, wait(stopped));
    let (served, indexed, driven) = tokio::join!(serving, indexing, driving);
    served.map_err(|e| broken("the server ended", &e))?;
    indexed.map_err(|e| broken("the index stopped", &e))?;
    driven
}

async fn orchestrate(
    config: &NodeConfig,
    deployment: &Deployment,
    store: Store,
    chains: Vec<Chain>,
    shutdown: impl Future<Output = ()>,
) -> Outcome {
    if !config.orchestrate {
        shutdown.await;
        return Ok(());
    }
    let mut orchestrator = licen_orchestrator::Config::new(config.wallet.clone(), config.blob_url());
    orchestrator.compute = config.compute.clone();
    orchestrator.custodians = deployment.custodians.clone();
    orchestrator.poll_ms = config.poll_ms;
    let (progress, _) = broadcast::channel(PROGRESS);
    let ended = licen_orchestrator::run(orchestrator, store, chains, progress, shutdown).await;
    ended.map_err(|e| {
        tracing::error!(error = %e, "the orchestrator stopped; storage and index go on");
        CliError::environment(codes::NODE, "the orchestrator stopped").because(&e)
    })
}

async fn connect(config: &NodeConfig, deployment: &Deployment) -> Outcome<Arc<Rpcs>> {
    let options = RpcOptions {
        urls: config.rpc.clone(),
        expected: Some(deployment.identity()),
        deadline: Duration::from_secs(10),
        confirmations: config.confirmations,
        ..RpcOptions::default()
    };
    let http = rpc_client(options.deadline)?;
    let rpcs = Arc::new(Rpcs::connect(|url| http.to(url), &options).await.map_err(chain_error)?);
    deployment
        .verify(&rpcs)
        .await
        .map_err(|e| CliError::of(codes::WRONG_CHAIN, "the deployment does not fit the chain", &e))?;
    Ok(rpcs)
}

fn info(deployment: &Deployment) -> DeploymentInfo {
    DeploymentInfo {
        chain_id: deployment.chain_id,
        genesis_hash: deployment.genesis_hash,
        rpc_url: deployment.rpc_url.clone(),
        contracts: deployment.contracts.clone(),
        custodians: deployment.custodians.clone(),
    }
}

/// Runs a custodian until SIGTERM or Ctrl-C.
///
/// # Errors
/// The configuration, a key, the chain or the address cannot be used.
pub async fn custodian(path: &Path) -> Outcome {
    logs();
    let config: licen_custodian::Config = read_toml(path)?;
    licen_custodian::serve(config, ended())
        .await
        .map_err(|e| CliError::of(codes::CUSTODIANS, "the custodian stopped", &e))
}

/// Logs go to stderr; RUST_LOG chooses what, `info` where it is not set.
fn logs() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,sqlx=warn,hyper=warn"));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .try_init();
}

async fn wait(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// SIGTERM or Ctrl-C.
async fn ended() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
