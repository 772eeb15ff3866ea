//! The physical limit: bare hyper (or a blocking line loop) and serde_json, with no protocol work at all.

use std::convert::Infallible;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

struct Data {
    tools: Value,
    big: String,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data = Data {
        tools: tools()?,
        big: std::env::var("BENCH_BIG").map(std::fs::read_to_string).unwrap_or(Ok(String::new()))?,
    };
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--stdio"] => stdio(&data),
        ["--http", port] => http(data, port.parse()?),
        _ => Err("usage: floor --stdio | --http PORT".into()),
    }
}

fn tools() -> Result<Value, Box<dyn std::error::Error>> {
    let text = |name: &str, properties: Value| json!({"name": name, "description": name, "inputSchema": {"type": "object", "properties": properties}});
    let mut tools = vec![
        text("echo", json!({"text": {"type": "string"}})),
        text("add", json!({"a": {"type": "number"}, "b": {"type": "number"}})),
    ];
    if let Ok(path) = std::env::var("BENCH_TOOLS") {
        tools.extend(serde_json::from_str::<Vec<Value>>(&std::fs::read_to_string(path)?)?);
    }
    Ok(Value::Array(tools))
}

fn answer(data: &Data, body: &[u8]) -> Vec<u8> {
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        return br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"not JSON"}}"#.to_vec();
    };
    let params = &request["params"];
    let result = match request["method"].as_str() {
        Some("tools/call") => {
            json!({"resultType": "complete", "content": [{"type": "text", "text": params["arguments"]["text"]}]})
        }
        Some("tools/list") => {
            return listing(&request["id"], &data.tools);
        }
        Some("resources/read") => {
            json!({"resultType": "complete", "contents": [{"uri": params["uri"], "text": data.big}]})
        }
        _ => json!({"resultType": "complete"}),
    };
    serde_json::to_vec(&json!({"jsonrpc": "2.0", "id": request["id"], "result": result}))
        .expect("a value is JSON")
}

/// Serialises the tools in place: copying the table first would make the floor higher than it is.
fn listing(id: &Value, tools: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 * 1024);
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    serde_json::to_writer(&mut out, id).expect("a value is JSON");
    out.extend_from_slice(b",\"result\":{\"resultType\":\"complete\",\"tools\":");
    serde_json::to_writer(&mut out, tools).expect("a value is JSON");
    out.extend_from_slice(b"}}");
    out
}

fn stdio(data: &Data) -> Result<(), Box<dyn std::error::Error>> {
    let mut input =
        BufReader::with_capacity(64 * 1024, File::from(std::io::stdin().as_fd().try_clone_to_owned()?));
    let mut output = std::io::BufWriter::new(std::io::stdout().lock());
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        output.write_all(&answer(data, &line))?;
        output.write_all(b"\n")?;
        // The answers to what came in one read go out together.
        if input.buffer().is_empty() {
            output.flush()?;
        }
    }
}

fn http(data: Data, port: u16) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
        let data = Arc::new(data);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let data = data.clone();
            tokio::task::spawn_local(async move {
                let service = service_fn(move |request| respond(data.clone(), request));
                let serving = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                // A client that leaves in the middle is no matter of the floor's.
                let _ = serving.await;
            });
        }
    })
}

async fn respond(data: Arc<Data>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let Ok(body) = request.into_body().collect().await else {
        return Ok(Response::builder().status(400).body(Full::default()).expect("a fixed response"));
    };
    let mut response = Response::new(Full::new(Bytes::from(answer(&data, &body.to_bytes()))));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
