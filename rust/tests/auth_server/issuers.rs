//! Authorization servers that rotate their keys, hang, return false metadata, or are queried about every
//! token.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use trunnion::server::Tool;
use trunnion::server::auth::{Auth, Introspection, JwtVerifier, Secret, StaticTokens};
use trunnion_auth_server::{AuthServer, RESOURCE_SERVER};

use crate::auth_server::callers::{legacy, perhaps, session};
use crate::auth_server::world::{World, builder};
use crate::common::{Peer, text};

#[tokio::test]
async fn keys_rotate() {
    let world = World::new().await;
    let old = world.good();
    assert!(world.hello_as(&old).await.is_ok());
    world.issuer.rotate(&json!({"keep": true}));
    assert!(world.hello_as(&world.good()).await.is_ok(), "the new key is looked for");
    assert!(world.hello_as(&old).await.is_ok());
    assert_eq!(world.issuer.asked()["/jwks"], 2);
    // Invented key ids cause no requests to the issuer.
    for _ in 0..5 {
        assert_eq!(world.refused(&world.token(json!({"key": "unknown"}))).await, "unknown_key");
    }
    assert_eq!(world.issuer.asked()["/jwks"], 2);
}

#[tokio::test]
async fn keys_are_asked_for_once_however_many_want_them() {
    let world = World::new().await;
    let tokens: Vec<String> =
        (0..8).map(|user| world.token(json!({"claims": {"sub": user.to_string()}}))).collect();
    let asked = tokens.iter().map(|token| world.hello_as(token));
    for answer in futures_util::future::join_all(asked).await {
        assert!(answer.is_ok());
    }
    assert_eq!(world.issuer.asked()["/jwks"], 1);
}

#[tokio::test]
async fn an_issuer_that_is_down_is_not_stormed() {
    let world = World::new().await;
    world.issuer.behave(&json!({"fail": {"/jwks": 500}}));
    for _ in 0..5 {
        let refused = world.hello_as(&world.good()).await.expect_err("refused");
        assert_eq!((refused.status, refused.reason()), (503, "unavailable"));
        assert!(refused.challenges.is_empty(), "a new token would not help");
    }
    assert_eq!(world.issuer.asked()["/jwks"], 1);
}

#[tokio::test]
async fn an_issuer_that_hangs_is_given_up() {
    let issuer = AuthServer::start().await.expect("a port");
    issuer.behave(&json!({"hang": ["/jwks", "/introspect"]}));
    let limit = Duration::from_millis(50);
    let auth = Auth::new()
        .jwt(JwtVerifier::new(issuer.issuer()).timeout(limit))
        .introspection(introspecting(&issuer, RESOURCE_SERVER.1).timeout(limit));
    let world = World::of(issuer, auth, builder()).await;
    assert_eq!(world.refused(&world.good()).await, "unavailable");
    assert_eq!(world.refused(&world.token(json!({"opaque": true}))).await, "unavailable");
}

#[tokio::test]
async fn metadata_of_somebody_else_is_not_believed() {
    for metadata in [
        json!({"issuer": "https://evil.example"}),
        json!({"jwks_uri": "http://169.254.169.254/keys"}),
        json!({"jwks_uri": "ftp://localhost/keys"}),
        json!({"jwks_uri": null}),
    ] {
        let world = World::new().await;
        world.issuer.behave(&json!({ "metadata": metadata }));
        let refused = world.hello_as(&world.good()).await.expect_err("refused");
        assert_eq!(refused.reason(), "unavailable");
        assert!(!world.issuer.asked().contains_key("/jwks"), "{metadata}");
    }
    // The key set itself can be named.
    let issuer = AuthServer::start().await.expect("a port");
    issuer.behave(&json!({"metadata": {"issuer": "https://evil.example"}}));
    let verifier = JwtVerifier::new(issuer.issuer()).jwks_uri(format!("{}/jwks", issuer.issuer()));
    let world = World::of(issuer, Auth::new().jwt(verifier), builder()).await;
    assert!(world.hello_as(&world.good()).await.is_ok());
}

fn introspecting(issuer: &AuthServer, secret: &str) -> Introspection {
    Introspection::new(format!("{}/introspect", issuer.issuer()), RESOURCE_SERVER.0, secret)
}

#[tokio::test]
async fn the_authorization_server_is_asked_about_tokens_that_only_it_can_read() {
    let issuer = AuthServer::start().await.expect("a port");
    let auth = Auth::new()
        .authorization_server(issuer.issuer())
        .introspection(introspecting(&issuer, RESOURCE_SERVER.1));
    let world = World::of(issuer, auth, builder()).await;
    let token = world.token(json!({"opaque": true}));
    for _ in 0..3 {
        assert!(world.hello_as(&token).await.is_ok());
    }
    assert_eq!(world.issuer.asked()["/introspect"], 1, "the answer is remembered for a while");
    for _ in 0..3 {
        assert_eq!(world.refused("made-up").await, "inactive");
    }
    assert_eq!(world.issuer.asked()["/introspect"], 2);
    for (claims, reason) in [
        (json!({"aud": "https://else.example"}), "audience"),
        (json!({"iss": "https://evil.example"}), "issuer"),
        (json!({"exp": 5}), "inactive"),
    ] {
        assert_eq!(world.refused(&world.token(json!({"opaque": true, "claims": claims}))).await, reason);
    }
}

#[tokio::test]
async fn people_of_two_issuers_are_two() {
    let (ours, theirs) =
        (AuthServer::start().await.expect("a port"), AuthServer::start().await.expect("a port"));
    let tokens = StaticTokens::new().token("fixed", json!({"sub": "ann"}));
    let introspection = introspecting(&theirs, RESOURCE_SERVER.1);
    let auth =
        Auth::new().jwt(JwtVerifier::new(ours.issuer())).introspection(introspection).tokens(tokens.clone());
    let world = World::of(ours, auth, builder().tool(Tool::new("perhaps", perhaps))).await;
    let ann = world.token(json!({"claims": {"sub": "ann"}}));
    // The response about a token need not name its subject (RFC 7662, section 2.2).
    let other =
        theirs.token(&json!({"opaque": true, "claims": {"iss": null, "sub": "ann", "aud": world.url()}}));
    let id = session(&world, &ann).await;
    for token in [&other, "fixed"] {
        assert!(world.hello_as(token).await.is_ok());
        let get = legacy(&world, reqwest::Method::GET, token, Some(&id));
        assert_eq!(Peer::answer(get).await.status(), 404);
    }
    let mut principals = BTreeSet::new();
    for token in [&ann, &other, "fixed"] {
        principals.insert(principal(&world, token).await);
    }

    let own = |_: Secret| async { Ok(json!({"sub": "ann", "aud": "me"}).as_object().cloned()) };
    let auth = |auth: Auth| auth.tokens(tokens).verifier(own).audience("me");
    let world = World::with(auth, builder().tool(Tool::new("perhaps", perhaps))).await;
    for token in ["fixed", "own"] {
        principals.insert(principal(&world, token).await);
    }
    assert_eq!(principals.len(), 4, "{principals:?}");
}

#[tokio::test]
async fn of_whom_nobody_says_is_the_only_issuer_there_is() {
    let issuer = AuthServer::start().await.expect("a port");
    let auth = Auth::new()
        .authorization_server(issuer.issuer())
        .introspection(introspecting(&issuer, RESOURCE_SERVER.1));
    let world = World::of(issuer, auth, builder().tool(Tool::new("perhaps", perhaps))).await;
    for claims in [json!({"iss": null, "sub": "ann"}), json!({"sub": "ann"})] {
        let token = world.token(json!({"opaque": true, "claims": claims}));
        let expected = json!([world.issuer.issuer(), "sub:ann"]).to_string();
        assert_eq!(principal(&world, &token).await, expected);
    }
}

async fn principal(world: &World, token: &str) -> String {
    text(&world.ask_as(token, "tools/call", json!({"name": "perhaps"})).await).to_owned()
}

#[tokio::test]
async fn a_revoked_token_is_good_no_more() {
    let issuer = AuthServer::start().await.expect("a port");
    let introspection = introspecting(&issuer, RESOURCE_SERVER.1).remember(Duration::ZERO);
    let world = World::of(issuer, Auth::new().introspection(introspection), builder()).await;
    let token = world.token(json!({"opaque": true}));
    assert!(world.hello_as(&token).await.is_ok());
    world.issuer.revoke(&json!({ "token": token }));
    assert_eq!(world.refused(&token).await, "inactive");
    world.issuer.behave(&json!({"fail": {"/introspect": 500}}));
    assert_eq!(world.refused(&token).await, "unavailable");
}

#[tokio::test]
async fn wrong_credentials_of_the_server_are_not_the_clients_fault() {
    let issuer = AuthServer::start().await.expect("a port");
    let introspection = introspecting(&issuer, "wrong");
    let world = World::of(issuer, Auth::new().introspection(introspection), builder()).await;
    assert_eq!(world.refused(&world.token(json!({"opaque": true}))).await, "unavailable");
}

#[tokio::test]
async fn an_introspection_endpoint_that_hangs_holds_so_many() {
    let issuer = AuthServer::start().await.expect("a port");
    issuer.behave(&json!({"hang": ["/introspect"]}));
    let introspection = introspecting(&issuer, RESOURCE_SERVER.1);
    let world = World::of(issuer, Auth::new().introspection(introspection), builder()).await;
    let names: Vec<String> = (0..70).map(|number| format!("token-{number}")).collect();
    let mut asked: Vec<_> = names.iter().map(|name| Box::pin(world.hello_as(name))).collect();
    // The first to be answered is one of those that are too many, long before any time limit.
    let (first, ..) = futures_util::future::select_all(asked.iter_mut()).await;
    assert_eq!(first.expect_err("refused").reason(), "unavailable");
    assert!(world.issuer.asked().get("/introspect").is_none_or(|asked| *asked <= 64));
}
