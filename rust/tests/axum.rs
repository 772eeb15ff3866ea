//! The endpoint mounted in axum: its router, its layers, its server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{ConnectInfo, Request};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Router, serve};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use trunnion::server::{HttpService, Server, Tool};
use trunnion::{Client, Era};

fn service() -> HttpService {
    let server = Server::builder("inside", "1.0").tool(Tool::new("hello", async || "hello"));
    server.build().expect("valid").http().tower_service().expect("a service")
}

/// Serves until the sender is used or dropped.
async fn listen(router: Router) -> (String, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        let router = router.into_make_service_with_connect_info::<SocketAddr>();
        let ended = serve(listener, router).with_graceful_shutdown(async move { drop(stopped.await) });
        ended.await.expect("it serves");
    });
    (base, stop, serving)
}

async fn calls(client: &Client) {
    let answer = client.call_tool("hello", json!({})).await.expect("an answer");
    assert_eq!(answer.text(), "hello");
}

#[tokio::test]
async fn a_router_carries_the_service_with_its_layers() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = seen.clone();
    let guard = from_fn(move |mut request: Request, next: Next| {
        let counted = counted.clone();
        async move {
            counted.fetch_add(1, Ordering::Relaxed);
            if request.headers().get(header::AUTHORIZATION).is_none_or(|value| value != "Bearer good") {
                return StatusCode::UNAUTHORIZED.into_response();
            }
            // The address of the peer, in the form that the service expects.
            let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
            request.extensions_mut().insert(peer.expect("axum knows"));
            next.run(request).await
        }
    });
    let service = service();
    let mcp = Router::new().route_service("/mcp", service.clone()).layer(guard);
    let router = mcp.clone().nest("/tenants/one", mcp).route("/health", get(async || "well"));
    let (base, stop, serving) = listen(router).await;

    // In both eras, which differ most in their use of HTTP; and below another path, which axum strips.
    for path in ["/mcp", "/tenants/one/mcp"] {
        for era in [Era::Modern, Era::Legacy] {
            let before = seen.load(Ordering::Relaxed);
            let client = Client::builder().header("authorization", "Bearer good").era(era);
            let client = client.connect(format!("{base}{path}")).await.expect("connected");
            calls(&client).await;
            client.close().await;
            assert!(seen.load(Ordering::Relaxed) > before, "the layer was passed by");
        }
    }
    let refused = Client::connect(format!("{base}/mcp")).await.expect_err("no token");
    assert!(refused.message.contains("401"), "{}", refused.message);

    service.drain();
    stop.send(()).expect("it serves");
    serving.await.expect("a graceful end");
}

#[tokio::test]
async fn a_path_that_axum_has_taken_off_is_not_found() {
    let (base, stop, serving) = listen(Router::new().nest_service("/mcp", service())).await;
    let error = Client::connect(format!("{base}/mcp")).await.expect_err("not there");
    assert!(error.message.contains("404"), "{}", error.message);
    drop(stop);
    serving.await.expect("an end");
}
