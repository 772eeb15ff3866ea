//! The ways in.

use serde_json::json;
use trunnion::auth::{Auth, AuthMethod, Loopback, SigningKey};
use trunnion::{Client, Era};

use crate::world::{World, agree};

async fn calls(client: &Client, tool: &str) -> String {
    client.call_tool(tool, json!({})).await.expect("an answer").text()
}

#[tokio::test]
async fn the_user_agrees_once() {
    for era in [Era::Modern, Era::Legacy] {
        let world = World::new().await;
        let builder = Client::builder().era(era).auth(world.auth());
        let client = world.with(builder).await.expect("connected");
        assert_eq!(calls(&client, "hello").await, "hello");
        client.close().await;
        let state = world.state.lock();
        assert_eq!(state.log, ["GET metadata", "register", "token authorization_code"]);
        assert_eq!((state.pages.len(), state.pages[0]["scope"].as_str()), (1, "basic"));
        assert_eq!(state.shown[0], None, "nothing is known before the first refusal");
        assert!(state.shown[1..].iter().all(Option::is_some), "{:?}", state.shown);
    }
}

#[tokio::test]
async fn a_client_that_the_server_knows_registers_nowhere() {
    let world = World::new().await;
    world.connect(world.auth().client_id("by-hand").client_secret("s3cret")).await.expect("connected");
    world.state.lock().metadata = json!({"client_id_metadata_document_supported": true});
    let url = "https://client.example/metadata.json";
    world.connect(world.auth().client_metadata_url(url)).await.expect("connected");
    let state = world.state.lock();
    assert!(!state.log.iter().any(|line| line == "register"));
    assert_eq!(state.forms[0]["basic"], "by-hand:s3cret");
    assert_eq!(state.pages[1]["client_id"], url);
}

#[tokio::test]
async fn clients_act_for_themselves() {
    let world = World::new().await;
    let auth = || Auth::client_credentials("me", "s3cret");
    world.connect(auth()).await.expect("connected");
    world.connect(auth().client_auth_method(AuthMethod::ClientSecretPost)).await.expect("connected");
    let key = SigningKey::generate().expect("a key");
    let auth = Auth::client_credentials_jwt("me", key).signing_key_id("k1");
    world.connect(auth).await.expect("connected");
    let state = world.state.lock();
    assert_eq!(state.forms[0]["basic"], "me:s3cret");
    assert_eq!(state.forms[1]["client_secret"], "s3cret");
    assert!(state.forms[2]["client_assertion"].split('.').count() == 3);
    assert!(state.pages.is_empty());
}

#[tokio::test]
async fn tokens_are_bound_to_a_key() {
    let world = World::new().await;
    {
        let mut state = world.state.lock();
        state.nonces = Some(("n-as", "n-mcp"));
        state.metadata = json!({"dpop_signing_alg_values_supported": ["ES256"]});
    }
    let auth = world.auth().dpop(SigningKey::generate().expect("a key"));
    // The servers hold every proof against its request; without their nonces they ask for them.
    let client = world.connect(auth).await.expect("connected");
    assert_eq!(calls(&client, "hello").await, "hello");
    assert_eq!(world.granted("authorization_code"), 2, "once without the nonce");
    assert_eq!(world.state.lock().pages.len(), 1);
}

#[tokio::test]
async fn the_browser_comes_back_to_a_port_of_ours() {
    let world = World::new().await;
    let loopback = Loopback::bind(0).await.expect("a port");
    let redirect_uri = loopback.redirect_uri();
    let browser = tokio::runtime::Handle::current();
    let loopback = loopback.open_with({
        let redirect_uri = redirect_uri.clone();
        move |url| {
            let (url, redirect_uri) = (url.to_owned(), redirect_uri.clone());
            browser.spawn(async move {
                // Not of this sign-in: a page elsewhere can send a browser here too.
                for stray in ["?code=x&state=y", "", "/favicon.ico"] {
                    let status = reqwest::get(format!("{redirect_uri}{stray}")).await.expect("sent").status();
                    assert_eq!(status, 404);
                }
                let back = agree(url).await.expect("a callback");
                // Its code would be cut off.
                let long = reqwest::get(format!("{back}&x={}", "x".repeat(20_000))).await;
                assert!(!long.is_ok_and(|response| response.status() == 200));
                assert!(back.starts_with(&redirect_uri));
                assert_eq!(reqwest::get(back).await.expect("sent").status(), 200);
            });
            Ok(())
        }
    });
    let client = world.connect(Auth::browser(loopback)).await.expect("connected");
    assert_eq!(calls(&client, "hello").await, "hello");
}

#[tokio::test]
async fn a_key_in_pem_signs() {
    let pkcs8 = ring::signature::EcdsaKeyPair::generate_pkcs8(
        &ring::signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        &ring::rand::SystemRandom::new(),
    );
    let text = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(pkcs8.expect("a key"))
    };
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
    assert_eq!(SigningKey::from_pem(&pem).expect("a key").algorithm(), "ES256");
    for wrong in ["", "no key", &pem.replace("PRIVATE", "PUBLIC"), &pem.replace(&text, &text[..40])] {
        assert_eq!(SigningKey::from_pem(wrong).expect_err("no key").kind, "usage");
    }
}
