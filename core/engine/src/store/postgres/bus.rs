//! Messages between processes: small ones in notifications, large ones in a table to which notifications
//! refer.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_postgres::{AsyncMessage, Client, Notification};

use super::{Database, PostgresStore, failed, values};
use crate::store::background::Pause;
use crate::store::hub::{Hub, Queue};
use crate::store::{Bus, StoreError, Subscriber};

/// Most bytes of a message in a notification, which holds less than 8000 bytes: this many are fewer than 7400
/// as base64, and leave room for the prefix.
const SMALL: usize = 5500;
/// Most messages that are sent at a time.
const MANY: usize = 64;
/// The interval at which a connection without messages is checked.
const QUIET: Duration = Duration::from_secs(10);
/// The number of times that the same messages are sent before they are dropped.
const ATTEMPTS: u32 = 6;

impl Bus for PostgresStore {
    fn publish(&self, message: Bytes) {
        self.hub.publish(message);
    }

    fn subscribe(&self, subscriber: Subscriber) {
        self.hub.subscribe(subscriber);
    }
}

/// Sends the messages that are published here. One batch at a time, so that the order is preserved.
pub(super) async fn publish(database: Arc<Database>, mut queue: Queue) {
    // The database drops duplicate notifications of one transaction, so none are equal.
    let mut number: u64 = 0;
    loop {
        let messages = queue.next(MANY).await;
        if messages.is_empty() {
            return;
        }
        let (mut heads, mut small, mut large) = (Vec::new(), Vec::new(), Vec::new());
        for message in &messages {
            number += 1;
            heads.push(format!("{} {number} ", queue.publisher()));
            let is_small = message.len() <= SMALL;
            small.push(is_small.then(|| BASE64_STANDARD.encode(message)));
            large.push((!is_small).then(|| message.to_vec()));
        }
        // The large messages are stored in the same transaction that announces them.
        let sql = database.config.named(
            "WITH given AS (
                SELECT * FROM unnest($2::text[], $3::text[], $4::bytea[]) WITH ORDINALITY AS given (head, small, large, place)
            ), numbered AS (
                SELECT *, CASE WHEN small IS NULL THEN nextval(pg_get_serial_sequence($5, 'id')) END AS id FROM given
            ), kept AS (
                INSERT INTO @messages (id, at, message) OVERRIDING SYSTEM VALUE
                SELECT id, clock_timestamp(), large FROM numbered WHERE small IS NULL
            ), ordered AS (SELECT * FROM numbered ORDER BY place)
            SELECT pg_notify($1, head || coalesce('m' || small, 'r' || id)) FROM ordered",
        );
        let mut pause = Pause::new();
        for attempt in 1.. {
            let values = values![
                database.config.channel.clone(),
                heads.clone(),
                small.clone(),
                large.clone(),
                database.config.named("@messages"),
            ];
            match database.query(&sql, values).await {
                Ok(_) => break,
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

/// A connection that listens, and its notifications.
pub(super) struct Listening {
    client: Client,
    heard: UnboundedReceiver<Notification>,
}

pub(super) async fn listen(database: &Database) -> Result<Listening, StoreError> {
    let config = &database.config;
    let (client, mut connection) = config.server.connect(config.tls.clone()).await.map_err(failed)?;
    let (sender, heard) = unbounded_channel();
    tokio::spawn(async move {
        // It ends when its client is dropped, or the server is unavailable.
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(notification) = message {
                // The receiver was dropped, and the client will be.
                let _ = sender.send(notification);
            }
        }
    });
    let sql = format!("LISTEN \"{}\"", config.channel);
    client.batch_execute(&sql).await.map_err(failed)?;
    Ok(Listening { client, heard })
}

/// Receives the messages of other processes, over one connection after the other.
pub(super) async fn hear(database: Arc<Database>, hub: Arc<Hub>, mut listening: Listening) {
    loop {
        let lost = hear_over(&database, &hub, &mut listening).await;
        tracing::warn!(error = %lost, "messages of other processes are not heard for a while");
        let mut pause = Pause::new();
        listening = loop {
            match database.within(listen(&database)).await {
                Ok(listening) => break listening,
                Err(error) => tracing::debug!(%error, "the database cannot be listened to"),
            }
            pause.wait().await;
        };
    }
}

/// Receives messages until the connection is lost.
async fn hear_over(database: &Database, hub: &Hub, listening: &mut Listening) -> StoreError {
    loop {
        match tokio::time::timeout(QUIET, listening.heard.recv()).await {
            Ok(Some(notification)) => take(database, hub, notification.payload()).await,
            Ok(None) => return StoreError::new("the connection was closed"),
            Err(_) => {
                let alive = async { listening.client.batch_execute("SELECT 1").await.map_err(failed) };
                if let Err(error) = database.within(alive).await {
                    return error;
                }
            }
        }
    }
}

async fn take(database: &Database, hub: &Hub, payload: &str) {
    let mut parts = payload.splitn(3, ' ');
    let (Some(publisher), Some(_), Some(message)) = (parts.next(), parts.next(), parts.next()) else {
        return tracing::debug!("a notification that is not ours");
    };
    if publisher == hub.publisher() {
        return;
    }
    let message = if let Some(small) = message.strip_prefix('m') {
        BASE64_STANDARD.decode(small).map_err(StoreError::new)
    } else {
        large(database, message.get(1..).unwrap_or_default()).await
    };
    match message {
        Ok(message) => hub.hear(publisher, &message),
        Err(error) => tracing::warn!(%error, "a message of another process could not be read"),
    }
}

async fn large(database: &Database, id: &str) -> Result<Vec<u8>, StoreError> {
    let id: i64 = id.parse().map_err(StoreError::new)?;
    let sql = database.config.named("SELECT message FROM @messages WHERE id = $1");
    let rows = database.query(&sql, values![id]).await?;
    let row = rows.first().ok_or_else(|| StoreError::new("it is gone"))?;
    row.try_get(0).map_err(failed)
}
