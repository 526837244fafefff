//! Custodians' audit logs against what they anchored on chain.

use std::time::Duration;

use licen_core::abi::{Job, Member};
use licen_core::primitives::{B256, keccak256};
use licen_core::wire::custodian::AuditRecord;

use super::check::Audit;
use crate::session::custodian_client::CustodianClient;
use crate::session::error::Outcome;

const DEADLINE: Duration = Duration::from_secs(20);

/// Most anchors of one member that are compared: the newest ones, and the first.
const COMPARED: usize = 64;

/// One line for each member of the job's set that ever anchored. Anchoring is not demanded, so who did not
/// is not mentioned.
pub(super) async fn anchored(audit: &mut Audit<'_>, job: &Job) -> Outcome {
    let chain = audit.session.chain().await?;
    let (_, members) = match chain.custodians(job.custodianSet, job.setVersion).await {
        Ok(set) => set,
        Err(error) => {
            audit.line("custodian set", Err(error.message));
            return Ok(());
        }
    };
    for member in members {
        let anchors = chain.anchors(job.custodianSet, member.signer).await?;
        let Some((last, _)) = anchors.last().copied() else { continue };
        let verdict = match contradiction(&anchors) {
            Some(reason) => Err(reason),
            None => compared(audit, &member, &anchors).await,
        };
        let verdict = verdict.map(|()| format!("{} is what it anchored up to {last}", member.signer));
        audit.line("custodian log", verdict.map_err(|reason| format!("{}: {reason}", member.signer)));
    }
    Ok(())
}

/// Heads that no one log can have had, whatever it is now.
fn contradiction(anchors: &[(u64, B256)]) -> Option<String> {
    let wrong = anchors.windows(2).find(|pair| match pair {
        [(before, head), (after, next)] => after < before || (after == before && head != next),
        _ => false,
    });
    wrong.map(|pair| format!("it anchored record {} after {}: two logs", pair[1].0, pair[0].0))
}

/// Every anchor against what the custodian hands out now; one that hands out nothing has a log to hide.
async fn compared(audit: &Audit<'_>, member: &Member, anchors: &[(u64, B256)]) -> Result<(), String> {
    let client =
        CustodianClient::of(audit.session, member.signer, DEADLINE).await.map_err(|e| e.to_string())?;
    let newest = anchors.iter().rev().take(COMPARED);
    for (sequence, head) in newest.chain(anchors.first()) {
        let records = client.audit(*sequence).await.map_err(|e| e.to_string())?;
        is_anchored(&records, *sequence, *head)?;
    }
    Ok(())
}

/// That a log still has the record it anchored, and that the records behind it follow from it.
fn is_anchored(records: &[AuditRecord], sequence: u64, head: B256) -> Result<(), String> {
    let first = records.first().filter(|record| record.sequence == sequence);
    let first = first.ok_or_else(|| format!("the log ends before record {sequence}, which was anchored"))?;
    if first.hash != head {
        return Err(format!("record {sequence} is not the one that was anchored"));
    }
    let (mut next, mut previous) = (sequence, first.previous);
    for record in records {
        let hash = hash_of(record);
        if (record.sequence, record.previous, record.hash) != (next, previous, hash) {
            return Err(format!("record {} does not follow from the one before", record.sequence));
        }
        (next, previous) = (next + 1, hash);
    }
    Ok(())
}

fn hash_of(record: &AuditRecord) -> B256 {
    let entry = keccak256(record.entry.as_bytes());
    keccak256([&record.sequence.to_be_bytes()[..], record.previous.as_slice(), entry.as_slice()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Vec<AuditRecord> {
        let mut previous = B256::ZERO;
        (1..=4)
            .map(|sequence| {
                let entry = format!("{{\"event\":\"verdict\",\"at\":{sequence}}}");
                let mut record = AuditRecord { sequence, previous, hash: B256::ZERO, entry };
                record.hash = hash_of(&record);
                previous = record.hash;
                record
            })
            .collect()
    }

    #[test]
    fn a_log_that_grew_is_still_what_was_anchored() {
        let log = log();
        assert_eq!(is_anchored(&log[1..], 2, log[1].hash), Ok(()));
        assert_eq!(is_anchored(&log[3..], 4, log[3].hash), Ok(()));
    }

    #[test]
    fn two_heads_of_one_place_are_two_logs() {
        let (a, b) = (B256::repeat_byte(1), B256::repeat_byte(2));
        assert_eq!(contradiction(&[(1, a), (1, a), (7, b)]), None);
        assert!(contradiction(&[(7, a), (7, b)]).is_some() && contradiction(&[(7, a), (6, b)]).is_some());
    }

    #[test]
    fn a_log_that_was_cut_rolled_back_or_written_anew_is_not() {
        let log = log();
        let refused =
            |records: &[AuditRecord], sequence, head| is_anchored(records, sequence, head).unwrap_err();
        assert!(refused(&[], 4, log[3].hash).contains("ends before"));
        assert!(refused(&log[1..], 2, log[2].hash).contains("not the one"));
        let mut changed = log.clone();
        changed[1].entry.push(' ');
        assert!(refused(&changed[1..], 2, log[1].hash).contains("does not follow"));
        changed[1].hash = hash_of(&changed[1]);
        assert!(refused(&changed[1..], 2, log[1].hash).contains("not the one"));
        let mut gap = log[1..].to_vec();
        gap.remove(1);
        assert!(refused(&gap, 2, log[1].hash).contains("does not follow"));
    }
}
