"""The host on an asyncio loop: it watches the engine's descriptor and drains on readiness."""

from __future__ import annotations

import _thread
import asyncio
import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Coroutine, Mapping

from . import _native
from ._context import Context
from ._errors import McpError, from_native
from ._generated import OUTCOME_TOOL_ERROR
from ._host import Host, Operation

if TYPE_CHECKING:
    from ._answers import Answerer
    from ._handler import Done, Handler
    from .server import Server

# Turns of the engine in one pass of the loop. More would answer a busy peer sooner and starve the rest.
_BURST = 8
# On a stuck close the loop must not hang: the rest is stopped hard.
_CLOSE_MS = 1000


class AsyncOperation(Operation):
    """An operation whose end is a future of the loop. A result that arrives after the future was cancelled is
    dropped."""

    __slots__ = ("future",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.future: asyncio.Future[str] = loop.create_future()

    def settle(self, payload: str | None, error: McpError | None) -> None:
        if self.on_end is not None:
            self.on_end(error)
        if self.future.done():
            return
        if error is not None:
            self.future.set_exception(error)
            # The waiter gets the exception; without a waiter, it is not an error.
            self.future.exception()
        else:
            self.future.set_result(payload or "null")


class _Asked:
    """The request of a handler on the loop's own thread."""

    __slots__ = ("host", "id", "operation")

    def __init__(self, host: AsyncHost, id: int, operation: AsyncOperation) -> None:
        self.host = host
        self.id = id
        self.operation = operation

    async def wait(self) -> str:
        return await self.host.finish(self.id, self.operation)

    def block(self) -> str:
        raise RuntimeError("an inline handler cannot wait: this thread serves the client and the store")


class _ThreadAsked(Operation):
    """The request of a handler on a worker thread."""

    __slots__ = ("gate", "payload", "error")

    def __init__(self) -> None:
        super().__init__()
        self.gate = _thread.allocate_lock()
        self.gate.acquire()
        self.payload = ""
        self.error: McpError | None = None

    def settle(self, payload: str | None, error: McpError | None) -> None:
        self.payload = payload or "null"
        self.error = error
        if self.gate.locked():
            self.gate.release()

    async def wait(self) -> str:
        raise RuntimeError("a handler on a worker thread takes the result() of what it asks")

    def block(self) -> str:
        with self.gate:
            pass
        if self.error is not None:
            raise self.error
        return self.payload


class AsyncHost(Host):
    """The host of the running loop. Everything but `Host._work` and its requests happens on that loop's
    thread."""

    def __init__(self, driver: str, options: Mapping[str, Any], server: Server | None) -> None:
        self.loop = asyncio.get_running_loop()
        self._thread = _thread.get_ident()
        self._ready: list[Done] = []
        self._scheduled = False
        self._gone: asyncio.Future[None] | None = None
        super().__init__(driver, options, server)
        self._drain = self.engine.drain
        self._spawn = _spawner(self.loop)
        self._callbacks: set[asyncio.Task[Any]] = set()
        self._fd: int = self.call("fd")
        if self._fd >= 0:
            self.loop.add_reader(self._fd, self._turn)
        else:
            self._pump()
        self.schedule()

    # ----------------------------------------------------------------------------------------------- events

    def schedule(self) -> None:
        """Turns the engine once more in this pass of the loop."""
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        self._turn()

    def _turn(self) -> None:
        if self.closed:
            return
        drain = self._drain
        done = self._ready
        self._ready = []
        try:
            for _ in range(_BURST):
                events = drain(done)
                done = []
                if not events and not self.left:
                    break
                self.dispatch(events, done)
        except _native.NativeError as error:
            self._unwatch()
            raise from_native(error) from None
        finally:
            if done or self.left:
                self._ready += done
                self.schedule()

    def _pump(self) -> None:
        # Without a descriptor (Windows) one thread waits for the loop.
        from threading import Event, Thread

        drained = Event()

        def turn() -> None:
            self._turn()
            drained.set()

        def wait() -> None:
            while not self.closed:
                if not self.engine.wait(250):
                    continue
                drained.clear()
                try:
                    self.loop.call_soon_threadsafe(turn)
                except RuntimeError:
                    return
                drained.wait(1)

        Thread(target=wait, name="trunnion-pump", daemon=True).start()

    # --------------------------------------------------------------------------------------------- handlers

    def run_async(self, handler: Handler | Answerer, id: int, context: Context | None, coro: Any) -> Done | None:
        task = self._spawn(coro)
        if task.done():
            return _outcome(handler, id, task)
        if context is not None:
            context._task = task
        self.running[id] = task if context is None else context
        task.add_done_callback(partial(self._finished, handler, id, context))
        return None

    def _finished(self, handler: Handler | Answerer, id: int, context: Context | None, task: asyncio.Task[Any]) -> None:
        self.running.pop(id, None)
        self._ready.append(_outcome(handler, id, task, context))
        self.schedule()

    def spawn(self, coro: Any) -> None:
        # The loop itself holds tasks weakly.
        task = self.loop.create_task(coro)
        self._callbacks.add(task)
        task.add_done_callback(self._callbacks.discard)

    def ask(self, id: int, op: str, params: str) -> Any:
        if _thread.get_ident() == self._thread:
            return _Asked(self, *self.begin("request", id, op, params))
        asked = _ThreadAsked()
        try:
            self.loop.call_soon_threadsafe(self._ask, asked, id, op, params)
        except RuntimeError:
            asked.settle(None, _closed())
        return asked

    def _ask(self, asked: _ThreadAsked, id: int, op: str, params: str) -> None:
        try:
            self.enter(asked, "request", id, op, params)
        except McpError as error:
            asked.settle(None, error)

    # ------------------------------------------------------------------------------------------- operations

    def begin(self, name: str, *args: Any) -> tuple[int, AsyncOperation]:
        """Starts an operation of the engine; its future ends on this loop."""
        operation = self.operation()
        return self.enter(operation, name, *args), operation

    def enter(self, operation: Operation, name: str, *args: Any) -> int:
        """Starts an operation of the engine that was created before."""
        id: int = self.call(name, *args)
        self.operations[id] = operation
        self.schedule()
        return id

    def operation(self) -> AsyncOperation:
        """A new operation to wait for on this loop."""
        return AsyncOperation(self.loop)

    async def finish(self, id: int, operation: AsyncOperation, reason: str = "cancelled by the caller") -> str:
        """Waits for an operation's result. Cancelling the wait cancels the operation, and so does an error of
        the caller, such as one of its progress callback."""
        try:
            return await operation.future
        except BaseException:
            if self.operations.pop(id, None) is not None and not self.closed:
                self.call("cancel", id, reason)
                self.schedule()
            raise

    # --------------------------------------------------------------------------------------------- lifetime

    async def release(self) -> None:
        """One user less. The last one closes the engine."""
        self.holds -= 1
        if self.holds > 0 or self.closed:
            return
        # A handler that closes its own host neither cancels itself nor waits for itself.
        me = asyncio.current_task()
        tasks = []
        for entry in list(self.running.values()):
            task = entry._task if type(entry) is Context else entry
            if task is me:
                continue
            entry._cancel() if type(entry) is Context else entry.cancel()
            if task is not None:
                tasks.append(task)
        try:
            if tasks:
                # A handler that swallows its cancellation is abandoned, not waited for.
                await asyncio.wait(tasks, timeout=_CLOSE_MS / 1000)
            if self._ready:
                self._turn()
        finally:
            self.shut()

    def shut(self, deadline_ms: int = _CLOSE_MS) -> None:
        if self.closed:
            return
        self._unwatch()
        super().shut(deadline_ms)
        if self.server is not None:
            self.server._forget(self)
        error = _closed()
        for operation in list(self.operations.values()):
            operation.settle(None, error)
        self.operations.clear()

    def _unwatch(self) -> None:
        # In a forked child the loop's own descriptors still belong to the parent.
        if getattr(self, "_fd", -1) >= 0 and not self.loop.is_closed() and os.getpid() == self._pid:
            self.loop.remove_reader(self._fd)


def _outcome(handler: Handler | Answerer, id: int, task: asyncio.Task[Any], context: Context | None = None) -> Done:
    try:
        outcome, payload = handler.encode(task.result())
    except asyncio.CancelledError:
        return (id, OUTCOME_TOOL_ERROR, "cancelled")
    except BaseException as error:
        outcome, payload = handler.failure(error, context)
    return (id, outcome, payload)


def _closed() -> McpError:
    from ._generated import ClosedError

    return ClosedError("the engine is closed")


_Spawn = Callable[[Coroutine[Any, Any, Any]], "asyncio.Task[Any]"]


def _spawner(loop: asyncio.AbstractEventLoop) -> _Spawn:
    """Returns a function that starts a handler's task so that its first step runs at once.

    A handler that never waits is then done when this returns, which saves a pass of the loop and most of a
    task's cost; `asyncio.current_task()` is correct throughout. A task factory of the user takes precedence.
    """
    if loop.get_task_factory() is not None:
        return loop.create_task
    if sys.version_info >= (3, 12):
        return lambda coro: asyncio.Task(coro, loop=loop, eager_start=True)
    return _first_step(loop) or loop.create_task


def _first_step(loop: Any) -> _Spawn | None:
    """Returns a starter of eager tasks for 3.10 and 3.11, in which a task schedules its first step with
    `loop.call_soon`.

    While the task is created, that method is replaced on this loop object, so the step arrives here and runs
    in the task's own context. Returns None for loops that do not allow it.
    """
    caught: list[Any] = []

    def catch(step: Any, *args: Any, context: Any = None) -> None:
        caught.append((step, args, context))

    task_type = asyncio.Task

    def spawn(coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        loop.call_soon = catch
        try:
            task = task_type(coro, loop=loop)
        finally:
            del loop.call_soon
        step, args, context = caught.pop()
        context.run(step, *args)
        return task

    async def probe() -> None:
        pass

    coro = probe()
    try:
        loop.call_soon = catch
        try:
            task = task_type(coro, loop=loop)
        finally:
            del loop.call_soon
    except (AttributeError, TypeError):
        coro.close()
        return None
    if not caught:
        # The loop scheduled the step in its own way.
        return None
    step, args, context = caught.pop()
    loop.call_soon(step, *args, context=context)
    del task
    return spawn
