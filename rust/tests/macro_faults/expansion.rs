//! Errors of the macros themselves. A comment names the underlined text and the message.

use trunnion::server::{Args, Context, Partial, completion, prompt, resource, tool};

#[tool(titel = "x")] //~ `titel`: no option `titel` of a tool; there are: annotations, asks, description, input_schema, name, resumable, scopes, task, task_concurrency, task_ttl, timeout, title, visible_to, with
async fn unknown() {}

#[prompt(annotations(read_only_hint))] //~ `annotations`: no option `annotations` of a prompt
async fn of_another_kind() {}

#[tool(title = "a", title = "b")] //~ `title`: `title` is given twice
async fn twice() {}

#[tool("name")] //~ `"name"`: an option has a name, as in `title = "…"`
async fn unnamed() {}

#[tool(title)] //~ `title`: `title` needs a value
async fn valueless() {}

#[tool(title = )] //~ `=`: `title` needs a value
async fn half() {}

#[resource] //~ `#[resource]`: a resource has a URI or a template
async fn nowhere() {}

#[resource("a://b", uri = "a://c")] //~ `uri`: `uri` is given twice
async fn at_two_places() {}

#[resource("a://{b}", uri = "a://c")] //~ `uri`: `uri` after `uri_template`: one of them says what this is
async fn both() {}

#[completion] //~ `#[completion]`: completions are of something
async fn of_nothing(_partial: Partial) {}

#[completion(prompt = "p")]
fn in_a_thread() {} //~ `fn`: completions are an `async fn`

#[completion(prompt = "p")]
async fn with_arguments(title: String) {} //~ `title`: completions have no arguments: take a `Partial`

#[resource("a://b")]
async fn without_variables(title: String) {} //~ `title`: a resource at one URI has no arguments

#[resource("a://{title}/{page}")]
async fn misspelt(titel: String) {} //~ `titel`: no variable `titel` in the template; there are: title, page

#[tool]
async fn borrowing(text: &str) {} //~ `&str`: an argument owns its value

#[tool]
async fn two_ways(args: Args<()>, text: String) {} //~ `Args<()>`: either `Args` or arguments of their own, such as `text`

#[tool]
async fn nameless((a, b): (u8, u8), _: u8) {} //~ `(a, b)`: an argument needs a name //~ `_`: an argument needs a name

#[tool]
async fn marked(#[arg(defualt)] a: u8) {} //~ `defualt`: no such option of an argument; there is: default

#[tool]
async fn marked_twice(#[arg] #[from_call] a: u8) {} //~ `#[from_call]`: one mark per parameter

#[tool]
async fn no_argument(#[serde(default)] context: Context) {} //~ `#[serde(default)]`: this parameter is taken from the call

#[tool]
async fn conditional(#[cfg(unix)] a: u8) {} //~ `#[cfg(unix)]`: a parameter cannot be conditional

#[tool]
async fn generic<T>(a: T) {} //~ `T`: a handler has no generic parameters

#[tool]
async unsafe fn dangerous() {} //~ `unsafe`: a handler is not unsafe

#[tool]
async fn with_much(a: u8, b: Context, c: Context, d: Context, e: Context, f: Context, g: Context, h: Context, i: Context) {} //~ `a`: at most 7 parameters are taken from the call

#[tool]
struct NoFunction; //~ `struct`: only a function can be a tool

struct Shop;

impl Shop {
    #[tool]
    async fn method(&self) {} //~ `&self`: a handler has no `self`: take a `State<…>` instead
}
