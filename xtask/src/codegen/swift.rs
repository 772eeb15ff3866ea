//! `swift/Sources/Trunnion/Generated.swift`.

use super::MARK;
use super::surface::{Item, Opt, Surface, camel, pascal};

/// The whole file.
pub fn file(surface: &Surface) -> String {
    let mut out = format!("// {MARK}\n\n/// What an event says.\n");
    out += &numbers("EventKind", &surface.events);
    out += "\n/// What a completion says.\n";
    out += &numbers("Outcome", &surface.outcomes);
    out += "\n/// The neutral names of what a client may ask for.\nenum Op: String, CaseIterable {\n";
    for op in &surface.ops {
        out += &format!("    {}\n", string_case(op));
    }
    out += "}\n\nextension McpError {\n    /// What went wrong, the same names in every language.\n";
    out += "    public enum Kind: String, Sendable, Hashable, Codable, CaseIterable {\n";
    for error in &surface.errors {
        out += &format!("        /// {}\n        {}\n", error.doc, string_case(&error.name));
    }
    out += "\n        /// The code that goes with the kind; a peer's own codes have kind `remote`.\n";
    out += "        public var code: Int {\n            switch self {\n";
    for error in &surface.errors {
        out += &format!("            case .{}: {}\n", name(&error.name), error.value);
    }
    out += "            }\n        }\n    }\n}\n";
    for (scope, options) in &surface.options {
        out += &options_struct(scope, options);
    }
    out
}

fn numbers(kind: &str, items: &[Item]) -> String {
    let mut out = format!("enum {kind}: UInt32, CaseIterable {{\n");
    for item in items {
        out += &format!("    /// {}\n    case {} = {}\n", item.doc, name(&item.name), item.value);
    }
    out + "}\n"
}

fn options_struct(scope: &str, options: &[Opt]) -> String {
    let (whose, title) = match scope {
        "engine" => ("a `Runtime`", "Engine".to_owned()),
        "server" => ("a `Server`", "Server".to_owned()),
        "tool" => ("a tool", "Tool".to_owned()),
        "serve_http" => ("`Server.serveHTTP`", "ServeHTTP".to_owned()),
        "connect" => ("a `Client`", "Connect".to_owned()),
        "auth" => ("how a `Client` signs in", "Auth".to_owned()),
        "request" => ("one request of a `Client`", "Request".to_owned()),
        other => ("the engine", pascal(other)),
    };
    let mut out = format!("\n/// Options of {whose}. What is nil keeps the engine's default.\n");
    out += &format!("public struct {title}Options: Sendable, Hashable, Codable {{\n");
    for option in options {
        out += &format!("    /// {} Default: {}.\n", option.doc, option.default);
        out += &format!("    public var {}: {}?\n", option.key, swift_type(&option.kind));
    }
    out += "\n    /// Name only what should differ from the default.\n    public init(\n";
    let parameters: Vec<_> =
        options.iter().map(|o| format!("        {}: {}? = nil", o.key, swift_type(&o.kind))).collect();
    out += &format!("{}\n    ) {{\n", parameters.join(",\n"));
    for option in options {
        out += &format!("        self.{0} = {0}\n", option.key);
    }
    out + "    }\n}\n"
}

fn swift_type(kind: &str) -> &'static str {
    match kind {
        "integer" => "Int",
        "boolean" => "Bool",
        "array" => "[String]",
        "object" => "[String: JSONValue]",
        "objects" => "[[String: JSONValue]]",
        "value" => "JSONValue",
        _ => "String",
    }
}

/// A case of a string enum; the raw value is named only where it differs.
fn string_case(snake: &str) -> String {
    let case = camel(snake);
    if case == snake { format!("case {}", name(snake)) } else { format!("case {case} = \"{snake}\"") }
}

fn name(snake: &str) -> String {
    match camel(snake).as_str() {
        "protocol" => "`protocol`".into(),
        other => other.into(),
    }
}
