//! Valid and invalid tokens and proofs.

use serde_json::{Map, Value, json};

use crate::keys::{Key, base64url, random, sha256};
use crate::{State, now};

/// Adds members; `null` removes one.
pub fn merge(into: &mut Map<String, Value>, members: &Value) {
    for (name, value) in members.as_object().into_iter().flatten() {
        match value {
            Value::Null => drop(into.remove(name)),
            value => drop(into.insert(name.clone(), value.clone())),
        }
    }
}

pub fn token(state: &State, how: &Value, claims: &Map<String, Value>) -> String {
    let kind = how["key"].as_str().unwrap_or("current");
    let key = if kind == "unknown" { &state.unknown } else { &state.keys[0] };
    let mut header = Map::new();
    merge(&mut header, &json!({"alg": "ES256", "kid": key.id, "typ": "at+jwt"}));
    match kind {
        "none" => merge(&mut header, &json!({"alg": "none"})),
        "hs256" => merge(&mut header, &json!({"alg": "HS256"})),
        _ => {}
    }
    merge(&mut header, &how["header"]);
    let part = |members: &Map<String, Value>| base64url(Value::Object(members.clone()).to_string());
    let input = format!("{}.{}", part(&header), part(claims));
    let signature = match kind {
        "none" => String::new(),
        // Confusion of algorithms: the public key as a shared secret.
        "hs256" => {
            let secret = state.keys[0].jwk().to_string();
            let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
            base64url(ring::hmac::sign(&secret, input.as_bytes()))
        }
        _ => key.sign(&input),
    };
    format!("{input}.{signature}")
}

pub fn proof(key: &Key, how: &Value) -> String {
    let text = |name: &str| how[name].as_str().unwrap_or_default();
    let mut header = Map::new();
    merge(&mut header, &json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": key.jwk()}));
    merge(&mut header, &how["header"]);
    let mut claims = Map::new();
    let ath = sha256(text("token"));
    merge(
        &mut claims,
        &json!({"jti": random(), "htm": text("method"), "htu": text("url"), "iat": now(), "ath": ath, "nonce": how["nonce"]}),
    );
    merge(&mut claims, &how["claims"]);
    let part = |members: Map<String, Value>| base64url(Value::Object(members).to_string());
    let input = format!("{}.{}", part(header), part(claims));
    let signature = key.sign(&input);
    format!("{input}.{signature}")
}
