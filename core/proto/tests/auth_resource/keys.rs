//! Times at which the keys of an issuer are requested.

use serde_json::{Value, json};
use trunnion_proto::auth::HttpResponse;
use trunnion_proto::auth::resource::jws::Algorithm;
use trunnion_proto::auth::resource::keys::{
    FAILED_PAUSE, FRESH, Jwk, KeyRing, MAX_KEYS, Plan, STALE, UNKNOWN_PAUSE, introspected, key_set_url, read,
};

const NOW: u64 = 1_800_000_000;
const ALG: Algorithm = Algorithm::Es256;

fn key(id: &str) -> Jwk {
    Jwk(json!({"kty": "EC", "crv": "P-256", "x": "eA", "y": "eQ", "kid": id})
        .as_object()
        .expect("an object")
        .clone())
}

fn ring() -> KeyRing {
    let mut ring = KeyRing::default();
    assert_eq!(ring.plan(Some("a"), ALG, NOW), Plan::Fetch);
    ring.take(vec![key("a")], NOW);
    ring
}

#[test]
fn keys_are_kept_then_renewed_then_used_on_for_a_while() {
    let mut ring = ring();
    let use_a = Plan::Try(vec![key("a")]);
    assert_eq!(ring.plan(Some("a"), ALG, NOW + FRESH - 1), use_a);
    let refresh_a = Plan::Refresh(vec![key("a")]);
    assert_eq!(ring.plan(Some("a"), ALG, NOW + FRESH), refresh_a, "nobody waits for the issuer");
    assert_eq!(ring.plan(Some("b"), ALG, NOW + FRESH), Plan::Fetch, "who needs a new key does");
    ring.fail(NOW + FRESH);
    assert_eq!(ring.plan(Some("a"), ALG, NOW + FRESH), use_a, "the issuer is down");
    assert_eq!(ring.plan(Some("a"), ALG, NOW + FRESH + FAILED_PAUSE), refresh_a);
    let end = NOW + FRESH + STALE;
    ring.fail(end - 1);
    assert_eq!(ring.plan(Some("a"), ALG, end - 1), use_a);
    assert_eq!(ring.plan(Some("a"), ALG, end), Plan::Unavailable, "for too long");
    ring.take(vec![key("b")], end);
    assert_eq!(ring.plan(Some("b"), ALG, end), Plan::Try(vec![key("b")]));
}

#[test]
fn an_unknown_key_is_looked_for_now_and_then() {
    let mut ring = ring();
    assert_eq!(ring.plan(Some("b"), ALG, NOW), Plan::Fetch, "the issuer may have rotated");
    ring.take(vec![key("a")], NOW);
    assert_eq!(ring.plan(Some("c"), ALG, NOW + UNKNOWN_PAUSE - 1), Plan::Unknown);
    assert_eq!(ring.plan(Some("c"), ALG, NOW + UNKNOWN_PAUSE), Plan::Fetch);
    ring.fail(NOW + UNKNOWN_PAUSE);
    assert_eq!(ring.plan(Some("c"), ALG, NOW + UNKNOWN_PAUSE), Plan::Unavailable);
    assert_eq!(ring.plan(Some("a"), ALG, NOW + UNKNOWN_PAUSE), Plan::Try(vec![key("a")]));
}

#[test]
fn a_key_is_for_its_algorithm_only() {
    let ring = ring();
    for algorithm in [Algorithm::Rs256, Algorithm::Es384, Algorithm::EdDsa, Algorithm::Ps512] {
        assert_eq!(ring.plan(Some("a"), algorithm, NOW), Plan::Unknown, "nobody is asked for it");
    }
    assert_eq!(ring.plan(None, ALG, NOW), Plan::Try(vec![key("a")]));
    let with = |name: &str, value: Value| {
        let mut key = key("a");
        key.0.insert(name.into(), value);
        key.is_for(ALG)
    };
    assert!(with("use", json!("sig")) && with("alg", json!("ES256")));
    assert!(!with("use", json!("enc")) && !with("alg", json!("ES384")) && !with("alg", json!("none")));
}

#[test]
fn what_is_read_of_a_key_set() {
    let set = |keys: Value| read(&HttpResponse::json(200, json!({ "keys": keys }).to_string()));
    let mut private = key("private");
    private.0.insert("d".into(), "secret".into());
    let all = json!([key("a").0, private.0, {"kty": "oct", "k": "c2VjcmV0"}, {"kty": "new"}, {}]);
    assert_eq!(set(all).expect("a set"), [key("a")]);
    let many: Vec<Value> = (0..200).map(|id| Value::Object(key(&id.to_string()).0)).collect();
    assert_eq!(set(json!(many)).expect("a set").len(), MAX_KEYS);
    for (status, body) in [
        (200, "{}"),
        (200, "[]"),
        (200, "<html>"),
        (200, r#"{"keys":{}}"#),
        (302, ""),
        (500, "{\"keys\":[]}"),
    ] {
        assert!(read(&HttpResponse::json(status, body)).is_err(), "{status} {body}");
    }
}

#[test]
fn metadata_is_of_who_was_asked() {
    let of = |value: Value| key_set_url(&HttpResponse::json(200, value.to_string()), "https://as.example");
    assert_eq!(
        of(json!({"issuer": "https://as.example", "jwks_uri": "https://as.example/k"})).expect("a URL"),
        "https://as.example/k"
    );
    for wrong in [
        json!({"issuer": "https://as.example/", "jwks_uri": "x"}),
        json!({"issuer": "https://as.example"}),
        json!({"jwks_uri": "x"}),
    ] {
        assert!(of(wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn what_an_introspection_endpoint_says() {
    let of = |value: Value| introspected(&HttpResponse::json(200, value.to_string())).ok();
    assert_eq!(of(json!({"active": false, "sub": "ann"})), Some(None));
    assert_eq!(of(json!({"active": true, "sub": "ann"})).flatten().expect("claims")["sub"], "ann");
    assert!(of(json!({"sub": "ann"})).is_none() && of(json!({"active": "true"})).is_none());
}

#[test]
fn thumbprints_are_those_of_the_rfc() {
    // RFC 7638, section 3.1.
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs\
        tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n9\
        1CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    let jwk = json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"});
    let jwk = Jwk(jwk.as_object().expect("an object").clone());
    assert_eq!(jwk.thumbprint().as_deref(), Some("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"));
}
