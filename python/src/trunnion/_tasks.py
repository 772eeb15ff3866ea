"""The client's side of tasks: calls that a server answers later."""

from __future__ import annotations

import _thread
from collections import deque
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, AsyncGenerator, Generator, Literal, TypeVar, overload

from ._client import read
from ._following import Following, SyncFollowing
from ._generated import OP_CANCEL_TASK, OP_GET_TASK, OP_TASK_RESULT, OP_UPDATE_TASK, ProtocolError
from ._json import dumps

if TYPE_CHECKING:
    from ._models import CallResult
    from .client import Client, SyncClient

T = TypeVar("T")
TaskStatus = Literal["working", "input_required", "completed", "failed", "cancelled"]

# The limit of unread states; older ones are dropped.
_WAITING = 64
_FINAL = ("completed", "failed", "cancelled")


class TaskState:
    """A task at one moment, the same in every era. `raw` is its JSON object."""

    __slots__ = ("raw",)

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = dict(raw)

    @classmethod
    def from_json(cls, raw: Any) -> TaskState:
        """Creates one from its JSON object."""
        if not isinstance(raw["taskId"], str) or not isinstance(raw["status"], str):
            raise TypeError("a task has an id and a status")
        return cls(raw)

    @property
    def id(self) -> str:
        """The task's id, which `Client.task` accepts, also in another process. Empty for a call that was
        answered at once."""
        return self.raw["taskId"]  # type: ignore[no-any-return]

    @property
    def status(self) -> TaskStatus:
        """The status: `working`, `input_required` (it waits for answers), `completed` (there is a result; the
        tool itself may have failed), `failed` (there is an error) or `cancelled`."""
        return self.raw["status"]  # type: ignore[no-any-return]

    @property
    def finished(self) -> bool:
        """True if it will not change any more."""
        return self.status in _FINAL

    @property
    def status_message(self) -> str | None:
        """The server's description of the status, for a person."""
        return self.raw.get("statusMessage")

    @property
    def created_at(self) -> str | None:
        """The time of creation, in ISO 8601."""
        return self.raw.get("createdAt")

    @property
    def last_updated_at(self) -> str | None:
        """The time of the last update, in ISO 8601."""
        return self.raw.get("lastUpdatedAt")

    @property
    def ttl(self) -> float | None:
        """The seconds for which the server stores it, from its creation; None: indefinitely."""
        return _seconds(self.raw.get("ttlMs"))

    @property
    def poll_interval(self) -> float | None:
        """The interval in seconds at which the server wants to be polled."""
        return _seconds(self.raw.get("pollIntervalMs"))

    @property
    def input_requests(self) -> dict[str, dict[str, Any]]:
        """The input requests that it waits for, as the protocol's requests `{method, params}`, by the keys of
        `Task.answer`. Empty on legacy sessions, on which the input requests of a task arrive as requests."""
        return self.raw.get("inputRequests") or {}

    def __eq__(self, other: object) -> bool:
        return type(other) is TaskState and self.raw == other.raw

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"TaskState({self.raw!r})"


class _Task:
    """The common base of both kinds."""

    def __init__(self, client: Any, id: str | None, created: TaskState | None, result: dict[str, Any] | None) -> None:
        self._client = client
        self._result = result
        self.id = id
        self.created = created

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id!r}>"

    def _params(self, **more: Any) -> dict[str, Any]:
        return {"taskId": self.id, **more}

    def _answered(self) -> TaskState:
        """The state of a call that was answered at once."""
        return TaskState({"taskId": "", "status": "completed", "result": self._result})

    def _follow(self) -> tuple[Feed, str | None, str, str]:
        feed = Feed()
        if self.id is None:
            feed.hear({"event": "task_changed", "params": self._answered().raw})
            feed.end(None)
            return feed, None, "{}", "{}"
        # The states contain the input requests, which are not sent to the handlers.
        return feed, OP_TASK_RESULT, dumps(self._params()), '{"ask":false}'


class Task(_Task):
    """A call that the server answers later: from `Client.start_task` or `Client.task`. Dropping it changes
    nothing at the server.

    Attributes:
        id: the id to store for `Client.task`; None: the server answered at once, there is no task. On a
            server without authorization, anyone who has the id can poll, answer and cancel the task.
        created: the state at creation; None for a task that was opened by id or answered at once.
    """

    _client: Client

    async def status(self) -> TaskState:
        """Polls the current state.

        Raises:
            InvalidParamsError: the server does not know the id, or knows it no longer.
        """
        if self.id is None:
            return self._answered()
        return read(TaskState.from_json, await self._client._request(OP_GET_TASK, self._params(), "{}"))

    async def updates(self) -> AsyncGenerator[TaskState, None]:
        """The states from now on, up to and including the last: `async for state in task.updates(): ...`.
        Input requests are in `TaskState.input_requests`, and not sent to the client's handlers: `answer`
        them. Of unread states, only the newest 64 are retained."""
        following: Following[TaskState] = Following(self._client, *self._follow())
        try:
            async for state in following:
                yield state
        finally:
            following.close()

    async def answer(self, key: str, answer: Any) -> None:
        """Answers one input request; modern sessions only.

        Args:
            key: its key in `TaskState.input_requests`. Servers ignore a key that does not wait for an answer.
            answer: an `ElicitResult`, a `CreateMessageResult`, or the JSON form of the answer as a dict.
        """
        if self.id is not None:
            await self._client._request(OP_UPDATE_TASK, self._params(inputResponses={key: answer}), "{}")

    async def cancel(self) -> None:
        """Requests cancellation. The server decides if and when the task ends."""
        if self.id is not None:
            await self._client._request(OP_CANCEL_TASK, self._params(), "{}")

    @overload
    async def result(self, *, raise_on_error: bool | None = ..., returns: None = ...) -> CallResult: ...
    @overload
    async def result(self, *, returns: type[T]) -> T: ...
    @overload
    async def result(self, *, returns: object) -> Any: ...
    async def result(self, *, raise_on_error: bool | None = None, returns: Any = None) -> Any:
        """Waits for the result without a limit; input requests meanwhile go to the client's handlers.
        Cancelling the wait does not cancel the task.

        Args:
            raise_on_error, returns: as of `Client.call_tool`.

        Raises:
            ToolError: the tool failed.
            CancelledError: the task was cancelled.
            McpError: as the call itself would have failed.
        """
        convert = self._client._reader(None, returns)
        raw = self._result
        if self.id is not None:
            raw = await self._client._request(OP_TASK_RESULT, self._params(), "{}")
        assert raw is not None
        return self._client._called(raw, raise_on_error, convert)


class SyncTask(_Task):
    """A call that the server answers later: from `SyncClient.start_task` or `SyncClient.task`. As `Task`,
    blocking."""

    _client: SyncClient

    def status(self) -> TaskState:
        """Polls the current state: see `Task.status`."""
        if self.id is None:
            return self._answered()
        return read(TaskState.from_json, self._client._request(OP_GET_TASK, self._params(), "{}"))

    def updates(self) -> Generator[TaskState, None, None]:
        """The states from now on, up to and including the last: see `Task.updates`."""
        following: SyncFollowing[TaskState] = SyncFollowing(self._client, *self._follow())
        with closing(following):
            yield from following

    def answer(self, key: str, answer: Any) -> None:
        """Answers one input request: see `Task.answer`."""
        if self.id is not None:
            self._client._request(OP_UPDATE_TASK, self._params(inputResponses={key: answer}), "{}")

    def cancel(self) -> None:
        """Requests cancellation: see `Task.cancel`."""
        if self.id is not None:
            self._client._request(OP_CANCEL_TASK, self._params(), "{}")

    @overload
    def result(self, *, raise_on_error: bool | None = ..., returns: None = ...) -> CallResult: ...
    @overload
    def result(self, *, returns: type[T]) -> T: ...
    @overload
    def result(self, *, returns: object) -> Any: ...
    def result(self, *, raise_on_error: bool | None = None, returns: Any = None) -> Any:
        """Waits for the result: see `Task.result`."""
        convert = self._client._reader(None, returns)
        raw = self._result
        if self.id is not None:
            raw = self._client._request(OP_TASK_RESULT, self._params(), "{}")
        assert raw is not None
        return self._client._called(raw, raise_on_error, convert)


def made(raw: Any) -> tuple[str | None, TaskState | None, dict[str, Any] | None]:
    """The outcome of a call: id and state of a task, or a result."""
    if isinstance(raw, Mapping):
        if "task" in raw:
            state = read(TaskState.from_json, raw["task"])
            return state.id, state, None
        if isinstance(raw.get("result"), dict):
            return None, None, raw["result"]
    raise ProtocolError("the call brought neither a task nor a result")


class Feed:
    """The queue of unread states of a task."""

    def __init__(self) -> None:
        self.ended = False
        self._over = False
        self._error: BaseException | None = None
        self._waiting: deque[TaskState] = deque(maxlen=_WAITING)
        self._lock = _thread.allocate_lock()

    def hear(self, body: dict[str, Any]) -> None:
        if body["event"] != "task_changed":
            return
        state = TaskState(body["params"])
        with self._lock:
            self._over = self._over or state.finished
            self._waiting.append(state)

    def end(self, error: BaseException | None) -> None:
        with self._lock:
            if not self.ended:
                self.ended = True
                # The last state contains the task's outcome.
                self._error = None if self._over else error

    def take(self) -> TaskState | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            error, self._error = self._error, None
        if error is not None:
            raise error
        return None

    def idle(self) -> bool:
        return not self._waiting and not self.ended

    def begun(self) -> bool:
        return True


def _seconds(milliseconds: Any) -> float | None:
    return milliseconds / 1000 if isinstance(milliseconds, (int, float)) else None
