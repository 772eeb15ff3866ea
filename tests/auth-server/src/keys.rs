//! Signing keys (ES256).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

pub struct Key {
    pub id: String,
    pair: EcdsaKeyPair,
}

pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn sha256(text: &str) -> String {
    base64url(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()))
}

/// Returns an unguessable text.
pub fn random() -> String {
    let mut bytes = [0; 24];
    SystemRandom::new().fill(&mut bytes).expect("the system has entropy");
    base64url(bytes)
}

impl Key {
    pub fn new(id: &str) -> Key {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("the system has entropy");
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).expect("just made");
        Key { id: id.to_owned(), pair }
    }

    pub fn sign(&self, input: &str) -> String {
        let random = SystemRandom::new();
        base64url(self.pair.sign(&random, input.as_bytes()).expect("the system has entropy"))
    }

    /// The public half.
    pub fn jwk(&self) -> Value {
        // Uncompressed point: 4, x, y.
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({"kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y)})
    }

    /// The public half as the key set has it.
    pub fn published(&self) -> Value {
        let mut jwk = self.jwk();
        jwk["kid"] = self.id.clone().into();
        jwk["use"] = "sig".into();
        jwk["alg"] = "ES256".into();
        jwk
    }

    pub fn thumbprint(&self) -> String {
        thumbprint(&self.jwk())
    }
}

/// RFC 7638, of a key on P-256.
pub fn thumbprint(jwk: &Value) -> String {
    sha256(&format!(r#"{{"crv":{},"kty":{},"x":{},"y":{}}}"#, jwk["crv"], jwk["kty"], jwk["x"], jwk["y"]))
}

/// Returns true if a JWS is signed with this key on P-256.
pub fn is_signed(jws: &str, jwk: &Value) -> bool {
    let bytes =
        |value: &Value| URL_SAFE_NO_PAD.decode(value.as_str().unwrap_or_default()).unwrap_or_default();
    let Some((input, signature)) = jws.rsplit_once('.') else { return false };
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
    let point = [&[4][..], &bytes(&jwk["x"]), &bytes(&jwk["y"])].concat();
    let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_FIXED, point);
    key.verify(input.as_bytes(), &signature).is_ok()
}

/// Header and claims of a JWS.
pub fn parts(jws: &str) -> Option<(Value, Value)> {
    let mut parts = jws.split('.');
    let mut read = || serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts.next()?).ok()?).ok();
    Some((read()?, read()?))
}
