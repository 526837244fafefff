//! The checks of one audit: a line for each, and whether all hold.

use licen_core::abi::{Job, Member};
use licen_core::primitives::B256;
use serde_json::json;

use crate::session::error::{CliError, Outcome};
use crate::session::{Session, codes};

/// Largest document read.
pub(super) const MAX_DOCUMENT: u64 = 8 << 20;

pub(super) struct Audit<'a> {
    pub(super) session: &'a Session,
    pub(super) failed: Option<String>,
    pub(super) checks: u32,
}

impl Audit<'_> {
    pub(super) fn line(&mut self, name: &str, verdict: Result<String, String>) {
        self.checks += 1;
        let (word, detail) = match &verdict {
            Ok(detail) => ("ok", detail.clone()),
            Err(reason) => ("FAILED", reason.clone()),
        };
        self.session.ui.record(&json!({"check": name, "ok": verdict.is_ok(), "detail": detail}));
        self.session.ui.data(&format!("{word:<7} {name:<22} {detail}"));
        if verdict.is_err() && self.failed.is_none() {
            self.failed = Some(name.to_string());
        }
    }

    /// One line; whether it holds.
    pub(super) fn checked(&mut self, name: &str, verdict: Result<String, String>) -> bool {
        let holds = verdict.is_ok();
        self.line(name, verdict);
        holds
    }

    pub(super) fn finish(self) -> Outcome {
        let checks = self.checks;
        match self.failed {
            None => {
                self.session.ui.progress(&format!("{checks} checks, all hold"));
                Ok(())
            }
            Some(first) => {
                Err(CliError::refused(codes::AUDIT_FAILED, format!("the audit failed, first at: {first}"))
                    .hint("licen explain LIC0903"))
            }
        }
    }

    /// The members of the job's custodian set.
    pub(super) async fn custodians(&self, job: &Job) -> Result<(u8, Vec<Member>), String> {
        self.set(job.custodianSet, job.setVersion).await
    }

    /// Threshold and members of a set.
    pub(super) async fn set(&self, id: B256, version: u32) -> Result<(u8, Vec<Member>), String> {
        let chain = self.session.chain().await.map_err(|e| e.message)?;
        chain.custodians(id, version).await.map_err(|e| e.message)
    }

    pub(super) async fn blob(&mut self, name: &str, root: B256) -> Option<Vec<u8>> {
        match self.session.blob(root, MAX_DOCUMENT).await {
            Ok(bytes) => {
                self.line(name, Ok(format!("{} bytes hash to {root}", bytes.len())));
                Some(bytes)
            }
            Err(error) => {
                let cause = error.causes.first().cloned().unwrap_or(error.message);
                self.line(name, Err(format!("{root}: {cause}")));
                None
            }
        }
    }
}

pub(super) fn holds(
    condition: bool,
    yes: impl Into<String>,
    no: impl Into<String>,
) -> Result<String, String> {
    if condition { Ok(yes.into()) } else { Err(no.into()) }
}

/// That storage still has the bytes of a root.
pub(super) async fn stored(audit: &mut Audit<'_>, name: &str, root: B256) {
    let path = match audit.session.config.state_dir() {
        Ok(dir) => dir.join(format!("audit-{root}.bin")),
        Err(error) => return audit.line(name, Err(error.message)),
    };
    let verdict = match audit.session.get_file(root, &path).await {
        Ok(bytes) => Ok(format!("{bytes} bytes hash to {root}")),
        Err(error) => Err(error.causes.first().cloned().unwrap_or(error.message)),
    };
    let _ = std::fs::remove_file(path);
    audit.line(name, verdict);
}
