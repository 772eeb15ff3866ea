//! URLs of servers: `http`, `https`, and `http+unix` for HTTP over a Unix socket.

use std::path::{Path, PathBuf};

use reqwest::Url;

use crate::driver::sockets;

const UNIX: &str = "http+unix://";

/// The address of a server.
#[derive(Debug)]
pub struct ServerUrl {
    /// The URL of the requests. Over a Unix socket its host is `localhost`.
    pub url: Url,
    /// The absolute path of the Unix socket that is connected to instead of the URL's host.
    pub socket: Option<PathBuf>,
}

/// Parses the URL of a server. The error is for a person.
pub fn server_url(text: &str) -> Result<ServerUrl, String> {
    const SCHEME: &str = "it must begin with http://, https:// or http+unix://";
    if let Some(rest) = strip_unix(text) {
        return over_socket(rest);
    }
    let url = Url::parse(text).map_err(|error| match error {
        url_error if !text.contains("://") => format!("invalid URL: {url_error}; {SCHEME}"),
        url_error => format!("invalid URL: {url_error}"),
    })?;
    match (url.scheme(), url.host_str()) {
        ("http" | "https", Some(_)) => Ok(ServerUrl { url, socket: None }),
        _ => Err(format!("invalid URL: {SCHEME}")),
    }
}

/// Returns the start of the URLs of a server that listens on this socket; a path follows.
pub fn unix_url(socket: &Path) -> String {
    let mut url = UNIX.to_owned();
    for &byte in socket.as_os_str().as_encoded_bytes() {
        // Unreserved (RFC 3986, 2.3): anything else might end the authority, or be changed by a URL parser.
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    url
}

fn strip_unix(text: &str) -> Option<&str> {
    let (scheme, rest) = text.trim().split_at_checked(UNIX.len())?;
    scheme.eq_ignore_ascii_case(UNIX).then_some(rest)
}

fn over_socket(rest: &str) -> Result<ServerUrl, String> {
    const FORM: &str =
        "the form is http+unix://%2Frun%2Fserver.sock/mcp, with the slashes of the socket's path as %2F";
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let socket = decode(authority).map(sockets::unix_path).transpose()?.flatten();
    let socket = socket.ok_or_else(|| {
        format!("invalid URL: {authority:?} is not the percent-encoded absolute path of a socket; {FORM}")
    })?;
    let url =
        Url::parse(&format!("http://localhost{path}")).map_err(|error| format!("invalid URL: {error}"))?;
    Ok(ServerUrl { url, socket: Some(socket) })
}

/// Percent-decodes; `None` if a `%` is not followed by two hexadecimal digits.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        out.push(u8::try_from(high * 16 + low).ok()?);
    }
    Some(out)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_named_by_its_encoded_path() {
        let path = Path::new("/tmp/a b/%é?.sock");
        let text = format!("{}/mcp?x=1", unix_url(path));
        assert_eq!(text, "http+unix://%2Ftmp%2Fa%20b%2F%25%C3%A9%3F.sock/mcp?x=1");
        let found = server_url(&text).expect("a URL");
        assert_eq!(found.socket.as_deref(), Some(path));
        assert_eq!(found.url.as_str(), "http://localhost/mcp?x=1");
        assert!(server_url("HTTP+UNIX://%2fa.sock/").expect("a URL").socket.is_some());
    }

    #[test]
    fn a_bad_socket_url_says_what_the_form_is() {
        for wrong in [
            "http+unix://",
            "http+unix:///run/a.sock/mcp",
            "http+unix://run%2Fa.sock/mcp",
            "http+unix://%2Frun%2/mcp",
            "http+unix://%2Frun%00/mcp",
        ] {
            let error = server_url(wrong).expect_err(wrong);
            assert!(error.contains("http+unix://%2Frun%2Fserver.sock/mcp"), "{wrong}: {error}");
        }
        let error = server_url("unix:/run/a.sock").expect_err("another scheme");
        assert!(error.contains("http+unix://"), "{error}");
    }
}
