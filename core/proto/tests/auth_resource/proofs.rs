//! Proofs, and the time for which they are remembered.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use trunnion_proto::auth::resource::Refusal;
use trunnion_proto::auth::resource::keys::Jwk;
use trunnion_proto::auth::resource::proof::{LIFE, MAX_OF_KEY, MAX_SEEN, Proof, Seen, Target};

const NOW: u64 = 1_800_000_000;
const LEEWAY: u64 = 60;

fn jwk(key: usize) -> Value {
    json!({"kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(key.to_string()), "y": "eQ"})
}

fn proof(id: &str, change: Value) -> String {
    proof_of(0, id, change)
}

fn proof_of(key: usize, id: &str, change: Value) -> String {
    static ATH: LazyLock<String> = LazyLock::new(|| {
        use sha2::Digest as _;
        URL_SAFE_NO_PAD.encode(sha2::Sha256::digest("token"))
    });
    let mut claims = json!({"jti": id, "htm": "POST", "htu": "https://h/mcp", "iat": NOW, "ath": *ATH});
    for (name, value) in change.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    format!("{}.{}.c2ln", KEYS[key].header, URL_SAFE_NO_PAD.encode(claims.to_string()))
}

/// A key as the proofs of it have it.
struct Key {
    header: String,
    thumbprint: String,
}

/// A few keys: a test makes 100,000 proofs with them.
static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
    (0..=MAX_SEEN / MAX_OF_KEY)
        .map(|key| {
            let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk(key)});
            let parsed = Jwk(jwk(key).as_object().expect("an object").clone());
            Key {
                header: URL_SAFE_NO_PAD.encode(header.to_string()),
                thumbprint: parsed.thumbprint().expect("a thumbprint"),
            }
        })
        .collect()
});

fn check(proof: &str, now: u64) -> Result<Proof<'_>, Refusal> {
    check_of(0, proof, now)
}

fn check_of(key: usize, proof: &str, now: u64) -> Result<Proof<'_>, Refusal> {
    let urls = ["https://h/mcp".to_owned()];
    let target = Target { method: "POST", urls: &urls, token: "token", key: &KEYS[key].thumbprint };
    Proof::check(proof, target, LEEWAY, now)
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

/// Records a proof of a key that was made, and is used, `after` [`NOW`].
fn note(seen: &mut Seen, key: usize, id: usize, after: u64) -> Result<(), Refusal> {
    show(seen, key, id, after, after)
}

fn show(seen: &mut Seen, key: usize, id: usize, after: u64, shown: u64) -> Result<(), Refusal> {
    let (now, proof) = (NOW + shown, proof_of(key, &id.to_string(), json!({"iat": NOW + after})));
    seen.note(&check_of(key, &proof, now).expect("good"), LEEWAY, now)
}

#[test]
fn proofs_that_are_remembered_are_so_many() {
    let (mut seen, keys) = (Seen::default(), MAX_SEEN / MAX_OF_KEY);
    for id in 0..MAX_SEEN {
        // One key has a second of its own.
        let key = id % keys;
        note(&mut seen, key, id, u64::from(key == 1)).expect("room");
    }
    let new = keys;
    assert_eq!(show(&mut seen, new, 0, 1, 1), Ok(()), "there is room for what is new");
    assert_eq!(show(&mut seen, 0, 0, 0, 1), Err(Refusal::ProofTime), "what is forgotten is not good again");
    assert_eq!(show(&mut seen, new, 1, 0, 1), Err(Refusal::ProofTime), "nor could anybody tell it from this");
    assert_eq!(show(&mut seen, 1, 1, 1, 1), Err(Refusal::Replayed), "the others are remembered");
    assert_eq!(show(&mut seen, new, 0, 1, 1), Err(Refusal::Replayed));
    assert_eq!(note(&mut seen, 0, 0, 2), Ok(()), "its id was forgotten with it");
}

#[test]
fn one_key_makes_nobody_elses_proofs_be_forgotten() {
    let mut seen = Seen::default();
    assert_eq!(note(&mut seen, 1, 0, 0), Ok(()));
    assert_eq!(note(&mut seen, 0, 0, 0), Ok(()));
    for id in 1..3 * MAX_OF_KEY {
        // From the future as far as may be: those are the last to be forgotten.
        let _ = show(&mut seen, 0, id, LEEWAY, 0);
    }
    assert_eq!(show(&mut seen, 0, 3 * MAX_OF_KEY, LEEWAY, 0), Err(Refusal::ProofTime));
    assert_eq!(show(&mut seen, 0, 0, 0, 0), Err(Refusal::ProofTime), "forgotten");
    assert_eq!(note(&mut seen, 1, 1, 0), Ok(()));
    assert_eq!(note(&mut seen, 1, 0, 0), Err(Refusal::Replayed));
    // A proof that is younger than all of those is accepted.
    assert_eq!(note(&mut seen, 0, 0, LEEWAY + 1), Ok(()));
    let later = LEEWAY + LIFE + LEEWAY;
    assert_eq!(note(&mut seen, 0, 1, later), Ok(()));
    assert_eq!(note(&mut seen, 0, 1, later), Err(Refusal::Replayed));
}
