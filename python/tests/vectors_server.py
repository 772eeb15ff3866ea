"""The server of the golden transcripts, on the standard streams. The argument is its definition as JSON.

A cancelled handler prints `cancelled <tool>` to standard error.
"""

import asyncio
import json
import sys

from trunnion import Context, Server, ToolError

definition = json.loads(sys.argv[1])
name = definition.pop("name")
version = definition.pop("version", "1.0.0")
# The transcripts spell options as the engine does.
options = {"".join("_" + c.lower() if c.isupper() else c for c in key): v for key, v in definition.items()}
server = Server(name, version, **options)


@server.tool(inline=True)
def add(a: float, b: float):
    return {"sum": a + b}


@server.tool(inline=True)
def echo(text: str) -> str:
    return text


@server.tool(inline=True)
def fail(message: str) -> str:
    raise ToolError(message)


@server.tool
async def steps(n: int, ctx: Context) -> str:
    for i in range(1, n + 1):
        await ctx.progress(i, n)
    return "done"


@server.tool
async def hang() -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        print("cancelled hang", file=sys.stderr, flush=True)
        raise


@server.tool
async def visit(id: str, ctx: Context) -> str:
    answer = await ctx.elicit_url("Sign in", "https://example.com/sign-in", elicitation_id=id)
    server.notify_elicitation_complete(id)
    return answer.action


@server.resource("test://text", mime_type="text/plain", inline=True)
def text() -> str:
    return "hello"


@server.resource("test://item/{id}", inline=True)
def item(id: str) -> str:
    return f"item {id}"


@server.prompt(inline=True)
def greet(name: str) -> str:
    return f"Greet {name}"


@server.completion("name", prompt=greet, inline=True)
def names(value: str):
    return [name for name in ("ada", "alan", "grace") if name.startswith(value)]


server.run()
