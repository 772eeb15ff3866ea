//! Calls that become tasks.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use trunnion::Error;
use trunnion::server::{Args, Ask, Context, Elicited, Server, TaskSupport, Tool, ToolError};

#[derive(Deserialize, JsonSchema)]
struct Named {
    name: String,
}

#[derive(Deserialize, JsonSchema)]
struct Work {
    /// How long it takes
    seconds: f64,
    label: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
struct File {
    filename: String,
}

#[derive(Deserialize, JsonSchema)]
struct Confirmed {
    confirm: bool,
}

async fn greet(Args(Named { name }): Args<Named>) -> String {
    format!("Hello, {name}!")
}

async fn slow_compute(Args(work): Args<Work>, context: Context) -> Result<String, Error> {
    let done: u32 = context.last_checkpoint()?.unwrap_or(0);
    for step in done..10 {
        tokio::time::sleep(Duration::from_secs_f64((work.seconds / 10.0).clamp(0.0, 60.0))).await;
        context.progress((step + 1).into(), Some(10.0), None);
        context.checkpoint(&(step + 1)).await?;
    }
    Ok(format!("{} took {} s", work.label.as_deref().unwrap_or("it"), work.seconds))
}

async fn failing_job() -> Result<String, ToolError> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    Err(ToolError::new("the job has failed"))
}

async fn protocol_error_job() -> Result<String, Error> {
    Err(Error::internal("the job has met an error of the protocol"))
}

async fn confirm_delete(Args(File { filename }): Args<File>, context: Context) -> Result<String, Error> {
    Ok(match context.elicit::<Confirmed>(format!("Delete {filename}?")).await? {
        Elicited::Accepted(Confirmed { confirm: true }) => format!("{filename} is deleted"),
        _ => format!("{filename} stays"),
    })
}

async fn multi_input(context: Context) -> Result<String, Error> {
    let asks =
        [("first", Ask::form::<Named>("Who is first?")), ("second", Ask::form::<Named>("Who is second?"))];
    let answers = context.ask(asks).await?;
    let name = |key| answers.form::<Named>(key).map(|answer| answer.accepted().map(|named| named.name));
    Ok(format!("first: {:?}, second: {:?}", name("first")?, name("second")?))
}

async fn test_tool_with_task(context: Context) -> Result<String, Error> {
    let name = context.answers().form::<Named>("user_name")?.accepted().map(|named| named.name);
    Ok(format!("Hello, {}!", name.as_deref().unwrap_or("stranger")))
}

pub fn add(server: &Server) -> Result<(), Error> {
    let optional = TaskSupport::Optional;
    server.add(Tool::new("greet", greet).description("Say hello."))?;
    server.add(
        Tool::new("slow_compute", slow_compute)
            .description("Take a while, and say how far it is.")
            .task(optional)
            .resumable(),
    )?;
    server.add(
        Tool::new("failing_job", failing_job).description("Fail after a second.").task(TaskSupport::Required),
    )?;
    server.add(
        Tool::new("protocol_error_job", protocol_error_job)
            .description("End with a protocol error.")
            .task(optional),
    )?;
    server.add(
        Tool::new("confirm_delete", confirm_delete)
            .description("Ask the user before something is deleted.")
            .task(optional),
    )?;
    server.add(
        Tool::new("multi_input", multi_input).description("Ask the user two things at once.").task(optional),
    )?;
    server.add(
        Tool::new("test_tool_with_task", test_tool_with_task)
            .description("Ask for a name, then greet in a task.")
            .asks("user_name", Ask::form::<Named>("What is your name?"))
            .task(optional),
    )
}
