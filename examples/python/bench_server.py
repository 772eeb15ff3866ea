"""The benchmark's server: echo, add, 48 more tools from the file BENCH_TOOLS, and the text of BENCH_BIG.

    BENCH_TOOLS=tools.json BENCH_BIG=big.txt python bench_server.py --http 8000
"""

import json
import os
import sys

from trunnion import Server

server = Server("bench", "0.1.0")


@server.tool(inline=True)
def echo(text: str) -> str:
    """Give the text back."""
    return text


@server.tool(inline=True)
def add(a: float, b: float) -> dict[str, float]:
    """Add two numbers."""
    return {"sum": a + b}


def ok() -> str:
    return "ok"


def load() -> None:
    """Register what the environment names."""
    tools = os.environ.get("BENCH_TOOLS")
    if tools:
        with open(tools, encoding="utf-8") as file:
            for tool in json.load(file):
                server.add_tool(
                    ok,
                    name=tool["name"],
                    description=tool["description"],
                    input_schema=tool["inputSchema"],
                    inline=True,
                )
    big = os.environ.get("BENCH_BIG")
    if big:
        with open(big, encoding="utf-8") as file:
            text = file.read()
        server.resource("bench://big", name="big", mime_type="text/plain", inline=True)(lambda: text)


if __name__ == "__main__":
    load()
    if sys.argv[1:2] == ["--http"]:
        server.run("http", port=int(sys.argv[2]))
    else:
        server.run()
