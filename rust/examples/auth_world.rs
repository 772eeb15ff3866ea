//! An MCP server that wants tokens and the authorization server that gives them, for the tests of every language.
//!
//! It prints one line, `{"mcp": URL, "issuer": URL, "control": URL}`, and ends with its standard input. A user who opens a page of
//! the authorization server agrees at once: the page is a redirect to the callback. At the control URL, GET tells what has
//! happened, `{"pages": queries of authorization requests, "log": requests, "forms": forms of the token endpoint, "shown":
//! Authorization of each request to the MCP server}`, and PUT takes what is to happen: `{"revoke": true}` (the access tokens of
//! before are good no more), `{"forbids": true}` (no scope is enough), `{"iss": TEXT}` (in callbacks), `{"dpop": true}` (tokens are
//! for proofs with ES256).

#[allow(dead_code, reason = "the tests of the engine use all of it")]
#[path = "../tests/auth_client/world.rs"]
mod world;

use axum::Router;
use axum::extract::State as With;
use axum::routing::get;
use serde_json::{Value, json};
use world::{Shared, World, listen};

async fn told(With(state): With<Shared>) -> String {
    let state = state.lock();
    json!({"pages": state.pages, "log": state.log, "forms": state.forms, "shown": state.shown}).to_string()
}

async fn change(With(state): With<Shared>, body: String) {
    let wanted: Value = serde_json::from_str(&body).expect("JSON");
    let mut state = state.lock();
    for (name, value) in wanted.as_object().expect("an object") {
        match name.as_str() {
            "revoke" => state.revoke(),
            "forbids" => state.forbids = value == true,
            "iss" => state.iss = value.as_str().map(str::to_owned),
            "dpop" => {
                state.nonces = Some(("n-as", "n-mcp"));
                state.metadata = json!({"dpop_signing_alg_values_supported": ["ES256"]});
            }
            other => panic!("{other}: not known"),
        }
    }
}

#[tokio::main]
async fn main() {
    let world = World::new().await;
    let control = Router::new().route("/", get(told).put(change)).with_state(world.state.clone());
    let control = listen(control).await;
    {
        let state = world.state.lock();
        println!("{}", json!({"mcp": state.mcp, "issuer": state.issuer, "control": format!("{control}/")}));
    }
    let _ = tokio::task::spawn_blocking(|| std::io::read_to_string(std::io::stdin())).await;
}
