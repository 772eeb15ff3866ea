//! Limits for hostile peers. The table with the option keys is `docs/limits.md`.

/// Limits that are checked before anything is parsed or stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest message (a line, an HTTP body, an SSE event), in bytes.
    pub message_bytes: usize,
    /// Deepest nesting of arrays and objects in a message.
    pub depth: usize,
    /// Most requests of one connection that may be waiting for an answer.
    pub in_flight: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { message_bytes: 4 << 20, depth: 128, in_flight: 1024 }
    }
}

/// Maximum length of a URI from a client, in bytes: every template may be matched against it, and watched
/// ones are stored.
pub(crate) const MAX_URI: usize = 8 << 10;

/// Checks the length of a URI. The error names it as `what`.
pub(crate) fn check_uri(what: &str, uri: &str) -> Result<(), String> {
    if uri.len() > MAX_URI { Err(format!("{what} exceeds {MAX_URI} bytes")) } else { Ok(()) }
}

/// Deepest nesting of `[` and `{` outside strings, stopping early above `max`.
///
/// Runs before the JSON parser, so it must hold on any bytes, valid JSON or not.
pub fn exceeds_depth(bytes: &[u8], max: usize) -> bool {
    // Fewer openings than the limit in the whole text cannot nest deeper than it: the common case needs no
    // string tracking at all.
    let openings = bytes.iter().filter(|byte| matches!(byte, b'{' | b'[')).count();
    if openings <= max {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for &byte in bytes {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > max {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_only_structure() {
        let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(!exceeds_depth(nested(128).as_bytes(), 128));
        assert!(exceeds_depth(nested(129).as_bytes(), 128));
        let quoted = format!("{{\"a\":\"{}\"}}", "[".repeat(1000));
        assert!(!exceeds_depth(quoted.as_bytes(), 128));
        let escaped = format!("{{\"a\":\"\\\"{}\"}}", "[".repeat(1000));
        assert!(!exceeds_depth(escaped.as_bytes(), 128));
        assert!(!exceeds_depth("[]".repeat(1000).as_bytes(), 128));
    }
}
