//! `swift/Sources/Trunnion/GeneratedModels.swift`.
//!
//! Each type holds its JSON object and reads and writes its members, so nothing that it does not know can be lost.

use super::super::surface::camel;
use super::source::{Choice, Field, Models, Presence, Record, Ty, Union};
use super::{MARK, named};

/// Names that differ in Swift.
const NAMES: &[(&str, &str)] = &[
    ("CallToolResult", "ToolResult"),
    ("ReadResourceResult", "ReadResult"),
    ("GetPromptResult", "PromptResult"),
    ("Progress", "ProgressUpdate"),
];
const FIELDS: &[(&str, &str, &str)] = &[("ResourceContents", "blob", "data")];
/// Truth values that mean no when they are absent.
const FALSE_WHEN_ABSENT: &[(&str, &str)] = &[
    ("CallToolResult", "is_error"),
    ("ToolResultContent", "is_error"),
    ("PromptArgument", "required"),
    ("CompletionValues", "has_more"),
];
const KEYWORDS: &[&str] = &["default", "enum", "in", "is", "as", "protocol", "self", "init"];

/// The whole file.
pub fn file(models: &Models) -> String {
    let mut out = format!("// {MARK}\n\nimport Foundation\n");
    for choice in models.real_choices() {
        out += &open_choice(choice);
    }
    for record in &models.records {
        out += &structure(record);
    }
    for each in &models.unions {
        out += &union(models, each);
    }
    out
}

fn open_choice(choice: &Choice) -> String {
    let name = named(NAMES, &choice.name);
    let mut out = format!("\n/// {}\npublic struct {name}: JSONChoice, JSONField {{\n", choice.doc);
    out +=
        "    public var rawValue: String\n    public init(rawValue: String) { self.rawValue = rawValue }\n";
    for (case, wire, doc) in &choice.values {
        // A static member `none` would be taken for the `none` of an optional.
        let case = if case == "None" { "nothing".into() } else { camel_case(case) };
        out += &format!("\n    /// {doc}\n    public static let {case} = {name}(rawValue: \"{wire}\")\n");
    }
    out + "}\n"
}

fn structure(record: &Record) -> String {
    let fields: Vec<&Field> = record.fields.iter().filter(|field| !is_fixed(field)).collect();
    let mut out = format!(
        "\n/// {}\npublic struct {}: JSONModel, JSONField {{\n",
        record.doc,
        named(NAMES, &record.name)
    );
    out += "    public var json: [String: JSONValue]\n    public init(json: [String: JSONValue]) { self.json = json }\n\n";
    out += &memberwise(record, &fields);
    for field in fields.iter().filter(|field| field.wire != "_meta") {
        out += &accessor(record, field);
    }
    out + "}\n"
}

fn memberwise(record: &Record, fields: &[&Field]) -> String {
    let (first, rest): (Vec<&Field>, Vec<&Field>) =
        fields.iter().partition(|field| field.presence != Presence::Optional);
    let mut parameters = Vec::new();
    for field in first {
        let default = if field.presence == Presence::Defaulted { " = []" } else { "" };
        parameters.push(format!("{}: {}{default}", name(record, field), type_of(&field.ty)));
    }
    for field in rest {
        parameters.push(format!("{}: {}? = nil", name(record, field), type_of(&field.ty)));
    }
    let mut out = format!(
        "    /// What is nil is left out.\n    public init(\n        {}\n    ) {{\n",
        parameters.join(",\n        ")
    );
    let mut fixed: Vec<String> =
        record.tag.iter().map(|(key, value)| format!("\"{key}\": \"{value}\"")).collect();
    for field in &record.fields {
        if let (true, Ty::Constant(value)) = (is_fixed(field), &field.ty) {
            fixed.push(format!("\"{}\": \"{value}\"", field.wire));
        }
    }
    out += &format!("        json = [{}]\n", if fixed.is_empty() { ":".into() } else { fixed.join(", ") });
    for field in fields {
        let optional = if field.presence == Presence::Optional { "?" } else { "" };
        out += &format!("        json[\"{}\"] = {}{optional}.jsonValue\n", field.wire, name(record, field));
    }
    out + "    }\n"
}

fn accessor(record: &Record, field: &Field) -> String {
    let (ty, wire) = (type_of(&field.ty), &field.wire);
    let no = FALSE_WHEN_ABSENT.contains(&(record.name.as_str(), field.name.as_str()));
    let (ty, read, write) = match (field.presence, &field.ty) {
        (Presence::Optional, Ty::List(_)) => (ty, "member", ""),
        (Presence::Optional, _) if no => (ty, "member", ""),
        (Presence::Optional, _) => (format!("{ty}?"), "optionalMember", "?"),
        _ => (ty, "member", ""),
    };
    format!(
        "\n    /// {}\n    public var {}: {ty} {{\n        get {{ {read}(\"{wire}\") }}\n        set {{ json[\"{wire}\"] = newValue{write}.jsonValue }}\n    }}\n",
        field.doc,
        name(record, field),
    )
}

fn union(models: &Models, union: &Union) -> String {
    let own = named(NAMES, &union.name);
    let mut out = format!("\n/// {}\npublic struct {own}: JSONModel, JSONField {{\n", union.doc);
    out += "    public var json: [String: JSONValue]\n    public init(json: [String: JSONValue]) { self.json = json }\n\n";
    out += "    /// Which of the types it is.\n    public enum Kind: Sendable, Hashable {\n";
    for variant in &union.variants {
        out += &format!("        /// {}\n", variant.doc);
        out += &format!("        case {}({})\n", camel_case(&variant.name), named(NAMES, &variant.record));
    }
    out += "        /// One that is not known here.\n        case other([String: JSONValue])\n    }\n\n";
    out += "    /// What it is, to switch over.\n    public var kind: Kind {\n";
    match &union.tag {
        Some(tag) => {
            out += &format!("        switch json[\"{tag}\"] {{\n");
            for variant in &union.variants {
                let value = variant.tag.as_deref().expect("a variant of a tagged union has a tag");
                let record = named(NAMES, &variant.record);
                out += &format!(
                    "        case \"{value}\": .{}({record}(json: json))\n",
                    camel_case(&variant.name)
                );
            }
            out += "        default: .other(json)\n        }\n";
        }
        None => {
            for variant in &union.variants {
                let tests = conditions(models, models.record(&variant.record), "json");
                let record = named(NAMES, &variant.record);
                out += &format!(
                    "        if {} {{\n            return .{}({record}(json: json))\n        }}\n",
                    tests.join(", "),
                    camel_case(&variant.name)
                );
            }
            out += "        return .other(json)\n";
        }
    }
    out += "    }\n";
    for variant in &union.variants {
        let record = named(NAMES, &variant.record);
        out +=
            &format!("\n    /// {}\n    public init(_ item: {record}) {{ json = item.json }}\n", variant.doc);
    }
    out + "}\n"
}

/// The conditions under which an object is this record.
fn conditions(models: &Models, record: &Record, object: &str) -> Vec<String> {
    let mut out = Vec::new();
    for field in &record.fields {
        let at = format!("{object}[\"{}\"]", field.wire);
        match (&field.ty, field.presence) {
            (Ty::Constant(value), Presence::Optional) => {
                out.push(format!("[nil, \"{value}\"].contains({at})"))
            }
            (_, Presence::Optional | Presence::Defaulted) => {}
            (Ty::Constant(value), _) => out.push(format!("{at} == \"{value}\"")),
            (Ty::Choice(name), _) => {
                let values: Vec<_> =
                    models.choice(name).values.iter().map(|(_, wire, _)| format!("\"{wire}\"")).collect();
                out.push(format!("[{}].contains({at})", values.join(", ")));
            }
            (Ty::Model(name), _) if models.union(name).is_none() => {
                out.push(format!("{at} != nil"));
                out.extend(conditions(models, models.record(name), &format!("{at}?")));
            }
            _ => out.push(format!("{at} != nil")),
        }
    }
    out
}

fn type_of(ty: &Ty) -> String {
    match ty {
        Ty::Text => "String".into(),
        Ty::Bool => "Bool".into(),
        Ty::Int => "Int".into(),
        Ty::Float => "Double".into(),
        Ty::Any | Ty::Schema => "JSONValue".into(),
        Ty::Object => "[String: JSONValue]".into(),
        Ty::Bytes => "Data".into(),
        Ty::List(inner) => format!("[{}]", type_of(inner)),
        Ty::Dict(inner) => format!("[String: {}]", type_of(inner)),
        Ty::OneOrMany(inner) => format!("OneOrMany<{}>", type_of(inner)),
        Ty::Model(name) | Ty::Choice(name) => named(NAMES, name).into(),
        Ty::Constant(_) => "String".into(),
    }
}

fn is_fixed(field: &Field) -> bool {
    matches!(field.ty, Ty::Constant(_)) && field.presence != Presence::Optional
}

fn name(record: &Record, field: &Field) -> String {
    let own = FIELDS.iter().find(|(of, rust, _)| *of == record.name && *rust == field.name);
    let plain = own.map_or_else(|| camel(&field.name), |(.., own)| (*own).to_owned());
    if KEYWORDS.contains(&plain.as_str()) { format!("`{plain}`") } else { plain }
}

fn camel_case(pascal: &str) -> String {
    pascal[..1].to_lowercase() + &pascal[1..]
}
