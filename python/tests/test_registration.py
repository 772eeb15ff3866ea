"""Registration of functions: detected parameters, the names that they mean, refused functions."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import functools
from collections import abc
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Callable, Dict, List, NamedTuple, Optional, Protocol, Tuple, TypedDict, Union

import pytest

from trunnion import Client, Field, InvalidParamsError, Message, Server, ToolError, ToolResult


def asked(server, ask):
    """Returns the result of `ask` at a client of the server."""

    async def main():
        async with Client(server) as client:
            return await ask(client)

    return asyncio.run(main())


def called(server, name, arguments=None):
    return asked(server, lambda client: client.call_tool(name, arguments)).data


def properties(server):
    return asked(server, lambda client: client.list_tools())[0].input_schema["properties"]


# ---------------------------------------------------------------------------------------------- methods


class Shop:
    def __init__(self, name):
        self.name = name

    def tool(self, item: str) -> str:
        return f"{item} of {self.name}"

    async def page(self, item: str) -> str:
        return f"page of {item}"

    def values(self, value):
        return [f"{value} of {self.name}"]

    @classmethod
    def kind(cls, item: str) -> str:
        return f"{cls.__name__} {item}"

    @staticmethod
    def price(item: str) -> str:
        return f"price of {item}"


ADDERS = {
    "tool": (lambda server, fn: server.tool(fn), r"tool 'tool'.*server\.tool\(obj\.tool\)"),
    "named": (lambda server, fn: server.tool(name="x")(fn), r"tool 'x'.*server\.tool\(name=.*\)\(obj\.tool\)"),
    "resource": (
        lambda server, fn: server.resource("x://{item}")(fn),
        r"resource 'tool'.*server\.resource\('x://\{item\}'\)\(obj\.tool\)",
    ),
    "prompt": (lambda server, fn: server.prompt(fn), r"prompt 'tool'.*server\.prompt\(obj\.tool\)"),
}


@pytest.mark.parametrize("add, message", ADDERS.values(), ids=ADDERS)
def test_a_method_that_is_not_bound_is_refused_with_the_way_to_do_it(add, message):
    server = Server("shop")
    with pytest.raises(TypeError, match=message):
        add(server, Shop.tool)
    assert not server._items
    # The name is free for the bound one.
    add(server, Shop("me").tool)


def test_so_is_a_completion_and_a_listener_of_roots():
    server = Server("shop")
    server.prompt(name="p")(lambda item: item)
    with pytest.raises(TypeError, match=r"completion 'p\.item'.*\(obj\.values\)"):
        server.completion("item", prompt="p")(Shop.values)
    with pytest.raises(TypeError, match=r"server\.on_roots_changed\(obj\.moved\)"):

        class Moving:
            @server.on_roots_changed
            def moved(self): ...


def test_so_is_a_decorator_inside_a_class():
    server = Server("shop")
    with pytest.raises(TypeError, match=r"server\.tool\(obj\.kind\)"):

        class Bad:
            @server.tool
            @classmethod
            def kind(cls, item: str) -> str: ...

    with pytest.raises(TypeError, match=r"server\.tool\(obj\.tool\)"):

        class Wrapping:
            @server.tool
            @functools.wraps(Shop.tool)
            def wrapped(self, item: str) -> str: ...


def test_bound_methods_are_registered():
    server = Server("shop")
    shop = Shop("me")
    server.tool(shop.tool)
    server.tool(shop.page)
    server.tool(Shop.kind)
    server.tool(Shop.price)
    assert called(server, "tool", {"item": "tea"}) == "tea of me"
    assert called(server, "page", {"item": "tea"}) == "page of tea"
    assert called(server, "kind", {"item": "tea"}) == "Shop tea"
    assert called(server, "price", {"item": "tea"}) == "price of tea"


# -------------------------------------------------------------------------------------- null as a default


@dataclasses.dataclass
class Guest:
    name: str = None
    age: int = None


class Room(NamedTuple):
    number: int
    note: str = None


def test_a_default_of_none_lets_null_in():
    server = Server("nulls")

    @server.tool
    def both(
        name: str = None,
        count: int = None,
        about: Annotated[str, Field("what", min_length=2)] = None,
        items: Annotated[List[int], Field(min_length=1)] = None,
        guest: Guest = None,
        free=None,
    ) -> str:
        """Both.

        Args:
            name: of somebody
        """
        return repr((name, count, about, items, guest, free))

    found = properties(server)
    null = {"type": "null"}
    assert found["name"] == {
        "anyOf": [{"type": "string"}, null],
        "default": None,
        "description": "of somebody",
    }
    assert found["about"] == {
        "anyOf": [{"type": "string"}, null],
        "default": None,
        "description": "what",
        "minLength": 2,
    }
    assert found["items"]["minItems"] == 1
    assert found["free"] == {"default": None}
    nothing = "(None, None, None, None, None, None)"
    assert called(server, "both") == nothing
    names = ("name", "count", "about", "items", "guest", "free")
    assert called(server, "both", dict.fromkeys(names)) == nothing
    guest = {"name": None, "age": None}
    assert "Guest(name=None, age=None)" in called(server, "both", {"guest": guest})
    for wrong in ({"name": 1}, {"about": "x"}, {"items": []}, {"guest": {"age": "x"}}):
        with pytest.raises(ToolError):
            called(server, "both", wrong)


def test_a_type_that_takes_none_stays_as_it_is():
    server = Server("nulls")

    @server.tool
    def stays(a: Optional[str] = None, b: Any = None, c: Union[int, None] = None, d: object = None) -> str:
        return repr((a, b, c, d))

    found = properties(server)
    assert found["a"] == {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}
    assert found["b"] == found["d"] == {"default": None}


def test_a_field_of_none_may_be_null_in_what_a_tool_returns():
    server = Server("nulls")

    @server.tool
    def guest() -> Guest:
        return Guest()

    @server.tool
    def room() -> Room:
        return Room(1)

    assert called(server, "guest") == {"name": None, "age": None}
    assert called(server, "room") == {"number": 1, "note": None}


def test_a_prompt_with_a_default_of_none():
    server = Server("nulls")

    @server.prompt
    def ask(title: str = None, count: int = None) -> str:
        return repr((title, count))

    def filled(arguments):
        return asked(server, lambda client: client.get_prompt("ask", arguments)).text

    assert filled({}) == "(None, None)"
    assert filled({"title": "x", "count": "3"}) == "('x', 3)"
    assert filled({"count": None}) == "(None, None)"


# ------------------------------------------------------------------------------- names of the enclosing function


def test_classes_of_the_enclosing_function_are_found():
    server = Server("local")

    @dataclasses.dataclass
    class Item:
        name: str

    @dataclasses.dataclass
    class Order:
        item: Item
        more: List[Order] = dataclasses.field(default_factory=list)

    class Extra(TypedDict):
        item: Item

    @server.tool
    def order(order: Order, extra: Union[Extra, int]) -> Item:
        return order.more[0].item

    arguments = {"order": {"item": {"name": "a"}, "more": [{"item": {"name": "b"}}]}, "extra": {"item": {"name": "c"}}}
    assert called(server, "order", arguments) == {"name": "b"}


def test_also_where_a_function_between_has_none_of_them():
    server = Server("local")

    class Colour(TypedDict):
        name: str

    def register():
        @server.tool
        async def paint(colour: Colour) -> str:
            return colour["name"]

        @server.resource("paint://{colour}")
        def thing(colour: str) -> Colour:
            return {"name": colour}

    register()
    assert called(server, "paint", {"colour": {"name": "red"}}) == "red"


def test_a_class_defined_further_down_is_found_when_serving_begins():
    server = Server("later")

    @server.tool
    def later(item: _Later) -> str:
        return item["name"]

    assert called(server, "later", {"item": {"name": "x"}}) == "x"


class _Later(TypedDict):
    name: str


def unknown(server):
    @server.tool(name="buy")
    def order(count: int, item: Nowhere) -> str:  # noqa: F821
        return "no"


def test_a_name_that_nobody_knows_is_told_with_tool_and_parameter():
    server = Server("unknown")
    unknown(server)
    for _ in range(2):
        with pytest.raises(NameError, match=r"tool 'buy': parameter 'item': name 'Nowhere' is not defined"):
            called(server, "buy")


def test_a_server_that_is_served_refuses_it_at_once():
    server = Server("unknown")
    server.tool(name="known")(lambda: "known")

    async def main():
        async with Client(server) as client:
            with pytest.raises(NameError, match=r"tool 'buy': parameter 'item'"):
                unknown(server)
            assert [tool.name for tool in await client.list_tools()] == ["known"]

    asyncio.run(main())


def test_a_return_type_that_nobody_knows():
    server = Server("unknown")

    @server.tool
    def f() -> Nowhere: ...  # noqa: F821

    with pytest.raises(NameError, match=r"tool 'f': the return type: name 'Nowhere' is not defined"):
        called(server, "f")


# ------------------------------------------------------------------------------------------------ templates


def test_a_template_function_takes_the_variables_that_it_wants():
    server = Server("templates")

    @server.resource("one://{a}/{b}")
    def one(b: str) -> str:
        return b

    @server.resource("none://{a}")
    def none() -> str:
        return "none"

    @server.resource("uri://{a}/{b}")
    async def whole(uri: str) -> str:
        return uri

    @server.resource("all://{a}/{b}")
    def every(**variables: str) -> str:
        return repr(sorted(variables.items()))

    def read(uri):
        return asked(server, lambda client: client.read_resource(uri)).text

    assert read("one://x/y") == "y"
    assert read("none://x") == "none"
    assert read("uri://x/y") == "uri://x/y"
    assert read("all://x/y") == "[('a', 'x'), ('b', 'y')]"


def test_an_argument_that_a_prompt_does_not_have_is_ignored():
    server = Server("prompts")

    @server.prompt
    def ask(title: str) -> str:
        return title

    assert asked(server, lambda client: client.get_prompt("ask", {"title": "x", "other": "y"})).text == "x"


# ------------------------------------------------------------------------------------- what has no JSON form


class Plain:
    pass


class Base(Protocol):
    name: str


class Listing:
    def __iter__(self):
        return iter([1])

    def __len__(self):
        return 1


@pytest.mark.parametrize("tp", [Plain, List[Plain], Optional[Plain], Dict[str, Plain], complex, Tuple[int, Plain]], ids=repr)
def test_a_return_type_without_a_json_form_is_refused(tp):
    server = Server("returns")

    def give(): ...

    give.__annotations__ = {"return": tp}
    message = r"the return type: .*(Plain|complex) has no JSON form"
    with pytest.raises(TypeError, match=f"tool 'give': {message}"):
        server.tool(give)
    with pytest.raises(TypeError, match=f"resource 'give': {message}"):
        server.resource("give://it")(give)
    with pytest.raises(TypeError, match=f"prompt 'give': {message}"):
        server.prompt(give)
    with pytest.raises(TypeError, match=message):
        server.completion("x", prompt="p")(give)
    assert not server._items


@dataclasses.dataclass
class Holder:
    plain: Plain


def test_nor_is_one_with_such_a_field():
    server = Server("returns")
    with pytest.raises(TypeError, match=r"tool 'hold': the return type: .*Plain has no JSON form"):

        @server.tool
        def hold() -> Holder: ...


class Encoded(int):
    pass


@pytest.mark.parametrize(
    "tp", [Fraction, Listing, Base, abc.Iterable, List[Listing], Encoded, Path, ToolResult, Message, Callable[[], int]], ids=repr
)
def test_a_return_type_whose_values_may_have_one_is_taken(tp):
    server = Server("returns")

    def give(): ...

    give.__annotations__ = {"return": tp}
    server.tool(give)
    server.resource("give://it")(give)


def test_what_such_a_type_returns():
    server = Server("returns")

    @server.tool
    def third() -> Fraction:
        return Fraction(1, 3)

    @server.tool
    def some() -> Listing:
        return Listing()

    @server.tool
    async def later() -> Base:
        return Guest("x")

    assert called(server, "third") == "1/3"
    assert called(server, "some") == [1]
    assert called(server, "later") == {"name": "x", "age": None}


# ------------------------------------------------------------------------------------------- texts to values


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


def test_a_variable_of_another_type_is_named_with_what_it_should_be():
    server = Server("texts")

    @server.resource("x://{n}/{f}/{b}/{l}/{s}")
    def take(n: int, f: float, b: bool, l: Union[List[int], None], s: Size) -> str:  # noqa: E741
        return repr((n, f, b, l, s))

    def read(*parts):
        return asked(server, lambda client: client.read_resource("x://" + "/".join(parts))).text

    good = ("1", "1.5", "TRUE", "%5B1%5D", "2")
    assert read(*good) == "(1, 1.5, True, [1], <Size.LARGE: 2>)"
    for position, text, message in [
        (0, "x", "invalid argument 'n': 'x' is not an integer"),
        (0, "1.5", "invalid argument 'n': '1.5' is not an integer"),
        (0, "true", "invalid argument 'n': 'true' is not an integer"),
        (1, "x", "invalid argument 'f': 'x' is not a number"),
        (1, "NaN", "invalid argument 'f': 'NaN' is not a number"),
        (2, "1", "invalid argument 'b': '1' is not true or false"),
        (3, "x", "invalid argument 'l': 'x' is not an array or null"),
    ]:
        parts = list(good)
        parts[position] = text
        with pytest.raises(InvalidParamsError) as error:
            read(*parts)
        assert error.value.message == message


def test_arguments_are_checked_strictly():
    server = Server("strict")

    @server.tool
    def order(count: int) -> int:
        return count

    with pytest.raises(ToolError) as error:
        called(server, "order", {"count": "1"})
    assert str(error.value) == 'invalid arguments: arguments.count: "1" is not of type "integer"'
