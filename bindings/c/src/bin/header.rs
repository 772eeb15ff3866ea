//! Makes `src/surface.rs` from `bindings/surface.toml`, then `include/trunnion.h` and `symbols.txt` from the
//! sources. With `--check` it writes nothing and fails when a file is not what it would write.

use std::path::Path;
use std::process::ExitCode;

use serde::Deserialize;

#[derive(Deserialize)]
struct Surface {
    meta: Meta,
    function: Vec<Function>,
    event: Vec<Number>,
    outcome: Vec<Number>,
    op: Vec<Op>,
    error: Vec<Kind>,
    option: Vec<Opt>,
}

#[derive(Deserialize)]
struct Meta {
    abi: u32,
}

#[derive(Deserialize)]
struct Function {
    name: String,
}

#[derive(Deserialize)]
struct Number {
    name: String,
    value: u32,
    doc: String,
}

#[derive(Deserialize)]
struct Op {
    name: String,
}

#[derive(Deserialize)]
struct Kind {
    kind: String,
    code: i64,
    doc: String,
}

#[derive(Deserialize)]
struct Opt {
    scope: String,
    key: String,
    #[serde(rename = "type")]
    kind: String,
    default: String,
    doc: String,
}

/// A formatted line at the end of a String, which cannot fail.
macro_rules! line {
    ($out:expr, $($format:tt)*) => {
        $out += &(format!($($format)*) + "\n")
    };
}

/// The sources of the header, in the order in which a reader wants them.
const SOURCES: [&str; 8] = [
    "src/surface.rs",
    "src/memory.rs",
    "src/status.rs",
    "src/engine.rs",
    "src/server.rs",
    "src/client.rs",
    "src/run.rs",
    "src/json.rs",
];

fn main() -> ExitCode {
    match run(std::env::args().any(|it| it == "--check")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("trunnion-c-header: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(check: bool) -> Result<(), String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let surface = std::fs::read_to_string(here.join("../surface.toml")).map_err(|it| it.to_string())?;
    let surface: Surface = toml::from_str(&surface).map_err(|it| it.to_string())?;
    put(check, &here.join("src/surface.rs"), &rust(&surface))?;

    let functions = functions(here)?;
    for Function { name } in &surface.function {
        if !functions.contains(&format!("trn_{name}")) {
            return Err(format!("bindings/surface.toml has {name}, but there is no trn_{name}"));
        }
    }
    put(check, &here.join("symbols.txt"), &(functions.join("\n") + "\n"))?;

    let mut config = cbindgen::Config::from_file(here.join("cbindgen.toml"))?;
    config.header = Some(include_str!("preamble.h").trim_end().to_owned());
    config.after_includes = Some(constants(&surface));
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in SOURCES {
        builder = builder.with_src(here.join(source));
    }
    let mut header = Vec::new();
    builder.generate().map_err(|it| it.to_string())?.write(&mut header);
    // The type is trn_event_kind because trn_event is the event; its numbers are TRN_EVENT_… all the same.
    let header =
        String::from_utf8(header).map_err(|it| it.to_string())?.replace("TRN_EVENT_KIND_", "TRN_EVENT_");
    for name in &functions {
        if !header.contains(&format!("{name}(")) {
            return Err(format!("{name} is missing from the header"));
        }
    }
    put(check, &here.join("include/trunnion.h"), &header)
}

/// The names of the exported functions, sorted.
fn functions(here: &Path) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    for source in SOURCES {
        let text = std::fs::read_to_string(here.join(source)).map_err(|it| format!("{source}: {it}"))?;
        for part in text.split("#[unsafe(no_mangle)]").skip(1) {
            let name = part.split_once("fn ").and_then(|(_, rest)| rest.split_once('('));
            names.push(name.ok_or_else(|| format!("{source}: an export without a name"))?.0.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn rust(surface: &Surface) -> String {
    let mut out = String::from(
        "//! Made from `bindings/surface.toml` by `src/bin/header.rs`; do not edit.\n\n\
         #![allow(dead_code, reason = \"some names are only for the header\")]\n\n\
         /// What a call came to: the codes of `error` in `bindings/surface.toml`.\n\
         #[repr(C)]\n#[derive(Clone, Copy, PartialEq, Eq)]\npub enum trn_status {\n",
    );
    let mut variant = |name: &str, value: i64, doc: &str| {
        line!(out, "    /// {doc}\n    {} = {value},", pascal(name));
    };
    variant("ok", 0, "All is well.");
    variant("false", 100, "All is well, and the answer is no; each function says what that means.");
    for it in &surface.error {
        // 0 stands for a code of the peer's own, but as a status it would mean success.
        variant(&it.kind, if it.code == 0 { 101 } else { it.code }, &it.doc);
    }
    out.push_str("}\n\nimpl trn_status {\n    /// The status of an error kind.\n");
    out.push_str("    pub(crate) fn of_kind(kind: &str) -> Self {\n        match kind {\n");
    for it in surface.error.iter().filter(|it| it.kind != "remote") {
        line!(out, "            {:?} => Self::{},", it.kind, pascal(&it.kind));
    }
    out.push_str(
        "            _ => Self::Remote,\n        }\n    }\n\n    /// An error kind as static text.\n",
    );
    out.push_str("    pub(crate) fn kind(kind: &str) -> &'static str {\n        match kind {\n");
    for it in surface.error.iter().filter(|it| it.kind != "remote") {
        line!(out, "            {:?} => {:?},", it.kind, it.kind);
    }
    out.push_str("            _ => \"remote\",\n        }\n    }\n}\n");
    for (name, doc, numbers) in [
        ("trn_event_kind", "What an event tells.", &surface.event),
        ("trn_outcome", "What a completion says, and so what its payload is.", &surface.outcome),
    ] {
        line!(out, "\n/// {doc}\n#[repr(C)]\n#[derive(Clone, Copy, PartialEq, Eq)]\npub enum {name} {{");
        for it in numbers {
            line!(out, "    /// {}\n    {} = {},", it.doc, pascal(&it.name), it.value);
        }
        out.push_str("}\n");
    }
    line!(out, "\n/// The binary interface.\npub(crate) const ABI: u32 = {};", surface.meta.abi);
    out
}

/// What cbindgen cannot make: versions, texts, and the table of options.
fn constants(surface: &Surface) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut parts = version.splitn(3, '.');
    let mut out = format!("\n#define TRN_VERSION \"{version}\"\n");
    for part in ["MAJOR", "MINOR", "PATCH"] {
        let number = parts.next().unwrap_or("0").split('-').next().unwrap_or("0");
        line!(out, "#define TRN_VERSION_{part} {number}");
    }
    line!(out, "/* Binary interface of this header; trn_abi() is that of the library in use. */");
    line!(out, "#define TRN_ABI {}\n\n/* What a client can ask, for trn_request. */", surface.meta.abi);
    for Op { name } in &surface.op {
        line!(out, "#define TRN_OP_{} \"{name}\"", name.to_uppercase());
    }
    out.push_str("\n/* Error kinds, as in trn_error and in the payload of TRN_EVENT_ERROR. */\n");
    for Kind { kind, .. } in &surface.error {
        line!(out, "#define TRN_KIND_{} \"{kind}\"", kind.to_uppercase());
    }
    out.push_str("\n/*\n * Options: JSON objects with these keys.\n");
    let mut scope = "";
    for it in &surface.option {
        if it.scope != scope {
            scope = &it.scope;
            line!(out, " *\n * {scope}");
        }
        line!(out, " *   {} ({}, default {})", it.key, it.kind, it.default);
        line!(out, " *     {}", it.doc);
    }
    out.push_str(" */");
    out
}

fn pascal(name: &str) -> String {
    let mut out = String::new();
    for part in name.split('_') {
        let (head, tail) = part.split_at(1);
        out.push_str(&head.to_uppercase());
        out.push_str(tail);
    }
    out
}

fn put(check: bool, path: &Path, text: &str) -> Result<(), String> {
    if std::fs::read_to_string(path).is_ok_and(|it| it == text) {
        return Ok(());
    }
    if check {
        return Err(format!("{} is stale; run it without --check", path.display()));
    }
    std::fs::write(path, text).map_err(|it| format!("{}: {it}", path.display()))
}
