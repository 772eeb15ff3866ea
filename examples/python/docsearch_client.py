"""A client of the docsearch server.

    python docsearch_client.py URL index PATH
    python docsearch_client.py URL search "some words" [LIMIT]

`search` prints one line of JSON: {"hits": [{"path", "line", "snippet"}, ...]}. `index` shows its progress on
standard error as lines `progress <n> <total> <message>`.
"""

import asyncio
import json
import sys

from trunnion import Client, McpError, ToolError


def show(progress: float, total: float | None, message: str | None) -> None:
    print(f"progress {progress:g} {total or 0:g} {message or ''}".rstrip(), file=sys.stderr, flush=True)


async def main(target: str, action: str, argument: str, *rest: str) -> None:
    command = target.removeprefix("stdio:")
    async with Client(target if command == target else command.split()) as client:
        if action == "index":
            result = await client.call_tool("index", {"path": argument}, progress=show)
        elif action == "search":
            limit = int(rest[0]) if rest else 5
            result = await client.call_tool("search", {"query": argument, "limit": limit})
        else:
            raise ValueError(f"the action is index or search, not {action!r}")
        print(json.dumps(result.structured, ensure_ascii=False))


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    try:
        asyncio.run(main(*sys.argv[1:]))
    except (McpError, ToolError, ValueError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
