use super::*;
use crate::fixture::history;
use expect_test::{Expect, expect, expect_file};

async fn world() -> (Schema, Freshness) {
    let freshness = Freshness::new(31_337, B256::repeat_byte(9));
    let model = history();
    let indexed = model.block;
    freshness.update(|status| {
        status.problem.clear();
        status.head = Some(indexed + 1);
        status.indexed = Some(indexed);
        status.timestamp = crate::fixture::time(indexed);
    });
    (schema(model.store().await, freshness.clone()), freshness)
}

async fn check(query: &str, expected: Expect) {
    let (schema, _) = world().await;
    let response = schema.execute(query).await;
    let text = serde_json::to_string_pretty(&response).unwrap();
    expected.assert_eq(&(text + "\n"));
}

#[test]
fn the_committed_schema_is_fresh() {
    expect_file!["../../schema.graphql"].assert_eq(&sdl());
}

#[tokio::test]
async fn a_settled_job_says_where_every_unit_went() {
    let query = "{ Job(where: {state: {_eq: \"Completed\"}}, order_by: {contract: asc}) {
        state requestedEpochs actualEpochs escrow computeEscrow royaltySettled protocolFee computeFee
        refundIssued royaltyRefund resultHash attestationRef failReason attempt
        contract unit units royaltyPerUnit baseModelRoot adapterRoot reportHash samples tokensSeen
        tokensTrained computeSeconds evalBefore evalAfter
        dataset { contract datasetUid policyVersion royaltyPerEpoch } } }";
    check(
        query,
        expect![[r#"
            {
              "data": {
                "Job": [
                  {
                    "state": "Completed",
                    "requestedEpochs": 3,
                    "actualEpochs": 2,
                    "escrow": "3003",
                    "computeEscrow": "90",
                    "royaltySettled": "2002",
                    "protocolFee": "50",
                    "computeFee": "60",
                    "refundIssued": "1031",
                    "royaltyRefund": "1001",
                    "resultHash": "0x7171717171717171717171717171717171717171717171717171717171717171",
                    "attestationRef": "0x7272727272727272727272727272727272727272727272727272727272727272",
                    "failReason": null,
                    "attempt": 1,
                    "contract": "0xC0C0c0c0C0C0c0c0c0C0c0C0C0C0C0C0C0C0c0c0",
                    "unit": "epoch",
                    "units": 3,
                    "royaltyPerUnit": "1001",
                    "baseModelRoot": "0x7373737373737373737373737373737373737373737373737373737373737373",
                    "adapterRoot": "0x7474747474747474747474747474747474747474747474747474747474747474",
                    "reportHash": "0x7575757575757575757575757575757575757575757575757575757575757575",
                    "samples": 40,
                    "tokensSeen": 9000,
                    "tokensTrained": 4001,
                    "computeSeconds": 12,
                    "evalBefore": 2500000,
                    "evalAfter": 1250000,
                    "dataset": {
                      "contract": "0xC0C0c0c0C0C0c0c0c0C0c0C0C0C0C0C0C0C0c0c0",
                      "datasetUid": "0xf9b8c9aa94a0687b04f6957cab34815011e3d724c403c645e9a1cbefc7556fe1",
                      "policyVersion": 2,
                      "royaltyPerEpoch": "1002"
                    }
                  },
                  {
                    "state": "Completed",
                    "requestedEpochs": 2,
                    "actualEpochs": 2,
                    "escrow": "2002",
                    "computeEscrow": "60",
                    "royaltySettled": "2002",
                    "protocolFee": "50",
                    "computeFee": "60",
                    "refundIssued": "0",
                    "royaltyRefund": "0",
                    "resultHash": "0x7171717171717171717171717171717171717171717171717171717171717171",
                    "attestationRef": "0x7272727272727272727272727272727272727272727272727272727272727272",
                    "failReason": null,
                    "attempt": 1,
                    "contract": "0xC1C1c1c1C1C1C1c1c1C1C1C1c1C1C1C1c1C1c1c1",
                    "unit": "epoch",
                    "units": 2,
                    "royaltyPerUnit": "1001",
                    "baseModelRoot": "0x7373737373737373737373737373737373737373737373737373737373737373",
                    "adapterRoot": "0x7474747474747474747474747474747474747474747474747474747474747474",
                    "reportHash": "0x7575757575757575757575757575757575757575757575757575757575757575",
                    "samples": 40,
                    "tokensSeen": 9000,
                    "tokensTrained": 4001,
                    "computeSeconds": 12,
                    "evalBefore": 2500000,
                    "evalAfter": 1250000,
                    "dataset": {
                      "contract": "0xC1C1c1c1C1C1C1c1c1C1C1C1c1C1C1C1c1C1c1c1",
                      "datasetUid": "0xf9b8c9aa94a0687b04f6957cab34815011e3d724c403c645e9a1cbefc7556fe1",
                      "policyVersion": 1,
                      "royaltyPerEpoch": "1001"
                    }
                  }
                ]
              }
            }
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_job_that_its_specification_ended_pays_for_the_epochs_done() {
    let query = "{ Job(where: {failReason: {_eq: \"JOB_SPEC_INVALID\"}}) {
        state failReason escrow computeEscrow royaltySettled computeFee refundIssued } }";
    check(
        query,
        expect![[r#"
        {
          "data": {
            "Job": [
              {
                "state": "Failed",
                "failReason": "JOB_SPEC_INVALID",
                "escrow": "2002",
                "computeEscrow": "60",
                "royaltySettled": "0",
                "computeFee": "30",
                "refundIssued": "2032"
              }
            ]
          }
        }
    "#]],
    )
    .await;
}

#[tokio::test]
async fn datasets_filter_sort_page_and_nest() {
    let query = "{ all: Dataset(order_by: {royaltyPerEpoch: desc}) { royaltyPerEpoch active paused }
        open: Dataset(where: {active: {_eq: true}}) { maxRunsPerRequester custodianSet setVersion
            jobs(where: {state: {_in: [\"Granted\", \"Completed\"]}}, order_by: [{timestamp: asc}]) { state } }
        paged: Job(order_by: {timestamp: asc}, limit: 1, offset: 1) { state requestedEpochs }
        cheap: Dataset(where: {_or: [{royaltyPerEpoch: {_lt: \"1002\"}}, {paused: {_eq: true}}]}) { royaltyPerEpoch } }";
    check(
        query,
        expect![[r#"
            {
              "data": {
                "all": [
                  {
                    "royaltyPerEpoch": "1002",
                    "active": false,
                    "paused": true
                  },
                  {
                    "royaltyPerEpoch": "1002",
                    "active": true,
                    "paused": false
                  },
                  {
                    "royaltyPerEpoch": "1001",
                    "active": true,
                    "paused": false
                  }
                ],
                "paged": [
                  {
                    "state": "Completed",
                    "requestedEpochs": 2
                  }
                ],
                "cheap": [
                  {
                    "royaltyPerEpoch": "1002"
                  },
                  {
                    "royaltyPerEpoch": "1001"
                  }
                ],
                "open": [
                  {
                    "jobs": [
                      {
                        "state": "Completed"
                      },
                      {
                        "state": "Granted"
                      }
                    ],
                    "maxRunsPerRequester": 9,
                    "custodianSet": "0x5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
                    "setVersion": 1
                  },
                  {
                    "jobs": [
                      {
                        "state": "Completed"
                      }
                    ],
                    "maxRunsPerRequester": 9,
                    "custodianSet": "0x5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
                    "setVersion": 1
                  }
                ]
              }
            }
        "#]],
    )
    .await;
}

#[tokio::test]
async fn the_history_is_in_chain_order() {
    let query = "{ AuditLog(where: {blockNumber: {_gte: 4}}, order_by: {id: asc}) { id eventType details } }";
    check(query, expect![[r#"
        {
          "data": {
            "AuditLog": [
              {
                "id": "000000000004-000000",
                "eventType": "JobCompleted",
                "details": "{\"actualEpochs\":2,\"attestationRef\":\"0x7272727272727272727272727272727272727272727272727272727272727272\",\"resultHash\":\"0x7171717171717171717171717171717171717171717171717171717171717171\"}"
              },
              {
                "id": "000000000004-000001",
                "eventType": "ResultRecorded",
                "details": "{\"adapterRoot\":\"0x7474747474747474747474747474747474747474747474747474747474747474\",\"attempt\":1,\"baseModelRoot\":\"0x7373737373737373737373737373737373737373737373737373737373737373\",\"computeSeconds\":12,\"evalAfter\":1250000,\"evalBefore\":2500000,\"reportHash\":\"0x7575757575757575757575757575757575757575757575757575757575757575\",\"samples\":40,\"tokensSeen\":9000,\"tokensTrained\":4001}"
              },
              {
                "id": "000000000004-000002",
                "eventType": "RoyaltySettled",
                "details": "{\"amount\":\"2002\"}"
              },
              {
                "id": "000000000004-000006",
                "eventType": "RefundIssued",
                "details": "{\"amount\":\"1031\"}"
              },
              {
                "id": "000000000004-000007",
                "eventType": "JobStarted",
                "details": "{\"attempt\":1,\"runDeadline\":22640,\"runtimeDataHash\":\"0x5252525252525252525252525252525252525252525252525252525252525252\",\"signer\":\"0x5151515151515151515151515151515151515151\"}"
              },
              {
                "id": "000000000004-000008",
                "eventType": "PolicyPaused",
                "details": "{\"datasetUid\":\"0x6535eba7c39be0f321818f5c30ce7cf4ae215264bd28b4b3a41f58d55b4c50f7\"}"
              },
              {
                "id": "000000000005-000000",
                "eventType": "JobFailed",
                "details": "{\"reason\":\"JOB_SPEC_INVALID\"}"
              },
              {
                "id": "000000000005-000002",
                "eventType": "RefundIssued",
                "details": "{\"amount\":\"2032\"}"
              },
              {
                "id": "000000000005-000003",
                "eventType": "AccessGranted",
                "details": "{\"epochs\":1,\"requester\":\"0xb0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0\"}"
              },
              {
                "id": "000000000005-000005",
                "eventType": "PolicySet",
                "details": "{\"datasetUid\":\"0xf9b8c9aa94a0687b04f6957cab34815011e3d724c403c645e9a1cbefc7556fe1\",\"policyHash\":\"0x7aff62326761d00972b59b71fe8ab1f9239fd373dfdeb1ee238fd560edea95ad\",\"royaltyPerEpoch\":\"1002\",\"version\":2}"
              },
              {
                "id": "000000000005-000006",
                "eventType": "JobCompleted",
                "details": "{\"actualEpochs\":2,\"attestationRef\":\"0x7272727272727272727272727272727272727272727272727272727272727272\",\"resultHash\":\"0x7171717171717171717171717171717171717171717171717171717171717171\"}"
              },
              {
                "id": "000000000005-000007",
                "eventType": "ResultRecorded",
                "details": "{\"adapterRoot\":\"0x7474747474747474747474747474747474747474747474747474747474747474\",\"attempt\":1,\"baseModelRoot\":\"0x7373737373737373737373737373737373737373737373737373737373737373\",\"computeSeconds\":12,\"evalAfter\":1250000,\"evalBefore\":2500000,\"reportHash\":\"0x7575757575757575757575757575757575757575757575757575757575757575\",\"samples\":40,\"tokensSeen\":9000,\"tokensTrained\":4001}"
              },
              {
                "id": "000000000005-000008",
                "eventType": "RoyaltySettled",
                "details": "{\"amount\":\"2002\"}"
              },
              {
                "id": "000000000005-000012",
                "eventType": "Withdrawn",
                "details": "{\"account\":\"0x000000000000000000000000a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0\",\"amount\":\"1952\",\"to\":\"0xdddddddddddddddddddddddddddddddddddddddd\",\"token\":\"0x0000000000000000000000000000000000000000\"}"
              }
            ]
          }
        }
    "#]]).await;
}

#[tokio::test]
async fn one_dataset_at_two_contracts_is_two_entries_with_their_own_policies_and_jobs() {
    let query = "{ Dataset(where: {datasetRoot: {_eq: \"0xd1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1\"}},
        order_by: {contract: asc}) { contract policyVersion royaltyPerEpoch maxRunsPerRequester
        jobs(order_by: {timestamp: asc}) { contract state dataset { contract policyVersion } } } }";
    check(
        query,
        expect![[r#"
        {
          "data": {
            "Dataset": [
              {
                "contract": "0xC0C0c0c0C0C0c0c0c0C0c0C0C0C0C0C0C0C0c0c0",
                "policyVersion": 2,
                "royaltyPerEpoch": "1002",
                "maxRunsPerRequester": 9,
                "jobs": [
                  {
                    "contract": "0xC0C0c0c0C0C0c0c0c0C0c0C0C0C0C0C0C0C0c0c0",
                    "state": "Completed",
                    "dataset": {
                      "contract": "0xC0C0c0c0C0C0c0c0c0C0c0C0C0C0C0C0C0C0c0c0",
                      "policyVersion": 2
                    }
                  },
                  {
                    "contract": "0xC0C0c0c0C0C0c0c0c0C0c0C0C0C0C0C0C0C0c0c0",
                    "state": "Failed",
                    "dataset": {
                      "contract": "0xC0C0c0c0C0C0c0c0c0C0c0C0C0C0C0C0C0C0c0c0",
                      "policyVersion": 2
                    }
                  },
                  {
                    "contract": "0xC0C0c0c0C0C0c0c0c0C0c0C0C0C0C0C0C0C0c0c0",
                    "state": "Granted",
                    "dataset": {
                      "contract": "0xC0C0c0c0C0C0c0c0c0C0c0C0C0C0C0C0C0C0c0c0",
                      "policyVersion": 2
                    }
                  }
                ]
              },
              {
                "contract": "0xC1C1c1c1C1C1C1c1c1C1C1C1c1C1C1C1c1C1c1c1",
                "policyVersion": 1,
                "royaltyPerEpoch": "1001",
                "maxRunsPerRequester": 9,
                "jobs": [
                  {
                    "contract": "0xC1C1c1c1C1C1C1c1c1C1C1C1c1C1C1C1c1C1c1c1",
                    "state": "Completed",
                    "dataset": {
                      "contract": "0xC1C1c1c1C1C1C1c1c1C1C1C1c1C1C1C1c1C1c1c1",
                      "policyVersion": 1
                    }
                  }
                ]
              }
            ]
          }
        }
    "#]],
    )
    .await;
}

#[tokio::test]
async fn the_ledger_names_jobs_receivers_and_contracts() {
    let query = "{ Payment(where: {blockNumber: {_gte: 5}}, order_by: {id: asc}) {
            id contract kind account token amount ref jobId to }
        fees: Payment(where: {account: {_eq: \"0x000000000000000000000000fefefefefefefefefefefefefefefefefefefefe\"}, kind: {_eq: \"credited\"}},
            order_by: {amount: desc}, limit: 1) { amount } }";
    check(
        query,
        expect![[r#"
        {
          "data": {
            "Payment": [
              {
                "id": "000000000005-000001",
                "contract": "0xC0C0c0c0C0C0c0c0c0C0c0C0C0C0C0C0C0C0c0c0",
                "kind": "credited",
                "account": "0x000000000000000000000000cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd",
                "token": "0x0000000000000000000000000000000000000000",
                "amount": "30",
                "ref": "0x835b4c8166d9be8ca594fca43b5290fc81ab2f95dc1cc9779f23b46a6e13fbd8",
                "jobId": "0x835b4c8166d9be8ca594fca43b5290fc81ab2f95dc1cc9779f23b46a6e13fbd8",
                "to": null
              },
              {
                "id": "000000000005-000009",
                "contract": "0xC1C1c1c1C1C1C1c1c1C1C1C1c1C1C1C1c1C1c1c1",
                "kind": "credited",
                "account": "0x000000000000000000000000a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0",
                "token": "0x0000000000000000000000000000000000000000",
                "amount": "1952",
                "ref": "0x38405df698753833b47c17dac7ddb35df289456c423ace9c8bc965e67e93bf96",
                "jobId": "0x38405df698753833b47c17dac7ddb35df289456c423ace9c8bc965e67e93bf96",
                "to": null
              },
              {
                "id": "000000000005-000010",
                "contract": "0xC1C1c1c1C1C1C1c1c1C1C1C1c1C1C1C1c1C1c1c1",
                "kind": "credited",
                "account": "0x000000000000000000000000fefefefefefefefefefefefefefefefefefefefe",
                "token": "0x0000000000000000000000000000000000000000",
                "amount": "50",
                "ref": "0x38405df698753833b47c17dac7ddb35df289456c423ace9c8bc965e67e93bf96",
                "jobId": "0x38405df698753833b47c17dac7ddb35df289456c423ace9c8bc965e67e93bf96",
                "to": null
              },
              {
                "id": "000000000005-000011",
                "contract": "0xC1C1c1c1C1C1C1c1c1C1C1C1c1C1C1C1c1C1c1c1",
                "kind": "credited",
                "account": "0x000000000000000000000000cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd",
                "token": "0x0000000000000000000000000000000000000000",
                "amount": "60",
                "ref": "0x38405df698753833b47c17dac7ddb35df289456c423ace9c8bc965e67e93bf96",
                "jobId": "0x38405df698753833b47c17dac7ddb35df289456c423ace9c8bc965e67e93bf96",
                "to": null
              },
              {
                "id": "000000000005-000012",
                "contract": "0xC0C0c0c0C0C0c0c0c0C0c0C0C0C0C0C0C0C0c0c0",
                "kind": "withdrawn",
                "account": "0x000000000000000000000000a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0",
                "token": "0x0000000000000000000000000000000000000000",
                "amount": "1952",
                "ref": null,
                "jobId": null,
                "to": "0xDDdDddDdDdddDDddDDddDDDDdDdDDdDDdDDDDDDd"
              }
            ],
            "fees": [
              {
                "amount": "50"
              }
            ]
          }
        }
    "#]],
    )
    .await;
}

#[tokio::test]
async fn providers_and_the_splits_that_they_pay() {
    let query = "{ Provider { providerId creator signer payee jurisdiction platformIds setAt }
        Split(order_by: {account: asc}) { account accounts bps start duration timestamp announcedAt }
        open: Split(where: {announcedAt: {_is_null: true}}) { account }
        AuditLog(where: {eventType: {_eq: \"SplitAnnounced\"}}) { id }
        _meta { contracts { dataPolicies custody } } }";
    check(
        query,
        expect![[r#"
        {
          "data": {
            "Provider": [
              {
                "providerId": "0xabababababababababababababababababababababababababababababababab",
                "creator": "0x0101010101010101010101010101010101010101",
                "signer": "0x0202020202020202020202020202020202020202",
                "payee": "0xa6dcf34b568369754496d7f902f1a378aea869d10a79764ee355295daa3843ba",
                "jurisdiction": "0x0303030303030303030303030303030303030303030303030303030303030303",
                "platformIds": [
                  "0x0404040404040404040404040404040404040404040404040404040404040404",
                  "0x0505050505050505050505050505050505050505050505050505050505050505"
                ],
                "setAt": 1000
              }
            ],
            "Split": [
              {
                "account": "0xa6dcf34b568369754496d7f902f1a378aea869d10a79764ee355295daa3843ba",
                "accounts": [
                  "0xb894718e543bb6ea8db6968779e8ad18e9df0b13a4a1ec676ee24b81920eaacd",
                  "0x000000000000000000000000a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3"
                ],
                "bps": [
                  3333,
                  6667
                ],
                "start": 0,
                "duration": 0,
                "timestamp": 1000,
                "announcedAt": 1030
              },
              {
                "account": "0xb894718e543bb6ea8db6968779e8ad18e9df0b13a4a1ec676ee24b81920eaacd",
                "accounts": null,
                "bps": null,
                "start": null,
                "duration": null,
                "timestamp": 1030,
                "announcedAt": null
              }
            ],
            "open": [
              {
                "account": "0xb894718e543bb6ea8db6968779e8ad18e9df0b13a4a1ec676ee24b81920eaacd"
              }
            ],
            "AuditLog": [],
            "_meta": {
              "contracts": {
                "dataPolicies": [
                  "0xC0C0c0c0C0C0c0c0c0C0c0C0C0C0C0C0C0C0c0c0",
                  "0xC1C1c1c1C1C1C1c1c1C1C1C1c1C1C1C1c1C1c1c1"
                ],
                "custody": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC"
              }
            }
          }
        }
    "#]],
    )
    .await;
    let (schema, _) = world().await;
    let [inner, middle, ..] = crate::fixture::splits().map(|split| licen_core::id::split_account(&split));
    let query = format!(
        "{{ a: Split_by_pk(account: \"{middle}\") {{ bps }} b: Split_by_pk(account: \"{inner}\") {{ bps }}
        c: Split_by_pk(account: \"{}\") {{ bps }}
        Provider_by_pk(providerId: \"{}\") {{ payee }} Payment_by_pk(id: \"nothing\") {{ id }} }}",
        B256::ZERO,
        B256::repeat_byte(0xab)
    );
    let data = schema.execute(query).await.data.into_json().unwrap();
    assert_eq!(
        data,
        serde_json::json!({ "a": { "bps": [3_333, 6_667] }, "b": { "bps": null }, "c": null,
            "Provider_by_pk": { "payee": middle }, "Payment_by_pk": null })
    );
}

#[tokio::test]
async fn what_cannot_be_answered_says_why() {
    check(
        "{ Dataset(where: {owner: {_eq: \"0x12\"}}) { owner } }",
        expect![[r#"
        {
          "data": null,
          "errors": [
            {
              "message": "owner: \"0x12\" is not an address",
              "locations": [
                {
                  "line": 1,
                  "column": 3
                }
              ],
              "path": [
                "Dataset"
              ]
            }
          ]
        }
    "#]],
    )
    .await;
    check(
        "{ Job(where: {state: {_eq: \"Done\"}}) { id } }",
        expect![[r#"
        {
          "data": null,
          "errors": [
            {
              "message": "state: \"Done\" is not a state of a job",
              "locations": [
                {
                  "line": 1,
                  "column": 3
                }
              ],
              "path": [
                "Job"
              ]
            }
          ]
        }
    "#]],
    )
    .await;
}

#[tokio::test]
async fn a_page_too_large_is_refused() {
    check(
        "{ Job(limit: 1001) { id } }",
        expect![[r#"
        {
          "data": null,
          "errors": [
            {
              "message": "limit 1001 is above 1000; use offset for the next page",
              "locations": [
                {
                  "line": 1,
                  "column": 3
                }
              ],
              "path": [
                "Job"
              ]
            }
          ]
        }
    "#]],
    )
    .await;
}

#[tokio::test]
async fn primary_keys_and_preimages() {
    use licen_core::abi::{Job, Policy};
    use licen_core::sol_types::SolValue;
    let (schema, _) = world().await;
    let model = history();
    let (contract, job, _) = &model.jobs[0];
    let query = format!("{{ Job_by_pk(id: \"{}\") {{ jobAbi policyAbi policyHash }} }}", job.jobId);
    let data = schema.execute(query).await.data.into_json().unwrap();
    let bytes = |name: &str| {
        let text = data["Job_by_pk"][name].as_str().unwrap();
        licen_core::primitives::hex::decode(text).unwrap()
    };
    assert_eq!(&Job::abi_decode(&bytes("jobAbi")).unwrap(), job);
    let policy = Policy::abi_decode(&bytes("policyAbi")).unwrap();
    assert_eq!(licen_core::id::policy_hash(&policy), job.policyHash);
    let query = format!(
        "{{ Dataset_by_pk(contract: \"{contract}\", datasetUid: \"{}\") {{ policyAbi }} }}",
        job.datasetUid
    );
    let data = schema.execute(query).await.data.into_json().unwrap();
    // The owner updated the policy since; the job keeps the one it was granted under.
    let current = data["Dataset_by_pk"]["policyAbi"].as_str().unwrap();
    assert_ne!(current, licen_core::primitives::hex::encode_prefixed(policy.abi_encode()));
    let data = schema.execute(format!("{{ Job_by_pk(id: \"{}\") {{ id }} }}", B256::ZERO)).await.data;
    assert!(data.into_json().unwrap()["Job_by_pk"].is_null());
}

#[tokio::test]
async fn a_question_too_large_is_refused_before_it_runs() {
    let (schema, _) = world().await;
    let deep = "{ Job(limit: 1000) { dataset { jobs(limit: 1000) { id } } } }";
    let errors = schema.execute(deep).await.errors;
    assert!(errors[0].message.contains("complex"), "{errors:?}");
    let mut nested = "id".to_string();
    for _ in 0..10 {
        nested = format!("dataset {{ jobs(limit: 1) {{ {nested} }} }}");
    }
    let errors = schema.execute(format!("{{ Job(limit: 1) {{ {nested} }} }}")).await.errors;
    assert!(errors[0].message.contains("nested"), "{errors:?}");
}

#[tokio::test]
async fn a_small_request_cannot_stop_the_node() {
    let (schema, freshness) = world().await;
    let router = crate::router(schema, freshness);
    let ask = async |body: serde_json::Value| {
        let request = axum::http::Request::post("/graphql")
            .header("content-type", "application/json")
            .body(axum::body::Body::from(body.to_string()))
            .unwrap();
        let response = tower::ServiceExt::oneshot(router.clone(), request).await.unwrap();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    };
    let deep = |open: &str, n| format!("{{Dataset(where:{}1{}){{owner}}}}", open.repeat(n), "}".repeat(n));
    assert!(ask(serde_json::json!({"query": deep("{_not:", 250)})).await.contains("nested deeper"));
    assert!(ask(serde_json::json!({"query": "[".repeat(3_000)})).await.contains("nested deeper"));
    let fragment = |i| format!(" fragment f{i} on Query{{{}}}", format!("...f{} ", i + 1).repeat(4));
    let fragments: String = (0..26).map(fragment).collect();
    let fan = format!("query{{...f0}}{fragments} fragment f26 on Query{{_meta{{ready}}}}");
    assert!(ask(serde_json::json!({"query": fan})).await.contains("spreads"));
    let mut filter = serde_json::json!({"owner": {"_eq": "0x"}});
    for _ in 0..100 {
        filter = serde_json::json!({"_not": filter});
    }
    let query = "query($w: Dataset_bool_exp) { Dataset(where: $w) { owner } }";
    let answer = ask(serde_json::json!({"query": query, "variables": {"w": filter}})).await;
    assert!(answer.contains("nested deeper"), "{answer}");
    // Seven lists whose product is a multiple of 2^64.
    let mut nested = "id".to_string();
    for _ in 0..4 {
        nested = format!("dataset {{ jobs(limit: 65536) {{ {nested} }} }}");
    }
    let answer = ask(serde_json::json!({"query": format!("{{ Job(limit: 1) {{ {nested} }} }}")})).await;
    assert!(answer.contains("complex"), "{answer}");
    let answer = ask(
        serde_json::json!({"query": "{ AuditLog(limit: 1000) { a:details b:details c:details d:details } }"}),
    )
    .await;
    assert!(answer.contains("complex"), "{answer}");
    // Preimages under many names: megabytes of one row.
    let many = |field: &str, n: u8| (0..n).map(|i| format!("a{i}:{field} ")).collect::<String>();
    for (list, fields) in [
        ("Job", many("jobAbi", 9)),
        ("Job", many("manifestAbi", 17)),
        ("Split", many("accounts", 4)),
        ("Split", many("bps", 9)),
        ("Provider", many("platformIds", 4)),
    ] {
        let answer =
            ask(serde_json::json!({"query": format!("{{ {list}(limit: 1000) {{ {fields} }} }}")})).await;
        assert!(answer.contains("complex"), "{list}: {answer}");
    }
    assert!(ask(serde_json::json!({"query": "{ _meta { chainId } }"})).await.contains("31337"));
}

#[tokio::test]
async fn an_index_that_is_behind_or_halted_says_so_and_still_answers() {
    let (schema, freshness) = world().await;
    let query = "{ _meta { chainId genesisHash lagBlocks ready problem block { number } } Job(where: {state: {_eq: \"Failed\"}}) { state } }";
    freshness.update(|status| status.problem = "rpc is another chain".into());
    let router = crate::router(schema.clone(), freshness.clone());
    let body = serde_json::json!({ "query": query }).to_string();
    let request = axum::http::Request::post("/graphql")
        .header("content-type", "application/json")
        .body(axum::body::Body::from(body))
        .unwrap();
    let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
    assert_eq!(response.status(), 200);
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let status = serde_json::json!({ "lagBlocks": 1, "problem": "rpc is another chain", "ready": false });
    let mut extension = status.clone();
    extension["block"] = 5.into();
    let mut meta = status;
    meta["block"] = serde_json::json!({ "number": 5 });
    meta["chainId"] = 31337.into();
    meta["genesisHash"] = serde_json::json!(B256::repeat_byte(9));
    let data = serde_json::json!({ "_meta": meta, "Job": [{ "state": "Failed" }] });
    assert_eq!(answer, serde_json::json!({ "data": data, "extensions": { "licen": extension } }));
    freshness.update(|status| {
        status.problem.clear();
        status.head = Some(100);
    });
    assert!(!freshness.get().ready());
    freshness.update(|status| status.head = status.indexed);
    assert!(freshness.get().ready());
}

/// What clients select is in the schema, and they read every answer as what it is.
#[tokio::test]
async fn every_row_is_selected_and_read_as_core_has_it() {
    use licen_core::wire::index::{DatasetRow, JobRow, PaymentRow, Row, SplitRow};
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Rows {
        dataset: Vec<DatasetRow>,
        job: Vec<JobRow>,
        payment: Vec<PaymentRow>,
        split: Vec<SplitRow>,
    }
    let lists = [
        ("Dataset", DatasetRow::SELECTION),
        ("Job", JobRow::SELECTION),
        ("Payment", PaymentRow::SELECTION),
        ("Split", SplitRow::SELECTION),
    ];
    let asked: String = lists.map(|(name, fields)| format!("{name} {{ {fields} }} ")).concat();
    let (schema, _) = world().await;
    let answer = schema.execute(format!("{{ {asked} }}")).await.data.into_json().unwrap();
    let rows: Rows = serde_json::from_value(answer.clone()).unwrap();
    let mut jobs = answer["Job"].clone();
    for job in jobs.as_array_mut().unwrap() {
        for preimage in ["jobAbi", "policyAbi", "manifestAbi"] {
            job.as_object_mut().unwrap().remove(preimage).unwrap();
        }
    }
    for (told, read) in [
        (&answer["Dataset"], serde_json::json!(rows.dataset)),
        (&jobs, serde_json::json!(rows.job)),
        (&answer["Payment"], serde_json::json!(rows.payment)),
        (&answer["Split"], serde_json::json!(rows.split)),
    ] {
        assert_eq!(told, &read, "said again as it was told");
    }
    assert!(!rows.dataset.is_empty() && !rows.job.is_empty());
    assert!(!rows.payment.is_empty() && !rows.split.is_empty());
}
