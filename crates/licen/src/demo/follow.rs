//! Watching the job, and breaking at the right moment what was asked to break.

use std::time::{Duration, Instant};

use licen_core::abi::Job;
use licen_core::job::JobState;
use licen_core::wire::compute::{TaskState, TaskStatus};
use serde_json::json;

use super::stage::Stage;
use super::world::{OWNER, RESEARCHER, World};
use crate::cli::restart::{Moment, Restart};
use crate::cli::{DemoArgs, FailMode};
use crate::researcher::jobs;
use crate::session::codes;
use crate::session::error::{CliError, Outcome};
use crate::session::node_client::IndexedJob;
use crate::session::output::short;

/// Most time for any one thing.
pub const WITHIN: Duration = Duration::from_secs(240);
/// Time between two looks.
pub const POLL: Duration = Duration::from_millis(150);

/// Least time between two lines about the loss.
const LOSS_EVERY: Duration = Duration::from_secs(1);

/// Watches the job until it ends, telling each change once.
///
/// # Errors
/// It does not end in time.
pub async fn follow(stage: &Stage, world: &mut World, args: &DemoArgs, job: &Job) -> Outcome<IndexedJob> {
    let session = world.session(RESEARCHER, stage.ui)?;
    let node = session.node()?;
    let deadline = Instant::now() + WITHIN;
    let (mut state, mut attempt, mut told) = (None, 1, Told::default());
    let mut trouble = Trouble { args, withheld: false, done: false };
    loop {
        if Instant::now() > deadline {
            return Err(CliError::environment(
                codes::DEMO,
                format!("the job is still {}", state.map_or("", JobState::name)),
            ));
        }
        let status = node.task(job.jobId, attempt).await.ok();
        if let Some(status) = &status {
            told.task(stage, job, status);
        }
        if let Ok(now) = node.job(&job.jobId.to_string()).await {
            if now.job.attempt > attempt {
                attempt = now.job.attempt;
                let line = format!("Custodians call the attempt silent; attempt {attempt} runs");
                stage.tell("restarted", &line, json!({"attempt": attempt}));
            }
            if state != Some(now.state()) {
                state = Some(now.state());
                let line = format!("Job {} {}", short(&job.jobId.to_string()), now.state().name());
                stage.tell("state", &line, json!({"state": now.state().name()}));
            }
            if now.state().is_terminal() {
                return Ok(now);
            }
        }
        trouble.strike(stage, world, state, status.as_ref()).await?;
        if trouble.done && args.fail == Some(FailMode::WithheldConfirm) {
            return stranger(stage, world, job, deadline).await;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// What was said about a task, so that each change is said once and the loss at most once a second.
#[derive(Default)]
struct Told {
    line: String,
    loss: Option<(u32, Instant)>,
}

impl Told {
    fn task(&mut self, stage: &Stage, job: &Job, status: &TaskStatus) {
        let training = status.loss.filter(|_| status.epoch > 0 && status.task_state == TaskState::Training);
        let line = match training {
            Some(loss) => format!("Training epoch {} of {}, loss {loss:.4}", status.epoch, job.epochs),
            None if status.message.is_empty() => format!("Compute: {:?}", status.task_state),
            None => format!("Compute: {}", status.message),
        };
        let recently = |(epoch, at): (u32, Instant)| epoch == status.epoch && at.elapsed() < LOSS_EVERY;
        if line == self.line || training.is_some() && self.loss.is_some_and(recently) {
            return;
        }
        if training.is_some() {
            self.loss = Some((status.epoch, Instant::now()));
        }
        let facts = json!({"taskState": status.task_state, "message": status.message,
            "epoch": status.epoch, "loss": status.loss});
        stage.tell("progress", &line, facts);
        self.line = line;
    }
}

/// What has to break, and whether it has.
struct Trouble<'a> {
    args: &'a DemoArgs,
    withheld: bool,
    done: bool,
}

impl Trouble<'_> {
    async fn strike(
        &mut self,
        stage: &Stage,
        world: &mut World,
        state: Option<JobState>,
        status: Option<&TaskStatus>,
    ) -> Outcome {
        if self.done {
            return Ok(());
        }
        let training = status.is_some_and(|s| s.epoch > 0);
        if let Some(restart) = self.args.restart {
            return self.crash(stage, world, restart, state, status).await;
        }
        match self.args.fail {
            Some(FailMode::Timeout) if training => {
                world.stop("compute");
                stage.tell("fault", "Compute is gone; its keys died with it", json!({"mode": "timeout"}));
                self.done = true;
            }
            Some(FailMode::WithheldConfirm) if training => {
                withhold(stage, world)?;
                self.done = true;
            }
            _ => {}
        }
        Ok(())
    }

    async fn crash(
        &mut self,
        stage: &Stage,
        world: &mut World,
        restart: Restart,
        state: Option<JobState>,
        status: Option<&TaskStatus>,
    ) -> Outcome {
        let training = status.is_some_and(|s| s.epoch > 0);
        let now = match restart.moment {
            Moment::Granted => state == Some(JobState::Granted),
            Moment::Running => training,
            Moment::Delivered => {
                // Without this the orchestrator would settle before the crash.
                if training && !self.withheld {
                    self.withheld = true;
                    withhold(stage, world)?;
                }
                status.is_some_and(|s| s.task_state == TaskState::Delivered)
            }
        };
        if !now {
            return Ok(());
        }
        self.done = true;
        let names = restart.programs();
        stage.tell("fault", &format!("Killed {}", names.join(", ")), json!({"killed": names}));
        world.crash(names).await?;
        if self.withheld {
            world.start_orchestrator()?;
        }
        stage.tell("fault", &format!("Started {} again", names.join(", ")), json!({"started": names}));
        Ok(())
    }
}

/// The node's storage stays: only the part that drives jobs is gone.
fn withhold(stage: &Stage, world: &mut World) -> Outcome {
    world.stop_orchestrator()?;
    stage.tell("fault", "The orchestrator is gone and will not settle", json!({"mode": "withheld-confirm"}));
    Ok(())
}

/// Anybody can settle: a custodian hands the manifest to whoever asks.
async fn stranger(stage: &Stage, world: &mut World, job: &Job, deadline: Instant) -> Outcome<IndexedJob> {
    world.ready(stage).await?;
    let session = world.session(OWNER, stage.ui)?;
    loop {
        if let Ok(ended) = jobs::settle_held(&session, job.jobId).await {
            stage.tell(
                "state",
                "The owner fetched the manifest from a custodian and settled the job alone",
                json!({"state": ended.state().name()}),
            );
            return Ok(ended);
        }
        if Instant::now() > deadline {
            return Err(CliError::environment(codes::DEMO, "no custodian published the manifest"));
        }
        tokio::time::sleep(POLL).await;
    }
}
