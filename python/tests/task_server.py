"""A server with a task that outlives it: `task_server.py PORT STORE MARKS`. At its second step it waits for
`MARKS/go`."""

import asyncio
import os
import sys
from pathlib import Path

from trunnion import Context, Server

port, store, marks = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
server = Server("mill", store=store, task_lease=1, task_poll=0.02)


def note(what: str) -> str:
    """One file for each time that something is done."""
    name = f"{what}-{os.getpid()}-{len(list(marks.iterdir()))}"
    (marks / name).touch()
    return name


async def go() -> None:
    while not (marks / "go").exists():
        await asyncio.sleep(0.005)


@server.tool(task="required", resumable=True)
async def grind(ctx: Context) -> dict[str, object]:
    """Grind in two steps."""
    begun = ctx.last_checkpoint
    paid = await ctx.once("pay", lambda: note("paid"))
    if begun is None:
        note("first")
        await ctx.checkpoint({"step": 1})
        await ctx.progress(1, 2, "ground once")
    await go()
    return {"begun": begun, "paid": paid, "run": ctx.task.run}


@server.tool(task="required", resumable=True)
def grind_in_a_thread(ctx: Context) -> dict[str, object]:
    """The same in a `def` handler."""
    from time import sleep

    begun = ctx.last_checkpoint
    paid = ctx.once("pay", lambda: note("paid")).result()
    if begun is None:
        note("first")
        ctx.checkpoint({"step": 1})
        ctx.progress(1, 2, "ground once")
    while not (marks / "go").exists() and not ctx.cancelled:
        sleep(0.005)
    return {"begun": begun, "paid": paid, "run": ctx.task.run}


server.run("http", port=port)
