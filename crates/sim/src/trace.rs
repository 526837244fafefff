//! What happened, for people. Only what a seed decides stands in it, so two runs of a seed write the
//! same lines.

/// The lines of a run.
#[derive(Debug)]
pub(crate) struct Trace {
    begin_ms: u64,
    lines: Vec<String>,
}

impl Trace {
    pub(crate) fn new(begin_ms: u64) -> Self {
        Self { begin_ms, lines: Vec::new() }
    }

    pub(crate) fn say(&mut self, now_ms: u64, block: u64, line: String) {
        let since = now_ms - self.begin_ms;
        self.lines.push(format!("{:>7}.{:03} s  block {block:>5}  {line}", since / 1000, since % 1000));
    }

    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }
}
