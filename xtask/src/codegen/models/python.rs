//! `python/src/trunnion/_models.py`.
//!
//! Classes with slots and code of their own, no dataclasses: those cost a compilation each when the module is loaded.

use super::super::surface::snake;
use super::source::{Choice, Field, Models, Presence, Record, Ty, Union};
use super::{MARK, named};

/// Names that differ in Python.
const NAMES: &[(&str, &str)] = &[
    ("TextContent", "Text"),
    ("ImageContent", "Image"),
    ("AudioContent", "Audio"),
    ("Tool", "ToolInfo"),
    ("Resource", "ResourceInfo"),
    ("ResourceTemplate", "ResourceTemplateInfo"),
    ("Prompt", "PromptInfo"),
    ("PromptMessage", "Message"),
    ("CompletionValues", "Completion"),
    ("CallToolResult", "CallResult"),
    ("ReadResourceResult", "ReadResult"),
    ("GetPromptResult", "PromptResult"),
];
const FIELDS: &[(&str, &str)] = &[("structured_content", "structured")];
/// Classes with more than the protocol defines, from `_shapes.py`; true: the constructor too.
const SHAPES: &[(&str, &str, bool)] = &[
    ("CallToolResult", "CallShape", false),
    ("CompletionValues", "CompletionShape", true),
    ("GetPromptResult", "PromptShape", true),
    ("PromptMessage", "MessageShape", true),
    ("ReadResourceResult", "ReadShape", false),
    ("ResourceContents", "ContentsShape", true),
];
const IMPORTS: &str = r#"
from __future__ import annotations

from binascii import a2b_base64
from typing import TYPE_CHECKING, Any, Literal, Union

from ._json import base64
from ._model import Model, Unknown, UnknownContent, emit_any, one, parse_any
"#;

/// The whole file.
pub fn file(models: &Models) -> String {
    let mut out = format!(
        "# {MARK}\n\"\"\"The objects of the protocol. What is not known here is kept in `extra`.\"\"\"\n"
    );
    out += IMPORTS;
    let shapes: Vec<_> = SHAPES.iter().map(|(_, shape, _)| *shape).collect();
    out += &format!("from ._shapes import {}\n\n", shapes.join(", "));
    out += "if TYPE_CHECKING:\n    from collections.abc import Callable, Mapping, Sequence\n\n    from typing_extensions import Self\n\n";
    for choice in models.real_choices() {
        out += &literal(choice);
    }
    for record in &models.records {
        out += &class(models, record);
    }
    for each in &models.unions {
        out += &union(models, each);
    }
    out
}

fn literal(choice: &Choice) -> String {
    let values: Vec<_> = choice.values.iter().map(|(_, wire, _)| format!("\"{wire}\"")).collect();
    format!("# {}\n{} = Literal[{}]\n", choice.doc, named(NAMES, &choice.name), values.join(", "))
}

fn class(models: &Models, record: &Record) -> String {
    let shape = SHAPES.iter().find(|(name, ..)| *name == record.name);
    let bases = shape.map_or("Model".into(), |(_, shape, _)| format!("{shape}, Model"));
    let slots: Vec<&Field> = record.fields.iter().filter(|field| !is_fixed(field)).collect();
    let own_init = shape.is_some_and(|(.., own_init)| *own_init);
    let heading = if own_init { "Attributes" } else { "Args" };
    let mut out = format!(
        "\n\nclass {}({bases}):\n    \"\"\"{}\n\n    {heading}:\n",
        named(NAMES, &record.name),
        record.doc
    );
    for field in ordered(&slots) {
        out += &format!("        {}: {}\n", attribute(field), lower(&field.doc));
    }
    out += "        extra: members that are not known here.\n    \"\"\"\n\n";
    let names: Vec<_> = slots.iter().map(|field| format!("\"{}\"", attribute(field))).collect();
    let comma = if names.len() == 1 { "," } else { "" };
    out += &format!("    __slots__ = ({}{comma})\n", names.join(", "));
    if let Some((key, value)) = &record.tag {
        out += &format!("    {key} = \"{value}\"\n");
    }
    for field in record.fields.iter().filter(|field| is_fixed(field)) {
        let Ty::Constant(value) = &field.ty else { continue };
        out += &format!("    {}: Literal[\"{value}\"] = \"{value}\"\n", attribute(field));
    }
    for field in &slots {
        out += &format!("    {}: {}\n", attribute(field), optional(field, &annotation(&field.ty)));
    }
    if !own_init {
        out += &init(models, &slots);
    }
    out + &from_json(models, record, &slots) + &to_json(record, &slots)
}

fn init(models: &Models, slots: &[&Field]) -> String {
    let mut out = String::from("\n    def __init__(\n        self,\n");
    let (first, rest): (Vec<&Field>, Vec<&Field>) =
        slots.iter().partition(|field| field.presence != Presence::Optional);
    for field in first {
        let default = if field.presence == Presence::Defaulted { " = ()" } else { "" };
        out += &format!("        {}: {}{default},\n", attribute(field), parameter(&field.ty));
    }
    out += "        *,\n";
    for field in rest {
        out += &format!("        {}: {} | None = None,\n", attribute(field), parameter(&field.ty));
    }
    out += "        extra: dict[str, Any] | None = None,\n    ) -> None:\n";
    for field in slots {
        let name = attribute(field);
        let value = match coerced(models, &field.ty, &name) {
            Some(made) if field.presence == Presence::Optional => {
                format!("None if {name} is None else {made}")
            }
            Some(made) => made,
            None => name.clone(),
        };
        out += &format!("        self.{name} = {value}\n");
    }
    out + "        self.extra = {} if extra is None else extra\n"
}

fn from_json(models: &Models, record: &Record, slots: &[&Field]) -> String {
    let mut out =
        String::from("\n    @classmethod\n    def from_json(cls, value: Mapping[str, Any]) -> Self:\n");
    out += "        \"\"\"Read the protocol's JSON object; one of another shape is a KeyError, TypeError or ValueError.\"\"\"\n";
    out += "        rest = dict(value)\n        pop = rest.pop\n        self = cls.__new__(cls)\n";
    if let Some((key, _)) = &record.tag {
        out += &format!("        pop(\"{key}\", None)\n");
    }
    for field in record.fields.iter().filter(|field| is_fixed(field)) {
        out += &format!("        pop(\"{}\", None)\n", field.wire);
    }
    for field in slots {
        let (name, wire) = (attribute(field), &field.wire);
        let got = match field.presence {
            Presence::Required => format!("pop(\"{wire}\")"),
            Presence::Defaulted => format!("(pop(\"{wire}\", None) or [])"),
            Presence::Optional => format!("pop(\"{wire}\", None)"),
        };
        out += &match parsed(models, &field.ty, "got") {
            None => format!("        self.{name} = {got}\n"),
            Some(read) if field.presence == Presence::Optional => {
                format!("        got = {got}\n        self.{name} = None if got is None else {read}\n")
            }
            Some(_) => {
                format!("        self.{name} = {}\n", parsed(models, &field.ty, &got).expect("as above"))
            }
        };
    }
    out + "        self.extra = rest\n        return self\n"
}

fn to_json(record: &Record, slots: &[&Field]) -> String {
    let mut out = String::from(
        "\n    def to_json(self) -> dict[str, Any]:\n        \"\"\"The protocol's JSON object.\"\"\"\n",
    );
    out += "        wire: dict[str, Any] = {";
    let mut rows = String::new();
    if let Some((key, value)) = &record.tag {
        rows += &format!("            \"{key}\": \"{value}\",\n");
    }
    for field in record.fields.iter().filter(|field| field.presence != Presence::Optional) {
        let value = match &field.ty {
            Ty::Constant(value) => format!("\"{value}\""),
            ty => written(ty, &format!("self.{}", attribute(field))),
        };
        rows += &format!("            \"{}\": {value},\n", field.wire);
    }
    out += &if rows.is_empty() { "}\n".into() } else { format!("\n{rows}        }}\n") };
    for field in slots.iter().filter(|field| field.presence == Presence::Optional) {
        let value = format!("self.{}", attribute(field));
        out += &format!("        if {value} is not None:\n");
        out += &format!("            wire[\"{}\"] = {}\n", field.wire, written(&field.ty, &value));
    }
    out + "        if self.extra:\n            wire.update(self.extra)\n        return wire\n"
}

fn union(models: &Models, union: &Union) -> String {
    let name = named(NAMES, &union.name);
    let unknown = if union.tag.as_deref() == Some("type") { "UnknownContent" } else { "Unknown" };
    let members: Vec<_> = union.variants.iter().map(|variant| named(NAMES, &variant.record)).collect();
    let mut out = format!("\n\n# {}\n{name} = Union[{}, {unknown}]\n", union.doc, members.join(", "));
    let function = reader(&union.name);
    if union.tag.is_some() {
        out +=
            &format!("_{}: dict[str, Callable[[Mapping[str, Any]], {name}]] = {{\n", function.to_uppercase());
        for variant in &union.variants {
            let tag = variant.tag.as_deref().expect("a variant of a tagged union has a tag");
            out += &format!("    \"{tag}\": {}.from_json,\n", named(NAMES, &variant.record));
        }
        out += "}\n";
    }
    out += &format!("\n\ndef {function}(value: Mapping[str, Any]) -> {name}:\n");
    out += &format!(
        "    \"\"\"Read the protocol's JSON object; one that is not known here becomes `{unknown}`.\"\"\"\n    try:\n"
    );
    if let Some(tag) = &union.tag {
        out += &format!("        return _{}[value[\"{tag}\"]](value)\n", function.to_uppercase());
    } else {
        for variant in &union.variants {
            let tests = conditions(models, models.record(&variant.record), "value");
            out += &format!("        if {}:\n", tests.join(" and "));
            out += &format!("            return {}.from_json(value)\n", named(NAMES, &variant.record));
        }
    }
    out += "    except (AttributeError, KeyError, TypeError, ValueError):\n        pass\n";
    out + &format!("    return {unknown}(dict(value))\n")
}

/// The conditions under which an object is this record.
fn conditions(models: &Models, record: &Record, object: &str) -> Vec<String> {
    let mut out = Vec::new();
    for field in &record.fields {
        let wire = &field.wire;
        match (&field.ty, field.presence) {
            (Ty::Constant(value), Presence::Optional) => {
                out.push(format!("{object}.get(\"{wire}\") in (None, \"{value}\")"));
            }
            (_, Presence::Optional | Presence::Defaulted) => {}
            (Ty::Constant(value), _) => out.push(format!("{object}.get(\"{wire}\") == \"{value}\"")),
            (Ty::Choice(name), _) => {
                let values: Vec<_> =
                    models.choice(name).values.iter().map(|(_, wire, _)| format!("\"{wire}\"")).collect();
                out.push(format!("{object}.get(\"{wire}\") in ({})", values.join(", ")));
            }
            (Ty::Model(name), _) if models.union(name).is_none() => {
                out.push(format!("\"{wire}\" in {object}"));
                out.extend(conditions(models, models.record(name), &format!("{object}[\"{wire}\"]")));
            }
            _ => out.push(format!("\"{wire}\" in {object}")),
        }
    }
    out
}

/// The attribute's type.
fn annotation(ty: &Ty) -> String {
    match ty {
        Ty::Text => "str".into(),
        Ty::Bool => "bool".into(),
        Ty::Int => "int".into(),
        Ty::Float => "float".into(),
        Ty::Any => "Any".into(),
        Ty::Object | Ty::Schema => "dict[str, Any]".into(),
        Ty::Bytes => "bytes".into(),
        Ty::List(inner) => format!("Sequence[{}]", annotation(inner)),
        Ty::Dict(inner) => format!("Mapping[str, {}]", annotation(inner)),
        Ty::OneOrMany(inner) => {
            let inner = annotation(inner);
            format!("{inner} | Sequence[{inner}]")
        }
        Ty::Model(name) | Ty::Choice(name) => named(NAMES, name).into(),
        Ty::Constant(value) => format!("Literal[\"{value}\"]"),
    }
}

/// The parameter type of the constructor: an object may be given in its JSON form.
fn parameter(ty: &Ty) -> String {
    match ty {
        Ty::Model(name) => format!("{} | Mapping[str, Any]", named(NAMES, name)),
        Ty::List(inner) => format!("Sequence[{}]", parameter(inner)),
        Ty::Dict(inner) => format!("Mapping[str, {}]", parameter(inner)),
        Ty::OneOrMany(inner) => {
            let inner = parameter(inner);
            format!("{inner} | Sequence[{inner}]")
        }
        other => annotation(other),
    }
}

fn coerced(models: &Models, ty: &Ty, value: &str) -> Option<String> {
    Some(match ty {
        Ty::Model(name) => format!("one({}, {value})", parser(models, name)),
        Ty::List(inner) => format!("[{} for item in {value}]", coerced(models, inner, "item")?),
        Ty::Dict(inner) => {
            format!("{{key: {} for key, item in {value}.items()}}", coerced(models, inner, "item")?)
        }
        Ty::OneOrMany(inner) => match &**inner {
            Ty::Model(name) => format!("parse_any({}, {value})", parser(models, name)),
            _ => return None,
        },
        _ => return None,
    })
}

fn parsed(models: &Models, ty: &Ty, value: &str) -> Option<String> {
    Some(match ty {
        Ty::Bytes => format!("a2b_base64({value})"),
        Ty::Model(name) => format!("{}({value})", parser(models, name)),
        Ty::List(inner) => format!("[{} for item in {value}]", parsed(models, inner, "item")?),
        Ty::Dict(inner) => {
            format!("{{key: {} for key, item in {value}.items()}}", parsed(models, inner, "item")?)
        }
        Ty::OneOrMany(_) => return coerced(models, ty, value),
        _ => return None,
    })
}

fn written(ty: &Ty, value: &str) -> String {
    let plain = |ty: &Ty| written(ty, "item") == "item";
    match ty {
        Ty::Bytes => format!("base64({value})"),
        Ty::Model(_) => format!("{value}.to_json()"),
        Ty::List(inner) if plain(inner) => format!("list({value})"),
        Ty::List(inner) => format!("[{} for item in {value}]", written(inner, "item")),
        Ty::Dict(inner) if plain(inner) => format!("dict({value})"),
        Ty::Dict(inner) => {
            format!("{{key: {} for key, item in {value}.items()}}", written(inner, "item"))
        }
        Ty::OneOrMany(_) => format!("emit_any({value})"),
        _ => value.into(),
    }
}

fn parser(models: &Models, name: &str) -> String {
    if models.union(name).is_some() { reader(name) } else { format!("{}.from_json", named(NAMES, name)) }
}

fn reader(union: &str) -> String {
    format!("{}_from_json", snake(named(NAMES, union)).trim_start_matches('_'))
}

fn is_fixed(field: &Field) -> bool {
    matches!(field.ty, Ty::Constant(_)) && field.presence != Presence::Optional
}

fn attribute(field: &Field) -> String {
    FIELDS
        .iter()
        .find(|(rust, _)| *rust == field.name)
        .map_or(field.name.clone(), |(_, own)| (*own).to_owned())
}

fn optional(field: &Field, ty: &str) -> String {
    if field.presence == Presence::Optional { format!("{ty} | None") } else { ty.to_owned() }
}

/// Those that the constructor takes by position come first.
fn ordered<'a>(slots: &[&'a Field]) -> Vec<&'a Field> {
    let (mut first, rest): (Vec<&Field>, Vec<&Field>) =
        slots.iter().partition(|field| field.presence != Presence::Optional);
    first.extend(rest);
    first
}

/// A sentence within a list, without its capital.
fn lower(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
            first.to_lowercase().collect::<String>() + chars.as_str()
        }
        _ => text.to_owned(),
    }
}
