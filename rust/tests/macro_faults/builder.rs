//! Compiler errors of handlers that are passed to a builder: the message names the type of the parameter or
//! result.

use trunnion::server::{Args, Completion, Context, Partial, Prompt, Resource, ResourceTemplate, Tool};

struct Nothing;

struct Unread;

async fn wrong_argument(_context: Context, _nothing: Nothing) -> &'static str {
    ""
}

async fn bare_argument(_text: String) -> &'static str {
    ""
}

async fn no_schema(_unread: Args<Unread>) -> &'static str {
    ""
}

async fn wrong_result(_context: Context) -> Nothing {
    Nothing
}

fn blocks(_context: Context, _nothing: Nothing) -> &'static str {
    ""
}

async fn completes(_partial: Partial, _nothing: Nothing) -> Vec<String> {
    Vec::new()
}

pub fn all() {
    let _ = Tool::new("t", wrong_argument); //~ `wrong_argument`: `Nothing` cannot be taken from a call
    let _ = Tool::new("t", bare_argument); //~ `bare_argument`: `std::string::String` cannot be taken from a call
    let _ = Tool::new("t", no_schema); //~ `no_schema`: `Unread: JsonSchema` is not satisfied //~ `no_schema`: Deserialize<'de>` is not satisfied
    let _ = Tool::new("t", wrong_result); //~ `wrong_result`: a handler cannot return `Nothing` here
    let _ = Tool::new("t", async |_: Nothing| ""); //~ `async |_: Nothing| ""`: `Nothing` cannot be taken from a call
    let _ = Tool::new("t", "no function"); //~ `"no function"`: `&str` cannot be a handler here
    let _ = Tool::blocking("t", blocks); //~ `blocks`: `Nothing` cannot be taken from a call
    let _ = Resource::new("a://b", wrong_argument); //~ `wrong_argument`: `Nothing` cannot be taken from a call
    let _ = ResourceTemplate::new("a://{b}", wrong_argument); //~ `wrong_argument`: `Nothing` cannot be taken from a call
    let _ = Prompt::new("p", wrong_argument); //~ `wrong_argument`: `Nothing` cannot be taken from a call
    let _ = Completion::prompt("p", completes); //~ `completes`: `Nothing` cannot be taken from a call
}
