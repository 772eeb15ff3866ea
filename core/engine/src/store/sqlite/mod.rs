//! A store in one file for all processes of one machine.

mod clock;
mod credentials;
mod events;
mod sessions;
mod tasks;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, params};
use tokio::sync::oneshot;

use self::clock::{now, until};
use self::worker::{Done, Job, Needs, Worker};
use super::{Bus, StoreError, StoreFuture, Subscriber};
use crate::driver::files;
use crate::random::random;

/// The version of the layout of the file. 1: sessions, streams and messages. 2: tasks and credentials as
/// well. 3: summaries of tasks, the size of each, and the file's own time.
const LAYOUT: i64 = 3;
/// The time that an access waits for that of another process.
const BUSY: Duration = Duration::from_secs(5);

/// A store and a bus in one SQLite file, for any number of servers and processes of one machine.
///
/// The file is created if it does not exist, for this user only: any reader of it could use every session. It
/// has to be on a disk of this machine; SQLite's locks do not work on network shares. Messages of another
/// process arrive within 50 ms. Times on Linux are those of a clock that is never set and that stops while
/// the machine sleeps, elsewhere the time of day. The result of a resolved future of a
/// [`TaskStore`](super::TaskStore) or a [`CredentialStore`](super::CredentialStore) is on the disk; of
/// sessions, streams and messages a crash of the machine, not of a process, may cost the last.
pub struct SqliteStore {
    path: PathBuf,
    state_key: String,
    jobs: mpsc::Sender<Job>,
}

impl SqliteStore {
    /// Opens or creates a file. Fails when that cannot be done, or when the file is another program's or of a
    /// later version.
    pub fn open(path: impl AsRef<Path>) -> Result<SqliteStore, StoreError> {
        let path = path.as_ref();
        let failed = |error: &dyn std::fmt::Display| StoreError::new(format!("{}: {error}", path.display()));
        // Created here, because SQLite would let every user read it; its other files take the mode of this
        // one.
        let made = files::open(path);
        made.map_err(|error| failed(&error))?;
        let (connection, state_key, ahead) = prepare(path).map_err(|error| failed(&error))?;
        let (jobs, queue) = mpsc::channel();
        std::thread::Builder::new()
            .name("trunnion-sqlite".into())
            .spawn(move || {
                clock::work_by(ahead);
                Worker::new(connection).run(&queue);
            })
            .map_err(|error| failed(&error))?;
        Ok(SqliteStore { path: path.to_owned(), state_key, jobs })
    }

    /// Returns a key for `ServerBuilder::state_keys` that all
    /// processes with this file share.
    pub fn state_key(&self) -> &str {
        &self.state_key
    }

    /// Reads on the thread of the connection.
    fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> StoreFuture<T> {
        self.run(Needs::Read, work)
    }

    /// Writes on the thread of the connection.
    fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> StoreFuture<T> {
        self.run(Needs::Write, work)
    }

    /// Writes on the thread of the connection; the change is on the disk when the future resolves.
    fn write_durably<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> StoreFuture<T> {
        self.run(Needs::Durable, work)
    }

    fn run<T: Send + 'static>(
        &self,
        needs: Needs,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> StoreFuture<T> {
        let (done, answer) = oneshot::channel();
        let job = move |connection: Result<&Connection, StoreError>| {
            let result = connection.and_then(|connection| work(connection).map_err(StoreError::new));
            let keep = result.is_ok();
            // The caller may no longer wait.
            let answer = move |committed: Result<(), StoreError>| {
                drop(done.send(result.and_then(|result| committed.map(|()| result))));
            };
            Done { keep, answer: Box::new(answer) }
        };
        // The thread ends with the store, not before.
        let sent = self.jobs.send(Job::Run(needs, Box::new(job)));
        Box::pin(async move {
            sent.map_err(|_| gone())?;
            answer.await.map_err(|_| gone())?
        })
    }
}

fn gone() -> StoreError {
    StoreError::new("the store's thread has ended")
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Returns the connection, the key that all processes with this file share, and the offset by which its time
/// is ahead of the platform's clock.
fn prepare(path: &Path) -> Result<(Connection, String, Option<i64>), Box<dyn std::error::Error>> {
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
            first(&transaction)?;
            second(&transaction)?;
            third(&transaction)?;
        }
        (1, _) => {
            second(&transaction)?;
            third(&transaction)?;
        }
        (2, _) => third(&transaction)?,
        (0, _) => return Err("the file is another program's".into()),
        (other, _) => return Err(format!("the file has layout {other}; this version knows {LAYOUT}").into()),
    }
    transaction.pragma_update(None, "user_version", LAYOUT)?;
    let sql = "SELECT key FROM keys WHERE name = 'state'";
    let key = transaction.query_row(sql, (), |row| row.get(0))?;
    let ahead = clock::ahead(&transaction)?;
    transaction.commit()?;
    Ok((connection, key, ahead))
}

fn first(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
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
    Ok(())
}

/// Processes of earlier versions continue beside it.
fn second(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "CREATE TABLE tasks (
            number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, version INTEGER NOT NULL,
            owner TEXT NOT NULL, due INTEGER, until INTEGER, text TEXT NOT NULL
        );
        CREATE INDEX tasks_owner ON tasks (owner, number);
        CREATE INDEX tasks_due ON tasks (due) WHERE due IS NOT NULL;
        CREATE INDEX tasks_until ON tasks (until) WHERE until IS NOT NULL;
        CREATE TABLE credentials (
            server TEXT PRIMARY KEY, version INTEGER NOT NULL, text TEXT NOT NULL
        );
        CREATE TABLE turns (name TEXT PRIMARY KEY, holder TEXT NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID;",
    )
}

/// Processes of earlier versions continue beside it: they write neither the new columns nor `summarized`, the
/// version to which the summary belongs. The text comes last, so that none of it is read where it is not
/// needed. The quota of an owner is counted for writes of all versions.
fn third(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "CREATE TABLE tasks_of_now (
            number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, version INTEGER NOT NULL,
            owner TEXT NOT NULL, due INTEGER, until INTEGER, over INTEGER, bytes INTEGER, summarized INTEGER,
            summary TEXT, text TEXT NOT NULL
        );
        INSERT INTO tasks_of_now (number, id, version, owner, due, until, text)
            SELECT number, id, version, owner, due, until, text FROM tasks;
        DROP TABLE tasks;
        ALTER TABLE tasks_of_now RENAME TO tasks;
        CREATE INDEX tasks_owner ON tasks (owner, number);
        CREATE INDEX tasks_due ON tasks (due) WHERE due IS NOT NULL;
        CREATE INDEX tasks_until ON tasks (until) WHERE until IS NOT NULL;
        CREATE INDEX tasks_over ON tasks (owner, number) WHERE over = 1;
        CREATE TABLE clocks (boot TEXT PRIMARY KEY, ahead INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE kept (
            owner TEXT PRIMARY KEY, tasks INTEGER NOT NULL, bytes INTEGER NOT NULL
        ) WITHOUT ROWID;
        INSERT INTO kept SELECT owner, count(*), sum(length(CAST(text AS BLOB))) FROM tasks GROUP BY owner;
        CREATE TRIGGER tasks_inserted AFTER INSERT ON tasks BEGIN
            INSERT INTO kept VALUES (NEW.owner, 1, CASE WHEN NEW.summarized = NEW.version THEN NEW.bytes
                ELSE length(CAST(NEW.text AS BLOB)) END)
                ON CONFLICT (owner) DO UPDATE SET tasks = tasks + 1, bytes = bytes + excluded.bytes;
        END;
        CREATE TRIGGER tasks_replaced AFTER UPDATE OF text ON tasks BEGIN
            UPDATE kept SET bytes = bytes
                + CASE WHEN NEW.summarized = NEW.version THEN NEW.bytes ELSE length(CAST(NEW.text AS BLOB)) END
                - CASE WHEN OLD.summarized = OLD.version THEN OLD.bytes ELSE length(CAST(OLD.text AS BLOB)) END
                WHERE owner = NEW.owner;
        END;
        CREATE TRIGGER tasks_deleted AFTER DELETE ON tasks BEGIN
            UPDATE kept SET tasks = tasks - 1, bytes = bytes
                - CASE WHEN OLD.summarized = OLD.version THEN OLD.bytes ELSE length(CAST(OLD.text AS BLOB)) END
                WHERE owner = OLD.owner;
            DELETE FROM kept WHERE owner = OLD.owner AND tasks = 0;
        END;",
    )
}

/// Converts a number to the type of SQLite. Numbers out of range were not issued by this store.
fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn uint(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

impl Bus for SqliteStore {
    fn publish(&self, message: Bytes) {
        let _ = self.jobs.send(Job::Publish(message));
    }

    fn subscribe(&self, subscriber: Subscriber) {
        let (done, heard) = mpsc::channel();
        let _ = self.jobs.send(Job::Subscribe(subscriber, done));
        // The next message of another process must be delivered, so the newest published one must be known
        // now.
        let _ = heard.recv();
    }
}
