//! Verification of the signatures of tokens and proofs.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};
use trunnion_proto::auth::resource::jws::{Algorithm, Jws};
use trunnion_proto::auth::resource::keys::Jwk;

/// Returns true if the key has signed it. RSA keys have at least 2048 bits.
pub(super) fn is_of(jws: &Jws<'_>, key: &Jwk) -> bool {
    key.is_for(jws.algorithm) && verify(jws, key).is_some()
}

fn verify(jws: &Jws<'_>, key: &Jwk) -> Option<()> {
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(key.text(name)?).ok();
    let rsa = |parameters: &RsaParameters| {
        let key = RsaPublicKeyComponents { n: bytes("n")?, e: bytes("e")? };
        key.verify(parameters, jws.input, &jws.signature).ok()
    };
    let plain = |algorithm: &'static dyn VerificationAlgorithm, key: Vec<u8>| {
        UnparsedPublicKey::new(algorithm, key).verify(jws.input, &jws.signature).ok()
    };
    // Uncompressed point: 4, x, y.
    let point = || Some([&[4][..], &bytes("x")?, &bytes("y")?].concat());
    match jws.algorithm {
        Algorithm::Rs256 => rsa(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => rsa(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => rsa(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => rsa(&RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => rsa(&RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => rsa(&RSA_PSS_2048_8192_SHA512),
        Algorithm::Es256 => plain(&ECDSA_P256_SHA256_FIXED, point()?),
        Algorithm::Es384 => plain(&ECDSA_P384_SHA384_FIXED, point()?),
        Algorithm::EdDsa => plain(&ED25519, bytes("x")?),
    }
}
