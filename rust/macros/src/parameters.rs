//! The parameters of a function: arguments, and values from the call.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{
    Attribute, Error, Expr, FnArg, Ident, Meta, Pat, PatType, PathArguments, Result, Signature, Token, Type,
};

use crate::options::{Kind, Options};
use crate::template;

/// Functions of more are no handlers.
const MOST: usize = 8;

/// One of the arguments: a field of the struct that they are read into.
pub struct Argument {
    name: Ident,
    of: Type,
    attributes: Vec<Attribute>,
    default: Option<Option<Expr>>,
}

pub enum Parameter {
    Argument(Box<Argument>),
    /// Taken from the call by its type.
    Taken(Box<Type>),
}

impl Parameter {
    /// The attributes are taken off the function's parameter, where most of them would not be allowed.
    fn new(parameter: &mut PatType) -> Result<Parameter> {
        let (mut attributes, mut marks) = (Vec::new(), Vec::new());
        for attribute in std::mem::take(&mut parameter.attrs) {
            match attribute.path().get_ident().map(Ident::to_string).as_deref() {
                Some("doc" | "serde" | "schemars") => attributes.push(attribute),
                Some("arg" | "from_call") => marks.push(attribute),
                Some("cfg" | "cfg_attr") => {
                    return Err(Error::new_spanned(attribute, "a parameter cannot be conditional here"));
                }
                _ => parameter.attrs.push(attribute),
            }
        }
        if let [_, second, ..] = &marks[..] {
            return Err(Error::new_spanned(second, "one mark per parameter: `#[arg]` or `#[from_call]`"));
        }
        let mark = marks.first();
        let taken = mark.map_or_else(|| looks_taken(&parameter.ty), |mark| mark.path().is_ident("from_call"));
        if taken {
            if let Some(mark) = mark {
                mark.meta.require_path_only()?;
            }
            if let Some(wrong) = attributes.iter().find(|attribute| !attribute.path().is_ident("doc")) {
                return Err(Error::new_spanned(
                    wrong,
                    "not an argument: this parameter is taken from the call",
                ));
            }
            return Ok(Parameter::Taken(parameter.ty.clone()));
        }
        let Pat::Ident(name) = &*parameter.pat else {
            return Err(Error::new_spanned(&parameter.pat, "an argument needs a name"));
        };
        if let Type::Reference(reference) = &*parameter.ty {
            let message = "an argument owns its value: take a `String` rather than a `&str`";
            return Err(Error::new_spanned(reference, message));
        }
        let default = mark.map_or(Ok(None), default_of)?;
        let (name, of) = (name.ident.clone(), (*parameter.ty).clone());
        Ok(Parameter::Argument(Box::new(Argument { name, of, attributes, default })))
    }
}

/// Types of the SDK, by their names: a macro sees no more of a type than what is written.
fn looks_taken(of: &Type) -> bool {
    let Type::Path(path) = of else { return false };
    path.path.segments.last().is_some_and(|last| {
        let generic = matches!(last.arguments, PathArguments::AngleBracketed(_));
        match last.ident.to_string().as_str() {
            "Args" | "State" => generic,
            "Context" | "Uri" | "Partial" => !generic,
            _ => false,
        }
    })
}

/// `default` or `default = …` in `#[arg(…)]`.
fn default_of(mark: &Attribute) -> Result<Option<Option<Expr>>> {
    if matches!(mark.meta, Meta::Path(_)) {
        return Ok(None);
    }
    let mut default = None;
    mark.parse_nested_meta(|meta| {
        if !meta.path.is_ident("default") {
            return Err(meta.error("no such option of an argument; there is: default"));
        }
        let value = if meta.input.peek(Token![=]) { Some(meta.value()?.parse()?) } else { None };
        default = Some(value);
        Ok(())
    })?;
    Ok(default)
}

/// All parameters, in their order. Those of the signature are left without the attributes that are for us.
pub fn of(signature: &mut Signature) -> Result<Vec<Parameter>> {
    let mut parameters = Vec::new();
    let mut wrong: Option<Error> = None;
    // All of them, even after a fault: what is left on the signature would only be a further one.
    for input in &mut signature.inputs {
        let parameter = match input {
            FnArg::Receiver(receiver) => {
                Err(Error::new_spanned(receiver, "a handler has no `self`: take a `State<…>` instead"))
            }
            FnArg::Typed(parameter) => Parameter::new(parameter),
        };
        match (parameter, &mut wrong) {
            (Ok(parameter), _) => parameters.push(parameter),
            (Err(error), Some(wrong)) => wrong.combine(error),
            (Err(error), wrong) => *wrong = Some(error),
        }
    }
    wrong.map_or(Ok(parameters), Err)
}

/// Refuse what could not work, where it stands.
pub fn check(kind: Kind, options: &Options, parameters: &[Parameter]) -> Result<()> {
    let arguments = || {
        parameters.iter().filter_map(|parameter| match parameter {
            Parameter::Argument(argument) => Some(argument),
            Parameter::Taken(_) => None,
        })
    };
    let Some(first) = arguments().next() else { return Ok(()) };
    let is_uri = options.subject.as_ref().is_some_and(|(is, _)| is == "uri");
    if kind == Kind::Completion {
        let message = "completions have no arguments: take a `Partial` (or mark with `#[from_call]`)";
        return Err(Error::new_spanned(&first.name, message));
    }
    if is_uri {
        let message =
            "a resource at one URI has no arguments (mark with `#[from_call]` what it takes from the call)";
        return Err(Error::new_spanned(&first.name, message));
    }
    for parameter in parameters {
        if let Parameter::Taken(of) = parameter
            && let Type::Path(path) = &**of
            && path.path.segments.last().is_some_and(|last| last.ident == "Args")
        {
            let message = format!("either `Args` or arguments of their own, such as `{}`", first.name);
            return Err(Error::new_spanned(of, message));
        }
    }
    let taken = parameters.len() - arguments().count();
    if taken >= MOST {
        let message =
            format!("at most {} parameters are taken from the call, besides the arguments", MOST - 1);
        return Err(Error::new_spanned(&first.name, message));
    }
    let Some(literal) = &options.literal else { return Ok(()) };
    let uri = literal.value();
    let variables = template::variables(&uri);
    for argument in arguments() {
        let name = argument.name.unraw().to_string();
        // Serde may know it by another name.
        let renamed = argument.attributes.iter().any(|attribute| attribute.path().is_ident("serde"));
        if !renamed && !variables.contains(&name.as_str()) {
            let message =
                format!("no variable `{name}` in the template; there are: {}", variables.join(", "));
            return Err(Error::new_spanned(&argument.name, message));
        }
    }
    Ok(())
}

/// The handler: the function itself or, where it has arguments, a closure that takes them as one struct; and
/// what must be declared before it.
pub fn handler(sdk: &TokenStream, function: &Ident, parameters: &[Parameter]) -> (TokenStream, TokenStream) {
    let mut declared = TokenStream::new();
    let (mut fields, mut inputs, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for (at, parameter) in parameters.iter().enumerate() {
        match parameter {
            Parameter::Argument(argument) => {
                let name = &argument.name;
                fields.push(field(argument, &mut declared));
                values.push(quote!(__arguments.#name));
            }
            Parameter::Taken(of) => {
                let name = format_ident!("__taken_{at}");
                inputs.push(quote!(#name: #of));
                values.push(name.to_token_stream());
                // Said of the type, the compiler's error is at the type.
                declared.extend(quote!(let _ = <#of as #sdk::server::FromCall>::check;));
            }
        }
    }
    if fields.is_empty() {
        return (function.to_token_stream(), declared);
    }
    let (serde, schemars) = (quote!(#sdk::serde), quote!(#sdk::schemars));
    let (serde_path, schemars_path) = (serde.to_string(), schemars.to_string());
    let handler = quote_spanned! {function.span()=>
        |#sdk::server::Args(__arguments): #sdk::server::Args<__Arguments>, #(#inputs),*| #function(#(#values),*)
    };
    let arguments = quote! {
        #[derive(#serde::Deserialize, #schemars::JsonSchema)]
        #[serde(crate = #serde_path)]
        #[schemars(crate = #schemars_path)]
        struct __Arguments { #(#fields),* }
    };
    (handler, quote!(#arguments #declared))
}

fn field(Argument { name, of, attributes, default }: &Argument, declared: &mut TokenStream) -> TokenStream {
    let default = default.as_ref().map(|default| match default {
        None => quote!(#[serde(default)]),
        Some(value) => {
            let function = format_ident!("__default_of_{}", name.unraw());
            let path = function.to_string();
            let head = quote_spanned!(of.span()=> fn #function() -> #of);
            declared.extend(quote!(#head { #value }));
            quote!(#[serde(default = #path)])
        }
    });
    quote!(#(#attributes)* #default #name: #of)
}
