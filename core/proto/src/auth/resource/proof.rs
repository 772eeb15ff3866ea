//! DPoP proofs (RFC 9449, section 4.3): validation, and the memory of used proofs.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::jws::{Algorithm, Jws};
use super::keys::Jwk;
use super::refusal::Refusal;
use crate::auth::base64url;
use crate::auth::url::cut;

/// Seconds for which a proof is good.
pub const LIFE: u64 = 60;
/// Longest `jti` of a proof, in bytes.
pub const MAX_ID: usize = 512;
/// Most proofs that are remembered.
pub const MAX_SEEN: usize = 100_000;
/// Most proofs of one key that are remembered.
pub const MAX_OF_KEY: usize = 10_000;
/// Seconds for which a nonce is good.
pub const NONCE_LIFE: u64 = 300;

/// The request that a proof is to be for.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// URLs by which the client may know the endpoint; query and fragment do not count.
    pub urls: &'a [String],
    /// The access token.
    pub token: &'a str,
    /// Thumbprint of the key that the token is bound to.
    pub key: &'a str,
}

/// A proof that is taken apart, its signature not checked yet.
#[derive(Debug)]
pub struct Proof<'a> {
    /// The signature and the signed bytes.
    pub jws: Jws<'a>,
    /// The key that the proof names.
    pub key: Jwk,
    id: String,
    issued: u64,
}

impl<'a> Proof<'a> {
    /// Everything but the signature, the nonce and whether it was seen before. `leeway`: how far clocks may differ, in
    /// seconds.
    pub fn check(proof: &'a str, target: Target<'_>, leeway: u64, now: u64) -> Result<Proof<'a>, Refusal> {
        let jws = Jws::parse(proof, &Algorithm::ALL).map_err(|_| Refusal::BadProof)?;
        if jws.header.get("typ").and_then(Value::as_str) != Some("dpop+jwt") {
            return Err(Refusal::BadProof);
        }
        let key =
            jws.header.get("jwk").and_then(Value::as_object).cloned().map(Jwk).ok_or(Refusal::BadProof)?;
        if key.is_private() || !key.is_for(jws.algorithm) {
            return Err(Refusal::BadProof);
        }
        let text = |name: &str| jws.claims.get(name).and_then(Value::as_str);
        let id = text("jti")
            .filter(|id| !id.is_empty() && id.len() <= MAX_ID)
            .ok_or(Refusal::BadProof)?
            .to_owned();
        let issued = jws.claims.get("iat").and_then(Value::as_f64).ok_or(Refusal::BadProof)?;
        let (method, url) = (text("htm").ok_or(Refusal::BadProof)?, text("htu").ok_or(Refusal::BadProof)?);
        if key.thumbprint().as_deref() != Some(target.key) {
            return Err(Refusal::ProofKey);
        }
        let digest = base64url(&Sha256::digest(target.token.as_bytes()));
        let here = target.urls.iter().any(|own| same_place(own, url));
        if method != target.method || !here || text("ath") != Some(&digest) {
            return Err(Refusal::ProofTarget);
        }
        let issued = issued.max(0.0) as u64;
        if issued > now.saturating_add(leeway) || issued.saturating_add(LIFE + leeway) <= now {
            return Err(Refusal::ProofTime);
        }
        Ok(Proof { key, id, issued, jws })
    }

    /// The nonce in it.
    pub fn nonce(&self) -> Option<&str> {
        self.jws.claims.get("nonce").and_then(Value::as_str)
    }
}

/// Equal, but for query, fragment, and the case of scheme and host (RFC 9449, section 4.3, item 9).
fn same_place(own: &str, other: &str) -> bool {
    let (Ok(own), Ok(other)) = (cut(own, "htu"), cut(other, "htu")) else { return false };
    let path = |path: &str| if path.is_empty() { "/".to_owned() } else { path.to_owned() };
    own.same_origin(&other) && path(own.path) == path(other.path)
}

/// The used proofs, while they are valid. If there are too many, the oldest are forgotten, and proofs not
/// younger than those are refused from then on: no proof is accepted twice, and new proofs always are
/// accepted.
#[derive(Debug, Default)]
pub struct Seen {
    /// The keys that have, or had, proofs that end in a second.
    by_end: BTreeMap<u64, Vec<String>>,
    keys: HashMap<String, OfKey>,
    ids: HashSet<[u8; 32]>,
    /// Proofs that end by then are forgotten.
    floor: u64,
}

/// The proofs of one key: a key with many proofs does not displace those of other keys.
#[derive(Debug, Default)]
struct OfKey {
    by_end: BTreeMap<u64, Vec<[u8; 32]>>,
    count: usize,
    floor: u64,
}

impl Seen {
    /// Records a proof with a verified signature. [`Refusal::Replayed`] for a used one,
    /// [`Refusal::ProofTime`] for one as old as those forgotten at [`MAX_SEEN`], or at [`MAX_OF_KEY`] of its
    /// key.
    pub fn note(&mut self, proof: &Proof<'_>, leeway: u64, now: u64) -> Result<(), Refusal> {
        while let Some(end) = self.by_end.first_key_value().map(|(end, _)| *end).filter(|end| *end <= now) {
            self.forget(end);
        }
        let key = proof.key.thumbprint().unwrap_or_default();
        let end = proof.issued.saturating_add(LIFE + leeway);
        // An id is its key's own: nobody can use up another's.
        let digest: [u8; 32] = Sha256::digest(format!("{key} {}", proof.id)).into();
        if self.ids.contains(&digest) {
            return Err(Refusal::Replayed);
        }
        if let Some(of_key) = self.keys.get_mut(&key).filter(|of_key| of_key.count >= MAX_OF_KEY) {
            of_key.forget_oldest(&mut self.ids);
        }
        while self.ids.len() >= MAX_SEEN
            && let Some((&oldest, _)) = self.by_end.first_key_value()
        {
            self.forget(oldest);
            self.floor = oldest;
        }
        if end <= self.floor || self.keys.get(&key).is_some_and(|of_key| end <= of_key.floor) {
            return Err(Refusal::ProofTime);
        }
        self.ids.insert(digest);
        let of_key = self.keys.entry(key.clone()).or_default();
        of_key.count += 1;
        let ending = of_key.by_end.entry(end).or_default();
        if ending.is_empty() {
            self.by_end.entry(end).or_default().push(key);
        }
        ending.push(digest);
        Ok(())
    }

    /// Forgets the proofs of all keys that expire at this time.
    fn forget(&mut self, end: u64) {
        for key in self.by_end.remove(&end).unwrap_or_default() {
            let Some(of_key) = self.keys.get_mut(&key) else { continue };
            of_key.forget(end, &mut self.ids);
            // Its floor holds for as long as there could be proofs below it.
            if of_key.count == 0 && of_key.floor <= end {
                self.keys.remove(&key);
            }
        }
    }
}

impl OfKey {
    fn forget(&mut self, end: u64, ids: &mut HashSet<[u8; 32]>) {
        for id in self.by_end.remove(&end).unwrap_or_default() {
            ids.remove(&id);
            self.count -= 1;
        }
    }

    fn forget_oldest(&mut self, ids: &mut HashSet<[u8; 32]>) {
        if let Some((&oldest, _)) = self.by_end.first_key_value() {
            self.forget(oldest, ids);
            self.floor = oldest;
        }
    }
}
