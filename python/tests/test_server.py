"""Resources, prompts, completions and the context."""

import asyncio
import contextvars
import threading
from typing import Annotated, List, Optional

import pytest

from trunnion import (
    Client,
    Completion,
    Context,
    EmbeddedResource,
    Field,
    Image,
    InvalidParamsError,
    McpError,
    Message,
    PromptResult,
    ResourceContents,
    Server,
    ToolError,
)


def with_client(server, use, **options):
    """Runs `use(client)` with a client of a server in this process."""

    async def go():
        async with Client(server, **options) as client:
            return await use(client)

    return asyncio.run(go())


def test_what_a_server_says_of_itself():
    server = Server(
        "named",
        "2.3",
        title="Named",
        description="Has a name.",
        instructions="Use me.",
        website_url="https://example.com/",
        page_size=2,
    )

    async def use(client):
        assert client.connected
        return client.info, await client.discover(meta={"traceparent": "00-1-2-3"}, cache=False, total_timeout=60)

    info, discovered = with_client(server, use)
    assert (info.name, info.version, info.instructions) == ("named", "2.3", "Use me.")
    assert info.era == "modern"
    assert discovered["instructions"] == "Use me."
    assert info.raw["serverInfo"]["description"] == "Has a name."


def test_resources():
    server = Server("t")

    @server.resource("x://text", title="T", mime_type="text/markdown", size=3)
    def text() -> str:
        """A text."""
        return "t ✓"

    @server.resource("x://bytes", name="b")
    async def binary() -> bytes:
        return b"\x00\x01"

    @server.resource("x://json")
    def json_value():
        return {"a": [1]}

    @server.resource("x://parts")
    def parts() -> list:
        return [ResourceContents("x://1", text="1"), ResourceContents("x://2", blob=b"2")]

    @server.resource("x://{a}/n/{b}", description="Two variables.")
    def template(a: str, b: int, uri: str, ctx: Context) -> str:
        return f"{a!r} {b!r} {uri} {ctx.request.era}"

    @server.resource("y://{+path}")
    def deep(path: str) -> str:
        return path

    async def use(client):
        resources = {r.uri: r for r in await client.list_resources()}
        assert list(resources) == ["x://text", "x://bytes", "x://json", "x://parts"]
        first = resources["x://text"]
        assert (first.name, first.title, first.description) == ("text", "T", "A text.")
        assert (first.mime_type, first.size) == ("text/markdown", 3)
        assert resources["x://bytes"].name == "b"
        templates = {t.uri_template: t for t in await client.list_resource_templates()}
        assert list(templates) == ["x://{a}/n/{b}", "y://{+path}"]
        assert templates["x://{a}/n/{b}"].description == "Two variables."

        read = await client.read_resource("x://text")
        assert (read.text, read.contents[0].mime_type) == ("t ✓", "text/markdown")
        assert (await client.read_resource("x://bytes")).blob == b"\x00\x01"
        read = await client.read_resource("x://json")
        assert (read.text, read.contents[0].mime_type) == ('{"a":[1]}', "application/json")
        read = await client.read_resource("x://parts")
        assert [c.uri for c in read.contents] == ["x://1", "x://2"]
        assert (read.text, read.blob) == ("1", b"2")
        assert (await client.read_resource("x://q%20r/n/7")).text == "'q r' 7 x://q%20r/n/7 modern"
        assert (await client.read_resource("y://a/b/c.md")).text == "a/b/c.md"
        with pytest.raises(InvalidParamsError, match="b"):
            await client.read_resource("x://q/n/seven")
        with pytest.raises(McpError) as caught:
            await client.read_resource("x://none")
        assert caught.value.data == {"uri": "x://none"}
        assert server.remove_resource("x://text") and server.remove_resource("y://{+path}")
        assert len(await client.list_resources()) == 3

    with_client(server, use)
    with pytest.raises(TypeError, match="other"):

        @server.resource("z://{a}")
        def wrong(other: str) -> str: ...


def test_prompts():
    server = Server("t")

    @server.prompt
    def simple() -> str:
        """Simple."""
        return "Say hello."

    @server.prompt(name="full", title="Full", description="All kinds.")
    async def full(
        topic: Annotated[str, Field("what about")], count: int = 2, tags: Optional[List[str]] = None
    ):
        """Ignored.

        Args:
            count: how many
        """
        return PromptResult(
            [
                f"{topic} {count!r} {tags!r}",
                Message("Yes.", role="assistant"),
                Image(b"i", "image/png"),
                Message(EmbeddedResource(ResourceContents("x://r", text="r"))),
            ],
            description="made",
        )

    async def use(client):
        listed = {p.name: p for p in await client.list_prompts()}
        assert listed["simple"].description == "Simple."
        assert (listed["full"].title, listed["full"].description) == ("Full", "All kinds.")
        assert [argument.to_json() for argument in listed["full"].arguments] == [
            {"name": "topic", "description": "what about", "required": True},
            {"name": "count", "description": "how many", "required": False},
            {"name": "tags", "required": False},
        ]
        prompt = await client.get_prompt("simple")
        assert prompt.text == "Say hello." and prompt.messages[0].role == "user"
        prompt = await client.get_prompt("full", {"topic": "seas", "count": 3, "tags": ["a"]})
        assert prompt.description == "made"
        assert [m.role for m in prompt.messages] == ["user", "assistant", "user", "user"]
        assert prompt.messages[0].text == "seas 3 ['a']"
        assert prompt.messages[2].content == Image(b"i", "image/png")
        with pytest.raises(InvalidParamsError, match="count"):
            await client.get_prompt("full", {"topic": "seas", "count": "many"})
        with pytest.raises(InvalidParamsError):
            await client.get_prompt("full", {})
        with pytest.raises(InvalidParamsError):
            await client.get_prompt("none")
        assert server.remove_prompt("simple")

    with_client(server, use)


def test_completions():
    server = Server("t")

    @server.prompt
    def city(name: str, country: str = "") -> str:
        return name

    @server.resource("x://{id}")
    def item(id: str) -> str:
        return id

    @server.completion("name", prompt=city)
    def names(value: str, others: dict) -> list:
        return [n for n in ("paris", "park", "rome") if n.startswith(value)] + list(others.values())

    @server.completion("country", prompt="city")
    async def countries(value: str) -> Completion:
        return Completion(["france"], total=10, has_more=True)

    @server.completion("id", resource="x://{id}")
    def ids(value: str):
        return (value + c for c in "ab")

    async def use(client):
        found = await client.complete("name", "pa", prompt="city", arguments={"country": "fr"})
        assert found.values == ["paris", "park", "fr"]
        found = await client.complete("country", "", prompt="city")
        assert (found.values, found.total, found.has_more) == (["france"], 10, True)
        assert (await client.complete("id", "1", resource="x://{id}")).values == ["1a", "1b"]
        assert (await client.complete("other", "1", prompt="city")).values == []
        with pytest.raises(TypeError):
            await client.complete("name", "pa")

    with_client(server, use)


@pytest.mark.parametrize("how", ["inline", "thread", "async"])
def test_progress_and_request_info(how):
    server = Server("t")
    infos = []

    def report(ctx):
        infos.append(ctx.request)
        return bool(ctx.progress(1, 2, "half")), bool(ctx.progress(2.5))

    if how == "async":

        @server.tool
        async def work(ctx: Context) -> list:
            assert await ctx.progress(0) in (True, False)
            return [*report(ctx)]

    else:

        @server.tool(inline=how == "inline")
        def work(ctx: Context) -> list:
            ctx.progress(0)
            return [*report(ctx)]

    async def use(client):
        seen = []
        result = await client.call_tool("work", progress=lambda *what: seen.append(what), meta={"my/key": 5})
        assert result.data == [True, True]
        assert seen == [(0, None, None), (1, 2, "half"), (2.5, None, None)]
        assert (await client.call_tool("work")).data == [False, False]

    with_client(server, use, name="me", version="9")
    first, second = infos
    assert first.era == "modern" and first.revision >= "2026-07-28"
    assert first.client_info["name"] == "me" and first.meta["my/key"] == 5
    assert first.progress_token is not None and second.progress_token is None
    assert first.id is not None and first.transport


@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize("telemetry", [None, {"endpoint": "http://127.0.0.1:9", "serviceName": "t"}])
def test_a_handler_sees_the_trace(era, telemetry):
    server = Server("t", telemetry=telemetry)

    @server.tool
    def trace(ctx: Context) -> str:
        return ctx.request.meta["traceparent"]

    trace_id = "00-4bf92f3577b34da6a3ce929d0e0e4736-"
    sent = trace_id + "00f067aa0ba902b7-01"

    async def use(client):
        seen = (await client.call_tool("trace", meta={"traceparent": sent})).data
        assert seen == sent if telemetry is None else seen.startswith(trace_id) and seen != sent

    with_client(server, use, era=era, telemetry=telemetry)


def test_a_wrong_telemetry_option_is_named():
    with pytest.raises(McpError, match="telemetry.endpoint"):
        with_client(Server("t", telemetry={"endpoint": "collector"}), None)


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_logging(era):
    server = Server("t")

    @server.tool
    async def work(ctx: Context) -> None:
        ctx.debug("d")
        ctx.warning({"w": 1}, logger="l")
        ctx.info("i")
        await ctx.error("e")

    async def use(client):
        await client.call_tool("work")

    seen = []
    with_client(server, use, era=era, on_notification=lambda event, params: seen.append((event, params)))
    if era == "modern":
        # Notifications that a client has not requested are not sent.
        assert seen == []
        return
    assert [event for event, _ in seen] == ["log"] * 3
    assert [params["level"] for _, params in seen] == ["warning", "info", "error"]
    assert seen[0][1] == {"level": "warning", "data": {"w": 1}, "logger": "l"}


def test_the_context_ends_with_its_request():
    server = Server("t")
    kept = []

    @server.tool
    async def keep(ctx: Context) -> None:
        kept.append(ctx)

    async def use(client):
        await client.call_tool("keep")
        with pytest.raises(McpError, match="over"):
            kept[0].request
        assert not kept[0].progress(1)

    with_client(server, use)


def test_cancelling_an_async_handler():
    server = Server("t")
    events = []

    @server.tool
    async def work(ctx: Context) -> str:
        events.append("started")
        await ctx.progress(1)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            events.append(f"cancelled {ctx.cancelled}")
            raise
        return "never"

    async def use(client):
        call = await started(client, "work")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: len(events) == 2)
        await client.ping()

    with_client(server, use)
    assert events == ["started", "cancelled True"]


def test_cancelling_a_thread_handler():
    server = Server("t")
    ended = threading.Event()

    @server.tool
    def work(ctx: Context) -> str:
        ctx.progress(1)
        while not ctx.cancelled:
            threading.Event().wait(0.001)
        try:
            ctx.raise_if_cancelled()
        finally:
            ended.set()
        return "never"

    async def use(client):
        call = await started(client, "work")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(ended.is_set)

    with_client(server, use)


def test_swallowing_cancellation_harms_nobody():
    server = Server("t")
    release = asyncio.Event()

    @server.tool
    async def stubborn(ctx: Context) -> str:
        await ctx.progress(1)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await release.wait()
        return "too late"

    @server.tool
    async def other() -> str:
        return "fine"

    async def use(client):
        call = await started(client, "stubborn")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await client.call_tool("other")).text == "fine"
        release.set()
        assert (await client.call_tool("other")).text == "fine"

    with_client(server, use)


def test_a_time_limit_cancels_the_handler():
    server = Server("t")
    seen = []

    @server.tool(timeout=0.02)
    async def work() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        return "never"

    async def use(client):
        with pytest.raises((McpError, ToolError)):
            await client.call_tool("work")
        await until(lambda: seen)

    with_client(server, use)


def test_a_time_limit_of_every_kind_of_handler():
    server = Server("t")
    seen = []

    async def forever(kind):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append(kind)
            raise
        return "never"

    @server.resource("x://a", timeout=0.02)
    async def resource() -> str:
        return await forever("resource")

    @server.resource("x://{id}/t", timeout=0.02)
    async def template(id: str) -> str:
        return await forever("template")

    @server.prompt(timeout=0.02)
    async def prompt(topic: str) -> str:
        return await forever("prompt")

    @server.completion("topic", prompt=prompt, timeout=0.02)
    async def topics(value: str) -> str:
        return await forever("completion")

    async def use(client):
        for ask in (
            client.read_resource("x://a"),
            client.read_resource("x://1/t"),
            client.get_prompt("prompt", {"topic": "t"}),
            client.complete("topic", "t", prompt="prompt"),
        ):
            with pytest.raises(McpError):
                await ask
        await until(lambda: len(seen) == 4)
        assert sorted(seen) == ["completion", "prompt", "resource", "template"]

    with_client(server, use)
    for wrong in ("soon", -1):
        with pytest.raises((TypeError, ValueError), match="timeout"):
            server.add_prompt(lambda: "x", name="wrong", timeout=wrong)


def test_completions_of_one_prompt_share_their_options_and_go_together():
    server = Server("t")

    @server.prompt
    def city(name: str, country: str) -> str:
        return name

    @server.completion("name", prompt=city, timeout=5)
    def names(value: str):
        return ["paris"]

    @server.completion("country", prompt=city)
    def countries(value: str):
        return ["france"]

    with pytest.raises(ValueError, match="its first completion"):
        server.completion("country", prompt=city, timeout=6)(countries)

    async def use(client):
        assert (await client.complete("country", "", prompt="city")).values == ["france"]
        assert server.remove_completion(prompt=city)
        assert not server.remove_completion(prompt="city")
        with pytest.raises(McpError):
            await client.complete("name", "", prompt="city")
        server.completion("name", prompt=city)(names)
        assert (await client.complete("name", "", prompt="city")).values == ["paris"]

    with_client(server, use)


def test_context_variables():
    variable = contextvars.ContextVar("variable", default="unset")
    server = Server("t")

    @server.tool
    def in_thread() -> str:
        return variable.get()

    @server.tool(inline=True)
    def inline() -> str:
        before = variable.get()
        variable.set("leaked")
        return before

    @server.tool
    async def task() -> str:
        before = variable.get()
        variable.set("leaked")
        return before

    async def go():
        variable.set("outer")
        async with Client(server) as client:
            return [(await client.call_tool(t)).text for t in ("in_thread", "inline", "task") * 2]

    assert asyncio.run(go()) == ["outer"] * 6


def test_a_server_can_be_used_by_one_loop_after_another(live_handles):
    server = Server("t")

    @server.tool
    async def ok() -> str:
        return "ok"

    async def use(client):
        return (await client.call_tool("ok")).text

    assert [with_client(server, use) for _ in range(3)] == ["ok"] * 3
    assert len(live_handles) == 3


async def started(client, tool):
    """A call that has shown its first progress."""
    moving = asyncio.Event()
    call = asyncio.ensure_future(client.call_tool(tool, progress=lambda *_: moving.set()))
    wait = asyncio.ensure_future(moving.wait())
    await asyncio.wait([call, wait], return_when=asyncio.FIRST_COMPLETED)
    assert wait.done(), call
    return call


async def until(condition):
    """Lets the loop run until a condition holds."""
    while not condition():
        await asyncio.sleep(0)
