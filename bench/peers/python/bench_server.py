"""The benchmark server on the official Python SDK's MCPServer, on its best stack (uvloop and httptools)."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.tools import Tool
from pydantic import BaseModel

server = MCPServer("bench-python-official", version="1.0.0", log_level="ERROR")
BIG = Path(os.environ["BENCH_BIG"]).read_text()


class Sum(BaseModel):
    sum: float


@server.tool(structured_output=False)
async def echo(text: str) -> str:
    """Returns the text."""
    return text


@server.tool()
async def add(a: float, b: float) -> Sum:
    """Adds two numbers."""
    return Sum(sum=a + b)


@server.resource("bench://big", mime_type="text/plain")
async def big() -> str:
    """A large text."""
    return BIG


async def ok(x: str = "") -> str:
    return "ok"


def add_more(definitions: list[dict[str, Any]]) -> None:
    for definition in definitions:
        tool = Tool.from_function(
            ok, name=definition["name"], description=definition["description"], structured_output=False
        )
        tool.parameters = definition["inputSchema"]
        server._tool_manager._tools[tool.name] = tool


def main() -> None:
    parser = argparse.ArgumentParser()
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--stdio", action="store_true")
    how.add_argument("--http", type=int, metavar="PORT")
    args = parser.parse_args()
    add_more(json.loads(Path(os.environ["BENCH_TOOLS"]).read_text()))
    if args.stdio:
        server.run("stdio")
    else:
        app = server.streamable_http_app(json_response=True, stateless_http=True)
        uvicorn.run(app, port=args.http, loop="uvloop", http="httptools", log_level="error", access_log=False)


if __name__ == "__main__":
    main()
