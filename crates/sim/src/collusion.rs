//! The owner's custodians, all of them together, against a requester who named custodians of its own: they
//! want the escrow for a run that nobody attested. Tried on the newest block, with every key of theirs.

use licen_core::abi::{DataPolicy, Job, MemberSignature, Verdict};
use licen_core::eip712::compact;
use licen_core::job::{JobState, MAX_ATTEMPTS};
use licen_core::primitives::{Address, B256, U256};
use licen_core::sol_types::SolCall;

use crate::custodian;
use crate::error::SimError;
use crate::keys::signing_key;
use crate::world::{Happening, World};

/// Between two tries, milliseconds.
const EVERY_MS: u64 = 7_000;
/// What the contract says where the other set's verdicts are missing or not theirs.
const FOR_WANT_OF_OTHERS: [&str; 5] =
    ["MembersTooFew", "VerdictMismatch", "MemberUnknown", "MembersNotAscending", "SignatureInvalid"];

impl World {
    /// Starts or restarts the job with a key of the owner's, with all that the owner's custodians can sign.
    pub(crate) fn collude(&mut self, id: B256) -> Result<(), SimError> {
        let Some(job) = self.chain.history.job(id).cloned() else { return Ok(()) };
        let head = self.chain.head();
        let time = head.time + 1;
        let deadline = match self.chain.job_state(head, id)?.0 {
            Some(JobState::Granted) => job.startDeadline,
            Some(JobState::Running) => job.runDeadline,
            Some(_) | None => return Ok(()),
        };
        if time > deadline || job.attempt >= MAX_ATTEMPTS {
            return Ok(());
        }
        let own = Verdict {
            custodianSet: job.custodianSet,
            setVersion: job.setVersion,
            ..self.verdict(&job, time)?
        };
        let theirs =
            Verdict { custodianSet: job.verifierSet, setVersion: job.verifierSetVersion, ..own.clone() };
        let pinned = self.signed_by_pinned(&own)?;
        let forged = self.signed_by_pinned(&theirs)?;
        for (what, verdicts) in [
            ("their own verdicts", pinned.clone()),
            ("verdicts in the others' name", [&pinned[..], &forged].concat()),
            ("their own verdicts twice", [&pinned[..], &pinned].concat()),
        ] {
            let refused = self.begin_with(&job, &verdicts, time)?;
            match refused.as_deref() {
                Some(name) if FOR_WANT_OF_OTHERS.contains(&name) => {}
                Some(name) => return SimError::violation(format!("with {what}: refused for {name}")),
                None => return SimError::violation(format!("with {what} a job began unattested")),
            }
        }
        self.after(EVERY_MS, Happening::Collude(id));
        Ok(())
    }

    fn verdict(&self, job: &Job, time: u64) -> Result<Verdict, SimError> {
        Ok(Verdict {
            jobId: job.jobId,
            attempt: job.attempt + 1,
            signer: signing_key(self.scenario.seed, "owner")?.address(),
            runtimeDataHash: B256::repeat_byte(6),
            providerId: job.providerId,
            level: job.requiredLevel,
            appraisalPolicy: job.appraisalPolicy,
            expiresAt: time + 60,
            ..Verdict::default()
        })
    }

    fn signed_by_pinned(&self, verdict: &Verdict) -> Result<Vec<(Verdict, MemberSignature)>, SimError> {
        let mut signed = Vec::new();
        for index in 0..self.pinned().len() {
            let key = signing_key(self.scenario.seed, &custodian::name(index))?;
            let signature = key.sign(&self.chain.domain().digest(verdict)).map_err(SimError::world)?;
            let signature = compact(index as u16, signature.as_bytes());
            let signature = signature.ok_or_else(|| SimError::World("a signature without a form".into()))?;
            signed.push((verdict.clone(), signature));
        }
        Ok(signed)
    }

    /// The name of the refusal; `None` where it passes.
    fn begin_with(
        &self,
        job: &Job,
        verdicts: &[(Verdict, MemberSignature)],
        time: u64,
    ) -> Result<Option<String>, SimError> {
        let (verdicts, signatures): (Vec<_>, Vec<_>) = verdicts.iter().cloned().unzip();
        let signer: Address = verdicts.first().map(|v| v.signer).unwrap_or_default();
        let job = job.clone();
        let call = match job.attempt {
            0 => DataPolicy::startJobCall { job, signer, verdicts, signatures }.abi_encode(),
            _ => DataPolicy::restartJobCall { job, signer, verdicts, signatures }.abi_encode(),
        };
        let done = self.chain.attempt(self.accounts.owner, U256::ZERO, call, time)?;
        Ok(done.err().map(|revert| revert.name))
    }
}
