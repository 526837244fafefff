//! The tables that follow the chain. Each row can be taken back while its block is not final.

use licen_core::primitives::{Address, B256, Bytes, U256};

use crate::row::row;

row! {
    /// A block of the window in which the chain may still change its mind.
    pub BlockRow in "blocks" {
        /// Height.
        number: u64;
        /// Hash.
        hash: B256,
        /// Hash of the block below.
        parent_hash: B256,
        /// Chain time, seconds.
        timestamp: u64,
    }
}

row! {
    /// A dataset as one `DataPolicy` knows it, and its current policy there.
    pub DatasetRow in "datasets" {
        /// The `DataPolicy`.
        contract: Address,
        /// Name of the dataset.
        dataset_uid: B256;
        /// Root of the ciphertext.
        dataset_root: B256,
        /// Who registered it.
        owner: Address,
        /// Root of the current PolicyManifest.
        manifest_hash: B256,
        /// The current policy.
        policy_hash: B256,
        /// Its version.
        policy_version: u64,
        /// Its price.
        royalty_per_epoch: U256,
        /// What the price is in; zero is the native coin.
        token: Address,
        /// Most epochs of one run.
        max_epochs_per_run: u32,
        /// 1 SOFTWARE, 2 HARDWARE.
        required_level: u8,
        /// When the policy ends; 0 never.
        policy_expiry: u64,
        /// Whether the owner stopped new requests.
        paused: bool,
        /// Chain time of the registration, seconds.
        registered_at: u64,
        /// Block of the registration.
        registered_block: u64,
        /// Transaction of the registration.
        registered_tx: B256,
        /// Chain time of the last change.
        updated_at: u64,
    }
}

row! {
    /// A policy, in full, as it was logged once.
    pub PolicyRow in "policies" {
        /// The `DataPolicy`.
        contract: Address,
        /// keccak256(abi.encode(Policy)).
        policy_hash: B256;
        /// The dataset it governs.
        dataset_uid: B256,
        /// Rises by one with each update.
        version: u64,
        /// abi.encode(Policy).
        policy_abi: Bytes,
        /// Chain time of the event, seconds.
        set_at: u64,
        /// Block of the event.
        set_block: u64,
        /// Transaction of the event.
        set_tx: B256,
    }
}

row! {
    /// A job: the preimage of its commitment as last known, and what came of it.
    pub JobRow in "jobs" {
        /// Name of the job.
        job_id: B256;
        /// The `DataPolicy` that it runs at.
        contract: Address,
        /// The dataset.
        dataset_uid: B256,
        /// Root of the ciphertext.
        dataset_root: B256,
        /// The policy it runs under.
        policy_hash: B256,
        /// Who pays and gets the result.
        requester: Address,
        /// The dataset's owner when it was granted.
        owner: Address,
        /// 0 = any provider.
        provider_id: B256,
        /// Whose verdicts count.
        custodian_set: B256,
        /// `JobState` as the contract numbers it.
        state: u8,
        /// 0 while Granted, then counts from 1.
        attempt: u32,
        /// Most epochs to train.
        requested_epochs: u32,
        /// What the royalty is counted in, `Unit` as the contract numbers it.
        unit: u8,
        /// Units paid for.
        units: u64,
        /// Royalty of one unit.
        royalty_per_unit: U256,
        /// royaltyPerUnit x units, without the compute fee.
        escrow: U256,
        /// Compute fee of one epoch.
        compute_fee_per_epoch: U256,
        /// What it is paid in.
        token: Address,
        /// Epochs trained, once Completed.
        actual_epochs: Option<u32>,
        /// Root of the result, once Completed.
        result_hash: Option<B256>,
        /// Root of the evidence bundle, once Completed.
        attestation_ref: Option<B256>,
        /// Root of the base model, once Completed.
        base_model_root: Option<B256>,
        /// Root of the plaintext result, once Completed.
        adapter_root: Option<B256>,
        /// Root of the report, once Completed.
        report_hash: Option<B256>,
        /// Training rows visited, once Completed.
        samples: Option<u64>,
        /// Tokens read, once Completed.
        tokens_seen: Option<u64>,
        /// Tokens that a loss was computed for, once Completed.
        tokens_trained: Option<u64>,
        /// CPU seconds of the trainer, once Completed.
        compute_seconds: Option<u64>,
        /// Loss before training x 1e6, once Completed.
        eval_before: Option<u64>,
        /// Loss after training x 1e6, once Completed.
        eval_after: Option<u64>,
        /// abi.encode(ResultManifest), once Completed.
        manifest_abi: Option<Bytes>,
        /// Gross royalty, once settled.
        royalty: Option<U256>,
        /// What went back to the requester.
        refund: Option<U256>,
        /// `Reason` as the contract numbers it, once Failed.
        fail_reason: Option<u8>,
        /// abi.encode(Job) as last known.
        job_abi: Bytes,
        /// Last moment to start, chain seconds.
        start_deadline: u64,
        /// Last moment to finish; 0 while Granted.
        run_deadline: u64,
        /// Chain time of the grant.
        granted_at: u64,
        /// Chain time of the last start.
        started_at: Option<u64>,
        /// Chain time of the end.
        ended_at: Option<u64>,
        /// Transaction of the grant.
        granted_tx: B256,
        /// Transaction of the last start.
        started_tx: Option<B256>,
        /// Transaction of the end.
        ended_tx: Option<B256>,
        /// Block of the grant.
        granted_block: u64,
        /// Block of the last change.
        updated_block: u64,
        /// Chain time of the last change.
        updated_at: u64,
    }
}

row! {
    /// One line of the public history of a dataset or job.
    pub AuditRow in "audit_log" {
        /// Unique and ordered: the caller makes it of block and log index.
        id: String;
        /// The contract that logged it.
        contract: Address,
        /// The dataset, where there is one.
        dataset_root: Option<B256>,
        /// The job, where there is one.
        job_id: Option<B256>,
        /// Name of the event.
        event_type: String,
        /// Chain time, seconds.
        timestamp: u64,
        /// Its transaction.
        tx_hash: B256,
        /// Its block.
        block_number: u64,
        /// Its place in the block.
        log_index: u64,
        /// The event's values, JSON.
        details: String,
    }
}

row! {
    /// A version of a custodian set.
    pub CustodianSetRow in "custodian_sets" {
        /// Name of the set.
        set_id: B256, /// Counts from 1.
        set_version: u32;
        /// Who may add versions.
        creator: Address,
        /// How many members suffice.
        t: u8,
        /// abi.encode(Member[]).
        members_abi: Bytes,
        /// Chain time of the event.
        set_at: u64,
    }
}

row! {
    /// A provider of compute.
    pub ProviderRow in "providers" {
        /// Name of the provider.
        provider_id: B256;
        /// Who may change it.
        creator: Address,
        /// Signs its quotes.
        signer: Address,
        /// The ledger account of its fees.
        payee: B256,
        /// As it says.
        jurisdiction: B256,
        /// abi.encode(Provider).
        provider_abi: Bytes,
        /// Chain time of the last event, seconds.
        set_at: u64,
        /// Block of the last event.
        set_block: u64,
        /// Transaction of the last event.
        set_tx: B256,
    }
}

row! {
    /// A ledger account that is no address, and the split behind it once somebody announced it.
    pub SplitRow in "splits" {
        /// keccak256(abi.encode("LICEN/split/v2", Split)), as long as nobody hashed anything else.
        account: B256;
        /// abi.encode(Split), once announced.
        split_abi: Option<Bytes>,
        /// Chain time when a policy, provider, split or credit first named it, seconds.
        named_at: u64,
        /// Block of that.
        named_block: u64,
        /// Chain time of the announcement, seconds.
        announced_at: Option<u64>,
        /// Transaction of the announcement.
        announced_tx: Option<B256>,
    }
}

row! {
    /// One move in a ledger. What an account has of a token at a contract is the sum of what was
    /// `credited` minus what was `withdrawn` and `distributed`.
    pub PaymentRow in "payments" {
        /// Unique and ordered, as in [`AuditRow`].
        id: String;
        /// The `DataPolicy` whose ledger it is.
        contract: Address,
        /// `credited`, `withdrawn` or `distributed`.
        kind: String,
        /// The ledger account.
        account: B256,
        /// Zero is the native coin.
        token: Address,
        /// Base units.
        amount: U256,
        /// What a credit is for: a job, or the split that it was distributed from.
        reference: Option<B256>,
        /// The job, where that is what a credit is for.
        job_id: Option<B256>,
        /// Where a withdrawal went.
        receiver: Option<Address>,
        /// Chain time, seconds.
        timestamp: u64,
        /// Its transaction.
        tx_hash: B256,
        /// Its block.
        block_number: u64,
        /// Its place in the block.
        log_index: u64,
    }
}
