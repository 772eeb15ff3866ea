//! The files that every benchmark server loads: 48 tools and a text of 1 MiB.

use std::path::Path;

use serde_json::{Value, json};

use crate::process::write;

/// Writes them; returns the variables that name them.
pub fn write_files(folder: &Path) -> Result<Vec<(&'static str, String)>, String> {
    let (tools, big) = (folder.join("tools.json"), folder.join("big.txt"));
    write(&tools, &format!("{}\n", Value::from((1..=48).map(tool).collect::<Vec<_>>())))?;
    write(&big, &text())?;
    let named = |path: &Path| path.to_string_lossy().into_owned();
    Ok(vec![("BENCH_TOOLS", named(&tools)), ("BENCH_BIG", named(&big))])
}

/// A tool of ordinary size: a sentence of description and three parameters.
fn tool(number: u32) -> Value {
    json!({
        "name": format!("query_table_{number:02}"),
        "description": format!("Looks up rows of table {number} by key, newest first, and returns them as text."),
        "inputSchema": {
            "type": "object",
            "properties": {
                "key": { "type": "string", "description": "The key to look for." },
                "limit": { "type": "integer", "minimum": 1, "maximum": 100, "description": "Most rows to return." },
                "fields": { "type": "array", "items": { "type": "string" }, "description": "Columns to return." }
            },
            "required": ["key"]
        }
    })
}

/// 1 MiB of prose-like lines, with what JSON must escape in some of them.
fn text() -> String {
    let mut out = String::with_capacity(1 << 20);
    let mut line = 0;
    while out.len() < 1 << 20 {
        line += 1;
        out += &format!("{line:06} the quick brown fox \"jumps\" over the lazy dog; caf\u{e9} at noon\n");
    }
    let mut end = 1 << 20;
    while !out.is_char_boundary(end) {
        end -= 1;
    }
    out.truncate(end);
    out
}
