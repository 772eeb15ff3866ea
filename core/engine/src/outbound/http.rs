//! HTTP requests by two transports: hyper on its own connections for plain HTTP, reqwest for TLS and proxies.
//!
//! The plain transport exists because it is cheaper: the client's own task drives the connections, so a call
//! needs no other task, no lock and no wake-up across threads.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Once};

use bytes::Bytes;
use futures_util::future::{BoxFuture, Either, select};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, USER_AGENT,
    WWW_AUTHENTICATE,
};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use reqwest::Url;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use trunnion_proto::auth::challenge::{self, Asked};
use trunnion_proto::client::TransportFailure;
use trunnion_proto::header;

use super::address::{ServerUrl, server_url};
use super::unpack::{self, Unpacker};
use crate::driver::sockets;

pub(crate) type Sender = SendRequest<Full<Bytes>>;
/// The future that moves the bytes of one connection until it is closed.
pub(crate) type Connection = BoxFuture<'static, ()>;

/// Redirects followed for one message.
pub(crate) const MAX_REDIRECTS: u8 = 5;

/// The transport for the POSTs of one client.
pub(crate) enum Lane {
    Plain(Arc<Origin>),
    Reqwest { client: reqwest::Client, url: Url },
}

/// The destination of plain connections.
pub(crate) struct Origin {
    url: Url,
    host: String,
    port: u16,
    /// The socket to connect to instead.
    socket: Option<PathBuf>,
}

/// The body of a response.
pub(crate) struct Body {
    raw: Raw,
    unpacker: Option<Unpacker>,
}

/// The body as received, and the connection that it is received on.
pub(crate) enum Raw {
    Plain(Incoming, Sender),
    Reqwest(reqwest::Response),
}

/// Returns the headers of every request of a client.
pub(crate) fn base_headers(extra: &[(String, String)]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(unpack::ACCEPTED));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("trunnion/", env!("CARGO_PKG_VERSION"))));
    for (name, value) in extra {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("headers: {name:?} is not a header name"))?;
        // The value may be a secret.
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| format!("headers: the value of {name} is not a header value"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

impl Lane {
    pub(crate) fn new(url: &str) -> Result<Lane, String> {
        let ServerUrl { url, socket } = server_url(url)?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let loopback =
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        // The URL of a Unix socket qualifies: its host is localhost, and it has no user.
        let plain = url.scheme() == "http" && url.username().is_empty() && (loopback || !proxied());
        if plain {
            let port = url.port_or_known_default().unwrap_or(80);
            return Ok(Lane::Plain(Arc::new(Origin { url, host, port, socket })));
        }
        install_provider();
        let mut builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::custom(|attempt| {
            let from = attempt.previous().last().map(Url::origin);
            let keeps_method =
                matches!(attempt.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
            let near = attempt.previous().len() <= MAX_REDIRECTS.into();
            if keeps_method && near && from == Some(attempt.url().origin()) {
                attempt.follow()
            } else {
                attempt.stop()
            }
        }));
        if loopback {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| chain(&error))?;
        Ok(Lane::Reqwest { client, url })
    }

    /// Posts one body, on a separate connection if the transport is plain; returns the status of the answer.
    pub(crate) async fn post_once(&self, headers: &HeaderMap, body: Bytes) -> Result<StatusCode, String> {
        match self {
            Lane::Plain(origin) => {
                let (mut sender, connection) = origin.connect().await?;
                let request = origin.request(Method::POST, headers, &body);
                let response = match select(Box::pin(sender.send_request(request)), connection).await {
                    Either::Left((response, _)) => response,
                    Either::Right((_, response)) => response.await,
                };
                response.map(|response| response.status()).map_err(|error| chain(&error))
            }
            Lane::Reqwest { client, url } => {
                let request = client.post(url.clone()).headers(headers.clone()).body(body);
                let response = request.send().await.map_err(|error| chain(&error.without_url()))?;
                Ok(response.status())
            }
        }
    }

    /// Returns the URL that requests are sent to.
    pub(crate) fn url(&self) -> &str {
        match self {
            Lane::Plain(origin) => origin.url.as_str(),
            Lane::Reqwest { url, .. } => url.as_str(),
        }
    }

    /// Returns the same transport for another URL of the origin; relative URLs are resolved. The error is for
    /// a person.
    pub(crate) fn at(&self, endpoint: &str) -> Result<Lane, String> {
        let base = match self {
            Lane::Plain(origin) => &origin.url,
            Lane::Reqwest { url, .. } => url,
        };
        let mut url =
            base.join(endpoint).map_err(|error| format!("the server names an invalid endpoint: {error}"))?;
        if url.origin() != base.origin() {
            return Err(format!(
                "the server names an endpoint of another origin ({})",
                url.origin().ascii_serialization()
            ));
        }
        Ok(match self {
            Lane::Plain(origin) => Lane::Plain(Arc::new(origin.at(url))),
            Lane::Reqwest { client, .. } => {
                if url.username().is_empty() {
                    // Fails only for URLs without a host.
                    let _ = url.set_username(base.username());
                    let _ = url.set_password(base.password());
                }
                Lane::Reqwest { client: client.clone(), url }
            }
        })
    }
}

/// Installs a crypto provider, since reqwest uses the process's provider; one that the program installed
/// itself remains.
pub(crate) fn install_provider() {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

fn proxied() -> bool {
    ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
        .into_iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

async fn handshake<S>(stream: S) -> Result<(Sender, Connection), String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| chain(&error))?;
    Ok((
        sender,
        Box::pin(async move {
            // The exchange that runs on the connection gets the same error and reports it.
            let _ = connection.await;
        }),
    ))
}

impl Origin {
    pub(crate) async fn connect(&self) -> Result<(Sender, Connection), String> {
        if let Some(socket) = &self.socket {
            let stream = sockets::connect_unix(socket)
                .await
                .map_err(|error| format!("cannot connect to {}: {error}", socket.display()))?;
            return handshake(stream).await;
        }
        handshake(self.dial().await?).await
    }

    async fn dial(&self) -> Result<TcpStream, String> {
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|error| format!("cannot connect to {}:{}: {error}", self.host, self.port))?;
        let _ = stream.set_nodelay(true);
        sockets::watch_peer(&stream);
        Ok(stream)
    }

    /// Returns the same origin with another of its URLs.
    fn at(&self, url: Url) -> Origin {
        Origin { url, host: self.host.clone(), port: self.port, socket: self.socket.clone() }
    }

    pub(crate) fn request(&self, method: Method, headers: &HeaderMap, body: &Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = method;
        *request.uri_mut() = self.target();
        *request.headers_mut() = headers.clone();
        let host = match self.url.port() {
            Some(port) => format!("{}:{port}", self.url.host_str().unwrap_or_default()),
            None => self.url.host_str().unwrap_or_default().to_owned(),
        };
        if let Ok(host) = HeaderValue::from_str(&host) {
            request.headers_mut().insert(HOST, host);
        }
        request
    }

    /// Returns the redirect target of the response, if it is at the same origin.
    pub(crate) fn redirected(&self, status: StatusCode, headers: &HeaderMap) -> Option<Origin> {
        if !matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT) {
            return None;
        }
        let url = self.url.join(headers.get(LOCATION)?.to_str().ok()?).ok()?;
        (url.origin() == self.url.origin()).then(|| self.at(url))
    }

    fn target(&self) -> Uri {
        let text = match self.url.query() {
            Some(query) => format!("{}?{query}", self.url.path()),
            None => self.url.path().to_owned(),
        };
        text.parse().unwrap_or_default()
    }
}

impl Body {
    /// Returns the body of a response with these headers. No piece may exceed `limit` bytes when it is
    /// decompressed.
    pub(crate) fn of(raw: Raw, headers: &HeaderMap, limit: usize) -> Result<Body, String> {
        Ok(Body { raw, unpacker: Unpacker::of(headers, limit)? })
    }

    /// Returns the next piece, decompressed; `None` at the end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, TransportFailure> {
        loop {
            let Some(piece) = self.raw.chunk().await.map_err(TransportFailure::Connection)? else {
                return Ok(None);
            };
            let piece = match &mut self.unpacker {
                Some(unpacker) => unpacker.feed(piece)?,
                None => piece,
            };
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
    }

    /// Returns the connection, once the body has been read to its end.
    pub(crate) fn into_sender(self) -> Option<Sender> {
        match self.raw {
            Raw::Plain(_, sender) => Some(sender),
            Raw::Reqwest(_) => None,
        }
    }
}

impl Raw {
    async fn chunk(&mut self) -> Result<Option<Bytes>, String> {
        match self {
            Raw::Plain(body, _) => loop {
                match body.frame().await {
                    None => return Ok(None),
                    Some(Err(error)) => return Err(chain(&error)),
                    // Trailers have no meaning here.
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            return Ok(Some(data));
                        }
                    }
                }
            },
            Raw::Reqwest(response) => response.chunk().await.map_err(|error| chain(&error.without_url())),
        }
    }
}

/// The head of a response.
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) event_stream: bool,
    pub(crate) session: Option<String>,
    /// Challenges of a refusal.
    pub(crate) asked: Vec<Asked>,
    /// The nonce for the next proof (RFC 9449, section 9).
    pub(crate) nonce: Option<String>,
}

impl Head {
    pub(crate) fn of(status: StatusCode, headers: &HeaderMap) -> Head {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let media_type = text("content-type").and_then(|value| value.split(';').next()).unwrap_or_default();
        Head {
            status,
            event_stream: media_type.trim().eq_ignore_ascii_case("text/event-stream"),
            session: text(header::SESSION_ID).map(str::to_owned),
            nonce: text("dpop-nonce").map(str::to_owned),
            asked: match status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    challenge::read(headers.get_all(WWW_AUTHENTICATE).iter().map(HeaderValue::as_bytes))
                }
                _ => Vec::new(),
            },
        }
    }
}

/// Returns an error with its causes, for a person.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::net::sockopt;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn plain_connections_find_out_that_their_server_has_vanished() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/mcp", listener.local_addr().expect("an address"));
        let Lane::Plain(origin) = Lane::new(&url).expect("a lane") else { panic!("not plain") };
        let stream = origin.dial().await.expect("connected");
        assert!(sockopt::socket_keepalive(&stream).expect("an option"));
        assert_eq!(sockopt::tcp_keepidle(&stream).expect("an option"), Duration::from_secs(15));
        assert_eq!(sockopt::tcp_keepintvl(&stream).expect("an option"), Duration::from_secs(15));
        assert_eq!(sockopt::tcp_keepcnt(&stream).expect("an option"), 3);
    }
}
