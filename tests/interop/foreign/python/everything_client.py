"""The everything client on the official Python SDK: makes the interop tour, prints one line of JSON."""

import asyncio
import json
import os
import sys
from typing import Any

from mcp.client.client import Client
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters
from mcp.shared.exceptions import MCPError
from mcp_types import PromptReference

TRICKY = 'héllo ✓ 😀\n"q"'


def target_of(argument: str) -> Any:
    if argument.startswith("stdio:"):
        command, *args = argument.removeprefix("stdio:").split()
        return StdioServerParameters(command=command, args=args)
    if os.environ.get("MCP_INTEROP_TRANSPORT") == "sse":
        return sse_client(argument)
    return argument


async def outcome(client: Client, name: str, arguments: dict[str, Any]) -> Any:
    try:
        result = await client.call_tool(name, arguments)
    except MCPError as error:
        return error.error.code
    return "isError" if result.is_error else "ok"


async def cancelled(client: Client) -> str:
    started = asyncio.Event()

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        started.set()

    call = asyncio.create_task(
        client.call_tool("slow", {"steps": 100000, "delayMs": 1}, progress_callback=on_progress)
    )
    await started.wait()
    call.cancel()
    try:
        await call
    except asyncio.CancelledError:
        return "cancelled"
    return "finished"


async def tour(client: Client) -> dict[str, Any]:
    names = {tool.name for tool in (await client.list_tools()).tools}
    added = await client.call_tool("add", {"a": 2, "b": 3})
    echoed = await client.call_tool("echo", {"text": TRICKY})
    steps: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        steps.append(progress)

    slow = await client.call_tool("slow", {"steps": 3, "delayMs": 5}, progress_callback=on_progress)
    failed = await client.call_tool("fail", {"message": "boom"})
    assert failed.is_error
    unknown = await outcome(client, "nope", {})
    invalid = await outcome(client, "add", {"a": "x"})
    cancel = await cancelled(client)
    resource = await client.read_resource("test://static-text")
    template = await client.read_resource("test://template/42/data")
    prompt = await client.get_prompt("test_prompt_with_arguments", {"arg1": "hello", "arg2": "world"})
    completion = await client.complete(
        PromptReference(type="ref/prompt", name="test_prompt_with_arguments"), {"name": "arg1", "value": "pa"}
    )
    after = await client.call_tool("echo", {"text": "still here"})
    return {
        "revision": client.protocol_version,
        "tools": {"add", "echo", "slow", "fail"} <= names,
        "sum": added.structured_content["sum"],
        "echo": echoed.content[0].text,
        "progress": steps,
        "slow": slow.content[0].text,
        "fail": failed.content[0].text,
        "unknown": unknown,
        "invalid": invalid,
        "cancel": cancel,
        "resource": resource.contents[0].text,
        "template": template.contents[0].text,
        "prompt": prompt.messages[0].content.text,
        "completion": completion.completion.values,
        "after": after.content[0].text,
    }


async def main() -> None:
    mode = os.environ.get("MCP_INTEROP_ERA", "auto")
    async with Client(target_of(sys.argv[-1]), mode=mode) as client:
        print(json.dumps(await tour(client), ensure_ascii=False))


if __name__ == "__main__":
    asyncio.run(main())
