//! One error code.

/// One entry.
pub struct Code {
    /// The number in `LICnnnn`.
    pub number: u16,
    /// One line.
    pub title: &'static str,
    /// What it means and what to do.
    pub text: &'static str,
}
