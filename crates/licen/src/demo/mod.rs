//! `licen demo`: a private world on this machine and one job in it, every step by the commands a
//! person would type. Nothing is staged: the same binaries, the same checks, a real training run.
//! What is simulated (the TEE) says so in its own line.

pub mod child;
pub mod fail;
pub mod follow;
pub mod sample;
pub mod stage;
pub mod story;
pub mod world;

use std::fs::File;

use crate::cli::DemoArgs;
use crate::session::codes;
use crate::session::error::{CliError, Outcome};
use crate::session::output::Ui;
use stage::Stage;
use world::World;

/// Runs the demo to its end.
///
/// # Errors
/// A step did not do what it promises.
pub async fn demo(ui: Ui, args: &DemoArgs) -> Outcome {
    tokio::select! {
        told = run(ui, args) => told,
        // Dropping the run ends every program of the world and removes its directory.
        () = interrupted() => match args.once {
            true => Err(CliError::environment(codes::DEMO, "interrupted")),
            false => Ok(()),
        },
    }
}

/// Ctrl-C, or the signal a supervisor sends.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

async fn run(ui: Ui, args: &DemoArgs) -> Outcome {
    if let Some(file) = &args.data {
        // A world takes seconds; a mistyped name should not.
        File::open(file).map_err(|e| {
            CliError::environment(codes::FILE, format!("cannot read {}", file.display())).because(&e)
        })?;
    }
    let stage = Stage { ui };
    let mut world = World::start(&stage, args).await?;
    let told = story::tell(&stage, &mut world, args).await;
    if told.is_err() {
        world.keep();
        eprintln!("logs: {}", world.logs().display());
        return told;
    }
    if args.keep {
        world.keep();
        eprintln!("kept: {}", world.dir().display());
    }
    if args.once {
        return Ok(());
    }
    stage.ui.data(&format!("\nexport LICEN_CONFIG={}", world.config_file().display()));
    stage.ui.data("Press Ctrl-C to stop.");
    std::future::pending().await
}
