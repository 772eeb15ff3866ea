//! Random orders of what can happen.

use super::*;

/// xorshift64*
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }
}

#[test]
fn in_any_order_every_operation_ends_once() {
    for seed in 1..=600u64 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let transport = [STREAM, CHILD, Transport::Http][random.below(3)];
        let era =
            [EraPolicy::Auto, EraPolicy::Only(Era::Legacy), EraPolicy::Only(Era::Modern)][random.below(3)];
        let mut rig = rig_with(transport, era, r#"{"elicitation":{}}"#);
        let mut started = 0u64;
        let mut ended = std::collections::BTreeMap::<u64, u32>::new();
        let (mut ready, mut refused, mut closed) = (0, 0, 0);
        let mut ids: Vec<u64> = vec![1];
        let mut open = std::collections::BTreeSet::<u64>::new();
        for step in 0..120 {
            let id = ids[random.below(ids.len())] + u64::from(random.below(12) == 0);
            match random.below(19) {
                0..=2 => {
                    started += 1;
                    let name = ["list_tools", "call_tool", "ping", "get_prompt", "discover", "listen"]
                        [random.below(6)];
                    let options = CallOptions {
                        timeout: (random.below(2) == 0)
                            .then(|| Duration::from_millis(random.below(5000) as u64)),
                        total: (random.below(3) == 0)
                            .then(|| Duration::from_millis(random.below(9000) as u64)),
                        progress: random.below(2) == 0,
                        meta: Json::default(),
                        fresh: random.below(2) == 0,
                    };
                    let params = match name {
                        "listen" => json!({"tools": true, "resourceUris": ["test://a"]}),
                        _ => json!({"name": "t"}),
                    };
                    rig.start_with(started, name, params, options);
                }
                3 => drop(rig.conn.cancel(random.below(started as usize + 2) as u64, "x")),
                4 => rig.pass(Duration::from_millis(random.below(800) as u64)),
                5 => rig.answer(id, discovered()),
                6 => rig.answer(id, initialized("2025-06-18")),
                7 => rig.answer(id, json!({"tools": [annotated("t", "string")], "nextCursor": "c"})),
                8 => {
                    let code = [-32020, -32021, -32022, -32601, 5][random.below(5)];
                    rig.refuse(id, code, json!({"supported": ["2026-07-28", "2025-11-25"]}));
                }
                9 => rig.status(id, [400, 401, 404, 500][random.below(4)], ""),
                10 => rig.conn.stream_ended(rig.now, id),
                11 => rig.recv(json!({"jsonrpc": "2.0", "method": "notifications/progress",
                    "params": {"progressToken": id, "progress": step}})),
                12 => rig.recv(json!({"jsonrpc": "2.0", "id": id, "method": "ping"})),
                13 => rig.conn.recv(rig.now, Some(id), Bytes::from_static(b"{\"jsonrpc\"")),
                15 => rig.recv(json!({"jsonrpc": "2.0", "id": step, "method": "elicitation/create",
                    "params": {"message": "?", "requestedSchema": {}}})),
                16 => rig.answer(
                    id,
                    json!({"resultType": "input_required", "requestState": "s",
                    "inputRequests": {"a": {"method": "elicitation/create",
                        "params": {"message": "?", "requestedSchema": {}}}}}),
                ),
                17 => {
                    let question = *open.iter().nth(random.below(open.len().max(1))).unwrap_or(&id);
                    let answer = ["{\"action\":\"accept\"}", "{}"][random.below(2)];
                    let was_open = rig.conn.answer(rig.now, question, Ok(answer.to_owned()));
                    assert_eq!(was_open, open.remove(&question), "seed {seed}");
                }
                14 if random.below(8) == 0 => rig.conn.peer_closed("gone"),
                14 => rig.conn.restarted(),
                _ if random.below(20) == 0 => rig.conn.close(),
                _ => rig.conn.session_assigned(id, "s"),
            }
            for output in rig.take() {
                match output {
                    Output::Send { bytes, post } => {
                        let message: Value = serde_json::from_slice(&bytes).expect("JSON");
                        ids.extend(message["id"].as_u64());
                        ids.extend(post.map(|post| post.post));
                        ids.drain(..ids.len().saturating_sub(8));
                    }
                    Output::Result { op, .. } | Output::Error { op, .. } => {
                        *ended.entry(op).or_default() += 1
                    }
                    Output::Ask { question, .. } => assert!(open.insert(question)),
                    Output::Withdrawn { question, .. } => assert!(open.remove(&question), "seed {seed}"),
                    Output::Ready(_) => ready += 1,
                    Output::ConnectFailed(_) => refused += 1,
                    Output::Closed { .. } => closed += 1,
                    _ => {}
                }
            }
        }
        rig.conn.close();
        for output in rig.take() {
            match output {
                Output::Withdrawn { question, .. } => assert!(open.remove(&question), "seed {seed}"),
                Output::Error { op, .. } => *ended.entry(op).or_default() += 1,
                Output::ConnectFailed(_) => refused += 1,
                Output::Closed { .. } => closed += 1,
                _ => {}
            }
        }
        assert_eq!((ready + refused, closed), (1, 1), "seed {seed}");
        assert!(open.is_empty(), "seed {seed}: every question ends");
        assert_eq!(ended.len() as u64, started, "seed {seed}: every operation ends");
        assert!(ended.values().all(|&count| count == 1), "seed {seed}: once");
        assert_eq!(rig.conn.next_deadline(), None);
    }
}
