//! Reading answers of bounded length.

use bytes::Bytes;
use reqwest::Response;

/// The body of an answer, of which no byte beyond a limit is taken.
#[derive(Debug)]
pub struct Body {
    response: Response,
    limit: u64,
    left: u64,
}

/// Why there is no whole body.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is longer than was allowed, in bytes.
    #[error("the answer has more than {0} bytes")]
    TooLarge(u64),
    /// It broke off.
    #[error("the answer broke off")]
    Cut(#[source] reqwest::Error),
}

impl Body {
    /// The body of `response`, of at most `limit` bytes.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`] where it announces more; nothing is read then.
    pub fn of(response: Response, limit: u64) -> Result<Self, BodyError> {
        match response.content_length() {
            Some(announced) if announced > limit => Err(BodyError::TooLarge(limit)),
            _ => Ok(Self { response, limit, left: limit }),
        }
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// See [`BodyError`].
    pub async fn piece(&mut self) -> Result<Option<Bytes>, BodyError> {
        let piece = self.response.chunk().await.map_err(|error| BodyError::Cut(error.without_url()))?;
        let taken = piece.as_ref().map_or(0, |piece| piece.len() as u64);
        self.left = self.left.checked_sub(taken).ok_or(BodyError::TooLarge(self.limit))?;
        Ok(piece)
    }

    /// All of it, in memory.
    ///
    /// # Errors
    /// See [`BodyError`].
    pub async fn all(mut self) -> Result<Vec<u8>, BodyError> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.piece().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }
}
