"""Serving Streamable HTTP on a loop, with either driver."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from trunnion import Client, Context, McpError, Server, SyncClient, ToolError, TransportError


def make(**options):
    server = Server("http", **options)

    @server.tool(inline=True)
    def inline(text: str) -> str:
        return text

    @server.tool
    def thread(text: str) -> str:
        return text

    @server.tool
    async def task(text: str) -> str:
        return text

    @server.tool
    async def waits(text: str, ctx: Context) -> str:
        await ctx.progress(1)
        await asyncio.sleep(0)
        return text

    return server


@pytest.mark.parametrize("driver", ["hosted", "threaded"])
def test_serving_on_a_loop(driver):
    async def go():
        async with make(driver=driver).serve_http() as serving:
            assert serving.url == f"http://{serving.host}:{serving.port}/mcp"
            async with Client(serving.url) as client:
                for tool in ("inline", "thread", "task", "waits"):
                    results = await asyncio.gather(
                        *(client.call_tool(tool, {"text": f"{tool} {i}"}) for i in range(50))
                    )
                    assert [r.text for r in results] == [f"{tool} {i}" for i in range(50)]
                seen = []
                await client.call_tool("waits", {"text": "x"}, progress=lambda *what: seen.append(what))
                assert seen == [(1, None, None)]
        with pytest.raises(TransportError):
            async with Client(serving.url):
                pass

    asyncio.run(go())


def test_closing_while_a_call_is_in_flight():
    server = make()
    cancelled = []

    @server.tool
    async def hang(ctx: Context) -> None:
        await ctx.progress(1)
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)

    async def go():
        async with server.serve_http() as serving:
            client = Client(serving.url)
            await client.connect()
            moving = asyncio.Event()
            call = asyncio.ensure_future(client.call_tool("hang", progress=lambda *_: moving.set()))
            await moving.wait()
            waiting = asyncio.ensure_future(serving.wait())
            await serving.close(grace=0)
            await serving.close()
            await waiting
            with pytest.raises((McpError, ToolError)):
                await call
            await client.close()

    asyncio.run(go())
    assert cancelled == [True]


def test_two_listeners_of_one_server(live_handles):
    async def go():
        server = make()
        async with server.serve_http() as one, server.serve_http(path="/other") as two:
            assert one.port != two.port and two.url.endswith("/other")
            async with Client(one.url) as a, Client(two.url) as b, Client(server) as c:
                for client in (a, b, c):
                    assert (await client.call_tool("task", {"text": "t"})).text == "t"

    asyncio.run(go())
    assert len(live_handles) == 3


def test_options_are_checked():
    server = make()
    with pytest.raises(TypeError, match="nonsense"):
        server.serve_http(nonsense=1)
    with pytest.raises(TypeError, match="port"):
        server.run(port=1)
    with pytest.raises(ValueError, match="carrier"):
        server.run("carrier pigeon")

    async def taken():
        async with server.serve_http() as serving:
            with pytest.raises(TransportError):
                async with make().serve_http(port=serving.port):
                    pass
            with pytest.raises(McpError):
                async with server.serve_http(port="eighty"):
                    pass

    asyncio.run(taken())


def test_foreign_hosts_and_origins_are_refused():
    async def go():
        async with make().serve_http(allowed_origins=["https://ok.example"]) as serving:
            loop = asyncio.get_running_loop()

            def status(**headers):
                names = {name.replace("_", "-"): value for name, value in headers.items()}
                request = urllib.request.Request(serving.url, b"{}", names)
                try:
                    return urllib.request.urlopen(request, timeout=30).status
                except urllib.error.HTTPError as error:
                    with error:
                        return error.code

            ask = lambda **headers: loop.run_in_executor(None, lambda: status(**headers))  # noqa: E731
            assert await ask(Host="evil.example") == 403
            assert await ask(Origin="https://evil.example") == 403
            assert await ask(Origin="https://ok.example", Content_Type="application/json") == 400

    asyncio.run(go())


def test_a_message_over_the_limit_is_refused_and_the_server_serves_on():
    async def go():
        async with make(max_message_bytes=2000).serve_http() as serving, Client(serving.url) as client:
            with pytest.raises(McpError):
                await client.call_tool("task", {"text": "x" * 3000})
            assert (await client.call_tool("task", {"text": "x"})).text == "x"

    asyncio.run(go())


def test_what_is_in_flight_may_finish():
    server = make()
    release = asyncio.Event()

    @server.tool
    async def slow(ctx: Context) -> str:
        await ctx.progress(1)
        await release.wait()
        return "finished"

    async def go():
        async with server.serve_http() as serving, Client(serving.url) as client:
            moving = asyncio.Event()
            call = asyncio.ensure_future(client.call_tool("slow", progress=lambda *_: moving.set()))
            await moving.wait()
            closing = asyncio.ensure_future(serving.close(grace=30))
            await asyncio.sleep(0)
            release.set()
            await closing
            assert (await call).text == "finished"

    asyncio.run(go())


@pytest.mark.parametrize("driver", ["hosted", "threaded"])
def test_a_unix_socket(driver, tmp_path):
    path = tmp_path / "socket"
    server = make(driver=driver)

    async def go():
        async with server.serve_http(unix_socket=str(path)) as serving:
            assert serving.url.startswith("http+unix://")
            assert path.is_socket()
            async with Client(serving.url) as client:
                assert (await client.call_tool("task", {"text": "a"})).text == "a"
        assert not path.exists()

    asyncio.run(go())
    with pytest.raises(McpError, match="unixSocket"):
        asyncio.run(served(server))


async def served(server):
    async with server.serve_http(port=0, unix_socket="socket"):
        pass


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("before", ["SIG_DFL", "SIG_IGN"])
def test_signals_end_run(kind, number, before):
    """Also where they were ignored, as a shell does to background jobs."""
    code = f"""
import signal
signal.signal({int(number)}, signal.{before})
from trunnion import Server
server = Server("run")
@server.tool
{kind} ok() -> str:
    return "ok"
server.run("http", port=0)
print("after")
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    url = process.stderr.readline().split()[-1]
    with SyncClient(url) as client:
        assert client.call_tool("ok").text == "ok"
        os.kill(process.pid, number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "after\n", "")


def test_a_signal_in_an_inline_handler_ends_run():
    code = """
import os, signal
from trunnion import Server
server = Server("run")
@server.tool(inline=True)
def stop() -> str:
    os.kill(os.getpid(), signal.SIGTERM)
    return "stopped"
@server.tool(inline=True)
def alarmed() -> bool:
    told = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(told)
    return told >= 0
server.run("http", port=0)
print("after")
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    url = process.stderr.readline().split()[-1]
    with SyncClient(url) as client:
        # A signal that comes just before the wait ends the wait.
        assert client.call_tool("alarmed").data is True
        with pytest.raises(McpError):
            client.call_tool("stop")
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "after\n", "")


def test_a_sync_server_does_not_load_asyncio():
    code = """
import json, sys
from trunnion import Server
server = Server("light")
@server.tool
def loaded() -> list[str]:
    return sorted(m for m in ("asyncio", "inspect", "dataclasses", "pydantic", "logging") if m in sys.modules)
server.run()
"""
    # Site packages of the machine may load anything at start: -I -S leaves the interpreter alone.
    path = os.pathsep.join(p for p in sys.path if p)
    process = [sys.executable, "-S", "-c", code]
    with SyncClient(process, env={"PYTHONPATH": path}) as client:
        assert client.call_tool("loaded").data == []


def test_stdout_belongs_to_the_protocol():
    code = """
import os, sys
from trunnion import Server
server = Server("chatty")
@server.tool
def chat() -> str:
    print("from print")
    sys.stdout.flush()
    os.system("echo from a child")
    return "ok"
server.run()
"""
    process = [sys.executable, "-c", code]
    with SyncClient(process) as client:
        assert client.call_tool("chat").text == "ok"
        assert client.call_tool("chat").text == "ok"


def test_json_output_is_compact():
    async def go():
        server = make()

        @server.tool
        def value() -> dict:
            return {"a": [1, 2], "b": {"c": "é"}}

        async with Client(server) as client:
            result = await client.call_tool("value")
            assert result.text == '{"a":[1,2],"b":{"c":"é"}}'
            assert json.loads(result.text) == result.structured

    asyncio.run(go())
