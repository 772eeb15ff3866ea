//! The reference tables `docs/options.md` and `docs/errors.md`.

use super::MARK;
use super::surface::{Surface, error_class, pascal, snake};

/// `docs/options.md`.
pub fn options(surface: &Surface) -> String {
    let mut out = format!("<!-- {MARK} -->\n\n# Options and limits\n\n");
    out += "Every option of the engine with its default. The key is spelled like this in Rust (JSON), TypeScript, Swift\n";
    out += "and C (JSON). Python has its own names, and takes durations in seconds; those of a server and of serving HTTP also in\n";
    out += "milliseconds, under the name with `_ms`. An unknown key is refused with an error of kind `usage` (Python: `TypeError`).\n";
    for (scope, options) in &surface.options {
        out += &format!(
            "\n## {}\n\n| key | Python | type | default | meaning |\n| --- | --- | --- | --- | --- |\n",
            heading(scope)
        );
        for option in options {
            out += &format!(
                "| `{}` | {} | {} | `{}` | {} |\n",
                option.key,
                python(scope, &option.key),
                option.kind,
                option.default,
                option.doc.replace('|', "\\|")
            );
        }
    }
    out
}

/// `docs/errors.md`.
pub fn errors(surface: &Surface) -> String {
    let mut out = format!("<!-- {MARK} -->\n\n# Errors\n\n");
    out += "One table for every language. Negative codes are the protocol's and travel on the wire; the others are local.\n\n";
    out += "| kind | code | Python and TypeScript | Swift | C | meaning |\n| --- | ---: | --- | --- | --- | --- |\n";
    for error in &surface.errors {
        out += &format!(
            "| `{0}` | {1} | `{2}` | `.{3}` | `TRN_STATUS_{4}` | {5} |\n",
            error.name,
            error.value,
            error_class(&error.name),
            super::surface::camel(&error.name),
            error.name.to_uppercase(),
            error.doc
        );
    }
    out
}

/// How an option is given in Python.
fn python(scope: &str, key: &str) -> String {
    match (scope, key, key.strip_suffix("Ms")) {
        ("connect", "clientInfo", _) => "`name`, `version`".into(),
        (_, "totalMs", _) => "`total_timeout` (s)".into(),
        (_, _, Some(duration)) => format!("`{}` (s)", snake(duration)),
        _ => format!("`{}`", snake(key)),
    }
}

fn heading(scope: &str) -> String {
    match scope {
        "serve_http" => "Serving HTTP".into(),
        "connect" => "Client".into(),
        "auth" => "Authorization of a client (`auth`)".into(),
        other => pascal(other),
    }
}
