//! The attribute macros, and the macro that registers their items.

pub use trunnion_macros::{completion, prompt, resource, tool};

pub use crate::items;

/// Functions that carry [`#[tool]`](crate::server::tool), [`#[resource]`](crate::server::resource),
/// [`#[prompt]`](crate::server::prompt) or [`#[completion]`](crate::server::completion), as an array for
/// [`ServerBuilder::items`](crate::server::ServerBuilder::items).
///
/// ```
/// use trunnion::server::{Server, items, tool};
///
/// /// Add two numbers.
/// #[tool]
/// async fn add(/** the first */ a: f64, #[arg(default = 1.0)] b: f64) -> String {
///     (a + b).to_string()
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), trunnion::Error> {
/// let server = Server::builder("calculator", "1.0.0").items(items![add]).build()?;
///
/// assert_eq!(add(2.0, 3.0).await, "5"); // still the function it was
/// # let client = trunnion::Client::builder().connect(&server).await?;
/// # assert_eq!(client.call_tool("add", serde_json::json!({"a": 2})).await?.text(), "3");
/// # Ok(()) }
/// ```
#[macro_export]
macro_rules! items {
    ($($function:ty),* $(,)?) => { [$($crate::server::Item::from(<$function>::item())),*] };
}
