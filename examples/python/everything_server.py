"""A server with one of everything: the fixture of the conformance suite and of the interop matrix.

    python everything_server.py --stdio
    python everything_server.py --http 8000
"""

import argparse
import asyncio
from base64 import b64decode
from typing import Annotated, TypedDict

from trunnion import (
    Audio,
    Context,
    EmbeddedResource,
    Field,
    Image,
    Message,
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
        server.run("http", port=arguments.http)


if __name__ == "__main__":
    main()
