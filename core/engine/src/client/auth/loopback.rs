//! Redirects: open a page for the user and receive the URL that the browser is sent to at the end.

use std::io;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::driver::process;
use crate::error::Error;

const PATH: &str = "/callback";
/// Maximum size of a request head; a longer one is not parsed.
const LONGEST: u64 = 16 * 1024;
const DONE: &str = "You are signed in and can close this page.";
const OTHER: &str = "This page is waiting for another sign-in.";

type Open = Arc<dyn Fn(&str) -> io::Result<()> + Send + Sync>;

/// A port of this machine that receives the browser's redirect (RFC 8252, section 7.3).
pub struct Loopback {
    listener: TcpListener,
    port: u16,
    open: Open,
    /// The lock of the one sign-in that the port serves at a time.
    visiting: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Loopback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loopback").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Loopback {
    /// Binds this port on 127.0.0.1. 0 binds any free port, for authorization servers that allow the port to
    /// differ from the registered one, as RFC 8252 requires. The port stays bound until the `Auth` is
    /// dropped.
    pub async fn bind(port: u16) -> Result<Loopback, Error> {
        let failed = |error: io::Error| Error::usage(format!("port {port} of 127.0.0.1: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(failed)?;
        Loopback::on(listener).map_err(failed)
    }

    /// Uses a port that is bound already. Must be called within a runtime.
    pub fn adopt(listener: std::net::TcpListener) -> io::Result<Loopback> {
        listener.set_nonblocking(true)?;
        Loopback::on(TcpListener::from_std(listener)?)
    }

    fn on(listener: TcpListener) -> io::Result<Loopback> {
        let port = listener.local_addr()?.port();
        Ok(Loopback { listener, port, open: Arc::new(open_browser), visiting: Default::default() })
    }

    /// Sets the function that opens pages instead of `xdg-open` (macOS: `open`, Windows: `rundll32`).
    pub fn open_with(mut self, open: impl Fn(&str) -> io::Result<()> + Send + Sync + 'static) -> Loopback {
        self.open = Arc::new(open);
        self
    }

    /// Returns the URL that the browser is redirected to.
    pub fn redirect_uri(&self) -> String {
        format!("http://127.0.0.1:{}{PATH}", self.port)
    }

    /// Opens the page and waits for the callback that belongs to it.
    pub(super) async fn visit(&self, url: String) -> Result<String, Error> {
        let _visiting = self.visiting.lock().await;
        (self.open)(&url).map_err(|error| {
            Error::usage(format!(
                "no browser can be opened ({error}); send the user to the page by a redirect of your own"
            ))
        })?;
        let state = parameter(&url, "state").unwrap_or_default().to_owned();
        let (found, mut callbacks) = tokio::sync::mpsc::channel(1);
        let mut connections = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                Some(target) = callbacks.recv() => {
                    return Ok(format!("http://127.0.0.1:{}{target}", self.port));
                }
                accepted = self.listener.accept() => {
                    while connections.try_join_next().is_some() {}
                    let Ok((stream, _)) = accepted else { continue };
                    let (found, state) = (found.clone(), state.clone());
                    // Browsers open connections that they do not use, so one connection must not block the
                    // others.
                    connections.spawn(async move {
                        if let Ok(Some(target)) = answer(stream, &state).await {
                            let _ = found.send(target).await;
                        }
                    });
                }
            }
        }
    }
}

/// Returns the redirect for a program without a browser, for
/// [`Auth::authorization_code`](super::Auth::authorization_code): `tell` receives the page's URL, and the URL
/// at which the browser of another machine ended is read from standard input.
pub fn headless(
    tell: impl Fn(&str) + Send + Sync + 'static,
) -> impl Fn(String) -> futures_util::future::BoxFuture<'static, Result<String, Error>> + Send + Sync + 'static
{
    move |url| {
        tell(&url);
        let (found, read) = tokio::sync::oneshot::channel();
        // A separate thread: at its end, the runtime would wait for a blocking task that still reads.
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = found.send(io::stdin().read_line(&mut line).map(|_| line.trim().to_owned()));
        });
        Box::pin(async {
            match read.await {
                Ok(Ok(line)) if !line.is_empty() => Ok(line),
                _ => Err(Error::usage("standard input has ended without the URL of the callback")),
            }
        })
    }
}

/// Answers one request; returns its target if it is the callback of this state.
async fn answer(stream: TcpStream, state: &str) -> io::Result<Option<String>> {
    let mut stream = BufReader::new(stream);
    let mut head = (&mut stream).take(LONGEST);
    let mut line = String::new();
    head.read_line(&mut line).await?;
    let mut words = line.split(' ');
    let target = match (words.next(), words.next()) {
        (Some("GET"), Some(target)) if line.ends_with('\n') && target.split('?').next() == Some(PATH) => {
            target.to_owned()
        }
        _ => String::new(),
    };
    // Reads the rest of the head, so that closing does not reset the connection before the client has read
    // the response.
    let mut rest = String::new();
    while head.read_line(&mut rest).await? > 2 {
        rest.clear();
    }
    let ours = !state.is_empty() && parameter(&target, "state") == Some(state);
    let (status, text) = if ours { ("200 OK", DONE) } else { ("404 Not Found", OTHER) };
    let page = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncache-control: no-store\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(page.as_bytes()).await?;
    stream.flush().await?;
    Ok(ours.then_some(target))
}

/// Returns a parameter of the query without decoding: a state consists of characters that need no encoding.
fn parameter<'a>(url: &'a str, name: &str) -> Option<&'a str> {
    let query = url.split_once('?')?.1.split('#').next()?;
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn open_browser(url: &str) -> io::Result<()> {
    let (program, arguments) = process::OPEN_PAGE.split_first().ok_or(io::ErrorKind::NotFound)?;
    let mut child = Command::new(program)
        .args(arguments)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    // The thread reaps the child when it ends; it may be the browser itself.
    std::thread::spawn(move || drop(child.wait()));
    Ok(())
}
