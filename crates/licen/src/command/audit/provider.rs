//! Whether the job kept inside the owner's constraints: what was trained, by whom, and where.

use licen_core::canonical::json_from_slice;
use licen_core::constraints::{Constraints, JobSpec, ProviderFacts, check};
use licen_core::evidence_bundle::EvidenceBundle;
use licen_core::primitives::B256;
use licen_core::runtime_data::RuntimeData;

use crate::chain_view::ChainView;
use crate::node_client::IndexedJob;

use super::{Audit, JobHistory, MAX_DOCUMENT, holds, stored};

/// Constraints, specification, and the base model that both are about.
pub(super) async fn constraints_kept(
    audit: &mut Audit<'_>,
    chain: &ChainView,
    indexed: &IndexedJob,
    history: &JobHistory,
) {
    let (policy, job) = (&indexed.policy, &indexed.job);
    let constraints = audit.blob("constraints", policy.constraintsHash).await;
    let spec = audit.blob("job specification", job.jobSpecHash).await;
    let (Some(constraints), Some(spec)) = (constraints, spec) else { return };
    let parsed = json_from_slice::<Constraints>(&constraints)
        .and_then(|constraints| Ok((constraints, json_from_slice::<JobSpec>(&spec)?)));
    let (constraints, spec) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return audit.line("constraints kept", Err(error.to_string())),
    };
    let verdict = match trainers(audit, chain, indexed, history).await {
        Ok(trainers) => kept(&constraints, &spec, &trainers),
        Err(reason) => Err(reason),
    };
    audit.line("constraints kept", verdict);
    // The result was compared with what the chain committed to.
    if let Some(result) = &indexed.result {
        let same = holds(
            result.baseModelRoot == spec.base_model_root,
            "the manifest names the base model that was asked for",
            "the manifest names another base model than the job specification",
        );
        audit.line("base model trained", same);
    }
    stored(audit, "base model", spec.base_model_root).await;
}

/// What the provider had registered when custodians judged it; nothing where nobody recorded who it was.
async fn trainers(
    audit: &Audit<'_>,
    chain: &ChainView,
    indexed: &IndexedJob,
    history: &JobHistory,
) -> Result<Vec<ProviderFacts>, String> {
    let job = &indexed.job;
    let Some((block, time)) = history.started else { return Ok(Vec::new()) };
    let mut id = job.providerId;
    if id.is_zero() {
        let Some(result) = &indexed.result else { return Ok(Vec::new()) };
        id = attested(audit, result.attestationRef).await.unwrap_or_default();
    }
    if id.is_zero() {
        return Ok(vec![ProviderFacts::default()]);
    }
    let known = chain.providers_at(id, block, time).await.map_err(|e| e.message)?;
    if known.is_empty() {
        return Err(format!("provider {id} was not registered when the job started"));
    }
    Ok(known.iter().map(|provider| ProviderFacts::registered(id, provider)).collect())
}

/// The provider that the evidence was bound to. That bundle has its own checks.
async fn attested(audit: &Audit<'_>, attestation_ref: B256) -> Option<B256> {
    let bytes = audit.session.blob(attestation_ref, MAX_DOCUMENT).await.ok()?;
    let bundle: EvidenceBundle = json_from_slice(&bytes).ok()?;
    Some(RuntimeData::from_bytes(&bundle.runtime_data).ok()?.provider_id)
}

fn kept(constraints: &Constraints, spec: &JobSpec, trainers: &[ProviderFacts]) -> Result<String, String> {
    let inside = "the job is inside the owner's constraints";
    if trainers.is_empty() {
        let anywhere =
            Constraints { providers: Vec::new(), jurisdictions: Vec::new(), ..constraints.clone() };
        return check(&anywhere, spec, &ProviderFacts::default())
            .map(|()| inside.to_string())
            .map_err(|breach| breach.to_string());
    }
    let mut breach = String::new();
    for trainer in trainers {
        match check(constraints, spec, trainer) {
            Ok(()) if constraints.jurisdictions.is_empty() => return Ok(inside.into()),
            Ok(()) => return Ok(format!("{inside}, in {}", trainer.jurisdiction)),
            Err(found) => breach = found.to_string(),
        }
    }
    Err(breach)
}

#[cfg(test)]
mod tests {
    use super::*;
    use licen_core::constraints::Learn;

    #[test]
    fn a_provider_counts_as_it_was_registered_when_it_was_judged() {
        let spec = JobSpec {
            base_model_root: B256::repeat_byte(1),
            training_params: serde_json::Map::new(),
            eval_fraction: 0.0,
            seed: 0,
            learn: Learn::Assistant,
            parents: Vec::new(),
        };
        let swiss = Constraints { jurisdictions: vec!["CH".into()], ..Constraints::default() };
        let at = |code: &str| ProviderFacts { provider_id: B256::repeat_byte(2), jurisdiction: code.into() };
        assert!(kept(&swiss, &spec, &[at("CH")]).unwrap().ends_with("in CH"));
        assert!(kept(&swiss, &spec, &[at("DE")]).unwrap_err().contains("jurisdiction"));
        assert!(kept(&swiss, &spec, &[at("DE"), at("CH")]).is_ok(), "it moved between verdict and start");
        assert!(kept(&swiss, &spec, &[ProviderFacts::default()]).is_err(), "nobody vouched for a country");
        assert!(kept(&swiss, &spec, &[]).is_ok(), "nobody trained it");
        let models = Constraints { base_models: vec![B256::repeat_byte(9)], ..swiss };
        assert!(kept(&models, &spec, &[]).is_err());
    }
}
