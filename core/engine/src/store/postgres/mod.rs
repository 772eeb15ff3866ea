//! A store in a PostgreSQL database for any number of machines.

mod bus;
mod config;
mod credentials;
mod events;
mod layout;
mod sessions;
mod tasks;

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use self::config::Config;
use super::background::Background;
use super::hub::{Hub, Queue};
use super::{StoreError, StoreFuture};

/// The interval at which expired rows are removed.
const SWEEP: Duration = Duration::from_secs(30);

/// A store and a bus in a PostgreSQL database (12 or later), for any number of servers on any number of
/// machines.
///
/// Named by a URL in the format of `psql`: `postgres://user:password@host:5432/database?sslmode=verify-full`.
/// The store itself reads these options of the URL:
///
/// | option | is | default |
/// | --- | --- | --- |
/// | `schema` | the schema of the tables; it is created if it does not exist | the first of the user's `search_path` |
/// | `prefix` | the prefix of the names of the tables | `trunnion_` |
/// | `pool` | most connections, besides the one that listens | `8` |
/// | `timeout_ms` | the time limit of every operation, connecting included, in milliseconds | `5000` |
/// | `sslmode` | `disable`; `prefer`: TLS if the server has it; `require`: TLS, without verification; `verify-full`: with a certificate that the platform, or `sslrootcert`, trusts for this host | `prefer` |
/// | `sslrootcert` | a file of PEM certificates to trust instead of the platform's; with it, `require` verifies as well | none |
///
/// The first opening creates the tables, one process at a time even if many start at once; after that the
/// user needs no right to create. All times are those of the database's clock. The result of a resolved
/// future was committed. Messages between processes use `NOTIFY`, so a pooler in between must preserve
/// sessions (PgBouncer: `pool_mode = session`).
///
/// While the database is unavailable or does not answer, every operation fails within `timeout_ms`;
/// operations succeed again when it has recovered.
pub struct PostgresStore {
    runtime: Background,
    hub: Arc<Hub>,
    state_key: String,
    database: Arc<Database>,
}

/// The part of the store that runs on its runtime.
struct Database {
    pool: Pool,
    config: Config,
}

/// An argument of a statement.
type Value = Box<dyn ToSql + Sync + Send>;

/// Boxes the arguments of a statement.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$(Box::new($value) as $crate::store::postgres::Value),*] };
}
use values;

impl PostgresStore {
    /// Connects to a database, and creates the tables if they do not exist. Fails when it cannot be reached,
    /// when the tables are of a later version, and when an option is wrong; no message has the password.
    pub async fn connect(url: &str) -> Result<PostgresStore, StoreError> {
        let config = Config::parse(url)?;
        let runtime = Background::new("trunnion-postgres")?;
        let (hub, queue) = Hub::new();
        let opened = runtime.run(open(config, hub.clone(), queue)).await;
        let (database, state_key) = opened?;
        Ok(PostgresStore { runtime, hub, state_key, database })
    }

    /// Returns a key for `ServerBuilder::state_keys` that all
    /// processes with these tables share.
    pub fn state_key(&self) -> &str {
        &self.state_key
    }

    /// Runs one statement on the store's runtime; `@` in it stands for the prefix of the names of the tables.
    fn query<T: Send + 'static>(
        &self,
        sql: &str,
        values: Vec<Value>,
        read: impl FnOnce(Vec<Row>) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreFuture<T> {
        let (database, sql) = (self.database.clone(), self.database.config.named(sql));
        self.runtime.run(async move { read(database.query(&sql, values).await?) })
    }

    /// Runs a statement as [`PostgresStore::query`] does that changes a row or none; returns true if it
    /// changed one.
    fn changes(&self, sql: &str, values: Vec<Value>) -> StoreFuture<bool> {
        self.query(sql, values, |rows| Ok(!rows.is_empty()))
    }
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}

async fn open(config: Config, hub: Arc<Hub>, queue: Queue) -> Result<(Arc<Database>, String), StoreError> {
    let pool = config.pool()?;
    let database = Arc::new(Database { pool, config });
    let state_key = database.within(layout::prepare(&database)).await?;
    // A subscriber receives everything from its subscription on, so the connection listens already.
    let listening = database.within(bus::listen(&database)).await?;
    tokio::spawn(bus::hear(database.clone(), hub, listening));
    tokio::spawn(bus::publish(database.clone(), queue));
    tokio::spawn(sweep(database.clone()));
    Ok((database, state_key))
}

impl Database {
    /// Limits the time of a future to that of the store.
    async fn within<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let late =
            |_| StoreError::new(format!("the database did not answer within {:?}", self.config.timeout));
        tokio::time::timeout(self.config.timeout, work).await.map_err(late)?
    }

    async fn query(&self, sql: &str, values: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        let mut taken = None;
        let answer = self
            .within(async {
                let client = taken.insert(self.pool.get().await.map_err(failed)?);
                let statement = client.prepare_cached(sql).await.map_err(failed)?;
                let values: Vec<_> = values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
                client.query(&statement, &values).await.map_err(failed)
            })
            .await;
        if let (Err(_), Some(client)) = (&answer, taken) {
            // The connection itself may be broken; behind a statement that hangs, others would hang.
            drop(Object::take(client));
        }
        answer
    }
}

/// Returns the error of an operation: without the details of a database's error, which quote values.
fn failed(error: impl std::error::Error + 'static) -> StoreError {
    let mut message = String::new();
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(error) = next {
        if !message.is_empty() {
            message.push_str(": ");
        }
        match error.downcast_ref::<tokio_postgres::error::DbError>() {
            Some(error) => message.push_str(&format!("{} ({})", error.message(), error.code().code())),
            None => message.push_str(&error.to_string()),
        }
        next = error.source();
    }
    StoreError::new(message)
}

/// Returns a time in microseconds, as the database reads intervals; out of range means "for a hundred years".
fn micros(time: Duration) -> f64 {
    super::background::millis(time) as f64 * 1000.0 + f64::from(time.subsec_micros() % 1000)
}

/// Converts a number to the type of the database. Numbers out of range were not issued by this store.
fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn uint(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn text(bytes: Vec<u8>) -> Result<String, StoreError> {
    String::from_utf8(bytes).map_err(|_| StoreError::new("what the database holds is no text"))
}

/// Removes expired rows, a few at a time; other processes do the same, and none waits for another.
async fn sweep(database: Arc<Database>) {
    const MANY: usize = 500;
    loop {
        let mut swept = 0;
        for sql in layout::SWEEP {
            match database.query(&database.config.named(sql), Vec::new()).await {
                Ok(rows) => swept = swept.max(rows.len()),
                Err(error) => tracing::debug!(%error, "what is over could not be removed"),
            }
        }
        if swept < MANY {
            tokio::time::sleep(SWEEP).await;
        }
    }
}
