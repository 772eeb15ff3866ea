"""The host of programs without an event loop: the thread that waits for an answer turns the engine.

Of several waiting threads one leads: it watches the descriptor, drains and settles everybody's operations.
When its own has ended it hands the lead to the next. So there is no thread in the background, and nothing
keeps an idle program alive.
"""

from __future__ import annotations

import _thread
import os
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Mapping

from . import _native
from ._alarm import Alarm
from ._context import Context
from ._errors import McpError, from_native
from ._generated import EVENT_LISTENING, OUTCOME_TOOL_ERROR, ClosedError
from ._host import Host, Operation

if TYPE_CHECKING:
    from ._answers import Answerer
    from ._handler import Done, Handler
    from .server import Server

_BLIND_MS = 100
_CHANGING = -1


class SyncOperation(Operation):
    """An operation that a thread waits for."""

    __slots__ = ("done", "payload", "error", "gate", "promoted")

    def __init__(self) -> None:
        super().__init__()
        self.done = False
        self.payload: str | None = None
        self.error: BaseException | None = None
        self.gate: Any = None
        self.promoted = False

    def settle(self, payload: str | None, error: BaseException | None) -> None:
        if not self.done:
            self.payload = payload
            self.error = error
            self.done = True
        if self.on_end is not None:
            self.on_end(error)

    def result(self) -> str:
        """The result's JSON text, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.payload or "null"


class _Asked(SyncOperation):
    """The request of a handler: on a worker thread, or on the portal's loop."""

    __slots__ = ("host", "callback")

    def __init__(self, host: SyncHost) -> None:
        super().__init__()
        self.host = host
        self.callback: Callable[[], None] | None = None

    def settle(self, payload: str | None, error: BaseException | None) -> None:
        super().settle(payload, error)
        if self.callback is not None:
            self.callback()

    async def wait(self) -> str:
        import asyncio

        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def callback() -> None:
            try:
                loop.call_soon_threadsafe(ended.set)
            except RuntimeError:
                # The loop has been closed, and its waiter with it.
                pass

        # Register first, then check: the end may arrive from another thread in between.
        self.callback = callback
        if not self.done:
            await ended.wait()
        return self.result()

    def block(self) -> str:
        self.host.wait_for(self)
        return self.result()


class SyncHost(Host):
    """The host of `Server.run` with `def` handlers only, and of `SyncClient`."""

    def __init__(self, driver: str, options: Mapping[str, Any], server: Server | None) -> None:
        self._lock = _thread.allocate_lock()
        # The thread that leads; 0: none.
        self._leader = 0
        self._waiting: list[SyncOperation] = []
        self._portal: _Portal | None = None
        self._ready: list[Done] = []
        self._alarm = Alarm()
        super().__init__(driver, options, server)
        self._drain = self.engine.drain
        self._poll = _poller(self, self._alarm)

    def begin(self, name: str, *args: Any) -> tuple[int, SyncOperation]:
        """Starts an operation of the engine."""
        if os.getpid() != self._pid:
            # In a forked child a thread that does not exist there may hold the lock indefinitely; this call
            # reports that.
            self.call("fd")
        operation = self.operation()
        return self.enter(operation, name, *args), operation

    def enter(self, operation: Operation, name: str, *args: Any) -> int:
        """Starts an operation of the engine that was created before."""
        # Its end may be drained by another thread before this one has noted its id.
        with self._lock:
            id: int = self.call(name, *args)
            self.operations[id] = operation
        return id

    def operation(self) -> SyncOperation:
        """An operation that threads can wait for."""
        return SyncOperation()

    def ask(self, id: int, op: str, params: str) -> Any:
        asked = _Asked(self)
        try:
            self.enter(asked, "request", id, op, params)
        except McpError as error:
            asked.settle(None, error)
        return asked

    def find(self, id: int) -> Operation | None:
        with self._lock:
            return self.operations.get(id)

    def take(self, id: int) -> Operation | None:
        with self._lock:
            return self.operations.pop(id, None)

    def finish(self, id: int, operation: SyncOperation, reason: str = "cancelled by the caller") -> str:
        """Waits for an operation's result. An exception such as KeyboardInterrupt, or one of the caller's own
        progress callback, cancels it."""
        try:
            self.wait_for(operation)
            return operation.result()
        except BaseException:
            if self.take(id) is not None and not self.closed:
                self.call("cancel", id, reason)
            raise

    def wait_for(self, operation: SyncOperation) -> None:
        """Waits until the operation has ended; meanwhile, leads or follows."""
        me = _thread.get_ident()
        if self._leader == me:
            # Called from a callback or an inline handler, which this thread runs because it leads.
            while not operation.done:
                self.turn()
            return
        with self._lock:
            lead = not self._leader
            if lead:
                self._leader = me
            else:
                operation.gate = _thread.allocate_lock()
                operation.gate.acquire()
                # Enter the list first, then check: the leader settles first and reads the list then.
                self._waiting.append(operation)
                if operation.done:
                    self._waiting.remove(operation)
                    return
        try:
            if not lead:
                operation.gate.acquire()
                lead = operation.promoted
                if lead:
                    self._leader = me
            if lead:
                self._lead(operation)
        finally:
            with self._lock:
                if operation in self._waiting:
                    self._waiting.remove(operation)
                if lead or operation.promoted:
                    self._pass_on()

    def _lead(self, operation: SyncOperation) -> None:
        with self._alarm:
            while not operation.done:
                self.turn()

    def turn(self) -> None:
        """Waits until there is something to drain, and handles it."""
        if not self._ready and not self.left:
            self._poll()
        while True:
            done, self._ready = self._ready, []
            try:
                events = self._drain(done)
            except _native.NativeError as error:
                raise from_native(error) from None
            if not events and not self.left:
                break
            # A separate list: the callbacks may turn the engine themselves.
            answers: list[Done] = []
            try:
                self.dispatch(events, answers)
            finally:
                self._ready += answers
        if self._waiting:
            self.free()

    def free(self) -> None:
        """Wakes the threads whose operations have ended."""
        with self._lock:
            ended = [op for op in self._waiting if op.done]
            for op in ended:
                self._waiting.remove(op)
                op.gate.release()

    def _pass_on(self) -> None:
        while self._waiting:
            following = self._waiting.pop(0)
            following.promoted = not following.done
            following.gate.release()
            if following.promoted:
                # No thread may take the lead until that thread has woken and registered itself.
                self._leader = _CHANGING
                return
        self._leader = 0

    # ------------------------------------------------------------------------------- `async def` handlers

    def run_async(self, handler: Handler | Answerer, id: int, context: Context | None, coro: Any) -> Done | None:
        future = self._loop().submit(coro)
        if context is not None:
            context._task = future
        self.running[id] = future if context is None else context
        future.add_done_callback(partial(self._finished, handler, id, context))
        return None

    def spawn(self, coro: Any) -> None:
        self._loop().submit(coro)

    def _loop(self) -> _Portal:
        if self._portal is None:
            self._portal = _Portal()
        return self._portal

    def _finished(self, handler: Handler | Answerer, id: int, context: Context | None, future: Any) -> None:
        self.running.pop(id, None)
        if future.cancelled():
            done = (id, OUTCOME_TOOL_ERROR, "cancelled")
        else:
            try:
                done = (id, *handler.encode(future.result()))
            except BaseException as error:
                done = (id, *handler.failure(error, context))
        try:
            self.engine.complete(*done)
        except _native.NativeError:
            pass

    # ----------------------------------------------------------------------------------------- lifetime

    def release(self) -> None:
        """One user less. The last one closes the engine."""
        self.holds -= 1
        if self.holds <= 0:
            self.shut()

    def shut(self, deadline_ms: int = 1000) -> None:
        if self.closed:
            return
        for entry in list(self.running.values()):
            entry._cancel() if type(entry) is Context else entry.cancel()
        super().shut(deadline_ms)
        self._alarm.close()
        if self._portal is not None:
            self._portal.close()
        if self.server is not None:
            self.server._forget(self)
        with self._lock:
            pending = list(self.operations.values())
            self.operations.clear()
        error = ClosedError("the engine is closed")
        for operation in pending:
            operation.settle(None, error)
        self.free()


class _Portal:
    """A thread with an asyncio loop, for `async def` handlers of a server whose own thread has none."""

    def __init__(self) -> None:
        import asyncio
        from threading import Thread

        self.loop = asyncio.new_event_loop()
        self._submit = asyncio.run_coroutine_threadsafe
        self._thread = Thread(target=self._run, name="trunnion-portal", daemon=True)
        self._thread.start()

    def submit(self, coro: Any) -> Any:
        return self._submit(coro, self.loop)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(1)

    def _run(self) -> None:
        import asyncio

        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            tasks = asyncio.all_tasks(self.loop)
            for task in tasks:
                task.cancel()
            if tasks:
                self.loop.run_until_complete(asyncio.wait(tasks, timeout=0.5))
        finally:
            self.loop.close()


def _poller(host: SyncHost, alarm: Alarm) -> Callable[[], Any]:
    """Returns a function that waits for the descriptors with `poll`, which signals interrupt; else for the
    engine, in short spans."""
    fd = host.call("fd")
    try:
        from select import POLLIN, poll
    except ImportError:
        fd = -1
    if fd < 0:
        return lambda: host.engine.wait(_BLIND_MS)
    poller = poll()
    poller.register(fd, POLLIN)
    poller.register(alarm.fd, POLLIN)

    def wait() -> None:
        for ready, _ in poller.poll():
            if ready == alarm.fd:
                alarm.drain()

    return wait


class _Stop(SystemExit):
    """The exception for a signal that asked the server to end. Like its base it passes through inline
    handlers."""


def run(server: Server, driver: str, serve: str, options: str, announce: Callable[[str], None]) -> None:
    """Serves on this thread until the peer closes the stream or a signal arrives."""
    host = SyncHost(driver, server._engine_options, server)
    server._host = host
    host.retain()
    restore: Callable[[], None] | None = None
    try:
        id, operation = host.begin(serve, host.handle, options)
        operation.listeners[EVENT_LISTENING] = lambda body: announce(body["url"])
        restore = _on_signals(operation)
        host.finish(id, operation)
    except (KeyboardInterrupt, _Stop):
        pass
    except McpError as error:
        if error.kind not in ("cancelled", "closed"):
            raise
    finally:
        if restore is not None:
            restore()
        host.release()


def _on_signals(operation: SyncOperation) -> Callable[[], None]:
    from threading import current_thread, main_thread

    if current_thread() is not main_thread():
        return lambda: None
    import signal

    def stop(*_: Any) -> None:
        # The exception may be swallowed at the point where the signal arrives, as in a finalizer; this is
        # not.
        operation.settle(None, ClosedError("a signal came"))
        raise _Stop

    # SIGINT too: a shell starts background jobs with it ignored, and Python does not change that.
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            if handler is not None:  # a handler that Python did not install cannot be restored
                signal.signal(number, handler)

    return restore
