//! A price for one job, signed by the provider's signer. What this node would refuse to train it does not
//! price, so that nobody pays for a job that cannot begin.

use std::sync::Arc;
use std::time::Duration;

use licen_core::abi::Quote;
use licen_core::canonical::{json_from_slice, json_of_blob};
use licen_core::constraints::{self, Constraints, JobSpec, ProviderFacts};
use licen_core::eip712::Domain;
use licen_core::id::policy_hash;
use licen_core::merkle::file_tree;
use licen_core::policy_manifest::{self, PolicyManifest};
use licen_core::price::{Price, Rate};
use licen_core::primitives::{B256, Bytes};
use licen_core::wire::AbiHex;
use licen_core::wire::compute::{QuoteRequest, QuoteResponse};
use licen_seal::SigningKey;
use tokio::sync::Semaphore;

use super::check::{NO_LICENSES, serves};
use super::config::Config;
use super::documents::MAX_DOCUMENT_BYTES;
use super::error::ServeError;
use super::node::{Node, unix_now};
use super::speeds::Speeds;
use super::training::Plan;

/// Quotes that are worked on at a time: each may fetch two documents.
const AT_ONCE: usize = 8;
/// Longest that the owner's documents may take.
const WITHIN: Duration = Duration::from_secs(10);

/// What this node signs its prices with, and what it knows of its speed.
pub(super) struct Quotes {
    key: Option<SigningKey>,
    pub(super) speeds: Speeds,
    places: Arc<Semaphore>,
}

impl Quotes {
    /// Reads the signer's key, where the configuration names one.
    ///
    /// # Errors
    /// [`ServeError::Config`].
    pub(super) fn new(config: &Config) -> Result<Self, ServeError> {
        let load = |path: &std::path::PathBuf| {
            SigningKey::load(path)
                .map_err(|e| ServeError::Config { path: path.clone(), reason: e.to_string() })
        };
        let key = config.quote_key_file.as_ref().map(load).transpose()?;
        let speeds = Speeds::open(&config.work_dir);
        Ok(Self { key, speeds, places: Arc::new(Semaphore::new(AT_ONCE)) })
    }
}

fn declined(reason: impl std::fmt::Display) -> ServeError {
    ServeError::NotQuoted(reason.to_string())
}

impl Node {
    /// The price of one job.
    ///
    /// # Errors
    /// [`ServeError::NoQuotes`], [`ServeError::NotQuoted`] where it would not train the job or has no price
    /// for it, [`ServeError::Busy`], [`ServeError::Body`].
    pub async fn quote(&self, request: &QuoteRequest) -> Result<QuoteResponse, ServeError> {
        let key = self.quotes.key.as_ref().ok_or(ServeError::NoQuotes)?;
        let config = &self.config;
        let Ok(_place) = self.quotes.places.try_acquire() else { return Err(ServeError::Busy(AT_ONCE)) };
        check_here(request, config)?;
        let policy = &request.policy.0;
        let spec: JobSpec = json_from_slice(&request.job_spec)
            .map_err(|e| ServeError::Body(format!("the job specification: {e}")))?;
        let spec_hash = file_tree(&request.job_spec).map_err(|e| ServeError::Body(e.to_string()))?.root;
        if !config.base_models.is_empty() && !config.base_models.contains(&spec.base_model_root) {
            return Err(declined("it does not train this base model"));
        }
        Plan::new(&spec, request.epochs, config.threads).map_err(declined)?;
        let price = Price::of(&config.prices, spec.base_model_root, policy.token).ok_or_else(|| {
            declined(format!("it has no price for this base model in token {}", policy.token))
        })?;
        let read = self.owners_documents(request, &spec, price);
        let bytes = tokio::time::timeout(WITHIN, read)
            .await
            .map_err(|_| declined("the owner's documents did not come in time"))??;
        let measured = self.quotes.speeds.of(spec.base_model_root);
        let quote = Quote {
            providerId: config.provider_id,
            jobId: request.job_id,
            policyHash: policy_hash(policy),
            licenseId: request.license_id,
            token: policy.token,
            jobSpecHash: spec_hash,
            epochs: request.epochs,
            computeFeePerEpoch: price.fee_per_epoch(bytes, measured).map_err(declined)?,
            expiresAt: unix_now() + config.quote_seconds,
        };
        let domain = Domain { chain_id: request.chain_id, contract: request.contract };
        let signature = key.sign(&domain.digest(&quote)).map_err(|_| ServeError::Signing)?;
        Ok(QuoteResponse { quote: AbiHex(quote), signature: Bytes::copy_from_slice(signature.as_bytes()) })
    }

    /// Whether the owner's constraints let this provider train the job; gives the bytes of the rows, where
    /// the price needs them.
    async fn owners_documents(
        &self,
        request: &QuoteRequest,
        spec: &JobSpec,
        price: &Price,
    ) -> Result<u64, ServeError> {
        let policy = &request.policy.0;
        if self.config.blob_url.is_none() {
            self.config.check_peer(&request.blob_url).map_err(declined)?;
        }
        let blobs = self.blobs(&request.blob_url).map_err(declined)?;
        let fetched = async |what: &str, root: B256, cap: u64| {
            let got = blobs.get(root, cap).await;
            got.map(|blob| json_of_blob(&blob).to_vec()).map_err(|e| declined(format!("{what}: {e}")))
        };
        let bytes = fetched("the constraints", policy.constraintsHash, MAX_DOCUMENT_BYTES).await?;
        let constraints: Constraints = json_from_slice(&bytes).map_err(declined)?;
        constraints::check(&constraints, spec, &facts(&self.config)).map_err(declined)?;
        let Rate::ComputeSecond(_) = price.rate else { return Ok(0) };
        let bytes = fetched("the manifest", policy.manifestHash, policy_manifest::MAX_BYTES as u64).await?;
        Ok(PolicyManifest::from_bytes(&bytes).map_err(declined)?.byte_count())
    }
}

/// Who this node says that it is; custodians look it up in `Custody`.
pub(super) fn facts(config: &Config) -> ProviderFacts {
    ProviderFacts { provider_id: config.provider_id, jurisdiction: config.jurisdiction.clone() }
}

fn check_here(request: &QuoteRequest, config: &Config) -> Result<(), ServeError> {
    let policy = &request.policy.0;
    serves(config, request.chain_id, policy.requiredLevel, request.provider_id).map_err(declined)?;
    if !request.license_id.is_zero() {
        return Err(declined(NO_LICENSES));
    }
    if !(1..=policy.maxEpochsPerRun).contains(&request.epochs) {
        let message = format!("{} epochs, the owner allows {}", request.epochs, policy.maxEpochsPerRun);
        return Err(declined(message));
    }
    Ok(())
}
