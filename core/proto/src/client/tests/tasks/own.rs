//! Requests of a legacy server that are answered later.

use super::*;

fn session() -> Rig {
    let since_epoch = Duration::from_secs(1_767_225_600);
    let config = ClientConfig {
        transport: STREAM,
        capabilities: Json::from_static(ALL),
        since_epoch,
        seed: 7,
        ..ClientConfig::default()
    };
    legacy_of(config, json!({}))
}

impl Rig {
    fn asks(&mut self, id: u64, method: &str, params: Value) {
        self.recv(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
    }

    /// The server asks the user for a name; the task, and the question.
    fn asks_later(&mut self, id: u64, task: Value) -> (Value, u64) {
        let mut params = name_wanted()["params"].clone();
        params["task"] = task;
        self.asks(id, "elicitation/create", params);
        let outputs = self.take();
        let [Output::Send { bytes, .. }, Output::Ask { question, .. }] = &outputs[..] else {
            panic!("{outputs:?}")
        };
        let reply: Value = serde_json::from_slice(bytes).expect("JSON");
        assert_eq!(reply["id"], id);
        (reply["result"]["task"].clone(), *question)
    }

    fn replied(&mut self) -> Value {
        self.sent_message().0
    }
}

#[test]
fn they_are_declared_for_what_can_be_asked() {
    let mut rig = rig_of(ClientConfig {
        transport: STREAM,
        era: EraPolicy::Only(Era::Legacy),
        capabilities: Json::from_static(r#"{"sampling":{}}"#),
        ..ClientConfig::default()
    });
    let (_, params) = rig.sent("initialize");
    let requests = json!({"sampling": {"createMessage": {}}});
    assert_eq!(params["capabilities"]["tasks"], json!({"list": {}, "cancel": {}, "requests": requests}));
    let mut rig = rig_of(ClientConfig {
        transport: STREAM,
        era: EraPolicy::Only(Era::Legacy),
        capabilities: Json::from_static(ALL),
        tasks: false,
        ..ClientConfig::default()
    });
    let (_, params) = rig.sent("initialize");
    assert!(params["capabilities"].get("tasks").is_none());
}

#[test]
fn time_limits_stand_still_until_it_is_answered_withdrawn_or_expired() {
    for end in ["answer", "cancel", "expire"] {
        let mut rig = session();
        let options = CallOptions { timeout: Some(ms(5000)), ..CallOptions::default() };
        rig.start_with(1, "call_tool", json!({"name": "t"}), options);
        let (call, _) = rig.sent("tools/call");
        let (task, question) = rig.asks_later(1, json!({"ttl": 60_000}));
        rig.pass(ms(59_000));
        assert!(rig.take().is_empty(), "the user may take their time");
        match end {
            "answer" => assert!(rig.says(question, accepted("Ann"))),
            "cancel" => rig.asks(2, "tasks/cancel", json!({"taskId": task["taskId"]})),
            _ => rig.pass(ms(1000)),
        }
        rig.take();
        rig.pass(ms(4999));
        assert!(rig.take().is_empty(), "{end}");
        if end == "answer" {
            rig.answer(call, text("done"));
            assert!(rig.ended(1).is_ok());
        } else {
            rig.pass(ms(1));
            let outputs = rig.take();
            assert!(outputs.iter().any(|output| matches!(output, Output::Error { op: 1, .. })), "{end}");
        }
    }
}

#[test]
fn a_question_becomes_a_task_and_its_answer_the_result() {
    let mut rig = session();
    let (task, question) = rig.asks_later(1, json!({"ttl": 60_000}));
    assert_eq!((&task["status"], &task["ttl"]), (&json!("working"), &json!(60_000)));
    assert_eq!(task["createdAt"], "2026-01-01T00:00:00.000Z");
    let id = json!({"taskId": task["taskId"]});
    rig.asks(2, "tasks/get", id.clone());
    assert_eq!(rig.replied()["result"]["status"], "working");
    rig.asks(3, "tasks/result", id.clone());
    assert!(rig.take().is_empty(), "it waits");
    rig.pass(ms(1500));
    assert!(rig.says(question, accepted("Ann")));
    let outputs = rig.take();
    let sent: Vec<Value> = outputs
        .iter()
        .map(|output| match output {
            Output::Send { bytes, .. } => serde_json::from_slice(bytes).expect("JSON"),
            other => panic!("{other:?}"),
        })
        .collect();
    let [result, told] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((&result["id"], &result["result"]["content"]), (&json!(3), &json!({"name": "Ann"})));
    assert_eq!(result["result"]["_meta"], json!({"io.modelcontextprotocol/related-task": id}));
    assert_eq!(
        (told["method"].as_str(), &told["params"]["status"]),
        (Some("notifications/tasks/status"), &json!("completed"))
    );
    assert_eq!(told["params"]["lastUpdatedAt"], "2026-01-01T00:00:01.500Z");
    rig.asks(4, "tasks/result", id.clone());
    assert_eq!(rig.replied()["result"]["content"], json!({"name": "Ann"}));
    rig.asks(5, "tasks/list", json!({}));
    assert_eq!(rig.replied()["result"]["tasks"][0]["status"], "completed");
    rig.asks(6, "tasks/cancel", id);
    assert_eq!(rig.replied()["error"]["code"], -32602, "it is over");
    rig.asks(7, "tasks/get", json!({"taskId": "another"}));
    assert_eq!(rig.replied()["error"]["code"], -32602);
}

#[test]
fn the_server_takes_it_back_or_lets_it_expire() {
    let mut rig = session();
    let (task, question) = rig.asks_later(1, json!({}));
    assert_eq!(task["ttl"], 3_600_000, "an hour at most");
    rig.asks(2, "tasks/cancel", json!({"taskId": task["taskId"]}));
    let outputs = rig.take();
    let [Output::Withdrawn { question: gone, .. }, Output::Send { .. }, Output::Send { bytes, .. }] =
        &outputs[..]
    else {
        panic!("{outputs:?}")
    };
    let reply: Value = serde_json::from_slice(bytes).expect("JSON");
    assert_eq!((*gone, &reply["result"]["status"]), (question, &json!("cancelled")));
    let (task, question) = rig.asks_later(3, json!({"ttl": 1000}));
    rig.asks(4, "tasks/result", json!({"taskId": task["taskId"]}));
    rig.pass(ms(1000));
    let outputs = rig.take();
    let [Output::Withdrawn { question: gone, .. }, Output::Send { bytes, .. }] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    let reply: Value = serde_json::from_slice(bytes).expect("JSON");
    assert_eq!((*gone, &reply["error"]["code"]), (question, &json!(-32602)));
}

#[test]
fn an_error_of_the_user_is_the_tasks() {
    let mut rig = session();
    let (task, question) = rig.asks_later(1, json!({}));
    let no = RpcError { code: -1, message: "no".into(), data: None };
    rig.conn.answer(rig.now, question, Err(no));
    let (told, _) = rig.sent_message();
    assert_eq!(
        (&told["params"]["status"], &told["params"]["statusMessage"]),
        (&json!("failed"), &json!("no"))
    );
    rig.asks(2, "tasks/result", json!({"taskId": task["taskId"]}));
    assert_eq!(rig.replied()["error"]["message"], "no");
}

#[test]
fn so_many_are_kept() {
    let mut rig = session();
    for id in 0..32 {
        rig.asks_later(id, json!({}));
    }
    let mut params = name_wanted()["params"].clone();
    params["task"] = json!({});
    rig.asks(50, "elicitation/create", params);
    assert!(rig.replied()["error"]["message"].as_str().is_some_and(|message| message.contains("32")));
    // Without a wish for a task a question is a question.
    rig.asks(51, "elicitation/create", name_wanted()["params"].clone());
    rig.question();
}

#[test]
fn a_client_that_has_declared_none_has_none() {
    let mut rig = legacy(STREAM);
    rig.asks(1, "tasks/get", json!({"taskId": "x"}));
    assert_eq!(rig.replied()["error"]["code"], -32601);
}
