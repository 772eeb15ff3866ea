"""Clean ends of programs, whatever is open, and the error in a forked child."""

import os
import subprocess
import sys
import textwrap

import pytest

from trunnion import ForkedError, Server, SyncClient

HEAD = """
import asyncio, os, sys, threading
from trunnion import Client, Context, McpError, Server, SyncClient

server = Server("inner")

@server.tool
async def hang(ctx: Context) -> None:
    ctx.progress(1)
    await asyncio.Event().wait()

@server.tool
def block(ctx: Context) -> None:
    ctx.progress(1)
    threading.Event().wait()

@server.tool
def ok() -> str:
    return "ok"

child = [sys.executable, "-c", '''
import asyncio, os
from trunnion import Context, Server
server = Server("child")

@server.tool
async def hang(ctx: Context) -> None:
    ctx.progress(1)
    await asyncio.Event().wait()

@server.tool
def ok() -> str:
    return "ok"

@server.tool
def pid() -> int:
    return os.getpid()

server.run()
''']
"""


def program(body):
    """Runs a program; returns its exit code and its output."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", HEAD + textwrap.dedent(body)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "body",
    [
        # An idle client, never closed.
        """
        client = SyncClient(child)
        client.connect()
        """,
        """
        async def main():
            client = Client(child)
            await client.connect()
        asyncio.run(main())
        """,
        """
        client = SyncClient(server)
        client.connect()
        assert client.call_tool("ok").text == "ok"
        """,
        # A call in flight.
        """
        client = SyncClient(child)
        client.connect()
        moving = threading.Event()
        def call():
            try:
                client.call_tool("hang", progress=lambda *_: moving.set())
            except McpError:
                pass
        threading.Thread(target=call, daemon=True).start()
        moving.wait()
        """,
        """
        async def main():
            client = Client(server)
            await client.connect()
            moving = asyncio.Event()
            call = asyncio.ensure_future(client.call_tool("hang", progress=lambda *_: moving.set()))
            await moving.wait()
        asyncio.run(main())
        """,
        # A handler that never ends, on a worker thread.
        """
        async def main():
            async with Client(server) as client:
                moving = asyncio.Event()
                call = asyncio.ensure_future(client.call_tool("block", progress=lambda *_: moving.set()))
                await moving.wait()
                call.cancel()
        asyncio.run(main())
        """,
        # A listener, never closed.
        """
        async def main():
            await server.serve_http().__aenter__()
        asyncio.run(main())
        """,
        # Leaving by an exception of the program's own.
        """
        async def main():
            async with server.serve_http() as serving, Client(serving.url) as client:
                await client.call_tool("ok")
                raise SystemExit(0)
        asyncio.run(main())
        """,
    ],
    ids=[
        "idle SyncClient",
        "idle Client",
        "idle in process",
        "call in flight, sync",
        "call in flight, async",
        "handler never ends",
        "listener left open",
        "SystemExit",
    ],
)
def test_the_program_ends_by_itself(body):
    code, _, err = program(body)
    # Messages of asyncio itself about tasks that the program left behind do not count.
    noise = ("Task was destroyed", "task:", "never retrieved", "future:", "unclosed", "Exception ignored", "trunnion.")
    left = [line for line in err.splitlines() if line.strip() and not any(word in line for word in noise)]
    assert (code, left) == (0, []), err


def test_a_command_ends_with_its_client():
    code, out, err = program(
        """
        with SyncClient(child) as client:
            print(client.call_tool("pid").data)
        """
    )
    assert code == 0, err
    with pytest.raises(ProcessLookupError):
        os.kill(int(out), 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_is_told():
    server = Server("t")

    @server.tool(inline=True)
    def ok() -> str:
        return "ok"

    with SyncClient(server) as client:
        assert client.call_tool("ok").text == "ok"
        child = os.fork()
        if child == 0:
            code = 1
            try:
                client.call_tool("ok")
            except ForkedError as error:
                code = 0 if (error.kind, error.code) == ("forked", 8) else 2
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert client.call_tool("ok").text == "ok"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_ends_cleanly_and_can_make_its_own():
    code, out, err = program(
        """
        client = SyncClient(child)
        client.connect()
        forked = os.fork()
        if forked == 0:
            with SyncClient(server) as mine:
                print(mine.call_tool("ok").text, flush=True)
            del client
            sys.exit(0)
        _, status = os.waitpid(forked, 0)
        print(os.waitstatus_to_exitcode(status), client.call_tool("ok").text)
        client.close()
        """
    )
    assert (code, out) == (0, "ok\n0 ok\n"), err


def test_an_engine_is_closed_twice():
    from trunnion._native import Engine, NativeError

    engine = Engine()
    engine.close(10)
    engine.close()
    with pytest.raises(NativeError) as caught:
        engine.server_new('{"name":"x","version":"1"}')
    assert caught.value.args[:2] == (1, "closed")
