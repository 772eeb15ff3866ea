"""A client of the docsearch server.

    python docsearch_client.py URL index PATH
    python docsearch_client.py URL resume ID
    python docsearch_client.py URL search "some words" [LIMIT]

`search` prints one line of JSON: {"hits": [{"path", "line", "snippet"}, ...]}. `index` has it done as a task, and shows its
progress on standard error: a line `task <id>`, then lines `progress <n> <total> <message>`. `resume` follows such a task
from then on, also one whose client, or whose server, has died meanwhile.
"""

import asyncio
import json
import re
import sys

from trunnion import CallResult, Client, McpError, Task, ToolError


def tell(line: str) -> None:
    print(line.rstrip(), file=sys.stderr, flush=True)


async def follow(task: Task) -> CallResult:
    """Show the progress of a task, and wait for its result."""
    async for state in task.updates():
        message = state.status_message or ""
        if counted := re.match(r"(\d+) of (\d+): ", message):
            tell(f"progress {counted[1]} {counted[2]} {message[counted.end() :]}")
    result = await task.result()
    if result.structured:
        # The last progress notification may not have arrived.
        tell(f"progress {result.structured['files']} {result.structured['files']}")
    return result


async def main(target: str, action: str, argument: str, *rest: str) -> None:
    command = target.removeprefix("stdio:")
    async with Client(target if command == target else command.split()) as client:
        if action == "index":
            task = await client.start_task("index", {"path": argument})
            tell(f"task {task.id}")
            result = await follow(task)
        elif action == "resume":
            result = await follow(client.task(argument))
        elif action == "search":
            limit = int(rest[0]) if rest else 5
            result = await client.call_tool("search", {"query": argument, "limit": limit})
        else:
            raise ValueError(f"the action is index, resume or search, not {action!r}")
        print(json.dumps(result.structured, ensure_ascii=False))


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    try:
        asyncio.run(main(*sys.argv[1:]))
    except (McpError, ToolError, ValueError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
