//! Messages between processes: one channel, on a connection of its own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use redis::Pipeline;
use redis::aio::{PubSubSink, PubSubStream};

use super::{RedisStore, Server, failed};
use crate::store::background::Pause;
use crate::store::hub::{Hub, Queue};
use crate::store::{Bus, StoreError, Subscriber};

/// Most messages that are sent at a time.
const MANY: usize = 64;
/// The interval at which a connection without messages is checked.
const QUIET: Duration = Duration::from_secs(10);
/// The number of times that the same messages are sent before they are dropped.
const ATTEMPTS: u32 = 6;

impl Bus for RedisStore {
    fn publish(&self, message: Bytes) {
        self.hub.publish(message);
    }

    fn subscribe(&self, subscriber: Subscriber) {
        self.hub.subscribe(subscriber);
    }
}

/// Sends the messages that are published here. One batch at a time, so that the order is preserved.
pub(super) async fn publish(server: Arc<Server>, mut queue: Queue) {
    let channel = server.key("bus", "");
    loop {
        let messages = queue.next(MANY).await;
        if messages.is_empty() {
            return;
        }
        let mut pipeline = Pipeline::new();
        for message in &messages {
            // The id of the publisher comes before the message.
            let told = [queue.publisher().as_bytes(), b" ", message].concat();
            pipeline.publish(&channel, told).ignore();
        }
        let mut pause = Pause::new();
        for attempt in 1.. {
            let mut connection = server.connection.clone();
            let sent = server.within(async { pipeline.exec_async(&mut connection).await.map_err(failed) });
            match sent.await {
                Ok(()) => break,
                Err(error) if attempt == ATTEMPTS => {
                    tracing::warn!(%error, "messages could not be published");
                    break;
                }
                Err(error) => {
                    tracing::debug!(%error, "messages are published again");
                    pause.wait().await;
                }
            }
        }
        queue.done(&messages);
    }
}

/// A connection that listens, and its messages.
pub(super) type Listening = (PubSubSink, PubSubStream);

pub(super) async fn listen(server: &Server) -> Result<Listening, StoreError> {
    let mut connection = server.client.get_async_pubsub().await.map_err(failed)?;
    connection.subscribe(server.key("bus", "")).await.map_err(failed)?;
    Ok(connection.split())
}

/// Receives the messages of other processes, over one connection after the other.
pub(super) async fn hear(server: Arc<Server>, hub: Arc<Hub>, mut listening: Listening) {
    loop {
        let lost = hear_over(&server, &hub, &mut listening).await;
        tracing::warn!(error = %lost, "messages of other processes are not heard for a while");
        let mut pause = Pause::new();
        listening = loop {
            match server.within(listen(&server)).await {
                Ok(listening) => break listening,
                Err(error) => tracing::debug!(%error, "the server cannot be listened to"),
            }
            pause.wait().await;
        };
    }
}

/// Receives messages until the connection is lost.
async fn hear_over(server: &Server, hub: &Hub, (sink, stream): &mut Listening) -> StoreError {
    loop {
        match tokio::time::timeout(QUIET, stream.next()).await {
            Ok(Some(message)) => take(hub, message.get_payload_bytes()),
            Ok(None) => return StoreError::new("the connection was closed"),
            Err(_) => {
                let alive = async { sink.ping::<redis::Value>().await.map_err(failed) };
                if let Err(error) = server.within(alive).await {
                    return error;
                }
            }
        }
    }
}

fn take(hub: &Hub, payload: &[u8]) {
    let space = payload.iter().position(|byte| *byte == b' ');
    match space.and_then(|space| Some((std::str::from_utf8(&payload[..space]).ok()?, &payload[space + 1..])))
    {
        Some((publisher, message)) => hub.hear(publisher, message),
        None => tracing::debug!("a message that is not ours"),
    }
}
