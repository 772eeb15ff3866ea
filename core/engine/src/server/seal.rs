//! Sealed state that clients return unread and unchanged: `requestState` (2026-07-28, "Multi Round-Trip
//! Requests", "Server Requirements").

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::random::{now_ms, random};

const KEY_BYTES: usize = 32;

/// The time in which a client must return with the answers.
pub const DEFAULT_TTL: Duration = Duration::from_secs(3600);

/// A sealer that seals with the first of its keys and opens with any (ChaCha20-Poly1305, RFC 8439; nonces are
/// random, so a key is good for some 2^32 states).
pub struct Sealer {
    keys: Vec<LessSafeKey>,
    ttl: Duration,
}

impl Sealer {
    /// Returns a sealer. `keys`: 32 bytes each in Base64, the one to seal with first. None: a key of this
    /// process only.
    pub fn new(keys: &[String], ttl: Duration) -> Result<Sealer, String> {
        let mut raw = Vec::with_capacity(keys.len().max(1));
        for key in keys {
            let bytes = STANDARD.decode(key).ok().filter(|bytes| bytes.len() == KEY_BYTES);
            // The message does not quote the text: it may be a secret that was written wrongly.
            raw.push(bytes.ok_or("stateKeys: a key is 32 bytes in Base64")?);
        }
        if raw.is_empty() {
            raw.push(random::<KEY_BYTES>().to_vec());
        }
        let keys = raw.iter().map(|bytes| {
            LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, bytes).expect("the length was checked"))
        });
        Ok(Sealer { keys: keys.collect(), ttl })
    }

    /// Returns the time at which something sealed now expires, in milliseconds since 1970.
    pub fn expiry(&self) -> u64 {
        now_ms().saturating_add(u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX))
    }

    /// Seals a text; it opens only with the same binding.
    pub fn seal(&self, binding: &[u8], text: String) -> String {
        let nonce: [u8; NONCE_LEN] = random();
        let mut sealed = text.into_bytes();
        self.keys[0]
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(binding), &mut sealed)
            .expect("a message fits");
        let mut out = nonce.to_vec();
        out.append(&mut sealed);
        URL_SAFE_NO_PAD.encode(out)
    }

    /// Opens the output of [`Sealer::seal`]; `None` if it was changed, was sealed with another key, or has
    /// another binding.
    pub fn open(&self, binding: &[u8], sealed: &str) -> Option<String> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, body) = bytes.split_first_chunk::<NONCE_LEN>()?;
        self.keys.iter().find_map(|key| {
            let mut body = body.to_vec();
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let text = key.open_in_place(nonce, Aad::from(binding), &mut body).ok()?;
            String::from_utf8(text.to_vec()).ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> String {
        STANDARD.encode([byte; KEY_BYTES])
    }

    #[test]
    fn what_is_sealed_opens_only_unchanged_and_for_the_same() {
        let sealer = Sealer::new(&[], DEFAULT_TTL).expect("a key");
        let sealed = sealer.seal(b"call a", "secret".into());
        assert_eq!(sealer.open(b"call a", &sealed).as_deref(), Some("secret"));
        assert_eq!(sealer.open(b"call b", &sealed), None);
        assert_eq!(sealer.open(b"call a", &format!("{sealed}-TAMPERED")), None);
        assert_eq!(sealer.open(b"call a", &sealed[1..]), None);
        assert_eq!(sealer.open(b"call a", ""), None);
        let other = Sealer::new(&[], DEFAULT_TTL).expect("a key");
        assert_eq!(other.open(b"call a", &sealed), None);
    }

    #[test]
    fn keys_can_be_rotated() {
        let old = Sealer::new(&[key(1)], DEFAULT_TTL).expect("a key");
        let new = Sealer::new(&[key(2), key(1)], DEFAULT_TTL).expect("keys");
        let sealed = old.seal(b"", "x".into());
        assert_eq!(new.open(b"", &sealed).as_deref(), Some("x"));
        assert_eq!(old.open(b"", &new.seal(b"", "x".into())), None);
        assert!(Sealer::new(&["short".into()], DEFAULT_TTL).is_err());
    }
}
