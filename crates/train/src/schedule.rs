//! The learning rate of each step, as Hugging Face's schedules compute it.

/// How the learning rate moves after the warm-up (`lr_scheduler_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleKind {
    /// Half a cosine down to 0.
    Cosine,
    /// A straight line down to 0.
    Linear,
    /// No warm-up, no change.
    Constant,
    /// Warm-up, then no change.
    ConstantWithWarmup,
}

impl ScheduleKind {
    /// 0G's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::Linear => "linear",
            Self::Constant => "constant",
            Self::ConstantWithWarmup => "constant_with_warmup",
        }
    }
}

/// How long the learning rate rises from 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Warmup {
    /// This many steps (`warmup_steps`).
    Steps(u64),
    /// This part of all steps, rounded up (`warmup_ratio`).
    Ratio(f64),
}

/// A learning rate for every step of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    kind: ScheduleKind,
    peak: f64,
    warmup: u64,
    total: u64,
}

impl Schedule {
    pub(crate) fn new(kind: ScheduleKind, peak: f64, warmup: Warmup, total: u64) -> Self {
        let warmup = match warmup {
            Warmup::Steps(steps) => steps,
            Warmup::Ratio(ratio) => (total as f64 * ratio).ceil() as u64,
        };
        Schedule { kind, peak, warmup, total }
    }

    /// The rate of `step`, which counts from 0. The first step of a warm-up has rate 0, as in Hugging Face.
    pub(crate) fn rate(&self, step: u64) -> f64 {
        if self.kind == ScheduleKind::Constant {
            return self.peak;
        }
        if step < self.warmup {
            return self.peak * step as f64 / self.warmup as f64;
        }
        let whole = self.total.saturating_sub(self.warmup).max(1) as f64;
        let done = (step - self.warmup) as f64 / whole;
        let factor = match self.kind {
            ScheduleKind::Constant | ScheduleKind::ConstantWithWarmup => 1.0,
            ScheduleKind::Linear => (1.0 - done).max(0.0),
            ScheduleKind::Cosine => (0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos())).max(0.0),
        };
        self.peak * factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_hugging_face() {
        let rates = |kind, warmup| {
            let schedule = Schedule::new(kind, 1.0, warmup, 8);
            (0..8).map(|s| (schedule.rate(s) * 1000.0).round() as u32).collect::<Vec<_>>()
        };
        assert_eq!(rates(ScheduleKind::Linear, Warmup::Steps(4)), [0, 250, 500, 750, 1000, 750, 500, 250]);
        assert_eq!(rates(ScheduleKind::Cosine, Warmup::Ratio(0.2)), [0, 500, 1000, 933, 750, 500, 250, 67]);
        assert_eq!(rates(ScheduleKind::Constant, Warmup::Steps(4)), [1000; 8]);
        assert_eq!(rates(ScheduleKind::ConstantWithWarmup, Warmup::Steps(2))[..3], [0, 500, 1000]);
    }
}
