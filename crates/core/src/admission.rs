//! Who may request a dataset: the owner's list, kept on chain as one Merkle root, the proof that a
//! requester is on it, and what a researcher asks who is not.

use alloc::vec::Vec;
use alloy_primitives::{Address, B256, keccak256};
use alloy_sol_types::SolValue;
use serde::{Deserialize, Serialize};

use crate::abi::{AccessRequest, Approval, Policy};

/// Most requesters of one list: the document has to stay small enough to be fetched by everybody.
pub const MAX_REQUESTERS: usize = 65_536;

/// Longest note of an access request, bytes.
pub const MAX_NOTE: usize = 280;

/// Whether a terminal obeys `c`, ends a line at it, or lets it turn the order of what is shown: every control
/// character, Unicode's two separators of lines and its Bidi_Control. No text of a stranger is shown with one.
#[must_use]
pub fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether `text` can be the note of an access request: short, one line, and without what [`is_obeyed`],
/// because owners read notes that strangers wrote.
#[must_use]
pub fn is_note(text: &str) -> bool {
    text.len() <= MAX_NOTE && !text.contains(is_obeyed)
}

/// A list of requesters. Canonical JSON, public; `Policy.requestersRoot` is [`AllowList::root`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllowList {
    /// 32 random bytes, a leaf of its own: no two lists have one root, so an approval that was given under
    /// one list never counts under a later one with the same requesters.
    pub salt: B256,
    /// Ascending, each once. Empty: everybody needs an approval.
    pub requesters: Vec<Address>,
}

/// Why a list is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AllowListError {
    /// Too long.
    #[error("{0} requesters, at most {MAX_REQUESTERS} allowed")]
    TooMany(usize),
    /// Not ascending, or one of them twice.
    #[error("requester {0} is out of order or repeated")]
    OutOfOrder(Address),
    /// Nobody can send from it.
    #[error("the zero address is on the list")]
    Zero,
}

impl AllowList {
    /// A list of these requesters; order and repetitions do not matter.
    ///
    /// # Errors
    /// [`AllowListError`].
    pub fn new(salt: B256, mut requesters: Vec<Address>) -> Result<Self, AllowListError> {
        requesters.sort_unstable();
        requesters.dedup();
        let list = Self { salt, requesters };
        list.validate()?;
        Ok(list)
    }

    /// Checks a list that somebody else wrote.
    ///
    /// # Errors
    /// [`AllowListError`].
    pub fn validate(&self) -> Result<(), AllowListError> {
        if self.requesters.len() > MAX_REQUESTERS {
            return Err(AllowListError::TooMany(self.requesters.len()));
        }
        if self.requesters.first().is_some_and(|first| first.is_zero()) {
            return Err(AllowListError::Zero);
        }
        let pairs = self.requesters.windows(2);
        match pairs.into_iter().find(|pair| pair[0] >= pair[1]) {
            Some(pair) => Err(AllowListError::OutOfOrder(pair[1])),
            None => Ok(()),
        }
    }

    /// The root over the salt and every requester's [`leaf`].
    #[must_use]
    pub fn root(&self) -> B256 {
        let mut level = self.leaves();
        while level.len() > 1 {
            level = above(&level);
        }
        level.first().copied().unwrap_or_default()
    }

    /// The siblings that lead from a requester's leaf to the root; `None` where it is not on the list.
    #[must_use]
    pub fn proof(&self, requester: Address) -> Option<Vec<B256>> {
        // The salt is leaf 0.
        let mut index = self.requesters.binary_search(&requester).ok()? + 1;
        let mut level = self.leaves();
        let mut proof = Vec::new();
        while level.len() > 1 {
            // The last of an odd level goes up as it is.
            proof.extend(level.get(index ^ 1));
            level = above(&level);
            index /= 2;
        }
        Some(proof)
    }

    fn leaves(&self) -> Vec<B256> {
        core::iter::once(self.salt).chain(self.requesters.iter().copied().map(leaf)).collect()
    }
}

/// The leaf of a requester, keccak256(keccak256(abi.encode(requester))): hashed twice, so no inner node
/// can pass for one.
#[must_use]
pub fn leaf(requester: Address) -> B256 {
    keccak256(keccak256(requester.abi_encode()))
}

/// Whether the contract would let `requester` pass with this proof.
#[must_use]
pub fn is_on(root: B256, requester: Address, proof: &[B256]) -> bool {
    proof.iter().fold(leaf(requester), |node, sibling| pair(&node, sibling)) == root
}

/// Why an access request or an approval does not count under a policy. Signatures are looked at elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccessBreach {
    /// Nobody has to ask.
    #[error("the dataset is open to everybody")]
    Open,
    /// It is about another dataset.
    #[error("it is about dataset {0}")]
    Dataset(B256),
    /// The list that it names is not the policy's, or no longer.
    #[error("it names the list {0}, which is not the policy's")]
    List(B256),
    /// It is about somebody else, or nobody.
    #[error("it is about requester {0}")]
    Requester(Address),
    /// Its time is over.
    #[error("it ended at {expires}, now it is {now}")]
    Expired {
        /// Unix seconds.
        expires: u64,
        /// Unix seconds.
        now: u64,
    },
    /// Its note is not [`is_note`].
    #[error("its note is not one line of at most {MAX_NOTE} bytes without control characters")]
    Note,
}

/// Whether `request` asks for what `policy` now keeps from its requester.
///
/// # Errors
/// [`AccessBreach`].
pub fn asks(request: &AccessRequest, policy: &Policy) -> Result<(), AccessBreach> {
    is_under(policy, request.datasetUid, request.requestersRoot)?;
    if request.requester.is_zero() {
        return Err(AccessBreach::Requester(request.requester));
    }
    if is_note(&request.note) { Ok(()) } else { Err(AccessBreach::Note) }
}

/// Whether `approval` lets `requester` pass in a block after `now`. The contract takes it up to and
/// including the second in which it ends.
///
/// # Errors
/// [`AccessBreach`].
pub fn admits(
    approval: &Approval,
    policy: &Policy,
    requester: Address,
    now: u64,
) -> Result<(), AccessBreach> {
    is_under(policy, approval.datasetUid, approval.requestersRoot)?;
    if approval.requester != requester || requester.is_zero() {
        return Err(AccessBreach::Requester(approval.requester));
    }
    if now >= approval.expires {
        return Err(AccessBreach::Expired { expires: approval.expires, now });
    }
    Ok(())
}

fn is_under(policy: &Policy, dataset_uid: B256, requesters_root: B256) -> Result<(), AccessBreach> {
    if policy.requestersRoot.is_zero() {
        return Err(AccessBreach::Open);
    }
    if dataset_uid != policy.datasetUid {
        return Err(AccessBreach::Dataset(dataset_uid));
    }
    if requesters_root != policy.requestersRoot {
        return Err(AccessBreach::List(requesters_root));
    }
    Ok(())
}

fn above(level: &[B256]) -> Vec<B256> {
    level
        .chunks(2)
        .map(|nodes| match nodes {
            [left, right] => pair(left, right),
            [last] => *last,
            _ => B256::ZERO,
        })
        .collect()
}

/// Sorted, so that a proof needs no directions.
fn pair(a: &B256, b: &B256) -> B256 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    keccak256([low.as_slice(), high.as_slice()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn list(n: u8) -> AllowList {
        AllowList::new(B256::repeat_byte(0xee), (1..=n).map(Address::repeat_byte).collect()).unwrap()
    }

    #[test]
    fn everybody_on_a_list_and_nobody_else_passes() {
        for n in 0..20 {
            let list = list(n);
            let root = list.root();
            for requester in (1..=n).map(Address::repeat_byte) {
                let proof = list.proof(requester).unwrap();
                assert!(is_on(root, requester, &proof), "{n}: {requester}");
                assert!(!is_on(root, Address::repeat_byte(0xff), &proof), "{n}: somebody else's proof");
                for at in 0..proof.len() {
                    let mut bent = proof.clone();
                    bent[at][7] ^= 1;
                    assert!(!is_on(root, requester, &bent));
                }
            }
            assert_eq!(list.proof(Address::repeat_byte(0xff)), None);
            assert!(!is_on(root, Address::repeat_byte(0xff), &[]));
        }
    }

    #[test]
    fn a_root_never_comes_back() {
        let requesters = list(3).requesters;
        let again = AllowList::new(B256::repeat_byte(0xef), requesters).unwrap();
        assert_ne!(again.root(), list(3).root());
        assert_eq!(list(0).root(), B256::repeat_byte(0xee), "by approval only");
    }

    fn closed() -> Policy {
        Policy { datasetUid: B256::repeat_byte(1), requestersRoot: B256::repeat_byte(2), ..Policy::default() }
    }

    #[test]
    fn an_approval_is_for_one_requester_of_one_dataset_under_one_list_for_a_time() {
        let (policy, who) = (closed(), Address::repeat_byte(3));
        let approval = Approval {
            datasetUid: policy.datasetUid,
            requestersRoot: policy.requestersRoot,
            requester: who,
            expires: 10,
        };
        assert_eq!(admits(&approval, &policy, who, 9), Ok(()));
        assert_eq!(admits(&approval, &policy, who, 10), Err(AccessBreach::Expired { expires: 10, now: 10 }));
        let refused = |policy: &Policy, who| admits(&approval, policy, who, 9).unwrap_err();
        assert_eq!(refused(&policy, Address::repeat_byte(4)), AccessBreach::Requester(who));
        let (other, next) = (B256::repeat_byte(8), B256::repeat_byte(9));
        let elsewhere = Policy { datasetUid: other, ..closed() };
        assert_eq!(refused(&elsewhere, who), AccessBreach::Dataset(policy.datasetUid));
        let later = Policy { requestersRoot: next, ..closed() };
        assert_eq!(refused(&later, who), AccessBreach::List(policy.requestersRoot));
        let open = Policy { requestersRoot: B256::ZERO, ..closed() };
        assert_eq!(refused(&open, who), AccessBreach::Open);
    }

    #[test]
    fn a_request_asks_for_what_is_kept_from_somebody() {
        let policy = closed();
        let asked = AccessRequest {
            datasetUid: policy.datasetUid,
            requestersRoot: policy.requestersRoot,
            requester: Address::repeat_byte(3),
            askedAt: 9,
            note: "please".into(),
        };
        assert_eq!(asks(&asked, &policy), Ok(()));
        let nobody = AccessRequest { requester: Address::ZERO, ..asked.clone() };
        assert_eq!(asks(&nobody, &policy), Err(AccessBreach::Requester(Address::ZERO)));
        let loud = AccessRequest { note: "\u{1b}[31mpay me".into(), ..asked.clone() };
        assert_eq!(asks(&loud, &policy), Err(AccessBreach::Note));
        let open = Policy { requestersRoot: B256::ZERO, ..closed() };
        assert_eq!(asks(&asked, &open), Err(AccessBreach::Open));
    }

    #[test]
    fn a_note_is_one_short_line_that_drives_no_terminal() {
        for good in ["", "For a paper on birds, ünïcode", &"x".repeat(MAX_NOTE)] {
            assert!(is_note(good), "{good:?}");
        }
        let long = "ü".repeat(MAX_NOTE / 2) + "x";
        for bad in [
            "a\nb",
            "a\u{1b}[2Jb",
            "a\rb",
            "a\u{0}",
            "a\u{202e}b",
            "a\u{2067}",
            "a\u{2028}b",
            "\u{9b}2J",
            &long,
        ] {
            assert!(!is_note(bad), "{bad:?}");
        }
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_in_a_note() {
        let controls = (0..0x20u32).chain(0x7f..0xa0);
        let others = [0x61c, 0x200e, 0x200f].into_iter().chain(0x2028..=0x202e).chain(0x2066..=0x2069);
        let all: Vec<char> = controls.chain(others).filter_map(char::from_u32).collect();
        assert_eq!(all.len(), 32 + 33 + 3 + 7 + 4);
        for c in &all {
            assert!(is_obeyed(*c) && !is_note(&alloc::format!("a{c}b")), "{c:?}");
        }
        let harmless = (0..=0x2fff).filter_map(char::from_u32).filter(|c| !all.contains(c));
        assert_eq!(harmless.filter(|c| is_obeyed(*c)).count(), 0, "words of every language can be written");
    }

    #[test]
    fn lists_of_others_are_checked() {
        let (a, b) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let made = |requesters| AllowList { salt: B256::ZERO, requesters }.validate();
        assert_eq!(made(vec![a, b]), Ok(()));
        assert_eq!(made(vec![b, a]), Err(AllowListError::OutOfOrder(a)));
        assert_eq!(made(vec![a, a]), Err(AllowListError::OutOfOrder(a)));
        assert_eq!(made(vec![Address::ZERO]), Err(AllowListError::Zero));
        assert_eq!(made(vec![a; MAX_REQUESTERS + 1]), Err(AllowListError::TooMany(MAX_REQUESTERS + 1)));
        assert_eq!(AllowList::new(B256::ZERO, vec![b, a, b]).unwrap().requesters, [a, b]);
    }
}
