//! Host, Origin and proxy checks on the headers of requests.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, ORIGIN};
use trunnion_proto::server::post::{Headers, Lookup};

/// The callers that are accepted.
#[derive(Debug, Clone, Default)]
pub struct Callers {
    /// Host header values accepted besides loopback names and the bound address; `*` accepts all.
    pub allowed_hosts: Vec<String>,
    /// Origin header values accepted besides loopback ones; `*` accepts all.
    pub allowed_origins: Vec<String>,
    /// The public URL of the endpoint, such as `https://mcp.example.com/mcp`.
    pub public_url: Option<String>,
    /// Addresses of proxies whose `X-Forwarded-Host` is believed.
    pub trusted_proxies: Vec<IpAddr>,
}

impl Callers {
    /// DNS rebinding: a page that resolves its own name to this machine still names itself in Host and Origin
    /// (2026-07-28, Streamable HTTP, "Security & Endpoint"). `bound`: the address that is listened on;
    /// `peer`: who has connected. Fails with what to tell a refused caller.
    pub fn check(
        &self,
        headers: &HeaderMap,
        bound: Option<IpAddr>,
        peer: Option<IpAddr>,
    ) -> Result<(), String> {
        let refuse = |what: &str, value: &[u8], key: &str| {
            let value = String::from_utf8_lossy(value);
            Err(format!("{what} {value:?} is not allowed; add it to {key}, or set publicUrl"))
        };
        // An IPv4 address reaches a listener on [::], or an option, in its IPv6 form too (RFC 4291, 2.5.5.2).
        let is_peer = |proxy: &IpAddr| peer.is_some_and(|peer| proxy.to_canonical() == peer.to_canonical());
        let proxied = self.trusted_proxies.iter().any(is_peer);
        let forwarded = proxied.then(|| headers.get_all("x-forwarded-host")).into_iter().flatten();
        // All of them: which of several another program would go by is anybody's guess.
        for host in headers.get_all(HOST).iter().chain(forwarded) {
            let allowed = host.to_str().is_ok_and(|host| {
                is_local_authority(host, bound)
                    || listed(&self.allowed_hosts, host)
                    || self.public_origin().is_some_and(|(scheme, own)| is_same(scheme, own, host))
            });
            if !allowed {
                return refuse("Host", host.as_bytes(), "allowedHosts");
            }
        }
        for origin in headers.get_all(ORIGIN) {
            let allowed = origin.to_str().is_ok_and(|origin| {
                let parts = origin.split_once("://");
                parts.is_some_and(|(_, authority)| is_local_authority(authority, bound))
                    || listed(&self.allowed_origins, origin)
                    || parts.zip(self.public_origin()).is_some_and(
                        |((scheme, authority), (own_scheme, own))| {
                            scheme.eq_ignore_ascii_case(own_scheme) && is_same(scheme, own, authority)
                        },
                    )
            });
            if !allowed {
                return refuse("Origin", origin.as_bytes(), "allowedOrigins");
            }
        }
        Ok(())
    }

    /// Returns the prefix that a proxy adds to the paths of this server: the part of the public URL's path
    /// before the endpoint's path.
    pub fn public_prefix<'a>(&'a self, path: &str) -> &'a str {
        let url =
            self.public_url.as_deref().and_then(|url| url.split_once("://")).map_or("", |(_, rest)| rest);
        let whole = url.find('/').map_or("", |at| &url[at..]);
        let whole = whole.split(['?', '#']).next().unwrap_or(whole);
        let whole = whole.strip_suffix('/').unwrap_or(whole);
        whole.strip_suffix(path.strip_suffix('/').unwrap_or(path)).unwrap_or("")
    }

    /// Scheme and authority of the public URL.
    fn public_origin(&self) -> Option<(&str, &str)> {
        let (scheme, rest) = self.public_url.as_deref()?.split_once("://")?;
        Some((scheme, rest.split('/').next().unwrap_or(rest)))
    }
}

/// Returns true if two authorities are equal under a scheme, with its default port (RFC 9110, 4.2.3).
fn is_same(scheme: &str, one: &str, other: &str) -> bool {
    let port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    let [one, other] = [one, other].map(|authority| authority.strip_suffix(port).unwrap_or(authority));
    one.eq_ignore_ascii_case(other)
}

/// Returns true if a text can be a public URL.
pub fn is_public_url(url: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| {
        url.strip_prefix(scheme)
            .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !rest.contains(['@', ' ', '#']))
    })
}

fn listed(list: &[String], value: &str) -> bool {
    list.iter().any(|entry| entry == "*" || entry.eq_ignore_ascii_case(value))
}

/// `localhost`, a loopback address, or the very address that is bound; any port.
fn is_local_authority(authority: &str, bound: Option<IpAddr>) -> bool {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').unwrap_or((rest, "]")),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = rest.strip_prefix(':').unwrap_or(rest);
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    if host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    host.parse::<IpAddr>().map(|ip| ip.to_canonical()).is_ok_and(|ip| {
        ip.is_loopback() || (Some(ip) == bound.map(|bound| bound.to_canonical()) && !ip.is_unspecified())
    })
}

pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media_type.is_some_and(|media_type| {
        let essence = media_type.split(';').next().unwrap_or(media_type);
        essence.trim().eq_ignore_ascii_case("application/json")
    })
}

/// The media types that a caller accepts.
#[derive(Clone, Copy)]
pub(super) struct Accepts {
    pub json: bool,
    pub events: bool,
}

impl Accepts {
    pub fn of(headers: &HeaderMap) -> Accepts {
        let mut accepts = Accepts { json: false, events: false };
        let mut any = false;
        for value in headers.get_all(ACCEPT) {
            any = true;
            for item in value.to_str().unwrap_or_default().split(',') {
                let mut parts = item.split(';').map(str::trim);
                let media_type = parts.next().unwrap_or_default();
                let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
                if weight.is_some_and(|weight| weight.parse() == Ok(0.0)) {
                    continue;
                }
                let is = |names: [&str; 3]| names.iter().any(|name| media_type.eq_ignore_ascii_case(name));
                accepts.json |= is(["application/json", "application/*", "*/*"]);
                accepts.events |= is(["text/event-stream", "text/*", "*/*"]);
            }
        }
        // No Accept header accepts everything (RFC 9110, 12.5.1).
        if any { accepts } else { Accepts { json: true, events: true } }
    }
}

pub(super) struct HeaderView<'a>(pub &'a HeaderMap);

impl Headers for HeaderView<'_> {
    fn get(&self, name: &str) -> Lookup<'_> {
        let mut values = self.0.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Lookup::Absent,
            (Some(value), None) => value.to_str().map_or(Lookup::Unreadable, Lookup::One),
            (Some(_), Some(_)) => Lookup::Unreadable,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_an_accept_header_takes() {
        let takes = |value: &'static str| {
            let accepts = Accepts::of(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(value))]));
            (accepts.json, accepts.events)
        };
        assert_eq!(takes("application/json, text/event-stream"), (true, true));
        assert_eq!(takes("Application/JSON;q=0.5"), (true, false));
        assert_eq!(takes("text/event-stream ; charset=utf-8, application/json; q=0"), (false, true));
        assert_eq!(takes("*/*"), (true, true));
        assert_eq!(takes("text/html, application/*"), (true, false));
        assert_eq!(takes("image/png"), (false, false));
        let none = Accepts::of(&HeaderMap::new());
        assert!(none.json && none.events);
    }

    #[test]
    fn only_the_names_of_this_machine_are_local() {
        let bound = Some(IpAddr::from([192, 0, 2, 7]));
        for local in
            ["localhost", "LOCALHOST:80", "127.0.0.1:1", "127.9.9.9", "[::1]", "[::1]:80", "192.0.2.7:80"]
        {
            assert!(is_local_authority(local, bound), "{local}");
        }
        for other in [
            "",
            ":80",
            "localhost.example",
            "example",
            "192.0.2.8",
            "[::1].example",
            "[::1",
            "[::1]80x",
            "localhost:80@example",
            "127.0.0.1.example",
            "::1:x",
        ] {
            assert!(!is_local_authority(other, bound), "{other}");
        }
        assert!(!is_local_authority("0.0.0.0:80", Some(IpAddr::from([0, 0, 0, 0]))));
        assert!(!is_local_authority("192.0.2.7:80", None));
    }

    #[test]
    fn the_public_url_and_trusted_proxies_decide_what_is_foreign() {
        let proxy = IpAddr::from([10, 0, 0, 1]);
        let callers = Callers {
            public_url: Some("https://mcp.example.com/mcp".into()),
            trusted_proxies: vec![proxy],
            ..Callers::default()
        };
        let check = |peer, headers: &[(&'static str, &'static str)]| {
            let headers = headers
                .iter()
                .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)));
            callers.check(&headers.collect(), None, peer)
        };
        assert!(check(None, &[("host", "MCP.example.com"), ("origin", "https://mcp.example.com")]).is_ok());
        assert!(check(None, &[("host", "mcp.example.com"), ("origin", "http://mcp.example.com")]).is_err());
        // The scheme's own port is named or not; another one is another place.
        let own = [("host", "mcp.example.com:443"), ("origin", "https://mcp.example.com:443")];
        assert!(check(None, &own).is_ok());
        for (name, foreign) in [
            ("host", "mcp.example.com:80"),
            ("host", "mcp.example.com:4430"),
            ("host", "mcp.example.com:443:443"),
            ("origin", "https://mcp.example.com:80"),
            ("origin", "http://mcp.example.com:443"),
        ] {
            assert!(check(None, &[(name, foreign)]).is_err(), "{foreign}");
        }
        let named =
            Callers { public_url: Some("https://[2001:db8::1]:443/mcp".into()), ..Callers::default() };
        let at = |name: http::HeaderName, value: &'static str| {
            named.check(&HeaderMap::from_iter([(name, HeaderValue::from_static(value))]), None, None)
        };
        assert!(at(HOST, "[2001:DB8::1]").is_ok() && at(ORIGIN, "https://[2001:db8::1]").is_ok());
        assert!(at(HOST, "[2001:db8::2]").is_err());
        assert!(check(None, &[("host", "other.example")]).expect_err("foreign").contains("publicUrl"));
        // A proxy names the host that its client asked for; nobody else may.
        let forwarded = [("host", "127.0.0.1:8000"), ("x-forwarded-host", "evil.example")];
        assert!(check(Some(proxy), &forwarded).is_err());
        assert!(check(Some(IpAddr::from([10, 0, 0, 2])), &forwarded).is_ok());
    }

    #[test]
    fn an_ipv4_address_is_the_same_in_its_ipv6_form() {
        let (proxy, mapped) = ("10.0.0.1", "::ffff:10.0.0.1");
        let forwarded = [("host", "127.0.0.1:8000"), ("x-forwarded-host", "evil.example")]
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)));
        let forwarded = HeaderMap::from_iter(forwarded);
        for (trusted, peer) in [(proxy, mapped), (mapped, proxy), (mapped, mapped)] {
            let [trusted, peer] = [trusted, peer].map(|address| address.parse().expect("an address"));
            let callers = Callers { trusted_proxies: vec![trusted], ..Callers::default() };
            assert!(callers.check(&forwarded, None, Some(peer)).is_err(), "{trusted} {peer}");
        }
        assert!(is_local_authority("[::ffff:127.0.0.1]:80", None));
        assert!(is_local_authority("192.0.2.7", Some("::ffff:192.0.2.7".parse().expect("an address"))));
    }

    #[test]
    fn a_public_url_says_what_a_proxy_puts_before_the_paths() {
        let prefix = |url: &str, path: &str| {
            let callers = Callers { public_url: Some(url.into()), ..Callers::default() };
            callers.public_prefix(path).to_owned()
        };
        assert_eq!(prefix("https://h/tools/mcp", "/mcp"), "/tools");
        assert_eq!(prefix("https://h/tools/mcp/?x=/mcp", "/mcp"), "/tools");
        assert_eq!(prefix("https://h/tools/", "/"), "/tools");
        assert_eq!(prefix("https://h/mcp", "/mcp"), "");
        assert_eq!(prefix("https://h", "/mcp"), "");
        // Another path altogether: what becomes of the others is not known.
        assert_eq!(prefix("https://h/api", "/mcp"), "");
        assert_eq!(Callers::default().public_prefix("/mcp"), "");
    }

    #[test]
    fn a_public_url_is_a_url_with_a_host() {
        assert!(is_public_url("https://mcp.example.com/mcp"));
        assert!(is_public_url("http://[::1]:8000"));
        for wrong in ["mcp.example.com", "https://", "https:///mcp", "ftp://a.example", "https://u@a.example"]
        {
            assert!(!is_public_url(wrong), "{wrong}");
        }
    }
}
