//! Talking to custodians: what a failed call means to an attempt, and "ask all of them until t have answered".

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use licen_core::fault::Fault;
use licen_core::primitives::Address;
use licen_peers::{Custodian, Http, Why};
use rand::Rng;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What a custodian says that takes nothing of the attempt any more.
const CALLED_SILENT: &str = "LIC0718";

/// A custodian of the envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// The share's x coordinate, from 1; the member index on chain is one less.
    pub(super) i: u8,
    /// Signing address.
    pub(super) id: Address,
    /// Base URL.
    pub(super) url: String,
}

impl Member {
    /// Its calls, each of which ends within `limit`.
    ///
    /// # Errors
    /// Its address cannot be used.
    pub(super) fn at(&self, http: &Http, limit: Duration) -> Result<Custodian, CallError> {
        Ok(Custodian::new(http, &self.url)?.within(limit))
    }
}

/// Why one call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CallError {
    /// Whether asking may succeed later.
    pub(super) retryable: bool,
    /// Whether the custodian answered; otherwise it may not even have heard the question.
    pub(super) answered: bool,
    /// Whether the custodian said that the chain does not show it yet.
    pub(super) early: bool,
    /// Whether nobody could be connected to.
    pub(super) unreachable: bool,
    /// Whether the request itself is used up, so that asking again needs another one.
    pub(super) spent: bool,
    /// Whether the custodian has called the attempt silent.
    pub(super) called_silent: bool,
    /// One sentence without secrets.
    pub(super) message: String,
}

impl CallError {
    /// An answer that another call will not change.
    pub(super) fn lasting(message: impl std::fmt::Display) -> Self {
        let message = message.to_string();
        Self { answered: true, ..Self::of(false, message) }
    }

    /// A failure that may pass.
    pub(super) fn passing(message: impl std::fmt::Display) -> Self {
        let message = message.to_string();
        Self::of(true, message)
    }

    fn of(retryable: bool, message: String) -> Self {
        Self {
            retryable,
            answered: false,
            early: false,
            unreachable: false,
            spent: false,
            called_silent: false,
            message,
        }
    }
}

impl From<licen_peers::CallError> for CallError {
    fn from(error: licen_peers::CallError) -> Self {
        Self {
            // Whoever dispatched named the address, and may name another.
            retryable: error.retryable() || matches!(error.why, Why::Address(_)),
            answered: error.is_answered() || matches!(error.why, Why::Request(_)),
            early: error.is_early(),
            unreachable: error.is_unreachable(),
            spent: false,
            called_silent: error.has_code(CALLED_SILENT),
            message: match &error.why {
                Why::Unreadable(source) => format!("unreadable answer: {source}"),
                _ => error.to_string(),
            },
        }
    }
}

/// What came of asking all members.
#[derive(Debug)]
pub(super) struct Answers<T> {
    /// Good answers, in ascending member index.
    pub(super) good: Vec<(Member, T)>,
    /// Last word of every member that gave none.
    pub(super) failed: Vec<(Member, CallError)>,
}

impl<T> Answers<T> {
    /// Who failed and why, in one sentence.
    pub(super) fn complaints(&self) -> String {
        let say = |(m, e): &(Member, CallError)| format!("custodian {} ({}): {}", m.i, m.id, e.message);
        self.failed.iter().map(say).collect::<Vec<_>>().join("; ")
    }

    /// Whether enough members refused for good, so that asking again is useless.
    pub(super) fn is_hopeless(&self, members: usize, need: usize) -> bool {
        members - self.failed.iter().filter(|(_, e)| !e.retryable).count() < need
    }
}

/// How long to ask.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Answers needed.
    pub(super) need: usize,
    /// How long to wait for more once there are enough.
    pub(super) grace: Duration,
    /// When to stop asking.
    pub(super) until: Instant,
}

/// Asks every member at once, each again and again (with growing, jittered pauses) while its failure
/// may pass. Ends when `need` have answered and `grace` is over, when nobody is left to ask, or at
/// `until`. A dead custodian therefore never delays those who answer.
pub(super) async fn ask_all<T, F>(
    members: &[Member],
    patience: Patience,
    call: impl Fn(Member) -> F,
) -> Answers<T>
where
    F: Future<Output = Result<T, CallError>>,
{
    ask_slow(members, patience, || patience.grace, call).await
}

/// As [`ask_all`], for answers that are worth more than a short wait: once there are enough, members
/// that were reached get as long as `slow` says then, and `grace` is for those that cannot be reached.
pub(super) async fn ask_slow<T, F>(
    members: &[Member],
    patience: Patience,
    slow: impl Fn() -> Duration,
    call: impl Fn(Member) -> F,
) -> Answers<T>
where
    F: Future<Output = Result<T, CallError>>,
{
    let last_words = Mutex::new(BTreeMap::new());
    let unreachable = |i: &u8| {
        let words = last_words.lock().unwrap_or_else(PoisonError::into_inner);
        words.get(i).is_some_and(|error: &CallError| error.unreachable)
    };
    let mut pending: FuturesUnordered<_> =
        members.iter().map(|member| ask_one(member.clone(), patience.until, &call, &last_words)).collect();
    let mut asked: BTreeSet<u8> = members.iter().map(|member| member.i).collect();
    let mut good = BTreeMap::new();
    let mut enough: Option<(Instant, Instant)> = None;
    loop {
        let until = match enough {
            None => patience.until,
            Some((short, _)) if asked.iter().all(&unreachable) => short,
            Some((_, long)) => long,
        };
        // Who can be reached changes between two answers, too.
        let look = if enough.is_some() { until.min(Instant::now() + FIRST_PAUSE) } else { until };
        let next = tokio::select! {
            next = pending.next() => next,
            () = sleep_until(look) => {
                if Instant::now() < until {
                    continue;
                }
                None
            }
        };
        let Some((member, answer)) = next else { break };
        asked.remove(&member.i);
        if let Some(answer) = answer {
            good.insert(member.i, (member, answer));
            if good.len() == patience.need {
                let (now, slow) = (Instant::now(), slow());
                let at = |wait| patience.until.min(now + wait);
                enough = Some((at(patience.grace.min(slow)), at(slow)));
            }
        }
    }
    drop(pending);
    let mut last_words = last_words.into_inner().unwrap_or_else(PoisonError::into_inner);
    let silent = members.iter().filter(|m| !good.contains_key(&m.i));
    let failed = silent.map(|m| (m.clone(), last_words.remove(&m.i).unwrap_or_else(no_answer))).collect();
    Answers { good: good.into_values().collect(), failed }
}

fn no_answer() -> CallError {
    CallError::passing("no answer in time")
}

async fn ask_one<T, F>(
    member: Member,
    until: Instant,
    call: &impl Fn(Member) -> F,
    last_words: &Mutex<BTreeMap<u8, CallError>>,
) -> (Member, Option<T>)
where
    F: Future<Output = Result<T, CallError>>,
{
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match timeout_at(until, call(member.clone())).await {
            Ok(Ok(answer)) => return (member, Some(answer)),
            Ok(Err(error)) => error,
            Err(_) => no_answer(),
        };
        let wait = jittered(pause);
        let over = !error.retryable || error.spent || Instant::now() + wait >= until;
        last_words.lock().unwrap_or_else(PoisonError::into_inner).insert(member.i, error);
        if over {
            return (member, None);
        }
        sleep(wait).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Between half and all of `pause`, so that many nodes do not knock in step.
pub(super) fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn members(n: u8) -> Vec<Member> {
        let member = |i| Member { i, id: Address::repeat_byte(i), url: String::new() };
        (1..=n).map(member).collect()
    }

    fn patience(need: usize) -> Patience {
        let until = Instant::now() + Duration::from_secs(60);
        Patience { need, grace: Duration::from_secs(1), until }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_custodian_delays_nobody() {
        let begin = Instant::now();
        let answers = ask_all(&members(3), patience(2), |m| async move {
            if m.i == 2 {
                std::future::pending::<()>().await;
            }
            Ok(m.i)
        })
        .await;
        let got: Vec<u8> = answers.good.iter().map(|(_, i)| *i).collect();
        assert_eq!(got, vec![1, 3]);
        assert_eq!(answers.failed.len(), 1);
        assert!(begin.elapsed() <= Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_member_is_waited_for_and_one_that_cannot_be_reached_is_not() {
        let slow = || Duration::from_secs(15);
        let answers = ask_slow(&members(4), patience(2), slow, |m| async move {
            match m.i {
                3 => sleep(Duration::from_secs(5)).await,
                4 => return Err(CallError { unreachable: true, ..CallError::passing("cannot connect") }),
                _ => {}
            }
            Ok(m.i)
        })
        .await;
        assert_eq!(answers.good.iter().map(|(_, i)| *i).collect::<Vec<_>>(), [1, 2, 3]);
        let begin = Instant::now();
        let answers = ask_slow(&members(3), patience(2), slow, |m| async move {
            match m.i {
                3 => Err(CallError { unreachable: true, ..CallError::passing("cannot connect") }),
                _ => Ok(m.i),
            }
        })
        .await;
        assert_eq!(answers.good.len(), 2);
        assert!(begin.elapsed() <= Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn passing_failures_are_asked_again_and_lasting_ones_are_not() {
        let calls = AtomicU32::new(0);
        let answers = ask_all(&members(2), patience(2), |m| {
            let nth = calls.fetch_add(u32::from(m.i == 1), Ordering::Relaxed);
            async move {
                match (m.i, nth) {
                    (2, _) => Err(CallError::lasting("no")),
                    (_, 0..=3) => Err(CallError::passing("later")),
                    _ => Ok(()),
                }
            }
        })
        .await;
        assert_eq!(answers.good.len(), 1);
        assert!(answers.is_hopeless(2, 2) && !answers.is_hopeless(2, 1));
        assert!(answers.complaints().contains("custodian 2"));
    }

    #[tokio::test(start_paused = true)]
    async fn asking_ends_at_its_deadline() {
        let begin = Instant::now();
        let answers: Answers<()> =
            ask_all(&members(1), patience(1), |_| async { Err(CallError::passing("down")) }).await;
        assert!(answers.good.is_empty());
        assert!(begin.elapsed() <= Duration::from_secs(61));
    }
}
