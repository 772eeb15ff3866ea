//! The shared part of the example programs: their command lines.

use trunnion::client::{Client, ClientBuilder, ServerCommand};
use trunnion::{Error, Server};

/// Serves as the command line requires: `--stdio`, or `--http PORT`; with HTTP, the older transport,
/// HTTP+SSE, is at /sse.
pub async fn serve(server: &Server, arguments: &[String]) -> Result<(), Error> {
    match arguments {
        [how] if how == "--stdio" => server.serve_stdio().await,
        [how, port] if how == "--http" => {
            let port: u16 = port.parse().map_err(|_| Error::invalid_params("--http needs a port"))?;
            let listening = server.http().sse_path("/sse").bind(("127.0.0.1", port)).await?;
            eprintln!("listening on {}", listening.url());
            tokio::select! {
                ended = listening.closed() => return ended,
                _ = tokio::signal::ctrl_c() => {}
            }
            listening.close().await;
            Ok(())
        }
        _ => Err(Error::invalid_params("say --stdio or --http PORT")),
    }
}

/// Connects to a URL, or to `stdio:COMMAND`.
pub async fn connect(client: ClientBuilder, target: &str) -> Result<Client, Error> {
    match target.strip_prefix("stdio:") {
        None => client.connect(target).await,
        Some(command) => client.connect(split(command)?).await,
    }
}

fn split(command: &str) -> Result<ServerCommand, Error> {
    let mut words = command.split_whitespace();
    let program = words.next().ok_or_else(|| Error::invalid_params("the command is empty"))?;
    Ok(Client::command(program).args(words))
}
