//! Whether the job kept inside the owner's constraints: what was trained, by whom, and where.

use licen_core::canonical::json_from_slice;
use licen_core::constraints::{Constraints, JobSpec, ProviderFacts, check};
use licen_core::evidence_bundle::EvidenceBundle;
use licen_core::primitives::B256;
use licen_core::runtime_data::RuntimeData;

use super::check::{Audit, MAX_DOCUMENT, holds, stored};
use crate::session::chain_view::ChainView;
use crate::session::job_history::JobHistory;
use crate::session::node_client::IndexedJob;

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
    let verdict = match providers(audit, chain, indexed, history).await {
        Ok(providers) => kept(&constraints, &spec, providers),
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

/// Who may have trained a job.
#[derive(Debug)]
enum Providers {
    /// Nobody began it, or nobody recorded who did.
    Nobody,
    /// Each as it was registered at some time while custodians judged it.
    Each(Vec<ProviderFacts>),
    /// The document that says who is not there, or cannot be read.
    Unread(String),
}

async fn providers(
    audit: &Audit<'_>,
    chain: &ChainView,
    indexed: &IndexedJob,
    history: &JobHistory,
) -> Result<Providers, String> {
    let job = &indexed.job;
    let Some((block, time)) = history.started else { return Ok(Providers::Nobody) };
    let mut id = job.providerId;
    if id.is_zero() {
        let Some(result) = &indexed.result else { return Ok(Providers::Nobody) };
        let bundle = audit.session.blob(result.attestationRef, MAX_DOCUMENT).await;
        id = match bundle.map_err(|e| e.message).and_then(|bundle| attested(&bundle)) {
            Ok(id) => id,
            Err(reason) => return Ok(Providers::Unread(reason)),
        };
    }
    if id.is_zero() {
        return Ok(Providers::Each(vec![ProviderFacts::default()]));
    }
    let known = chain.providers_at(id, block, time).await.map_err(|e| e.message)?;
    if known.is_empty() {
        return Err(format!("provider {id} was not registered when the job started"));
    }
    Ok(Providers::Each(known.iter().map(|provider| ProviderFacts::registered(id, provider)).collect()))
}

/// The provider that the evidence was bound to. That bundle has its own checks.
fn attested(bundle: &[u8]) -> Result<B256, String> {
    let bundle: EvidenceBundle = json_from_slice(bundle).map_err(|e| e.to_string())?;
    Ok(RuntimeData::from_bytes(&bundle.runtime_data).map_err(|e| e.to_string())?.provider_id)
}

fn kept(constraints: &Constraints, spec: &JobSpec, providers: Providers) -> Result<String, String> {
    let inside = "the job is inside the owner's constraints";
    let by_anybody = constraints.providers.is_empty() && constraints.jurisdictions.is_empty();
    let providers = match providers {
        Providers::Each(providers) => providers,
        // A document that is missing accuses nobody of having been elsewhere.
        Providers::Unread(reason) if !by_anybody => {
            return Err(format!("who trained it cannot be read: {reason}"));
        }
        Providers::Nobody | Providers::Unread(_) => {
            let anywhere =
                Constraints { providers: Vec::new(), jurisdictions: Vec::new(), ..constraints.clone() };
            return check(&anywhere, spec, &ProviderFacts::default())
                .map(|()| inside.to_string())
                .map_err(|breach| breach.to_string());
        }
    };
    let mut breach = String::new();
    for provider in &providers {
        match check(constraints, spec, provider) {
            Ok(()) if constraints.jurisdictions.is_empty() => return Ok(inside.into()),
            Ok(()) => return Ok(format!("{inside}, in {}", provider.jurisdiction)),
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
        let by = |constraints: &Constraints, each: &[ProviderFacts]| {
            kept(constraints, &spec, Providers::Each(each.to_vec()))
        };
        assert!(by(&swiss, &[at("CH")]).unwrap().ends_with("in CH"));
        assert!(by(&swiss, &[at("DE")]).unwrap_err().contains("jurisdiction"));
        assert!(by(&swiss, &[at("DE"), at("CH")]).is_ok(), "it moved between verdict and start");
        assert!(by(&swiss, &[ProviderFacts::default()]).is_err(), "nobody vouched for a country");
        assert!(kept(&swiss, &spec, Providers::Nobody).is_ok(), "nobody trained it");
        let unread = || Providers::Unread(attested(b"not a bundle").unwrap_err());
        let said = kept(&swiss, &spec, unread()).unwrap_err();
        assert!(said.starts_with("who trained it cannot be read: "), "{said}");
        assert!(!said.contains("jurisdiction"), "nobody is accused: {said}");
        assert!(kept(&Constraints::default(), &spec, unread()).is_ok(), "anybody may train it");
        let models = Constraints { base_models: vec![B256::repeat_byte(9)], ..swiss };
        assert!(kept(&models, &spec, Providers::Nobody).is_err());
        assert!(kept(&models, &spec, unread()).is_err());
    }
}
