//! The reference tables `docs/options.md` and `docs/errors.md`.

use super::MARK;
use super::surface::{Surface, error_class, pascal, snake};

const INTRODUCTION: &str = "\
Every option of the engine with its default. The keys are those of C, whose options are JSON; an unknown key
is rejected with an error of kind `usage`. The other languages spell the options in their own style:

- Rust: methods of the builders with similar names (`page_size`, `timeout`), which accept `Duration`s;
  [rust.md](rust.md) and `cargo doc` list them.
- TypeScript: members of the options objects, spelled like the key. `driver` is `hosted` where the platform
  supports it. `server.handler()` or `server.node()` replace `carried`, the function `onProgress` replaces
  `progress`, `client.startTask()` replaces `task` and `ask`, the function `verify` replaces `host` in a
  server's `auth`, and the store itself replaces `{id}` in a client's `auth`.
- Swift: members of `EngineOptions`, `ServerOptions` and so on, spelled like the key, and parameters
  (`timeout:`, `scopes:`, `visibleTo:`, `asks:`, `task:`, `auth:`). `server.endpoint()` replaces `carried`, a
  closure replaces `progress`.
- Python: the names of the second column, durations (s) in seconds; those of a server and of serving HTTP also
  in milliseconds, under the name with `_ms`. An unknown name is a `TypeError`. The driver of servers is
  `hosted` where the platform supports it. If the column is empty, a class or a method replaces the option:
  `asgi()` replaces `carried`, `start_task()` replaces `task` and `ask`, the classes of `trunnion.auth`
  replace `grant` and `enterprise`.
";

const ERRORS: &str = "\
One table for all languages. Negative codes are defined by the protocol and travel on the wire; the others are
local. In Rust, `kind` of `trunnion::Error` has the value of the first column, to be compared with `==`, and
`code` that of the second.

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
    out += ERRORS;
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
