"""A server as an ASGI 3 application: Streamable HTTP embedded in another web server."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ._aio import AsyncOperation
from ._errors import McpError
from ._generated import EVENT_HTTP_CHUNK, EVENT_HTTP_HEAD
from ._json import dumps
from ._serve import Serving

if TYPE_CHECKING:
    from ._aio import AsyncHost
    from .server import Server

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# The limit of queued characters of a response for a caller that does not read; above it the response is cut
# off.
_WAITING = 16 << 20
# The engine's own default limit of a body; it refuses longer ones, so no more is read.
_BODY = 4 << 20


class AsgiApp:
    """The ASGI application of `Server.asgi`. It belongs to the loop that first uses it."""

    def __init__(self, server: Server, options: dict[str, Any]) -> None:
        self._server = server
        self._options = options
        self._path: str = options.get("path", "/mcp")
        self._limit: int = server._engine_options.get("maxMessageBytes", _BODY)
        self._serving: Serving | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or runs through the lifespan of the application."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        else:
            raise ValueError(f"an ASGI scope of type {scope['type']!r}")

    async def aclose(self) -> None:
        """Closes it, if no lifespan does. Calling this again does nothing."""
        serving, self._serving = self._serving, None
        if serving is not None:
            await serving.close()

    async def _start(self) -> Serving:
        if self._serving is None:
            # Entering does not wait: the first of several requests does it.
            serving = Serving(self._server, "serve_http", dumps(self._options), listens=False)
            self._serving = await serving.__aenter__()
        return self._serving

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self._start()
                except Exception as error:
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.aclose()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive, self._limit)
        if body is None:
            return
        serving = await self._start()
        host, endpoint = serving.carrier()
        try:
            id, response = _Response.begin(host, endpoint, dumps(self._head(scope)), body)
        except McpError as error:
            await _refuse(send, 503 if error.kind == "closed" else 400, error.message)
            return
        leaving = asyncio.ensure_future(_left(receive, response))
        try:
            await response.send_to(send)
        finally:
            leaving.cancel()
            if host.take(id) is not None and not host.closed:
                host.call("cancel", id, "the caller has left")
                host.schedule()

    def _head(self, scope: Scope) -> dict[str, Any]:
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        if root and path.startswith(root):
            # The framework that mounted it leaves its own part in the path.
            path = path[len(root) :]
        if root and path in ("", "/"):
            path = self._path
        query = scope.get("query_string", b"").decode("latin-1")
        head = {
            "method": scope["method"],
            "target": quote(path or "/", safe="/:@!$&'()*+,;=~") + (f"?{query}" if query else ""),
            "headers": [[n.decode("latin-1"), v.decode("latin-1")] for n, v in scope["headers"]],
        }
        peer = _address(scope.get("client"))
        if peer is not None:
            head["peer"] = peer
        return head


class _Response(AsyncOperation):
    """A response while it arrives: filled by the engine, sent by `send_to`."""

    __slots__ = ("_parts", "_waiting", "_more", "_over", "_left")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._parts: deque[dict[str, Any]] = deque()
        self._waiting = 0
        self._more = asyncio.Event()
        self._over = False
        self._left = False
        self.listeners[EVENT_HTTP_HEAD] = self._head
        self.listeners[EVENT_HTTP_CHUNK] = self._chunk

    @classmethod
    def begin(cls, host: AsyncHost, endpoint: int, head: str, body: bytes) -> tuple[int, _Response]:
        """Sends a request to the engine."""
        response = cls(host.loop)
        return host.enter(response, "http_request", endpoint, head, body), response

    def settle(self, payload: str | None, error: McpError | None) -> None:
        super().settle(payload, error)
        self._over = True
        self._more.set()

    def give_up(self) -> None:
        """Cancels the request: the caller has disconnected, or does not read."""
        self._parts.clear()
        self._over = self._left = True
        self._more.set()

    async def send_to(self, send: Send) -> None:
        """Sends the response until it is complete or the caller has disconnected."""
        started = False
        while True:
            while self._parts:
                part = self._parts.popleft()
                self._waiting -= len(part.get("body", b""))
                started = True
                await send(part)
            if self._over:
                break
            self._more.clear()
            await self._more.wait()
        if self._left:
            return
        if self.future.exception() is None:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        elif not started:
            await _refuse(send, 503, "the server is closing")

    def _head(self, head: dict[str, Any]) -> None:
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in head["headers"]]
        self._push({"type": "http.response.start", "status": head["status"], "headers": headers})

    def _chunk(self, text: str) -> None:
        if self._waiting > _WAITING:
            self.give_up()
            return
        body = text.encode()
        self._waiting += len(body)
        self._push({"type": "http.response.body", "body": body, "more_body": True})

    def _push(self, part: dict[str, Any]) -> None:
        if not self._over:
            self._parts.append(part)
            self._more.set()


async def _body(receive: Receive, limit: int) -> bytes | None:
    """The request's body, or enough of it to be refused; None if the caller has disconnected."""
    parts: list[bytes] = []
    size = 0
    while size <= limit:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if not message.get("more_body", False):
            break
    return b"".join(parts)


async def _left(receive: Receive, response: _Response) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    response.give_up()


async def _refuse(send: Send, status: int, message: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": message.encode()})


def _address(client: Any) -> str | None:
    """The address of the peer; None if there is no IP address, as over a Unix socket."""
    from ipaddress import ip_address

    try:
        return str(ip_address(client[0]))
    except (TypeError, IndexError, ValueError):
        return None
