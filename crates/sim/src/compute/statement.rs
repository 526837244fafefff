//! The one statement that an attempt signs: the manifest, or the failure report.

use licen_compute::serve::Event;
use licen_core::abi::{FailureReport, ResultManifest};
use licen_core::job::Reason;
use licen_core::wire::AbiHex;
use licen_core::wire::compute::SignedFailure;

use super::TaskKey;
use crate::error::SimError;
use crate::sabotage::Sabotage;
use crate::world::World;

impl World {
    pub(super) fn sign_manifest(&mut self, key: TaskKey) -> Result<(), SimError> {
        let actual_epochs = self.trained(key);
        let Some(task) = self.compute.tasks.get(&key) else { return Ok(()) };
        let Some(sealed) = &task.sealed else { return Ok(()) };
        let rows = self.scenario.rows;
        let manifest = ResultManifest {
            jobId: key.0,
            attempt: key.1,
            datasetRoot: task.dispatch.job.0.datasetRoot,
            resultHash: sealed.roots.result_hash,
            actualEpochs: actual_epochs,
            samples: rows * u64::from(actual_epochs),
            computeSeconds: u64::from(actual_epochs),
            baseModelRoot: sealed.roots.base_model_root,
            adapterRoot: sealed.roots.adapter_root,
            attestationRef: sealed.roots.attestation_ref,
            reportHash: sealed.roots.report_hash,
            ..ResultManifest::default()
        };
        let signature = self.sign(&task.key_name(), &manifest)?;
        self.states(key)?;
        if let Some(task) = self.compute.tasks.get_mut(&key) {
            task.signed = Some((manifest, signature));
        }
        if self.scenario.sabotage == Some(Sabotage::SettledUnheld) {
            self.settle_unheld(key);
        }
        self.task_step(key, Event::ManifestSigned)
    }

    pub(super) fn sign_failure(
        &mut self,
        key: TaskKey,
        reason: Reason,
        epochs_done: u32,
    ) -> Result<(), SimError> {
        let Some(task) = self.compute.tasks.get(&key) else { return Ok(()) };
        let runtime_data_hash = task.ticket.as_ref().map(|t| t.runtime_data_hash).unwrap_or_default();
        let report = FailureReport {
            jobId: key.0,
            attempt: key.1,
            reasonCode: reason as u8,
            epochsDone: epochs_done,
            runtimeDataHash: runtime_data_hash,
        };
        let signature = self.sign(&task.key_name(), &report)?;
        self.states(key)?;
        self.task_step(key, Event::FailureSigned(SignedFailure { report: AbiHex(report), signature }))
    }

    fn states(&mut self, key: TaskKey) -> Result<(), SimError> {
        let Some(task) = self.compute.tasks.get_mut(&key) else { return Ok(()) };
        task.statements += 1;
        if task.statements > 1 {
            return SimError::violation(format!(
                "compute made {} statements about one attempt",
                task.statements
            ));
        }
        Ok(())
    }
}
