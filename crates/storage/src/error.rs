use std::io;
use std::path::{Path, PathBuf};

use licen_core::fault::{Fault, Party};
use licen_core::primitives::B256;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that storage refuses or fails at. Each variant has one code for people and one status
/// over HTTP.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("an empty file has no file root")]
    Empty,
    #[error("the bytes have the file root {actual}, not {expected}")]
    RootMismatch { expected: B256, actual: B256 },
    #[error("no blob has the file root {root}")]
    NotFound { root: B256 },
    #[error("{bytes} bytes are more than the limit of {limit}")]
    TooLarge { bytes: u64, limit: u64 },
    #[error("the stored blob {root} is damaged: {reason}")]
    Corrupt { root: B256, reason: &'static str },
    #[error("the upload of {root} continues at byte {offset}")]
    Offset { root: B256, offset: u64 },
    #[error("another request is writing this upload of {root}")]
    Busy { root: B256 },
    #[error("{reason}")]
    BadRequest { reason: String },
    #[error("no space left on the device of {}", path.display())]
    DiskFull { path: PathBuf },
    #[error("cannot read or write {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("cannot reach {url}")]
    Unreachable { url: String, source: reqwest::Error },
    #[error("{what} took longer than {seconds} s")]
    Deadline { what: &'static str, seconds: u64 },
    /// A server handed out bytes that are not what they were asked for. The bytes are gone.
    #[error("{url} served bytes with the file root {actual} as {expected}")]
    Untrue { url: String, expected: B256, actual: B256 },
    #[error("too many uploads are open")]
    TooManyUploads,
    #[error("bytes {start}..{end} are outside a blob of {len}")]
    Range { start: u64, end: u64, len: u64 },
    #[error("{url} refuses: {detail} [{code}]")]
    Refused { url: String, status: u16, code: String, detail: String },
    #[error("{url} does not speak the blob protocol: {reason}")]
    Protocol { url: String, reason: &'static str },
}

impl Error {
    /// The code that people search for.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "LIC0601",
            Self::RootMismatch { .. } => "LIC0602",
            Self::NotFound { .. } => "LIC0603",
            Self::TooLarge { .. } => "LIC0604",
            Self::Corrupt { .. } => "LIC0605",
            Self::Offset { .. } => "LIC0606",
            Self::Busy { .. } => "LIC0607",
            Self::BadRequest { .. } => "LIC0608",
            Self::DiskFull { .. } => "LIC0609",
            Self::Io { .. } => "LIC0610",
            Self::Unreachable { .. } => "LIC0611",
            Self::Deadline { .. } => "LIC0612",
            Self::Untrue { .. } => "LIC0613",
            Self::TooManyUploads => "LIC0617",
            Self::Range { .. } => "LIC0618",
            Self::Refused { .. } => "LIC0619",
            Self::Protocol { .. } => "LIC0620",
        }
    }

    /// Names the file an I/O error is about, and tells a full disk from other trouble. An error of
    /// our own that travelled through a `Read` or `Write` comes out as itself.
    pub fn io(path: impl AsRef<Path>, source: io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => match source.downcast::<Self>() {
                Ok(ours) => ours,
                Err(source) => Self::Io { path, source },
            },
        }
    }

    /// For `Read` and `Write`; [`Error::io`] is the way back.
    pub fn into_io(self) -> io::Error {
        let kind = match &self {
            Self::Io { source, .. } => source.kind(),
            Self::DiskFull { .. } => io::ErrorKind::StorageFull,
            Self::Corrupt { .. } => io::ErrorKind::InvalidData,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, self)
    }
}

impl Fault for Error {
    fn fault(&self) -> Party {
        match self {
            Self::Empty | Self::TooLarge { .. } => Party::Owner,
            Self::RootMismatch { .. } | Self::Offset { .. } | Self::Busy { .. } => Party::Environment,
            Self::BadRequest { .. } | Self::Range { .. } | Self::DiskFull { .. } => Party::Environment,
            Self::Io { .. } => Party::Environment,
            Self::NotFound { .. } | Self::Corrupt { .. } | Self::Unreachable { .. } => Party::Storage,
            Self::Deadline { .. } | Self::Untrue { .. } | Self::TooManyUploads => Party::Storage,
            Self::Refused { .. } | Self::Protocol { .. } => Party::Storage,
        }
    }

    fn retryable(&self) -> bool {
        match self {
            Self::Offset { .. } | Self::Busy { .. } | Self::Unreachable { .. } => true,
            Self::Deadline { .. } | Self::TooManyUploads => true,
            Self::Refused { status, code, .. } => {
                matches!(status, 429 | 500 | 502..=504) || matches!(&code[..], "LIC0606" | "LIC0607")
            }
            Self::Empty | Self::RootMismatch { .. } | Self::NotFound { .. } | Self::TooLarge { .. } => false,
            Self::Corrupt { .. } | Self::BadRequest { .. } | Self::DiskFull { .. } => false,
            Self::Io { .. } | Self::Untrue { .. } => false,
            Self::Range { .. } | Self::Protocol { .. } => false,
        }
    }
}
