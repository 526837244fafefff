//! What crosses the pipes: frames of u32be length and JSON, some with raw bytes behind them whose lengths they say.

use std::io::{self, Read, Write};

use licen_core::primitives::B256;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use licen_train::Metering;
use licen_train::folder::CardFields;

/// Longest JSON of a frame; settings are at most 64 KiB before they are escaped.
const FRAME_MAX: u32 = 512 * 1024;

/// What the node asks for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Read model and tokenizer; settings as a JSON object of 0G's names.
    Load { settings: String, threads: usize },
    /// So many bytes of JSON Lines follow. `count` asks for their text tokens.
    Rows { bytes: u64, count: bool },
    /// Train, and say this in the card.
    Train { card: CardFields },
    /// Begin another epoch, or end with those that are done.
    Epoch { another: bool },
}

/// What the trainer says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// It is running, confined by the kernel or not.
    Ready {
        confined: bool,
    },
    Loaded {
        trainable: u64,
        tokenizer_hash: B256,
    },
    /// It cannot confine itself or does not take the model; all of it is public, no row was seen.
    Refused {
        message: String,
    },
    /// Rows are text tokens; how many there are, where that was asked.
    Opened {
        tokens: Option<u64>,
        /// Text tokens of one epoch, and those of them that are learned.
        per_epoch: (u64, u64),
        /// Rows, trained on or held out, without a token to learn.
        without_target: u64,
    },
    Progress {
        epoch: u32,
        epochs_done: u32,
        step: u64,
        loss: Option<f64>,
    },
    /// Files by name and length; their bytes follow in this order.
    Trained {
        metering: Metering,
        files: Vec<(String, u64)>,
    },
    /// The engine's code.
    Failed {
        code: String,
    },
}

pub(crate) fn send<T: Serialize>(sink: &mut impl Write, frame: &T) -> io::Result<()> {
    let json = serde_json::to_vec(frame)?;
    let length = u32::try_from(json.len()).ok().filter(|length| *length <= FRAME_MAX);
    let length = length.ok_or_else(|| io::Error::other("a frame is too long"))?;
    sink.write_all(&length.to_be_bytes())?;
    sink.write_all(&json)?;
    sink.flush()
}

pub(crate) fn receive<T: DeserializeOwned>(source: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    source.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > FRAME_MAX {
        return Err(io::Error::other("a frame is too long"));
    }
    let mut json = vec![0; length as usize];
    source.read_exact(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}

/// Exactly `length` bytes, in a buffer that never grew: growing would leave copies behind.
pub(crate) fn receive_bytes(source: &mut impl Read, length: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let length = usize::try_from(length).map_err(io::Error::other)?;
    let mut bytes = Zeroizing::new(Vec::new());
    bytes.try_reserve_exact(length).map_err(io::Error::other)?;
    bytes.resize(length, 0);
    source.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_and_long_ones_are_refused() {
        let mut pipe = Vec::new();
        send(&mut pipe, &Report::Opened { tokens: Some(7), per_epoch: (5, 3), without_target: 1 }).unwrap();
        let report: Report = receive(&mut pipe.as_slice()).unwrap();
        assert!(matches!(report, Report::Opened { tokens: Some(7), per_epoch: (5, 3), without_target: 1 }));
        let long = [&u32::MAX.to_be_bytes()[..], b"{}"].concat();
        assert!(receive::<Report>(&mut long.as_slice()).is_err());
        assert!(send(&mut pipe, &Report::Refused { message: "x".repeat(1 << 20) }).is_err());
    }

    #[test]
    fn a_length_that_nobody_has_memory_for_is_an_error() {
        assert!(receive_bytes(&mut [0_u8; 4].as_slice(), u64::MAX / 2).is_err());
        assert!(receive_bytes(&mut [0_u8; 4].as_slice(), 5).is_err());
        assert_eq!(*receive_bytes(&mut [7_u8; 4].as_slice(), 4).unwrap(), [7; 4]);
    }
}
