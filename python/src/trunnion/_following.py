"""Client operations that report events until they end, and the readers of these events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from ._generated import EVENT_NOTIFICATION

if TYPE_CHECKING:
    from ._aio import AsyncHost
    from ._sync import SyncHost

T = TypeVar("T")
Told = TypeVar("Told", covariant=True)


class Feed(Protocol[Told]):
    """The queue of unread events. They are added on one thread and may be read on another."""

    ended: bool

    def hear(self, body: dict[str, Any]) -> None:
        """Adds a notification."""
        ...

    def end(self, error: BaseException | None) -> None:
        """Ends the queue. The first end counts."""
        ...

    def take(self) -> Told | None:
        """The next event; None if there is none now. Raises the error of the end once, when all events have
        been read."""
        ...

    def idle(self) -> bool:
        """True if the queue is empty and not ended."""
        ...

    def begun(self) -> bool:
        """True if the server has confirmed the operation. Raises the error of a refusal."""
        ...


class _Following(Generic[T]):
    """The common base of both readers. `_more` is the object that a waiting reader waits for.

    Args:
        client: the owner of the operation.
        feed: the queue of its events.
        op: the request; None: all events are in the queue already.
        params, options: of the request, as JSON text.
    """

    _host: Any

    def __init__(self, client: Any, feed: Feed[T], op: str | None, params: str, options: str) -> None:
        self._client = client
        self._feed = feed
        self._op = op
        self._params = params
        self._options = options
        self._host = None
        self._id = 0
        self._more: Any = None

    def close(self) -> None:
        """Ends it. Calling this again does nothing."""
        self._feed.end(None)
        self._leave()
        self._wake()

    def _start(self) -> None:
        host = self._host = self._client._ask()
        if self._op is None:
            return
        operation = host.operation()
        operation.listeners[EVENT_NOTIFICATION] = self._hear
        operation.on_end = self._over
        self._id = host.enter(operation, "request", self._client._id, self._op, self._params, self._options)

    def _hear(self, body: dict[str, Any]) -> None:
        self._feed.hear(body)
        if self._feed.ended:
            self._leave()
        self._wake()

    def _over(self, error: BaseException | None) -> None:
        self._feed.end(error)
        self._wake()

    def _leave(self) -> None:
        host, id, self._id = self._host, self._id, 0
        if id and host.take(id) is not None and not host.closed:
            host.call("cancel", id, "closed by the caller")

    def _wake(self) -> None:
        raise NotImplementedError


class Following(_Following[T]):
    """The reader on an asyncio loop."""

    _host: AsyncHost | None

    def __aiter__(self: Self) -> Self:
        return self

    async def __anext__(self) -> T:
        if self._host is None:
            await self._begin()
        while True:
            told = self._feed.take()
            if told is not None:
                return told
            if self._feed.ended:
                raise StopAsyncIteration
            await self._wait()

    async def _begin(self) -> None:
        import asyncio

        self._more = asyncio.Event()
        self._start()
        try:
            while not self._feed.begun():
                await self._wait()
        except BaseException:
            self.close()
            raise

    async def _wait(self) -> None:
        # Added and read on one thread: nothing happens in between.
        self._more.clear()
        await self._more.wait()

    def _wake(self) -> None:
        if self._more is not None:
            self._more.set()


class SyncFollowing(_Following[T]):
    """The reader on a thread. `close` may be called on another."""

    _host: SyncHost | None

    def __iter__(self: SyncSelf) -> SyncSelf:
        return self

    def __next__(self) -> T:
        if self._host is None:
            self._begin()
        while True:
            told = self._feed.take()
            if told is not None:
                return told
            if self._feed.ended:
                raise StopIteration
            self._wait(begun=True)

    def _begin(self) -> None:
        self._start()
        try:
            while not self._feed.begun():
                self._wait(begun=False)
        except BaseException:
            self.close()
            raise

    def _wait(self, begun: bool) -> None:
        host = self._host
        assert host is not None
        more = self._more = host.operation()
        # Register first, then check: an event may be added on another thread in between.
        if self._feed.idle() and (begun or not self._feed.begun()):
            host.wait_for(more)

    def _wake(self) -> None:
        if self._more is not None and self._host is not None:
            self._more.settle(None, None)
            self._host.free()


Self = TypeVar("Self", bound=Following[Any])
SyncSelf = TypeVar("SyncSelf", bound=SyncFollowing[Any])
