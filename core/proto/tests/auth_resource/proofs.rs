//! Proofs, and how long they are remembered.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use trunnion_proto::auth::resource::Refusal;
use trunnion_proto::auth::resource::keys::Jwk;
use trunnion_proto::auth::resource::proof::{LIFE, MAX_SEEN, Proof, Seen, Target};

const NOW: u64 = 1_800_000_000;
const LEEWAY: u64 = 60;

fn jwk() -> Value {
    json!({"kty": "EC", "crv": "P-256", "x": "eA", "y": "eQ"})
}

fn proof(id: &str, change: Value) -> String {
    use sha2::Digest as _;
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let ath = URL_SAFE_NO_PAD.encode(sha2::Sha256::digest("token"));
    let mut claims = json!({"jti": id, "htm": "POST", "htu": "https://h/mcp", "iat": NOW, "ath": ath});
    for (name, value) in change.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    format!("{}.{}.c2ln", part(json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk()})), part(claims))
}

fn check(proof: &str, now: u64) -> Result<Proof<'_>, Refusal> {
    let key = Jwk(jwk().as_object().expect("an object").clone()).thumbprint().expect("a thumbprint");
    let urls = ["https://h/mcp".to_owned()];
    Proof::check(proof, Target { method: "POST", urls: &urls, token: "token", key: &key }, LEEWAY, now)
}

#[test]
fn a_proof_is_for_one_place() {
    for (url, fine) in [
        ("https://h/mcp", true),
        ("HTTPS://H:443/mcp?x#y", true),
        ("https://h/mcp/", false),
        ("http://h/mcp", false),
        ("https://h.evil/mcp", false),
        ("https://h", false),
        ("nonsense", false),
    ] {
        let proof = proof("a", json!({ "htu": url }));
        let found = check(&proof, NOW);
        assert_eq!(found.is_ok(), fine, "{url}");
    }
    assert_eq!(check(&proof("a", json!({"htm": "post"})), NOW).expect_err("another"), Refusal::ProofTarget);
}

#[test]
fn a_proof_is_of_now() {
    let proof = proof("a", json!({}));
    assert!(check(&proof, NOW - LEEWAY).is_ok() && check(&proof, NOW + LIFE + LEEWAY - 1).is_ok());
    assert_eq!(check(&proof, NOW - LEEWAY - 1).expect_err("of the future"), Refusal::ProofTime);
    assert_eq!(check(&proof, NOW + LIFE + LEEWAY).expect_err("old"), Refusal::ProofTime);
}

#[test]
fn a_proof_is_remembered_for_as_long_as_it_is_good() {
    let (first, second) = (proof("a", json!({})), proof("b", json!({})));
    let mut seen = Seen::default();
    assert_eq!(seen.note(&check(&first, NOW).expect("good"), LEEWAY, NOW), Ok(()));
    assert_eq!(seen.note(&check(&second, NOW).expect("good"), LEEWAY, NOW), Ok(()));
    let last = NOW + LIFE + LEEWAY - 1;
    assert_eq!(seen.note(&check(&first, last).expect("good"), LEEWAY, last), Err(Refusal::Replayed));
}

#[test]
fn proofs_that_are_remembered_are_so_many() {
    let mut seen = Seen::default();
    for id in 0..MAX_SEEN {
        let proof = proof(&id.to_string(), json!({}));
        seen.note(&check(&proof, NOW).expect("good"), LEEWAY, NOW).expect("room");
    }
    let more = proof("more", json!({"iat": NOW + 1}));
    assert_eq!(seen.note(&check(&more, NOW).expect("good"), LEEWAY, NOW), Err(Refusal::Unavailable));
    let later = NOW + LIFE + LEEWAY;
    assert_eq!(seen.note(&check(&more, later).expect("good"), LEEWAY, later), Ok(()), "there is room again");
}
