//! The thread of the connection: jobs run in the order of their requests, and are committed together.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use tokio::sync::oneshot;

use super::{now, until};
use crate::random::random_id;
use crate::store::Turn;
use crate::store::credentials::{LEASE, RENEW};
use crate::store::{StoreError, Subscriber};

/// The time for which messages stay for other processes, which poll far more often.
const MESSAGES_KEPT: Duration = Duration::from_secs(60);
/// The interval at which expired rows are removed.
const SWEEP: Duration = Duration::from_secs(30);
/// Most tasks that are removed at a time, for they can be large.
const SWEPT: i64 = 500;
/// The interval at which messages of other processes are polled: shortly after activity, and otherwise.
const LOOK: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(50));
/// The time after activity in which the shorter interval applies.
const LIVELY: Duration = Duration::from_secs(1);
/// Most jobs that are committed together: a slow commit of a disk then serves all of them.
const BATCH: usize = 128;

pub(super) enum Job {
    Run(Needs, Work),
    Publish(Bytes),
    Subscribe(Subscriber, mpsc::Sender<()>),
    Turn(Waiting),
    Release { name: String, holder: String },
}

/// The kind of transaction that a job needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Needs {
    Read,
    /// A crash of the machine may cost the last of these, never the file.
    Write,
    /// On the disk when it is done.
    Durable,
}

/// A job that works in a transaction, if there is one, and returns its result.
pub(super) type Work = Box<dyn FnOnce(Result<&Connection, StoreError>) -> Done + Send>;

pub(super) struct Done {
    /// True if its changes are to be committed.
    pub keep: bool,
    /// A callback with the result of the commit.
    pub answer: Box<dyn FnOnce(Result<(), StoreError>)>,
}

/// A caller that waits for a lock.
pub(super) struct Waiting {
    pub name: String,
    pub holder: String,
    pub done: oneshot::Sender<Result<Turn, StoreError>>,
    pub jobs: mpsc::Sender<Job>,
}

/// A lock, for as long as it lives.
struct Held {
    name: String,
    holder: String,
    jobs: mpsc::Sender<Job>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let (name, holder) = (std::mem::take(&mut self.name), std::mem::take(&mut self.holder));
        let _ = self.jobs.send(Job::Release { name, holder });
    }
}

pub(super) struct Worker {
    connection: Connection,
    /// True if a commit waits for the disk.
    durable: bool,
    subscribers: Vec<Subscriber>,
    /// Marks messages that were published here.
    publisher: String,
    /// The newest message that was delivered.
    heard: i64,
    /// The version by which SQLite reports changes of other connections.
    data_version: i64,
    lively_until: Instant,
    next_sweep: Instant,
    waiting: Vec<Waiting>,
    /// The locks that are held: name and holder.
    held: Vec<(String, String)>,
    next_renewal: Instant,
}

impl Worker {
    pub(super) fn new(connection: Connection) -> Worker {
        let now = Instant::now();
        Worker {
            connection,
            durable: false,
            subscribers: Vec::new(),
            publisher: random_id(),
            heard: 0,
            data_version: 0,
            lively_until: now,
            next_sweep: now,
            waiting: Vec::new(),
            held: Vec::new(),
            next_renewal: now,
        }
    }

    pub(super) fn run(mut self, queue: &mpsc::Receiver<Job>) {
        loop {
            let now = Instant::now();
            match queue.recv_timeout(self.pause(now)) {
                Ok(job) => self.take(job, queue),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let looked = self.look().and_then(|()| self.turns()).and_then(|()| self.sweep());
            if let Err(error) = looked {
                tracing::warn!(%error, "the store cannot be read; messages of other processes are not heard");
                // Not as often as it could be polled.
                self.lively_until = now;
            }
        }
    }

    fn pause(&self, now: Instant) -> Duration {
        let pause = match () {
            () if !self.subscribers.is_empty() && now < self.lively_until => LOOK.0,
            () if !self.subscribers.is_empty() || !self.waiting.is_empty() => LOOK.1,
            () => SWEEP,
        };
        if self.held.is_empty() { pause } else { pause.min(self.next_renewal.saturating_duration_since(now)) }
    }

    /// Runs this job, and those that have arrived meanwhile.
    fn take(&mut self, job: Job, queue: &mpsc::Receiver<Job>) {
        let mut next = Some(job);
        while let Some(job) = next.take() {
            match job {
                Job::Run(..) | Job::Publish(_) => {
                    let mut batch = vec![job];
                    while batch.len() < BATCH {
                        match queue.try_recv() {
                            Ok(job @ (Job::Run(..) | Job::Publish(_))) => batch.push(job),
                            other => {
                                next = other.ok();
                                break;
                            }
                        }
                    }
                    self.commit(batch);
                }
                Job::Subscribe(subscriber, done) => {
                    if self.subscribers.is_empty() {
                        let sql = "SELECT coalesce(max(id), 0) FROM messages";
                        self.heard =
                            self.connection.query_row(sql, (), |row| row.get(0)).unwrap_or(self.heard);
                    }
                    self.subscribers.push(subscriber);
                    let _ = done.send(());
                }
                Job::Turn(waiting) => self.waiting.push(waiting),
                Job::Release { name, holder } => self.release(&name, &holder),
            }
        }
    }

    fn commit(&mut self, batch: Vec<Job>) {
        let (mut answers, mut messages) = (Vec::new(), Vec::new());
        let committed = self.write(batch, &mut answers, &mut messages);
        if let (Err(error), false) = (&committed, messages.is_empty()) {
            tracing::warn!(%error, "messages could not be published to other processes");
        }
        for done in answers {
            (done.answer)(committed.clone());
        }
        for message in messages {
            // Other servers with this very store.
            self.deliver(&message);
            self.lively_until = Instant::now() + LIVELY;
        }
    }

    fn write(
        &mut self,
        batch: Vec<Job>,
        answers: &mut Vec<Done>,
        messages: &mut Vec<Bytes>,
    ) -> Result<(), StoreError> {
        let needs = batch.iter().map(|job| match job {
            Job::Run(needs, _) => *needs,
            _ => Needs::Write,
        });
        let needs = needs.max().unwrap_or(Needs::Read);
        let mut begun = begin(&mut self.connection, &mut self.durable, needs).map_err(StoreError::new);
        for job in batch {
            match (job, &mut begun) {
                (Job::Run(_, work), Err(error)) => answers.push(work(Err(error.clone()))),
                (Job::Run(Needs::Read, work), Ok(transaction)) => answers.push(work(Ok(transaction))),
                (Job::Run(_, work), Ok(transaction)) => answers.push(within(transaction, work)),
                (Job::Publish(message), begun) => {
                    if let Ok(transaction) = begun {
                        let sql = "INSERT INTO messages (at, publisher, message) VALUES (?1, ?2, ?3)";
                        let published = transaction.prepare_cached(sql).and_then(|mut insert| {
                            insert.execute(params![now(), self.publisher, &message[..]])
                        });
                        if let Err(error) = published {
                            tracing::warn!(%error, "a message could not be published");
                        }
                    }
                    messages.push(message);
                }
                // They are no part of a transaction.
                (Job::Subscribe(..) | Job::Turn(_) | Job::Release { .. }, _) => {}
            }
        }
        begun?.commit().map_err(StoreError::new)
    }

    fn deliver(&mut self, message: &[u8]) {
        self.subscribers.retain(|subscriber| subscriber.deliver(message));
    }

    /// Delivers the messages that other processes have published.
    fn look(&mut self) -> rusqlite::Result<()> {
        if self.subscribers.is_empty() {
            return Ok(());
        }
        // It changes only with commits of other connections, and costs no more than a read of shared memory.
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

    /// Grants locks to waiting callers, and renews the held ones.
    fn turns(&mut self) -> rusqlite::Result<()> {
        self.waiting.retain(|waiting| !waiting.done.is_closed());
        for index in (0..self.waiting.len()).rev() {
            // The first of the callers that wait for the same lock.
            let name = &self.waiting[index].name;
            if self.waiting[..index].iter().any(|earlier| earlier.name == *name) {
                continue;
            }
            // A read takes no lock of the file, and there are many.
            let sql = "SELECT until FROM turns WHERE name = ?1";
            let taken: Option<i64> =
                self.connection.prepare_cached(sql)?.query_row(params![name], |row| row.get(0)).optional()?;
            if taken.is_some_and(|until| until > now()) {
                continue;
            }
            let sql = "INSERT INTO turns (name, holder, until) VALUES (?1, ?2, ?3) ON CONFLICT (name)
                DO UPDATE SET holder = excluded.holder, until = excluded.until WHERE until <= ?4";
            let values = params![name, self.waiting[index].holder, until(LEASE), now()];
            if self.connection.prepare_cached(sql)?.execute(values)? == 1 {
                let Waiting { name, holder, done, jobs } = self.waiting.remove(index);
                if self.held.is_empty() {
                    self.next_renewal = Instant::now() + RENEW;
                }
                self.held.push((name.clone(), holder.clone()));
                // The caller may no longer wait: then the value is dropped here, which releases the lock.
                let _ = done.send(Ok(Box::new(Held { name, holder, jobs })));
            }
        }
        let at = Instant::now();
        if !self.held.is_empty() && at >= self.next_renewal {
            self.next_renewal = at + RENEW;
            for (name, holder) in &self.held {
                let sql = "UPDATE turns SET until = ?3 WHERE name = ?1 AND holder = ?2";
                self.connection.prepare_cached(sql)?.execute(params![name, holder, until(LEASE)])?;
            }
        }
        Ok(())
    }

    fn release(&mut self, name: &str, holder: &str) {
        self.held.retain(|held| held.1 != holder);
        let sql = "DELETE FROM turns WHERE name = ?1 AND holder = ?2";
        let released =
            self.connection.prepare_cached(sql).and_then(|mut delete| delete.execute(params![name, holder]));
        if let Err(error) = released {
            tracing::warn!(%error, "a turn could not be given back; it ends by itself");
        }
    }

    /// Removes expired rows.
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
        let swept = transaction.execute(
            "DELETE FROM tasks WHERE number IN (SELECT number FROM tasks WHERE until <= ?1 LIMIT ?2)",
            params![now, SWEPT],
        )?;
        let old = now.saturating_sub(i64::try_from(MESSAGES_KEPT.as_millis()).unwrap_or(i64::MAX));
        transaction.execute("DELETE FROM messages WHERE at < ?1", params![old])?;
        transaction.execute("DELETE FROM turns WHERE until <= ?1", params![now])?;
        transaction.commit()?;
        if i64::try_from(swept) == Ok(SWEPT) {
            // There are more; other jobs run first.
            self.next_sweep = at;
        }
        Ok(())
    }
}

fn begin<'a>(
    connection: &'a mut Connection,
    durable: &mut bool,
    needs: Needs,
) -> rusqlite::Result<rusqlite::Transaction<'a>> {
    if needs != Needs::Read && *durable != (needs == Needs::Durable) {
        // Takes effect between transactions only.
        let synchronous = if needs == Needs::Durable { "FULL" } else { "NORMAL" };
        connection.pragma_update(None, "synchronous", synchronous)?;
        *durable = needs == Needs::Durable;
    }
    let behavior =
        if needs == Needs::Read { TransactionBehavior::Deferred } else { TransactionBehavior::Immediate };
    connection.transaction_with_behavior(behavior)
}

/// Runs a job in a savepoint: a job that fails half-way leaves nothing behind, and does not harm the others.
fn within(transaction: &mut rusqlite::Transaction<'_>, work: Work) -> Done {
    match transaction.savepoint() {
        Err(error) => work(Err(StoreError::new(error))),
        Ok(savepoint) => {
            let done = work(Ok(&savepoint));
            // Without a commit it is rolled back.
            let kept = if done.keep { savepoint.commit() } else { savepoint.finish() };
            match kept {
                Ok(()) => done,
                Err(error) => {
                    let error = StoreError::new(error);
                    Done { keep: false, answer: Box::new(move |_| (done.answer)(Err(error))) }
                }
            }
        }
    }
}
