//! Our own client signs in to our own server, through an authorization server of the tests.

use serde_json::json;
use trunnion::auth::{Auth as Way, SigningKey};
use trunnion::server::Tool;
use trunnion::{Client, Error};

use crate::world::{World, builder};

/// A user who agrees.
async fn agree(url: String) -> Result<String, Error> {
    let browser = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    let response = browser.build().expect("a client").get(url).send().await.expect("a page");
    Ok(response.headers()["location"].to_str().expect("ASCII").to_owned())
}

async fn connect(world: &World, way: Way) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().auth(way).connect(world.url()).await.expect("signed in")
}

#[tokio::test]
async fn a_client_signs_in_and_steps_up() {
    let write = Tool::new("write", async || "written").scopes(["files:write"]);
    let world = World::with(|auth| auth.required_scopes(["basic"]), builder().tool(write)).await;
    let client = connect(&world, Way::authorization_code("http://localhost:3000/callback", agree)).await;
    assert_eq!(client.call_tool("hello", json!({})).await.expect("in").text(), "hello");
    assert_eq!(world.issuer.asked()["/authorize"], 1);
    assert_eq!(client.call_tool("write", json!({})).await.expect("in").text(), "written");
    assert_eq!(world.issuer.asked()["/authorize"], 2, "for more scopes");
    assert_eq!(client.call_tool("write", json!({})).await.expect("in").text(), "written");
    assert_eq!(world.issuer.asked()["/authorize"], 2);
}

#[tokio::test]
async fn a_client_with_a_key_shows_proofs() {
    let world = World::with(
        |auth| auth.dpop(trunnion::server::auth::Dpop::Required).dpop_nonces(true),
        builder(),
    )
    .await;
    let way = Way::authorization_code("http://localhost:3000/callback", agree);
    let client = connect(&world, way.dpop(SigningKey::generate().expect("a key"))).await;
    for _ in 0..3 {
        assert_eq!(client.call_tool("hello", json!({})).await.expect("in").text(), "hello");
    }
}
