//! Parser of attribute arguments, such as `#[tool(title = …)]`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Expr, Ident, LitStr, Path, Result, Token, parenthesized};

use crate::template;

/// The kind of item that a function becomes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Tool,
    Resource,
    Prompt,
    Completion,
}

impl Kind {
    pub fn noun(self) -> &'static str {
        match self {
            Kind::Tool => "a tool",
            Kind::Resource => "a resource",
            Kind::Prompt => "a prompt",
            Kind::Completion => "completions",
        }
    }

    /// The options that are the builder's methods of these names.
    fn methods(self) -> &'static [&'static str] {
        match self {
            Kind::Tool => &[
                "title",
                "description",
                "annotations",
                "input_schema",
                "timeout",
                "asks",
                "scopes",
                "visible_to",
                "task",
                "resumable",
                "task_ttl",
                "task_concurrency",
                "with",
            ],
            Kind::Resource => &[
                "name",
                "title",
                "description",
                "mime_type",
                "timeout",
                "asks",
                "scopes",
                "visible_to",
                "with",
            ],
            Kind::Prompt => &["title", "description", "timeout", "asks", "scopes", "visible_to", "with"],
            Kind::Completion => &["timeout", "scopes", "visible_to"],
        }
    }

    /// The options that go into the builder's constructor.
    fn subjects(self) -> &'static [&'static str] {
        match self {
            Kind::Tool | Kind::Prompt => &["name"],
            Kind::Resource => &["uri", "uri_template"],
            Kind::Completion => &["prompt", "resource_template"],
        }
    }
}

/// A call of one of the builder's methods.
pub struct Method {
    pub name: Ident,
    pub arguments: TokenStream,
}

/// The options of one attribute.
pub struct Options {
    /// Path of the SDK crate.
    pub sdk: TokenStream,
    /// The constructor's argument, and the name of its option.
    pub subject: Option<(String, Expr)>,
    /// The URI or template, where it is a literal.
    pub literal: Option<LitStr>,
    pub methods: Vec<Method>,
}

impl Options {
    pub fn has(&self, name: &str) -> bool {
        self.methods.iter().any(|method| method.name == name)
    }

    pub fn parse(kind: Kind, tokens: TokenStream) -> Result<Options> {
        let given = syn::parse::Parser::parse2(Punctuated::<Given, Token![,]>::parse_terminated, tokens)?;
        let mut options =
            Options { sdk: quote!(::trunnion), subject: None, literal: None, methods: Vec::new() };
        for (at, given) in given.into_iter().enumerate() {
            match given {
                Given::Literal(uri) if kind == Kind::Resource && at == 0 => {
                    let is = if template::is_template(&uri.value()) { "uri_template" } else { "uri" };
                    options.subject = Some((is.to_owned(), syn::parse2(uri.to_token_stream())?));
                    options.literal = Some(uri);
                }
                Given::Literal(text) => {
                    return Err(Error::new(text.span(), "an option has a name, as in `title = \"…\"`"));
                }
                Given::Named(name, value) => options.take(kind, name, value)?,
            }
        }
        Ok(options)
    }

    fn take(&mut self, kind: Kind, name: Ident, value: Value) -> Result<()> {
        let text = name.unraw().to_string();
        let (methods, subjects) = (kind.methods(), kind.subjects());
        if text == "crate" {
            let Value::Assigned(path) = value else {
                return Err(Error::new(name.span(), "written as `crate = path::to::trunnion`"));
            };
            self.sdk = syn::parse2::<Path>(path.to_token_stream())?.to_token_stream();
        } else if subjects.contains(&text.as_str()) {
            let Value::Assigned(value) = value else {
                return Err(Error::new(name.span(), format!("written as `{text} = …`")));
            };
            if let Some((before, _)) = &self.subject {
                let twice = format!("`{text}` after `{before}`: one of them says what this is");
                return Err(Error::new(
                    name.span(),
                    if *before == text { given_twice(&text) } else { twice },
                ));
            }
            self.subject = Some((text, value));
        } else if methods.contains(&text.as_str()) {
            // These add, the others would replace what was said before.
            if self.has(&text) && !["asks", "with"].contains(&text.as_str()) {
                return Err(Error::new(name.span(), given_twice(&text)));
            }
            let arguments = match value {
                Value::Assigned(value) => value.to_token_stream(),
                Value::Listed(list, _) if text == "annotations" => annotations(&self.sdk, list)?,
                Value::Listed(list, _) => list,
                Value::None if text == "resumable" => TokenStream::new(),
                Value::None => return Err(Error::new(name.span(), format!("`{text}` needs a value"))),
            };
            self.methods.push(Method { name, arguments });
        } else {
            let mut known: Vec<&str> = subjects.iter().chain(methods).copied().collect();
            known.sort_unstable();
            let message = format!("no option `{text}` of {}; there are: {}", kind.noun(), known.join(", "));
            return Err(Error::new(name.span(), message));
        }
        Ok(())
    }
}

fn given_twice(name: &str) -> String {
    format!("`{name}` is given twice")
}

/// `read_only_hint, title = "x"` as the model's struct. Its fields are known to the compiler only.
fn annotations(sdk: &TokenStream, list: TokenStream) -> Result<TokenStream> {
    let fields = syn::parse::Parser::parse2(Punctuated::<Given, Token![,]>::parse_terminated, list)?;
    let fields = fields.into_iter().map(|field| match field {
        Given::Named(name, Value::None) => Ok(quote!(#name: ::core::option::Option::Some(true))),
        Given::Named(name, Value::Assigned(value)) => {
            Ok(quote!(#name: ::core::option::Option::Some(::core::convert::Into::into(#value))))
        }
        Given::Named(_, Value::Listed(_, span)) => Err(Error::new(span, "an annotation has one value")),
        Given::Literal(text) => Err(Error::new(text.span(), "an annotation has a name")),
    });
    let fields = fields.collect::<Result<Vec<_>>>()?;
    Ok(quote!(#sdk::model::ToolAnnotations { #(#fields,)* ..::core::default::Default::default() }))
}

enum Given {
    Literal(LitStr),
    Named(Ident, Value),
}

enum Value {
    None,
    Assigned(Expr),
    Listed(TokenStream, Span),
}

impl Parse for Given {
    fn parse(input: ParseStream<'_>) -> Result<Given> {
        if input.peek(LitStr) {
            return Ok(Given::Literal(input.parse()?));
        }
        // `crate` is a keyword, and an option.
        let name = input.call(Ident::parse_any)?;
        let value = if input.peek(Token![=]) {
            let equals = input.parse::<Token![=]>()?;
            if input.is_empty() {
                return Err(Error::new(equals.span, format!("`{name}` needs a value")));
            }
            Value::Assigned(input.parse()?)
        } else if input.peek(syn::token::Paren) {
            let content;
            let parentheses = parenthesized!(content in input);
            Value::Listed(content.parse()?, parentheses.span.join())
        } else {
            Value::None
        };
        Ok(Given::Named(name, value))
    }
}
