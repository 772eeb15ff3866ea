//! Measurements of a run: latencies, and the server's CPU time and memory as the kernel counts them.

use std::time::Duration;

use serde_json::{Value, json};

/// CPU time of all threads of a process, in seconds (from `schedstat`, so in nanoseconds, not in ticks).
pub fn cpu_seconds(pid: u32) -> f64 {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return 0.0 };
    let nanos: u64 = tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok())
        .sum();
    nanos as f64 / 1e9
}

/// Resident memory of a process, in KiB.
pub fn rss_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// The figures of one run.
#[derive(Debug, Default)]
pub struct Run {
    /// One entry per answered request, in microseconds.
    pub latencies_us: Vec<u32>,
    /// Answers that were no success.
    pub errors: u64,
    /// Length of the measured part.
    pub elapsed: Duration,
    /// CPU time of the server in it, in seconds.
    pub cpu: f64,
    /// Resident memory of the server at its end, in KiB.
    pub rss_kib: u64,
}

impl Run {
    /// The run as one JSON object; times in microseconds, memory in KiB, rates per second.
    pub fn to_json(mut self) -> Value {
        self.latencies_us.sort_unstable();
        let n = self.latencies_us.len();
        let at = |q: f64| self.latencies_us.get(((n as f64 - 1.0) * q) as usize).copied().unwrap_or(0);
        let (p50, p99) = (at(0.50), at(0.99));
        json!({
            "requests": n,
            "errors": self.errors,
            "seconds": self.elapsed.as_secs_f64(),
            "per_second": n as f64 / self.elapsed.as_secs_f64(),
            "per_cpu_second": if self.cpu > 0.0 { n as f64 / self.cpu } else { 0.0 },
            "cpu_us": if n > 0 { self.cpu * 1e6 / n as f64 } else { 0.0 },
            "p50_us": p50,
            "p99_us": p99,
            "rss_kib": self.rss_kib,
        })
    }
}
