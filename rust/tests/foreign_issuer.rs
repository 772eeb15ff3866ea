//! Sign-in of the SDK's client at the SDK's server through a certified authorization server (oidc-provider).
//! `cargo xtask test` installs it and passes its command in `TRUNNION_OIDC_PROVIDER`; without that variable
//! nothing is tested here.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::json;
use trunnion::auth::{Auth as Way, SigningKey};
use trunnion::server::auth::{Auth, Claims, Introspection, JwtVerifier};
use trunnion::server::{Listening, Server, Tool};
use trunnion::{Client, Error};

const SECRET: &str = "client-secret-of-the-test";

struct Provider {
    child: Child,
    issuer: String,
    /// Open, so that the provider can report more.
    _said: BufReader<ChildStdout>,
}

impl Provider {
    fn start() -> Option<Provider> {
        let script = std::env::var("TRUNNION_OIDC_PROVIDER").ok()?;
        let mut node = Command::new("node");
        node.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = node.spawn().expect("node runs");
        let mut issuer = String::new();
        let mut said = BufReader::new(child.stdout.take().expect("a pipe"));
        said.read_line(&mut issuer).expect("the issuer");
        Some(Provider { child, issuer: issuer.trim().to_owned(), _said: said })
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn whoami(claims: Claims) -> String {
    format!("{} {}", claims.subject().or(claims.client_id()).unwrap_or("nobody"), claims.scopes().join(" "))
}

async fn serve(auth: Auth) -> Listening {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = Server::builder("guarded", "1")
        .auth(auth.required_scopes(["files:read"]))
        .tool(Tool::new("whoami", whoami))
        .tool(Tool::new("write", async || "written").scopes(["files:write"]));
    server.build().expect("valid").http().bind("127.0.0.1:0").await.expect("a port")
}

async fn ask(listening: &Listening, way: Way) -> Client {
    Client::builder().auth(way).connect(listening.url()).await.expect("signed in")
}

/// A user with a browser: fills in the provider's two forms, and stores its cookies.
async fn sign_in(page: String) -> Result<String, Error> {
    let http = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client");
    let (mut url, mut cookies, mut form) = (page, BTreeMap::<String, String>::new(), None);
    for _ in 0..12 {
        if url.starts_with("http://127.0.0.1:3999/") {
            return Ok(url);
        }
        let request = match form.take() {
            None => http.get(&url),
            Some(body) => {
                http.post(&url).header("content-type", "application/x-www-form-urlencoded").body::<&str>(body)
            }
        };
        let jar: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let response = request.header("cookie", jar.join("; ")).send().await.expect("a page");
        for cookie in response.headers().get_all("set-cookie") {
            let cookie = cookie.to_str().expect("ASCII").split(';').next().unwrap_or_default();
            if let Some((name, value)) = cookie.split_once('=') {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let base = reqwest::Url::parse(&url).expect("a URL");
        if let Some(next) = response.headers().get("location") {
            url = base.join(next.to_str().expect("ASCII")).expect("a URL").to_string();
            continue;
        }
        let text = response.text().await.expect("a page");
        form = Some(if text.contains("name=\"login\"") {
            "prompt=login&login=ann&password=any"
        } else {
            "prompt=consent"
        });
    }
    Err(Error::internal("the provider asks without end"))
}

#[tokio::test]
async fn tokens_of_a_certified_server() {
    let Some(provider) = Provider::start() else { return };
    let issuer = &provider.issuer;

    let machine = || Way::client_credentials("machine", SECRET).issuer(issuer);

    // Signed tokens, keys by discovery.
    let signed = serve(Auth::new().jwt(JwtVerifier::new(issuer))).await;
    let known = ask(&signed, machine()).await;
    assert_eq!(known.call_tool("whoami", json!({})).await.expect("in").text(), "machine files:read");
    let bound = machine().dpop(SigningKey::generate().expect("a key"));
    let bound = ask(&signed, bound).await;
    assert_eq!(bound.call_tool("whoami", json!({})).await.expect("in").text(), "machine files:read");

    // A user in a browser, who steps up.
    let way = || Way::authorization_code("http://127.0.0.1:3999/callback", sign_in);
    let user = ask(&signed, way().client_id("browser").client_secret(SECRET).issuer(issuer)).await;
    assert_eq!(user.call_tool("whoami", json!({})).await.expect("in").text(), "ann files:read");
    assert_eq!(user.call_tool("write", json!({})).await.expect("in").text(), "written");

    // Tokens that only the provider can read.
    let asked = Introspection::new(format!("{issuer}/token/introspection"), "resource", SECRET);
    let asked = serve(Auth::new().authorization_server(issuer).introspection(asked)).await;
    let opaque = ask(&asked, Way::client_credentials("opaque", SECRET).issuer(issuer)).await;
    assert_eq!(opaque.call_tool("whoami", json!({})).await.expect("in").text(), "opaque files:read");

    // A token for one server is none for another.
    let other = serve(Auth::new().jwt(JwtVerifier::new(issuer)).resource("https://else.example/mcp")).await;
    let way = machine();
    let error = Client::builder().auth(way).connect(other.url()).await.expect_err("not for it");
    assert_eq!(error.kind, "unauthorized", "{error:?}");
}
