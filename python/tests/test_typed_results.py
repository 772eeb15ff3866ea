"""Results of the type that the caller names."""

import asyncio
import dataclasses
import datetime
from typing import Any, Dict, List, Literal, NamedTuple, Optional, Tuple, TypedDict, Union

import pydantic
import pytest

from trunnion import CallResult, Client, Context, ProtocolError, Server, SyncClient, ToolError, ToolResult


@dataclasses.dataclass
class Item:
    name: str
    due: Optional[datetime.date] = None


@dataclasses.dataclass
class Receipt:
    total: float
    items: List[Item]
    state: Literal["open", "paid"] = "open"


class Row(TypedDict, total=False):
    id: int
    tags: List[str]


class Pair(NamedTuple):
    left: int
    right: str = "r"


class Model(pydantic.BaseModel):
    total: float


RECEIPT = {"total": 2.5, "items": [{"name": "tea", "due": "2026-11-30"}], "state": "paid"}


@pytest.fixture
def client():
    server = Server("typed", task_poll=0.01)

    @server.tool
    def give(value: Any = None) -> ToolResult:
        return ToolResult("given", structured=value)

    @server.tool
    def text(value: str) -> str:
        return value

    @server.tool
    def whole(value: int) -> int:
        return value

    @server.tool
    def fail() -> str:
        raise ToolError("no")

    @server.tool(task="optional")
    async def later(ctx: Context) -> Dict[str, Any]:
        return RECEIPT

    with SyncClient(server) as client:
        yield client


@pytest.mark.parametrize(
    "tp, sent, value",
    [
        (Receipt, RECEIPT, Receipt(2.5, [Item("tea", datetime.date(2026, 11, 30))], "paid")),
        (Receipt, {"total": 1, "items": [], "more": 1}, Receipt(1, [])),
        (Row, {"id": 3.0, "tags": ["a"]}, {"id": 3, "tags": ["a"]}),
        (Row, {}, {}),
        (Pair, {"left": 1}, Pair(1)),
        (Model, {"total": 1}, Model(total=1)),
        (dict, {"a": 1}, {"a": 1}),
        (Dict[str, int], {"a": 1}, {"a": 1}),
        (Any, {"a": [None]}, {"a": [None]}),
    ],
    ids=repr,
)
def test_a_value_of_the_type(client, tp, sent, value):
    result = client.call_tool("give", {"value": sent}, returns=tp)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    "tp, sent, wrong",
    [
        (Receipt, {"items": []}, "Receipt: it.total is missing"),
        (Receipt, {"total": "1", "items": []}, "Receipt: it.total is not of type number"),
        (Receipt, {"total": True, "items": []}, "Receipt: it.total is not of type number"),
        (Receipt, {"total": 1, "items": [{"name": 1}]}, r"Receipt: it.items\[0\].name is not of type string"),
        (Receipt, {"total": 1, "items": [], "state": "lost"}, r"Receipt: it.state is none of \['open', 'paid'\]"),
        (Receipt, {"total": 1, "items": [{"name": "a", "due": "soon"}]}, "Receipt: .*soon"),
        (Row, {"id": 1.5}, "Row: it.id is not of type integer"),
        (Dict[str, int], {"a": "x"}, "it.a is not of type integer"),
        (List[int], {"a": 1}, "it is not of type array"),
        (Union[int, List[int]], {"a": 1}, "it is of no type that it may have"),
        (Model, {"total": "much"}, "Model: .*total"),
        (int, None, "int: it is not of type integer"),
    ],
    ids=repr,
)
def test_what_is_not_of_the_type(client, tp, sent, wrong):
    with pytest.raises(ProtocolError, match=f"tool 'give': the result is not of type .*{wrong}"):
        client.call_tool("give", {"value": sent}, returns=tp)


def test_texts(client):
    assert client.call_tool("text", {"value": "[1, 2]"}, returns=str) == "[1, 2]"
    assert client.call_tool("text", {"value": "[1, 2]"}, returns=List[int]) == [1, 2]
    assert client.call_tool("text", {"value": '[1, "a"]'}, returns=Tuple[int, str]) == (1, "a")
    assert client.call_tool("text", {"value": '{"total": 1, "items": []}'}, returns=Receipt) == Receipt(1, [])
    for short in ("[1]", "[1, 2]", "1"):
        with pytest.raises(ProtocolError):
            client.call_tool("text", {"value": short}, returns=Tuple[int, str])
    assert client.call_tool("whole", {"value": 1}, returns=int) == 1
    assert client.call_tool("whole", {"value": 1}, returns=Optional[int]) == 1


def test_a_tool_that_fails(client):
    with pytest.raises(ToolError, match="no"):
        client.call_tool("fail", returns=str, raise_on_error=False)


def test_a_type_without_a_schema_is_refused_before_the_call(client):
    with pytest.raises(TypeError, match="complex has no JSON schema"):
        client.call_tool("no such tool", returns=complex)


def test_tasks_and_the_other_client(client):
    assert client.start_task("later").result(returns=Receipt).state == "paid"
    assert isinstance(client.start_task("later").result(), CallResult)

    async def main():
        async with Client(client._server) as other:
            assert (await other.call_tool("later", returns=Receipt)).items[0].name == "tea"
            task = await other.start_task("later")
            assert (await task.result(returns=Receipt)).total == 2.5
            with pytest.raises(ProtocolError, match="the task: the result is not of type int"):
                await task.result(returns=int)

    client.close()
    asyncio.run(main())
