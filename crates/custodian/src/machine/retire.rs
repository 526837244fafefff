//! `POST /v1/retire`: the owner ends a dataset. From then on this custodian gives no verdict on it and
//! releases no share of it, at whatever contract it is registered, and says so over its signature.
//!
//! The uid is made of owner and salt, so the request itself proves who the owner is. That the dataset
//! is registered somewhere is asked all the same: made-up ones would cost nobody anything and fill the disk.

use licen_core::abi::RefusalStatement;
use licen_core::id::dataset_uid;
use licen_core::primitives::B256;
use licen_core::wire::AbiHex;
use licen_core::wire::custodian::{RefusalResponse, RetireRequest};

use super::{Loaded, Outcome, Settings, Subject, Turn, json, unexpected, write};
use crate::audit::Line;
use crate::denial::{self, Denial};
use crate::effect::{Effect, Load, Read, Reply, Write};
use crate::event::{Answer, Reading, Wrote};

pub(super) enum Step {
    Loading(RetireRequest),
    Reading(RetireRequest),
    /// The owner's account may be a contract.
    AskingWallet(RetireRequest),
    Writing,
}

pub(super) fn begin(settings: &Settings, request: RetireRequest) -> Outcome {
    let uid = uid_of(&request);
    if uid != dataset_uid(settings.identity.chain_id, request.owner, request.salt) {
        return Ok(Turn::Reply(denial::malformed("owner and salt make another datasetUid")));
    }
    let load = Effect::Load(Load::Refusal { dataset_uid: uid });
    Ok(wait(Step::Loading(request), load))
}

impl Step {
    pub(super) fn on(self, settings: &Settings, subject: Subject, answer: Answer) -> Outcome {
        match (self, answer) {
            (Self::Loading(_), Answer::Loaded(Loaded::Refusal(Some(statement)))) => {
                Ok(Turn::Reply(Reply::Json(statement)))
            }
            (Self::Loading(request), Answer::Loaded(Loaded::Refusal(None))) => {
                let read = Read::Registered { dataset_uid: uid_of(&request) };
                Ok(wait(Self::Reading(request), Effect::Read(Box::new(read))))
            }
            (Self::Reading(request), Answer::Read(Reading::Registered(false))) => {
                Err(Denial::NotRegistered(uid_of(&request)))
            }
            (Self::Reading(request), Answer::Read(Reading::Registered(true))) => {
                let domain = settings.identity.statements();
                if domain.signer_of(&request.retire.0, &request.signature) == Some(request.owner) {
                    return refuse(settings, subject, &request);
                }
                let read = Read::Wallet {
                    account: request.owner,
                    digest: domain.digest(&request.retire.0),
                    signature: request.signature.clone(),
                };
                Ok(wait(Self::AskingWallet(request), Effect::Read(Box::new(read))))
            }
            (Self::AskingWallet(request), Answer::Read(Reading::Wallet(true))) => {
                refuse(settings, subject, &request)
            }
            (Self::AskingWallet(request), Answer::Read(Reading::Wallet(false))) => {
                Err(Denial::Signature { what: "the end of the dataset", by: request.owner })
            }
            (Self::Writing, Answer::Wrote(Wrote::Refusal(statement))) => {
                Ok(Turn::Reply(Reply::Json(statement)))
            }
            _ => unexpected(),
        }
    }
}

fn refuse(settings: &Settings, subject: Subject, request: &RetireRequest) -> Outcome {
    let identity = &settings.identity;
    let uid = uid_of(request);
    let refusal = RefusalStatement { datasetUid: uid, refusedAt: subject.now_seconds() };
    let signature =
        identity.signing.sign(&identity.statements().digest(&refusal))?.as_bytes().to_vec().into();
    let statement = json(&RefusalResponse { refusal: AbiHex(refusal), signature });
    let line = Line { dataset_uid: Some(uid), ..subject.line("refusal") };
    let refused = Write::Refusal { dataset_uid: uid, statement, record: line.bytes() };
    write(super::Step::Retire(Box::new(Step::Writing)), refused)
}

fn uid_of(request: &RetireRequest) -> B256 {
    request.retire.0.datasetUid
}

fn wait(step: Step, effect: Effect) -> Turn {
    Turn::Wait(super::Step::Retire(Box::new(step)), effect)
}
