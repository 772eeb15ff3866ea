//! The requests of the benchmark cases and what their answers must hold.

use std::fmt::Write as _;

/// One kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// Call the tool `echo` with a short text.
    Echo,
    /// List the 50 tools.
    List,
    /// Read the resource `bench://big`.
    Read,
    /// Discover the server: the first exchange of a connection.
    Discover,
}

const META: &str = concat!(
    r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
    r#""io.modelcontextprotocol/clientInfo":{"name":"load","version":"1"},"#,
    r#""io.modelcontextprotocol/clientCapabilities":{}}"#
);

impl Case {
    /// The case of that name on the command line.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "echo" => Self::Echo,
            "list" => Self::List,
            "read" => Self::Read,
            "discover" => Self::Discover,
            _ => return None,
        })
    }

    fn method(self) -> &'static str {
        match self {
            Self::Echo => "tools/call",
            Self::List => "tools/list",
            Self::Read => "resources/read",
            Self::Discover => "server/discover",
        }
    }

    fn name_header(self) -> Option<&'static str> {
        match self {
            Self::Echo => Some("echo"),
            Self::Read => Some("bench://big"),
            Self::List | Self::Discover => None,
        }
    }

    /// A text that every right answer holds.
    pub fn mark(self) -> &'static [u8] {
        match self {
            Self::Echo => b"hello, trunnion",
            Self::List => b"\"inputSchema\"",
            Self::Read => b"\"contents\"",
            Self::Discover => b"\"result\"",
        }
    }

    /// The JSON-RPC request with that id, without a line end.
    pub fn body(self, id: u64) -> String {
        let params = match self {
            Self::Echo => format!(r#""name":"echo","arguments":{{"text":"hello, trunnion"}},{META}"#),
            Self::Read => format!(r#""uri":"bench://big",{META}"#),
            Self::List | Self::Discover => META.to_owned(),
        };
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{}","params":{{{params}}}}}"#, self.method())
    }

    /// The whole HTTP request to `path` at `host`.
    pub fn http_request(self, host: &str, path: &str, id: u64) -> Vec<u8> {
        let body = self.body(id);
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n\
             Mcp-Method: {}\r\nContent-Length: {}\r\n",
            self.method(),
            body.len()
        );
        if let Some(name) = self.name_header() {
            let _ = write!(head, "Mcp-Name: {name}\r\n");
        }
        head.push_str("\r\n");
        [head.into_bytes(), body.into_bytes()].concat()
    }
}

/// Returns true if `needle` occurs in `hay`.
pub fn contains(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|window| window == needle)
}

/// The number after the first `"id":` of a JSON-RPC answer.
pub fn id_of(line: &[u8]) -> Option<u64> {
    // The id stands at one of the two ends, whatever the size of the result between them.
    let end = line.len();
    let found = [&line[..end.min(64)], &line[end.saturating_sub(64)..]].into_iter().find_map(|part| {
        let at = part.windows(5).position(|window| window == b"\"id\":")?;
        let rest = part[at + 5..].trim_ascii_start();
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
    });
    found.or_else(|| serde_json::from_slice::<serde_json::Value>(line).ok()?.get("id")?.as_u64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json_with_their_id() {
        for case in [Case::Echo, Case::List, Case::Read, Case::Discover] {
            let value: serde_json::Value = serde_json::from_str(&case.body(7)).expect("a JSON body");
            assert_eq!(value["id"], 7);
        }
    }

    #[test]
    fn id_is_found_at_either_end() {
        assert_eq!(id_of(br#"{"jsonrpc":"2.0","id":12,"result":{}}"#), Some(12));
        let long = format!(r#"{{"result":{{"x":"{}"}},"jsonrpc":"2.0","id": 345}}"#, "y".repeat(500));
        assert_eq!(id_of(long.as_bytes()), Some(345));
    }
}
