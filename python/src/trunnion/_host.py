"""The host of one engine: its events run handlers and settle operations.

`Host` handles the events. The subclasses implement the waiting of the thread and the running of handlers:
`_aio.AsyncHost` lives on an asyncio loop, `_sync.SyncHost` on the threads that wait for an answer.
"""

from __future__ import annotations

import atexit
import os
from collections import deque
from typing import TYPE_CHECKING, Any, Callable, Mapping
from weakref import WeakSet

from . import _native
from ._context import Context
from ._errors import McpError, from_event, from_native
from ._generated import (
    EVENT_AUTHORIZE,
    EVENT_CANCELLED,
    EVENT_CLOSED,
    EVENT_COMPLETE,
    EVENT_CREDENTIALS,
    EVENT_ELICIT,
    EVENT_ERROR,
    EVENT_HTTP_CHUNK,
    EVENT_HTTP_HEAD,
    EVENT_LISTENING,
    EVENT_NOTIFICATION,
    EVENT_PROGRESS,
    EVENT_RESULT,
    EVENT_VERIFY_TOKEN,
    OUTCOME_ERROR,
)
from ._json import dumps, loads
from ._signature import is_async

if TYPE_CHECKING:
    from ._answers import Answerer
    from ._handler import Done, Handler
    from .server import Server

_NOBODY = '{"code":-32601,"message":"nobody answers that here"}'
_GONE = '{"code":-32603,"message":"the handler was removed"}'
_open: WeakSet[Host] = WeakSet()
Event = tuple[int, int, int, str]


class Operation:
    """A request to the engine that ends with one result or one error."""

    __slots__ = ("listeners", "on_end")

    def __init__(self) -> None:
        self.on_end: Callable[[BaseException | None], None] | None = None
        # By the kind of event: progress, listening, notification and so on.
        self.listeners: dict[int, Callable[[Any], None]] = {}

    def settle(self, payload: str | None, error: McpError | None) -> None:
        """Called once, with the result's JSON text or the error."""
        raise NotImplementedError


class Host:
    """The engine of one server, or of clients.

    Args:
        driver: `hosted` or `threaded`.
        options: engine options, as the engine spells them.
        server: the server whose handlers answer, if any.
    """

    # Class default until there is something to close.
    closed = True

    def __init__(self, driver: str, options: Mapping[str, Any], server: Server | None) -> None:
        try:
            self.engine = _native.Engine(dumps({"driver": driver, **options}))
        except _native.NativeError as error:
            raise from_native(error) from None
        self.server = server
        self.handle = 0
        self.handlers: dict[int, Handler] = {} if server is None else server._handlers
        self.operations: dict[int, Operation] = {}
        self.clients: dict[int, Any] = {}
        self.running: dict[int, Any] = {}
        self.left: deque[Event] = deque()
        self.holds = 0
        self.closed = False
        self._pid = os.getpid()
        self._pool: Any = None
        if not _open:
            atexit.register(_close_all)
        _open.add(self)
        if server is not None:
            try:
                self.handle = self.call("server_new", dumps(server._definition))
                for item in server._items.values():
                    item.add(self)
            except BaseException:
                self.shut()
                raise

    def call(self, name: str, *args: Any) -> Any:
        """Calls the native engine; its failures are raised as `McpError`s."""
        try:
            return getattr(self.engine, name)(*args)
        except _native.NativeError as error:
            raise from_native(error) from None

    def dispatch(self, events: list[Event], done: list[Done]) -> None:
        """Handles events. Answers that are ready at once are appended to `done`."""
        handlers = self.handlers
        # One queue for all: a callback may turn the engine itself, and must find earlier events first; an
        # interrupt ends the current work of this thread, and the other events must still be handled.
        queue = self.left
        queue.extend(events)
        while queue:
            kind, id, target, payload = queue.popleft()
            if kind <= EVENT_COMPLETE:
                handler = handlers.get(target)
                answer = (id, OUTCOME_ERROR, _GONE) if handler is None else handler.start(self, id, payload)
                if answer is not None:
                    done.append(answer)
            elif EVENT_ELICIT <= kind <= EVENT_AUTHORIZE or kind == EVENT_CREDENTIALS:
                answer = self._asked(kind, id, target, payload)
                if answer is not None:
                    done.append(answer)
            elif kind == EVENT_VERIFY_TOKEN:
                verifier = None if self.server is None else self.server._verifier
                answer = (id, OUTCOME_ERROR, _NOBODY) if verifier is None else verifier.start(self, id, payload)
                if answer is not None:
                    done.append(answer)
            else:
                self._other(kind, id, payload)

    def _asked(self, kind: int, id: int, target: int, payload: str) -> Done | None:
        client = self.clients.get(target)
        answerer = None if client is None else client._answerers.get(kind)
        return (id, OUTCOME_ERROR, _NOBODY) if answerer is None else answerer.start(self, id, payload)

    def _other(self, kind: int, id: int, payload: str) -> None:
        if kind == EVENT_CANCELLED:
            entry = self.running.pop(id, None)
            if entry is not None:
                reason = loads(payload).get("reason")
                entry._cancel(reason) if type(entry) is Context else entry.cancel()
        elif kind == EVENT_RESULT:
            operation = self.take(id)
            if operation is not None:
                operation.settle(payload, None)
        elif kind == EVENT_ERROR:
            operation = self.take(id)
            if operation is not None:
                operation.settle(None, from_event(payload))
        elif kind == EVENT_NOTIFICATION:
            self._heard(id, loads(payload))
        elif kind in (EVENT_PROGRESS, EVENT_LISTENING, EVENT_HTTP_HEAD, EVENT_HTTP_CHUNK):
            operation = self.find(id)
            listener = None if operation is None else operation.listeners.get(kind)
            if listener is not None:
                listener(loads(payload))
        elif kind == EVENT_CLOSED:
            client = self.clients.pop(id, None)
            if client is not None:
                client._disconnected(loads(payload))

    def _heard(self, id: int, body: dict[str, Any]) -> None:
        client = self.clients.get(id)
        if client is not None:
            client._notified(body)
            return
        if id == self.handle and self.server is not None:
            self.server._notified(self, body)
            return
        operation = self.find(id)
        listener = None if operation is None else operation.listeners.get(EVENT_NOTIFICATION)
        if listener is not None:
            listener(body)

    def find(self, id: int) -> Operation | None:
        """An operation that has not ended."""
        return self.operations.get(id)

    def take(self, id: int) -> Operation | None:
        """Removes an operation that has ended."""
        return self.operations.pop(id, None)

    def ask(self, id: int, op: str, params: str) -> Any:
        """Starts an operation of an exchange, such as an input request to its client. The returned object has
        `wait()`, a coroutine, for `async def` handlers, and `block()` for `def` handlers on their worker
        threads; both return the result's JSON text."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------------ running handlers

    def run_callback(self, fn: Callable[[], Any], what: str) -> None:
        """Runs a callback of the user's without a waiter; its exceptions are logged."""
        from contextvars import copy_context

        if is_async(fn):
            self.spawn(_logged(fn, what))
        else:
            self.pool().submit(copy_context().run, _log_failure, fn, what)

    def spawn(self, coro: Any) -> None:
        """Runs a coroutine without a waiter."""
        raise NotImplementedError

    def pool(self) -> Any:
        """The worker threads."""
        if self._pool is None:
            from ._pool import Pool

            self._pool = Pool()
        return self._pool

    def run_async(self, handler: Handler | Answerer, id: int, context: Context | None, coro: Any) -> Done | None:
        """Runs a coroutine for one exchange."""
        raise NotImplementedError

    def run_thread(self, handler: Handler | Answerer, id: int, context: Context | None, arguments: dict[str, Any]) -> None:
        """Runs a `def` handler on a worker thread, with the current context variables."""
        if context is not None:
            self.running[id] = context
        from contextvars import copy_context

        self.pool().submit(copy_context().run, self._work, handler, id, arguments)

    def _work(self, handler: Handler | Answerer, id: int, arguments: dict[str, Any]) -> None:
        done = handler.run(id, arguments)
        self.running.pop(id, None)
        # Independent of the engine's state, there is no caller to report to.
        try:
            self.engine.complete(*done)
        except _native.NativeError:
            pass

    # --------------------------------------------------------------------------------------------- lifetime

    def retain(self) -> None:
        """One more user: a serve operation or a client."""
        self.holds += 1

    def __del__(self) -> None:
        if self.closed:
            return
        # Nothing can reach it any more, so nothing waits.
        what = ", ".join(repr(client) for client in self.clients.values()) or "a server that was served"
        self.shut(0)
        from warnings import warn

        warn(f"never closed: {what}", ResourceWarning, stacklevel=2, source=self)

    def shut(self, deadline_ms: int = 1000) -> None:
        """Stops everything. Idempotent."""
        if self.closed:
            return
        self.closed = True
        _open.discard(self)
        if self._pool is not None:
            self._pool.close()
        if os.getpid() == self._pid:
            self.engine.close(deadline_ms)


async def _logged(fn: Callable[[], Any], what: str) -> None:
    try:
        await fn()
    except Exception as error:
        _complain(what, error)


def _log_failure(fn: Callable[[], Any], what: str) -> None:
    try:
        fn()
    except Exception as error:
        _complain(what, error)


def _complain(what: str, error: Exception) -> None:
    from logging import getLogger

    getLogger("trunnion").error("%s failed", what, exc_info=error)


def live_engines() -> list[Any]:
    """The native engines that are open in this process."""
    return [host.engine for host in _open]


def _close_all() -> None:
    for host in list(_open):
        host.shut(200)
