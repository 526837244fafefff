//! The index of error codes, for `licen explain`. A code never changes its meaning.

use crate::session::code::Code;

macro_rules! codes {
    ($($name:ident = $number:literal, $title:literal, $text:literal;)*) => {
        $(#[doc = $title] pub const $name: u16 = $number;)*
        /// Codes of the command line itself, ascending.
        const OWN: &[Code] = &[$(Code { number: $number, title: $title, text: $text }),*];
    };
}

codes! {
    USAGE = 101, "the command was not understood", "The arguments do not fit together. `licen COMMAND --help` shows them with examples.";
    CONFIG = 102, "a configuration file or variable is wrong", "`licen config` prints every value and where it came from. Unknown names are refused so that a typing error cannot pass silently.";
    FILE = 103, "a file could not be read or written", "Check that the path exists, is readable, and that the disk is not full. Nothing half-written is left behind: files are written beside their place and renamed.";
    KEY_FILE = 104, "a key file was refused", "Key files must be readable by their owner only (mode 0600) and hold the kind of key the command needs. `licen key new` makes one.";
    PROCESS = 105, "a program LICEN needs could not be started", "The demo starts anvil and licen-compute. Set LICEN_ANVIL or LICEN_COMPUTE_BIN, or run `cargo xtask demo`, which installs and builds both.";
    NOT_CONFIRMED = 106, "the act was not confirmed", "Irreversible acts show their amount and ask. In a script, pass --yes.";
    EMPTY_FILE = 201, "the file is empty", "An empty file has no 0G root and nothing to train on.";
    BAD_ROWS = 202, "the dataset is not JSON Lines", "Every line must be one JSON object in UTF-8. The message names the line and the byte column; blank lines are skipped. Nothing was published.";
    POLICY_INVALID = 203, "the policy cannot be registered", "A field of the policy is outside the bounds the contract checks; the message names it.";
    POLICY_REFUSES = 207, "the policy refuses the request", "The owner's policy does not allow this request; the message names the rule. Nothing was paid.";
    CONSTRAINTS_REFUSE = 208, "the owner's constraints refuse the job", "The base model or a training setting is outside what the owner allows. Custodians would give no verdict, so nothing was paid.";
    NO_SUCH_DATASET = 209, "no such dataset", "No indexed dataset has this root, or the prefix fits several.";
    NO_SUCH_JOB = 210, "no such job", "No indexed job has this id, or the prefix fits several.";
    JOB_STATE = 211, "the job is not in a state that allows this", "The message says where the job stands and which command fits.";
    NO_MODEL = 212, "no such base model", "`licen model list` shows the base models this node offers; `licen model add DIR` adds one.";
    NO_COMPUTE = 213, "this node has no compute the owner would accept", "The owner demands hardware attestation and the compute of this node is simulated: custodians would refuse it the key, and the job would wait until it expires. Nothing was paid.";
    NOTHING_DUE = 214, "nothing of the split is due", "What came in has not vested yet, or is fewer base units than the split has payees. The message says what waits, and until when; nothing was sent.";
    CHAIN = 301, "the chain did not answer as expected", "The RPC is down, slow, or answered an error. Nothing was lost: transactions are stored before they are sent and are resumed.";
    WRONG_CHAIN = 302, "this is another chain", "Chain id or genesis differs from the deployment's. LICEN refuses rather than to act on the wrong chain.";
    TRANSACTION = 303, "the contract refused the transaction", "The message is the contract's own reason, decoded.";
    FUNDS = 304, "the wallet cannot pay", "The wallet's balance is below the escrow and the gas.";
    SEAL = 401, "encryption or decryption failed", "A key, a share or a ciphertext does not belong here. Nothing was decrypted.";
    EVIDENCE = 402, "the evidence was refused", "A quote or report does not verify, or does not show what the policy demands; the message names the first rule that does not hold. docs/protocol.md lists the rules in their order.";
    APPRAISAL_POLICY = 403, "the appraisal policy cannot be used", "A policy file is TOML with the names of the reference values (docs/protocol.md); unknown names are refused. policies/ has examples.";
    STORAGE = 650, "a stored document is not what it should be", "Its bytes hash to the root that the chain names, but they are not the kind of document that belongs there. Whoever registered it made a mistake or worse: do not pay for it.";
    CUSTODIANS = 701, "too few custodians answered", "The result key needs t custodians. They keep shares for the time they publish; try again, or ask them.";
    KEY_NEEDED = 702, "a custodian's key is still needed", "Nothing was destroyed. The configuration: take the key out of formerRecipientKeyFiles. A live policy: its owner says licen policy reseal, or licen retire to this custodian. A job: it ends by its deadlines. A result: the custodian promised to keep it for retentionDays.";
    NODE = 901, "the node did not answer as expected", "Check `node` in `licen config` and that `licen run node` is up.";
    NODE_NOT_READY = 902, "the node's index is not ready", "The index is behind the chain or saw another chain. Wait, or look at the node's log.";
    AUDIT_FAILED = 903, "the audit found something that does not hold", "The first line marked FAILED names the broken link.";
    DEMO = 904, "the demo did not end as promised", "The lines above say which step failed; logs are in the directory named there.";
    ACCESS = 905, "a request for access or an approval was not taken", "The node keeps only what the dataset's current policy asks for and its requester or owner signed. The message names what does not fit: the list may have changed since, the clock may be wrong, or a newer one stands. Where it says to try again, nothing is wrong but the moment.";
}

/// The entry of a code, whichever program says it.
#[must_use]
pub fn find(number: u16) -> Option<&'static Code> {
    OWN.iter().chain(crate::session::codes_elsewhere::ELSEWHERE).find(|code| code.number == number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::codes_elsewhere::ELSEWHERE;
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    #[test]
    fn codes_ascend_and_explain_themselves() {
        for list in [OWN, ELSEWHERE] {
            assert!(list.windows(2).all(|w| w[0].number < w[1].number));
            assert!(list.iter().all(|c| !c.title.is_empty() && c.text.ends_with('.')));
        }
        let numbers: BTreeSet<u16> = OWN.iter().chain(ELSEWHERE).map(|c| c.number).collect();
        assert_eq!(numbers.len(), OWN.len() + ELSEWHERE.len(), "a code has one meaning");
    }

    /// Sources of all crates but the command line's own test files, which name codes that do not exist.
    fn sources() -> Vec<PathBuf> {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut files = Vec::new();
        let mut dirs: Vec<PathBuf> =
            std::fs::read_dir(crates).unwrap().map(|e| e.unwrap().path().join("src")).collect();
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else if path.extension().is_some_and(|e| e == "rs") {
                    files.push(path);
                }
            }
        }
        files
    }

    #[test]
    fn every_code_that_any_crate_says_is_explained() {
        let mut said = BTreeSet::new();
        for path in sources() {
            let text = std::fs::read_to_string(&path).unwrap();
            for (at, _) in text.match_indices("LIC") {
                let digits: String = text[at + 3..].chars().take_while(char::is_ascii_digit).collect();
                if digits.len() == 4 {
                    let number = digits.parse().unwrap();
                    assert!(find(number).is_some(), "LIC{digits} of {} is not explained", path.display());
                    said.insert(number);
                }
            }
        }
        for entry in ELSEWHERE {
            assert!(said.contains(&entry.number), "no crate says LIC{:04}", entry.number);
        }
    }
}
