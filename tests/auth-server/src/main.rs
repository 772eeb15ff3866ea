//! The authorization server as a program: prints its URL on a line, and ends with its standard input.

use tokio::io::AsyncReadExt;
use trunnion_auth_server::AuthServer;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let server = AuthServer::start().await?;
    println!("{}", server.issuer());
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await?;
    Ok(())
}
