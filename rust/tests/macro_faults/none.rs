//! A crate without errors; its only dependency is the SDK.
#![deny(warnings, missing_docs, missing_debug_implementations, unreachable_pub, unused, rust_2018_idioms)]

use trunnion::server::{Context, Item, completion, items, prompt, resource, tool};

/// With all that an argument can have.
#[tool(title = "A tool", annotations(read_only_hint))]
pub async fn a_tool(
    /// a text
    text: String,
    #[arg(default)] mut count: u32,
    #[serde(default)] list: Option<Vec<bool>>,
    context: Context,
) -> String {
    count += 1;
    format!("{text} {count} {list:?} {context:?}")
}

/// In a thread.
#[resource("a://{b}")]
pub(crate) fn a_template(b: String) -> String {
    b
}

#[prompt]
async fn a_prompt() -> &'static str {
    "Write."
}

#[completion(prompt = "a_prompt")]
async fn values() -> Vec<String> {
    Vec::new()
}

/// All of them.
pub fn all() -> Vec<Item> {
    #[cfg(false)]
    #[tool]
    async fn not_here() {}

    #[tool]
    #[cfg(true)]
    async fn here() {}

    Vec::from(items![a_tool, a_template, a_prompt, values, here])
}
