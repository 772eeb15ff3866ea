//! Tasks per second, and the cost of a poll, over each store; `tests/chaos` has the program.

use std::time::Duration;

use serde_json::Value;

use crate::process::cmd;
use crate::session::{ci, target};

const LIMIT: Duration = Duration::from_secs(300);

/// Prints a table, and returns it as JSON. A store whose server is not installed is left out, but not in CI.
pub fn measure(seconds: f64) -> Result<Value, String> {
    let program = target().join("measured/task_bench");
    let finished = cmd(&program.to_string_lossy(), [seconds.to_string()]).output_within(LIMIT)?;
    finished.success()?;
    let rows: Vec<Value> =
        finished.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    if rows.is_empty() {
        return Err("the program told nothing".into());
    }
    println!("  {:<10}{:>10}{:>14}{:>12}{:>14}", "store", "tasks/s", "CPU us/task", "polls/s", "CPU us/poll");
    for row in &rows {
        let store = row["store"].as_str().unwrap_or("?");
        if let Some(why) = row["skipped"].as_str() {
            if ci() {
                return Err(format!("{store}: {why}"));
            }
            println!("  {store:<10} left out: {why}");
            continue;
        }
        let figure = |name: &str| row[name].as_f64().unwrap_or(f64::NAN);
        println!(
            "  {store:<10}{:>10.0}{:>14.0}{:>12.0}{:>14.1}",
            figure("tasks_per_second"),
            figure("cpu_us_per_task"),
            figure("polls_per_second"),
            figure("cpu_us_per_poll"),
        );
    }
    Ok(Value::Array(rows))
}
