//! One file for all processes of one machine.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};
use tokio::sync::oneshot;

use super::{
    Append, Bus, EventStore, Replay, SessionRecord, SessionStore, StoreError, StoreFuture, StoredEvent,
    StreamKey, Subscriber,
};
use crate::server::seal::{random, random_id};

/// The layout of the file.
const LAYOUT: i64 = 1;
/// How long an access waits for that of another process.
const BUSY: Duration = Duration::from_secs(5);
/// How long messages are there for those who have not looked: far more often than that they do.
const MESSAGES_KEPT: Duration = Duration::from_secs(60);
/// How often what is over is removed.
const SWEEP: Duration = Duration::from_secs(30);
/// How often messages of other processes are looked for: shortly after there was something, and else.
const LOOK: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(50));
/// For how long after there was something.
const LIVELY: Duration = Duration::from_secs(1);

/// A store and a bus in one SQLite file, for any number of servers and processes of one machine.
///
/// The file is made if it is not there, for this user only: whoever reads it can go on with any session. It has to be on a disk of
/// this machine; SQLite's locks do not work on network shares. Messages of another process are heard within 50 ms. Times are
/// those of the system's clock.
pub struct SqliteStore {
    path: PathBuf,
    state_key: String,
    jobs: mpsc::Sender<Job>,
}

enum Job {
    Run(Box<dyn FnOnce(&mut Connection) + Send>),
    Publish(Bytes),
    Subscribe(Subscriber),
}

impl SqliteStore {
    /// Open a file, or make it. Fails when that cannot be done, or when the file is another program's or of a later version.
    pub fn open(path: impl AsRef<Path>) -> Result<SqliteStore, StoreError> {
        let path = path.as_ref();
        let failed = |error: &dyn std::fmt::Display| StoreError::new(format!("{}: {error}", path.display()));
        // Made here, for SQLite would let everybody read it; its other files take the mode of this one.
        let made = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
        made.map_err(|error| failed(&error))?;
        let (connection, state_key) = prepare(path).map_err(|error| failed(&error))?;
        let (jobs, queue) = mpsc::channel();
        std::thread::Builder::new()
            .name("trunnion-sqlite".into())
            .spawn(move || Worker::new(connection).run(&queue))
            .map_err(|error| failed(&error))?;
        Ok(SqliteStore { path: path.to_owned(), state_key, jobs })
    }

    /// A key for [`ServerBuilder::state_keys`](crate::server::ServerBuilder::state_keys) that all who open the file have.
    pub fn state_key(&self) -> &str {
        &self.state_key
    }

    /// Read on the thread of the connection.
    fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> StoreFuture<T> {
        self.run(TransactionBehavior::Deferred, work)
    }

    /// Change something on the thread of the connection.
    fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> StoreFuture<T> {
        self.run(TransactionBehavior::Immediate, work)
    }

    fn run<T: Send + 'static>(
        &self,
        behavior: TransactionBehavior,
        work: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> StoreFuture<T> {
        let (done, answer) = oneshot::channel();
        let job = move |connection: &mut Connection| {
            let result = connection.transaction_with_behavior(behavior).and_then(|transaction| {
                let result = work(&transaction)?;
                transaction.commit()?;
                Ok(result)
            });
            // Nobody may want to know any more.
            let _ = done.send(result.map_err(StoreError::new));
        };
        // The thread ends with the store, not before.
        let sent = self.jobs.send(Job::Run(Box::new(job)));
        Box::pin(async move {
            let gone = || StoreError::new("the store's thread has ended");
            sent.map_err(|_| gone())?;
            answer.await.map_err(|_| gone())?
        })
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).finish_non_exhaustive()
    }
}

fn prepare(path: &Path) -> Result<(Connection, String), Box<dyn std::error::Error>> {
    // A path, never a URI; only the one thread uses the connection.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // In WAL mode a crash of the machine may cost the last transactions, never the file.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let layout: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
    match (layout, tables) {
        (LAYOUT, _) => {}
        (0, 0) => {
            transaction.execute_batch(
                "CREATE TABLE sessions (
                    id TEXT PRIMARY KEY, version INTEGER NOT NULL, text TEXT NOT NULL, until INTEGER NOT NULL
                ) WITHOUT ROWID;
                CREATE TABLE streams (
                    session TEXT NOT NULL, stream INTEGER NOT NULL, newest INTEGER NOT NULL, over INTEGER NOT NULL,
                    until INTEGER NOT NULL, PRIMARY KEY (session, stream)
                ) WITHOUT ROWID;
                CREATE TABLE events (
                    session TEXT NOT NULL, stream INTEGER NOT NULL, number INTEGER NOT NULL, message BLOB NOT NULL,
                    PRIMARY KEY (session, stream, number)
                );
                CREATE TABLE messages (
                    id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, publisher TEXT NOT NULL,
                    message BLOB NOT NULL
                );
                CREATE TABLE keys (name TEXT PRIMARY KEY, key TEXT NOT NULL) WITHOUT ROWID;
                CREATE INDEX sessions_until ON sessions (until);
                CREATE INDEX streams_until ON streams (until);",
            )?;
            let key = BASE64_STANDARD.encode(random::<32>());
            transaction.execute("INSERT INTO keys (name, key) VALUES ('state', ?1)", params![key])?;
            transaction.pragma_update(None, "user_version", LAYOUT)?;
        }
        (0, _) => return Err("the file is another program's".into()),
        (other, _) => return Err(format!("the file has layout {other}; this version knows {LAYOUT}").into()),
    }
    let sql = "SELECT key FROM keys WHERE name = 'state'";
    let key = transaction.query_row(sql, (), |row| row.get(0))?;
    transaction.commit()?;
    Ok((connection, key))
}

/// Milliseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn until(keep: Duration) -> i64 {
    now().saturating_add(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX))
}

/// As SQLite counts. What counts further than that is not ours.
fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn uint(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

impl SessionStore for SqliteStore {
    fn insert(&self, id: &str, text: &str, keep: Duration) -> StoreFuture<()> {
        let (id, text) = (id.to_owned(), text.to_owned());
        self.write(move |db| {
            db.prepare_cached("INSERT INTO sessions (id, version, text, until) VALUES (?1, 1, ?2, ?3)")?
                .execute(params![id, text, until(keep)])?;
            Ok(())
        })
    }

    fn load(&self, id: &str) -> StoreFuture<Option<SessionRecord>> {
        let id = id.to_owned();
        self.read(move |db| {
            db.prepare_cached("SELECT version, text FROM sessions WHERE id = ?1 AND until > ?2")?
                .query_row(params![id, now()], |row| {
                    Ok(SessionRecord { version: uint(row.get(0)?), text: row.get(1)? })
                })
                .optional()
        })
    }

    fn replace(&self, id: &str, version: u64, text: &str) -> StoreFuture<bool> {
        let (id, text) = (id.to_owned(), text.to_owned());
        self.write(move |db| {
            let sql = "UPDATE sessions SET version = version + 1, text = ?3
                WHERE id = ?1 AND version = ?2 AND until > ?4";
            Ok(db.prepare_cached(sql)?.execute(params![id, int(version), text, now()])? == 1)
        })
    }

    fn touch(&self, id: &str, keep: Duration) -> StoreFuture<bool> {
        let id = id.to_owned();
        self.write(move |db| {
            let sql = "UPDATE sessions SET until = ?2 WHERE id = ?1 AND until > ?3";
            Ok(db.prepare_cached(sql)?.execute(params![id, until(keep), now()])? == 1)
        })
    }

    fn remove(&self, id: &str) -> StoreFuture<bool> {
        let id = id.to_owned();
        self.write(move |db| {
            let sql = "DELETE FROM sessions WHERE id = ?1 RETURNING until";
            let until: Option<i64> =
                db.prepare_cached(sql)?.query_row(params![id], |row| row.get(0)).optional()?;
            Ok(until.is_some_and(|until| until > now()))
        })
    }
}

impl EventStore for SqliteStore {
    fn append(&self, key: &StreamKey, append: Append) -> StoreFuture<()> {
        let StreamKey { session, stream } = key.clone();
        let stream = int(stream);
        self.write(move |db| {
            let sql = "SELECT newest, until FROM streams WHERE session = ?1 AND stream = ?2";
            let known: Option<(i64, i64)> = db
                .prepare_cached(sql)?
                .query_row(params![session, stream], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let mut newest = match known {
                Some((newest, until)) if until > now() => newest,
                // What is left of one whose time is over.
                Some(_) => {
                    remove_stream(db, &session, stream)?;
                    0
                }
                None => 0,
            };
            let sql = "INSERT INTO events (session, stream, number, message) VALUES (?1, ?2, ?3, ?4)";
            let mut insert = db.prepare_cached(sql)?;
            for StoredEvent { number, message } in append.events {
                if int(number) > newest {
                    newest = int(number);
                    insert.execute(params![session, stream, newest, &message[..]])?;
                }
            }
            let sql = "DELETE FROM events WHERE session = ?1 AND stream = ?2 AND number < ?3";
            db.prepare_cached(sql)?.execute(params![session, stream, int(append.oldest)])?;
            let sql = "INSERT INTO streams (session, stream, newest, over, until) VALUES (?1, ?2, ?3, ?4, ?5)
                ON CONFLICT DO UPDATE SET newest = excluded.newest, over = over OR excluded.over, until = excluded.until";
            let values = params![session, stream, newest, append.over, until(append.keep)];
            db.prepare_cached(sql)?.execute(values)?;
            Ok(())
        })
    }

    fn read(&self, key: &StreamKey, after: u64) -> StoreFuture<Option<Replay>> {
        let StreamKey { session, stream } = key.clone();
        self.read(move |db| {
            let sql = "SELECT newest, over FROM streams WHERE session = ?1 AND stream = ?2 AND until > ?3";
            let known: Option<(i64, bool)> = db
                .prepare_cached(sql)?
                .query_row(params![session, int(stream), now()], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((newest, over)) = known else { return Ok(None) };
            let newest = uint(newest);
            let sql = "SELECT number, message FROM events
                WHERE session = ?1 AND stream = ?2 AND number > ?3 ORDER BY number";
            let events: Vec<StoredEvent> = db
                .prepare_cached(sql)?
                .query_map(params![session, int(stream), int(after)], |row| {
                    let message: Vec<u8> = row.get(1)?;
                    Ok(StoredEvent { number: uint(row.get(0)?), message: Bytes::from(message) })
                })?
                .collect::<Result<_, _>>()?;
            let first = events.first().map_or(newest + 1, |event| event.number);
            let is_kept = after <= newest && first == after + 1;
            Ok(is_kept.then_some(Replay { events, over }))
        })
    }

    fn remove(&self, session: &str, stream: Option<u64>) -> StoreFuture<()> {
        let session = session.to_owned();
        self.write(move |db| match stream {
            Some(stream) => remove_stream(db, &session, int(stream)),
            None => {
                for sql in ["DELETE FROM events WHERE session = ?1", "DELETE FROM streams WHERE session = ?1"]
                {
                    db.prepare_cached(sql)?.execute(params![session])?;
                }
                Ok(())
            }
        })
    }
}

fn remove_stream(db: &Connection, session: &str, stream: i64) -> rusqlite::Result<()> {
    for table in ["events", "streams"] {
        let sql = format!("DELETE FROM {table} WHERE session = ?1 AND stream = ?2");
        db.prepare_cached(&sql)?.execute(params![session, stream])?;
    }
    Ok(())
}

impl Bus for SqliteStore {
    fn publish(&self, message: Bytes) {
        let _ = self.jobs.send(Job::Publish(message));
    }

    fn subscribe(&self, subscriber: Subscriber) {
        let _ = self.jobs.send(Job::Subscribe(subscriber));
    }
}

/// The thread of the connection: everything is done in the order in which it was asked for.
struct Worker {
    connection: Connection,
    subscribers: Vec<Subscriber>,
    /// Marks what was published here.
    publisher: String,
    /// The newest message that was heard.
    heard: i64,
    /// What SQLite says of the changes of others.
    data_version: i64,
    lively_until: Instant,
    next_sweep: Instant,
}

impl Worker {
    fn new(connection: Connection) -> Worker {
        let now = Instant::now();
        Worker {
            connection,
            subscribers: Vec::new(),
            publisher: random_id(),
            heard: 0,
            data_version: 0,
            lively_until: now,
            next_sweep: now,
        }
    }

    fn run(mut self, queue: &mpsc::Receiver<Job>) {
        loop {
            let now = Instant::now();
            let pause = if self.subscribers.is_empty() {
                SWEEP
            } else if now < self.lively_until {
                LOOK.0
            } else {
                LOOK.1
            };
            match queue.recv_timeout(pause) {
                Ok(job) => self.take(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let looked = self.look().and_then(|()| self.sweep());
            if let Err(error) = looked {
                tracing::warn!(%error, "the store cannot be read; messages of other processes are not heard");
                // Not as often as it could be asked again.
                self.lively_until = now;
            }
        }
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Run(job) => job(&mut self.connection),
            Job::Publish(message) => {
                let sql = "INSERT INTO messages (at, publisher, message) VALUES (?1, ?2, ?3)";
                let published = self
                    .connection
                    .prepare_cached(sql)
                    .and_then(|mut insert| insert.execute(params![now(), self.publisher, &message[..]]));
                if let Err(error) = published {
                    tracing::warn!(%error, "a message could not be published");
                }
                // Other servers of this very store.
                self.deliver(&message);
                self.lively_until = Instant::now() + LIVELY;
            }
            Job::Subscribe(subscriber) => {
                if self.subscribers.is_empty() {
                    let sql = "SELECT coalesce(max(id), 0) FROM messages";
                    self.heard = self.connection.query_row(sql, (), |row| row.get(0)).unwrap_or(self.heard);
                }
                self.subscribers.push(subscriber);
            }
        }
    }

    fn deliver(&mut self, message: &[u8]) {
        self.subscribers.retain(|subscriber| subscriber.deliver(message));
    }

    /// Hear what other processes have published.
    fn look(&mut self) -> rusqlite::Result<()> {
        if self.subscribers.is_empty() {
            return Ok(());
        }
        // Changes with the commits of others only, and costs no more than a look at shared memory.
        let version = self.connection.pragma_query_value(None, "data_version", |row| row.get(0))?;
        if version == self.data_version {
            return Ok(());
        }
        let messages: Vec<(i64, Vec<u8>)> = self
            .connection
            .prepare_cached("SELECT id, message FROM messages WHERE id > ?1 AND publisher <> ?2 ORDER BY id")?
            .query_map(params![self.heard, self.publisher], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        self.data_version = version;
        for (id, message) in messages {
            self.heard = id;
            self.lively_until = Instant::now() + LIVELY;
            self.deliver(&message);
        }
        Ok(())
    }

    /// Remove what is over.
    fn sweep(&mut self) -> rusqlite::Result<()> {
        let at = Instant::now();
        if at < self.next_sweep {
            return Ok(());
        }
        self.next_sweep = at + SWEEP;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let now = now();
        transaction.execute("DELETE FROM sessions WHERE until <= ?1", params![now])?;
        transaction.execute(
            "DELETE FROM events WHERE (session, stream) IN (SELECT session, stream FROM streams WHERE until <= ?1)",
            params![now],
        )?;
        transaction.execute("DELETE FROM streams WHERE until <= ?1", params![now])?;
        let old = now.saturating_sub(i64::try_from(MESSAGES_KEPT.as_millis()).unwrap_or(i64::MAX));
        transaction.execute("DELETE FROM messages WHERE at < ?1", params![old])?;
        transaction.commit()
    }
}
