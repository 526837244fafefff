//! That what the payee of a policy is paid can be distributed: a split is known by nothing but its preimage,
//! and the manifest is where that lies for ever.

use std::collections::{BTreeMap, BTreeSet};

use licen_core::abi::Split;
use licen_core::id::{address_of, split_account};
use licen_core::policy_manifest::SplitTerms;
use licen_core::primitives::B256;
use licen_core::split::validate;

/// Compares the splits of a manifest with a policy's payee: the payee's own is there, every split inside is,
/// and none that nothing pays.
pub(super) fn payees(payee: B256, told: &[SplitTerms]) -> Result<String, String> {
    let mut unused: BTreeMap<B256, Split> = BTreeMap::new();
    for terms in told {
        let split = Split::from(terms.clone());
        let account = split_account(&split);
        validate(&split).map_err(|e| format!("split {account}: {e}"))?;
        unused.insert(account, split);
    }
    let (mut pending, mut paid, mut splits) = (vec![payee], 0_usize, 0_usize);
    let mut done: BTreeSet<B256> = BTreeSet::new();
    while let Some(account) = pending.pop() {
        if !done.insert(account) {
            continue;
        }
        if address_of(account).is_some() {
            paid += 1;
            continue;
        }
        let Some(split) = unused.remove(&account) else {
            return Err(format!("the manifest does not have the split {account}, which is paid"));
        };
        splits += 1;
        pending.extend(split.accounts);
    }
    if let Some(stray) = unused.keys().next() {
        return Err(format!("the manifest has the split {stray}, which the policy does not pay"));
    }
    Ok(match (address_of(payee), splits) {
        (Some(address), _) => format!("{address} is paid directly"),
        (None, 1) => format!("{paid} are paid through the split of the manifest, which hashes to the payee"),
        (None, _) => {
            format!("{paid} are paid through {splits} splits of the manifest, which hash to the payee")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use licen_core::id::account_of;
    use licen_core::primitives::Address;

    fn split(accounts: Vec<B256>) -> Split {
        Split { accounts, bps: vec![4_000, 6_000], start: 0, duration: 0 }
    }

    #[test]
    fn the_manifest_has_every_split_that_is_paid_and_no_other() {
        let [a, b] = [1, 2].map(|byte| account_of(Address::repeat_byte(byte)));
        assert!(payees(a, &[]).unwrap().ends_with("is paid directly"));
        let inner = split(vec![a, b]);
        let outer = split(vec![split_account(&inner), b]);
        let payee = split_account(&outer);
        let told =
            |splits: &[&Split]| splits.iter().map(|split| (*split).into()).collect::<Vec<SplitTerms>>();
        let both = told(&[&outer, &inner]);
        assert!(payees(payee, &both).unwrap().starts_with("2 are paid through 2 splits"));
        assert!(
            payees(split_account(&inner), &both[1..]).unwrap().starts_with("2 are paid through the split")
        );
        let missing = payees(payee, &both[..1]).unwrap_err();
        assert!(missing.contains(&split_account(&inner).to_string()), "{missing}");
        assert!(payees(payee, &[]).is_err(), "nobody could distribute it");
        let stray = payees(split_account(&inner), &both).unwrap_err();
        assert!(stray.contains("does not pay"), "{stray}");
        assert!(payees(a, &both).is_err());
        let changed = Split { bps: vec![5_000, 5_000], ..outer.clone() };
        assert!(payees(payee, &told(&[&changed, &inner])).is_err(), "other weights are another account");
        let wrong = Split { bps: vec![5_000, 4_000], ..outer };
        assert!(payees(split_account(&wrong), &told(&[&wrong, &inner])).is_err());
    }
}
