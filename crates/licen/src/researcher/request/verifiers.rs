//! `--verifier-set ID[@VERSION]`: custodians of the requester's own choice, who judge compute beside the
//! owner's and hold no key. What would keep the job from ever starting is refused before anything is paid.

use std::collections::HashSet;

use licen_core::abi::Policy;
use licen_core::primitives::{Address, B256};

use super::custodians::custodians_answer;
use crate::cli::RequestArgs;
use crate::researcher::refusal;
use crate::session::error::{CliError, Outcome};
use crate::session::{Session, codes};

/// The named set with its version; zero for none.
///
/// # Errors
/// No such set, or one that could not give its verdicts here.
pub(super) async fn chosen(session: &Session, args: &RequestArgs, policy: &Policy) -> Outcome<(B256, u32)> {
    let Some(named) = &args.verifier_set else { return Ok((B256::ZERO, 0)) };
    let (id, version) = parse(named).ok_or_else(|| {
        CliError::environment(codes::USAGE, format!("{named:?} names no custodian set"))
            .hint("--verifier-set ID or ID@VERSION; ID is 0x and 64 hex digits")
    })?;
    let chain = session.chain().await?;
    let (version, t, members) = match version {
        None => chain.newest_custodians(id).await?,
        Some(version) => {
            let (t, members) = chain.custodians(id, version).await?;
            (version, t, members)
        }
    };
    if (id, version) == (policy.custodianSet, policy.setVersion) {
        session.ui.warn("the verifier set is the owner's own: it adds nothing");
        return Ok((id, version));
    }
    let (_, pinned) = chain.custodians(policy.custodianSet, policy.setVersion).await?;
    let pinned: HashSet<Address> = pinned.iter().map(|member| member.signer).collect();
    let known: HashSet<Address> = session.deployment().await?.custodians.iter().map(|c| c.id).collect();
    // A custodian of both sets judges as a member of the owner's.
    let able: Vec<_> = members
        .into_iter()
        .filter(|member| known.contains(&member.signer) && !pinned.contains(&member.signer))
        .collect();
    if able.len() < usize::from(t) {
        let message = format!(
            "{} custodians of the verifier set are outside the owner's set and have an address at this node, {t} \
             are needed",
            able.len()
        );
        let without = RequestArgs { verifier_set: None, ..args.clone() };
        return Err(CliError::refused(codes::CUSTODIANS, message)
            .hint(refusal::corrected(&without, None, None, None)));
    }
    session.ui.progress(&format!("{t} of your verifier set have to agree with the owner's custodians"));
    custodians_answer(session, t, &able).await;
    Ok((id, version))
}

fn parse(text: &str) -> Option<(B256, Option<u32>)> {
    let (id, version) = match text.split_once('@') {
        None => (text, None),
        Some((id, version)) => (id, Some(version.parse().ok().filter(|version| *version > 0)?)),
    };
    let id: B256 = id.parse().ok()?;
    (!id.is_zero()).then_some((id, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_named_with_or_without_its_version() {
        let id = B256::repeat_byte(7);
        assert_eq!(parse(&id.to_string()), Some((id, None)));
        assert_eq!(parse(&format!("{id}@3")), Some((id, Some(3))));
        for bad in [
            "",
            "0x12",
            "@1",
            &format!("{id}@"),
            &format!("{id}@0"),
            &format!("{id}@x"),
            &B256::ZERO.to_string(),
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
