//! Tokens that are bound to a key of their client (DPoP, RFC 9449).

use serde_json::{Value, json};
use trunnion::server::auth::Dpop;

use crate::auth_server::world::{Refused, World, builder};

/// A token bound to our key, and the headers that show it with a proof.
struct Bound {
    world: World,
    token: String,
}

impl Bound {
    fn of(world: World) -> Bound {
        let jkt = world.issuer.proof(&json!({}))["jkt"].clone();
        let token = world.token(json!({"claims": {"cnf": {"jkt": jkt}}}));
        Bound { world, token }
    }

    fn proof(&self, change: Value) -> String {
        let mut how = json!({"method": "POST", "url": self.world.url(), "token": self.token});
        for (name, value) in change.as_object().expect("an object") {
            how[name] = value.clone();
        }
        self.world.issuer.proof(&how)["proof"].as_str().expect("a proof").to_owned()
    }

    async fn show(&self, proof: &str) -> Result<Value, Refused> {
        self.world.hello(&[("authorization", &format!("DPoP {}", self.token)), ("dpop", proof)]).await
    }

    async fn refused(&self, proof: &str) -> Refused {
        self.show(proof).await.expect_err("refused")
    }
}

#[tokio::test]
async fn a_bound_token_needs_a_proof_each_time() {
    let bound = Bound::of(World::new().await);
    assert!(bound.show(&bound.proof(json!({}))).await.is_ok());
    assert_eq!(bound.world.refused(&bound.token).await, "bound_as_bearer");
    let bare =
        bound.world.hello(&[("authorization", &format!("DPoP {}", bound.token))]).await.expect_err("refused");
    assert_eq!(bare.reason(), "no_proof");
    assert!(
        bare.challenges.iter().any(|value| value.starts_with("DPoP ") && value.contains("algs=\"")),
        "{bare:?}"
    );
}

#[tokio::test]
async fn a_token_that_is_bound_to_anything_else_is_good_for_nothing() {
    let world = World::new().await;
    for cnf in [json!({"x5t#S256": "AA"}), json!({"jwk": {}}), json!({"jkt": 5}), json!({}), json!("AA")] {
        let token = world.token(json!({"claims": {"cnf": cnf}}));
        assert_eq!(world.refused(&token).await, "bound_as_bearer", "{cnf}");
        let shown = world.hello(&[("authorization", &format!("DPoP {token}"))]).await.expect_err("refused");
        assert_eq!((shown.status, shown.reason()), (401, "not_bound"), "{cnf}");
    }
}

#[tokio::test]
async fn a_stolen_proof_is_good_for_nothing() {
    let bound = Bound::of(World::new().await);
    let proof = bound.proof(json!({}));
    assert!(bound.show(&proof).await.is_ok());
    let replayed = bound.refused(&proof).await;
    assert_eq!((replayed.status, replayed.reason()), (401, "replayed"));
    assert!(!replayed.body.to_string().contains(&proof));
}

#[tokio::test]
async fn every_bad_proof_has_its_reason() {
    let bound = Bound::of(World::new().await);
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    for (change, reason) in [
        (json!({"key": "other"}), "proof_key"),
        (json!({"method": "GET"}), "proof_target"),
        (json!({"url": "https://evil.example/mcp"}), "proof_target"),
        (json!({"token": "another"}), "proof_target"),
        (json!({"claims": {"iat": now - 300}}), "proof_time"),
        (json!({"claims": {"iat": now + 300}}), "proof_time"),
        (json!({"claims": {"iat": null}}), "bad_proof"),
        (json!({"claims": {"jti": null}}), "bad_proof"),
        (json!({"claims": {"jti": "x".repeat(600)}}), "bad_proof"),
        (json!({"header": {"typ": "JWT"}}), "bad_proof"),
        (json!({"header": {"alg": "none"}}), "bad_proof"),
        (json!({"header": {"alg": "HS256"}}), "bad_proof"),
        (json!({"header": {"jwk": null}}), "bad_proof"),
    ] {
        let refused = bound.refused(&bound.proof(change.clone())).await;
        assert_eq!(refused.reason(), reason, "{change}");
    }
    let forged = bound.proof(json!({}));
    let (input, _) = forged.rsplit_once('.').expect("a JWS");
    let (_, other) =
        bound.proof(json!({})).rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("a JWS");
    assert_eq!(bound.refused(&format!("{input}.{other}")).await.reason(), "proof_key");
    assert_eq!(bound.refused("nonsense").await.reason(), "bad_proof");
}

#[tokio::test]
async fn a_nonce_is_asked_for_and_taken() {
    let bound = Bound::of(World::with(|auth| auth.dpop_nonces(true), builder()).await);
    let refused = bound.refused(&bound.proof(json!({}))).await;
    assert_eq!(refused.reason(), "nonce");
    assert!(refused.challenges.iter().any(|value| value.contains("use_dpop_nonce")));
    let nonce = refused.nonce.expect("a nonce");
    assert!(bound.show(&bound.proof(json!({ "nonce": nonce }))).await.is_ok());
    assert!(bound.show(&bound.proof(json!({ "nonce": nonce }))).await.is_ok(), "good for a while");
    assert_eq!(bound.refused(&bound.proof(json!({"nonce": "made-up"}))).await.reason(), "nonce");
}

#[tokio::test]
async fn tokens_must_or_must_not_be_bound() {
    let required = Bound::of(World::with(|auth| auth.dpop(Dpop::Required), builder()).await);
    assert!(required.show(&required.proof(json!({}))).await.is_ok());
    let unbound = required.world.hello_as(&required.world.good()).await.expect_err("refused");
    assert_eq!(unbound.reason(), "not_bound");
    assert!(unbound.challenges.iter().all(|value| value.starts_with("DPoP ")), "{unbound:?}");

    let off = Bound::of(World::with(|auth| auth.dpop(Dpop::Off), builder()).await);
    assert_eq!(off.refused(&off.proof(json!({}))).await.reason(), "no_dpop");
    assert_eq!(off.world.refused(&off.token).await, "bound_as_bearer");
    assert!(off.world.hello_as(&off.world.good()).await.is_ok());
}
