//! `python/src/trunnion/_options.py`: the keyword arguments that stand for options, for editors and type checkers.

use super::MARK;
use super::surface::{Opt, Surface, snake};

/// A class of options: its name, the class that it extends, what it is for, and whose options it has.
struct Class {
    name: &'static str,
    base: Option<&'static str>,
    doc: &'static str,
    scope: &'static str,
    has: fn(&str) -> bool,
}

/// Classes of options. Options that the functions name themselves are not listed here.
const CLASSES: [Class; 5] = [
    Class {
        name: "EngineOptions",
        base: None,
        doc: "Options of the engine, as `Client` and `SyncClient` take them.",
        scope: "engine",
        has: |key| key != "driver",
    },
    Class {
        name: "ServerOptions",
        base: Some("EngineOptions"),
        doc: "Options of a `Server`.",
        scope: "server",
        has: |key| key != "auth" && key != "store",
    },
    Class {
        name: "CarriedOptions",
        base: None,
        doc: "Options of `Server.asgi`.",
        scope: "serve_http",
        has: |key| !["host", "port", "unixSocket", "carried"].contains(&key),
    },
    Class {
        name: "ServeHttpOptions",
        base: Some("CarriedOptions"),
        doc: "Options of `Server.serve_http`.",
        scope: "serve_http",
        has: |key| key == "unixSocket",
    },
    Class {
        name: "RunOptions",
        base: Some("ServeHttpOptions"),
        doc: "Options of `Server.run`, for HTTP.",
        scope: "serve_http",
        has: |key| key == "host" || key == "port",
    },
];

/// The whole file.
pub fn file(surface: &Surface) -> String {
    let mut out = format!("# {MARK}\n");
    out += "\"\"\"The types of options that are keyword arguments. Nothing of this is needed at run time.\"\"\"\n\n";
    out += "from __future__ import annotations\n\n";
    out += "from collections.abc import Mapping, Sequence\nfrom typing import Any, TypedDict\n";
    for class in CLASSES {
        let base = class.base.unwrap_or("TypedDict");
        out += &format!("\n\nclass {}({base}, total=False):\n    \"\"\"{}\"\"\"\n", class.name, class.doc);
        let options = surface.options.iter().find(|(scope, _)| *scope == class.scope);
        for option in
            options.iter().flat_map(|(_, options)| options).filter(|option| (class.has)(&option.key))
        {
            out += &members(option);
        }
    }
    out
}

fn members(option: &Opt) -> String {
    let name = snake(&option.key);
    let doc = format!("{} Default: {}.", option.doc, option.default).replace('\\', "\\\\").replace('"', "'");
    match name.strip_suffix("_ms") {
        Some(duration) => {
            let doc = doc.replace(", in milliseconds", "").replace(" in milliseconds", "");
            format!(
                "\n    {duration}: float | None\n    \"\"\"In seconds. {}\"\"\"\n    {name}: int | None\n    \
                 \"\"\"`{duration}` in milliseconds.\"\"\"\n",
                in_seconds(&doc, option)
            )
        }
        None => format!("\n    {name}: {}\n    \"\"\"{doc}\"\"\"\n", type_of(option)),
    }
}

/// The default of a duration in seconds.
fn in_seconds(doc: &str, option: &Opt) -> String {
    match option.default.parse::<f64>() {
        Ok(milliseconds) => doc.replace(
            &format!("Default: {}.", option.default),
            &format!("Default: {}.", milliseconds / 1000.0),
        ),
        Err(_) => doc.to_owned(),
    }
}

fn type_of(option: &Opt) -> &'static str {
    match (option.key.as_str(), option.kind.as_str()) {
        ("stateKeys", _) => "Sequence[str | bytes]",
        (_, "string") => "str",
        (_, "integer") => "int",
        (_, "boolean") => "bool",
        (_, "array") => "Sequence[str]",
        (_, "object") => "Mapping[str, Any] | None",
        (_, "objects") => "Sequence[Mapping[str, Any]]",
        _ => "Any",
    }
}
