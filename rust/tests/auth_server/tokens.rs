//! Accepted and rejected tokens.

use std::time::Duration;

use serde_json::json;
use trunnion::server::auth::{Auth, JwtVerifier, StaticTokens};
use trunnion_proto::auth::Challenge;
use trunnion_proto::auth::challenge::read;

use crate::auth_server::world::{World, builder, send};
use crate::common::text;

#[tokio::test]
async fn a_good_token_lets_its_owner_in() {
    let world = World::new().await;
    let token = world.good();
    for _ in 0..3 {
        assert_eq!(text(&world.hello_as(&token).await.expect("in")), "hello");
    }
    assert_eq!(world.issuer.asked()["/jwks"], 1);
}

#[tokio::test]
async fn without_a_token_the_client_learns_where_to_get_one() {
    let world = World::with(|auth| auth.required_scopes(["basic"]), builder()).await;
    let refused = world.hello(&[]).await.expect_err("refused");
    assert_eq!((refused.status, refused.reason()), (401, "no_token"));
    let asked = read(refused.challenges.iter().map(|value| value.as_bytes()));
    let challenge = Challenge::of(401, &asked);
    assert_eq!((challenge.error, challenge.scope.as_deref()), (None, Some("basic")));
    let url = challenge.resource_metadata.expect("a URL");
    assert!(url.ends_with("/.well-known/oauth-protected-resource/mcp"), "{url}");

    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    // From any page: it is for everybody, and needs no token.
    let response = http.get(&url).header("origin", "https://page.example").send().await.expect("sent");
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    let document: serde_json::Value =
        serde_json::from_str(&response.text().await.expect("text")).expect("JSON");
    assert_eq!(document["resource"], world.url());
    assert_eq!(document["authorization_servers"], json!([world.issuer.issuer()]));
    assert_eq!(document["scopes_supported"], json!(["basic"]));
    assert_eq!(document["resource_name"], "guarded");
    let root = url.strip_suffix("/mcp").expect("below the root");
    assert_eq!(http.get(root).send().await.expect("sent").status(), 200);
    let preflight = http.request(reqwest::Method::OPTIONS, &url).send().await.expect("sent");
    assert_eq!(preflight.status(), 204);
}

#[tokio::test]
async fn every_bad_token_has_a_reason_of_its_own() {
    let world = World::new().await;
    let other = world.url().replace("/mcp", "/other");
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    for (how, reason) in [
        (json!({"claims": {"iss": "https://evil.example"}}), "issuer"),
        (json!({"claims": {"iss": null}}), "issuer"),
        (json!({"claims": {"aud": other}}), "audience"),
        (json!({"claims": {"aud": ["https://evil.example", other]}}), "audience"),
        (json!({"claims": {"aud": []}}), "audience"),
        (json!({"claims": {"exp": now - 120}}), "expired"),
        (json!({"claims": {"exp": null}}), "no_expiry"),
        (json!({"claims": {"exp": "tomorrow"}}), "malformed_token"),
        (json!({"claims": {"nbf": now + 120}}), "not_yet_valid"),
        (json!({"claims": {"sub": null, "client_id": null}}), "no_subject"),
        (json!({"key": "unknown"}), "unknown_key"),
        (json!({"key": "unknown", "header": {"kid": "key-1"}}), "signature"),
        (json!({"key": "unknown", "header": {"kid": null}}), "signature"),
        (json!({"key": "none"}), "algorithm"),
        (json!({"key": "hs256"}), "algorithm"),
        (json!({"header": {"alg": "RS256"}}), "unknown_key"),
        (json!({"header": {"typ": "dpop+jwt"}}), "malformed_token"),
        (json!({"header": {"crit": ["exp"]}}), "malformed_token"),
    ] {
        let token = world.token(how.clone());
        assert_eq!(world.refused(&token).await, reason, "{how}");
    }
    let good = world.good();
    let (input, signature) = good.rsplit_once('.').expect("a JWS");
    let swapped = if signature.starts_with('A') { "B" } else { "A" };
    assert_eq!(world.refused(&format!("{input}.{swapped}{}", &signature[1..])).await, "signature");
    assert_eq!(world.refused("not-a-jwt").await, "malformed_token");
    assert_eq!(world.refused("a.b.c").await, "algorithm".replace("algorithm", "malformed_token"));
    assert!(
        world
            .hello_as(&world.token(json!({"claims": {"aud": ["x", world.url()], "nbf": now + 30}})))
            .await
            .is_ok()
    );
    // A clock that is a little slow.
    assert!(world.hello_as(&world.token(json!({"claims": {"exp": now - 30}}))).await.is_ok());
}

#[tokio::test]
async fn how_a_token_is_shown() {
    let world = World::new().await;
    let good = world.good();
    let bearer = format!("Bearer {good}");
    for (headers, status, reason) in [
        (vec![("authorization", "Basic dXNlcjpwdw==".to_owned())], 401, "no_token"),
        (vec![("authorization", "Bearer".to_owned())], 400, "bad_authorization"),
        (vec![("authorization", "Bearer a b".to_owned())], 400, "bad_authorization"),
        (
            vec![("authorization", bearer.clone()), ("authorization", bearer.clone())],
            400,
            "bad_authorization",
        ),
        (vec![("authorization", format!("Bearer {}", "x".repeat(20_000)))], 401, "token_too_large"),
        (vec![("authorization", format!("DPoP {good}"))], 401, "not_bound"),
    ] {
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let refused = world.hello(&headers).await.expect_err("refused");
        assert_eq!((refused.status, refused.reason()), (status, reason));
    }
    assert!(world.hello(&[("authorization", &format!("bearer {good}"))]).await.is_ok(), "in any case");
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = format!("{}?access_token={good}", world.url());
    let refused = send(http.post(url).header("authorization", &bearer)).await.expect_err("refused");
    assert_eq!((refused.status, refused.reason()), (400, "token_in_query"));
}

#[tokio::test]
async fn fixed_tokens_and_a_check_of_the_programs_own() {
    let tokens = StaticTokens::new().token("s3cret", json!({"sub": "ann"}));
    let auth = |auth: Auth| {
        auth.tokens(tokens).verifier(|token: trunnion::server::auth::Secret| async move {
            match token.expose() {
                "own" => Ok(json!({"sub": "bob", "aud": "me"}).as_object().cloned()),
                "foreign" => Ok(json!({"sub": "bob", "aud": "you"}).as_object().cloned()),
                "broken" => Err(trunnion::Error::internal("the database is gone")),
                _ => Ok(None),
            }
        })
    };
    let world = World::with(|base| auth(base).audience("me"), builder()).await;
    assert!(world.hello_as("s3cret").await.is_ok());
    assert!(world.hello_as("own").await.is_ok());
    assert_eq!(world.refused("foreign").await, "audience");
    assert_eq!(world.refused("else").await, "rejected");
    let refused = world.hello_as("broken").await.expect_err("refused");
    assert_eq!((refused.status, refused.reason()), (503, "unavailable"));
    assert!(refused.challenges.is_empty() && !refused.body.to_string().contains("database"));
}

#[test]
fn options_that_cannot_be() {
    let wrong = |auth: Auth, what: &str| {
        let error = builder().auth(auth).build().expect_err("refused");
        assert!(error.kind == "usage" && error.message.contains(what), "{error:?}");
    };
    let issuer = || JwtVerifier::new("https://as.example");
    wrong(Auth::new(), "no way to check");
    wrong(Auth::new().jwt(JwtVerifier::new("http://as.example")), "https");
    wrong(Auth::new().jwt(issuer().algorithms(["none"])), "none");
    wrong(Auth::new().jwt(issuer().algorithms(["HS256"])), "HS256");
    wrong(Auth::new().jwt(issuer().jwks_uri("ftp://x")), "jwksUri");
    wrong(Auth::new().jwt(issuer()).required_scopes(["offline_access"]), "offline_access");
    wrong(Auth::new().jwt(issuer()).required_scopes(["a b"]), "scope");
    wrong(Auth::new().tokens(StaticTokens::new().token("x", json!({}))), "sub");
    assert!(builder().auth(Auth::new().jwt(issuer()).leeway(Duration::ZERO)).build().is_ok());
}
