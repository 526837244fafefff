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
    let query = "{ Job(where: {state: {_eq: \"Completed\"}}) {
        state requestedEpochs actualEpochs escrow computeEscrow royaltySettled protocolFee computeFee
        refundIssued royaltyRefund resultHash attestationRef failReason attempt
        dataset { datasetUid policyVersion royaltyPerEpoch } } }";
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
                "dataset": {
                  "datasetUid": "0x48011fc31d56d65284b2e4bce3e935d805cb392b5e83f120b91e1342441e1e9a",
                  "policyVersion": 2,
                  "royaltyPerEpoch": "1002"
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
                "active": true,
                "paused": false
              },
              {
                "royaltyPerEpoch": "1002",
                "active": false,
                "paused": true
              }
            ],
            "paged": [
              {
                "state": "Failed",
                "requestedEpochs": 2
              }
            ],
            "cheap": [
              {
                "royaltyPerEpoch": "1002"
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
                "eventType": "RoyaltySettled",
                "details": "{\"amount\":\"2002\"}"
              },
              {
                "id": "000000000004-000002",
                "eventType": "RefundIssued",
                "details": "{\"amount\":\"1031\"}"
              },
              {
                "id": "000000000004-000003",
                "eventType": "JobStarted",
                "details": "{\"attempt\":1,\"runDeadline\":22640,\"runtimeDataHash\":\"0x5252525252525252525252525252525252525252525252525252525252525252\",\"signer\":\"0x5151515151515151515151515151515151515151\"}"
              },
              {
                "id": "000000000004-000004",
                "eventType": "PolicyPaused",
                "details": "{\"datasetUid\":\"0xc0c47f428eda10dba8ca59da580851a7523b3eed9e6ba12d21d8e90fe6922a24\"}"
              },
              {
                "id": "000000000005-000000",
                "eventType": "JobFailed",
                "details": "{\"reason\":\"JOB_SPEC_INVALID\"}"
              },
              {
                "id": "000000000005-000001",
                "eventType": "RefundIssued",
                "details": "{\"amount\":\"2032\"}"
              },
              {
                "id": "000000000005-000002",
                "eventType": "AccessGranted",
                "details": "{\"epochs\":1,\"requester\":\"0xb0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0\"}"
              },
              {
                "id": "000000000005-000004",
                "eventType": "PolicySet",
                "details": "{\"datasetUid\":\"0x48011fc31d56d65284b2e4bce3e935d805cb392b5e83f120b91e1342441e1e9a\",\"policyHash\":\"0xf5ddeda1b2c49c23f2fb36dec9c3bbac64d9933c0909f72e7c9a78c5f2710bed\",\"royaltyPerEpoch\":\"1002\",\"version\":2}"
              }
            ]
          }
        }
    "#]]).await;
}

#[tokio::test]
async fn what_cannot_be_answered_says_why() {
    check(
        "{ Dataset(where: {owner: {_eq: \"0x12\"}}) { id } }",
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
    let (job, _) = &model.jobs[0];
    let query = format!("{{ Job_by_pk(id: \"{}\") {{ jobAbi policyAbi policyHash }} }}", job.jobId);
    let data = schema.execute(query).await.data.into_json().unwrap();
    let bytes = |name: &str| {
        let text = data["Job_by_pk"][name].as_str().unwrap();
        licen_core::primitives::hex::decode(text).unwrap()
    };
    assert_eq!(&Job::abi_decode(&bytes("jobAbi")).unwrap(), job);
    let policy = Policy::abi_decode(&bytes("policyAbi")).unwrap();
    assert_eq!(licen_core::id::policy_hash(&policy), job.policyHash);
    let query = format!("{{ Dataset_by_pk(id: \"{}\") {{ policyAbi }} }}", job.datasetUid);
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
    let deep = |open: &str, n| format!("{{Dataset(where:{}1{}){{id}}}}", open.repeat(n), "}".repeat(n));
    assert!(ask(serde_json::json!({"query": deep("{_not:", 250)})).await.contains("nested deeper"));
    assert!(ask(serde_json::json!({"query": "[".repeat(3_000)})).await.contains("nested deeper"));
    let fragment = |i| format!(" fragment f{i} on Query{{{}}}", format!("...f{} ", i + 1).repeat(4));
    let fragments: String = (0..26).map(fragment).collect();
    let fan = format!("query{{...f0}}{fragments} fragment f26 on Query{{_meta{{ready}}}}");
    assert!(ask(serde_json::json!({"query": fan})).await.contains("spreads"));
    let mut filter = serde_json::json!({"id": {"_eq": "0x"}});
    for _ in 0..100 {
        filter = serde_json::json!({"_not": filter});
    }
    let query = "query($w: Dataset_bool_exp) { Dataset(where: $w) { id } }";
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
    assert!(ask(serde_json::json!({"query": "{ _meta { chainId } }"})).await.contains("31337"));
}

#[tokio::test]
async fn an_index_that_is_behind_or_halted_says_so_and_still_answers() {
    let (schema, freshness) = world().await;
    let query =
        "{ _meta { chainId genesisHash lagBlocks ready problem block { number } } Job(limit: 1) { state } }";
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
