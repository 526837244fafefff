//! The tables. A migration is never edited once released; the next one is appended.

/// Each entry brings the schema from its index to the next version.
pub(crate) const MIGRATIONS: &[&str] = &[V1, V2];

const V1: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE cursor (name TEXT PRIMARY KEY, number BIGINT NOT NULL, hash BLOB NOT NULL, finalized BIGINT NOT NULL);
CREATE TABLE scope (contract BLOB PRIMARY KEY, role TEXT NOT NULL, start_block BIGINT NOT NULL);
CREATE TABLE blocks (number BIGINT PRIMARY KEY, hash BLOB NOT NULL, parent_hash BLOB NOT NULL, timestamp BIGINT NOT NULL);
CREATE TABLE journal (block BIGINT NOT NULL, entity TEXT NOT NULL, row_key BLOB NOT NULL, old BLOB, PRIMARY KEY (block, entity, row_key));

CREATE TABLE datasets (
  contract BLOB NOT NULL, dataset_uid BLOB NOT NULL, dataset_root BLOB NOT NULL, owner BLOB NOT NULL, manifest_hash BLOB NOT NULL,
  policy_hash BLOB NOT NULL, policy_version BIGINT NOT NULL, royalty_per_epoch BLOB NOT NULL, token BLOB NOT NULL,
  max_epochs_per_run BIGINT NOT NULL, required_level BIGINT NOT NULL, policy_expiry BIGINT NOT NULL, paused BIGINT NOT NULL,
  registered_at BIGINT NOT NULL, registered_block BIGINT NOT NULL, registered_tx BLOB NOT NULL, updated_at BIGINT NOT NULL,
  PRIMARY KEY (contract, dataset_uid));
CREATE INDEX datasets_uid ON datasets (dataset_uid);
CREATE INDEX datasets_root ON datasets (dataset_root);
CREATE INDEX datasets_owner ON datasets (owner);
CREATE TABLE policies (
  contract BLOB NOT NULL, policy_hash BLOB NOT NULL, dataset_uid BLOB NOT NULL, version BIGINT NOT NULL, policy_abi BLOB NOT NULL,
  set_at BIGINT NOT NULL, set_block BIGINT NOT NULL, set_tx BLOB NOT NULL, PRIMARY KEY (contract, policy_hash));
CREATE INDEX policies_dataset ON policies (dataset_uid, version);
CREATE TABLE jobs (
  job_id BLOB PRIMARY KEY, contract BLOB NOT NULL, dataset_uid BLOB NOT NULL, dataset_root BLOB NOT NULL, policy_hash BLOB NOT NULL,
  requester BLOB NOT NULL, owner BLOB NOT NULL, provider_id BLOB NOT NULL, custodian_set BLOB NOT NULL,
  state BIGINT NOT NULL, attempt BIGINT NOT NULL, requested_epochs BIGINT NOT NULL,
  unit BIGINT NOT NULL, units BIGINT NOT NULL, royalty_per_unit BLOB NOT NULL, escrow BLOB NOT NULL, compute_fee_per_epoch BLOB NOT NULL, token BLOB NOT NULL, actual_epochs BIGINT, result_hash BLOB,
  attestation_ref BLOB, base_model_root BLOB, adapter_root BLOB, report_hash BLOB, samples BIGINT, tokens_seen BIGINT,
  tokens_trained BIGINT, compute_seconds BIGINT, eval_before BIGINT, eval_after BIGINT, manifest_abi BLOB, royalty BLOB, refund BLOB, fail_reason BIGINT, job_abi BLOB NOT NULL,
  start_deadline BIGINT NOT NULL, run_deadline BIGINT NOT NULL, granted_at BIGINT NOT NULL, started_at BIGINT, ended_at BIGINT,
  granted_tx BLOB NOT NULL, started_tx BLOB, ended_tx BLOB, granted_block BIGINT NOT NULL, updated_block BIGINT NOT NULL,
  updated_at BIGINT NOT NULL);
CREATE INDEX jobs_dataset ON jobs (dataset_uid, contract);
CREATE INDEX jobs_requester ON jobs (requester);
CREATE INDEX jobs_state ON jobs (state, granted_block);
CREATE TABLE audit_log (
  id TEXT PRIMARY KEY, contract BLOB NOT NULL, dataset_root BLOB, job_id BLOB, event_type TEXT NOT NULL, timestamp BIGINT NOT NULL,
  tx_hash BLOB NOT NULL, block_number BIGINT NOT NULL, log_index BIGINT NOT NULL, details TEXT NOT NULL);
CREATE INDEX audit_log_job ON audit_log (job_id);
CREATE INDEX audit_log_root ON audit_log (dataset_root);
CREATE TABLE custodian_sets (
  set_id BLOB NOT NULL, set_version BIGINT NOT NULL, creator BLOB NOT NULL, t BIGINT NOT NULL, members_abi BLOB NOT NULL,
  set_at BIGINT NOT NULL, PRIMARY KEY (set_id, set_version));
CREATE TABLE providers (
  provider_id BLOB PRIMARY KEY, creator BLOB NOT NULL, signer BLOB NOT NULL, payee BLOB NOT NULL, jurisdiction BLOB NOT NULL,
  provider_abi BLOB NOT NULL, set_at BIGINT NOT NULL, set_block BIGINT NOT NULL, set_tx BLOB NOT NULL);
CREATE TABLE splits (
  account BLOB PRIMARY KEY, split_abi BLOB, named_at BIGINT NOT NULL, named_block BIGINT NOT NULL, announced_at BIGINT,
  announced_tx BLOB);
CREATE TABLE payments (
  id TEXT PRIMARY KEY, contract BLOB NOT NULL, kind TEXT NOT NULL, account BLOB NOT NULL, token BLOB NOT NULL, amount BLOB NOT NULL,
  reference BLOB, job_id BLOB, receiver BLOB, timestamp BIGINT NOT NULL, tx_hash BLOB NOT NULL, block_number BIGINT NOT NULL,
  log_index BIGINT NOT NULL);
CREATE INDEX payments_account ON payments (account);
CREATE INDEX payments_job ON payments (job_id);

CREATE TABLE work (
  job_id BLOB PRIMARY KEY, phase TEXT NOT NULL, attempt BIGINT NOT NULL, lease_owner TEXT, lease_until_ms BIGINT NOT NULL,
  fence BIGINT NOT NULL, next_try_ms BIGINT NOT NULL, tries BIGINT NOT NULL, last_error TEXT, data BLOB NOT NULL,
  done BIGINT NOT NULL, created_ms BIGINT NOT NULL, updated_ms BIGINT NOT NULL);
CREATE INDEX work_due ON work (done, next_try_ms);
CREATE TABLE tx_intents (
  idem_key TEXT PRIMARY KEY, chain_id BIGINT NOT NULL, signer BLOB NOT NULL, nonce BIGINT NOT NULL, destination BLOB,
  value BLOB NOT NULL, data BLOB NOT NULL, gas_limit BIGINT NOT NULL, created_ms BIGINT NOT NULL, outcome TEXT,
  tx_hash BLOB, block_number BIGINT, block_hash BLOB, gas_used BIGINT, contract BLOB, revert_data BLOB);
CREATE UNIQUE INDEX tx_intents_nonce ON tx_intents (chain_id, signer, nonce);
CREATE TABLE tx_attempts (
  idem_key TEXT NOT NULL, number BIGINT NOT NULL, hash BLOB NOT NULL UNIQUE, raw BLOB NOT NULL, max_fee BLOB NOT NULL,
  max_priority_fee BLOB NOT NULL, sent_ms BIGINT NOT NULL, PRIMARY KEY (idem_key, number));

CREATE TABLE releases (
  job_id BLOB NOT NULL, attempt BIGINT NOT NULL, kind TEXT NOT NULL, contract BLOB NOT NULL, recipient BLOB NOT NULL, request_hash BLOB NOT NULL,
  answer BLOB NOT NULL, created_ms BIGINT NOT NULL, PRIMARY KEY (job_id, attempt, kind));
CREATE TABLE nonces (nonce BLOB PRIMARY KEY, expires_ms BIGINT NOT NULL, used_ms BIGINT);
CREATE INDEX nonces_expiry ON nonces (expires_ms);
CREATE TABLE held_results (
  job_id BLOB NOT NULL, attempt BIGINT NOT NULL, contract BLOB NOT NULL, result_hash BLOB NOT NULL,
  base_model_root BLOB NOT NULL, adapter_root BLOB NOT NULL, attestation_ref BLOB NOT NULL, report_hash BLOB NOT NULL,
  share BLOB NOT NULL,
  held_answer BLOB NOT NULL, manifest BLOB, manifest_signature BLOB, created_ms BIGINT NOT NULL, PRIMARY KEY (job_id, attempt));
CREATE TABLE result_keys (
  job_id BLOB NOT NULL, nonce BIGINT NOT NULL, new_key BLOB NOT NULL, signature BLOB NOT NULL, created_ms BIGINT NOT NULL,
  PRIMARY KEY (job_id, nonce));
CREATE TABLE audit_chain (
  seq BIGINT PRIMARY KEY, prev BLOB NOT NULL, hash BLOB NOT NULL UNIQUE, record BLOB NOT NULL, created_ms BIGINT NOT NULL);
CREATE TABLE tombstones (dataset_uid BLOB PRIMARY KEY, statement BLOB NOT NULL, created_ms BIGINT NOT NULL);
CREATE TABLE records (space TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL, updated_ms BIGINT NOT NULL, PRIMARY KEY (space, name));
";

/// Who asked for access to a dataset, and who was approved. The chain knows neither, so no block takes
/// them back. The list is part of the key: which one is current changes with the chain, also backwards.
const V2: &str = "
CREATE TABLE access (
  kind TEXT NOT NULL, contract BLOB NOT NULL, dataset_uid BLOB NOT NULL, requester BLOB NOT NULL,
  requesters_root BLOB NOT NULL, moment BIGINT NOT NULL, body BLOB NOT NULL, received_ms BIGINT NOT NULL,
  PRIMARY KEY (kind, contract, dataset_uid, requester, requesters_root));
CREATE INDEX access_moment ON access (kind, moment);
";
