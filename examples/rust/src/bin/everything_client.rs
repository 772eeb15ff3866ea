//! A client that tries one of everything and prints the results as one line of JSON.
//!
//! ```sh
//! everything_client http://127.0.0.1:8000/mcp
//! everything_client "stdio:everything_server --stdio"
//! ```

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use trunnion::auth::{Auth, AuthMethod, RegisteredClient, SigningKey};
use trunnion::model::{CompletionReference, ElicitAnswer, Implementation, Root, SampleAnswer};
use trunnion::{Client, Era, Error, HttpTransport, Revision};

/// Uses every kind of request once.
async fn tour(client: &Client) -> Result<Value, Error> {
    let names: Vec<String> = client.list_all_tools().await?.into_iter().map(|tool| tool.name).collect();
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    let tools = ["add", "echo", "slow", "fail"].into_iter().all(has);

    let added = client.call_tool("add", json!({"a": 2, "b": 3})).await?;
    // Before 2025-06-18 there is only the text.
    let sum =
        added.structured().unwrap_or_else(|_| serde_json::from_str(&added.text()).unwrap_or(Value::Null));
    let echo = client.call_tool("echo", json!({"text": "héllo ✓ 😀\n\"q\""})).await?.text();

    let steps = Arc::new(Mutex::new(Vec::new()));
    let slow = client.call_tool("slow", json!({"steps": 3, "delayMs": 5})).with_progress({
        let steps = steps.clone();
        move |step| steps.lock().expect("nobody panics").push(step.progress)
    });
    let slow = slow.await?.text();
    let steps = std::mem::take(&mut *steps.lock().expect("nobody panics"));

    let fail = client.call_tool("fail", json!({"message": "boom"})).await?;
    let unknown = outcome(client, "nope", json!({})).await;
    let invalid = outcome(client, "add", json!({"a": "x"})).await;
    let cancel = cancelled(client).await;

    let text = async |uri| {
        let read = client.read_resource(uri).await?;
        Ok::<_, Error>(read.contents.into_iter().find_map(|contents| contents.text))
    };
    let resource = text("test://static-text").await?;
    let template = text("test://template/42/data").await?;
    let arguments = json!({"arg1": "hello", "arg2": "world"});
    let prompt = client.get_prompt("test_prompt_with_arguments", arguments).await?;
    let prompt = prompt.messages.first().and_then(|message| message.content.as_text().map(str::to_owned));
    let of = CompletionReference::Prompt { name: "test_prompt_with_arguments".into() };
    let completion = client.complete(&of, "arg1", "pa").await?.values;
    let after = client.call_tool("echo", json!({"text": "still here"})).await?.text();

    Ok(json!({
        "revision": client.server().revision.as_str(), "tools": tools, "sum": sum["sum"], "echo": echo, "progress": steps, "slow": slow,
        "fail": fail.is_error.then(|| fail.text()), "unknown": unknown, "invalid": invalid, "cancel": cancel,
        "resource": resource, "template": template, "prompt": prompt, "completion": completion, "after": after,
    }))
}

/// The result of a failing call: the code of the protocol error, or that the tool's result is an error.
async fn outcome(client: &Client, tool: &str, arguments: Value) -> Value {
    match client.call_tool(tool, arguments).await {
        Ok(result) if result.is_error => json!("isError"),
        Ok(_) => json!("ok"),
        Err(error) => json!(error.code),
    }
}

/// Cancel a long call as soon as it shows progress.
async fn cancelled(client: &Client) -> &'static str {
    let moving = Arc::new(Notify::new());
    let call = client.call_tool("slow", json!({"steps": 100_000, "delayMs": 1})).with_progress({
        let moving = moving.clone();
        move |_| moving.notify_one()
    });
    tokio::select! {
        _ = call => "finished",
        () = moving.notified() => "cancelled", // and the call's future is dropped
    }
}

/// The context that a scenario of the conformance suite passes to its client.
fn context() -> Value {
    let context = std::env::var("MCP_CONFORMANCE_CONTEXT").unwrap_or_default();
    serde_json::from_str(&context).unwrap_or_default()
}

/// The suite's user agrees at once: its page, on this machine, is a redirect to the callback.
async fn agree(page: String) -> Result<String, Error> {
    let failed = |error: std::io::Error| Error::internal(format!("the page cannot be opened: {error}"));
    let place = page.strip_prefix("http://").unwrap_or(&page);
    let (host, target) = place.split_at(place.find('/').unwrap_or(place.len()));
    let mut stream = TcpStream::connect(host).await.map_err(failed)?;
    let request = format!("GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.map_err(failed)?;
    let answer = String::from_utf8_lossy(&answer);
    let fields = answer.lines().filter_map(|line| line.split_once(':'));
    let mut location = fields.filter(|(name, _)| name.eq_ignore_ascii_case("location"));
    let found = location.next().map(|(_, value)| value.trim().to_owned());
    found.ok_or_else(|| Error::internal("the page leads nowhere"))
}

/// The authorization for the server of a scenario, as its users would configure it.
fn auth(scenario: &str) -> Result<Auth, Error> {
    let context = context();
    let of = |name: &str| context[name].as_str().unwrap_or_default();
    let user = || Auth::authorization_code("http://localhost:3000/callback", agree);
    let auth = match scenario {
        "auth/client-credentials-basic" => Auth::client_credentials(of("client_id"), of("client_secret")),
        "auth/client-credentials-jwt" => {
            Auth::client_credentials_jwt(of("client_id"), SigningKey::from_pem(of("private_key_pem"))?)
        }
        "auth/wif-jwt-bearer" => Auth::jwt_bearer(of("client_id"), of("valid_jwt")),
        "auth/enterprise-managed-authorization" => {
            let at_idp = RegisteredClient {
                id: of("idp_client_id").into(),
                secret: None,
                method: AuthMethod::None,
                secret_expires_at: None,
            };
            let kind = "urn:ietf:params:oauth:token-type:id_token";
            let (endpoint, issuer) = (of("idp_token_endpoint"), of("idp_issuer"));
            Auth::enterprise(endpoint, issuer, at_idp, of("idp_id_token"), kind)
                .client_id(of("client_id"))
                .client_secret(of("client_secret"))
        }
        "auth/pre-registration" => {
            let auth = user().client_id(of("client_id")).client_secret(of("client_secret"));
            if of("issuer").is_empty() { auth } else { return Ok(auth.issuer(of("issuer"))) }
        }
        "auth/dpop" | "auth/dpop-nonce" => user().dpop(SigningKey::generate()?),
        _ => user().client_metadata_url("https://conformance-test.local/client-metadata.json"),
    };
    // The suite says of few clients where they belong, and runs servers of its own.
    Ok(if of("client_id").is_empty() { auth } else { auth.trust_first_issuer(true) })
}

/// Plays a scenario of the conformance suite.
async fn conform(client: &Client, scenario: &str) -> Result<(), Error> {
    let context = context();
    let tools = client.list_all_tools().await?;
    let every = || tools.iter().map(|tool| (tool.name.clone(), json!({}))).collect();
    let calls: Vec<(String, Value)> = match scenario {
        "initialize" | "request-metadata" | "json-schema-ref-no-deref" => Vec::new(),
        "elicitation-sep1034-client-defaults" => {
            vec![("test_client_elicitation_defaults".into(), json!({}))]
        }
        "sse-retry" => vec![("test_reconnection".into(), json!({}))],
        "sep-2322-client-request-state" => {
            ["test_mrtr_echo_state", "test_mrtr_unrelated", "test_mrtr_no_state", "test_mrtr_no_result_type"]
                .map(|name| (name.into(), json!({})))
                .to_vec()
        }
        "tools_call" => vec![("add_numbers".into(), json!({"a": 5, "b": 3}))],
        "http-custom-headers" => {
            let calls = context["toolCalls"].as_array().into_iter().flatten();
            calls
                .map(|call| (call["name"].as_str().unwrap_or("").into(), call["arguments"].clone()))
                .collect()
        }
        "http-invalid-tool-headers" => every(),
        scenario if scenario.starts_with("auth/") => {
            tools.iter().take(1).map(|tool| (tool.name.clone(), json!({}))).collect()
        }
        "json-schema-2020-12-preservation" => {
            let tool = tools.iter().find(|tool| tool.name == "json_schema_2020_12_tool");
            vec![("json_schema_echo".into(), json!({"schema": tool.map(|tool| &tool.input_schema)}))]
        }
        "http-standard-headers" => {
            for resource in client.list_resources().await?.items {
                client.read_resource(&resource.uri).await?;
            }
            for prompt in client.list_prompts().await?.items {
                client.get_prompt(&prompt.name, ()).await?;
            }
            every()
        }
        _ => return Err(Error::invalid_params(format!("unknown scenario {scenario:?}"))),
    };
    for (name, arguments) in calls {
        client.call_tool(&name, arguments).await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let target = std::env::args().next_back().unwrap_or_default();
    let info = Implementation {
        name: "everything-client".into(),
        version: "0.1.0".into(),
        ..Implementation::default()
    };
    let mut builder = Client::builder().client_info(&info);
    match std::env::var("MCP_INTEROP_ERA").as_deref() {
        Ok("modern") => builder = builder.era(Era::Modern),
        Ok("legacy") => builder = builder.era(Era::Legacy),
        _ => {}
    }
    if let Ok(revision) = std::env::var("MCP_INTEROP_REVISION") {
        let known = Revision::parse(&revision);
        let unknown = || Error::invalid_params(format!("MCP_INTEROP_REVISION: no revision {revision:?}"));
        builder = builder.revision(known.ok_or_else(unknown)?);
    }
    if std::env::var("MCP_INTEROP_TRANSPORT").as_deref() == Ok("sse") {
        builder = builder.transport(HttpTransport::Sse);
    }
    let scenario = std::env::var("MCP_CONFORMANCE_SCENARIO");
    if scenario.is_ok() {
        builder = builder
            // The form's defaults are filled in.
            .on_elicit(async |_| ElicitAnswer::accept(json!({})))
            .on_sample(async |_| Ok(SampleAnswer::new("This is a test response.", "test-model")))
            .roots(&[Root::new("file:///workspace")]);
    }
    if let Some(scenario) = scenario.as_ref().ok().filter(|scenario| scenario.starts_with("auth/")) {
        builder = builder.auth(auth(scenario)?);
    }
    let client = trunnion_examples::connect(builder, &target).await?;
    match scenario {
        Ok(scenario) => conform(&client, &scenario).await?,
        Err(_) => println!("{}", tour(&client).await?),
    }
    client.close().await;
    Ok(())
}
