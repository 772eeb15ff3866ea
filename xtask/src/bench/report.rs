//! The table of a benchmark run and its ratios.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Figures;
use crate::fixtures::Fixture;

/// A column: title, measurement, figure, divisor of the shown value, and whether more is better.
type Column = (&'static str, &'static str, &'static str, f64, bool);

const COLUMNS: &[Column] = &[
    ("echo@64 /cpu-s", "http echo@64", "per_cpu_second", 1.0, true),
    ("req/s", "http echo@64", "per_second", 1.0, true),
    ("p50 ms", "http echo@64", "p50_us", 1e3, false),
    ("p99 ms", "http echo@64", "p99_us", 1e3, false),
    ("echo@16 /cpu-s", "http echo@16", "per_cpu_second", 1.0, true),
    ("echo@1 p50 us", "http echo@1", "p50_us", 1.0, false),
    ("list@16 /cpu-s", "http list@16", "per_cpu_second", 1.0, true),
    ("1 MiB@4 /cpu-s", "http read@4", "per_cpu_second", 1.0, true),
    ("RSS MiB", "http echo@64", "rss_kib", 1024.0, false),
    ("stdio@64 /cpu-s", "stdio echo@64", "per_cpu_second", 1.0, true),
    ("stdio req/s", "stdio echo@64", "per_second", 1.0, true),
    ("stdio@1 p50 us", "stdio echo@1", "p50_us", 1.0, false),
    ("cold ms", "cold start", "median_ms", 1.0, false),
];

/// Returns the readable report: the figures, then ours against the official SDKs and the floor.
pub fn table(servers: &[Fixture], figures: &BTreeMap<String, Figures>, floor: &str) -> String {
    let width = servers.iter().map(|server| server.name.len()).max().unwrap_or(0) + 20;
    let columns: Vec<&Column> = COLUMNS.iter().filter(|column| present(figures, column)).collect();
    let mut out = heading("server (/cpu-s: requests per CPU second)", width.max(42), &columns);
    let width = width.max(42);
    for server in servers {
        out += &format!("{:<width$}", server.name);
        for column in &columns {
            let value = value(figures, &server.name, column).map(|value| value / column.3);
            out += &format!("  {:>15}", value.map_or_else(|| "-".into(), amount));
        }
        out.push('\n');
    }
    out += &heading("times better than", width, &columns);
    for (ours, other) in pairs(servers, floor) {
        out += &format!("{:<width$}", format!("{ours} : {other}"));
        for column in &columns {
            let ratio = ratio(figures, ours, other, column);
            out += &format!("  {:>15}", ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}x")));
        }
        out.push('\n');
    }
    out
}

/// The ratios for a program: `{"python": {"python-official": {"http echo@64 per_cpu_second": 31.4}}}`.
pub fn ratios(servers: &[Fixture], figures: &BTreeMap<String, Figures>, floor: &str) -> Value {
    let mut out = json!({});
    for (ours, other) in pairs(servers, floor) {
        for column in COLUMNS {
            if let Some(ratio) = ratio(figures, ours, other, column) {
                out[ours][other][format!("{} {}", column.1, column.2)] = json!(ratio);
            }
        }
    }
    out
}

fn pairs<'a>(servers: &'a [Fixture], floor: &'a str) -> Vec<(&'a str, &'a str)> {
    let ours = servers.iter().filter(|server| server.against.is_some());
    ours.flat_map(|server| {
        let peer = server
            .against
            .as_deref()
            .filter(|peer| *peer != floor && servers.iter().any(|s| s.name == *peer));
        peer.into_iter().chain([floor]).map(|other| (server.name.as_str(), other))
    })
    .collect()
}

fn heading(first: &str, width: usize, columns: &[&Column]) -> String {
    let titles: String = columns.iter().map(|column| format!("  {:>15}", column.0)).collect();
    format!("\n{first:<width$}{titles}\n")
}

fn value(figures: &BTreeMap<String, Figures>, server: &str, column: &Column) -> Option<f64> {
    figures.get(server)?.get(column.1)?.get(column.2).copied()
}

fn present(figures: &BTreeMap<String, Figures>, column: &Column) -> bool {
    figures.keys().any(|server| value(figures, server, column).is_some())
}

fn ratio(figures: &BTreeMap<String, Figures>, ours: &str, other: &str, column: &Column) -> Option<f64> {
    let (ours, other) = (value(figures, ours, column)?, value(figures, other, column)?);
    if column.4 { Some(ours / other) } else { Some(other / ours) }
}

fn amount(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
