//! The model types of `core/proto/src/model`, read from their source.
//!
//! The source and not a JSON Schema of it: a schema has lost the order of the fields, the names of the
//! variants and which strings are Base64. An attribute of serde that is not known here is refused, because
//! its effect cannot be guessed.

use syn::{Attribute, Expr, ExprLit, Fields, GenericArgument, Item, Lit, LitStr, PathArguments, Type};

use crate::process::read;
use crate::session::root;

use super::super::surface::{camel, snake};

const FOLDER: &str = "core/proto/src/model";
/// In the order in which they are written.
const FILES: &[&str] = &["content", "items", "results", "form", "asking"];
/// Written in each language by hand, as the languages have types of their own for them.
const OWN: &[&str] = &["CompletionReference", "OneOrMany", "Ordered"];

/// All model types.
#[derive(Default)]
pub struct Models {
    /// Objects.
    pub records: Vec<Record>,
    /// Strings of which some are known.
    pub choices: Vec<Choice>,
    /// One of several objects.
    pub unions: Vec<Union>,
}

/// An object with known members; unknown ones are stored.
#[derive(Clone)]
pub struct Record {
    /// `CamelCase`.
    pub name: String,
    /// One sentence.
    pub doc: String,
    /// Key and value of the member that distinguishes it from the other objects of its union.
    pub tag: Option<(String, String)>,
    /// In the order of their declaration.
    pub fields: Vec<Field>,
}

/// A member of an object.
#[derive(Clone)]
pub struct Field {
    /// `snake_case`.
    pub name: String,
    /// The key in JSON.
    pub wire: String,
    /// One sentence.
    pub doc: String,
    /// Its type.
    pub ty: Ty,
    /// When it may be absent.
    pub presence: Presence,
}

/// The presence of a member.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Always.
    Required,
    /// Read as empty when it is absent, always written.
    Defaulted,
    /// Absent for "nothing".
    Optional,
}

/// The type of a member.
#[derive(Clone, PartialEq, Eq)]
pub enum Ty {
    /// A string.
    Text,
    /// A truth value.
    Bool,
    /// A whole number.
    Int,
    /// Any number.
    Float,
    /// Any value.
    Any,
    /// Any object.
    Object,
    /// A JSON Schema.
    Schema,
    /// Bytes as Base64.
    Bytes,
    /// An array.
    List(Box<Ty>),
    /// An object by name, in order.
    Dict(Box<Ty>),
    /// One item, or an array of them.
    OneOrMany(Box<Ty>),
    /// A record or a union.
    Model(String),
    /// A choice of more than one value.
    Choice(String),
    /// The only value of a choice.
    Constant(String),
}

/// A string of which some values are known.
pub struct Choice {
    /// `CamelCase`.
    pub name: String,
    /// One sentence.
    pub doc: String,
    /// Rust's name, the string, and one sentence.
    pub values: Vec<(String, String, String)>,
}

/// One of several objects, or one that is not known here.
pub struct Union {
    /// `CamelCase`.
    pub name: String,
    /// One sentence.
    pub doc: String,
    /// Returns the key that distinguishes them, if one key does.
    pub tag: Option<String>,
    /// Name of the variant, one sentence, the record, and the value of the tag.
    pub variants: Vec<Variant>,
}

/// One of the objects of a union.
pub struct Variant {
    /// `CamelCase`.
    pub name: String,
    /// One sentence.
    pub doc: String,
    /// The record.
    pub record: String,
    /// The value of the tag, if the union has one.
    pub tag: Option<String>,
}

impl Models {
    /// Reads them.
    pub fn load() -> Result<Self, String> {
        let mut sources = Vec::new();
        for name in FILES {
            let path = root().join(FOLDER).join(format!("{name}.rs"));
            sources.push(read(&path)?);
        }
        Self::parse(&sources)
    }

    /// Reads the sources of modules.
    pub fn parse(sources: &[String]) -> Result<Self, String> {
        let mut models = Models::default();
        let mut aliases = Vec::new();
        for source in sources {
            let file = syn::parse_file(source).map_err(|e| format!("{FOLDER}: {e}"))?;
            for item in &file.items {
                models.item(item, &mut aliases)?;
            }
        }
        for (alias, target, doc) in aliases {
            let at = models.records.iter().position(|record| record.name == target);
            let at = at.ok_or_else(|| format!("{alias} stands for {target}, which is no record"))?;
            let record = Record { name: alias, doc, ..models.records[at].clone() };
            models.records.insert(at + 1, record);
        }
        models.resolve()?;
        Ok(models)
    }

    /// The record of that name.
    pub fn record(&self, name: &str) -> &Record {
        self.records.iter().find(|record| record.name == name).expect("names are checked when they are read")
    }

    /// The choice of that name.
    pub fn choice(&self, name: &str) -> &Choice {
        self.choices.iter().find(|choice| choice.name == name).expect("names are checked when they are read")
    }

    /// The union of that name, if it is one.
    pub fn union(&self, name: &str) -> Option<&Union> {
        self.unions.iter().find(|union| union.name == name)
    }

    /// Choices with more than one value; the others are constants.
    pub fn real_choices(&self) -> impl Iterator<Item = &Choice> {
        self.choices.iter().filter(|choice| choice.values.len() > 1)
    }

    fn item(&mut self, item: &Item, aliases: &mut Vec<(String, String, String)>) -> Result<(), String> {
        match item {
            Item::Struct(item) if !OWN.contains(&item.ident.to_string().as_str()) => {
                self.records.push(record(item)?);
            }
            Item::Enum(item) if !OWN.contains(&item.ident.to_string().as_str()) => {
                if item.variants.iter().all(|variant| matches!(variant.fields, Fields::Unit)) {
                    self.choices.push(choice(item)?);
                } else {
                    self.unions.push(union(item)?);
                }
            }
            Item::Type(item) => {
                let target =
                    path_name(&item.ty).ok_or_else(|| format!("{} is not understood", item.ident))?;
                aliases.push((item.ident.to_string(), target, doc(&item.attrs)));
            }
            _ => {}
        }
        Ok(())
    }

    /// Distinguishes records, unions, choices and constants, and assigns records their tags.
    fn resolve(&mut self) -> Result<(), String> {
        for union in &self.unions {
            for variant in &union.variants {
                let record = self.records.iter_mut().find(|record| record.name == variant.record);
                let record = record.ok_or_else(|| format!("{} is no record", variant.record))?;
                let tag = union.tag.clone().zip(variant.tag.clone());
                if tag.is_some() && record.tag.is_some() && record.tag != tag {
                    return Err(format!("{} has two tags", record.name));
                }
                record.tag = record.tag.take().or(tag);
            }
        }
        let models: Vec<String> = self.records.iter().map(|record| record.name.clone()).collect();
        let unions: Vec<String> = self.unions.iter().map(|union| union.name.clone()).collect();
        let choices = &self.choices;
        let resolve = |name: &str| -> Result<Ty, String> {
            if let Some(choice) = choices.iter().find(|choice| choice.name == name) {
                return Ok(match choice.values.as_slice() {
                    [(_, only, _)] => Ty::Constant(only.clone()),
                    _ => Ty::Choice(name.to_owned()),
                });
            }
            let known = models.iter().chain(&unions).any(|known| known == name);
            if known { Ok(Ty::Model(name.to_owned())) } else { Err(format!("the type {name} is not known")) }
        };
        for field in self.records.iter_mut().flat_map(|record| &mut record.fields) {
            field.ty = field.ty.resolved(&resolve)?;
        }
        Ok(())
    }
}

impl Ty {
    fn resolved(&self, resolve: &impl Fn(&str) -> Result<Ty, String>) -> Result<Ty, String> {
        let inner = |ty: &Ty| Ok::<_, String>(Box::new(ty.resolved(resolve)?));
        Ok(match self {
            Ty::Model(name) => resolve(name)?,
            Ty::List(ty) => Ty::List(inner(ty)?),
            Ty::Dict(ty) => Ty::Dict(inner(ty)?),
            Ty::OneOrMany(ty) => Ty::OneOrMany(inner(ty)?),
            other => other.clone(),
        })
    }
}

fn record(item: &syn::ItemStruct) -> Result<Record, String> {
    let name = item.ident.to_string();
    let container = Serde::read(&item.attrs)?;
    let mut fields = Vec::new();
    let mut open = false;
    for field in &item.fields {
        let serde = Serde::read(&field.attrs)?;
        let rust =
            field.ident.as_ref().ok_or_else(|| format!("{name} has a field without a name"))?.to_string();
        if serde.flatten {
            open = true;
            continue;
        }
        let (ty, optional) = match generic(&field.ty, "Option") {
            Some(inner) => (ty(inner)?, true),
            None => (ty(&field.ty)?, false),
        };
        if optional != serde.skips_none {
            return Err(format!(
                "{name}.{rust}: what is optional is skipped when it is None, and nothing else is"
            ));
        }
        let presence = match (optional, serde.default) {
            (true, _) => Presence::Optional,
            (false, true) => Presence::Defaulted,
            (false, false) => Presence::Required,
        };
        let wire = serde.rename.unwrap_or_else(|| renamed(&rust, container.rename_all.as_deref()));
        fields.push(Field { name: rust, wire, doc: doc(&field.attrs), ty, presence });
    }
    if !open {
        return Err(format!("{name} does not keep what it does not know"));
    }
    Ok(Record { name, doc: doc(&item.attrs), tag: None, fields })
}

fn choice(item: &syn::ItemEnum) -> Result<Choice, String> {
    let container = Serde::read(&item.attrs)?;
    let mut values = Vec::new();
    for variant in &item.variants {
        let (name, serde) = (variant.ident.to_string(), Serde::read(&variant.attrs)?);
        let wire = serde.rename.unwrap_or_else(|| renamed_variant(&name, container.rename_all.as_deref()));
        values.push((name, wire, doc(&variant.attrs)));
    }
    Ok(Choice { name: item.ident.to_string(), doc: doc(&item.attrs), values })
}

fn union(item: &syn::ItemEnum) -> Result<Union, String> {
    let (name, container) = (item.ident.to_string(), Serde::read(&item.attrs)?);
    let mut variants = Vec::new();
    let mut open = false;
    for variant in &item.variants {
        let (variant_name, serde) = (variant.ident.to_string(), Serde::read(&variant.attrs)?);
        let record = match &variant.fields {
            Fields::Unnamed(fields) if fields.unnamed.len() == 1 => path_name(&fields.unnamed[0].ty),
            _ => None,
        };
        let record = record.ok_or_else(|| format!("{name}::{variant_name} is not understood"))?;
        if record == "Value" {
            open = true;
            continue;
        }
        let tag = container.tag.as_ref().map(|_| {
            serde
                .rename
                .clone()
                .unwrap_or_else(|| renamed_variant(&variant_name, container.rename_all.as_deref()))
        });
        variants.push(Variant { name: variant_name, doc: doc(&variant.attrs), record, tag });
    }
    if !open {
        return Err(format!("{name} does not keep what it does not know"));
    }
    Ok(Union { name, doc: doc(&item.attrs), tag: container.tag, variants })
}

fn ty(rust: &Type) -> Result<Ty, String> {
    for (outer, make) in
        [("Vec", Ty::List as fn(Box<Ty>) -> Ty), ("Ordered", Ty::Dict), ("OneOrMany", Ty::OneOrMany)]
    {
        if let Some(inner) = generic(rust, outer) {
            return Ok(make(Box::new(ty(inner)?)));
        }
    }
    let name = path_name(rust).ok_or("a type that is not a plain name")?;
    Ok(match name.as_str() {
        "String" => Ty::Text,
        "bool" => Ty::Bool,
        "u64" | "i64" | "u32" => Ty::Int,
        "f64" | "Number" => Ty::Float,
        "Value" => Ty::Any,
        "Extra" => Ty::Object,
        "Schema" => Ty::Schema,
        "Base64" => Ty::Bytes,
        _ => Ty::Model(name),
    })
}

/// The argument of `outer<…>`.
fn generic<'a>(ty: &'a Type, outer: &str) -> Option<&'a Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first()? {
        GenericArgument::Type(inner) if last.ident == outer => Some(inner),
        _ => None,
    }
}

fn path_name(ty: &Type) -> Option<String> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    matches!(last.arguments, PathArguments::None).then(|| last.ident.to_string())
}

/// The attributes of serde that the models use.
#[derive(Default)]
struct Serde {
    rename: Option<String>,
    rename_all: Option<String>,
    tag: Option<String>,
    flatten: bool,
    default: bool,
    skips_none: bool,
}

impl Serde {
    fn read(attributes: &[Attribute]) -> Result<Self, String> {
        let mut found = Serde::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
            let read = attribute.parse_nested_meta(|meta| {
                let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
                match name.as_str() {
                    "rename" => found.rename = Some(meta.value()?.parse::<LitStr>()?.value()),
                    "rename_all" => found.rename_all = Some(meta.value()?.parse::<LitStr>()?.value()),
                    "tag" => found.tag = Some(meta.value()?.parse::<LitStr>()?.value()),
                    "flatten" => found.flatten = true,
                    "default" => found.default = true,
                    "untagged" => {}
                    "skip_serializing_if"
                        if meta.value()?.parse::<LitStr>()?.value() == "Option::is_none" =>
                    {
                        found.skips_none = true;
                    }
                    other => return Err(meta.error(format!("serde({other}) is not understood"))),
                }
                Ok(())
            });
            read.map_err(|e| format!("{FOLDER}: {e}"))?;
        }
        Ok(found)
    }
}

fn doc(attributes: &[Attribute]) -> String {
    let lines =
        attributes.iter().filter(|attribute| attribute.path().is_ident("doc")).filter_map(|attribute| {
            match &attribute.meta.require_name_value().ok()?.value {
                Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value().trim().to_owned()),
                _ => None,
            }
        });
    lines.collect::<Vec<_>>().join(" ")
}

fn renamed(field: &str, rule: Option<&str>) -> String {
    if rule == Some("camelCase") { camel(field) } else { field.to_owned() }
}

fn renamed_variant(variant: &str, rule: Option<&str>) -> String {
    match rule {
        Some("lowercase") => variant.to_lowercase(),
        Some("snake_case") => snake(variant).trim_start_matches('_').to_owned(),
        Some("camelCase") => variant[..1].to_lowercase() + &variant[1..],
        _ => variant.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_own_are_read() {
        let models = Models::load().expect("the models are understood");
        let audio = models.record("AudioContent");
        assert_eq!(audio.tag, Some(("type".into(), "audio".into())));
        assert!(audio.fields.iter().any(|field| field.wire == "mimeType" && field.ty == Ty::Text));
        let form = models.record("ElicitUrl");
        assert!(form.fields.iter().any(|field| field.ty == Ty::Constant("url".into())));
    }

    #[test]
    fn unsupported_source_is_refused() {
        let refused = |source: &str| Models::parse(&[source.to_owned()]).err().unwrap_or_default();
        assert!(refused("struct A { a: String }").contains("does not keep"));
        assert!(
            refused("#[serde(transparent)] struct A { #[serde(flatten)] x: Extra }").contains("transparent")
        );
        assert!(refused("struct A { b: B, #[serde(flatten)] x: Extra }").contains("B is not known"));
        assert!(refused("struct A { a: Option<String>, #[serde(flatten)] x: Extra }").contains("A.a"));
        assert!(refused("enum A { B(C) }").contains("does not keep"));
    }
}
