//! Following the chain, pure: the follower says what to ask next, is fed the answer, and returns
//! what to persist. It knows the hashes of the blocks that may still vanish, so it notices when
//! they did, finds the last common block, and takes nothing back before it has the replacement.
//!
//! ```text
//! Head -> (far behind) Range, Range, .. -> (near the head) Block, Block, .. -> Wait -> Head
//!            parent hash differs: Header, Header, .. -> common block -> Block, Block, .. -> one Advance
//! ```

use std::collections::VecDeque;

use alloy::primitives::B256;
use licen_core::fault::{Fault, Party};

use crate::event::{self, ChainEvent, EventError, RawLog};

/// Blocks written in one step near the head.
const STEP_BLOCKS: usize = 64;

/// A block header, as far as following needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Height.
    pub number: u64,
    /// Hash.
    pub hash: B256,
    /// Hash of the block below.
    pub parent_hash: B256,
    /// Chain time, seconds.
    pub timestamp: u64,
}

/// How to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamOptions {
    /// First block that can hold an event of ours.
    pub start_block: u64,
    /// Blocks this deep never vanish; a deeper change of the chain stops the follower.
    pub finality: u64,
    /// Most blocks asked for at once in the past.
    pub max_range: u64,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self { start_block: 0, finality: 64, max_range: 2_000 }
    }
}

/// What the follower needs to know next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// The newest block.
    Head,
    /// All our logs of these final blocks, and the last one's header.
    Range {
        /// First block.
        from: u64,
        /// Last block.
        to: u64,
    },
    /// A block's header, and its logs by its hash.
    Block(u64),
    /// A block's header, to find where two chains part.
    Header(u64),
    /// Nothing now; ask again after a while.
    Wait,
}

/// The answer to an [`Ask`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The newest block.
    Head(Header),
    /// Logs of a range in chain order.
    Range {
        /// Header of the range's last block.
        last: Header,
        /// The logs.
        logs: Vec<RawLog>,
    },
    /// The range is too large or too slow: ask for less.
    RangeTooLarge,
    /// A block with its logs.
    Block {
        /// Its header.
        header: Header,
        /// Its logs in order.
        logs: Vec<RawLog>,
    },
    /// A header.
    Header(Header),
    /// There is no such block any more.
    NoBlock,
}

/// One step to persist, in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advance {
    /// Where the step starts: height and hash of the last persisted block.
    pub from: Option<(u64, B256)>,
    /// Take back every block above this one first.
    pub undo_above: Option<u64>,
    /// The new blocks of the window, ascending; the last is the new position.
    pub blocks: Vec<Header>,
    /// What they say, in chain order.
    pub events: Vec<ChainEvent>,
    /// Blocks up to here are final now.
    pub finalized: u64,
    /// The newest block known, for showing the distance.
    pub head: u64,
}

/// Why following stops.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The chain changed deeper than was ever to happen.
    #[error("the chain changed below block {oldest}, which was final; block {at} is another one now")]
    ReorgTooDeep {
        /// Where the follower stood.
        at: u64,
        /// The oldest block it could take back to.
        oldest: u64,
    },
    /// The RPC does not even give the logs of one block.
    #[error("the rpc refuses the logs of block {block}")]
    RangeRefused {
        /// The block.
        block: u64,
    },
    /// The answer is not one to what was asked, or contradicts itself.
    #[error("the rpc's answer does not fit: {0}")]
    Inconsistent(String),
    /// A log that our contracts cannot have written.
    #[error(transparent)]
    Event(#[from] EventError),
}

impl Fault for StreamError {
    fn fault(&self) -> Party {
        match self {
            Self::ReorgTooDeep { .. }
            | Self::RangeRefused { .. }
            | Self::Inconsistent(_)
            | Self::Event(_) => Party::Chain,
        }
    }

    fn retryable(&self) -> bool {
        match self {
            Self::ReorgTooDeep { .. } => false,
            Self::RangeRefused { .. } | Self::Inconsistent(_) | Self::Event(_) => true,
        }
    }
}

/// Follows one chain.
#[derive(Debug, Clone)]
pub struct Follower {
    options: StreamOptions,
    /// The blocks that are persisted and may still vanish; the last one is the position.
    window: VecDeque<Header>,
    finalized: u64,
    head: Option<Header>,
    /// Blocks that are fetched and not persisted yet.
    pending: Vec<(Header, Vec<ChainEvent>)>,
    /// The last block that the persisted and the present chain share, once they part.
    common: Option<Header>,
    /// The height that is compared to find it.
    search: Option<u64>,
    /// Whether the position was compared with the chain under this head.
    verified: bool,
    range: u64,
    wait: bool,
}

impl Follower {
    /// From the persisted window (ascending, empty at first) and the height that is final.
    #[must_use]
    pub fn new(options: StreamOptions, window: Vec<Header>, finalized: u64) -> Self {
        let verified = window.is_empty();
        Self {
            range: options.max_range.max(1),
            options,
            window: window.into(),
            finalized,
            head: None,
            pending: Vec::new(),
            common: None,
            search: None,
            verified,
            wait: false,
        }
    }

    /// The last persisted block.
    #[must_use]
    pub fn position(&self) -> Option<Header> {
        self.window.back().copied()
    }

    /// What to find out next.
    pub fn ask(&mut self) -> Ask {
        if std::mem::take(&mut self.wait) {
            return Ask::Wait;
        }
        let Some(head) = self.head else { return Ask::Head };
        if let Some(number) = self.search {
            return Ask::Header(number);
        }
        let next = self.next_number();
        let settled = head.number.checked_sub(self.options.finality).filter(|settled| *settled >= next);
        if let (Some(settled), true, None) = (settled, self.pending.is_empty(), self.common) {
            if let (false, Some(position)) = (self.verified, self.position()) {
                return Ask::Header(position.number);
            }
            return Ask::Range { from: next, to: settled.min(next + self.range - 1) };
        }
        if next > head.number {
            self.head = None;
            return Ask::Wait;
        }
        Ask::Block(next)
    }

    /// Takes the answer to the last ask. A returned step must be persisted before the next ask; if
    /// persisting fails, start over with [`Follower::new`].
    ///
    /// # Errors
    /// [`StreamError`]; what was fetched and not persisted is forgotten.
    pub fn feed(&mut self, answer: Answer) -> Result<Option<Advance>, StreamError> {
        let fed = match answer {
            Answer::Head(head) => self.feed_head(head),
            Answer::Range { last, logs } => self.feed_range(last, &logs),
            Answer::RangeTooLarge => self.shrink(),
            Answer::Block { header, logs } => self.feed_block(header, &logs),
            Answer::Header(header) => self.feed_header(header),
            Answer::NoBlock => {
                self.restart();
                self.wait = true;
                Ok(None)
            }
        };
        if fed.is_err() {
            self.restart();
        }
        fed
    }

    /// Forgets everything that is not persisted.
    pub fn restart(&mut self) {
        self.head = None;
        self.pending.clear();
        self.common = None;
        self.search = None;
    }

    fn next_number(&self) -> u64 {
        let tip = self.pending.last().map(|(h, _)| *h).or(self.common).or(self.position());
        // The first block is the anchor that no undo goes below, so it lies deep under the start.
        let first = self.options.start_block.saturating_sub(self.options.finality);
        tip.map_or(first, |h| h.number + 1)
    }

    fn known(&self, number: u64) -> Option<&Header> {
        self.window.iter().find(|h| h.number == number)
    }

    fn feed_head(&mut self, head: Header) -> Result<Option<Advance>, StreamError> {
        self.head = Some(head);
        // What was true of the last head need not be true of this one.
        self.verified = self.window.is_empty();
        let Some(position) = self.position() else { return Ok(None) };
        if head.number > position.number {
            return Ok(None);
        }
        match self.known(head.number) {
            // Lower than what is persisted, but the same chain: this RPC is behind. Wait for it.
            Some(known) if known.hash == head.hash => {
                self.head = None;
                self.wait = true;
            }
            Some(_) => self.search = Some(head.number),
            // Below everything that may vanish: far behind, or another chain; the search tells.
            None => self.search = Some(self.window.front().map_or(0, |h| h.number)),
        }
        Ok(None)
    }

    fn feed_header(&mut self, header: Header) -> Result<Option<Advance>, StreamError> {
        let asked = self.search.or(self.position().map(|p| p.number));
        if Some(header.number) != asked {
            return Err(StreamError::Inconsistent(format!("header {} was not asked for", header.number)));
        }
        let same = self.known(header.number).is_some_and(|known| known.hash == header.hash);
        match (same, self.search.take()) {
            (true, None) => self.verified = true,
            (true, Some(_)) => self.common = self.known(header.number).copied(),
            (false, _) => {
                let oldest = self.window.front().map_or(0, |h| h.number);
                let below = self.window.iter().rev().map(|h| h.number).find(|n| *n < header.number);
                let at = self.position().map_or(0, |p| p.number);
                self.search = Some(below.ok_or(StreamError::ReorgTooDeep { at, oldest })?);
            }
        }
        // The common block may be the position itself: then nothing parted after all. If the RPC
        // contradicted itself it should not be asked again at once.
        if self.common.is_some() && self.common == self.position() {
            self.restart();
            self.wait = true;
        }
        Ok(None)
    }

    fn shrink(&mut self) -> Result<Option<Advance>, StreamError> {
        if self.range == 1 {
            return Err(StreamError::RangeRefused { block: self.next_number() });
        }
        self.range /= 2;
        Ok(None)
    }

    fn feed_range(&mut self, last: Header, logs: &[RawLog]) -> Result<Option<Advance>, StreamError> {
        let from = self.next_number();
        let inside = |l: &RawLog| (from..=last.number).contains(&l.block_number);
        if last.number < from || !logs.iter().all(inside) {
            return Err(StreamError::Inconsistent("logs outside the range".into()));
        }
        if logs.iter().any(|l| l.block_number == last.number && l.block_hash != last.hash) {
            return Err(StreamError::Inconsistent("logs of another block".into()));
        }
        let events = decode_all(logs)?;
        let start = self.position().map(|p| (p.number, p.hash));
        self.finalized = self.finalized.max(last.number);
        self.window.clear();
        self.window.push_back(last);
        self.verified = true;
        self.range = (self.range + self.range / 2 + 1).min(self.options.max_range.max(1));
        Ok(Some(Advance {
            from: start,
            undo_above: None,
            blocks: vec![last],
            events,
            finalized: self.finalized,
            head: self.head.map_or(last.number, |h| h.number),
        }))
    }

    fn feed_block(&mut self, header: Header, logs: &[RawLog]) -> Result<Option<Advance>, StreamError> {
        if header.number != self.next_number() {
            return Err(StreamError::Inconsistent(format!("block {} was not asked for", header.number)));
        }
        if logs.iter().any(|l| l.block_hash != header.hash || l.block_number != header.number) {
            return Err(StreamError::Inconsistent("logs of another block".into()));
        }
        let tip = self.pending.last().map(|(h, _)| *h).or(self.common).or(self.position());
        if tip.is_some_and(|tip| tip.hash != header.parent_hash) {
            return Ok(self.parted());
        }
        self.pending.push((header, decode_all(logs)?));
        let head = self.head.map_or(header.number, |h| h.number);
        let complete = match (self.common, self.position()) {
            // Nothing is taken back before at least as much stands in its place, or all there is.
            (Some(_), Some(position)) => header.number >= position.number.min(head),
            _ => header.number >= head || self.pending.len() >= STEP_BLOCKS,
        };
        Ok(complete.then(|| self.advance(head)))
    }

    /// The chain changed under the tip: what is pending is void; if nothing was, find the common block.
    fn parted(&mut self) -> Option<Advance> {
        let fresh = self.pending.is_empty() && self.common.is_none();
        let head = self.head;
        self.restart();
        if fresh {
            self.head = head;
            let position = self.position().map_or(0, |p| p.number);
            self.search = Some(position.min(head.map_or(position, |h| h.number)));
        }
        None
    }

    fn advance(&mut self, head: u64) -> Advance {
        let from = self.position().map(|p| (p.number, p.hash));
        let undo_above = self.common.take().map(|c| c.number);
        if let Some(common) = undo_above {
            self.window.retain(|h| h.number <= common);
        }
        let (blocks, events): (Vec<Header>, Vec<Vec<ChainEvent>>) =
            std::mem::take(&mut self.pending).into_iter().unzip();
        self.window.extend(&blocks);
        self.verified = true;
        let tip = self.position().map_or(0, |p| p.number);
        let settled = head.saturating_sub(self.options.finality).min(tip);
        let anchor = self.window.front().map_or(0, |h| h.number);
        self.finalized = self.finalized.max(settled).max(anchor.min(tip));
        let finalized = self.finalized;
        self.window.retain(|h| h.number >= finalized);
        Advance { from, undo_above, blocks, events: events.into_iter().flatten().collect(), finalized, head }
    }
}

fn decode_all(logs: &[RawLog]) -> Result<Vec<ChainEvent>, StreamError> {
    let order = |l: &RawLog| (l.block_number, l.log_index);
    if !logs.is_sorted_by(|a, b| order(a) < order(b)) {
        return Err(StreamError::Inconsistent("logs out of order or repeated".into()));
    }
    let decoded: Result<Vec<Option<ChainEvent>>, EventError> = logs.iter().map(event::decode).collect();
    Ok(decoded?.into_iter().flatten().collect())
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
