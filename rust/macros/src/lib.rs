//! The attribute macros of trunnion, which re-exports them under its feature `macros`: use them from there.
//!
//! Each leaves its function as it is and adds, under the same name, a type whose `item()` calls the builder
//! that a program would call by hand. So there is nothing here that the builder cannot do, and no second
//! implementation of anything: an option is passed on as the method of that name.

mod expand;
mod options;
mod parameters;
mod template;

use proc_macro::TokenStream;

use options::Kind;

/// Make a function a tool: `function::item()` is its `Tool`, for `ServerBuilder::tool` or `items!`.
///
/// An `async fn` becomes `Tool::new`, another `fn` `Tool::blocking`. The name is the function's and the
/// description its doc comment. Options, each the builder's method of that name: `name`, `title`,
/// `description`, `annotations`, `input_schema`, `timeout`, `asks`, `scopes`, `visible_to`, `task`,
/// `resumable`, `task_ttl`, `task_concurrency`, `with`; written `title = "Order"`, or `asks("roots",
/// Ask::roots())`. Annotations can also be listed: `annotations(read_only_hint, open_world_hint = false)`.
///
/// A parameter of type `Args<…>`, `Context`, `State<…>`, `Uri` or `Partial`, or with `#[from_call]`, is taken
/// from the call. Every other is one of the arguments, which together get a schema: its doc comment is the
/// description, and it may carry `#[arg(default = …)]` and attributes of serde and schemars. `#[arg]` alone
/// marks an argument whose type only looks like one of the above.
#[proc_macro_attribute]
pub fn tool(options: TokenStream, function: TokenStream) -> TokenStream {
    expand::expand(Kind::Tool, options.into(), function.into()).into()
}

/// Make a function a resource, `#[resource("book://about")]`, or the resources of a template,
/// `#[resource("book://{title}/text")]`: `function::item()` is the `Resource` or the `ResourceTemplate`.
///
/// A URI that is no literal is given as `uri = …` or `uri_template = …`. The name is the function's. Further
/// options: `name`, `title`, `description`, `mime_type`, `timeout`, `asks`, `scopes`, `visible_to`, `with`.
/// The arguments are the template's variables; everything else is as for [`macro@tool`].
#[proc_macro_attribute]
pub fn resource(options: TokenStream, function: TokenStream) -> TokenStream {
    expand::expand(Kind::Resource, options.into(), function.into()).into()
}

/// Make a function a prompt: `function::item()` is its `Prompt`.
///
/// Options: `name`, `title`, `description`, `timeout`, `asks`, `scopes`, `visible_to`, `with`; everything
/// else is as for [`macro@tool`].
#[proc_macro_attribute]
pub fn prompt(options: TokenStream, function: TokenStream) -> TokenStream {
    expand::expand(Kind::Prompt, options.into(), function.into()).into()
}

/// Make a function the completions of a prompt, `#[completion(prompt = "review")]`, or of a resource
/// template, `#[completion(resource_template = "book://{title}/text")]`: `function::item()` is the
/// `Completion`. Further options: `timeout`, `scopes`, `visible_to`.
#[proc_macro_attribute]
pub fn completion(options: TokenStream, function: TokenStream) -> TokenStream {
    expand::expand(Kind::Completion, options.into(), function.into()).into()
}
