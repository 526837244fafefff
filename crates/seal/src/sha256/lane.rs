//! Messages of any lengths through a kernel of many lanes: a lane that has finished its message takes the
//! next one, so lanes stand idle only at the very end.

use std::ops::Range;
use std::sync::atomic::{Ordering, compiler_fence};

use licen_core::primitives::B256;
use licen_core::row_tree::Message;

use super::{Block, Kernel};

/// `out[i]` = SHA-256(`messages[i]`).
///
/// # Safety
/// The processor has the instructions of the kernel.
pub(super) unsafe fn hash_each<const LANES: usize, K: Kernel<LANES>>(
    messages: &[Message<'_>],
    out: &mut [B256],
) {
    assert_eq!(messages.len(), out.len());
    let mut kernel = K::default();
    let mut waiting = messages.iter().enumerate();
    let mut lanes: [Lane<'_>; LANES] = std::array::from_fn(|_| Lane::default());
    loop {
        for (at, lane) in lanes.iter_mut().enumerate().filter(|(_, lane)| lane.is_idle()) {
            let Some((number, message)) = waiting.next() else { break };
            lane.begin(number, message);
            kernel.begin(at);
        }
        let busy = lanes.iter().filter(|lane| !lane.is_idle()).map(Lane::blocks);
        let Some(shortest) = busy.min_by_key(|blocks| blocks.len()) else { break };
        let count = shortest.len();
        // An idle lane works on what another does: it costs the same, and nobody looks at it.
        let blocks = lanes.each_ref().map(|lane| if lane.is_idle() { shortest } else { lane.blocks() });
        // SAFETY: the caller vouches for the instructions.
        unsafe { kernel.compress(&blocks, count) };
        for (at, lane) in lanes.iter_mut().enumerate().filter(|(_, lane)| !lane.is_idle()) {
            lane.advance(count);
            if lane.is_idle() {
                for (word, bytes) in kernel.state(at).iter().zip(out[lane.number].0.as_chunks_mut::<4>().0) {
                    *bytes = word.to_be_bytes();
                }
            }
        }
    }
    lanes.iter_mut().for_each(Lane::wipe);
}

/// One message on its way: its first block where that is joined of two parts, whole blocks that are read
/// where they lie, and the end with its padding. Idle when all of them are done.
struct Lane<'a> {
    number: usize,
    head: Block,
    head_left: bool,
    body: &'a [Block],
    tail: [Block; 2],
    tail_left: Range<usize>,
}

impl Default for Lane<'_> {
    fn default() -> Self {
        Self { number: 0, head: [0; 64], head_left: false, body: &[], tail: [[0; 64]; 2], tail_left: 0..0 }
    }
}

impl<'a> Lane<'a> {
    fn is_idle(&self) -> bool {
        self.tail_left.is_empty()
    }

    fn begin(&mut self, number: usize, &(first, second): &Message<'a>) {
        let bits = 8 * (first.len() + second.len()) as u64;
        let room = self.head.len().checked_sub(first.len()).expect("the first part is shorter than a block");
        let tail = self.tail.as_flattened_mut();
        (self.number, self.head_left, self.body) = (number, false, &[]);
        let mut used = 0;
        let mut end = second;
        if first.is_empty() {
            (self.body, end) = second.as_chunks();
        } else if let Some((start, more)) = second.split_at_checked(room) {
            self.head[..first.len()].copy_from_slice(first);
            self.head[first.len()..].copy_from_slice(start);
            self.head_left = true;
            (self.body, end) = more.as_chunks();
        } else {
            tail[..first.len()].copy_from_slice(first);
            used = first.len();
        }
        tail[used..used + end.len()].copy_from_slice(end);
        used += end.len();
        let blocks = if used < 56 { 1 } else { 2 };
        tail[used] = 0x80;
        tail[used + 1..64 * blocks - 8].fill(0);
        tail[64 * blocks - 8..64 * blocks].copy_from_slice(&bits.to_be_bytes());
        self.tail_left = 0..blocks;
    }

    /// The next blocks, as many as lie one behind the other.
    fn blocks(&self) -> &[Block] {
        match (self.head_left, self.body) {
            (true, _) => std::slice::from_ref(&self.head),
            (false, []) => &self.tail[self.tail_left.clone()],
            (false, body) => body,
        }
    }

    /// `count` of those blocks are done.
    fn advance(&mut self, count: usize) {
        match (self.head_left, self.body) {
            (true, _) => self.head_left = false,
            (false, []) => self.tail_left.start += count,
            (false, body) => self.body = &body[count..],
        }
    }

    /// A message may hold a key. Whole arrays, because byte by byte this would cost as much as hashing.
    fn wipe(&mut self) {
        // SAFETY: both are borrowed mutably and stay valid arrays.
        unsafe {
            std::ptr::write_volatile(&raw mut self.head, [0; 64]);
            std::ptr::write_volatile(&raw mut self.tail, [[0; 64]; 2]);
        }
        compiler_fence(Ordering::SeqCst);
    }
}
