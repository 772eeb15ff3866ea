//! Keys for signatures.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RsaKeyPair,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use trunnion_proto::auth::AuthError;
use trunnion_proto::auth::dpop::DpopKey;

use crate::error::Error;

/// A private key, for `private_key_jwt` and for DPoP. Not shown by `Debug`; cheap to clone.
#[derive(Clone)]
pub struct SigningKey(Arc<Pair>);

enum Pair {
    Es256(EcdsaKeyPair),
    Es384(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SigningKey").field(&self.algorithm()).finish()
    }
}

impl SigningKey {
    /// Generates a new key for `ES256`.
    pub fn generate() -> Result<SigningKey, Error> {
        let broken = |_| Error::internal("no key could be made: the system has no random numbers");
        let random = SystemRandom::new();
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).map_err(broken)?;
        SigningKey::from_pkcs8(pkcs8.as_ref())
    }

    /// Reads a key in PEM: `PRIVATE KEY` (PKCS #8) of the kinds that [`SigningKey::from_pkcs8`] accepts, or
    /// `RSA PRIVATE KEY`. Anything else is an error of kind `usage`.
    pub fn from_pem(pem: &str) -> Result<SigningKey, Error> {
        let bad = || Error::usage("the key is no PEM of a private key (PKCS #8)");
        match PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| bad())? {
            PrivateKeyDer::Pkcs8(key) => SigningKey::from_pkcs8(key.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(key) => {
                let pair = RsaKeyPair::from_der(key.secret_pkcs1_der()).map_err(|_| bad())?;
                Ok(SigningKey(Arc::new(Pair::Rs256(pair))))
            }
            _ => Err(bad()),
        }
    }

    /// Reads a key in PKCS #8: P-256 (`ES256`), P-384 (`ES384`), Ed25519 (`EdDSA`), RSA of 2048 bits and more
    /// (`RS256`; for `private_key_jwt` only). Anything else is an error of kind `usage`.
    pub fn from_pkcs8(der: &[u8]) -> Result<SigningKey, Error> {
        let random = SystemRandom::new();
        let ecdsa = |algorithm| EcdsaKeyPair::from_pkcs8(algorithm, der, &random).ok();
        let pair = ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map(Pair::Es256)
            .or_else(|| ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING).map(Pair::Es384))
            .or_else(|| Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().map(Pair::EdDsa))
            .or_else(|| RsaKeyPair::from_pkcs8(der).ok().map(Pair::Rs256));
        let bad = || Error::usage("the key is of no kind that is known: P-256, P-384, Ed25519 or RSA");
        pair.map(|pair| SigningKey(Arc::new(pair))).ok_or_else(bad)
    }

    /// Returns the JWS algorithm.
    pub fn algorithm(&self) -> &'static str {
        match &*self.0 {
            Pair::Es256(_) => "ES256",
            Pair::Es384(_) => "ES384",
            Pair::EdDsa(_) => "EdDSA",
            Pair::Rs256(_) => "RS256",
        }
    }

    /// Returns the public half for DPoP proofs.
    pub(super) fn dpop(&self) -> Result<DpopKey, AuthError> {
        let ec = |pair: &EcdsaKeyPair, curve: &str| {
            // Uncompressed point: 4, x, y.
            let point = pair.public_key().as_ref();
            let (x, y) = point[1..].split_at((point.len() - 1) / 2);
            let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
            format!(r#"{{"kty":"EC","crv":"{curve}","x":"{x}","y":"{y}"}}"#)
        };
        let jwk = match &*self.0 {
            Pair::Es256(pair) => ec(pair, "P-256"),
            Pair::Es384(pair) => ec(pair, "P-384"),
            Pair::EdDsa(pair) => {
                let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
                format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#)
            }
            Pair::Rs256(_) => {
                let reason = "RSA keys are not supported; use P-256".to_owned();
                return Err(AuthError::Config { option: "dpop", reason });
            }
        };
        Ok(DpopKey { algorithm: self.algorithm().to_owned(), jwk })
    }

    /// Returns the signature in the JWS encoding; `None` if the system fails.
    pub(super) fn sign(&self, input: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match &*self.0 {
            Pair::Es256(pair) | Pair::Es384(pair) => Some(pair.sign(&random, input).ok()?.as_ref().to_vec()),
            Pair::EdDsa(pair) => Some(pair.sign(input).as_ref().to_vec()),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, input, &mut signature).ok()?;
                Some(signature)
            }
        }
    }
}
