//! `licen-compute serve`.

use std::path::{Path, PathBuf};

use tokio::net::TcpListener;

use super::config::Config;
use super::error::ServeError;
use super::http::router;
use super::node::{Node, make_work_dir};
use crate::sandbox::{NodeNeeds, enter_node};

/// Arguments of `licen-compute serve`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Configuration, TOML or (by its extension) JSON
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Serve where the kernel cannot confine this node and its trainers, or must not
    #[arg(long)]
    pub no_sandbox: bool,
}

/// Serves until the process is told to end (Ctrl-C or SIGTERM).
///
/// # Errors
/// See [`ServeError`].
pub fn run(arguments: &Arguments) -> Result<(), ServeError> {
    let hardened = licen_seal::process::harden_process();
    quiet_panics();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).with_target(false).init();
    if !hardened {
        tracing::warn!("core dumps could not be turned off");
    }
    let mut config = Config::load(&arguments.config)?;
    config.no_sandbox = arguments.no_sandbox;
    confine(&mut config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| ServeError::Environment { what: "the runtime".into(), source })?;
    let served = runtime.block_on(serve(config));
    // A training thread that nobody waits for must not keep the process.
    runtime.shutdown_background();
    served
}

/// Confines this process, for good and before it has a second thread.
fn confine(config: &mut Config) -> Result<(), ServeError> {
    if config.threads == 0 {
        // Asked now: afterwards the limits of a control group cannot be read.
        config.threads = licen_train::threads(None);
    }
    if config.no_sandbox {
        return Ok(());
    }
    make_work_dir(config)?;
    let refuse = |reason: String| ServeError::Sandbox(reason);
    // A file that is renewed by renaming is another file to the kernel, so its folder is named.
    let folder = |path: &PathBuf| path.parent().map(|dir| Path::new(".").join(dir));
    let collateral = config.collateral.as_ref().and_then(folder);
    let needs = NodeNeeds {
        work_dir: config.work_dir.clone(),
        read: config.quote_key_file.iter().cloned().chain(collateral).collect(),
        listen: config.listen.port(),
        connect: config.peer_ports().map_err(refuse)?,
    };
    enter_node(&needs).map(drop).map_err(|e| ServeError::Sandbox(e.to_string()))
}

async fn serve(config: Config) -> Result<(), ServeError> {
    let address = config.listen;
    let listen = |source| ServeError::Listen { address, source };
    let node = Node::new(config)?;
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    node.announce(listener.local_addr().map_err(listen)?);
    axum::serve(listener, router(node)).with_graceful_shutdown(asked_to_end()).await.map_err(listen)
}

/// The message of a panic may quote what was being worked on; only its place is told.
fn quiet_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a thread panicked");
    }));
}

async fn asked_to_end() {
    let interrupt = tokio::signal::ctrl_c();
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => {
            let _ = interrupt.await;
        }
    }
    tracing::info!("ending; keys of running attempts are lost by design");
}
