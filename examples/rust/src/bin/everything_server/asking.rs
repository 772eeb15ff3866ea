//! Handlers that send input requests to the client: elicitation, sampling, roots.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use trunnion::Error;
use trunnion::model::{Form, SampleAnswer, SampleRequest};
use trunnion::server::{Args, Ask, Context, Prompt, Server, Tool};

#[derive(Deserialize, JsonSchema)]
struct Named {
    name: String,
}

#[derive(Deserialize, JsonSchema)]
struct Colored {
    color: String,
}

#[derive(Deserialize, JsonSchema)]
struct Confirmed {
    ok: bool,
}

#[derive(Deserialize, JsonSchema)]
struct Background {
    context: String,
}

#[derive(Deserialize, JsonSchema)]
struct Contact {
    /// User's response
    username: String,
    /// User's email address
    email: String,
}

#[derive(Deserialize, JsonSchema)]
struct Prompted {
    /// The prompt to send to the LLM
    prompt: String,
}

#[derive(Deserialize, JsonSchema)]
struct Asked {
    /// The message to show the user
    message: String,
}

fn form(schema: Value) -> Form {
    serde_json::from_value(schema).expect("a form")
}

async fn test_sampling(Args(Prompted { prompt }): Args<Prompted>, context: Context) -> Result<String, Error> {
    let answer = context.sample(SampleRequest::text(prompt, 100)).await?;
    Ok(format!("LLM response: {}", answer.text()))
}

async fn test_elicitation(Args(Asked { message }): Args<Asked>, context: Context) -> Result<String, Error> {
    let contact = context.elicit::<Contact>(message).await?.accepted();
    Ok(contact.map_or_else(
        || "User response: none".into(),
        |Contact { username, email }| format!("User response: {username}, {email}"),
    ))
}

/// Ask by a form made at run time, and tell what came back.
async fn ask_form(context: &Context, message: &str, schema: Value) -> Result<String, Error> {
    let answers = context.ask([("form", Ask::custom_form(message, &form(schema)))]).await?;
    Ok(format!("Elicitation completed: {}", answers.get::<Value>("form")?))
}

async fn test_elicitation_sep1034_defaults(context: Context) -> Result<String, Error> {
    let properties = json!({
        "name": {"type": "string", "description": "User name", "default": "John Doe"},
        "age": {"type": "integer", "description": "User age", "default": 30},
        "score": {"type": "number", "description": "User score", "default": 95.5},
        "status": {"type": "string", "description": "User status", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "description": "Verification status", "default": true}
    });
    let schema = json!({"type": "object", "properties": properties, "required": []});
    ask_form(&context, "Please review and update the form fields with defaults", schema).await
}

async fn test_elicitation_sep1330_enums(context: Context) -> Result<String, Error> {
    let titled = |values: [(&str, &str); 3]| {
        values.map(|(value, title)| json!({"const": value, "title": title})).to_vec()
    };
    let names = [("value1", "First Option"), ("value2", "Second Option"), ("value3", "Third Option")];
    let properties = json!({
        "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
        "titledSingle": {"type": "string", "oneOf": titled(names)},
        "legacyEnum": {"type": "string", "enum": ["opt1", "opt2", "opt3"], "enumNames": ["Option One", "Option Two", "Option Three"]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled(names)}}
    });
    let schema = json!({"type": "object", "properties": properties, "required": []});
    ask_form(&context, "Please select options from the enum fields", schema).await
}

async fn test_missing_capability(context: Context) -> Result<String, Error> {
    Ok(context.sample(SampleRequest::text("Are you there?", 100)).await?.text())
}

async fn test_streaming_elicitation(context: Context) -> Result<String, Error> {
    Ok(greeting(context.elicit::<Named>("What is your name?").await?.accepted()))
}

fn greeting(named: Option<Named>) -> String {
    named.map_or_else(|| "Hello!".into(), |Named { name }| format!("Hello, {name}!"))
}

async fn by_elicitation(context: Context) -> Result<String, Error> {
    let answers = context.ask([("user_name", Ask::form::<Named>("What is your name?"))]).await?;
    Ok(greeting(answers.form("user_name")?.accepted()))
}

async fn by_sampling(context: Context) -> Result<String, Error> {
    Ok(context.sample(SampleRequest::text("What is the capital of France?", 100)).await?.text())
}

async fn by_roots(context: Context) -> Result<String, Error> {
    let roots = context.list_roots().await?;
    Ok(roots.iter().map(|root| root.uri.as_str()).collect::<Vec<_>>().join(", "))
}

async fn by_confirmation(context: Context) -> Result<String, Error> {
    let confirmed = context.elicit::<Confirmed>("Please confirm").await?.accepted();
    Ok(format!("state-ok: {}", confirmed.is_some_and(|it| it.ok)))
}

async fn by_all(context: Context) -> Result<String, Error> {
    let answers = context
        .ask([
            ("user_name", Ask::form::<Named>("What is your name?")),
            ("greeting", Ask::sample(SampleRequest::text("Generate a greeting", 100))),
            ("client_roots", Ask::roots()),
        ])
        .await?;
    let greeting: SampleAnswer = answers.get("greeting")?;
    let name = answers.form::<Named>("user_name")?.accepted().map_or_else(String::new, |it| it.name);
    Ok(format!("{} {name}, {} roots", greeting.text(), answers.roots("client_roots")?.len()))
}

async fn by_rounds(context: Context) -> Result<String, Error> {
    let Some(Named { name }) = context.elicit::<Named>("What is your name?").await?.accepted() else {
        return Ok("nobody".into());
    };
    let color = context.elicit::<Colored>("What is your favorite color?").await?.accepted();
    Ok(format!("{name} likes {}", color.map_or_else(|| "nothing".into(), |it| it.color)))
}

async fn by_capability(context: Context) -> Result<String, Error> {
    if context.client_capabilities().contains_key("elicitation") {
        return by_elicitation(context).await;
    }
    by_sampling(context).await
}

async fn by_prompt(context: Context) -> Result<String, Error> {
    let background = context.elicit::<Background>("What is it about?").await?.accepted();
    Ok(background.map_or_else(String::new, |it| it.context))
}

pub fn add(server: &Server) -> Result<(), Error> {
    let tools = [
        Tool::new("test_sampling", test_sampling).description("Ask the client's model."),
        Tool::new("test_elicitation", test_elicitation).description("Ask the user."),
        Tool::new("test_elicitation_sep1034_defaults", test_elicitation_sep1034_defaults)
            .description("Ask the user by a form with defaults."),
        Tool::new("test_elicitation_sep1330_enums", test_elicitation_sep1330_enums)
            .description("Ask the user by a form with choices."),
        Tool::new("test_missing_capability", test_missing_capability)
            .description("Ask the client's model, which it must have."),
        Tool::new("test_streaming_elicitation", test_streaming_elicitation)
            .description("Ask the user for a name."),
        Tool::new("test_input_required_result_elicitation", by_elicitation).description("Ask the user."),
        Tool::new("test_input_required_result_sampling", by_sampling).description("Ask the model."),
        Tool::new("test_input_required_result_list_roots", by_roots).description("Ask for the roots."),
        Tool::new("test_input_required_result_request_state", by_confirmation).description("Ask to confirm."),
        Tool::new("test_input_required_result_multiple_inputs", by_all)
            .description("Ask the user, the model and for the roots."),
        Tool::new("test_input_required_result_multi_round", by_rounds).description("Ask twice."),
        Tool::new("test_input_required_result_tampered_state", by_confirmation)
            .description("Ask to confirm, and take no state that was changed."),
        Tool::new("test_input_required_result_capabilities", by_capability)
            .description("Ask what the client can answer."),
    ];
    for tool in tools {
        server.add(tool)?;
    }
    server.add(
        Prompt::new("test_input_required_result_prompt", by_prompt).description("A prompt that asks first."),
    )
}
