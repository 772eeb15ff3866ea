"""Tasks as clients use them: calls that a server answers later."""

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

# States that may wait for a program that does not take them; older ones are left out.
_WAITING = 64
_FINAL = ("completed", "failed", "cancelled")


class TaskState:
    """A task at one moment, the same in every era. `raw` is its JSON object."""

    __slots__ = ("raw",)

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = dict(raw)

    @classmethod
    def from_json(cls, raw: Any) -> TaskState:
        """One from its JSON object."""
        if not isinstance(raw["taskId"], str) or not isinstance(raw["status"], str):
            raise TypeError("a task has an id and a status")
        return cls(raw)

    @property
    def id(self) -> str:
        """The task's id; with it the task can be picked up by `Client.task`, also in another process. Empty of a call that
        was answered at once."""
        return self.raw["taskId"]  # type: ignore[no-any-return]

    @property
    def status(self) -> TaskStatus:
        """Where it is: `working`, `input_required` (it waits for answers), `completed` (there is a result; the tool itself may
        have failed), `failed` (there is an error) or `cancelled`."""
        return self.raw["status"]  # type: ignore[no-any-return]

    @property
    def finished(self) -> bool:
        """Whether it will not change any more."""
        return self.status in _FINAL

    @property
    def status_message(self) -> str | None:
        """What the server says of that, for a person."""
        return self.raw.get("statusMessage")

    @property
    def created_at(self) -> str | None:
        """ISO 8601."""
        return self.raw.get("createdAt")

    @property
    def last_updated_at(self) -> str | None:
        """ISO 8601."""
        return self.raw.get("lastUpdatedAt")

    @property
    def ttl(self) -> float | None:
        """Seconds that the server keeps it, from its creation on; None: for ever."""
        return _seconds(self.raw.get("ttlMs"))

    @property
    def poll_interval(self) -> float | None:
        """Seconds after which the server wants to be asked for it again."""
        return _seconds(self.raw.get("pollIntervalMs"))

    @property
    def input_requests(self) -> dict[str, dict[str, Any]]:
        """What it waits for, as the protocol's requests `{method, params}`, by the keys of `Task.answer`. Empty on legacy
        sessions, where what a task asks comes as requests."""
        return self.raw.get("inputRequests") or {}

    def __eq__(self, other: object) -> bool:
        return type(other) is TaskState and self.raw == other.raw

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"TaskState({self.raw!r})"


class _Task:
    """What both kinds share."""

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
        # What it asks is in its states here, and put to nobody.
        return feed, OP_TASK_RESULT, dumps(self._params()), '{"ask":false}'


class Task(_Task):
    """A call that the server answers later: of `Client.start_task` or `Client.task`. Dropping it changes nothing at the server.

    Attributes:
        id: to pick it up later, by `Client.task`; None: the server answered at once, there is nothing to pick up. Where
            nobody signs in, who has it can see, answer and cancel the task.
        created: the state that the server made it in; None of one that was picked up or answered at once.
    """

    _client: Client

    async def status(self) -> TaskState:
        """Where it is now.

        Raises:
            InvalidParamsError: the server does not know the id, or knows it no longer.
        """
        if self.id is None:
            return self._answered()
        return read(TaskState.from_json, await self._client._request(OP_GET_TASK, self._params(), "{}"))

    async def updates(self) -> AsyncGenerator[TaskState, None]:
        """Its states from now on, up to and with the last: `async for state in task.updates(): ...`. What it asks is in
        `TaskState.input_requests`, and not put to the client's handlers: `answer` it. Of what is not taken in time, only the
        newest 64 are kept."""
        following: Following[TaskState] = Following(self._client, *self._follow())
        try:
            async for state in following:
                yield state
        finally:
            following.close()

    async def answer(self, key: str, answer: Any) -> None:
        """Answer one thing that it asks; modern sessions only.

        Args:
            key: its key in `TaskState.input_requests`. One that does not wait for an answer is ignored by servers.
            answer: an `ElicitResult`, a `CreateMessageResult`, or the JSON form of what was asked for as a dict.
        """
        if self.id is not None:
            await self._client._request(OP_UPDATE_TASK, self._params(inputResponses={key: answer}), "{}")

    async def cancel(self) -> None:
        """Say that it is not wanted any more. The server decides whether and when it ends."""
        if self.id is not None:
            await self._client._request(OP_CANCEL_TASK, self._params(), "{}")

    @overload
    async def result(self, *, raise_on_error: bool | None = ..., returns: None = ...) -> CallResult: ...
    @overload
    async def result(self, *, returns: type[T]) -> T: ...
    @overload
    async def result(self, *, returns: object) -> Any: ...
    async def result(self, *, raise_on_error: bool | None = None, returns: Any = None) -> Any:
        """Wait for its result, as long as it takes; what it asks meanwhile is put to the client's handlers. Cancelling the wait
        does not cancel the task.

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
    """A call that the server answers later: of `SyncClient.start_task` or `SyncClient.task`. As `Task`, blocking."""

    _client: SyncClient

    def status(self) -> TaskState:
        """Where it is now: see `Task.status`."""
        if self.id is None:
            return self._answered()
        return read(TaskState.from_json, self._client._request(OP_GET_TASK, self._params(), "{}"))

    def updates(self) -> Generator[TaskState, None, None]:
        """Its states from now on, up to and with the last: see `Task.updates`."""
        following: SyncFollowing[TaskState] = SyncFollowing(self._client, *self._follow())
        with closing(following):
            yield from following

    def answer(self, key: str, answer: Any) -> None:
        """Answer one thing that it asks: see `Task.answer`."""
        if self.id is not None:
            self._client._request(OP_UPDATE_TASK, self._params(inputResponses={key: answer}), "{}")

    def cancel(self) -> None:
        """Say that it is not wanted any more: see `Task.cancel`."""
        if self.id is not None:
            self._client._request(OP_CANCEL_TASK, self._params(), "{}")

    @overload
    def result(self, *, raise_on_error: bool | None = ..., returns: None = ...) -> CallResult: ...
    @overload
    def result(self, *, returns: type[T]) -> T: ...
    @overload
    def result(self, *, returns: object) -> Any: ...
    def result(self, *, raise_on_error: bool | None = None, returns: Any = None) -> Any:
        """Wait for its result: see `Task.result`."""
        convert = self._client._reader(None, returns)
        raw = self._result
        if self.id is not None:
            raw = self._client._request(OP_TASK_RESULT, self._params(), "{}")
        assert raw is not None
        return self._client._called(raw, raise_on_error, convert)


def made(raw: Any) -> tuple[str | None, TaskState | None, dict[str, Any] | None]:
    """What a call became: id and state of a task, or a result."""
    if isinstance(raw, Mapping):
        if "task" in raw:
            state = read(TaskState.from_json, raw["task"])
            return state.id, state, None
        if isinstance(raw.get("result"), dict):
            return None, None, raw["result"]
    raise ProtocolError("the call brought neither a task nor a result")


class Feed:
    """States of a task that wait to be taken."""

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
                # How a task has ended is in its last state.
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
