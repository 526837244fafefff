//! What will happen, in order. Time moves only from one entry to the next.

use std::collections::BTreeMap;

/// Entries by due time in milliseconds; those of one time in the order they were made.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    entries: BTreeMap<(u64, u64), T>,
    made: u64,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), made: 0 }
    }
}

impl<T> Agenda<T> {
    /// Adds an entry.
    pub(crate) fn at(&mut self, due_ms: u64, entry: T) {
        self.made += 1;
        self.entries.insert((due_ms, self.made), entry);
    }

    /// The next entry and when it is due.
    pub(crate) fn next(&mut self) -> Option<(u64, T)> {
        self.entries.pop_first().map(|((due, _), entry)| (due, entry))
    }
}
