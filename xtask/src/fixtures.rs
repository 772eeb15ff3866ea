//! The programs of each language that the matrix, the conformance suite and the benchmarks drive:
//! `tests/conformance/fixtures.toml`, `tests/interop/foreign.toml` and `bench/fixtures.toml`.

use std::time::Duration;

use crate::process::{Group, free_port, read, sh};
use crate::session::{Log, root};

/// The languages of this project, in the order of the tables.
pub const LANGUAGES: [&str; 5] = ["rust", "python", "node", "swift", "c"];

/// One table of such a file.
#[derive(Debug, Clone)]
pub struct Fixture {
    /// The language, or the foreign SDK.
    pub name: String,
    /// Shell command of the HTTP server; `{port}` is replaced.
    pub server: String,
    /// Shell command of the stdio server.
    pub stdio_server: String,
    /// Shell command of the client; the target is appended. Benchmark servers have none.
    pub client: Option<String>,
    /// The revisions that the client can be set to, by `MCP_INTEROP_ERA` (`modern`, `legacy`) and
    /// `MCP_INTEROP_REVISION` in its environment.
    pub revisions: Vec<String>,
    /// Path where the server has HTTP+SSE, the transport of 2024-11-05, too.
    pub sse: Option<String>,
    /// True if the client supports HTTP+SSE, with `MCP_INTEROP_TRANSPORT` set to `sse`.
    pub sse_client: bool,
    /// For benchmark servers: the fixture that this one is compared with.
    pub against: Option<String>,
}

/// Reads a fixture file, in its own order.
pub fn load(file: &str) -> Result<Vec<Fixture>, String> {
    let table: toml::Table =
        toml::from_str(&read(&root().join(file))?).map_err(|e| format!("{file}: {e}"))?;
    let mut fixtures = Vec::new();
    for (name, value) in &table {
        let text = |key: &str| value.get(key).and_then(toml::Value::as_str).map(str::to_owned);
        let needed = |key: &str| text(key).ok_or_else(|| format!("{file}: [{name}] lacks `{key}`"));
        needed("build")?;
        fixtures.push(Fixture {
            name: name.clone(),
            server: needed("server")?,
            stdio_server: needed("stdio_server")?,
            client: text("client"),
            revisions: value
                .get("revisions")
                .and_then(toml::Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(|revision| revision.as_str().map(str::to_owned))
                .collect(),
            sse: text("sse"),
            sse_client: value.get("sse_client").and_then(toml::Value::as_bool).unwrap_or_default(),
            against: text("against"),
        });
    }
    let rank =
        |fixture: &Fixture| LANGUAGES.iter().position(|known| *known == fixture.name).unwrap_or(usize::MAX);
    fixtures.sort_by_key(rank);
    Ok(fixtures)
}

/// A server of a fixture that listens on the loopback address.
pub struct Running {
    /// Its process group; the leader is the server itself when the fixture is one plain command.
    pub group: Group,
    /// Its port.
    pub port: u16,
}

impl Running {
    /// The endpoint.
    pub fn url(&self) -> String {
        self.at("/mcp")
    }

    /// The URL of a path.
    pub fn at(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

impl Fixture {
    /// Starts the HTTP server, with a prefix such as `taskset -c 0` and variables, and waits until it
    /// listens.
    pub fn serve(&self, prefix: &str, env: &[(&str, String)], log: Option<&Log>) -> Result<Running, String> {
        let port = free_port()?;
        let line = format!("exec {prefix} {}", self.server.replace("{port}", &port.to_string()));
        let mut command = sh(&line);
        for (key, value) in env {
            command = command.env(key, value);
        }
        let mut group = command.background(log)?;
        group
            .wait_for_port(port, Duration::from_secs(60))
            .map_err(|e| format!("{} server: {e}", self.name))?;
        Ok(Running { group, port })
    }

    /// The target argument that makes a client start this server.
    pub fn stdio_target(&self) -> String {
        format!("stdio:{}", self.stdio_server)
    }
}
