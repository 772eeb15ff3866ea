//! Refused callbacks, endpoints and tokens, and the errors that the client reports.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use serde_json::json;
use trunnion::auth::Auth;
use trunnion::{Client, Error};

use crate::auth_client::world::{REDIRECT, World, listen, why};

#[tokio::test]
async fn callbacks_of_others_are_refused() {
    let evil = "https://evil.example";
    type Prepare = fn(&World);
    let set: [(&str, Prepare); 4] = [
        ("wrong_iss", |world| world.state.lock().iss = Some("https://evil.example".into())),
        ("state_mismatch", |world| world.state.lock().state = Some("another".into())),
        ("issuer_mismatch", |world| world.state.lock().metadata = json!({"issuer": "https://evil.example"})),
        ("no_s256", |world| {
            world.state.lock().metadata = json!({"code_challenge_methods_supported": ["plain"]});
        }),
    ];
    for (reason, prepare) in set {
        let world = World::new().await;
        prepare(&world);
        let (told, text) = world.refused(world.auth()).await;
        assert_eq!(told, reason, "{text}");
        assert!(!text.contains("c0de") && (reason == "issuer_mismatch" || !text.contains(evil)), "{text}");
        assert!(world.state.lock().forms.is_empty(), "{reason}: the code was shown");
    }
}

#[tokio::test]
async fn what_the_user_does_is_told() {
    let world = World::new().await;
    let lost = Auth::authorization_code(REDIRECT, |_| async { Err(Error::internal("no display")) });
    let (reason, text) = world.refused(lost).await;
    assert!(reason == "redirect" && text.contains("no display"), "{text}");
    let away = Auth::authorization_code(REDIRECT, |_| std::future::pending());
    let (reason, _) = world.refused(away.user_timeout(Duration::ZERO)).await;
    assert_eq!(reason, "user_timeout");
}

#[tokio::test]
async fn a_token_endpoint_that_hangs_is_given_up() {
    let world = World::new().await;
    world.state.lock().hangs = true;
    let auth =
        Auth::client_credentials("me", "s3cret").trust_first_issuer(true).timeout(Duration::from_millis(50));
    let (reason, text) = world.refused(auth).await;
    assert!(reason == "timeout" && text.contains("/token") && !text.contains("s3cret"), "{text}");
}

#[tokio::test]
async fn endpoints_elsewhere_are_not_gone_to() {
    let world = World::new().await;
    world.state.lock().metadata = json!({"token_endpoint": "https://169.254.169.254/token"});
    assert_eq!(world.refused(Auth::client_credentials("me", "s3cret")).await.0, "address_refused");
}

#[tokio::test]
async fn tokens_stay_with_their_origin() {
    let world = World::new().await;
    let client = world.connect(world.auth()).await.expect("connected");
    client.close().await;
    let mcp = world.state.lock().mcp.clone();

    // Another origin that claims to be the same resource gets nowhere, and sees no token.
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    let elsewhere = listen(Router::new().fallback(move |request: Request| {
        assert!(!request.headers().contains_key("authorization"), "a token has left its origin");
        count.fetch_add(1, Ordering::Relaxed);
        let resource = mcp.replace("/mcp", "/.well-known/oauth-protected-resource/mcp");
        async move {
            (
                StatusCode::UNAUTHORIZED,
                [("www-authenticate", format!(r#"Bearer resource_metadata="{resource}""#))],
            )
        }
    }))
    .await;
    let auth = world.auth();
    let error = Client::builder().auth(auth.clone()).connect(format!("{elsewhere}/mcp")).await;
    assert_eq!(why(&error.expect_err("not its resource")).0, "resource_mismatch");
    assert!(seen.load(Ordering::Relaxed) > 0);

    // A redirect of the server that the token is for.
    let (to, from) = (format!("{elsewhere}/mcp"), seen.load(Ordering::Relaxed));
    let moved = listen(Router::new().fallback(move || {
        let to = to.clone();
        async move { (StatusCode::TEMPORARY_REDIRECT, [("location", to)]) }
    }))
    .await;
    Client::builder().auth(auth).connect(format!("{moved}/mcp")).await.expect_err("moved away");
    assert_eq!(seen.load(Ordering::Relaxed), from);
}

#[tokio::test]
async fn options_that_exclude_each_other() {
    let builder = || Client::builder().auth(Auth::client_credentials("me", "s3cret"));
    let twice = builder().header("authorization", "Bearer x").connect("http://127.0.0.1:9/mcp").await;
    let stream = builder().connect(Client::command("true")).await;
    let nobody = Client::builder().auth(Auth::client_credentials("", "s3cret"));
    let nobody = nobody.connect("http://127.0.0.1:9/mcp").await;
    let plain = builder().connect("http://mcp.example/mcp").await;
    for (result, part) in [(twice, "headers"), (stream, "over HTTP"), (nobody, "client_id"), (plain, "https")]
    {
        let error = result.expect_err("wrong options");
        assert!(error.kind == "usage" && error.message.contains(part), "{error:?}");
    }
}
