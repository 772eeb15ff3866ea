"""Transports of a server on an asyncio loop."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any, Callable

from ._errors import McpError
from ._generated import EVENT_LISTENING, ClosedError

if TYPE_CHECKING:
    from ._aio import AsyncHost, AsyncOperation
    from .server import Server


class Serving:
    """One transport of a server while it is served. Use it with `async with`.

    Attributes:
        url: the URL for clients, for example `http://127.0.0.1:8000/mcp`; empty for stdio.
        host: the bound address.
        port: the bound port.
    """

    def __init__(self, server: Server, function: str, options: str, listens: bool) -> None:
        self.url = ""
        self.host = ""
        self.port = 0
        self._server = server
        self._function = function
        self._options = options
        self._listens = listens
        self._host: AsyncHost | None = None
        self._id = 0
        self._operation: AsyncOperation | None = None

    async def __aenter__(self) -> Serving:
        host = self._host = self._server._async_host()
        host.retain()
        try:
            self._id, self._operation = host.begin(self._function, host.handle, self._options)
            if self._listens:
                await self._listen(host.loop.create_future())
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.close()

    def carrier(self) -> tuple[AsyncHost, int]:
        """The host and the endpoint, for the ASGI application that embeds its HTTP.

        Raises:
            ClosedError: it was closed.
        """
        if self._host is None:
            raise ClosedError("the server is closed")
        return self._host, self._id

    async def wait(self) -> None:
        """Waits until the transport has ended: the peer closed it, or `close` was called.

        Raises:
            McpError: it ended by a failure.
        """
        if self._operation is None:
            return
        try:
            await asyncio.shield(self._operation.future)
        except McpError as error:
            if error.kind not in ("cancelled", "closed"):
                raise

    async def close(self, grace: float = 1.0) -> None:
        """Ends it. Idempotent.

        New requests are refused; requests in progress have `grace` seconds before their handlers are
        cancelled.
        """
        host, self._host = self._host, None
        if host is None:
            return
        operation = self._operation
        if operation is not None and not operation.future.done() and not host.closed:
            host.call("cancel", self._id, "the server is closing")
            host.schedule()
            await asyncio.wait([operation.future], timeout=grace)
        await host.release()

    async def _listen(self, listening: asyncio.Future[Any]) -> None:
        operation = self._operation
        assert operation is not None

        def on_listening(body: dict[str, Any]) -> None:
            if not listening.done():
                listening.set_result(body)

        operation.listeners[EVENT_LISTENING] = on_listening
        await asyncio.wait([listening, operation.future], return_when=asyncio.FIRST_COMPLETED)
        if not listening.done():
            operation.future.result()
        body = listening.result()
        self.url, self.host, self.port = body["url"], body["host"], body["port"]


async def run_async(server: Server, function: str, options: str, announce: Callable[[str], None]) -> None:
    """Serves until the peer closes the stream or a signal arrives."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    signals = []
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
            signals.append(number)
        except (NotImplementedError, RuntimeError, ValueError):
            # Windows, or not the main thread: KeyboardInterrupt ends `asyncio.run`.
            pass
    listens = function == "serve_http"
    try:
        async with Serving(server, function, options, listens) as serving:
            if listens:
                announce(serving.url)
            ended = asyncio.ensure_future(serving.wait())
            asked = asyncio.ensure_future(stop.wait())
            try:
                await asyncio.wait([ended, asked], return_when=asyncio.FIRST_COMPLETED)
                if ended.done():
                    ended.result()
            finally:
                for task in (ended, asked):
                    task.cancel()
                await asyncio.gather(ended, asked, return_exceptions=True)
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
