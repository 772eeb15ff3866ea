"""Servers that share a store, as the processes of one machine do."""

import asyncio
import json
import urllib.error
import urllib.request

import pytest

from trunnion import Client, Server, ToolsChanged, TransportError, UsageError


def make(store, **options):
    server = Server("shared", store=store, **options)

    @server.tool
    def hello() -> str:
        return "hello"

    return server


async def send(url, session=None, *, verb="POST", **message):
    """The status, the session and the message of an answer."""

    def blocking():
        headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
        headers |= {"mcp-protocol-version": "2025-11-25"}
        if session:
            headers["mcp-session-id"] = session
        body = json.dumps({"jsonrpc": "2.0", **message}).encode() if message else None
        request = urllib.request.Request(url, body, headers, method=verb)
        try:
            with urllib.request.urlopen(request) as answer:
                text = answer.read()
                return answer.status, answer.headers.get("mcp-session-id"), json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            return error.code, None, None

    return await asyncio.to_thread(blocking)


INITIALIZE = {
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}
CALL = {"id": 1, "method": "tools/call", "params": {"name": "hello"}}


@pytest.mark.parametrize("driver", ["hosted", "threaded"])
def test_a_session_is_served_by_any_server(tmp_path, driver):
    async def main():
        one, other = make(tmp_path / "store.db", driver=driver), make(str(tmp_path / "store.db"), driver=driver)
        async with one.serve_http() as first, other.serve_http() as second:
            status, session, _ = await send(first.url, **INITIALIZE)
            assert (status, bool(session)) == (200, True)
            status, _, answer = await send(second.url, session, **CALL)
            assert (status, answer["result"]["content"][0]["text"]) == (200, "hello")
            assert (await send(second.url, session, verb="DELETE"))[0] == 204
            while (await send(first.url, session, **CALL))[0] != 404:
                pass

    asyncio.run(main())


def test_changes_are_heard_at_any_server(tmp_path):
    async def main():
        one, other = make(tmp_path / "store.db"), make(tmp_path / "store.db")
        async with one.serve_http() as first, other.serve_http(), Client(first.url) as client:
            async with client.listen(tools=True) as changes:
                other.add_tool(lambda: "new", name="new")
                async for change in changes:
                    assert change == ToolsChanged()
                    break

    asyncio.run(main())


def test_a_store_that_cannot_be_opened(tmp_path):
    async def serve(store):
        async with make(store).serve_http():
            pass

    with pytest.raises(TransportError, match=r"none/store\.db"):
        asyncio.run(serve(tmp_path / "none" / "store.db"))
    with pytest.raises(UsageError, match="path"):
        asyncio.run(serve(""))
    (tmp_path / "text").write_text("this is no database, but long enough to be read as one")
    with pytest.raises(TransportError, match="not a database"):
        asyncio.run(serve(tmp_path / "text"))
