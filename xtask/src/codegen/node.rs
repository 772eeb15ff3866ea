//! `node/src/generated.ts`.

use super::MARK;
use super::surface::{Item, Opt, Surface, camel, error_class, pascal};

/// The whole file.
pub fn file(surface: &Surface) -> String {
    let mut out = format!("// {MARK}\n\nimport {{ McpError }} from \"./errors.js\";\n\n");
    out += &format!("/** Version of the surface. */\nexport const ABI = {};\n\n", surface.abi);
    out += "/** Functions of the native module, in the surface's own spelling. */\n";
    out += &strings("FUNCTIONS", &surface.functions);
    out += "\n/** Kinds of events. */\n";
    out += &numbers("EVENT", &surface.events);
    out += "\n/** What a completion says. */\n";
    out += &numbers("OUTCOME", &surface.outcomes);
    out += "\n/** Neutral names of the requests of a client. */\n";
    out += &strings("OPS", &surface.ops);
    out += "\n/** The neutral name of a request. */\nexport type Op = (typeof OPS)[number];\n";
    out += "\n/** Kinds of errors and their codes. */\nexport const ERROR_CODES = {\n";
    for error in &surface.errors {
        out += &format!("  {}: {},\n", error.name, error.value);
    }
    out += "} as const;\n\n/** The kind of an error. */\nexport type ErrorKind = keyof typeof ERROR_CODES;\n";
    for error in &surface.errors {
        out += &format!(
            "\n/** {} */\nexport class {} extends McpError {{\n  static override readonly kind = \"{}\";\n  \
             static override readonly code: number = {};\n}}\n",
            error.doc,
            error_class(&error.name),
            error.name,
            error.value
        );
    }
    out += "\n/** The class of each kind. */\n";
    out += "export const ERROR_CLASSES: Readonly<Record<ErrorKind, typeof McpError>> = {\n";
    for error in &surface.errors {
        out += &format!("  {}: {},\n", error.name, error_class(&error.name));
    }
    out += "};\n";
    for (scope, options) in &surface.options {
        out += &interface(scope, options);
    }
    out += "\n/** The option keys of each scope. */\nexport const OPTION_KEYS = {\n";
    for (scope, options) in &surface.options {
        let keys: Vec<_> = options.iter().map(|option| format!("\"{}\"", option.key)).collect();
        out += &format!("  {scope}: [{}],\n", keys.join(", "));
    }
    out + "} as const;\n"
}

fn strings(name: &str, values: &[String]) -> String {
    let rows: String = values.iter().map(|value| format!("  \"{value}\",\n")).collect();
    format!("export const {name} = [\n{rows}] as const;\n")
}

fn numbers(name: &str, items: &[Item]) -> String {
    let row = |item: &Item| format!("  /** {} */\n  {}: {},\n", item.doc, camel(&item.name), item.value);
    format!("export const {name} = {{\n{}}} as const;\n", items.iter().map(row).collect::<String>())
}

fn interface(scope: &str, options: &[Opt]) -> String {
    let mut out =
        format!("\n/** Options of scope `{scope}`. */\nexport interface {}Options {{\n", pascal(scope));
    for option in options {
        out += &format!("  /** {} Default: `{}`. */\n", option.doc, option.default);
        out += &format!("  {}?: {};\n", option.key, type_of(&option.kind));
    }
    out + "}\n"
}

fn type_of(kind: &str) -> &'static str {
    match kind {
        "integer" => "number",
        "boolean" => "boolean",
        "array" => "readonly string[]",
        "object" => "Readonly<Record<string, unknown>>",
        "objects" => "readonly Readonly<Record<string, unknown>>[]",
        "value" => "unknown",
        _ => "string",
    }
}
