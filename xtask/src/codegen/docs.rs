//! The reference tables `docs/options.md` and `docs/errors.md`.

use super::MARK;
use super::surface::{Surface, error_class, pascal, snake};

const INTRODUCTION: &str = "\
Every option of the engine with its default. The keys are those of C, whose options are JSON; an unknown one is refused with an error of kind
`usage`. In the other languages an option has the shape that is at home there:

- Rust: methods of the builders, named alike (`page_size`, `timeout`), which take `Duration`s; [rust.md](rust.md) and `cargo doc` have them.
- TypeScript: members of the options objects, spelled like the key. `driver` is `hosted` where it can be. In the place of `carried` there is
  `server.handler()` or `server.node()`, of `progress` the function `onProgress`, of `task` and `ask` `client.startTask()`, of `host` in a server's `auth` the
  function `verify`, and of `{id}` in a client's `auth` the store itself.
- Swift: members of `EngineOptions`, `ServerOptions` and so on, spelled like the key, and parameters beside them (`timeout:`, `scopes:`,
  `visibleTo:`, `asks:`, `task:`, `auth:`). In the place of `carried` there is `server.endpoint()`, of `progress` a closure.
- Python: the names of the second column, durations (s) in seconds; those of a server and of serving HTTP also in milliseconds, under the name
  with `_ms`. A name that does not exist is a `TypeError`. Servers have the driver `hosted` where they can. Where the column is empty a class
  or a method takes the place: `asgi()` of `carried`, `start_task()` of `task` and `ask`, the classes of `trunnion.auth` of `grant` and
  `enterprise`.
";

/// `docs/options.md`.
pub fn options(surface: &Surface) -> String {
    let mut out = format!("<!-- {MARK} -->\n\n# Options and limits\n\n");
    out += INTRODUCTION;
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
    out += "One table for every language. Negative codes are the protocol's and travel on the wire; the others are local. \
            In Rust `trunnion::Error` has the first column as `kind`, to be compared with `==`, and the second as `code`.\n\n";
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

/// The form of an option in Python.
fn python(scope: &str, key: &str) -> String {
    match (scope, key, key.strip_suffix("Ms")) {
        ("serve_http", "carried", _)
        | ("auth", "grant" | "enterprise", _)
        | ("request", "task" | "ask" | "all", _) => String::new(),
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
