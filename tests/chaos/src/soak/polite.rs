//! Well-behaved clients: every call must be answered correctly.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use trunnion::Era;
use trunnion::{Client, Error};

use crate::judge::Judge;
use crate::random::Random;

/// Longest time until an answer, under the load of the other clients.
const PATIENCE: Duration = Duration::from_secs(30);

/// Calls one tool after the other until asked to finish.
pub async fn client(url: String, era: Era, judge: Arc<Judge>, finish: Arc<AtomicBool>, mut random: Random) {
    let connecting = Client::builder().era(era).timeout(PATIENCE).connect_timeout(PATIENCE).connect(url);
    let client = match connecting.await {
        Ok(client) => client,
        Err(error) => return judge.broken(format!("a {era:?} client could not connect: {error}")),
    };
    for number in 0.. {
        if finish.load(Ordering::Relaxed) {
            break;
        }
        let what = random.between(0, 9);
        let answered = match what {
            0 => steps(&client).await,
            1 => big(&client).await,
            2 => text(&client, "later", json!({"ms": 100}), "later").await,
            _ => {
                let said = format!("{number} \u{e9}\n\"{}\"", random.between(0, 1 << 20));
                text(&client, "echo", json!({ "text": said }), &said).await
            }
        };
        match answered {
            Ok(()) => judge.count("calls of well-behaved clients answered", 1),
            Err(why) => judge.broken(format!("call {number} of a {era:?} client: {why}")),
        }
    }
    client.close().await;
}

/// Checks that a new client is served.
pub async fn is_served(url: String) -> Result<(), String> {
    let client = Client::connect(url).await.map_err(|error| error.to_string())?;
    let answered = text(&client, "echo", json!({"text": "still there"}), "still there").await;
    client.close().await;
    answered
}

async fn text(client: &Client, tool: &str, arguments: Value, right: &str) -> Result<(), String> {
    let result = client.call_tool(tool, arguments).await.map_err(|error: Error| error.to_string())?;
    let got = result.text();
    if got == right { Ok(()) } else { Err(format!("{tool} answered {got:?}, not {right:?}")) }
}

async fn big(client: &Client) -> Result<(), String> {
    let result = client.call_tool("big", json!({})).await.map_err(|error| error.to_string())?;
    match result.text().len() {
        1_048_576 => Ok(()),
        other => Err(format!("big answered {other} bytes")),
    }
}

async fn steps(client: &Client) -> Result<(), String> {
    let heard = Arc::new(AtomicUsize::new(0));
    let call = client.call_tool("steps", json!({"n": 5})).with_progress({
        let heard = heard.clone();
        move |_| {
            heard.fetch_add(1, Ordering::Relaxed);
        }
    });
    call.await.map_err(|error| error.to_string())?;
    match heard.load(Ordering::Relaxed) {
        5 => Ok(()),
        other => Err(format!("{other} of 5 reports of progress came")),
    }
}
