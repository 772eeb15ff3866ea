"""A server and a client of the installed Python package, over standard streams and HTTP."""

from __future__ import annotations

import asyncio
import sys

from trunnion import Client, Server

server = Server("installed")


@server.tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def check(target: object, transport: str) -> None:
    async with Client(target) as client:
        result = await client.call_tool("add", {"a": 19, "b": 23})
        assert result.data == 42, result
        print(transport, "ok")


async def main() -> None:
    await check([sys.executable, "-I", __file__, "--serve"], "stdio")
    async with server.serve_http() as serving:
        await check(serving.url, "http")


if __name__ == "__main__":
    if "--serve" in sys.argv:
        server.run()
    else:
        asyncio.run(main())
