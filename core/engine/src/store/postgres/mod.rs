//! A PostgreSQL database for any number of machines.

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

/// How often what is over is removed.
const SWEEP: Duration = Duration::from_secs(30);

/// A store and a bus in a PostgreSQL database (12 or later), for any number of servers on any number of machines.
///
/// Named by a URL as `psql` takes it: `postgres://user:password@host:5432/database?sslmode=verify-full`. Options of it that are
/// the store's own:
///
/// | option | is | default |
/// | --- | --- | --- |
/// | `schema` | the schema of the tables; it is made if it is not there | the first of the user's `search_path` |
/// | `prefix` | what the names of the tables begin with | `trunnion_` |
/// | `pool` | how many connections there are at most, besides the one that listens | `8` |
/// | `timeout_ms` | how long anything may take, connecting included, in milliseconds | `5000` |
/// | `sslmode` | `disable`; `prefer`: TLS if the server has it; `require`: TLS, with whomever; `verify-full`: with a certificate that the platform, or `sslrootcert`, trusts for this host | `prefer` |
/// | `sslrootcert` | a file of PEM certificates to trust instead of the platform's; with it, `require` verifies as well | none |
///
/// Tables are made at the first opening, one at a time even if many processes start at once; after that the user need not be
/// allowed to. All times are those of the database's clock. What a future has resolved to was committed. Messages between processes
/// go by `NOTIFY`, so a pooler between must keep sessions (PgBouncer: `pool_mode = session`).
///
/// While the database is down or does not answer, everything fails within `timeout_ms`, and works again when it is back.
pub struct PostgresStore {
    runtime: Background,
    hub: Arc<Hub>,
    state_key: String,
    database: Arc<Database>,
}

/// What runs on the store's runtime.
struct Database {
    pool: Pool,
    config: Config,
}

/// What a statement is given.
type Value = Box<dyn ToSql + Sync + Send>;

/// Boxes what a statement is given.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$(Box::new($value) as $crate::store::postgres::Value),*] };
}
use values;

impl PostgresStore {
    /// Connect to a database, and make the tables if they are not there. Fails when it cannot be reached, when the tables are
    /// of a later version, and when an option is wrong; no message has the password.
    pub async fn connect(url: &str) -> Result<PostgresStore, StoreError> {
        let config = Config::parse(url)?;
        let runtime = Background::new("trunnion-postgres")?;
        let (hub, queue) = Hub::new();
        let opened = runtime.run(open(config, hub.clone(), queue)).await;
        let (database, state_key) = opened?;
        Ok(PostgresStore { runtime, hub, state_key, database })
    }

    /// A key for [`ServerBuilder::state_keys`](crate::server::ServerBuilder::state_keys) that all who open these tables have.
    pub fn state_key(&self) -> &str {
        &self.state_key
    }

    /// Run one statement on the store's runtime; `@` in it stands for the beginning of the names of the tables.
    fn query<T: Send + 'static>(
        &self,
        sql: &str,
        values: Vec<Value>,
        read: impl FnOnce(Vec<Row>) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreFuture<T> {
        let (database, sql) = (self.database.clone(), self.database.config.named(sql));
        self.runtime.run(async move { read(database.query(&sql, values).await?) })
    }

    /// [`PostgresStore::query`] of a statement that changes a row or none: whether it did.
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
    // Who subscribes hears everything from then on, so it listens already.
    let listening = database.within(bus::listen(&database)).await?;
    tokio::spawn(bus::hear(database.clone(), hub, listening));
    tokio::spawn(bus::publish(database.clone(), queue));
    tokio::spawn(sweep(database.clone()));
    Ok((database, state_key))
}

impl Database {
    /// Not for longer than the store may take.
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
            // It may be the connection that is broken; behind a statement that hangs, others would hang.
            drop(Object::take(client));
        }
        answer
    }
}

/// What went wrong: without the details of a database's error, which quote values.
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

/// Microseconds of a time, as the database reads intervals; out of range means "for a hundred years".
fn micros(time: Duration) -> f64 {
    super::background::millis(time) as f64 * 1000.0 + f64::from(time.subsec_micros() % 1000)
}

/// As the database counts. What counts further than that is not ours.
fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn uint(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn text(bytes: Vec<u8>) -> Result<String, StoreError> {
    String::from_utf8(bytes).map_err(|_| StoreError::new("what the database holds is no text"))
}

/// Remove what is over, a little at a time; other processes do the same, and none waits for another.
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
