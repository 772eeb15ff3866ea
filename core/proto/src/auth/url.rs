//! Functions on URLs as strings: split, validate, join. They never normalize.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::error::AuthError;

/// A URL, cut into pieces that together are the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts<'a> {
    /// `http` or `https`, in the case it came in.
    pub scheme: &'a str,
    /// Host and port as they came.
    pub authority: &'a str,
    /// From the first `/`, or empty.
    pub path: &'a str,
    /// After `?`, without it.
    pub query: Option<&'a str>,
    /// After `#`, without it.
    pub fragment: Option<&'a str>,
}

/// Splits a URL. [`AuthError::BadUrl`] unless it is `http` or `https`, has a host and no user name, and
/// consists of visible ASCII without `\` and quotes (parsers disagree about such URLs, which attacks
/// exploit).
pub fn cut<'a>(url: &'a str, what: &'static str) -> Result<Parts<'a>, AuthError> {
    let bad = |reason| AuthError::BadUrl { what, reason };
    if url.bytes().any(|byte| !byte.is_ascii_graphic() || matches!(byte, b'\\' | b'"' | b'<' | b'>')) {
        return Err(bad("it has characters that no URL may have"));
    }
    let (scheme, rest) = url.split_once("://").ok_or(bad("it is not absolute"))?;
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        return Err(bad("its scheme is neither https nor http"));
    }
    let (rest, fragment) = split(rest, '#');
    let (rest, query) = split(rest, '?');
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let parts = Parts { scheme, authority, path, query, fragment };
    if authority.contains('@') {
        return Err(bad("it has a user name"));
    }
    if authority.contains('%') {
        return Err(bad("its host is percent-encoded"));
    }
    let (host, port) = parts.host_and_port();
    let digits = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if host.is_empty() || port.is_some_and(|port| !digits(port) || port.parse::<u16>().is_err()) {
        return Err(bad("its host or port is malformed"));
    }
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or(bad("its host is malformed"))?;
        inner.parse::<Ipv6Addr>().map_err(|_| bad("its host is not an IPv6 address"))?;
    } else if numeric(host) && host.parse::<Ipv4Addr>().is_err() {
        // 2130706433, 0x7f.1 and 127.1 are addresses to some and names to others.
        return Err(bad("its host is an IPv4 address in an unusual form"));
    }
    Ok(parts)
}

/// Returns true if the last label looks like a number, so that some parsers read the host as an address.
fn numeric(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or("");
    let hex = last.strip_prefix("0x").or(last.strip_prefix("0X"));
    (!last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()))
        || hex.is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

impl<'a> Parts<'a> {
    /// Scheme and authority as they came: `https://example.com:8443`.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    /// True for `https` in any case.
    pub fn is_https(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("https")
    }

    fn host_and_port(&self) -> (&'a str, Option<&'a str>) {
        let after = self.authority.rfind(']').map_or(0, |at| at + 1);
        match self.authority[after..].find(':') {
            Some(colon) => (&self.authority[..after + colon], Some(&self.authority[after + colon + 1..])),
            None => (self.authority, None),
        }
    }

    /// The class of the host, as far as its text shows.
    pub fn class(&self) -> AddressClass {
        let host = self.host_and_port().0;
        let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        if name == "localhost" || name.ends_with(".localhost") {
            return AddressClass::Loopback;
        }
        match name.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => AddressClass::of(address),
            Err(_) => AddressClass::Public,
        }
    }

    /// Do two URLs have one origin? Scheme and host in any case, default ports left out or not.
    pub fn same_origin(&self, other: &Parts<'_>) -> bool {
        let port = |parts: &Parts<'_>| match parts.host_and_port().1 {
            Some(port) => port.parse().unwrap_or(0),
            None if parts.is_https() => 443_u16,
            None => 80,
        };
        self.scheme.eq_ignore_ascii_case(other.scheme)
            && self.host_and_port().0.eq_ignore_ascii_case(other.host_and_port().0)
            && port(self) == port(other)
    }

    /// Is there a `.` or `..` segment, plain or percent-encoded?
    pub fn has_dot_segments(&self) -> bool {
        self.path
            .split('/')
            .any(|segment| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | ".."))
    }
}

/// Classification of an IP address (IANA's registries of special addresses).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum AddressClass {
    /// Everyone's. Names count as public until they are resolved.
    Public,
    /// Of a network that is not the internet: RFC 1918, shared, unique-local.
    Private,
    /// This machine.
    Loopback,
    /// This link; the metadata services of clouds live here.
    LinkLocal,
    /// Unspecified, multicast, documentation, reserved.
    Special,
}

impl std::fmt::Display for AddressClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            AddressClass::Public => "public",
            AddressClass::Private => "private",
            AddressClass::Loopback => "loopback",
            AddressClass::LinkLocal => "link-local",
            AddressClass::Special => "special",
        })
    }
}

impl AddressClass {
    /// Class of an address. IPv6 addresses that carry an IPv4 one (mapped, compatible, NAT64, 6to4) have its class.
    pub fn of(address: IpAddr) -> AddressClass {
        match address {
            IpAddr::V4(address) => AddressClass::of_v4(address),
            IpAddr::V6(address) => AddressClass::of_v6(address),
        }
    }

    fn of_v4(address: Ipv4Addr) -> AddressClass {
        let [a, b, c, _] = address.octets();
        match (a, b, c) {
            (127, ..) => AddressClass::Loopback,
            (10, ..) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => AddressClass::Private,
            (169, 254, _) => AddressClass::LinkLocal,
            (0 | 224.., ..) | (192, 0, 0 | 2) | (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113) => {
                AddressClass::Special
            }
            _ => AddressClass::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> AddressClass {
        let s = address.segments();
        let v4 = |high: u16, low: u16| {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            AddressClass::of_v4(Ipv4Addr::new(a, b, c, d))
        };
        match s {
            [0, 0, 0, 0, 0, 0, 0, 1] => AddressClass::Loopback,
            [0, 0, 0, 0, 0, 0, 0, 0] => AddressClass::Special,
            [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => v4(high, low),
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
            [0x2002, high, low, ..] => v4(high, low),
            [0xfe80..=0xfebf, ..] => AddressClass::LinkLocal,
            [0xfc00..=0xfdff, ..] => AddressClass::Private,
            [0x64, 0xff9b, ..] | [0x100, 0, 0, 0, ..] | [0x2001, 0x0..=0x1ff | 0xdb8, ..] => {
                AddressClass::Special
            }
            [0x2000..=0x3fff, ..] => AddressClass::Public,
            _ => AddressClass::Special,
        }
    }
}

/// Policy for the addresses to which documents of a server may send the client, against request forgery
/// (SSRF).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressPolicy {
    /// Class of the server's own address. A public server may name public addresses only, a private one also private
    /// ones, one on this machine any of the three.
    pub server: AddressClass,
}

impl AddressPolicy {
    /// May a client of this server connect to an address of class `target`? To be asked of each URL's text (the
    /// machine does) and of each address that a name resolves to (the driver's part).
    pub fn permits(&self, target: AddressClass) -> bool {
        use AddressClass::{LinkLocal, Loopback, Private, Public};
        match self.server {
            Public | AddressClass::Special => target == Public,
            Private => matches!(target, Public | Private),
            Loopback => matches!(target, Public | Private | Loopback),
            LinkLocal => matches!(target, Public | Private | LinkLocal),
        }
    }

    /// [`cut`], and: `https` unless the host is loopback, no fragment, an address the policy permits.
    pub fn check<'a>(&self, url: &'a str, what: &'static str) -> Result<Parts<'a>, AuthError> {
        let parts = cut(url, what)?;
        let class = parts.class();
        if !parts.is_https() && class != AddressClass::Loopback {
            return Err(AuthError::NotHttps { what });
        }
        if parts.fragment.is_some() {
            return Err(AuthError::BadUrl { what, reason: "it has a fragment" });
        }
        if !self.permits(class) {
            return Err(AuthError::AddressRefused { what, class });
        }
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        for (url, class) in [
            ("https://example.com", AddressClass::Public),
            ("https://localhost:1/x", AddressClass::Loopback),
            ("https://a.LOCALHOST./x", AddressClass::Loopback),
            ("https://127.9.9.9", AddressClass::Loopback),
            ("https://[::1]:8", AddressClass::Loopback),
            ("https://[::ffff:10.0.0.1]", AddressClass::Private),
            ("https://[64:ff9b::169.254.169.254]", AddressClass::LinkLocal),
            ("https://[fd00:ec2::254]", AddressClass::Private),
            ("https://169.254.169.254", AddressClass::LinkLocal),
            ("https://100.64.0.1", AddressClass::Private),
            ("https://0.0.0.0", AddressClass::Special),
            ("https://[ff02::1]", AddressClass::Special),
            ("https://[2606:4700::1111]", AddressClass::Public),
            ("https://8.8.8.8", AddressClass::Public),
        ] {
            assert_eq!(cut(url, "it").unwrap().class(), class, "{url}");
        }
    }

    #[test]
    fn what_readers_disagree_over_is_refused() {
        for url in [
            "example.com",
            "ftp://example.com",
            "https://",
            "https:///x",
            "https://user@example.com",
            "https://example.com\\@evil",
            "https://exa mple.com",
            "https://example.com:port",
            "https://example.com:99999",
            "https://2130706433",
            "https://127.1",
            "https://0x7f.0.0.1",
            "https://1.2.3.0x4",
            "https://[::1",
            "https://[fe80::1%25eth0]",
            "https://%6cocalhost",
            "https://example.com/\r\nHost: evil",
        ] {
            assert!(cut(url, "it").is_err(), "{url}");
        }
    }

    #[test]
    fn who_may_point_where() {
        let policy = |server| AddressPolicy { server };
        let refused = |server, url| policy(server).check(url, "it").is_err();
        assert!(refused(AddressClass::Public, "https://10.0.0.1/x"));
        assert!(refused(AddressClass::Public, "http://127.0.0.1/x"));
        assert!(refused(AddressClass::Public, "http://example.com/x"));
        assert!(refused(AddressClass::Private, "https://169.254.169.254/x"));
        assert!(refused(AddressClass::Loopback, "https://169.254.169.254/x"));
        assert!(refused(AddressClass::Public, "https://example.com/x#y"));
        assert!(!refused(AddressClass::Loopback, "http://127.0.0.1/x"));
        assert!(!refused(AddressClass::Private, "https://10.0.0.1/x"));
    }
}
