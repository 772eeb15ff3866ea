//! Expansion of a function and its options into calls of the builder.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{Attribute, Error, Expr, ItemFn, Lit, Meta, Result, ReturnType, Signature, Type};

use crate::options::{Kind, Method, Options};
use crate::parameters;

pub fn expand(kind: Kind, options: TokenStream, function: TokenStream) -> TokenStream {
    let mut parsed = match syn::parse2::<ItemFn>(function.clone()) {
        Ok(parsed) => parsed,
        Err(error) => {
            let error = Error::new(error.span(), format!("only a function can be {}: {error}", kind.noun()));
            return [error.into_compile_error(), function].into_iter().collect();
        }
    };
    let parameters = parameters::of(&mut parsed.sig);
    let (options, wrong) = match Options::parse(kind, options) {
        Ok(options) => (Some(options), None),
        Err(error) => (None, Some(error)),
    };
    let companion = match (&options, parameters, wrong) {
        (Some(options), Ok(parameters), _) => companion(kind, options, &parsed, &parameters),
        (None, Err(mut first), Some(second)) => {
            first.combine(second);
            Err(first)
        }
        (_, Err(error), _) => Err(error),
        (None, _, error) => Err(error.expect("there are options or an error")),
    };
    // Where there is an error, the name is declared all the same: that it is missing would only be one error
    // more.
    let companion = companion.unwrap_or_else(|error| {
        let error = error.into_compile_error();
        // But not in an `impl` block, which has no place for it.
        if parsed.sig.receiver().is_some() {
            return error;
        }
        let sdk = options.map_or_else(|| quote!(::trunnion), |options| options.sdk);
        let builder = match kind {
            Kind::Tool => quote!(Tool),
            Kind::Resource => quote!(Resource),
            Kind::Prompt => quote!(Prompt),
            Kind::Completion => quote!(Completion),
        };
        let body = quote!(::core::unreachable!("it does not compile"));
        let declared = declare(&parsed, &quote!(#sdk::server::#builder), &body);
        quote!(#error #declared)
    });
    quote!(#parsed #companion)
}

fn companion(
    kind: Kind,
    options: &Options,
    function: &ItemFn,
    parameters: &[parameters::Parameter],
) -> Result<TokenStream> {
    check_signature(&function.sig)?;
    parameters::check(kind, options, parameters)?;
    let (sdk, name) = (&options.sdk, &function.sig.ident);
    let own_name = name.unraw().to_string();
    let said = || options.subject.as_ref().map(|(is, value)| (is.as_str(), value.to_token_stream()));
    let missing = |message| Error::new(Span::call_site(), message);
    let blocking = function.sig.asyncness.is_none();
    let make = if blocking { quote!(blocking) } else { quote!(new) };
    let subject = || said().map_or_else(|| own_name.to_token_stream(), |(_, value)| value);
    let (builder, make, subject, purpose) = match kind {
        Kind::Tool => (quote!(Tool), make, subject(), quote!(ForTool)),
        Kind::Prompt => (quote!(Prompt), make, subject(), quote!(ForPrompt)),
        Kind::Resource => match said() {
            Some(("uri", uri)) => (quote!(Resource), make, uri, quote!(ForResource)),
            Some((_, template)) => (quote!(ResourceTemplate), make, template, quote!(ForResource)),
            None => {
                return Err(missing(
                    "a resource has a URI or a template, as in `#[resource(\"book://about\")]`",
                ));
            }
        },
        Kind::Completion if blocking => {
            return Err(Error::new_spanned(function.sig.fn_token, "completions are an `async fn`"));
        }
        Kind::Completion => match said() {
            Some((of, value)) => {
                let make = Ident::new(of, Span::call_site()).to_token_stream();
                (quote!(Completion), make, value, quote!(ForCompletion))
            }
            None => {
                return Err(missing(
                    "completions are of something, as in `#[completion(prompt = \"review\")]`",
                ));
            }
        },
    };
    let builder = quote!(#sdk::server::#builder);
    let mut calls = Vec::new();
    if kind == Kind::Resource && !options.has("name") {
        calls.push(quote!(.name(#own_name)));
    }
    if kind != Kind::Completion && !options.has("description") {
        calls.extend(documentation(&function.attrs).map(|text| quote!(.description(#text))));
    }
    calls.extend(options.methods.iter().map(|Method { name, arguments }| quote!(.#name(#arguments))));

    let (handler, declared) = parameters::handler(sdk, name, parameters);
    let result = result(sdk, &purpose, &function.sig);
    let sent = (!blocking).then(|| sent(name, parameters.len()));
    let body = quote! {
        #declared
        #result
        #sent
        #builder::#make(#subject, #handler)#(#calls)*
    };
    Ok(declare(function, &builder, &body))
}

/// A type of the function's name: types and functions have names of their own, so that both are there, are
/// imported together, and the function can still be called.
fn declare(function: &ItemFn, builder: &TokenStream, body: &TokenStream) -> TokenStream {
    let (name, visibility) = (&function.sig.ident, &function.vis);
    let conditions: Vec<_> =
        function.attrs.iter().filter(|attribute| attribute.path().is_ident("cfg")).collect();
    let link = format!("[`{0}`](fn@{0}) as a server offers it.", name);
    quote! {
        #(#conditions)*
        #[doc = #link]
        #[allow(non_camel_case_types, missing_debug_implementations)]
        #visibility enum #name {}

        #(#conditions)*
        impl #name {
            /// An item for a server.
            #visibility fn item() -> #builder {
                #body
            }
        }
    }
}

fn check_signature(signature: &Signature) -> Result<()> {
    if let Some(parameter) = signature.generics.params.first() {
        return Err(Error::new_spanned(parameter, "a handler has no generic parameters"));
    }
    if let Some(token) = &signature.unsafety {
        return Err(Error::new_spanned(token, "a handler is not unsafe"));
    }
    Ok(())
}

/// Said of the type alone, the compiler's error is at the type.
fn result(sdk: &TokenStream, purpose: &TokenStream, signature: &Signature) -> TokenStream {
    let of = match &signature.output {
        ReturnType::Default => quote_spanned!(signature.ident.span()=> ()),
        // It cannot be named elsewhere.
        ReturnType::Type(_, of) if matches!(**of, Type::ImplTrait(_)) => return TokenStream::new(),
        ReturnType::Type(_, of) => of.to_token_stream(),
    };
    quote!(let _ = <#of as #sdk::server::IntoResult<#sdk::server::#purpose>>::schema;)
}

/// Said of the future alone, the compiler tells what cannot be sent to another thread, and where it is held.
fn sent(function: &Ident, parameters: usize) -> TokenStream {
    let values: Vec<_> = (0..parameters).map(|at| format_ident!("__{at}")).collect();
    quote_spanned! {function.span()=>
        let _ = |#(#values),*| {
            fn is_sent(_: impl ::core::marker::Send) {}
            is_sent(#function(#(#values),*));
        };
    }
}

/// The doc comment as one text; nothing if it is empty.
fn documentation(attributes: &[Attribute]) -> Option<TokenStream> {
    let mut lines = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        if let Meta::NameValue(doc) = &attribute.meta {
            lines.push(&doc.value);
        }
    }
    let text = |line: &&Expr| match line {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        _ => None,
    };
    let Some(known) = lines.iter().map(text).collect::<Option<Vec<_>>>() else {
        // `#[doc = include_str!(…)]`: only the compiler knows the text.
        return Some(quote!(::core::concat!(#(#lines, "\n"),*).trim()));
    };
    let known: Vec<_> = known.iter().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end()).collect();
    let text = known.join("\n");
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_token_stream())
}
