"""Input requests of servers and answers of clients: both eras, in memory, over standard streams and over
HTTP."""

import asyncio
import sys
import threading
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Literal, TypedDict

import pytest

from trunnion import (
    Cancelled,
    Client,
    Context,
    CreateMessageResult,
    ElicitForm,
    ElicitResult,
    ElicitUrl,
    Field,
    Form,
    InvalidRequestError,
    McpError,
    MissingCapabilityError,
    Question,
    Root,
    Server,
    SyncClient,
    Text,
    TextField,
    ToolError,
)

ERAS = ("modern", "legacy")


class Size(Enum):
    small = "small"
    large = "large"


@dataclass
class Order:
    item: Annotated[str, Field("what", min_length=1)]
    count: int = 1
    size: Size = Size.small
    extras: list[Literal["milk", "sugar"]] | None = None


class Name(TypedDict):
    name: str


def cafe(**options):
    """A server that asks in every way there is; `runs` counts the runs of its handlers."""
    server = Server("cafe", **options)
    server.runs = runs = []

    @server.tool
    async def order(ctx: Context) -> str:
        runs.append("order")
        answer = await ctx.elicit("What would you like?", Order)
        return f"{answer.action} {answer.data!r}"

    @server.tool
    def order_blocking(ctx: Context) -> str:
        runs.append("order_blocking")
        answer = ctx.elicit("What would you like?", Order).result()
        return f"{answer.action} {answer.data!r}"

    @server.tool(inline=True)
    def order_inline(ctx: Context) -> str:
        return ctx.elicit("What would you like?", Order).result().action

    @server.tool
    async def steps(ctx: Context) -> list[str]:
        number = await ctx.once("number", lambda: runs.append("number") or len(runs))
        first = await ctx.elicit("first", Name)
        kept = await ctx.once("kept", later)
        second = await ctx.elicit("second", Form({"name": TextField()}))
        return [str(number), first.data["name"], kept, second.data["name"]]

    async def later():
        runs.append("later")
        return "kept"

    @server.tool
    def once_blocking(ctx: Context) -> str:
        def charge():
            runs.append("charge")
            return {"receipt": 7}

        receipt = ctx.once("charge", charge).result()
        again = ctx.once("charge", charge).result()
        ctx.elicit("sure?", Name).result()
        return f"{receipt['receipt']} {again == receipt}"

    @server.tool
    async def everything(ctx: Context) -> str:
        form, model, roots = await asyncio.gather(
            ctx.elicit("name", Name), ctx.sample(["hi", "there"], 10, system_prompt="short"), ctx.list_roots()
        )
        return f"{form.data['name']} {model.content.text} {[root.uri for root in roots]}"

    @server.tool
    async def together(ctx: Context) -> str:
        answers = await ctx.ask({"who": Question.form("name", Name), "where": Question.roots()})
        return f"{answers['who'].data['name']} {answers['where'][0].name}"

    @server.tool
    async def visit(ctx: Context) -> str:
        return (await ctx.elicit_url("Sign in", "https://example.com/sign-in")).action

    @server.tool(asks={"who": Question.form("name", Name)})
    def declared(ctx: Context) -> str:
        return f"{ctx.answers['who'].action} {ctx.answers['who'].data}"

    @server.prompt(asks={"who": Question.form("name", Name)})
    def greeting(ctx: Context) -> str:
        return f"Greet {ctx.answers['who'].data['name']}"

    @server.resource("cafe://menu")
    async def menu(ctx: Context) -> str:
        return f"for {(await ctx.elicit('name', Name)).data['name']}"

    @server.tool
    async def careless(ctx: Context) -> str:
        try:
            await ctx.elicit("name", Name)
        except asyncio.CancelledError:
            raise ValueError("whatever") from None
        return "done"

    @server.tool
    def careful(ctx: Context) -> str:
        try:
            ctx.elicit("name", Name).result()
        except Exception:
            runs.append("caught")
        except Cancelled:
            runs.append("cancelled")
            raise
        return "done"

    return server


def answer(request):
    fields = request.requested_schema.properties
    return {"item": "tea", "size": "large", "extras": ["milk"]} if "item" in fields else {"name": "Bo"}


def sample(request):
    said = " ".join(message.content.text for message in request.messages)
    return CreateMessageResult("assistant", Text(f"{request.system_prompt}: {said}"), "tiny")


def client_of(target, **options):
    given = {"on_elicit": answer, "on_sample": sample, "roots": [Root("file:///tmp", name="tmp")], **options}
    return Client(target, **given)


def use(server, body, **options):
    async def main():
        async with client_of(server, **options) as client:
            return await body(client)

    return asyncio.run(main())


CALLS = {
    "order": "accept Order(item='tea', count=1, size=<Size.large: 'large'>, extras=['milk'])",
    "order_blocking": "accept Order(item='tea', count=1, size=<Size.large: 'large'>, extras=['milk'])",
    "everything": "Bo short: hi there ['file:///tmp']",
    "together": "Bo tmp",
    "declared": "accept {'name': 'Bo'}",
    "once_blocking": "7 True",
}


@pytest.mark.parametrize("era", ERAS)
def test_in_memory(era):
    async def body(client):
        assert {name: (await client.call_tool(name)).text for name in CALLS} == CALLS
        assert (await client.get_prompt("greeting")).text == "Greet Bo"
        assert (await client.read_resource("cafe://menu")).text == "for Bo"

    use(cafe(), body, era=era)


@pytest.mark.parametrize("era", ERAS)
def test_over_http(era):
    async def main():
        async with cafe().serve_http() as serving, client_of(serving.url, era=era) as client:
            assert {name: (await client.call_tool(name)).text for name in CALLS} == CALLS

    asyncio.run(main())


@pytest.mark.parametrize("era", ERAS)
def test_over_standard_streams(era, examples):
    command = [sys.executable, str(examples / "everything_server.py"), "--stdio"]

    async def body(client):
        result = await client.call_tool("test_input_required_result_multiple_inputs")
        assert result.text == "accept, tiny, 1 roots"

    use(command, body, era=era, on_sample=lambda request: {**sample(request).to_json(), "model": "tiny"})


@pytest.mark.parametrize("era", ERAS)
def test_without_a_loop(era):
    server = cafe()
    with SyncClient(server, era=era, on_elicit=answer, on_sample=sample, roots=["file:///tmp"]) as client:
        assert client.call_tool("order").text == CALLS["order"]
        assert client.call_tool("order_blocking").text == CALLS["order_blocking"]
        assert client.call_tool("everything").text == CALLS["everything"]


@pytest.mark.parametrize("era", ERAS)
def test_handlers_that_are_coroutines(era):
    async def async_answer(request):
        await asyncio.sleep(0)
        return ElicitResult("decline")

    async def body(client):
        assert (await client.call_tool("order")).text == "decline None"

    use(cafe(), body, era=era, on_elicit=async_answer)
    with SyncClient(cafe(), era=era, on_elicit=async_answer) as client:
        assert client.call_tool("order").text == "decline None"


def test_a_modern_handler_is_run_again_and_does_once_what_must_be_done_once():
    server = cafe()

    async def body(client):
        assert (await client.call_tool("steps")).data == ["1", "Bo", "kept", "Bo"]
        assert server.runs == ["number", "later"]
        await client.call_tool("order")
        assert server.runs[2:] == ["order", "order"]
        await client.call_tool("once_blocking")
        assert server.runs[4:] == ["charge"]

    use(server, body, era="modern")


def test_a_legacy_handler_is_run_once():
    server = cafe()

    async def body(client):
        await client.call_tool("order")
        assert server.runs == ["order"]

    use(server, body, era="legacy")


def test_what_a_run_does_after_its_end_is_of_no_account(caplog):
    server = cafe()

    async def body(client):
        assert (await client.call_tool("careless")).text == "done"
        assert (await client.call_tool("careful")).text == "done"
        assert server.runs == ["cancelled"]

    use(server, body, era="modern")
    assert caplog.records == []


def test_several_legacy_questions_go_out_together():
    asked = []
    both = threading.Event()

    def one(request):
        asked.append(request)
        if len(asked) == 2:
            both.set()
        assert both.wait(30)
        return {"name": "Bo"}

    server = Server("pair")

    @server.tool
    async def pair(ctx: Context) -> str:
        answers = await asyncio.gather(ctx.elicit("a", Name), ctx.elicit("b", Name))
        return " ".join(answer.data["name"] for answer in answers)

    async def body(client):
        assert (await client.call_tool("pair")).text == "Bo Bo"

    use(server, body, era="legacy", on_elicit=one)


# Older revisions have no code for it.
LACKS = {"modern": MissingCapabilityError, "legacy": InvalidRequestError}


@pytest.mark.parametrize("era", ERAS)
def test_a_client_that_cannot_be_asked(era):
    async def body(client):
        for name in ("order", "order_blocking", "declared"):
            with pytest.raises(LACKS[era]) as caught:
                await client.call_tool(name)
            assert caught.value.data["requiredCapabilities"] == {"elicitation": {}}
        with pytest.raises(LACKS[era]):
            await client.call_tool("everything")

    use(cafe(), body, era=era, on_elicit=None)


@pytest.mark.parametrize("era", ERAS)
def test_a_page_to_visit(era):
    seen = []

    def visit(request):
        seen.append(request)
        return "accept"

    async def body(client):
        assert (await client.call_tool("visit")).text == "accept"
        assert isinstance(seen[0], ElicitUrl) and seen[0].url == "https://example.com/sign-in"

    use(cafe(), body, era=era, on_elicit=visit, elicit_modes=["form", "url"])


def test_modes_that_are_not_declared_are_not_asked_for():
    async def body(client):
        with pytest.raises(MissingCapabilityError):
            await client.call_tool("visit")

    use(cafe(), body)


def test_inline_handlers_cannot_wait(caplog):
    async def body(client):
        with pytest.raises(ToolError, match="inline"):
            await client.call_tool("order_inline")

    use(cafe(), body)


def test_what_handlers_of_a_client_raise(caplog):
    def fails(request):
        raise ValueError("secret")

    def refuses(request):
        raise McpError(-32099, "not now")

    async def refused(client):
        with pytest.raises(McpError) as caught:
            await client.call_tool("order")
        return caught.value

    for era in ERAS:
        assert use(cafe(), refused, era=era, on_elicit=refuses).message == "not now"
        error = use(cafe(), refused, era=era, on_elicit=fails)
        assert "secret" not in error.message
        error = use(cafe(), refused, era=era, on_elicit=lambda request: None)
        assert "on_elicit failed" in error.message
    assert "on_elicit failed" in caplog.text and "secret" in caplog.text


def test_the_form_that_is_asked_for():
    seen = []

    def look(request):
        seen.append(request)
        return {"item": "tea"}

    async def body(client):
        result = await client.call_tool("order")
        assert result.text == "accept Order(item='tea', count=1, size=<Size.small: 'small'>, extras=None)"

    use(cafe(), body, on_elicit=look)
    (request,) = seen
    assert isinstance(request, ElicitForm) and request.message == "What would you like?"
    assert request.requested_schema.to_json() == {
        "type": "object",
        "properties": {
            "item": {"type": "string", "description": "what", "minLength": 1},
            "count": {"type": "integer", "default": 1},
            "size": {"type": "string", "enum": ["small", "large"], "default": "small"},
            "extras": {"type": "array", "items": {"type": "string", "enum": ["milk", "sugar"]}},
        },
        "required": ["item"],
    }


def test_forms_from_types():
    import pydantic

    class Model(pydantic.BaseModel):
        size: Size
        note: str | None = None
        age: int = pydantic.Field(ge=0, description="in years")

    question = Question.form("?", Model)
    properties = question.params["requestedSchema"]["properties"]
    assert properties["size"]["enum"] == ["small", "large"] and "$ref" not in properties["size"]
    assert properties["note"]["type"] == "string" and "default" not in properties["note"]
    assert (properties["age"]["minimum"], properties["age"]["description"]) == (0, "in years")
    assert question.params["requestedSchema"]["required"] == ["size", "age"]
    read = question.answer({"action": "accept", "content": {"size": "large", "age": 3}})
    assert read.data == Model(size=Size.large, age=3)
    assert question.answer({"action": "cancel"}).data is None
    with pytest.raises(McpError, match="does not fit"):
        question.answer({"action": "accept", "content": {"size": "large", "age": "x"}})

    class Nullable(TypedDict):
        note: str | None

    form = Question.form("?", Nullable)
    assert "required" not in form.params["requestedSchema"]
    assert form.answer({"action": "accept", "content": {}}).data == {"note": None}

    class Nested(TypedDict):
        order: Order

    for wrong in (Nested, dict, int, TypedDict("Free", {"x": dict})):
        with pytest.raises(TypeError):
            Question.form("?", wrong)


@pytest.mark.parametrize("era", ERAS)
def test_roots_change(era):
    server = Server("rooted")
    changed = threading.Event()

    @server.tool
    async def roots(ctx: Context) -> list[str]:
        return [root.uri for root in await ctx.list_roots()]

    @server.on_roots_changed
    def heard():
        changed.set()

    async def body(client):
        assert (await client.call_tool("roots")).data == ["file:///tmp"]
        assert client.set_roots(["file:///a", {"uri": "file:///b"}])
        assert (await client.call_tool("roots")).data == ["file:///a", "file:///b"]
        if era == "legacy":
            assert await asyncio.get_running_loop().run_in_executor(None, changed.wait, 30)

    use(server, body, era=era)


def test_a_stream_that_is_let_go(examples):
    async def main():
        server = Server("leaving")

        @server.tool
        async def leave(ctx: Context) -> bool:
            return bool(ctx.close_stream())

        async with server.serve_http() as serving:
            async with Client(serving.url, era="legacy") as client:
                assert (await client.call_tool("leave")).data is True
            async with Client(serving.url, era="modern") as client:
                assert (await client.call_tool("leave")).data is False

    asyncio.run(main())


def test_keys_of_the_state():
    server = cafe(state_keys=[bytes(range(32))], state_ttl=60)

    async def body(client):
        assert (await client.call_tool("order")).text == CALLS["order"]

    use(server, body, era="modern")
    with pytest.raises(McpError, match="state"):
        use(cafe(state_keys=[b"short"]), body)
    with pytest.raises(McpError, match="expired"):
        use(cafe(state_ttl=0), body, era="modern")
