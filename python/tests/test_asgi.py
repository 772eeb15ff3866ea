"""Servers as ASGI applications, mounted in a small web server of the test's own."""

import asyncio
import http.client
import json
from urllib.parse import urlsplit

import pytest

from trunnion import Client, Context, McpError, Server, TransportError

ERAS = ("modern", "legacy")


def make():
    server = Server("carried")
    server.left = left = asyncio.Event()

    @server.tool
    async def ok(text: str = "ok") -> str:
        return text

    @server.tool
    async def steps(ctx: Context) -> str:
        for n in range(3):
            ctx.progress(n)
        return "done"

    @server.tool
    async def hang(ctx: Context) -> None:
        ctx.progress(1)
        try:
            await asyncio.Event().wait()
        finally:
            left.set()

    return server


class Web:
    """HTTP/1.1 to ASGI, one request per connection."""

    def __init__(self, app, root=""):
        self.app = app
        self.root = root

    async def __aenter__(self):
        self.listener = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        host, port = self.listener.sockets[0].getsockname()
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_):
        self.listener.close()
        await self.app.aclose()

    async def answer(self, reader, writer):
        try:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        except asyncio.IncompleteReadError:
            writer.close()
            return
        method, target, _ = lines[0].split(" ")
        headers = [(n.lower().encode(), v.strip().encode()) for n, _, v in (x.partition(":") for x in lines[1:-2])]
        length = int(dict(headers).get(b"content-length", b"0"))
        body = await reader.readexactly(length)
        path, _, query = target.partition("?")
        halves = [body[: length // 2], body[length // 2 :]]
        messages = [
            {"type": "http.request", "body": halves[0], "more_body": True},
            {"type": "http.request", "body": halves[1], "more_body": False},
        ]

        async def receive():
            if messages:
                return messages.pop(0)
            await reader.read()
            return {"type": "http.disconnect"}

        async def send(message):
            if message["type"] == "http.response.start":
                head = [b"HTTP/1.1 %d X" % message["status"], b"connection: close"]
                head += [name + b": " + value for name, value in message["headers"] if name != b"connection"]
                writer.write(b"\r\n".join(head) + b"\r\n\r\n")
            else:
                writer.write(message["body"])
            await writer.drain()

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "root_path": self.root,
            "query_string": query.encode(),
            "headers": headers,
            "client": writer.get_extra_info("peername"),
        }
        try:
            await self.app(scope, receive, send)
        except ConnectionError:
            pass
        finally:
            writer.close()


@pytest.mark.parametrize("era", ERAS)
def test_calls(era):
    async def main():
        async with Web(make().asgi()) as web, Client(f"{web.url}/mcp", era=era) as client:
            assert (await client.call_tool("ok")).text == "ok"
            assert (await client.call_tool("ok", {"text": "ü" * 100_000})).text == "ü" * 100_000
            heard = []
            result = await client.call_tool("steps", progress=lambda done, *_: heard.append(done))
            assert (result.text, heard) == ("done", [0, 1, 2])

    asyncio.run(main())


def fastapi(mcp, how):
    """A FastAPI application in which the server is mounted."""
    from fastapi import FastAPI

    app = FastAPI()
    if how == "route":
        app.add_route("/mcp", mcp)
    else:
        app.mount("/", mcp)
    app.aclose = mcp.aclose
    return app


@pytest.mark.parametrize("how", ["route", "mounted at the root"])
def test_fastapi_carries_it_without_a_redirect(how):
    pytest.importorskip("fastapi")

    async def main():
        async with Web(fastapi(make().asgi(), how)) as web:
            status, _ = await asyncio.to_thread(posted, f"{web.url}/mcp")
            assert status == 200
            for era in ERAS:
                async with Client(f"{web.url}/mcp", era=era) as client:
                    assert (await client.call_tool("ok", {"text": era})).text == era

    asyncio.run(main())


def posted(url):
    """Status and body of a modern request."""
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {"_meta": meta}})
    headers = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "server/discover",
    }
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname, place.port)
    connection.request("POST", place.path, body, headers)
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


@pytest.mark.parametrize("era", ERAS)
def test_a_caller_who_leaves(era):
    async def main():
        server = make()
        async with Web(server.asgi()) as web, Client(f"{web.url}/mcp", era=era) as client:
            moving = asyncio.Event()
            call = asyncio.ensure_future(client.call_tool("hang", progress=lambda *_: moving.set()))
            await moving.wait()
            call.cancel()
            await asyncio.wait_for(server.left.wait(), 30)

    asyncio.run(main())


def test_where_it_answers():
    async def main():
        for root, path, there in (
            ("", "/mcp", True),
            ("", "/other", False),
            # As Starlette has it where one is mounted at /mcp.
            ("/mcp", "/mcp", True),
            ("/mcp", "/mcp/", True),
            ("/tools", "/tools", True),
            ("/tools", "/tools/", True),
            ("/tools", "/tools/mcp", True),
            ("/tools", "/tools/other", False),
        ):
            async with Web(make().asgi(), root) as web:
                if there:
                    async with Client(web.url + path) as client:
                        assert (await client.call_tool("ok")).text == "ok"
                else:
                    with pytest.raises(McpError):
                        await Client(web.url + path).connect()

    asyncio.run(main())


def test_the_lifespan():
    async def main():
        app = make().asgi()
        said = asyncio.Queue()
        heard = asyncio.Queue()
        living = asyncio.ensure_future(app({"type": "lifespan"}, heard.get, said.put))
        await heard.put({"type": "lifespan.startup"})
        assert await said.get() == {"type": "lifespan.startup.complete"}
        await heard.put({"type": "lifespan.shutdown"})
        assert await said.get() == {"type": "lifespan.shutdown.complete"}
        await living

    asyncio.run(main())


def test_a_lifespan_that_cannot_begin():
    async def main():
        app = make().asgi(public_url="nonsense")
        said = asyncio.Queue()
        heard = asyncio.Queue()
        await heard.put({"type": "lifespan.startup"})
        await app({"type": "lifespan"}, heard.get, said.put)
        failed = await said.get()
        assert failed["type"] == "lifespan.startup.failed" and "publicUrl" in failed["message"]

    asyncio.run(main())


async def exchange(app, body, headers=(), **scope):
    """One request by hand: the status and the body."""
    said = []
    messages = [{"type": "http.request", "body": body}]

    async def receive():
        if not messages:
            await asyncio.Event().wait()
        return messages.pop()

    async def send(message):
        said.append(message)

    head = [(b"host", b"localhost"), (b"content-type", b"application/json"), *headers]
    given = {"type": "http", "method": "POST", "path": "/mcp", "headers": head, **scope}
    await app(given, receive, send)
    return said[0]["status"] if said else None, b"".join(part.get("body", b"") for part in said[1:])


def test_requests_that_are_refused():
    async def main():
        app = make().asgi()
        accept = (b"accept", b"application/json, text/event-stream")
        many = json.dumps({"a": "x" * (4 << 20)}).encode()
        try:
            assert (await exchange(app, b"{", [accept]))[0] == 400
            assert (await exchange(app, many, [accept]))[0] == 413
            assert (await exchange(app, b"{}", [accept, (b"x-bad", b"\xff\x00")]))[0] == 400
            assert (await exchange(app, b"{}", [accept, (b"origin", b"http://evil.example")]))[0] == 403
            assert (await exchange(app, b"{}", [accept], client=("testclient", 1)))[0] == 400
        finally:
            await app.aclose()
            await app.aclose()

    asyncio.run(main())


def test_what_is_no_http():
    async def main():
        app = make().asgi()
        said = []

        async def receive():
            return {"type": "websocket.connect"}

        async def send(message):
            said.append(message)

        await app({"type": "websocket"}, receive, send)
        assert said == [{"type": "websocket.close", "code": 1000}]
        with pytest.raises(ValueError):
            await app({"type": "carrier pigeon"}, receive, send)

    asyncio.run(main())


def test_options():
    server = make()
    for options in ({"host": "::"}, {"port": 1}, {"carried": True}, {"nonsense": 1}):
        with pytest.raises(TypeError):
            server.asgi(**options)
    with pytest.raises(TypeError):
        server.serve_http(carried=True)
    assert server.asgi(session_idle=1.5)._options == {"sessionIdleMs": 1500, "carried": True}


def test_sessions_can_be_done_without():
    async def main():
        async with make().serve_http(sessions=False) as serving:
            async with Client(serving.url, era="legacy") as client:
                assert (await client.call_tool("ok")).text == "ok"
        with pytest.raises(TransportError):
            await Client(serving.url).connect()

    asyncio.run(main())
