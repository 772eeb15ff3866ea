"""The everything server on the official Python SDK: the foreign side of the interop matrix."""

import argparse
import asyncio
import base64
from typing import Annotated, Any

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp_types import (
    AudioContent,
    CallToolResult,
    Completion,
    EmbeddedResource,
    ImageContent,
    PromptReference,
    TextContent,
    TextResourceContents,
)
from pydantic import BaseModel, Field

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
WAV = base64.b64encode(b"RIFF$\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0@\x1f\0\0@\x1f\0\0\x01\0\x08\0data\0\0\0\0").decode()

server = MCPServer("everything-python-official", version="1.0.0")


class Sum(BaseModel):
    sum: float


def embedded(uri: str, text: str) -> EmbeddedResource:
    return EmbeddedResource(
        type="resource", resource=TextResourceContents(uri=uri, mime_type="text/plain", text=text)
    )


@server.tool(structured_output=False)
def test_simple_text() -> str:
    """Returns one text."""
    return "This is a simple text response for testing."


@server.tool()
def add(a: float, b: float) -> Sum:
    """Adds two numbers."""
    return Sum(sum=a + b)


@server.tool(structured_output=False)
def echo(text: str) -> str:
    """Returns the text it was given."""
    return text


@server.tool(structured_output=False)
async def slow(steps: int, delayMs: Annotated[int, Field(ge=0)], ctx: Context) -> str:  # noqa: N803
    """Works in steps and reports progress."""
    for i in range(1, steps + 1):
        await asyncio.sleep(delayMs / 1000)
        await ctx.report_progress(i, steps, f"step {i} of {steps}")
    return "done"


@server.tool(structured_output=False)
def fail(message: str) -> str:
    """Fails as a tool."""
    raise ToolError(message)


@server.tool(structured_output=False)
def crash(message: str) -> str:
    """Raises an unexpected exception."""
    raise RuntimeError(message)


@server.tool(structured_output=False)
def test_image_content() -> ImageContent:
    """Returns an image."""
    return ImageContent(type="image", data=PNG, mime_type="image/png")


@server.tool(structured_output=False)
def test_audio_content() -> AudioContent:
    """Returns a sound."""
    return AudioContent(type="audio", data=WAV, mime_type="audio/wav")


@server.tool(structured_output=False)
def test_embedded_resource() -> EmbeddedResource:
    """Returns a resource inside the result."""
    return embedded("test://embedded-resource", "This is an embedded resource content.")


@server.tool(structured_output=False)
def test_multiple_content_types() -> list[Any]:
    """Returns text, an image and a resource."""
    return [
        TextContent(type="text", text="Multiple content types test:"),
        ImageContent(type="image", data=PNG, mime_type="image/png"),
        embedded("test://mixed-content-resource", "mixed"),
    ]


@server.tool(structured_output=False)
def test_error_handling() -> CallToolResult:
    """Returns an error result."""
    text = TextContent(type="text", text="This tool intentionally returns an error for testing")
    return CallToolResult(content=[text], is_error=True)


@server.tool(structured_output=False)
async def test_tool_with_progress(ctx: Context) -> str:
    """Reports 0, 50 and 100 of 100."""
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100, f"{done} of 100")
        await asyncio.sleep(0.05)
    return "done"


@server.resource("test://static-text", mime_type="text/plain")
def static_text() -> str:
    """A text."""
    return "This is the content of the static text resource."


@server.resource("test://static-binary", mime_type="image/png")
def static_binary() -> bytes:
    """An image."""
    return base64.b64decode(PNG)


@server.resource("test://template/{id}/data", mime_type="application/json")
def template(id: str) -> str:
    """Data of one id."""
    return f'{{"id":"{id}","templateTest":true,"data":"Data for ID: {id}"}}'


@server.prompt()
def test_simple_prompt() -> str:
    """A prompt without arguments."""
    return "This is a simple prompt for testing."


@server.prompt()
def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """A prompt with two arguments."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@server.prompt()
def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:  # noqa: N803
    """A prompt with a resource inside."""
    return [UserMessage(embedded(resourceUri, "embedded")), UserMessage("Please process it.")]


@server.prompt()
def test_prompt_with_image() -> list[UserMessage]:
    """A prompt with an image."""
    return [UserMessage(ImageContent(type="image", data=PNG, mime_type="image/png"))]


@server.completion()
async def complete(ref: Any, argument: Any, context: Any) -> Completion | None:
    if isinstance(ref, PromptReference) and ref.name == "test_prompt_with_arguments" and argument.name == "arg1":
        return Completion(values=[v for v in ("paris", "park", "party") if v.startswith(argument.value)])
    return None


def main() -> None:
    parser = argparse.ArgumentParser()
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--stdio", action="store_true")
    how.add_argument("--http", type=int, metavar="PORT")
    args = parser.parse_args()
    if args.stdio:
        server.run("stdio")
    else:
        # HTTP+SSE beside it, at /sse; the lifespan is that of Streamable HTTP.
        app = server.streamable_http_app()
        app.router.routes.extend(server.sse_app().routes)
        uvicorn.run(app, host="127.0.0.1", port=args.http)


if __name__ == "__main__":
    main()
