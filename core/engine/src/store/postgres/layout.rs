//! The tables, and their creation.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use deadpool_postgres::GenericClient;

use super::{Database, failed};
use crate::random::random;
use crate::store::StoreError;

/// The version of the layout. 1: the first. 2: summaries of tasks, and the size of each.
const LAYOUT: i32 = 2;

/// The lock under which processes create the tables. The number is this project's choice: it alone identifies
/// an advisory lock.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7236846105238)";

/// Text of the engine is bytes in the database: the database's encoding may know less than UTF-8, and none of
/// its texts has a NUL.
const FIRST: &str = "
CREATE TABLE @layout (version integer NOT NULL);
CREATE TABLE @keys (name text PRIMARY KEY, key text NOT NULL);
CREATE TABLE @sessions (
    id bytea PRIMARY KEY, version bigint NOT NULL, text bytea NOT NULL, until timestamptz NOT NULL
);
CREATE INDEX ON @sessions (until);
CREATE TABLE @streams (
    session bytea NOT NULL, stream bigint NOT NULL, newest bigint NOT NULL, over boolean NOT NULL,
    until timestamptz NOT NULL, PRIMARY KEY (session, stream)
);
CREATE INDEX ON @streams (until);
CREATE TABLE @events (
    session bytea NOT NULL, stream bigint NOT NULL, number bigint NOT NULL, message bytea NOT NULL,
    PRIMARY KEY (session, stream, number)
);
CREATE TABLE @tasks (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id bytea NOT NULL UNIQUE, version bigint NOT NULL,
    owner bytea NOT NULL, due timestamptz, until timestamptz, text bytea NOT NULL
);
CREATE INDEX ON @tasks (sha256(owner), number);
CREATE INDEX ON @tasks (due) WHERE due IS NOT NULL;
CREATE INDEX ON @tasks (until) WHERE until IS NOT NULL;
CREATE TABLE @messages (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL, message bytea NOT NULL
);
CREATE INDEX ON @messages (at);
CREATE TABLE @credentials (server bytea PRIMARY KEY, version bigint NOT NULL, text bytea NOT NULL);
CREATE TABLE @turns (name bytea PRIMARY KEY, holder text NOT NULL, until timestamptz NOT NULL);
CREATE FUNCTION @append(
    of_session bytea, of_stream bigint, numbers bigint[], messages bytea[], ended boolean, oldest bigint, keep float8
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    moment timestamptz := clock_timestamp();
    known bigint;
BEGIN
    DELETE FROM @streams WHERE session = of_session AND stream = of_stream AND until <= moment;
    IF FOUND THEN
        DELETE FROM @events WHERE session = of_session AND stream = of_stream;
    END IF;
    INSERT INTO @streams AS kept (session, stream, newest, over, until)
        VALUES (of_session, of_stream, 0, ended, moment + keep * interval '1 microsecond')
        ON CONFLICT (session, stream) DO UPDATE SET over = kept.over OR excluded.over, until = excluded.until
        RETURNING newest INTO known;
    INSERT INTO @events (session, stream, number, message)
        SELECT of_session, of_stream, new.number, new.message
        FROM unnest(numbers, messages) AS new (number, message) WHERE new.number > known;
    UPDATE @streams SET newest = greatest(known, (SELECT max(number) FROM unnest(numbers) AS new (number)))
        WHERE session = of_session AND stream = of_stream;
    DELETE FROM @events WHERE session = of_session AND stream = of_stream AND number < oldest;
END $$;
";

/// Processes of earlier versions continue beside it: they write neither the new columns nor `summarized`, the
/// version to which the summary belongs.
const SECOND: &str = "
ALTER TABLE @tasks ADD COLUMN over boolean, ADD COLUMN bytes bigint, ADD COLUMN summarized bigint,
    ADD COLUMN summary bytea;
";

/// Statements that remove expired rows; each returns the rows that it has removed.
pub(super) const SWEEP: [&str; 5] = [
    "DELETE FROM @sessions WHERE id IN (SELECT id FROM @sessions WHERE until <= statement_timestamp()
        LIMIT 500 FOR UPDATE SKIP LOCKED) RETURNING 1",
    "WITH gone AS (DELETE FROM @streams WHERE (session, stream) IN (SELECT session, stream FROM @streams
        WHERE until <= statement_timestamp() LIMIT 500 FOR UPDATE SKIP LOCKED) RETURNING session, stream),
    events AS (DELETE FROM @events USING gone WHERE @events.session = gone.session AND @events.stream = gone.stream)
    SELECT 1 FROM gone",
    "DELETE FROM @tasks WHERE number IN (SELECT number FROM @tasks WHERE until <= statement_timestamp()
        LIMIT 500 FOR UPDATE SKIP LOCKED) RETURNING 1",
    // For as long as a process that received the notification may take to read the message.
    "DELETE FROM @messages WHERE id IN (SELECT id FROM @messages WHERE at < statement_timestamp() - interval '60 seconds'
        LIMIT 500 FOR UPDATE SKIP LOCKED) RETURNING 1",
    "DELETE FROM @turns WHERE name IN (SELECT name FROM @turns WHERE until <= statement_timestamp()
        LIMIT 500 FOR UPDATE SKIP LOCKED) RETURNING 1",
];

/// Creates the missing tables; returns the key that all processes share.
pub(super) async fn prepare(database: &Database) -> Result<String, StoreError> {
    let mut client = database.pool.get().await.map_err(failed)?;
    let config = &database.config;
    // Without the lock, and without the right to create anything.
    if layout(&client, database).await?.is_none_or(|known| known < LAYOUT) {
        let transaction = client.transaction().await.map_err(failed)?;
        transaction.batch_execute(LOCK).await.map_err(failed)?;
        let known = layout(&transaction, database).await?;
        if known.is_none() {
            if let Some(schema) = &config.schema {
                let sql = "SELECT 1 FROM pg_namespace WHERE nspname = $1";
                if transaction.query_opt(sql, &[schema]).await.map_err(failed)?.is_none() {
                    let sql = format!("CREATE SCHEMA \"{schema}\"");
                    transaction.batch_execute(&sql).await.map_err(failed)?;
                }
            }
            transaction.batch_execute(&config.named(FIRST)).await.map_err(failed)?;
            let key = BASE64_STANDARD.encode(random::<32>());
            let sql = config.named("INSERT INTO @keys (name, key) VALUES ('state', $1)");
            transaction.execute(&sql, &[&key]).await.map_err(failed)?;
        }
        if known.is_none_or(|known| known < LAYOUT) {
            transaction.batch_execute(&config.named(SECOND)).await.map_err(failed)?;
            let sql = config.named("INSERT INTO @layout (version) VALUES ($1)");
            transaction.execute(&sql, &[&LAYOUT]).await.map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)?;
    }
    match layout(&client, database).await? {
        Some(LAYOUT) => {}
        other => {
            let other = other.unwrap_or_default();
            return Err(StoreError::new(format!(
                "the tables have layout {other}; this version knows {LAYOUT}"
            )));
        }
    }
    let sql = config.named("SELECT key FROM @keys WHERE name = 'state'");
    let row = client.query_one(&sql, &[]).await.map_err(failed)?;
    row.try_get(0).map_err(failed)
}

/// Returns the layout of the tables, if there are any.
async fn layout(client: &impl GenericClient, database: &Database) -> Result<Option<i32>, StoreError> {
    // Not to_regclass: it answers from a cache that does not see what other processes created while this one
    // waited for the lock.
    let sql = "SELECT EXISTS (SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE relname = $1::text AND nspname = coalesce($2::text, current_schema()))";
    let (schema, table) = (&database.config.schema, format!("{}layout", database.config.prefix));
    let row = client.query_one(sql, &[&table, schema]).await.map_err(failed)?;
    if !row.try_get::<_, bool>(0).map_err(failed)? {
        return Ok(None);
    }
    let sql = database.config.named("SELECT max(version) FROM @layout");
    let row = client.query_one(&sql, &[]).await.map_err(failed)?;
    row.try_get(0).map_err(failed)
}
