"""Tools: schemas from types, arguments converted to types, values converted to results."""

import asyncio
import dataclasses
import datetime
import enum
import functools
import threading
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Dict, List, Literal, NamedTuple, Optional, Tuple, TypedDict, Union

import pytest

from trunnion import (
    Audio,
    Client,
    Context,
    EmbeddedResource,
    Field,
    Image,
    InvalidParamsError,
    McpError,
    RemoteError,
    ResourceContents,
    ResourceLink,
    Server,
    Text,
    ToolAnnotations,
    ToolError,
    ToolResult,
)


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Point:
    """A point in a plane."""

    x: int
    y: float = 1.5
    name: Optional[str] = None


@dataclasses.dataclass
class Tree:
    value: int
    children: "List[Tree]" = dataclasses.field(default_factory=list)


class Options(TypedDict, total=False):
    depth: int
    color: Color


class Pair(NamedTuple):
    left: int
    right: str = "r"


def call(server, name, arguments=None, **how):
    """Calls one tool of a server in this process."""

    async def go():
        async with Client(server) as client:
            return await client.call_tool(name, arguments, **how)

    return asyncio.run(go())


def schema_of(server, name):
    async def go():
        async with Client(server) as client:
            return next(tool for tool in await client.list_tools() if tool.name == name)

    return asyncio.run(go())


@pytest.mark.parametrize(
    "hint, schema, sent, received",
    [
        (str, {"type": "string"}, "é", "é"),
        (int, {"type": "integer"}, 3, 3),
        (int, {"type": "integer"}, 3.0, 3),
        (float, {"type": "number"}, 2.5, 2.5),
        (bool, {"type": "boolean"}, True, True),
        (bytes, {"type": "string", "contentEncoding": "base64"}, "aGk=", b"hi"),
        (Any, {}, {"a": [1]}, {"a": [1]}),
        (Optional[int], {"anyOf": [{"type": "integer"}, {"type": "null"}]}, None, None),
        (Union[int, str], {"anyOf": [{"type": "integer"}, {"type": "string"}]}, "x", "x"),
        (Literal["a", 2], {"type": ["integer", "string"], "enum": ["a", 2]}, 2, 2),
        (Color, {"type": "string", "enum": ["red", "blue"]}, "red", Color.RED),
        (List[int], {"type": "array", "items": {"type": "integer"}}, [1, 2], [1, 2]),
        (set, {"type": "array", "uniqueItems": True}, [1, 2], {1, 2}),
        (List[Color], {"type": "array", "items": {"type": "string", "enum": ["red", "blue"]}}, ["blue"], [Color.BLUE]),
        (
            Tuple[int, str],
            {
                "type": "array",
                "prefixItems": [{"type": "integer"}, {"type": "string"}],
                "minItems": 2,
                "maxItems": 2,
            },
            [1, "a"],
            (1, "a"),
        ),
        (Tuple[int, ...], {"type": "array", "items": {"type": "integer"}}, [1, 2, 3], (1, 2, 3)),
        (Dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}, {"a": 1}, {"a": 1}),
        (
            datetime.datetime,
            {"type": "string", "format": "date-time"},
            "2026-07-28T10:00:00Z",
            datetime.datetime(2026, 7, 28, 10, tzinfo=datetime.timezone.utc),
        ),
        (datetime.date, {"type": "string", "format": "date"}, "2026-07-28", datetime.date(2026, 7, 28)),
        (datetime.timedelta, {"type": "number", "description": "Seconds."}, 1.5, datetime.timedelta(seconds=1.5)),
        (
            uuid.UUID,
            {"type": "string", "format": "uuid"},
            "12345678-1234-5678-1234-567812345678",
            uuid.UUID("12345678-1234-5678-1234-567812345678"),
        ),
        (Decimal, {"type": ["string", "number"]}, "1.10", Decimal("1.10")),
        (Path, {"type": "string"}, "a/b", Path("a/b")),
        (
            Point,
            {
                "type": "object",
                "properties": {
                    "x": {"type": "integer"},
                    "y": {"type": "number", "default": 1.5},
                    "name": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                },
                "required": ["x"],
                "description": "A point in a plane.",
            },
            {"x": 1, "name": "p"},
            Point(1, 1.5, "p"),
        ),
        (
            Options,
            {
                "type": "object",
                "properties": {
                    "depth": {"type": "integer"},
                    "color": {"type": "string", "enum": ["red", "blue"]},
                },
            },
            {"color": "red"},
            {"color": Color.RED},
        ),
        (
            Pair,
            {
                "type": "object",
                "properties": {"left": {"type": "integer"}, "right": {"type": "string", "default": "r"}},
                "required": ["left"],
            },
            {"left": 4},
            Pair(4, "r"),
        ),
        (Union[Point, Pair, None], None, {"left": 4}, Pair(4)),
        (Union[Point, Pair, None], None, {"x": 4}, Point(4)),
        (
            Annotated[int, Field("how many", ge=1, le=9)],
            {"type": "integer", "description": "how many", "minimum": 1, "maximum": 9},
            4,
            4,
        ),
        (
            Annotated[List[str], Field(min_length=1, title="Names")],
            {"type": "array", "items": {"type": "string"}, "minItems": 1, "title": "Names"},
            ["a"],
            ["a"],
        ),
        (
            Annotated[str, "a word", Field(pattern="^w")],
            {"type": "string", "description": "a word", "pattern": "^w"},
            "w",
            "w",
        ),
    ],
)
def test_a_type_gives_schema_and_value(hint, schema, sent, received):
    server = Server("t")
    seen = []

    def tool(value):
        seen.append(value)

    tool.__annotations__["value"] = hint
    server.tool(tool)
    call(server, "tool", {"value": sent})
    assert seen == [received]
    assert type(seen[0]) is type(received)
    if schema is not None:
        assert schema_of(server, "tool").input_schema == {
            "type": "object",
            "properties": {"value": schema},
            "required": ["value"],
            "additionalProperties": False,
        }


def test_recursive_types():
    server = Server("t")

    @server.tool
    def depth(tree: Tree) -> int:
        return 1 + max((depth(child) for child in tree.children), default=0)

    schema = schema_of(server, "depth").input_schema
    assert schema["properties"]["tree"] == {"$ref": "#/$defs/Tree"}
    assert schema["$defs"]["Tree"]["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}
    tree = {"value": 1, "children": [{"value": 2, "children": [{"value": 3}]}]}
    assert call(server, "depth", {"tree": tree}).data == 3


@pytest.mark.parametrize(
    "doc",
    [
        """Add.

        More words.

        Args:
            a: the first
                number
            b (int): the second
        """,
        """Add.

        More words.

        Parameters
        ----------
        a : int
            the first
            number
        b : int
            the second
        """,
        """Add.

        More words.

        :param a: the first
            number
        :param int b: the second
        """,
    ],
)
def test_docstrings(doc):
    server = Server("t")

    def add(a: int, b: int = 2) -> int:
        return a + b

    add.__doc__ = doc
    server.tool(add)
    tool = schema_of(server, "add")
    assert tool.description == "Add.\n\nMore words."
    assert tool.input_schema["properties"] == {
        "a": {"type": "integer", "description": "the first number"},
        "b": {"type": "integer", "description": "the second", "default": 2},
    }
    assert tool.input_schema["required"] == ["a"]


def test_names_and_details_can_be_given():
    server = Server("t")

    @server.tool(
        name="other",
        title="Other",
        description="Does.",
        annotations={"readOnlyHint": True},
        meta={"k": 1},
        input_schema={"type": "object", "properties": {"a": {"type": "string"}, "b": {}}},
        output_schema={"type": "object"},
    )
    def tool(a: str = "none") -> Any:
        return {"a": a}

    assert tool("x") == {"a": "x"}
    info = schema_of(server, "other")
    assert (info.title, info.description) == ("Other", "Does.")
    assert info.annotations == ToolAnnotations(read_only_hint=True)
    assert info.meta["k"] == 1
    assert info.output_schema == {"type": "object"}
    assert call(server, "other", {"a": "x", "b": "ignored"}).structured == {"a": "x"}


@pytest.mark.parametrize("how", ["inline", "thread", "async"])
def test_every_kind_of_handler(how):
    server = Server("t")

    if how == "async":

        @server.tool
        async def where(n: int, ctx: Context) -> dict:
            assert asyncio.current_task() is not None
            await asyncio.sleep(0)
            return {"n": n, "thread": threading.current_thread() is threading.main_thread()}

    else:

        @server.tool(inline=how == "inline")
        def where(n: int, ctx: Context) -> dict:
            return {"n": n, "thread": threading.current_thread() is threading.main_thread()}

    assert call(server, "where", {"n": 1}).data == {"n": 1, "thread": how != "thread"}


def test_a_handler_that_never_waits_runs_in_a_task_of_its_own():
    server = Server("t")
    tasks = []

    @server.tool
    async def current() -> None:
        tasks.append(asyncio.current_task())

    async def go():
        async with Client(server) as client:
            await client.call_tool("current")
            await client.call_tool("current")
            return asyncio.current_task()

    mine = asyncio.run(go())
    assert len({id(task) for task in (mine, *tasks)}) == 3 and None not in tasks
    assert all(task.done() for task in tasks)


def test_wrapped_handlers_and_methods():
    server = Server("t")

    def logged(fn):
        @functools.wraps(fn)
        def wrapper(*args, **kwargs):
            return fn(*args, **kwargs)

        return wrapper

    class Adder:
        def __init__(self, base: int) -> None:
            self.base = base

        def add(self, n: int) -> int:
            return self.base + n

        async def __call__(self, n: int) -> int:
            return self.base - n

    @server.tool
    @logged
    async def waits(n: int) -> int:
        await asyncio.sleep(0)
        return n

    server.tool(Adder(10).add)
    server.add_tool(Adder(10), name="subtract")
    server.add_tool(functools.partial(Adder(5).add), name="partial")
    assert call(server, "waits", {"n": 1}).data == 1
    assert call(server, "add", {"n": 1}).data == 11
    assert call(server, "subtract", {"n": 1}).data == 9
    assert call(server, "partial", {"n": 1}).data == 6


def test_extra_arguments():
    server = Server("t")

    @server.tool
    def closed(a: int) -> int:
        return a

    @server.tool
    def open_(a: int, **rest: Any) -> dict:
        return {"a": a, **rest}

    with pytest.raises(ToolError, match="b"):
        call(server, "closed", {"a": 1, "b": 2})
    assert call(server, "open_", {"a": 1, "b": 2}).data == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    "returns, value, text, structured",
    [
        (str, "plain", "plain", None),
        (None, None, "", None),
        (int, 5, "5", {"result": 5}),
        (List[int], [1, 2], "[1,2]", {"result": [1, 2]}),
        (Optional[int], None, "null", {"result": None}),
        (Dict[str, int], {"a": 1}, '{"a":1}', {"a": 1}),
        (Point, Point(1), '{"x":1,"y":1.5,"name":null}', {"x": 1, "y": 1.5, "name": None}),
        (Options, {"color": Color.RED}, '{"color":"red"}', {"color": "red"}),
        (Pair, Pair(1), '{"left":1,"right":"r"}', {"left": 1, "right": "r"}),
        (List[Pair], [Pair(1)], '[{"left":1,"right":"r"}]', {"result": [{"left": 1, "right": "r"}]}),
        (Any, {"a": Color.BLUE, "b": b"hi"}, '{"a":"blue","b":"aGk="}', {"a": "blue", "b": "aGk="}),
        (Any, [1], "[1]", {"result": [1]}),
        (Any, Path("a"), "a", None),
    ],
)
def test_results(returns, value, text, structured):
    server = Server("t")

    def tool():
        return value

    tool.__annotations__["return"] = returns
    server.tool(tool)
    result = call(server, "tool")
    if value == Path("a"):
        assert result.data == "a"
        return
    assert result.text == text
    assert result.structured == structured
    assert not result.is_error
    has_schema = schema_of(server, "tool").output_schema is not None
    assert has_schema == (structured is not None and returns is not Any)


def test_content():
    server = Server("t")
    parts = [
        Text("t", annotations={"audience": ["user"]}),
        Image(b"i", "image/png"),
        Audio(b"a", "audio/wav", meta={"k": 1}),
        EmbeddedResource(ResourceContents("x://r", text="r", mime_type="text/plain")),
        EmbeddedResource(ResourceContents("x://b", blob=b"b")),
        ResourceLink("x://l", "l", title="L", description="d", mime_type="text/plain", size=3),
    ]

    @server.tool
    def all_of_them() -> list:
        return [*parts, "and text"]

    @server.tool
    def one() -> Image:
        return Image(b"i", "image/png")

    @server.tool
    def whole() -> ToolResult:
        return ToolResult(["a", parts[1]], structured={"n": 1}, meta={"k": 1})

    assert call(server, "all_of_them").content == [*parts, Text("and text")]
    assert call(server, "one").content == [Image(b"i", "image/png")]
    result = call(server, "whole")
    assert result.content == [Text("a"), parts[1]]
    assert (result.structured, result.meta["k"]) == ({"n": 1}, 1)


def test_failures():
    server = Server("t")
    masked = Server("t", mask_errors=True)

    @server.tool
    def tool_error() -> str:
        raise ToolError("for the model")

    @server.tool
    async def protocol_error() -> str:
        raise InvalidParamsError("bad", {"why": 1})

    @server.tool
    async def own_code() -> str:
        raise McpError(1234, "mine")

    @server.tool(inline=True)
    def whole() -> ToolResult:
        return ToolResult("bad", is_error=True)

    @server.tool
    @masked.tool
    def crash() -> str:
        raise ValueError("the secret")

    @server.tool
    def unencodable() -> Any:
        return {"x": float("nan")}

    with pytest.raises(ToolError, match="for the model") as caught:
        call(server, "tool_error")
    assert caught.value.result.is_error
    with pytest.raises(InvalidParamsError, match="bad") as caught:
        call(server, "protocol_error")
    assert (caught.value.code, caught.value.data) == (-32602, {"why": 1})
    with pytest.raises(RemoteError) as caught:
        call(server, "own_code")
    assert (caught.value.code, caught.value.message) == (1234, "mine")
    assert call(server, "whole", raise_on_error=False).is_error
    with pytest.raises(ToolError, match="crash failed: the secret"):
        call(server, "crash")
    with pytest.raises(ToolError) as caught:
        call(masked, "crash")
    assert caught.value.message == "crash failed"
    with pytest.raises(ToolError, match="unencodable failed"):
        call(server, "unencodable")
    with pytest.raises(InvalidParamsError):
        call(server, "no such tool")
    with pytest.raises(ToolError):
        call(server, "crash", {"extra": 1})


def test_arguments_that_cannot_be_converted_are_a_tool_error():
    server = Server("t")

    @server.tool
    def when(day: datetime.date) -> str:
        return day.isoformat()

    with pytest.raises(ToolError, match="day"):
        call(server, "when", {"day": "not a day"})


def test_lone_surrogates_do_not_harm_other_answers():
    server = Server("t")

    @server.tool(inline=True)
    def broken() -> str:
        return "a\ud800b"

    @server.tool(inline=True)
    def fine() -> str:
        return "fine"

    async def go():
        async with Client(server) as client:
            return await asyncio.gather(client.call_tool("broken"), client.call_tool("fine"))

    odd, even = asyncio.run(go())
    assert even.text == "fine" and odd.text.startswith("a") and odd.text.endswith("b")


def test_bad_registrations():
    server = Server("t")

    @server.tool
    def tool() -> None: ...

    with pytest.raises(ValueError, match="tool"):
        server.tool(tool)
    with pytest.raises(TypeError, match="'x'"):

        @server.tool
        def no_schema(x: threading.Thread) -> None: ...

    with pytest.raises(TypeError):

        @server.tool
        def positional(x: int, /) -> None: ...

    with pytest.raises(TypeError):

        @server.tool
        def varargs(*x: int) -> None: ...

    with pytest.raises(TypeError, match="name"):
        server.tool(lambda: 1)
    with pytest.raises(TypeError, match="nonsense"):
        Server("t", nonsense=1)


def test_forward_references_wait_until_serving():
    server = Server("t")

    @server.tool
    def later(value: "Later") -> int:  # noqa: F821  (that it is not there yet is the point)
        return value.n

    globals()["Later"] = dataclasses.make_dataclass("Later", [("n", int)])
    try:
        assert call(server, "later", {"value": {"n": 4}}).data == 4
    finally:
        del globals()["Later"]


def test_adding_and_removing_while_served():
    server = Server("t")

    @server.tool
    def first() -> str:
        return "1"

    async def go():
        async with Client(server) as client:
            server.add_tool(lambda: "2", name="second")
            assert [tool.name for tool in await client.list_tools()] == ["first", "second"]
            assert (await client.call_tool("second")).text == "2"
            assert server.remove_tool("first")
            assert not server.remove_tool("first")
            assert [tool.name for tool in await client.list_tools()] == ["second"]
            with pytest.raises(McpError):
                await client.call_tool("first")

    asyncio.run(go())


def test_pydantic_models():
    pydantic = pytest.importorskip("pydantic")
    server = Server("t")

    class Item(pydantic.BaseModel):
        n: int = pydantic.Field(description="a number", ge=2)
        parent: Optional["Item"] = None

    Item.model_rebuild(_types_namespace={"Item": Item})

    def double(
        item: Item,
        by: Annotated[int, pydantic.Field(gt=0, description="a factor")] = 2,
        plus: int = pydantic.Field(7, description="more"),
    ) -> Item:
        return Item(n=item.n * by + plus)

    server.tool(double)
    tool = schema_of(server, "double")
    properties = tool.input_schema["properties"]
    assert properties["by"] == {
        "type": "integer",
        "exclusiveMinimum": 0,
        "description": "a factor",
        "default": 2,
    }
    assert properties["plus"] == {"type": "integer", "description": "more", "default": 7}
    assert tool.input_schema["$defs"]["Item"]["properties"]["n"]["minimum"] == 2
    assert tool.output_schema["type"] == "object"
    assert call(server, "double", {"item": {"n": 3}}).data == {"n": 13, "parent": None}
    with pytest.raises(ToolError, match="n"):
        call(server, "double", {"item": {"n": 1}})
