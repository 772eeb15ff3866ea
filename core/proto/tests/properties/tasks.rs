//! Properties of a task under events in any order: it ends once, an earlier run changes nothing, a question
//! is answered once.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;
use serde_json::value::RawValue;
use trunnion_proto::Revision;
use trunnion_proto::server::{Question, Stamp, questions};
use trunnion_proto::tasks::{Answer, Attention, End, Event, Origin, Record, Refused, Status, Summary, Terms};

#[derive(Debug, Clone)]
enum Step {
    Claimed,
    Heartbeat(u64),
    Progress(u64, u8),
    Asks(u64, Vec<(u8, u8)>),
    Answered(Vec<(u8, u8)>),
    Stored(u64, u8, u8),
    Checkpoint(u64, u8),
    Finished(u64, bool),
    Cancelled,
    Released(u64),
}

fn step() -> impl Strategy<Value = Step> {
    // Of the current run, mostly, or of one before it.
    let run = || prop_oneof![4 => Just(0u64), 1 => 1..3u64];
    let pairs = || prop::collection::vec((0..4u8, 0..3u8), 1..4);
    prop_oneof![
        1 => Just(Step::Claimed),
        3 => run().prop_map(Step::Heartbeat),
        3 => (run(), 0..3u8).prop_map(|(run, what)| Step::Progress(run, what)),
        4 => (run(), pairs()).prop_map(|(run, asked)| Step::Asks(run, asked)),
        4 => pairs().prop_map(Step::Answered),
        2 => (run(), 0..3u8, 0..3u8).prop_map(|(run, key, value)| Step::Stored(run, key, value)),
        2 => (run(), 0..3u8).prop_map(|(run, value)| Step::Checkpoint(run, value)),
        1 => (run(), any::<bool>()).prop_map(|(run, error)| Step::Finished(run, error)),
        1 => Just(Step::Cancelled),
        1 => run().prop_map(Step::Released),
    ]
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).expect("JSON")
}

fn record(resumable: bool) -> Record {
    let origin = Origin {
        tool: "t".into(),
        arguments: raw("{}"),
        revision: Revision::LATEST,
        transport: "http".into(),
        request_id: raw("1"),
        session: None,
        client_info: None,
        client_capabilities: None,
        meta: None,
        answers: None,
        principal: None,
        claims: None,
    };
    Record::new("id".into(), String::new(), origin, Terms { ttl: Some(1000), poll: 10, resumable }, 0)
}

fn question(key: u8, variant: u8) -> Question {
    let schema = json!({"type": "object", "properties": {}});
    let params = json!({"message": format!("variant {variant}"), "requestedSchema": schema});
    let asked = json!({ format!("k{key}"): {"op": "elicit", "params": params} });
    questions(&asked.to_string()).expect("valid").remove(0)
}

fn stamp() -> Stamp {
    Stamp::new("{}", 0, "private")
}

/// The observable content of a record.
fn fingerprint(record: &Record) -> String {
    record.to_text()
}

proptest! {
    #![proptest_config(super::config())]

    #[test]
    fn a_task_ends_once_and_only_its_own_run_moves_it(
        resumable: bool,
        steps in prop::collection::vec(step(), 0..super::STEPS),
    ) {
        let mut task = record(resumable);
        let mut ends = 0;
        // The use of each key on the wire, and the answer to it.
        let mut used: BTreeMap<String, String> = BTreeMap::new();
        let mut answered: BTreeMap<String, String> = BTreeMap::new();
        for (now, step) in (1u64..).zip(steps) {
            let before = fingerprint(&task);
            let (status, run, current) = (task.status, task.run, |back: u64| task.run.saturating_sub(back));
            let asked: Vec<Question>;
            let (key, value);
            let (event, stale) = match step {
                Step::Claimed => (Event::Claimed, false),
                Step::Cancelled => (Event::Cancelled, false),
                Step::Heartbeat(back) => (Event::Heartbeat { run: current(back) }, back > 0),
                Step::Released(back) => (Event::Released { run: current(back) }, back > 0),
                Step::Progress(back, what) => {
                    value = format!("step {what}");
                    (Event::Progress { run: current(back), message: &value }, back > 0)
                }
                Step::Asks(back, all) => {
                    asked = all.iter().map(|(key, variant)| question(*key, *variant)).collect();
                    (Event::Asks { run: current(back), questions: &asked }, back > 0)
                }
                Step::Answered(all) => {
                    let answers = all.iter().map(|(key, suffix)| {
                        let wire = if *suffix == 0 { format!("k{key}") } else { format!("k{key}-{}", suffix + 1) };
                        (wire, Answer::Given(raw(&format!("{{\"action\":\"decline\",\"n\":{now}}}"))))
                    });
                    (Event::Answered { answers: answers.collect() }, false)
                }
                Step::Stored(back, k, v) => {
                    (key, value) = (format!("s{k}"), v.to_string());
                    (Event::Stored { run: current(back), key: &key, value: &value }, back > 0)
                }
                Step::Checkpoint(back, v) => {
                    value = v.to_string();
                    (Event::Checkpoint { run: current(back), value: &value }, back > 0)
                }
                Step::Finished(back, error) => {
                    let end = if error {
                        End::Error { code: -1, message: "no".into(), data: None }
                    } else {
                        End::Result(raw("{}"))
                    };
                    (Event::Finished { run: current(back), end }, back > 0)
                }
            };
            match task.after(event, now) {
                Err(refused) => {
                    prop_assert_eq!(fingerprint(&task), before);
                    if status.is_over() {
                        prop_assert_eq!(refused, Refused::Over);
                    }
                }
                Ok(next) => {
                    prop_assert!(!status.is_over(), "what is over stays so");
                    prop_assert!(!stale, "an earlier run changed it");
                    prop_assert!(next.record.run >= run && next.record.updated >= task.updated);
                    for asked in &next.record.asked {
                        let meaning = format!("{:?}", asked.question());
                        let known = used.entry(asked.wire.clone()).or_insert_with(|| meaning.clone());
                        prop_assert_eq!(&*known, &meaning, "a key stands for one question");
                        if let Some(answer) = &asked.answer {
                            let answer = format!("{answer:?}");
                            let known = answered.entry(asked.wire.clone()).or_insert_with(|| answer.clone());
                            prop_assert_eq!(&*known, &answer, "a question is answered once");
                        }
                    }
                    let over = next.record.status.is_over();
                    let open = next.record.open().count();
                    prop_assert_eq!(next.record.status == Status::InputRequired, !over && open > 0);
                    prop_assert_eq!(next.attention == Attention::None, over || open > 0);
                    prop_assert_eq!(next.attention == Attention::Now, !over && open == 0 && !next.record.leased);
                    prop_assert_eq!(next.record.end.is_some(), over && next.record.status != Status::Cancelled);
                    ends += u32::from(over);
                    let summary = next.record.summary();
                    let read = |text: &str| Summary::from_text("id".into(), String::new(), text);
                    prop_assert_eq!(read(&summary.to_text()), Ok(summary.clone()));
                    prop_assert_eq!(read(&next.record.to_text()), Ok(summary.clone()), "where none was kept");
                    prop_assert_eq!(
                        summary.state(Revision::V2025_11_25, &stamp()),
                        next.record.state(Revision::V2025_11_25, &stamp())
                    );
                    prop_assert_eq!(
                        summary.state(Revision::LATEST, &stamp()) == next.record.state(Revision::LATEST, &stamp()),
                        !summary.has_details()
                    );
                    // Each step is at a later time here, so whatever a client can see makes another summary.
                    prop_assert_eq!(summary != task.summary(), next.visible);
                    let text = next.record.to_text();
                    task = Record::from_text(&text).expect("what was written is read");
                    prop_assert_eq!(task.to_text(), text);
                }
            }
        }
        prop_assert!(ends <= 1);
    }
}

#[test]
fn a_record_of_another_layout_is_left_alone() {
    let text = record(true).to_text().replace("\"layout\":1", "\"layout\":2");
    assert!(Record::from_text(&text).is_err());
    assert!(Record::from_text("{}").is_err() && Record::from_text("[").is_err());
}

#[test]
fn a_summary_of_another_layout_is_left_alone() {
    let text = record(true).summary().to_text().replace("\"summaryLayout\":1", "\"summaryLayout\":2");
    assert!(Summary::from_text(String::new(), String::new(), &text).is_err());
    assert!(Summary::from_text(String::new(), String::new(), "{}").is_err());
}

#[test]
fn a_status_message_has_an_end() {
    let message = "ß".repeat(3000);
    let task =
        record(true).after(Event::Progress { run: 1, message: &message }, 1).expect("it is news").record;
    for state in
        [task.state(Revision::V2025_11_25, &stamp()), task.summary().state(Revision::LATEST, &stamp())]
    {
        let state: serde_json::Value = serde_json::from_str(&state).expect("JSON");
        assert_eq!(state["statusMessage"].as_str().map(str::len), Some(4096));
    }
    assert!(task.summary().to_text().len() < 5000);
    let shorter = "x".repeat(4096);
    let task =
        record(true).after(Event::Progress { run: 1, message: &shorter }, 1).expect("it is news").record;
    assert_eq!(task.summary().message.as_deref(), Some(&*shorter), "the whole of one that is not longer");
}

#[test]
fn a_task_stores_and_asks_only_so_much() {
    let task = record(true);
    let half = format!("\"{}\"", "x".repeat(130 << 10));
    let task = task.after(Event::Checkpoint { run: 1, value: &half }, 1).expect("it fits").record;
    let task =
        task.after(Event::Checkpoint { run: 1, value: &half }, 1).expect("instead of the first").record;
    let more = task.after(Event::Stored { run: 1, key: "k", value: &half }, 1);
    assert!(matches!(more, Err(Refused::TooMuch(_))), "{more:?}");
    let mut task = task;
    for n in 0..=u8::MAX {
        let asked: Vec<Question> = (0..4).map(|variant| question(n, variant)).collect();
        task = task.after(Event::Asks { run: 1, questions: &asked }, 1).expect("there is room").record;
    }
    let one_more = [question(0, 9)];
    let more = task.after(Event::Asks { run: 1, questions: &one_more }, 1);
    assert!(matches!(more, Err(Refused::TooMuch(_))), "{more:?}");
}
