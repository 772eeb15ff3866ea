"""Isolation of faulty user code: it fails its own call and no other."""

import asyncio
import gc
import json
import logging
import math
import os
import sys
import threading

import pytest

from trunnion import CancelledError, Client, ClosedError, Context, McpError, Server, SyncClient, TimeoutError, ToolError
from trunnion._host import live_engines

CHILD = [
    sys.executable,
    "-c",
    "from trunnion import Server\ns = Server('child')\ns.add_tool(lambda: 'ok', name='ok')\ns.run()",
]


class Unprintable(Exception):
    def __str__(self):
        raise ValueError("no text")


def raises(error):
    def fail():
        raise error

    return fail


def cycle():
    ring = []
    ring.append(ring)
    return ring


BAD = {
    "base": (raises(BaseException("below")), "below"),
    "cancelled": (raises(asyncio.CancelledError()), "cancelled"),
    "stop": (raises(StopIteration("early")), "StopIteration|early"),
    "generator": (raises(GeneratorExit()), "failed"),
    "unprintable": (raises(Unprintable()), "Unprintable"),
    "data": (raises(McpError(-32000, "odd data", object())), "odd data"),
    "object": (object, "no JSON form"),
    "cycle": (cycle, "recursion"),
    "nan": (lambda: {"x": math.nan}, "not JSON compliant"),
    "iterator": (lambda: iter("abc"), "no JSON form"),
}


def in_each_way(fn):
    async def coroutine():
        return fn()

    return {"thread": fn, "inline": fn, "async": coroutine}


@pytest.mark.parametrize("way", ["thread", "inline", "async"])
def test_a_handler_fails_alone(way):
    server = Server("t", inline=way == "inline")
    for name, (fn, _) in BAD.items():
        server.add_tool(in_each_way(fn)[way], name=name)
    server.add_tool(in_each_way(lambda: "ok")[way], name="fine")

    async def go():
        async with Client(server) as client:
            # One batch: those that come after one that failed must be answered too.
            names = [name for bad in BAD for name in (bad, "fine")]
            return names, await asyncio.gather(*map(client.call_tool, names), return_exceptions=True)

    for name, answer in zip(*asyncio.run(go())):
        if name == "fine":
            assert answer.text == "ok"
        else:
            assert isinstance(answer, (ToolError, McpError)) and answer.args
            wanted = BAD[name][1].split("|")
            assert name == "cancelled" or any(part in str(answer) for part in wanted), (name, str(answer))


def test_sys_exit_on_a_worker_thread_ends_that_call_only():
    server = Server("t")
    server.add_tool(lambda: sys.exit(3), name="leave")
    server.add_tool(lambda: "ok", name="fine")
    with SyncClient(server) as client:
        # More often than there may be threads.
        for _ in range(40):
            with pytest.raises(ToolError, match="3"):
                client.call_tool("leave")
        assert client.call_tool("fine").text == "ok"


def test_a_listener_that_raises_is_logged_and_costs_no_answer(caplog):
    server = Server("t")

    @server.tool(inline=True)
    def work(ctx: Context) -> str:
        ctx.error("e")
        return "done"

    def broken(event, params):
        raise ZeroDivisionError(event)

    async def broken_later(event, params):
        await asyncio.sleep(0)
        heard.append(event)
        raise ZeroDivisionError(event)

    async def go(listener):
        async with Client(server, era="legacy", on_notification=listener) as client:
            results = await asyncio.gather(*[client.call_tool("work") for _ in range(3)])
            return [result.text for result in results]

    heard = []
    for listener in (broken, broken_later):
        with caplog.at_level(logging.ERROR, "trunnion"):
            assert asyncio.run(go(listener)) == ["done"] * 3
        assert "on_notification" in caplog.text
    assert heard == ["log"] * 3
    with SyncClient(server, era="legacy", on_notification=broken) as client:
        assert client.call_tool("work").text == "done"


def hanging(cancelled):
    server = Server("t")

    @server.tool
    async def hang(ctx: Context) -> None:
        ctx.progress(1)
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    return server


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_progress_callback_that_raises_gives_the_call_up(kind):
    cancelled = threading.Event()
    server = hanging(cancelled)

    def fail(*_):
        raise ZeroDivisionError("mine")

    async def fail_later(*_):
        await asyncio.sleep(0)
        raise ZeroDivisionError("mine")

    async def go():
        async with Client(server) as client:
            with pytest.raises(ZeroDivisionError, match="mine"):
                await client.call_tool("hang", progress=fail if kind == "plain" else fail_later)
            await asyncio.to_thread(cancelled.wait)

    asyncio.run(go())


def test_a_sync_progress_callback_that_raises_gives_the_call_up():
    cancelled = threading.Event()
    with SyncClient(hanging(cancelled)) as client:
        with pytest.raises(ZeroDivisionError):
            client.call_tool("hang", progress=lambda *_: 1 / 0)
        client.ping()
        assert cancelled.wait(60)


def test_a_sync_progress_callback_may_use_the_client():
    server = Server("t")

    @server.tool
    def steps(ctx: Context) -> str:
        for n in range(3):
            ctx.progress(n)
        return "done"

    @server.tool(inline=True)
    def fine() -> str:
        return "ok"

    with SyncClient(server) as client:
        seen = []
        text = client.call_tool("steps", progress=lambda *_: seen.append(client.call_tool("fine").text)).text
        assert (text, seen) == ("done", ["ok"] * 3)


def test_closing_inside_a_sync_progress_callback():
    with SyncClient(hanging(threading.Event())) as client:
        with pytest.raises((ClosedError, CancelledError)):
            client.call_tool("hang", progress=lambda *_: client.close())


def test_an_inline_handler_may_be_a_client_of_its_own_server():
    server = Server("t", inline=True)
    server.add_tool(lambda: client.call_tool("inner").text + "!", name="outer")
    server.add_tool(lambda: "in", name="inner")
    with SyncClient(server) as client:
        assert client.call_tool("outer").text == "in!"


def test_closing_inside_a_handler():
    server = Server("t")

    @server.tool
    async def close() -> str:
        await client.close()
        return "closed"

    async def go():
        nonlocal client
        client = Client(server)
        await client.connect()
        with pytest.raises((ClosedError, CancelledError)):
            await client.call_tool("close")
        await client.close()

    client = None
    asyncio.run(go())


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_client_that_was_never_closed_is_collected(kind):
    def leave():
        if kind == "sync":
            client = SyncClient(CHILD)
            client.connect()
        else:

            async def connect():
                client = Client(CHILD)
                await client.connect()

            asyncio.run(connect())

    gc.collect()
    before = len(live_engines())
    with pytest.warns(ResourceWarning, match="never closed: .*Client"):
        leave()
        gc.collect()
    assert len(live_engines()) == before


def test_a_loop_that_was_closed_first():
    async def connected():
        client = Client(CHILD)
        await client.connect()
        return client

    loop = asyncio.new_event_loop()
    client = loop.run_until_complete(connected())
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        asyncio.run(client.call_tool("ok"))
    client._host.shut()
    asyncio.run(client.close())


def test_a_loop_in_each_of_two_threads():
    async def go():
        async with Client(CHILD) as client:
            both.wait(60)
            return (await client.call_tool("ok")).text

    both = threading.Barrier(2)
    texts = []
    threads = [threading.Thread(target=lambda: texts.append(asyncio.run(go()))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert texts == ["ok"] * 2


def _in_a_child(client, queue):
    try:
        client.ping()
    except McpError as error:
        queue.put(error.kind)
    with SyncClient(CHILD) as mine:
        queue.put(mine.call_tool("ok").text)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_multiprocessing_with_fork():
    import multiprocessing

    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    with SyncClient(CHILD) as client:
        # A lock that another thread held at the fork stays locked in the child indefinitely.
        with client._host._lock:
            process = context.Process(target=_in_a_child, args=(client, queue))
            process.start()
        assert [queue.get(), queue.get()] == ["forked", "ok"]
        process.join()
        assert process.exitcode == 0
        assert client.call_tool("ok").text == "ok"
        assert json.loads(client._host.engine.live())["clients"] == 1


@pytest.mark.parametrize("target", [5, None, b"http://x/mcp", object()])
def test_what_is_no_target(target):
    with pytest.raises(TypeError, match="a URL, a command as a list, or a Server"):
        Client(target)


def test_a_client_that_was_not_entered_says_how():
    for client in (Client(Server("t")), SyncClient(Server("t"))):
        with pytest.raises(ClosedError, match=r"`with`.*connect\(\)"):
            client.info  # noqa: B018


def test_a_name_in_the_function_s_place():
    with pytest.raises(TypeError, match="name='add'"):
        Server("t").tool("add")


@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_run_does_not_stop_a_running_loop(transport):
    async def main():
        with pytest.raises(RuntimeError, match="await serve_stdio"):
            Server("t").run(transport)

    asyncio.run(main())


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_an_answer_that_nobody_waited_for(era, caplog):
    server = Server("t")

    @server.tool
    def ask(ctx: Context) -> str:
        return ctx.list_roots().name

    with SyncClient(server, era=era, roots=["file:///a"]) as client:
        with pytest.raises(ToolError, match=r"'name'.*result\(\)"):
            client.call_tool("ask")


@pytest.mark.parametrize("option", ["timeout", "total_timeout", "connect_timeout"])
def test_a_time_limit_that_is_none(option):
    with pytest.raises(TypeError, match=f"^{option} is a number of seconds, not 'soon'"):
        Client(Server("t"), **{option: "soon"})
    for wrong in (-1, math.inf, math.nan):
        with pytest.raises(ValueError, match=f"^{option} is a number of seconds, or 0 for no limit"):
            Client(Server("t"), **{option: wrong})


def test_no_time_limit():
    async def main():
        server, opened = Server("t"), asyncio.Event()

        @server.tool
        async def wait() -> str:
            await opened.wait()
            return "waited"

        async with Client(server, timeout=0.02) as client:
            unlimited = asyncio.ensure_future(client.call_tool("wait", timeout=0))
            await asyncio.sleep(0)  # so that it is the first
            with pytest.raises(TimeoutError):
                await client.call_tool("wait")
            opened.set()
            assert (await unlimited).text == "waited"

    asyncio.run(main())
