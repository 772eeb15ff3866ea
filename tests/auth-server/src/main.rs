//! The authorization server as a program: prints its URL on a line, and ends with its standard input.

use trunnion_auth_server::AuthServer;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let server = AuthServer::start().await?;
    println!("{}", server.issuer());
    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        drop(ended);
    });
    let _ = end.await;
    Ok(())
}
