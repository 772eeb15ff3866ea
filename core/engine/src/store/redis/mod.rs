//! A store in a Redis or Valkey server for any number of machines.

mod bus;
mod credentials;
mod events;
mod scripts;
mod sessions;
mod tasks;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, ConnectionInfo, FromRedisValue, IntoConnectionInfo, Script, TlsCertificates};

use self::scripts::Scripts;
use super::address::Address;
use super::background::Background;
use super::hub::{Hub, Queue};
use super::{StoreError, StoreFuture};
use crate::random::random;

/// The interval at which expired entries are removed from the indexes.
const SWEEP: Duration = Duration::from_secs(30);

/// A store and a bus in a Redis or Valkey server (Redis 5 or later), for any number of servers on any number
/// of machines.
///
/// Named by a URL: `redis://user:password@host:6379/0`, or `rediss:` for TLS with a certificate that the
/// platform trusts for this host. The store itself reads these options of the URL:
///
/// | option | is | default |
/// | --- | --- | --- |
/// | `prefix` | the prefix of the names of the keys, in braces | `trunnion` |
/// | `timeout_ms` | the time limit of every operation, connecting included, in milliseconds | `5000` |
/// | `sslrootcert` | a file of PEM certificates to trust instead of the platform's | none |
///
/// All times are those of the server's clock. Keys have the hash tag `{prefix}`, so in a cluster they live on
/// one node: name that one. The result of a resolved future is as durable as the configuration of the server
/// makes it: `appendonly yes` with `appendfsync always` for tasks that outlive a crash of the machine,
/// `everysec` for all but the last second; without, the changes after the last snapshot are lost with the
/// server's process. `maxmemory-policy` must be `noeviction`. Replicas are written to later, so a fail-over
/// may lose the last changes.
///
/// While the server is unavailable or does not answer, every operation fails within `timeout_ms`; operations
/// succeed again when it has recovered.
pub struct RedisStore {
    runtime: Background,
    hub: Arc<Hub>,
    state_key: String,
    server: Arc<Server>,
}

/// The part of the store that runs on its runtime.
struct Server {
    client: Client,
    /// One connection for all commands, made anew when it breaks.
    connection: ConnectionManager,
    scripts: Scripts,
    /// The prefix of the names of the keys, colon included.
    prefix: String,
    timeout: Duration,
}

impl RedisStore {
    /// Connects to a server. Fails when it cannot be reached, and when an option is wrong; no message has the
    /// password.
    pub async fn connect(url: &str) -> Result<RedisStore, StoreError> {
        let mut address = Address::parse(url);
        let timeout = address.take_timeout()?;
        let prefix = format!("{{{}}}:", address.take_word("prefix", "trunnion")?);
        let client = client(address)?;
        let runtime = Background::new("trunnion-redis")?;
        let (hub, queue) = Hub::new();
        let (server, state_key) = runtime.run(open(client, timeout, prefix, hub.clone(), queue)).await?;
        Ok(RedisStore { runtime, hub, state_key, server })
    }

    /// Returns a key for `ServerBuilder::state_keys` that all
    /// processes with this prefix share.
    pub fn state_key(&self) -> &str {
        &self.state_key
    }

    /// Runs a script on the store's runtime.
    fn eval<A: FromRedisValue + Send + 'static, T: Send + 'static>(
        &self,
        script: fn(&Scripts) -> &Script,
        keys: Vec<Vec<u8>>,
        arguments: Vec<Vec<u8>>,
        read: impl FnOnce(A) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreFuture<T> {
        let server = self.server.clone();
        self.runtime.run(async move { read(server.eval(script(&server.scripts), &keys, &arguments).await?) })
    }

    /// Returns the name of a key.
    fn key(&self, kind: &str, id: &str) -> Vec<u8> {
        self.server.key(kind, id)
    }

    /// Returns the prefix of the names of the keys of a kind.
    fn keys(&self, kind: &str) -> Vec<u8> {
        self.server.key(kind, "")
    }
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisStore").finish_non_exhaustive()
    }
}

fn client(mut address: Address) -> Result<Client, StoreError> {
    let roots = address.take("sslrootcert");
    let info: ConnectionInfo = address.url().into_connection_info().map_err(failed)?;
    // A connection whose other end vanished without closing it is not waited for.
    #[cfg(target_os = "linux")]
    let info = {
        let settings =
            info.tcp_settings().clone().set_nodelay(true).set_user_timeout(Duration::from_secs(30));
        info.set_tcp_settings(settings)
    };
    // The library uses the cryptography of the process.
    crate::outbound::install_provider();
    let Some(path) = roots else { return Client::open(info).map_err(failed) };
    let root_cert =
        std::fs::read(&path).map_err(|error| StoreError::new(format!("sslrootcert {path}: {error}")))?;
    let certificates = TlsCertificates { client_tls: None, root_cert: Some(root_cert) };
    Client::build_with_tls(info, certificates).map_err(failed)
}

async fn open(
    client: Client,
    timeout: Duration,
    prefix: String,
    hub: Arc<Hub>,
    queue: Queue,
) -> Result<(Arc<Server>, String), StoreError> {
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(timeout))
        .set_connection_timeout(Some(timeout))
        // The next request tries again.
        .set_number_of_retries(2)
        .set_min_delay(Duration::from_millis(50))
        .set_pipeline_buffer_size(1024);
    let connection = ConnectionManager::new_lazy_with_config(client.clone(), config).map_err(failed)?;
    let server = Arc::new(Server { client, connection, scripts: Scripts::new(), prefix, timeout });
    let key = BASE64_STANDARD.encode(random::<32>()).into_bytes();
    let shared = server.eval(&server.scripts.state_key, &[server.key("key", "state")], &[key]).await?;
    // A subscriber receives everything from its subscription on, so the connection listens already.
    let listening = server.within(bus::listen(&server)).await?;
    tokio::spawn(bus::hear(server.clone(), hub, listening));
    tokio::spawn(bus::publish(server.clone(), queue));
    tokio::spawn(sweep(server.clone()));
    Ok((server, shared))
}

impl Server {
    fn key(&self, kind: &str, id: &str) -> Vec<u8> {
        format!("{}{kind}:{id}", self.prefix).into_bytes()
    }

    /// Limits the time of a future to that of the store.
    async fn within<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let late = |_| StoreError::new(format!("the server did not answer within {:?}", self.timeout));
        tokio::time::timeout(self.timeout, work).await.map_err(late)?
    }

    async fn eval<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[Vec<u8>],
        arguments: &[Vec<u8>],
    ) -> Result<T, StoreError> {
        let mut call = script.prepare_invoke();
        for key in keys {
            call.key(key);
        }
        for argument in arguments {
            call.arg(argument);
        }
        let mut connection = self.connection.clone();
        self.within(async { call.invoke_async(&mut connection).await.map_err(failed) }).await
    }
}

fn failed(error: redis::RedisError) -> StoreError {
    StoreError::new(error)
}

/// Returns a number as an argument.
fn number(number: impl ToString) -> Vec<u8> {
    number.to_string().into_bytes()
}

/// Returns a time as an argument: milliseconds.
fn millis(time: Duration) -> Vec<u8> {
    number(super::background::millis(time))
}

fn bytes(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

/// The server removes expired keys by itself; the store cleans the indexes. Other processes do the same.
async fn sweep(server: Arc<Server>) {
    loop {
        let (keys, prefix) = ([server.key("end", "")], [bytes(&server.prefix)]);
        match server.eval::<u64>(&server.scripts.sweep, &keys, &prefix).await {
            Ok(swept) if swept > 0 => continue,
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "what is over could not be removed"),
        }
        tokio::time::sleep(SWEEP).await;
    }
}
