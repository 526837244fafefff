//! That the owner admitted the requester, where the policy is not open to everybody.

use licen_core::abi::{Approval, DataPolicy, MemberSignature};
use licen_core::admission::{admits, is_on};
use licen_core::eip712::Domain;
use licen_core::id::policy_hash;
use licen_core::primitives::{Address, B256};
use licen_core::sol_types::SolCall;

use super::check::{Audit, holds};
use crate::session::chain_view::ChainView;
use crate::session::job_history::JobHistory;
use crate::session::node_client::IndexedJob;
use crate::session::when::shown;

/// One line, and none where everybody may request.
pub(super) async fn admitted(
    audit: &mut Audit<'_>,
    chain: &ChainView,
    indexed: &IndexedJob,
    history: &JobHistory,
) {
    if !indexed.policy.requestersRoot.is_zero() {
        let verdict = by_what(chain, indexed, history).await;
        audit.line("requester admitted", verdict);
    }
}

/// What the request itself showed: the argument of its own transaction.
async fn by_what(chain: &ChainView, indexed: &IndexedJob, history: &JobHistory) -> Result<String, String> {
    let IndexedJob { job, policy, .. } = indexed;
    let (block, transaction) = history.opened.ok_or("no JobOpened event")?;
    let (to, input) = chain.called_in(transaction).await.map_err(|e| e.to_string())?;
    if to != Some(chain.contract()) {
        // Whoever requests chooses through whom. DataPolicy, whose code was compared, took no other admission.
        return Ok("checked by DataPolicy; requested through another contract".into());
    }
    let call = DataPolicy::requestAccess_1Call::abi_decode(&input)
        .map_err(|_| "the request shows no admission".to_string())?;
    if policy_hash(&call.policy) != job.policyHash {
        return Err("the request is under another policy".into());
    }
    let (root, admission) = (policy.requestersRoot, call.admission);
    if admission.signature.is_empty() {
        return holds(
            is_on(root, job.requester, &admission.proof),
            "on the owner's list",
            "its proof does not lead to the owner's list",
        );
    }
    let approval = &admission.approval;
    let opened = chain.block_time(block).await.map_err(|e| e.to_string())?;
    // The contract takes an approval up to and including the second in which it ends.
    admits(approval, policy, job.requester, opened.saturating_sub(1)).map_err(|e| e.to_string())?;
    Ok(approved(signer_of(&chain.domain(), approval, &admission.signature), policy.owner, approval.expires))
}

/// How an approval counted that `DataPolicy`, whose code was compared, took in the call itself. What is no
/// signature of the owner's key was one by the rule of the code at the owner's address then, a contract wallet's or
/// a delegation's (EIP-7702). That it has other code now, or none, says nothing about the job.
fn approved(signer: Option<Address>, owner: Address, expires: u64) -> String {
    let until = shown(expires);
    if signer == Some(owner) {
        return format!("approved by the owner until {until}");
    }
    format!("approved by the owner's contract wallet until {until}, as DataPolicy checked")
}

/// The key that signed an approval, in each form that the contract takes: who requests chooses the form.
fn signer_of(domain: &Domain, approval: &Approval, signature: &[u8]) -> Option<Address> {
    match signature.split_at_checked(32) {
        Some((r, vs)) if vs.len() == 32 => {
            let compact = MemberSignature { index: 0, r: B256::from_slice(r), vs: B256::from_slice(vs) };
            domain.member_of(approval, &compact)
        }
        _ => domain.signer_of(approval, signature),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use licen_chain::WalletKey;
    use licen_core::eip712::compact;

    #[test]
    fn a_requester_who_shortens_a_signature_breaks_no_audit() {
        let domain = Domain { chain_id: 31_337, contract: Address::repeat_byte(1) };
        let (owner, approval) = (WalletKey::generate(), Approval { expires: 9, ..Approval::default() });
        let signature = owner.sign_digest(&domain.digest(&approval));
        let short = compact(0, &signature).unwrap();
        let short = [short.r.as_slice(), short.vs.as_slice()].concat();
        for form in [&signature[..], &short] {
            assert_eq!(signer_of(&domain, &approval, form), Some(owner.address()));
            let other = Approval { expires: 10, ..approval.clone() };
            assert_ne!(signer_of(&domain, &other, form), Some(owner.address()));
        }
        assert_eq!(signer_of(&domain, &approval, &[]), None);
    }

    #[test]
    fn an_owner_whose_wallet_is_no_contract_any_more_breaks_no_audit() {
        let owner = Address::repeat_byte(1);
        assert!(approved(Some(owner), owner, 9).starts_with("approved by the owner until "));
        for by_rule in [None, Some(Address::repeat_byte(2))] {
            assert!(approved(by_rule, owner, 9).ends_with("as DataPolicy checked"));
        }
    }
}
