//! `python/src/trunnion/_generated.py`.

use super::MARK;
use super::surface::{Item, Surface, error_class, snake};

/// The whole file.
pub fn file(surface: &Surface) -> String {
    let mut out = format!("# {MARK}\n");
    out += "\"\"\"The names and numbers every language shares: events, outcomes, requests, errors and option keys.\"\"\"\n\n";
    out += "from __future__ import annotations\n\nfrom ._errors import KindError, McpError\n\n";
    out += &format!("ABI = {}\n\n# Functions of the native module.\nFUNCTIONS = (\n", surface.abi);
    for name in &surface.functions {
        out += &format!("    \"{name}\",\n");
    }
    out += ")\n\n# Event kinds: the first field of an event.\n";
    out += &constants("EVENT", &surface.events);
    out += "\n# Outcomes: the second field of a completion.\n";
    out += &constants("OUTCOME", &surface.outcomes);
    out += "\n# Requests a client can make.\n";
    for op in &surface.ops {
        out += &format!("OP_{} = \"{op}\"\n", op.to_uppercase());
    }
    out += &format!("\n{}{}OPS = (\n", table("EVENT", &surface.events), table("OUTCOME", &surface.outcomes));
    for op in &surface.ops {
        out += &format!("    OP_{},\n", op.to_uppercase());
    }
    out += ")\n\n# Option keys by scope: the Python spelling and the engine's.\n";
    out += "OPTIONS: dict[str, dict[str, str]] = {\n";
    for (scope, options) in &surface.options {
        out += &format!("    \"{scope}\": {{\n");
        for option in options {
            out += &format!("        \"{}\": \"{}\",\n", snake(&option.key), option.key);
        }
        out += "    },\n";
    }
    out += "}\n";
    for error in &surface.errors {
        out += &format!(
            "\n\nclass {}(KindError):\n    \"\"\"{}\"\"\"\n\n    code = {}\n    kind = \"{}\"\n",
            error_class(&error.name),
            error.doc,
            error.value,
            error.name
        );
    }
    out += "\n\nERRORS: dict[str, type[McpError]] = {\n";
    for error in &surface.errors {
        out += &format!("    \"{}\": {},\n", error.name, error_class(&error.name));
    }
    out + "}\n"
}

fn constants(prefix: &str, items: &[Item]) -> String {
    items.iter().map(|item| format!("{prefix}_{} = {}\n", item.name.to_uppercase(), item.value)).collect()
}

fn table(prefix: &str, items: &[Item]) -> String {
    let rows: String = items
        .iter()
        .map(|item| format!("    \"{}\": {prefix}_{},\n", item.name, item.name.to_uppercase()))
        .collect();
    format!("{prefix}S = {{\n{rows}}}\n")
}
