//! Compiler errors in code that the macros wrote: they point at the code of the user.

use std::rc::Rc;

use trunnion::server::{prompt, tool};

struct Nothing;

#[tool] //~ `#[tool]`: Deserialize<'de>` is not satisfied
async fn no_argument(nothing: Nothing) {} //~ `Nothing`: Deserialize<'de>` is not satisfied

#[tool]
async fn not_of_the_call(#[from_call] nothing: Nothing) {} //~ `Nothing`: `Nothing` cannot be taken from a call

#[tool]
async fn no_result() -> Nothing { //~ `Nothing`: a handler cannot return `Nothing` here
    Nothing
}

#[prompt]
async fn silent() {} //~ `silent`: a handler cannot return `()` here

#[tool(timeout = 5)] //~ `5`: mismatched types
async fn limited() {}

#[tool(annotations(read_only))] //~ `read_only`: no field named `read_only`
async fn hinted() {}

#[tool]
async fn defaulted(#[arg(default = "x")] count: u32) {} //~ `"x"`: mismatched types

#[tool]
async fn on_one_thread() { //~ `on_one_thread`: future cannot be sent between threads safely
    let count = Rc::new(1);
    std::future::ready(()).await;
    drop(count);
}
