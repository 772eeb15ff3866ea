//! Random bytes and ids, and the clock of the wall.

use std::time::{SystemTime, UNIX_EPOCH};

use ring::rand::{SecureRandom, SystemRandom};

/// Returns the milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Returns unguessable bytes.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the system has entropy");
    bytes
}

/// Returns an unguessable id: 32 hexadecimal digits.
pub(crate) fn random_id() -> String {
    random::<16>().iter().map(|byte| format!("{byte:02x}")).collect()
}
