//! Tasks of clients at the engine's own server, one at a time, in both eras.

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use trunnion::client::TaskStatus;
use trunnion::model::{ElicitAnswer, ElicitRequest};
use trunnion::server::{Args, Context, Elicited, Listening, Server, State, TaskSupport, Tool};
use trunnion::{Client, Error};
use trunnion_proto::revision::Era;

#[derive(Deserialize, JsonSchema)]
struct Person {
    name: String,
}

#[derive(Deserialize, JsonSchema)]
struct Text {
    text: String,
}

/// Lets the tool `gated` end, once for each permit.
#[derive(Clone)]
struct Gate(Arc<Semaphore>);

async fn greet(context: Context) -> Result<String, Error> {
    Ok(match context.elicit::<Person>("Who are you?").await? {
        Elicited::Accepted(Person { name }) => format!("Hello {name}"),
        _ => "Hello you".into(),
    })
}

async fn gated(
    Args(Text { text }): Args<Text>,
    context: Context,
    gate: State<Gate>,
) -> Result<String, Error> {
    context.progress(1.0, None, Some("at the gate"));
    gate.0.0.acquire().await.expect("an open gate").forget();
    Ok(text)
}

async fn fail() -> Result<String, Error> {
    Err(Error::internal("boom"))
}

struct Place {
    listening: Listening,
    gate: Arc<Semaphore>,
}

async fn place() -> Place {
    let gate = Arc::new(Semaphore::new(0));
    let server = Server::builder("tasks", "1.0.0")
        .state(Gate(Arc::clone(&gate)))
        .task_poll_interval(Duration::from_millis(20))
        .tool(Tool::new("greet", greet).task(TaskSupport::Optional))
        .tool(Tool::new("gated", gated).task(TaskSupport::Required))
        .tool(Tool::new("fail", fail).task(TaskSupport::Required))
        .tool(Tool::new("plain", async || "plain"))
        .build()
        .expect("a server");
    Place { listening: server.http().bind("127.0.0.1:0").await.expect("a port"), gate }
}

impl Place {
    async fn client(&self, era: Era, asked: &Arc<AtomicU32>) -> Client {
        let asked = Arc::clone(asked);
        let answer = move |asked_for: ElicitRequest| {
            asked.fetch_add(1, Ordering::Relaxed);
            async move {
                assert!(matches!(asked_for, ElicitRequest::Form(_)));
                ElicitAnswer::accept(json!({"name": "Ann"}))
            }
        };
        let builder = Client::builder().era(era).on_elicit(answer);
        builder.connect(self.listening.url()).await.expect("connected")
    }
}

const ERAS: [Era; 2] = [Era::Modern, Era::Legacy];

#[tokio::test]
async fn a_plain_call_waits_for_the_task_that_it_becomes() {
    let place = place().await;
    for era in ERAS {
        let asked = Arc::new(AtomicU32::new(0));
        let client = place.client(era, &asked).await;
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let call = client.call_tool("gated", json!({"text": "open"})).with_progress(move |progress| {
            let _ = told.send(progress.message);
        });
        let call = tokio::spawn(call.into_future());
        assert_eq!(heard.recv().await.expect("progress").as_deref(), Some("at the gate (1)"), "{era:?}");
        place.gate.add_permits(1);
        let result = call.await.expect("no panic").expect("a result");
        assert_eq!(result.text(), "open", "{era:?}");

        let greeted = client.call_tool("greet", ()).await.expect("a result");
        assert_eq!((greeted.text().as_str(), asked.load(Ordering::Relaxed)), ("Hello Ann", 1), "{era:?}");
        let failed = client.call_tool("fail", ()).await;
        assert!(failed.as_ref().is_ok_and(|result| result.is_error) || failed.is_err(), "{failed:?}");
        assert_eq!(client.call_tool("plain", ()).await.expect("a result").text(), "plain");
        client.close().await;
    }
}

#[tokio::test]
async fn a_task_is_picked_up_by_another_client() {
    let place = place().await;
    let asked = Arc::new(AtomicU32::new(0));
    let first = place.client(Era::Modern, &asked).await;
    let task = first.call_tool("gated", json!({"text": "later"})).task().await.expect("a task");
    let id = task.id().expect("an id").to_owned();
    let seed = task.created().expect("its state");
    assert_eq!((seed.task_id.as_str(), seed.status), (id.as_str(), TaskStatus::Working));
    let text = serde_json::to_string(seed).expect("JSON");
    assert_eq!(&serde_json::from_str::<trunnion::client::TaskState>(&text).expect("a state"), seed);
    first.close().await;

    let second = place.client(Era::Modern, &asked).await;
    let task = second.task(id);
    assert_eq!(task.status().await.expect("a state").status, TaskStatus::Working);
    let mut updates = task.updates();
    let first_state = updates.next().await.expect("a state").expect("no error");
    assert_eq!(first_state.status, TaskStatus::Working);
    place.gate.add_permits(1);
    let mut last = first_state;
    while let Some(state) = updates.next().await {
        last = state.expect("no error");
    }
    assert_eq!(last.status, TaskStatus::Completed);
    assert_eq!(last.extra["result"]["content"][0]["text"], "later");
    assert_eq!(task.result().await.expect("a result").text(), "later");
    let unknown = second.task("nothing").result().await.expect_err("no such task");
    assert_eq!(unknown.kind, "invalid_params", "{unknown:?}");
    second.close().await;
}

#[tokio::test]
async fn what_a_task_asks_can_be_answered_by_hand() {
    let place = place().await;
    let asked = Arc::new(AtomicU32::new(0));
    let client = place.client(Era::Modern, &asked).await;
    let task = client.call_tool("greet", ()).task().await.expect("a task");
    let mut updates = task.updates();
    let key = loop {
        let state = updates.next().await.expect("a state").expect("no error");
        if let Some(key) = state.input_requests.keys().next() {
            break key.clone();
        }
    };
    task.answer(&key, ElicitAnswer::accept(json!({"name": "Bob"}))).await.expect("taken");
    assert_eq!(task.result().await.expect("a result").text(), "Hello Bob");
    assert_eq!(asked.load(Ordering::Relaxed), 0, "the handler was not asked");
    client.close().await;
}

#[tokio::test]
async fn a_task_is_cancelled_by_its_handle_and_with_its_call() {
    let place = place().await;
    for era in ERAS {
        let asked = Arc::new(AtomicU32::new(0));
        let client = place.client(era, &asked).await;
        let task = client.call_tool("gated", json!({"text": "x"})).task().await.expect("a task");
        task.cancel().await.expect("taken");
        assert_eq!(task.result().await.expect_err("no result").kind, "cancelled", "{era:?}");

        // Another handle remains to observe the task after the future of its call is dropped.
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let call = client.call_tool("gated", json!({"text": "y"})).with_progress(move |_| {
            let _ = told.send(());
        });
        let call = tokio::spawn(call.into_future());
        heard.recv().await.expect("it runs");
        call.abort();
        assert!(call.await.is_err());
        if era == Era::Legacy {
            let mut left = client.list_tasks().await.expect("a page").items;
            while left.iter().any(|task| !task.status.is_final()) {
                left = client.list_tasks().await.expect("a page").items;
            }
            assert!(left.iter().all(|task| task.status == TaskStatus::Cancelled), "{left:?}");
        }
        client.close().await;
    }
}

#[tokio::test]
async fn what_is_answered_at_once_is_a_task_that_is_complete() {
    let place = place().await;
    for era in ERAS {
        let asked = Arc::new(AtomicU32::new(0));
        let client = place.client(era, &asked).await;
        let task = client.call_tool("plain", ()).task().await.expect("a handle");
        assert_eq!((task.id(), task.created()), (None, None));
        assert_eq!(task.status().await.expect("a state").status, TaskStatus::Completed);
        let mut updates = task.updates();
        assert_eq!(updates.next().await.expect("a state").expect("no error").status, TaskStatus::Completed);
        assert!(updates.next().await.is_none());
        assert_eq!(task.result().await.expect("a result").text(), "plain");
        client.close().await;
    }
}

#[tokio::test]
async fn a_client_that_allows_no_tasks_gets_none() {
    let place = place().await;
    let client = Client::builder().tasks(false).connect(place.listening.url()).await.expect("connected");
    assert_eq!(client.call_tool("plain", ()).await.expect("a result").text(), "plain");
    let refused = client.call_tool("gated", json!({"text": "x"})).await.expect_err("tasks only");
    assert_eq!(refused.kind, "missing_capability");
    let needed: Value =
        serde_json::from_str(refused.data.as_deref().unwrap_or_default()).expect("what is needed");
    assert!(
        needed["requiredCapabilities"]["extensions"]["io.modelcontextprotocol/tasks"].is_object(),
        "{needed}"
    );
    client.close().await;
}
