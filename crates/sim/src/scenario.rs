//! What a seed chooses before anything happens: prices, windows, custodians, weather and faults.

use std::collections::BTreeSet;

use crate::random::Random;
use crate::sabotage::Sabotage;

/// Which of the two walks a run is about; they differ in the faults that are likely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walk {
    /// A dataset key to compute, a result key back: custodians, compute, storage and network fail.
    Keys,
    /// A wei of royalty: several jobs, every way out, everybody withdraws at the end.
    Money,
}

/// Something that goes wrong. Times are milliseconds after the first request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A custodian answers nobody in this time; requests under way are lost, its records are not.
    CustodianDown {
        /// Which, from 0.
        custodian: usize,
        /// From.
        from_ms: u64,
        /// Until.
        until_ms: u64,
    },
    /// A custodian knows other reference values, so it denies every verdict.
    CustodianRefuses {
        /// Which, from 0.
        custodian: usize,
    },
    /// Compute is never reachable.
    ComputeNeverStarts,
    /// Compute is gone from then on, with every key in it.
    ComputeDies {
        /// When.
        at_ms: u64,
    },
    /// Nobody reaches compute and it reaches nobody, while it works on.
    ComputeCutOff {
        /// From.
        from_ms: u64,
        /// Until.
        until_ms: u64,
    },
    /// Compute restarts: it answers again and has forgotten everything.
    ComputeRestarts {
        /// When.
        at_ms: u64,
    },
    /// The ciphertext is gone from storage.
    DatasetLost {
        /// When.
        at_ms: u64,
    },
    /// A byte of the ciphertext changed on the disk.
    DatasetDamaged {
        /// When.
        at_ms: u64,
    },
    /// What was encrypted is not what the policy manifest says.
    DatasetMislabelled,
    /// The orchestrator is gone from then on, or until another takes over with its journal.
    OrchestratorDead {
        /// When.
        at_ms: u64,
        /// When another one takes over.
        replaced_ms: Option<u64>,
    },
    /// Strangers ask every custodian whether compute is silent; a seed plans such questions otherwise.
    StrangerAsks {
        /// When.
        at_ms: u64,
    },
    /// The owner declines every Granted job.
    OwnerDeclines {
        /// When.
        at_ms: u64,
    },
}

/// Whose process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A custodian, from 0.
    Custodian(usize),
    /// Compute, with every key in it.
    Compute,
    /// The orchestrator; its journal stays.
    Orchestrator,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobPlan {
    /// When it is sent, milliseconds after the first one.
    pub asked_ms: u64,
    /// Epochs paid for.
    pub epochs: u32,
    /// The provider's price per epoch, wei; `None` asks without a quote.
    pub compute_fee: Option<u128>,
    /// When the requester orders compute to stop after the epoch it is in.
    pub stop_ms: Option<u64>,
    /// When the requester cancels, where it is still Granted.
    pub cancel_ms: Option<u64>,
    /// Whether the result key is lost and replaced by the wallet.
    pub key_lost: bool,
}

/// Everything a seed decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// Repeats the run.
    pub seed: u64,
    /// Which walk.
    pub walk: Walk,
    /// Shares needed, and dealt.
    pub t: u8,
    /// Custodians.
    pub n: u8,
    /// Threshold and number of the requester's own custodians, who stand behind the owner's; `None` where
    /// the owner's suffice.
    pub verifiers: Option<(u8, u8)>,
    /// Protocol fee, basis points.
    pub fee_bps: u16,
    /// Wei.
    pub royalty_per_epoch: u128,
    /// The payee is a split of two in these basis points, instead of the owner.
    pub split: Option<u16>,
    /// Seconds.
    pub start_window: u32,
    /// Seconds.
    pub run_window: u32,
    /// Seconds after the last request until the policy ends; `None` never. What was granted goes on.
    pub expires_after: Option<u64>,
    /// Longest time between two blocks, milliseconds.
    pub block_ms: u64,
    /// Blocks on top of what is believed.
    pub confirmations: u64,
    /// Shortest and longest way of a message, milliseconds.
    pub delay_ms: (u64, u64),
    /// Part of the messages that arrive twice, percent.
    pub duplicates: u64,
    /// Part of the messages that never arrive, percent.
    pub losses: u64,
    /// How long an epoch takes, milliseconds.
    pub epoch_ms: u64,
    /// Rows of the dataset.
    pub rows: u64,
    /// Whether the owner, not the requester, sends a held manifest where the orchestrator does not.
    pub owner_confirms: bool,
    /// Requests, the earliest first.
    pub jobs: Vec<JobPlan>,
    /// Whether blocks above the confirmation depth are replaced now and then.
    pub reorganises: bool,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// Who is killed right after which of its effects, from 1, and starts again; a seed plans faults instead.
    pub kill: Option<(Role, u64)>,
    /// A breach that has to be noticed; a seed never chooses one.
    pub sabotage: Option<Sabotage>,
}

impl Scenario {
    /// The scenario of a seed.
    #[must_use]
    pub fn new(walk: Walk, seed: u64) -> Self {
        let mut random = Random::new(seed, "scenario");
        let n = random.between(1, 5) as u8;
        let t = random.between(1, u64::from(n)) as u8;
        let run_window = random.between(600, 2_400) as u32;
        let losses = if random.chance(60) { 0 } else { random.between(1, 8) };
        let most_jobs = if walk == Walk::Money { 3 } else { 1 };
        let mut scenario = Self {
            seed,
            walk,
            t,
            n,
            verifiers: None,
            fee_bps: random.between(0, 500) as u16,
            royalty_per_epoch: price(&mut random),
            split: random.chance(40).then(|| random.between(1, 9_999) as u16),
            start_window: random.between(120, 600) as u32,
            run_window,
            expires_after: None,
            block_ms: random.between(1_000, 6_000),
            confirmations: random.between(0, 3),
            delay_ms: (random.between(1, 20), random.between(20, 1_500)),
            duplicates: random.between(0, 15),
            losses,
            epoch_ms: random.between(1_000, 60_000),
            rows: random.between(1, 40),
            owner_confirms: random.chance(50),
            jobs: Vec::new(),
            reorganises: random.chance(30),
            faults: Vec::new(),
            kill: None,
            sabotage: None,
        };
        for index in 0..random.between(1, most_jobs) {
            scenario.jobs.push(job_plan(walk, index, &mut random));
        }
        for _ in 0..random.between(0, 2) {
            scenario.faults.push(fault(&scenario, &mut random));
        }
        scenario.expires_after = random.chance(50).then(|| random.between(60, 900));
        scenario.verifiers = random.chance(25).then(|| {
            let n = random.between(1, 3);
            (random.between(1, n) as u8, n as u8)
        });
        scenario
    }

    /// Whether nothing stands between this scenario and a paid, delivered result: then anything else
    /// is a defect. Silent where it depends on who is faster.
    #[must_use]
    pub fn must_succeed(&self) -> bool {
        let [job] = &self.jobs[..] else { return false };
        let start_ms = u64::from(self.start_window) * 1000;
        let mut absent = 0;
        for fault in &self.faults {
            match fault {
                Fault::CustodianDown { .. } | Fault::CustodianRefuses { .. } => absent += 1,
                Fault::StrangerAsks { .. } => {}
                // Another one takes over while the job can still be started.
                Fault::OrchestratorDead { replaced_ms: Some(again), .. } if again + 90_000 < start_ms => {}
                Fault::ComputeNeverStarts
                | Fault::ComputeDies { .. }
                | Fault::ComputeRestarts { .. }
                | Fault::ComputeCutOff { .. }
                | Fault::DatasetLost { .. }
                | Fault::DatasetDamaged { .. }
                | Fault::DatasetMislabelled
                | Fault::OrchestratorDead { .. }
                | Fault::OwnerDeclines { .. } => return false,
            }
        }
        let training = u64::from(job.epochs) * self.epoch_ms / 1000;
        // Compute that held a result and dies before its manifest is anywhere leaves nothing to settle.
        !matches!(self.kill, Some((Role::Compute, _)))
            && absent + usize::from(self.t) <= usize::from(self.n)
            // A lost message costs its asker's patience, so the window must have room for some.
            && (self.losses == 0 || self.start_window >= 400)
            && job.cancel_ms.is_none()
            && training * 2 + 300 < u64::from(self.run_window)
    }

    /// Whether no job may end as Completed, whatever else happens.
    #[must_use]
    pub fn must_fail(&self) -> bool {
        let refusing: BTreeSet<usize> = self.faults.iter().filter_map(refusing).collect();
        refusing.len() + usize::from(self.t) > usize::from(self.n)
            || self.faults.contains(&Fault::ComputeNeverStarts)
            || self.faults.contains(&Fault::DatasetMislabelled)
    }
}

fn refusing(fault: &Fault) -> Option<usize> {
    match fault {
        Fault::CustodianRefuses { custodian } => Some(*custodian),
        Fault::CustodianDown { .. }
        | Fault::ComputeNeverStarts
        | Fault::ComputeDies { .. }
        | Fault::ComputeRestarts { .. }
        | Fault::ComputeCutOff { .. }
        | Fault::StrangerAsks { .. }
        | Fault::DatasetLost { .. }
        | Fault::DatasetDamaged { .. }
        | Fault::DatasetMislabelled
        | Fault::OrchestratorDead { .. }
        | Fault::OwnerDeclines { .. } => None,
    }
}

/// From a single wei to a coin, seldom round.
fn price(random: &mut Random) -> u128 {
    let digits = random.between(0, 18) as u32;
    u128::from(random.between(1, 10u64.pow(digits)))
}

fn job_plan(walk: Walk, index: u64, random: &mut Random) -> JobPlan {
    let epochs = random.between(1, 6) as u32;
    let ways_out = if walk == Walk::Money { 25 } else { 5 };
    JobPlan {
        asked_ms: if index == 0 { 0 } else { random.between(0, 120_000) },
        epochs,
        compute_fee: random.chance(40).then(|| price(random)),
        stop_ms: random.chance(25).then(|| random.between(5_000, 200_000)),
        cancel_ms: random.chance(ways_out).then(|| random.between(0, 60_000)),
        key_lost: random.chance(20),
    }
}

fn fault(scenario: &Scenario, random: &mut Random) -> Fault {
    let custodian = random.index(usize::from(scenario.n));
    let at_ms = random.between(0, 400_000);
    let kinds = if scenario.walk == Walk::Money { 16 } else { 10 };
    match random.between(0, kinds) {
        0..=2 => Fault::CustodianDown {
            custodian,
            from_ms: at_ms,
            until_ms: at_ms + random.between(1_000, 3_600_000),
        },
        3 => Fault::CustodianRefuses { custodian },
        4 => Fault::ComputeNeverStarts,
        5 => Fault::ComputeDies { at_ms },
        6 => Fault::ComputeRestarts { at_ms },
        // Shorter or longer than what custodians call silent.
        7 => Fault::ComputeCutOff { from_ms: at_ms, until_ms: at_ms + random.between(10_000, 500_000) },
        8 => Fault::DatasetLost { at_ms: at_ms / 4 },
        9 => Fault::DatasetDamaged { at_ms: at_ms / 4 },
        10 => Fault::DatasetMislabelled,
        11..=15 => Fault::OrchestratorDead {
            // Most runs are over sooner.
            at_ms: at_ms / 2,
            replaced_ms: random.chance(50).then(|| at_ms / 2 + random.between(1_000, 120_000)),
        },
        _ => Fault::OwnerDeclines { at_ms: at_ms / 4 },
    }
}
