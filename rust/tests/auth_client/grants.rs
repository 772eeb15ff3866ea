//! The grants of a client that authorizes itself.

use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use trunnion::auth::{Auth, AuthMethod, Loopback, SigningKey, headless};
use trunnion::{Client, Era, HttpTransport};

use crate::auth_client::world::{REDIRECT, World, agree};

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
    world
        .connect(world.auth().client_id("by-hand").client_secret("s3cret").trust_first_issuer(true))
        .await
        .expect("connected");
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
    let auth = || Auth::client_credentials("me", "s3cret").trust_first_issuer(true);
    world.connect(auth()).await.expect("connected");
    world.connect(auth().client_auth_method(AuthMethod::ClientSecretPost)).await.expect("connected");
    let key = SigningKey::generate().expect("a key");
    let auth = Auth::client_credentials_jwt("me", key).signing_key_id("k1").trust_first_issuer(true);
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
    let text = STANDARD.encode(pkcs8.expect("a key"));
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
    assert_eq!(SigningKey::from_pem(&pem).expect("a key").algorithm(), "ES256");
    for wrong in ["", "no key", &pem.replace("PRIVATE", "PUBLIC"), &pem.replace(&text, &text[..40])] {
        assert_eq!(SigningKey::from_pem(wrong).expect_err("no key").kind, "usage");
    }
}

/// Keys made for this test: the public halves check what the private ones sign.
#[tokio::test]
async fn keys_of_every_kind_sign() {
    use ring::signature::{ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm};
    use ring::signature::{Ed25519KeyPair, KeyPair, RsaKeyPair};

    let der = |pem: &str| {
        let lines: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        STANDARD.decode(lines).expect("base64")
    };
    let (rsa, ed25519) = (include_str!("keys/rsa.pem"), include_str!("keys/ed25519.pem"));
    let of_rsa = RsaKeyPair::from_pkcs8(&der(rsa)).expect("a key").public_key().as_ref().to_vec();
    let of_ed25519 = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der(ed25519)).expect("a key");
    let of_ed25519 = of_ed25519.public_key().as_ref().to_vec();
    let set: [(&str, &str, &dyn VerificationAlgorithm, &[u8]); 3] = [
        ("RS256", rsa, &RSA_PKCS1_2048_8192_SHA256, &of_rsa),
        ("RS256", include_str!("keys/rsa_pkcs1.pem"), &RSA_PKCS1_2048_8192_SHA256, &of_rsa),
        ("EdDSA", ed25519, &ED25519, &of_ed25519),
    ];
    for (name, pem, algorithm, public) in set {
        let world = World::new().await;
        let key = SigningKey::from_pem(pem).expect("a key");
        assert_eq!(key.algorithm(), name);
        world
            .connect(Auth::client_credentials_jwt("me", key).trust_first_issuer(true))
            .await
            .expect("connected");
        let assertion = world.state.lock().forms[0]["client_assertion"].clone();
        let (input, signature) = assertion.rsplit_once('.').expect("three parts");
        let head = URL_SAFE_NO_PAD.decode(input.split('.').next().expect("a head")).expect("base64url");
        let head: serde_json::Value = serde_json::from_slice(&head).expect("JSON");
        assert_eq!(head["alg"], name);
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        UnparsedPublicKey::new(algorithm, public).verify(input.as_bytes(), &signature).expect("signed");
    }
    // Proofs are of elliptic curves only.
    let world = World::new().await;
    let key = SigningKey::from_pem(rsa).expect("a key");
    let error = world.connect(world.auth().dpop(key)).await.expect_err("no key for proofs");
    assert!(error.kind == "usage" && error.message.contains("dpop"), "{error:?}");
}

#[tokio::test]
async fn the_older_transport_is_guarded_too() {
    let world = World::at("/sse").await;
    let builder = Client::builder().transport(HttpTransport::Sse).auth(world.auth());
    let client = world.with(builder).await.expect("connected");
    assert_eq!(calls(&client, "hello").await, "hello");
    // Messages are refused, and not only the stream.
    assert_eq!(calls(&client, "admin").await, "done");
    world.revoke();
    assert_eq!(calls(&client, "hello").await, "hello");
    let state = world.state.lock();
    assert_eq!(state.pages.len(), 2);
    assert_eq!(state.shown[0], None);
}

/// The program of [`a_terminal_is_enough`].
#[tokio::test]
#[ignore = "started by the test beside it"]
async fn a_terminal() {
    let Ok(server) = std::env::var("TRUNNION_TEST_SERVER") else { return };
    let redirect = headless(|page| println!("open {page}"));
    let client = Client::builder().auth(Auth::authorization_code(REDIRECT, redirect)).connect(server).await;
    match client {
        Ok(client) => println!("got {}", calls(&client, "hello").await),
        Err(error) => println!("not {}", error.message),
    }
}

#[tokio::test]
async fn a_terminal_is_enough() {
    for pasted in [true, false] {
        let world = World::new().await;
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--ignored", "--exact", "--nocapture", "auth_client::grants::a_terminal"])
            .env("TRUNNION_TEST_SERVER", world.state.lock().mcp.clone())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("started");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut input = child.stdin.take();
        // Skip the output of the test harness.
        let mut told = async |word: &str| loop {
            let line = output.next_line().await.expect("a pipe").expect("it lives");
            if let Some((_, rest)) = line.split_once(&format!("{word} ")) {
                return rest.to_owned();
            }
        };
        let page = told("open").await;
        if pasted {
            let callback = format!("  {}\n", agree(page).await.expect("a callback"));
            let input = input.as_mut().expect("a pipe");
            input.write_all(callback.as_bytes()).await.expect("written");
            assert_eq!(told("got").await, "hello");
        } else {
            drop(input.take());
            assert!(told("not").await.contains("standard input has ended"));
        }
    }
}
