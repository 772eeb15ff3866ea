"""Clients over every transport, and the ends of connections, calls and servers."""

import asyncio
import json
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from trunnion import (
    Client,
    ClosedError,
    Context,
    InvalidParamsError,
    McpError,
    ProtocolError,
    Server,
    SyncClient,
    TimeoutError,
    ToolError,
    TransportError,
)

SERVER = textwrap.dedent(
    """
    import asyncio, os, sys
    from trunnion import Context, Server
    server = Server("child", page_size=2)

    @server.tool
    def echo(text: str) -> str:
        return text

    @server.tool
    async def steps(n: int, ctx: Context) -> str:
        for i in range(n):
            await ctx.progress(i + 1, n)
        return "done"

    @server.tool
    async def hang(ctx: Context) -> None:
        await ctx.progress(1)
        await asyncio.Event().wait()

    @server.tool
    def die() -> None:
        os._exit(3)

    @server.tool
    def where() -> dict:
        return {"cwd": os.getcwd(), "word": os.environ.get("WORD")}

    @server.prompt
    def hello(name: str) -> str:
        return "hello " + name

    @server.resource("x://a")
    def a() -> str:
        return "a"

    if sys.argv[1:] == ["http"]:
        server.run("http")
    else:
        server.run()
    """
)


@pytest.fixture(scope="session")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("server") / "child.py"
    path.write_text(SERVER)
    return [sys.executable, str(path)]


@pytest.fixture
def http(script):
    """A server process over HTTP: its URL and its process."""
    process = subprocess.Popen([*script, "http"], stderr=subprocess.PIPE, text=True)
    url = process.stderr.readline().split()[-1]
    yield url, process
    process.terminate()
    code = process.wait(30)
    process.stderr.close()
    assert code in (0, 3)


@pytest.fixture(params=["command", "http"])
def target(request, script):
    if request.param == "command":
        return script
    return request.getfixturevalue("http")[0]


async def everything(client):
    assert client.info.name == "child"
    assert [t.name for t in await client.list_tools()] == ["echo", "steps", "hang", "die", "where"]
    assert [t.name async for t in client.iter_tools()][3:] == ["die", "where"]
    assert [p.name async for p in client.iter_prompts()] == ["hello"]
    assert [r.uri async for r in client.iter_resources()] == ["x://a"]
    assert [t async for t in client.iter_resource_templates()] == []
    assert (await client.call_tool("echo", {"text": "é"})).text == "é"
    assert (await client.read_resource("x://a")).text == "a"
    assert (await client.get_prompt("hello", {"name": "you"})).text == "hello you"
    await client.ping()
    seen = []
    await client.call_tool("steps", {"n": 20}, progress=lambda done, total, _: seen.append((done, total)))
    assert seen == [(i, 20) for i in range(1, 21)]
    results = await asyncio.gather(*(client.call_tool("echo", {"text": str(i)}) for i in range(200)))
    assert [r.text for r in results] == [str(i) for i in range(200)]


@pytest.mark.parametrize("driver", ["threaded", "hosted"])
@pytest.mark.parametrize("era", ["auto", "modern", "legacy"])
def test_everything_over_every_transport(target, driver, era):
    async def go():
        async with Client(target, driver=driver, era=era) as client:
            assert client.info.era == ("legacy" if era == "legacy" else "modern")
            await everything(client)

    asyncio.run(go())


def test_environment_and_folder_of_a_command(script, tmp_path):
    async def go():
        async with Client(script, env={"WORD": "hi"}, cwd=tmp_path) as client:
            return (await client.call_tool("where")).data

    assert asyncio.run(go()) == {"cwd": str(tmp_path), "word": "hi"}


def test_a_time_limit(script):
    async def go():
        async with Client(script) as client:
            with pytest.raises(TimeoutError):
                await client.call_tool("hang", timeout=0.02)
            assert (await client.call_tool("echo", {"text": "on"})).text == "on"

    asyncio.run(go())


def test_async_progress_callbacks_run_in_order_and_before_the_result(script):
    async def go():
        seen = []

        async def progress(done, total, message):
            await asyncio.sleep(0)
            seen.append(done)

        async with Client(script) as client:
            await client.call_tool("steps", {"n": 5}, progress=progress)
            return seen

    assert asyncio.run(go()) == [1, 2, 3, 4, 5]


def test_a_progress_callback_that_raises_fails_its_call(script):
    def progress(*_):
        raise KeyError("mine")

    async def go():
        async with Client(script) as client:
            with pytest.raises(KeyError, match="mine"):
                await client.call_tool("steps", {"n": 5}, progress=progress)
            assert (await client.call_tool("echo", {"text": "on"})).text == "on"

    asyncio.run(go())
    with SyncClient(script) as client:
        with pytest.raises(KeyError, match="mine"):
            client.call_tool("steps", {"n": 5}, progress=progress)
        assert client.call_tool("echo", {"text": "on"}).text == "on"


def test_the_death_of_a_command_fails_pending_calls(script):
    async def go():
        async with Client(script) as client:
            moving = asyncio.Event()
            hang = asyncio.ensure_future(client.call_tool("hang", progress=lambda *_: moving.set()))
            await moving.wait()
            outcomes = await asyncio.gather(client.call_tool("die"), hang, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [outcomes[0].__class__] * 2
            assert isinstance(outcomes[0], (ClosedError, TransportError))
            with pytest.raises((ClosedError, TransportError)):
                await client.call_tool("echo", {"text": "x"})

    asyncio.run(go())


def test_the_death_of_an_http_server_fails_pending_calls(http):
    url, process = http

    async def go():
        async with Client(url) as client:
            moving = asyncio.Event()
            hang = asyncio.ensure_future(client.call_tool("hang", progress=lambda *_: moving.set()))
            await moving.wait()
            process.kill()
            with pytest.raises((ClosedError, TransportError)):
                await hang
            process.wait()
            process.returncode = 0
            with pytest.raises((ClosedError, TransportError)):
                await client.call_tool("echo", {"text": "x"})

    asyncio.run(go())


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:9/mcp",
        ["/no/such/program"],
        [sys.executable, "-c", "pass"],
        [sys.executable, "-c", "print('hello'); input()"],
    ],
    ids=["refused", "no program", "silent exit", "not a server"],
)
def test_what_cannot_be_connected(target):
    async def go():
        with pytest.raises(McpError):
            async with Client(target, connect_timeout=2):
                pass

    asyncio.run(go())
    with pytest.raises(McpError):
        with SyncClient(target, connect_timeout=2):
            pass


def test_wrong_use():
    with pytest.raises(ValueError, match="URL"):
        Client("nonsense")
    with pytest.raises(TypeError, match="nonsense"):
        Client(["x"], nonsense=1)
    with pytest.raises(ClosedError):
        SyncClient(["x"]).call_tool("x")
    with pytest.raises(ClosedError):
        Client(["x"]).info


def test_closing_twice_and_pending_calls(script):
    async def go():
        client = Client(script)
        await client.connect()
        await client.connect()
        moving = asyncio.Event()
        hang = asyncio.ensure_future(client.call_tool("hang", progress=lambda *_: moving.set()))
        await moving.wait()
        await client.close()
        await client.close()
        with pytest.raises(ClosedError):
            await hang
        with pytest.raises(ClosedError):
            await client.ping()
        assert not client.connected

    asyncio.run(go())
    client = SyncClient(script)
    client.connect()
    client.close()
    client.close()
    with pytest.raises(ClosedError):
        client.ping()


def test_a_client_can_connect_again(script):
    async def go():
        client = Client(script)
        for _ in range(2):
            async with client:
                assert (await client.call_tool("echo", {"text": "x"})).text == "x"

    asyncio.run(go())


def test_two_clients_of_one_server_object():
    server = Server("t")

    @server.tool
    async def who(ctx: Context) -> str:
        return ctx.request.client_info["name"]

    async def go():
        async with Client(server, name="a") as a, Client(server, name="b") as b:
            return (await a.call_tool("who")).text, (await b.call_tool("who")).text

    assert asyncio.run(go()) == ("a", "b")


def test_the_sync_client_over_every_transport(target):
    with SyncClient(target) as client:
        assert client.info.name == "child"
        assert [t.name for t in client.list_tools()] == ["echo", "steps", "hang", "die", "where"]
        assert [t.name for t in client.iter_tools()][0] == "echo"
        assert [p.name for p in client.list_prompts()] == ["hello"]
        assert [p.name for p in client.iter_prompts()] == ["hello"]
        assert [r.uri for r in client.list_resources()] == ["x://a"]
        assert [r.uri for r in client.iter_resources()] == ["x://a"]
        assert client.list_resource_templates() == list(client.iter_resource_templates()) == []
        assert client.read_resource("x://a").text == "a"
        assert client.get_prompt("hello", {"name": "you"}).text == "hello you"
        client.ping()
        assert client.discover() is not None
        seen = []
        client.call_tool("steps", {"n": 5}, progress=lambda done, total, _: seen.append(done))
        assert seen == [1, 2, 3, 4, 5]
        with pytest.raises(TimeoutError):
            client.call_tool("hang", timeout=0.02)
        with pytest.raises(InvalidParamsError):
            client.call_tool("none")
        with pytest.raises(ToolError):
            client.call_tool("echo", {})
        assert client.call_tool("echo", {}, raise_on_error=False).is_error


def test_the_sync_client_in_many_threads(script):
    with SyncClient(script) as client, ThreadPoolExecutor(8) as pool:

        def work(i):
            return [client.call_tool("echo", {"text": f"{i}.{j}"}).text for j in range(20)]

        for i, texts in enumerate(pool.map(work, range(8))):
            assert texts == [f"{i}.{j}" for j in range(20)]


def test_the_sync_client_of_a_server_object():
    server = Server("t")

    @server.tool
    def thread(ctx: Context) -> str:
        ctx.progress(1)
        return threading.current_thread().name

    @server.tool(inline=True)
    def inline() -> str:
        return "inline"

    @server.tool
    async def task() -> str:
        await asyncio.sleep(0)
        return "task"

    @server.tool
    async def hang() -> None:
        await asyncio.Event().wait()

    @server.completion("n", resource="x://{n}")
    def complete(value: str):
        return [value]

    @server.resource("x://{n}")
    def item(n: str) -> str:
        return n

    with SyncClient(server) as client:
        assert client.call_tool("thread").text.startswith("trunnion")
        assert client.call_tool("inline").text == "inline"
        assert client.call_tool("task").text == "task"
        assert client.complete("n", "v", resource="x://{n}").values == ["v"]
        with pytest.raises(TimeoutError):
            client.call_tool("hang", timeout=0.02)
        with pytest.raises(RuntimeError):
            SyncClient(server).connect()


def test_results_keep_what_they_do_not_know(script):
    async def go():
        async with Client(script) as client:
            tool = (await client.list_tools())[0]
            return tool

    tool = asyncio.run(go())
    assert tool.raw["name"] == "echo" and tool == type(tool).from_json(json.loads(json.dumps(tool.raw)))
    assert "echo" in repr(tool)


MISSHAPEN = """
import json, sys
answers = {
    "initialize": {
        "protocolVersion": "2025-11-25",
        "capabilities": {"tools": {}, "prompts": {}, "resources": {}},
        "serverInfo": {"name": "misshapen", "version": "1"},
    },
    "tools/list": {"tools": [{"title": "no name"}]},
    "prompts/get": {"messages": [{"role": "user"}]},
    "resources/read": {"contents": 3},
    "completion/complete": {"completion": {}},
}
for line in sys.stdin:
    message = json.loads(line)
    if "id" in message:
        answer = {"jsonrpc": "2.0", "id": message["id"]}
        if message["method"] in answers:
            answer["result"] = answers[message["method"]]
        else:
            answer["error"] = {"code": -32601, "message": "no such method"}
        print(json.dumps(answer), flush=True)
"""


def test_answers_of_another_shape_are_protocol_errors(tmp_path):
    path = tmp_path / "misshapen.py"
    path.write_text(MISSHAPEN)
    with SyncClient([sys.executable, str(path)], era="legacy") as client:
        # An entry that is none hides no others, and is told to the log.
        assert client.list_tools() == []
        for ask in (
            lambda: client.get_prompt("p"),
            lambda: client.read_resource("x://r"),
            lambda: client.complete("a", "v", prompt="p"),
        ):
            with pytest.raises(ProtocolError):
                ask()


TALKATIVE = """
import json, sys
endless = "--endless" in sys.argv
def result(method, params):
    meta = json.dumps(params.get("_meta", {}))
    if method == "initialize":
        capabilities = {"tools": {}, "prompts": {}, "resources": {}, "completions": {}}
        return {"protocolVersion": "2025-11-25", "capabilities": capabilities, "serverInfo": {"name": "talkative", "version": "1"}}
    return {
        "ping": {},
        "tools/list": {"tools": [{"name": meta, "inputSchema": {"type": "object"}}], **({} if "cursor" in params and not endless else {"nextCursor": "again"})},
        "resources/list": {"resources": [{"uri": "x://r", "name": meta}]},
        "resources/templates/list": {"resourceTemplates": [{"uriTemplate": "x://{r}", "name": meta}]},
        "prompts/list": {"prompts": [{"name": meta}]},
        "prompts/get": {"messages": [{"role": "user", "content": {"type": "text", "text": meta}}]},
        "resources/read": {"contents": [{"uri": "x://r", "text": meta}]},
        "completion/complete": {"completion": {"values": [meta]}},
    }.get(method)
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    params = message.get("params", {})
    token = params.get("_meta", {}).get("progressToken")
    if token is not None:
        told = {"progressToken": token, "progress": 1, "total": 2, "message": message["method"]}
        print(json.dumps({"jsonrpc": "2.0", "method": "notifications/progress", "params": told}), flush=True)
    answer = {"jsonrpc": "2.0", "id": message["id"]}
    answer["result"] = result(message["method"], params)
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def talkative(tmp_path):
    """A server that shows the metadata of each request in its answer; its tools are two pages, with `--endless` pages of one cursor for ever."""
    path = tmp_path / "talkative.py"
    path.write_text(TALKATIVE)
    return [sys.executable, str(path)]


def test_a_cursor_that_comes_again_ends_the_list_with_an_error(talkative):
    async def go():
        async with Client([*talkative, "--endless"], era="legacy") as client:
            with pytest.raises(ProtocolError, match="cursor .again. twice"):
                await client.list_tools()
            seen = []
            with pytest.raises(ProtocolError, match="cursor .again. twice"):
                async for tool in client.iter_tools():
                    seen.append(tool)
            assert len(seen) == 2, "what there was"

    asyncio.run(go())
    with SyncClient([*talkative, "--endless"], era="legacy") as client:
        with pytest.raises(ProtocolError, match="cursor .again. twice"):
            client.list_tools()


def test_the_pages_of_a_list_are_put_together(talkative):
    with SyncClient(talkative, era="legacy") as client:
        assert len(client.list_tools()) == 2


# Requests with metadata, and the place where the server shows it.
SHOWN = [
    ("list_tools", (), lambda tools: tools[0].name),
    ("list_resources", (), lambda resources: resources[0].name),
    ("list_resource_templates", (), lambda templates: templates[0].name),
    ("list_prompts", (), lambda prompts: prompts[0].name),
    ("read_resource", ("x://r",), lambda read: read.text),
    ("get_prompt", ("p",), lambda prompt: prompt.text),
]


def test_metadata_goes_with_every_request(talkative):
    meta = {"traceparent": "00-1-2-3"}

    async def go():
        async with Client(talkative, era="legacy") as client:
            for name, arguments, shown in SHOWN:
                assert json.loads(shown(await getattr(client, name)(*arguments, meta=meta))) == meta, name
            found = await client.complete("a", "v", prompt="p", meta=meta)
            assert json.loads(found.values[0]) == meta
            assert [json.loads(tool.name) async for tool in client.iter_tools(meta=meta)] == [meta, meta]
            await client.ping(meta=meta, total_timeout=60)

    asyncio.run(go())
    with SyncClient(talkative, era="legacy") as client:
        for name, arguments, shown in SHOWN:
            assert json.loads(shown(getattr(client, name)(*arguments, meta=meta))) == meta, name
        assert json.loads(client.complete("a", "v", prompt="p", meta=meta).values[0]) == meta
        client.ping(meta=meta)


def test_progress_of_resources_and_prompts(talkative):
    heard = []

    def hear(*told):
        heard.append(told)

    async def go():
        async with Client(talkative, era="legacy") as client:
            await client.read_resource("x://r", progress=hear)
            await client.get_prompt("p", progress=hear)

    asyncio.run(go())
    with SyncClient(talkative, era="legacy") as client:
        client.read_resource("x://r", progress=hear)
        client.get_prompt("p", progress=hear)
    assert heard == [(1, 2, "resources/read"), (1, 2, "prompts/get")] * 2


def test_the_end_of_the_connection_can_be_awaited(script):
    async def go():
        client = Client(script)
        with pytest.raises(ClosedError, match="not connected"):
            await client.closed()
        async with client:
            over = asyncio.ensure_future(client.closed())
            with pytest.raises(McpError):
                await client.call_tool("die")
            assert await over
            assert not client.connected
            assert await client.closed() == over.result()
        async with Client(script) as client:
            over = asyncio.ensure_future(client.closed())
            await client.ping()
            assert not over.done()
            await client.close()
            assert await over

    asyncio.run(go())


def test_a_thread_can_wait_for_the_end_of_the_connection(script):
    with pytest.raises(ClosedError, match="not connected"):
        SyncClient(script).closed()
    with SyncClient(script) as client, ThreadPoolExecutor(1) as pool:
        over = pool.submit(client.closed)
        with pytest.raises(McpError):
            client.call_tool("die")
        assert over.result(60) == client.closed()
    with SyncClient(script) as client, ThreadPoolExecutor(1) as pool:
        over = pool.submit(client.closed)
        client.ping()
        client.close()
        assert over.result(60)
