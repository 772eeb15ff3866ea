"""Change subscriptions, and the options of requests."""

import asyncio
import json
import threading

import pytest

from trunnion import (
    Client,
    ClosedError,
    Context,
    LimitError,
    McpError,
    PromptsChanged,
    ResourcesChanged,
    ResourceUpdated,
    Server,
    SyncClient,
    TimeoutError,
    ToolsChanged,
)
from trunnion._changes import Feed

ERAS = ("modern", "legacy")


def shop(**options):
    server = Server("shop", **options)

    @server.tool
    def ok() -> str:
        return "ok"

    @server.prompt
    def hello() -> str:
        return "hello"

    @server.resource("shop://stock")
    def stock() -> str:
        return "7"

    return server


def change(server, name):
    server.add_tool(lambda: "new", name=name)
    server.add_prompt(lambda: "new", name=name)
    server.resource(f"shop://{name}", name=name)(lambda: "new")
    server.notify_resource_updated("shop://stock")


ALL = {ToolsChanged(), PromptsChanged(), ResourcesChanged(), ResourceUpdated("shop://stock")}
EVERYTHING = {"tools": True, "prompts": True, "resources": True, "resource_uris": ["shop://stock"]}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("over", ["memory", "http"])
def test_changes(era, over):
    server = shop()

    async def listen(target):
        async with Client(target, era=era) as client:
            async with client.listen(**EVERYTHING) as changes:
                assert (changes.granted.tools, changes.granted.resource_uris) == (True, ["shop://stock"])
                change(server, "first")
                heard = set()
                async for one in changes:
                    heard.add(one)
                    if heard == ALL:
                        break
            with pytest.raises(StopAsyncIteration):
                while True:
                    await changes.__anext__()
            assert (await client.call_tool("ok")).text == "ok"

    async def main():
        if over == "memory":
            await listen(server)
        else:
            async with server.serve_http() as serving:
                await listen(serving.url)

    asyncio.run(main())


@pytest.mark.parametrize("era", ERAS)
def test_changes_without_a_loop(era):
    server = shop()
    with SyncClient(server, era=era) as client:
        with client.listen(**EVERYTHING) as changes:
            change(server, "first")
            heard = set()
            for one in changes:
                heard.add(one)
                if heard == ALL:
                    break
        # Closed by another thread while this one waits.
        with client.listen(tools=True) as changes:
            threading.Thread(target=changes.close).start()
            assert list(changes) == []


def test_only_what_was_asked_for():
    server = shop()

    async def main():
        async with Client(server) as client, client.listen(prompts=True) as changes:
            change(server, "first")
            assert await changes.__anext__() == PromptsChanged()
            changes.close()
            assert [one async for one in changes] == []
            with pytest.raises(TypeError):
                client.listen(resource_uris="shop://stock")

    asyncio.run(main())


def test_the_end_of_the_connection_ends_listening():
    async def main():
        client = Client(shop())
        await client.connect()
        changes = client.listen(tools=True)
        with pytest.raises(ClosedError):
            changes.granted
        async with changes:
            waiting = asyncio.ensure_future(changes.__anext__())
            await client.close()
            with pytest.raises((ClosedError, StopAsyncIteration)):
                await waiting
        with pytest.raises(ClosedError):
            async for _ in client.listen(tools=True):
                pass

    asyncio.run(main())


def test_changes_that_nobody_takes():
    feed = Feed()
    feed.hear({"event": "tools_changed"})
    feed.hear({"event": "tools_changed", "params": {}})
    feed.hear({"event": "resource_updated", "params": {}})
    feed.hear({"event": "unknown", "params": {}})
    first = feed.take()
    assert isinstance(first, ToolsChanged) and feed.take() is None
    feed.hear({"event": "prompts_changed"})
    second = feed.take()
    assert isinstance(second, PromptsChanged) and not isinstance(second, ToolsChanged)
    for n in range(1025):
        feed.hear({"event": "resource_updated", "params": {"uri": f"a:{n}"}})
    assert feed.ended
    assert [feed.take() for _ in range(1024)][-1] == ResourceUpdated("a:1023")
    with pytest.raises(LimitError):
        feed.take()


@pytest.mark.parametrize("era", ERAS)
def test_log_levels(era):
    server = Server("talker")
    heard = []

    @server.tool(inline=True)
    def talk(ctx: Context) -> str:
        ctx.info("quiet")
        ctx.error("loud")
        return "done"

    def listen(event, params):
        heard.append(params["data"])

    async def main():
        async with Client(server, era=era, on_notification=listen, log_level="error") as client:
            await client.call_tool("talk")
            assert heard == ["loud"]
            await client.set_log_level("debug")
            await client.call_tool("talk")
            assert heard == ["loud", "quiet", "loud"]

    asyncio.run(main())
    with SyncClient(server, era=era, on_notification=listen) as client:
        client.set_log_level("error")
        client.call_tool("talk")
        assert heard[3:] == ["loud"]


def test_results_are_kept_as_long_as_the_server_says():
    server = shop(ttl=60)

    async def main():
        async with Client(server) as client:
            before = [tool.name for tool in await client.list_tools()]
            server.add_tool(lambda: "new", name="new")
            assert [tool.name for tool in await client.list_tools()] == before
            assert [tool.name for tool in await client.list_tools(cache=False)] == [*before, "new"]
        async with Client(server, cache=False) as client:
            before = await client.list_tools()
            server.remove_tool("new")
            assert len(await client.list_tools()) == len(before) - 1

    asyncio.run(main())


def test_a_limit_that_progress_does_not_restart():
    server = Server("busy")

    @server.tool
    async def busy(ctx: Context) -> None:
        while True:
            ctx.progress(1)
            await asyncio.sleep(0)

    async def main():
        async with Client(server, total_timeout=0.2) as client:
            with pytest.raises(TimeoutError):
                await client.call_tool("busy", progress=lambda *_: None)
        async with Client(server) as client:
            with pytest.raises(TimeoutError):
                await client.call_tool("busy", total_timeout=0.2, progress=lambda *_: None)

    asyncio.run(main())


@pytest.mark.parametrize("revision", ["2025-06-18", "2025-11-25", "2026-07-28"])
def test_a_revision_that_is_known(revision):
    async def main():
        async with shop().serve_http() as serving:
            async with Client(serving.url, revision=revision, transport="http") as client:
                assert client.info.revision == revision

    asyncio.run(main())


def test_options_that_are_wrong():
    for options in ({"revision": "1999"}, {"log_level": "loud"}, {"transport": "pigeon"}):
        with pytest.raises(McpError), SyncClient(shop(), **options):
            pass
    with pytest.raises(TypeError):
        SyncClient(shop(), roots="file:///a")
    assert json.loads(SyncClient(shop(), on_sample=print)._options)["capabilities"] == {"sampling": {}}
