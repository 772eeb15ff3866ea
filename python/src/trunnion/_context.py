"""What a handler may ask and tell while it works on a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generator, Literal

from ._json import dumps, loads

if TYPE_CHECKING:
    from ._host import Host

Level = Literal["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]


class Sent:
    """Whether a notification went out. It already has: awaiting this is allowed, and never suspends."""

    __slots__ = ("sent",)

    def __init__(self, sent: bool) -> None:
        self.sent = sent

    def __bool__(self) -> bool:
        return self.sent

    def __await__(self) -> Generator[None, None, bool]:
        return self.sent
        yield


class RequestInfo:
    """What is known of the request being answered. `raw` is the engine's JSON object."""

    __slots__ = ("raw",)

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw

    @property
    def id(self) -> str | int | None:
        """The request's id, as the client chose it."""
        return self.raw.get("requestId")

    @property
    def era(self) -> str | None:
        """`modern` or `legacy`."""
        return self.raw.get("era")

    @property
    def revision(self) -> str | None:
        """The protocol revision, a date."""
        return self.raw.get("revision")

    @property
    def transport(self) -> str | None:
        """How it came: `stdio`, `http` or `memory`."""
        return self.raw.get("transport")

    @property
    def progress_token(self) -> str | int | None:
        """The token under which the client wants progress; None: it did not ask."""
        return self.raw.get("progressToken")

    @property
    def client_info(self) -> dict[str, Any]:
        """Who the client says it is: name, version and so on."""
        return self.raw.get("clientInfo") or {}

    @property
    def client_capabilities(self) -> dict[str, Any]:
        """What the client says it can do."""
        return self.raw.get("clientCapabilities") or {}

    @property
    def meta(self) -> dict[str, Any]:
        """The entries of the request's metadata."""
        return self.raw.get("meta") or {}

    def __repr__(self) -> str:
        return f"RequestInfo({self.raw!r})"


class Context:
    """One request, as its handler sees it. Annotate any parameter with this class to receive it.

    It works alike in `def` and `async def` handlers, on any thread: what it sends has been handed over
    when the call returns, and may be awaited or not.
    """

    __slots__ = ("_host", "_id", "_cancelled", "_task", "_info")

    def __init__(self, host: Host, id: int) -> None:
        self._host = host
        self._id = id
        self._cancelled = False
        self._task: Any = None
        self._info: RequestInfo | None = None

    def progress(self, progress: float, total: float | None = None, message: str | None = None) -> Sent:
        """Tell how far the work is.

        Args:
            progress: grows with every call; a share of `total`, if that is known.
            total: the value of `progress` at the end.
            message: one line for a person.

        Returns:
            Whether it was sent: false when the client did not ask for progress or has left.
        """
        body: dict[str, Any] = {"progress": progress}
        if total is not None:
            body["total"] = total
        if message is not None:
            body["message"] = message
        return Sent(self._host.call("progress", self._id, dumps(body)))

    def log(self, level: Level, data: Any, logger: str | None = None) -> Sent:
        """Send a log message to the client.

        Args:
            level: how grave it is.
            data: text, or any value with a JSON form.
            logger: the name of who says it.

        Returns:
            Whether the engine took it: false when the request is over. The client receives it if it asked
            for messages this grave.
        """
        body: dict[str, Any] = {"level": level, "data": data}
        if logger is not None:
            body["logger"] = logger
        return Sent(self._host.call("log", self._id, dumps(body)))

    def debug(self, data: Any, logger: str | None = None) -> Sent:
        """`log` at level debug."""
        return self.log("debug", data, logger)

    def info(self, data: Any, logger: str | None = None) -> Sent:
        """`log` at level info."""
        return self.log("info", data, logger)

    def warning(self, data: Any, logger: str | None = None) -> Sent:
        """`log` at level warning."""
        return self.log("warning", data, logger)

    def error(self, data: Any, logger: str | None = None) -> Sent:
        """`log` at level error."""
        return self.log("error", data, logger)

    @property
    def cancelled(self) -> bool:
        """Whether the client has given up on this request."""
        return self._cancelled

    def raise_if_cancelled(self) -> None:
        """Leave a `def` handler whose client has left. (In `async def` the task is cancelled anyway.)

        Raises:
            CancelledError: the request was cancelled.
        """
        if self._cancelled:
            from ._generated import CancelledError

            raise CancelledError("the request was cancelled")

    @property
    def request(self) -> RequestInfo:
        """What is known of the request.

        Raises:
            ClosedError: the request is over.
        """
        if self._info is None:
            text = self._host.call("context", self._id)
            if text is None:
                from ._generated import ClosedError

                raise ClosedError("the request is over")
            self._info = RequestInfo(loads(text))
        return self._info

    def _cancel(self) -> None:
        self._cancelled = True
        if self._task is not None:
            self._task.cancel()
