"""Tasks: calls that outlive their request, their connection and their process."""

import asyncio
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from trunnion import (
    CancelledError,
    Client,
    Context,
    ElicitResult,
    InvalidParamsError,
    LimitError,
    MethodNotFoundError,
    MissingCapabilityError,
    Server,
    SyncClient,
    TaskState,
    ToolError,
    UsageError,
)

NAME = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def make(**options):
    return Server("tasks", task_poll=0.01, **options)


def run(server, body, **options):
    """Runs a test with a client over HTTP."""

    async def main():
        async with server.serve_http() as serving, Client(serving.url, **options) as client:
            await asyncio.wait_for(body(client), 60)

    asyncio.run(main())


async def states(task):
    return [state async for state in task.updates()]


@pytest.mark.parametrize("driver", ["hosted", "threaded"])
@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_a_task_from_end_to_end(driver, era):
    server = make(driver=driver)
    gate = asyncio.Event()

    @server.tool(task="optional")
    async def bake(what: str, ctx: Context) -> dict[str, object]:
        ctx.progress(1, 2, "in the oven")
        await gate.wait()
        task = ctx.task and {"run": ctx.task.run, "id": ctx.task.id}
        return {"baked": what, "task": task}

    async def body(client):
        task = await client.start_task("bake", {"what": "bread"})
        assert task.id and task.created.id == task.id and task.created.status == "working"
        assert not task.created.finished and task.created.ttl == 86400 and task.created.poll_interval == 0.01
        assert task.created.created_at <= task.created.last_updated_at
        seen = []
        async for state in task.updates():
            seen.append(state)
            if state.status_message == "in the oven (1 of 2)":
                gate.set()
        assert [state.finished for state in seen] == [False] * (len(seen) - 1) + [True]
        assert seen[-1].status == "completed"
        assert (await task.result()).structured == {"baked": "bread", "task": {"run": 1, "id": task.id}}
        # Another handle of the same task, by its id.
        again = client.task(task.id)
        assert again.created is None and (await again.status()).status == "completed"
        assert (await again.result()).structured["task"]["id"] == task.id
        assert [state.status for state in await states(again)] == ["completed"]
        # A plain call follows the task by itself; a legacy client asks for none.
        result = await client.call_tool("bake", {"what": "cake"})
        assert result.structured["baked"] == "cake"
        assert (result.structured["task"] is None) == (era == "legacy")
        if era == "legacy":
            assert task.id in [state.id for state in await client.list_tasks()]
        else:
            with pytest.raises(MethodNotFoundError):
                await client.list_tasks()
        with pytest.raises(InvalidParamsError):
            await client.task("none").status()

    run(server, body, era=era)


def test_progress_is_what_a_task_says_of_itself():
    server = make()
    told = asyncio.Event()

    @server.tool(task="optional")
    async def bake(ctx: Context) -> str:
        ctx.progress(1, 2, "in the oven")
        await told.wait()
        return "bread"

    async def body(client):
        steps = []

        def step(*what):
            steps.append(what)
            told.set()

        assert (await client.call_tool("bake", progress=step)).text == "bread"
        assert steps[0] == (1, None, "in the oven (1 of 2)")

    run(server, body)


def test_clients_that_know_of_no_tasks():
    server = make()

    @server.tool(task="optional")
    async def maybe(ctx: Context) -> bool:
        return ctx.task is None

    @server.tool(task="required")
    async def always() -> str:
        return "done"

    async def body(client):
        assert (await client.call_tool("maybe")).data is True
        with pytest.raises(MissingCapabilityError):
            await client.call_tool("always")
        task = await client.start_task("maybe")
        assert task.id is None and (await task.status()).status == "completed"
        assert [state.status for state in await states(task)] == ["completed"]
        assert (await task.result()).data is True
        await task.answer("q1", {})
        await task.cancel()

    run(server, body, tasks=False)


def test_failures_come_as_those_of_the_call():
    server = make()

    @server.tool(task="required")
    async def fails() -> str:
        raise ToolError("no flour")

    @server.tool(task="required")
    async def breaks() -> str:
        raise LimitError("too much flour")

    async def body(client):
        task = await client.start_task("fails")
        with pytest.raises(ToolError, match="no flour"):
            await task.result()
        assert (await task.result(raise_on_error=False)).is_error
        assert (await task.status()).status == "completed"
        task = await client.start_task("breaks")
        assert (await states(task))[-1].status == "failed"
        with pytest.raises(Exception, match="too much flour"):
            await task.result()

    run(server, body)


def test_a_task_asks_the_handlers_of_the_client():
    server = make()

    @server.tool(task="optional")
    async def bake(ctx: Context) -> str:
        answer = await ctx.elicit("For whom?", NAME)
        return f"bread for {answer.data['name']}"

    async def body(client):
        assert (await client.call_tool("bake")).text == "bread for Ann"
        assert (await (await client.start_task("bake")).result()).text == "bread for Ann"

    run(server, body, on_elicit=lambda request: {"name": "Ann"})


def test_what_a_task_asks_is_answered_by_its_handle():
    server = make()

    @server.tool(task="optional")
    async def bake(ctx: Context) -> str:
        first = await ctx.elicit("For whom?", NAME, key="who")
        second = await ctx.elicit("And for whom?", NAME, key="whom")
        return f"bread for {first.data['name']} and {second.action}"

    def never(request):
        raise AssertionError("the handle answers")

    async def body(client):
        task = await client.start_task("bake")
        answers = {
            "who": ElicitResult("accept", content={"name": "Ann"}),
            "whom": {"action": "decline"},
        }
        async for state in task.updates():
            for key, request in state.input_requests.items():
                assert state.status == "input_required" and "whom?" in request["params"]["message"]
                if key in answers:
                    await task.answer(key, answers.pop(key))
        assert answers == {}
        assert (await task.result()).text == "bread for Ann and decline"

    run(server, body, on_elicit=never)


@pytest.mark.parametrize("kind", ["async", "thread"])
def test_cancelling_reaches_the_handler(kind):
    server = make()
    began, ended = asyncio.Event(), asyncio.Event()
    loop = None

    @server.tool(task="optional", name="async")
    async def bake(ctx: Context) -> str:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            assert ctx.cancelled
            ended.set()
            raise
        return "bread"

    @server.tool(task="optional", name="thread")
    def bake_in_a_thread(ctx: Context) -> str:
        loop.call_soon_threadsafe(began.set)
        try:
            while True:
                ctx.checkpoint("still here")
        finally:
            loop.call_soon_threadsafe(ended.set)

    async def body(client):
        nonlocal loop
        loop = asyncio.get_running_loop()
        task = await client.start_task(kind)
        await began.wait()
        await task.cancel()
        await ended.wait()
        assert (await states(task))[-1].status == "cancelled"
        with pytest.raises(CancelledError):
            await task.result()

    run(server, body)


def test_leaving_the_updates_ends_nothing():
    server = make()
    gate = asyncio.Event()

    @server.tool(task="optional")
    async def bake() -> str:
        await gate.wait()
        return "bread"

    async def body(client):
        task = await client.start_task("bake")
        async for state in task.updates():
            assert state.status == "working"
            break
        waiting = asyncio.ensure_future(task.result())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.set()
        assert (await task.result()).text == "bread"

    run(server, body)


def test_without_a_loop():
    server = make()

    @server.tool(task="optional")
    def bake(ctx: Context) -> dict[str, object]:
        for done in range(3):
            ctx.checkpoint(done)
        once = ctx.once("key", lambda: [1, 2]).result()
        return {"last": ctx.last_checkpoint, "once": once, "again": ctx.once("key", lambda: 0).result()}

    with SyncClient(server) as client:
        task = client.start_task("bake")
        assert [state.finished for state in task.updates()][-1]
        assert task.status() == client.task(task.id).status()
        assert task.result().structured == {"last": 2, "once": [1, 2], "again": [1, 2]}
        for state in client.task(task.id).updates():
            assert isinstance(state, TaskState) and state.status == "completed"
        task.cancel()
        task.answer("q1", {"action": "cancel"})
        with pytest.raises(MethodNotFoundError):
            client.list_tasks()


def test_checkpoints_outside_of_tasks():
    server = make()

    @server.tool
    async def bake(ctx: Context) -> list[object]:
        before = ctx.last_checkpoint
        await ctx.checkpoint({"loaf": 1})
        return [before, ctx.last_checkpoint, ctx.task]

    @server.tool
    def bake_in_a_thread(ctx: Context) -> list[object]:
        ctx.checkpoint((1, 2))
        return [ctx.last_checkpoint]

    @server.tool
    async def too_much(ctx: Context) -> str:
        with pytest.raises(TypeError):
            ctx.checkpoint(object())
        await ctx.checkpoint("x" * (300 << 10))
        return "kept"

    async def body(client):
        assert (await client.call_tool("bake")).data == [None, {"loaf": 1}, None]
        assert (await client.call_tool("bake_in_a_thread")).data == [[1, 2]]
        with pytest.raises(Exception, match="store"):
            await client.call_tool("too_much")

    run(server, body)


def test_options_are_checked():
    async def serve(server):
        async with server.serve_http():
            pass

    for wrong in ({"task": "sometimes"}, {"task": "optional", "task_concurrency": 0}):
        server = make()
        server.add_tool(lambda: "x", name="x", **wrong)
        with pytest.raises(UsageError):
            asyncio.run(serve(server))
    with pytest.raises(UsageError, match="taskLeaseMs"):
        asyncio.run(serve(Server("x", task_lease=0)))
    server = Server("x", task_ttl=None)

    @server.tool(task="required", task_ttl=7, task_concurrency=1)
    async def seven() -> str:
        return "x"

    @server.tool(task="required")
    async def ever() -> str:
        return "x"

    async def body(client):
        assert (await client.start_task("seven")).created.ttl == 7
        assert (await client.start_task("ever")).created.ttl is None

    run(server, body)


@pytest.mark.parametrize("tool", ["grind", "grind_in_a_thread"])
def test_a_task_outlives_its_process(tmp_path, tool):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    marks = tmp_path / "marks"
    marks.mkdir()
    program = Path(__file__).with_name("task_server.py")
    command = [sys.executable, str(program), str(port), str(tmp_path / "store.db"), str(marks)]
    url = f"http://127.0.0.1:{port}/mcp"

    def start():
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert "listens" in process.stderr.readline()
        return process

    def done(what):
        return [mark.name for mark in marks.iterdir() if mark.name.startswith(what)]

    first = start()
    try:
        with SyncClient(url) as client:
            task = client.start_task(tool)
            for state in task.updates():
                if state.status_message == "ground once (1 of 2)":
                    break
    finally:
        first.kill()
        first.communicate()
    second = start()
    try:
        (marks / "go").touch()
        with SyncClient(url) as client:
            result = client.task(task.id).result().structured
    finally:
        second.terminate()
        second.communicate()
    (paid,) = done("paid")
    assert len(done("first")) == 1
    assert result.pop("run") > 1
    assert result == {"begun": {"step": 1}, "paid": paid}
