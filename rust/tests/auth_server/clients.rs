//! Sign-in of the SDK's own client at its own server, through an authorization server of the tests.

use serde_json::json;
use trunnion::auth::{Auth as Way, SigningKey};
use trunnion::server::Tool;
use trunnion::{Client, Error};

use crate::auth_server::world::{World, builder};

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
async fn a_stolen_code_is_good_for_nothing() {
    let world = World::new().await;
    let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    let http = http.build().expect("a client");
    let page = format!(
        "{}/authorize?response_type=code&client_id=a&redirect_uri=http://localhost/&state=s&\
         code_challenge_method=S256&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        world.issuer.issuer()
    );
    let redeem = async |verifiers: &[&str]| {
        let page = http.get(&page).send().await.expect("a page");
        let url = reqwest::Url::parse(page.headers()["location"].to_str().expect("ASCII")).expect("a URL");
        let code = url.query_pairs().find(|(name, _)| name == "code").expect("a code").1.into_owned();
        let mut statuses = Vec::new();
        for verifier in verifiers {
            let form = format!(
                "grant_type=authorization_code&code={code}&redirect_uri=http://localhost/&code_verifier={verifier}"
            );
            let token = http.post(format!("{}/token", world.issuer.issuer())).body(form);
            statuses.push(token.send().await.expect("sent").status().as_u16());
        }
        statuses
    };
    // The pair of RFC 7636, appendix B.
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    assert_eq!(redeem(&[verifier, verifier]).await, [200, 400], "once");
    assert_eq!(redeem(&["stolen-without-its-verifier", verifier]).await, [400, 400]);
}

#[tokio::test]
async fn a_client_with_a_key_shows_proofs() {
    let world =
        World::with(|auth| auth.dpop(trunnion::server::auth::Dpop::Required).dpop_nonces(true), builder())
            .await;
    let way = Way::authorization_code("http://localhost:3000/callback", agree);
    let client = connect(&world, way.dpop(SigningKey::generate().expect("a key"))).await;
    for _ in 0..3 {
        assert_eq!(client.call_tool("hello", json!({})).await.expect("in").text(), "hello");
    }
}
