//! A stand-in for training. Everything before and after it is the real code; these bytes only prove
//! which rows were read how often. The real engine is `licen_train::train`, too slow for hundreds
//! of runs and not a subject of this simulator.

use licen_core::primitives::keccak256;

/// The one file of a result here.
pub(crate) const FILE: &str = "STAND_IN_FOR_TRAINING.bin";

/// What training `epochs` epochs over `text` makes.
pub(crate) fn adapter(text: &[u8], epochs: u32) -> Vec<u8> {
    let rows = keccak256(text);
    let step = |state: licen_core::primitives::B256| keccak256([state.as_slice(), rows.as_slice()].concat());
    let trained = (0..epochs).fold(rows, |state, _| step(state));
    [&epochs.to_be_bytes()[..], trained.as_slice()].concat()
}
