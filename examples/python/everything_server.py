"""A server with one of everything: the fixture of the conformance suite and of the interop matrix.

    python everything_server.py --stdio
    python everything_server.py --http 8000
"""

import argparse
import asyncio
from base64 import b64decode
from dataclasses import dataclass
from json import dumps
from typing import Annotated, Literal, TypedDict

from trunnion import (
    Audio,
    Context,
    EmbeddedResource,
    Field,
    Image,
    InternalError,
    Message,
    Question,
    ResourceContents,
    Server,
    Text,
    ToolError,
)

PNG = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
WAV = b64decode("UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAAAAA==")

server = Server("everything", "0.1.0", instructions="One of everything, for tests.")


class Sum(TypedDict):
    sum: float


class Account(TypedDict):
    username: Annotated[str, "User's response"]
    email: Annotated[str, "User's email address"]


class Name(TypedDict):
    name: str


class Color(TypedDict):
    color: str


class Topic(TypedDict):
    context: str


class Confirmation(TypedDict, total=False):
    confirmed: bool


class Deletion(TypedDict):
    confirm: bool


@dataclass
class Defaults:
    name: Annotated[str, "User name"] = "John Doe"
    age: Annotated[int, "User age"] = 30
    score: Annotated[float, "User score"] = 95.5
    status: Annotated[Literal["active", "inactive", "pending"], "User status"] = "active"
    verified: Annotated[bool, "Verification status"] = True


# Every form of choice; a type makes only the first and the fourth.
CHOICES = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
        "titledSingle": {
            "type": "string",
            "oneOf": [
                {"const": "value1", "title": "First Option"},
                {"const": "value2", "title": "Second Option"},
                {"const": "value3", "title": "Third Option"},
            ],
        },
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {
            "type": "array",
            "items": {"type": "string", "enum": ["option1", "option2", "option3"]},
        },
        "titledMulti": {
            "type": "array",
            "items": {
                "anyOf": [
                    {"const": "value1", "title": "First Choice"},
                    {"const": "value2", "title": "Second Choice"},
                    {"const": "value3", "title": "Third Choice"},
                ]
            },
        },
    },
}

JSON_SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


@server.tool(inline=True)
def test_simple_text() -> str:
    """Answer with a simple text."""
    return "This is a simple text response for testing."


@server.tool(inline=True)
def add(a: float, b: float) -> Sum:
    """Add two numbers.

    Args:
        a: the first number
        b: the second number
    """
    return {"sum": a + b}


@server.tool(inline=True)
def echo(text: str) -> str:
    """Give the text back as it is."""
    return text


@server.tool(inline=True)
def test_x_mcp_header(region: Annotated[str, Field(extra={"x-mcp-header": "Region"})]) -> str:
    """Answer with the region, which proxies can read in the header Mcp-Param-Region."""
    return region


@server.tool
async def slow(steps: int, delayMs: int, ctx: Context) -> str:
    """Take some steps with a pause before each, reporting progress."""
    for i in range(1, steps + 1):
        await asyncio.sleep(delayMs / 1000)
        await ctx.progress(i, steps, f"step {i} of {steps}")
    return "done"


@server.tool(inline=True)
def fail(message: str) -> str:
    """Fail with a message for the model."""
    raise ToolError(message)


@server.tool(inline=True)
def crash(message: str) -> str:
    """Fail in a way nobody expected."""
    raise RuntimeError(message)


@server.tool(inline=True)
def test_image_content() -> Image:
    """Answer with an image."""
    return Image(PNG, "image/png")


@server.tool(inline=True)
def test_audio_content() -> Audio:
    """Answer with a sound."""
    return Audio(WAV, "audio/wav")


@server.tool(inline=True)
def test_embedded_resource() -> EmbeddedResource:
    """Answer with a resource."""
    return EmbeddedResource(
        ResourceContents(
            "test://embedded-resource",
            text="This is an embedded resource content.",
            mime_type="text/plain",
        )
    )


@server.tool(inline=True)
def test_multiple_content_types() -> list[Text | Image | EmbeddedResource]:
    """Answer with a text, an image and a resource."""
    return [
        Text("Multiple content types test:"),
        Image(PNG, "image/png"),
        EmbeddedResource(
            ResourceContents(
                "test://mixed-content-resource",
                text='{"test":"data","value":123}',
                mime_type="application/json",
            )
        ),
    ]


@server.tool(inline=True)
def test_error_handling() -> str:
    """Answer with a tool error."""
    raise ToolError("This tool intentionally returns an error for testing")


@server.tool
async def test_tool_with_progress(ctx: Context) -> str:
    """Report progress 0, 50 and 100 of 100."""
    for done in (0, 50, 100):
        await ctx.progress(done, 100, f"{done} of 100")
        await asyncio.sleep(0.05)
    return "done"


@server.tool
async def test_tool_with_logging(ctx: Context) -> str:
    """Log three messages."""
    for step in ("started", "processing data", "completed"):
        ctx.info(f"Tool execution {step}")
        await asyncio.sleep(0.05)
    return "logged"


@server.tool
async def test_sampling(prompt: str, ctx: Context) -> str:
    """Ask the model.

    Args:
        prompt: what to ask it
    """
    answer = await ctx.sample(prompt, 100)
    return f"LLM response: {dumps(answer.to_json()['content'])}"


@server.tool
async def test_elicitation(message: str, ctx: Context) -> str:
    """Ask the user.

    Args:
        message: what to ask
    """
    answer = await ctx.elicit(message, Account)
    return f"User response: action={answer.action}, content={dumps(answer.content)}"


@server.tool
async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    """Ask the user with a default for every kind of field."""
    answer = await ctx.elicit("Please review the form.", Defaults)
    return f"Elicitation completed: action={answer.action}, content={dumps(answer.content)}"


@server.tool
async def test_elicitation_sep1330_enums(ctx: Context) -> str:
    """Ask the user with every form of choice."""
    answer = await ctx.elicit("Please choose.", CHOICES)
    return f"Elicitation completed: action={answer.action}, content={dumps(answer.content)}"


@server.tool
async def test_reconnection(ctx: Context) -> str:
    """Let the stream go before the answer; the client comes back for it."""
    await ctx.close_stream()
    await asyncio.sleep(0.1)
    return "Reconnection test completed."


@server.tool(inline=True, input_schema=JSON_SCHEMA)
def json_schema_2020_12_tool(**arguments: object) -> str:
    """Has a schema with the keywords of JSON Schema 2020-12."""
    return dumps(arguments)


@server.tool
async def test_missing_capability(ctx: Context) -> str:
    """Ask the model, which not every client has."""
    answer = await ctx.sample("hello", 100)
    return f"{answer.model} answered"


@server.tool
async def test_streaming_elicitation(ctx: Context) -> str:
    """Ask the user in the course of a call."""
    return f"{(await ctx.elicit('Please confirm.', Confirmation)).action}"


@server.tool(inline=True)
def test_logging_tool(ctx: Context) -> str:
    """Log something, for those who want to hear it."""
    ctx.info("This is a log message.")
    return "logged"


@server.tool(inline=True)
def test_trigger_tool_change() -> str:
    """Add a tool, or remove it again."""
    if not server.remove_tool("test_dynamic_tool"):
        server.add_tool(lambda: "dynamic", name="test_dynamic_tool", description="Comes and goes.")
    return "changed"


@server.tool(inline=True)
def test_trigger_prompt_change() -> str:
    """Add a prompt, or remove it again."""
    if not server.remove_prompt("test_dynamic_prompt"):
        server.add_prompt(lambda: "dynamic", name="test_dynamic_prompt", description="Comes and goes.")
    return "changed"


@server.tool(inline=True)
def test_trigger_resource_update() -> str:
    """Say that the watched resource has changed."""
    server.notify_resource_updated("test://watched-resource")
    return "changed"


@server.tool
async def test_input_required_result_elicitation(ctx: Context) -> str:
    """Ask for a name."""
    answer = await ctx.elicit("What is your name?", Name, key="user_name")
    return f"Hello, {answer.data['name']}!" if answer.data else "Hello, whoever you are!"


@server.tool
async def test_input_required_result_sampling(ctx: Context) -> str:
    """Ask the model."""
    return f"{(await ctx.sample('What is the capital of France?', 100)).model} answered"


@server.tool
async def test_input_required_result_list_roots(ctx: Context) -> str:
    """Ask for the roots."""
    return ", ".join(root.uri for root in await ctx.list_roots()) or "no roots"


@server.tool
async def test_input_required_result_request_state(ctx: Context) -> str:
    """Ask for a confirmation, with state."""
    return f"state-ok: {(await ctx.elicit('Please confirm.', Confirmation)).action}"


@server.tool
async def test_input_required_result_multiple_inputs(ctx: Context) -> str:
    """Ask the user, the model and for the roots together."""
    user, model, roots = await asyncio.gather(
        ctx.elicit("What is your name?", Name), ctx.sample("Greet somebody.", 50), ctx.list_roots()
    )
    return f"{user.action}, {model.model}, {len(roots)} roots"


@server.tool
async def test_input_required_result_multi_round(ctx: Context) -> str:
    """Ask for a name, then for a color."""
    name = await ctx.elicit("Step 1: what is your name?", Name)
    color = await ctx.elicit("Step 2: what is your favourite color?", Color)
    return f"{name.action}, {color.action}"


@server.tool
async def test_input_required_result_tampered_state(ctx: Context) -> str:
    """Ask for a confirmation, with state that must come back as it was."""
    return f"{(await ctx.elicit('Please confirm.', Confirmation)).action}"


@server.tool
async def test_input_required_result_capabilities(ctx: Context) -> str:
    """Ask what the client can be asked."""
    if "sampling" in ctx.request.client_capabilities:
        return f"{(await ctx.sample('Say hello.', 50)).model} answered"
    return f"{(await ctx.elicit('Please confirm.', Confirmation)).action}"


@server.tool(inline=True, asks={"user": Question.form("What is your name?", Name)})
def test_declared_questions(ctx: Context) -> str:
    """Is called when the questions have been answered."""
    return f"{ctx.answers['user'].action}"


@server.tool(inline=True)
def greet(name: str) -> str:
    """Say hello."""
    return f"Hello, {name}!"


@server.tool(task="optional", resumable=True)
async def slow_compute(seconds: Annotated[float, "How long it takes"], ctx: Context, label: str = "it") -> str:
    """Take a while, and say how far it is."""
    for step in range(ctx.last_checkpoint or 0, 10):
        await asyncio.sleep(min(max(seconds / 10, 0), 60))
        ctx.progress(step + 1, 10)
        await ctx.checkpoint(step + 1)
    return f"{label} took {seconds} s"


@server.tool(task="required")
async def failing_job() -> str:
    """Fail after a second."""
    await asyncio.sleep(1)
    raise ToolError("the job has failed")


@server.tool(task="optional")
async def protocol_error_job() -> str:
    """End with a protocol error."""
    raise InternalError("the job has met an error of the protocol")


@server.tool(task="optional")
async def confirm_delete(filename: str, ctx: Context) -> str:
    """Ask the user before something is deleted."""
    answer = await ctx.elicit(f"Delete {filename}?", Deletion)
    return f"{filename} is deleted" if answer.data and answer.data["confirm"] else f"{filename} stays"


@server.tool(task="optional")
async def multi_input(ctx: Context) -> str:
    """Ask the user two things at once."""
    asked = {key: Question.form(f"Who is {key}?", Name) for key in ("first", "second")}
    answers = await ctx.ask(asked)
    return ", ".join(f"{key}: {answer.data['name'] if answer.data else 'nobody'}" for key, answer in answers.items())


@server.tool(task="optional", asks={"user_name": Question.form("What is your name?", Name)})
async def test_tool_with_task(ctx: Context) -> str:
    """Ask for a name, then greet in a task."""
    answer = ctx.answers["user_name"]
    return f"Hello, {answer.data['name'] if answer.data else 'stranger'}!"


@server.prompt
async def test_input_required_result_prompt(ctx: Context) -> str:
    """Ask what the prompt is to be about."""
    answer = await ctx.elicit("What is the context?", Topic)
    return f"Use the context: {dumps(answer.content)}"


@server.resource("test://watched-resource", name="watched-resource", mime_type="text/plain", inline=True)
def watched_resource() -> str:
    """A text that can be subscribed to."""
    return "This is the content of the watched resource."


@server.resource("test://static-text", name="static-text", mime_type="text/plain", inline=True)
def static_text() -> str:
    """A text that never changes."""
    return "This is the content of the static text resource."


@server.resource("test://static-binary", name="static-binary", mime_type="image/png", inline=True)
def static_binary() -> bytes:
    """An image that never changes."""
    return PNG


@server.resource("test://template/{id}/data", name="template", mime_type="application/json", inline=True)
def template(id: str) -> dict[str, object]:
    """Data by id."""
    return {"id": id, "templateTest": True, "data": f"Data for ID: {id}"}


@server.prompt(inline=True)
def test_simple_prompt() -> str:
    """A prompt without arguments."""
    return "This is a simple prompt for testing."


@server.prompt(inline=True)
def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """A prompt with two arguments.

    Args:
        arg1: first test argument
        arg2: second test argument
    """
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@server.completion("arg1", prompt=test_prompt_with_arguments, inline=True)
def complete_arg1(value: str) -> list[str]:
    return [word for word in ("paris", "park", "party") if word.startswith(value)]


@server.prompt(inline=True)
def test_prompt_with_embedded_resource(resourceUri: str) -> list[Message]:
    """A prompt that carries a resource.

    Args:
        resourceUri: URI of the resource to embed
    """
    contents = ResourceContents(resourceUri, text="Embedded resource content for testing.", mime_type="text/plain")
    return [
        Message(EmbeddedResource(contents)),
        Message("Please process the embedded resource above."),
    ]


@server.prompt(inline=True)
def test_prompt_with_image() -> list[Message]:
    """A prompt that carries an image."""
    return [Message(Image(PNG, "image/png")), Message("Please analyze the image above.")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--stdio", action="store_true")
    how.add_argument("--http", type=int, metavar="PORT")
    arguments = parser.parse_args()
    if arguments.stdio:
        server.run()
    else:
        server.run("http", port=arguments.http, sse_path="/sse")


if __name__ == "__main__":
    main()
