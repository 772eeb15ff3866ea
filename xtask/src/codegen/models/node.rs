//! `node/src/models.ts`.

use super::source::{Field, Models, Presence, Record, Ty};
use super::{MARK, named};

/// Names that differ in TypeScript.
const NAMES: &[(&str, &str)] = &[("Content", "ContentBlock")];

/// The whole file.
pub fn file(models: &Models) -> String {
    let mut out = format!(
        "// {MARK}\n\n// The objects of the protocol as JSON carries them. Members that are not listed are kept.\n\n"
    );
    out += "import type { JsonObject } from \"./types.js\";\n";
    for choice in models.real_choices() {
        let values: Vec<_> = choice.values.iter().map(|(_, wire, _)| format!("\"{wire}\"")).collect();
        out += &format!(
            "\n/** {} */\nexport type {} = {};\n",
            choice.doc,
            named(NAMES, &choice.name),
            values.join(" | ")
        );
    }
    for record in &models.records {
        out += &interface(record);
    }
    for union in &models.unions {
        let members: Vec<_> = union.variants.iter().map(|variant| named(NAMES, &variant.record)).collect();
        out += &format!(
            "\n/** {} */\nexport type {} = {};\n",
            union.doc,
            named(NAMES, &union.name),
            members.join(" | ")
        );
    }
    out
}

fn interface(record: &Record) -> String {
    let name = named(NAMES, &record.name);
    let mut out = format!("\n/** {} */\nexport interface {name} {{\n", record.doc);
    if let Some((key, value)) = &record.tag {
        out += &format!("  {key}: \"{value}\";\n");
    }
    for field in &record.fields {
        out += &member(field);
    }
    // The protocol leaves results open, and only these: elsewhere a misspelt member is worth an error.
    if name.ends_with("Result") {
        out += "  [member: string]: unknown;\n";
    }
    out + "}\n"
}

fn member(field: &Field) -> String {
    let mark = if field.presence == Presence::Optional { "?" } else { "" };
    let doc = match field.ty {
        Ty::Bytes => format!("{}, in Base64.", field.doc.trim_end_matches('.')),
        _ => field.doc.clone(),
    };
    format!("  /** {doc} */\n  {}{mark}: {};\n", field.wire, type_of(&field.ty))
}

fn type_of(ty: &Ty) -> String {
    match ty {
        Ty::Text | Ty::Bytes => "string".into(),
        Ty::Bool => "boolean".into(),
        Ty::Int | Ty::Float => "number".into(),
        Ty::Any => "unknown".into(),
        Ty::Object => "Record<string, unknown>".into(),
        Ty::Schema => "JsonObject".into(),
        Ty::List(inner) => format!("{}[]", type_of(inner)),
        Ty::Dict(inner) => format!("Record<string, {}>", type_of(inner)),
        Ty::OneOrMany(inner) => format!("{0} | {0}[]", type_of(inner)),
        Ty::Model(name) | Ty::Choice(name) => named(NAMES, name).into(),
        Ty::Constant(value) => format!("\"{value}\""),
    }
}
