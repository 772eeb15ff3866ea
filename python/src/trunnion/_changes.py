"""Subscriptions to changes at a server."""

from __future__ import annotations

import _thread
from collections.abc import Sequence
from typing import Any, Callable, Union

from ._following import Following, SyncFollowing
from ._generated import OP_LISTEN, ClosedError, LimitError, ProtocolError
from ._json import dumps

# The limit of unread changes.
_WAITING = 1024


class _ListChanged:
    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class ToolsChanged(_ListChanged):
    """The list of tools has changed."""

    __slots__ = ()


class PromptsChanged(_ListChanged):
    """The list of prompts has changed."""

    __slots__ = ()


class ResourcesChanged(_ListChanged):
    """The list of resources has changed."""

    __slots__ = ()


class ResourceUpdated:
    """The contents of a resource have changed.

    Attributes:
        uri: the URI of the resource; may be below one that is subscribed to.
    """

    __slots__ = ("uri",)
    __match_args__ = ("uri",)

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def __eq__(self, other: object) -> bool:
        return type(other) is ResourceUpdated and self.uri == other.uri

    def __hash__(self) -> int:
        return hash((ResourceUpdated, self.uri))

    def __repr__(self) -> str:
        return f"ResourceUpdated({self.uri!r})"


Change = Union[ToolsChanged, PromptsChanged, ResourcesChanged, ResourceUpdated]

_PLAIN: dict[str, Callable[[], Change]] = {
    "tools_changed": ToolsChanged,
    "prompts_changed": PromptsChanged,
    "resources_changed": ResourcesChanged,
}


class Granted:
    """The changes that a server has agreed to send.

    Attributes:
        tools, prompts, resources: true if it sends changes of these lists.
        resource_uris: the resources with notifications of changed contents.
    """

    __slots__ = ("tools", "prompts", "resources", "resource_uris")

    def __init__(self, raw: dict[str, Any]) -> None:
        self.tools = bool(raw.get("tools"))
        self.prompts = bool(raw.get("prompts"))
        self.resources = bool(raw.get("resources"))
        self.resource_uris: list[str] = list(raw.get("resourceUris") or ())

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"Granted({shown})"


class Feed:
    """The queue of unread changes. A change that is queued already is not queued twice."""

    def __init__(self) -> None:
        self.granted: Granted | None = None
        self.ended = False
        self._error: BaseException | None = None
        self._waiting: dict[Change, None] = {}
        # They may be added on one thread and read on another.
        self._lock = _thread.allocate_lock()

    def hear(self, body: dict[str, Any]) -> None:
        """Adds a notification."""
        event, params = body["event"], body.get("params") or {}
        if event == "listening":
            self.granted = Granted(params)
            return
        change: Change | None = None
        if event in _PLAIN:
            change = _PLAIN[event]()
        elif event == "resource_updated" and isinstance(params.get("uri"), str):
            change = ResourceUpdated(params["uri"])
        if change is None:
            return
        with self._lock:
            full = len(self._waiting) >= _WAITING and change not in self._waiting
            if not full and not self.ended:
                self._waiting[change] = None
        if full:
            self.end(LimitError(f"{_WAITING} changes wait to be taken"))

    def end(self, error: BaseException | None) -> None:
        """Ends the queue. The first end counts."""
        with self._lock:
            if not self.ended:
                self.ended = True
                self._error = error

    def take(self) -> Change | None:
        """The next change; None if there is none now. Raises the error of the end once, when all changes have
        been read."""
        with self._lock:
            if self._waiting:
                change = next(iter(self._waiting))
                del self._waiting[change]
                return change
            error, self._error = self._error, None
        if error is not None:
            raise error
        return None

    def idle(self) -> bool:
        """True if the queue is empty and not ended."""
        return not self._waiting and not self.ended

    def begun(self) -> bool:
        """True if the server has confirmed the subscription. Raises the error of a refusal."""
        if self.granted is None and self.ended:
            self.take()
            raise ProtocolError("the server ended listening before it began")
        return self.granted is not None


def wanted(tools: bool, prompts: bool, resources: bool, resource_uris: Sequence[str]) -> str:
    """The parameters of the subscription."""
    if isinstance(resource_uris, str):
        raise TypeError("resource_uris is a list of URIs")
    params = {"tools": tools, "prompts": prompts, "resources": resources, "resourceUris": list(resource_uris)}
    return dumps({key: value for key, value in params.items() if value})


class Listening(Following[Change]):
    """A subscription to changes at a server: `async with client.listen(tools=True) as changes`, then `async
    for change in changes`.

    Iterating alone begins too. The iteration ends when the server ends it or `close` is called, and raises
    when the connection fails. A change that is queued already is not queued twice.
    """

    def __init__(self, client: Any, params: str) -> None:
        self._granted = Feed()
        super().__init__(client, self._granted, OP_LISTEN, params, "{}")

    async def __aenter__(self) -> Listening:
        if self._host is None:
            await self._begin()
        return self

    async def __aexit__(self, *_: Any) -> None:
        self.close()

    @property
    def granted(self) -> Granted:
        """The changes that the server has agreed to send.

        Raises:
            ClosedError: it has not begun.
        """
        return _granted(self._granted)


class SyncListening(SyncFollowing[Change]):
    """A subscription to changes at a server: `with client.listen(tools=True) as changes`, then `for change in
    changes`.

    As `Listening`, blocking. `close` may be called on another thread.
    """

    def __init__(self, client: Any, params: str) -> None:
        self._granted = Feed()
        super().__init__(client, self._granted, OP_LISTEN, params, "{}")

    def __enter__(self) -> SyncListening:
        if self._host is None:
            self._begin()
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    @property
    def granted(self) -> Granted:
        """The changes that the server has agreed to send.

        Raises:
            ClosedError: it has not begun.
        """
        return _granted(self._granted)


def _granted(feed: Feed) -> Granted:
    if feed.granted is None:
        raise ClosedError("listening has not begun")
    return feed.granted
