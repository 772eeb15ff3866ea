"""The context of a handler: messages and input requests to the client while it works on a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Generator, Literal, TypeVar, overload

from ._asking import Asking, Cancelled, Once, Question, questions_json
from ._json import dumps, loads

if TYPE_CHECKING:
    from ._asking import FormResult, Messages
    from ._host import Host
    from ._models import (
        CreateMessageResult,
        ElicitResult,
        Form,
        IncludeContext,
        ModelPreferences,
        Root,
        ToolChoice,
        ToolInfo,
    )

R = TypeVar("R")
Level = Literal["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]


class Sent:
    """The result of sending a notification: true if it was sent. Awaiting it is allowed, and never
    suspends."""

    __slots__ = ("sent",)

    def __init__(self, sent: bool) -> None:
        self.sent = sent

    def __bool__(self) -> bool:
        return self.sent

    def __await__(self) -> Generator[None, None, bool]:
        return self.sent
        yield


class TaskRun:
    """One run of a handler on behalf of a task.

    Attributes:
        id: the task's id. On a server without authorization, anyone who has the id can poll, answer and
            cancel the task: do not log it.
        run: the number of this run of the handler, from 1; the processes of earlier runs have died.
    """

    __slots__ = ("id", "run")

    def __init__(self, id: str, run: int) -> None:
        self.id = id
        self.run = run

    def __repr__(self) -> str:
        return f"TaskRun({self.id!r}, {self.run})"


class RequestInfo:
    """Facts about the current request. `raw` is the engine's JSON object."""

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
        """The transport: `stdio`, `http` or `memory`."""
        return self.raw.get("transport")

    @property
    def progress_token(self) -> str | int | None:
        """The token for progress notifications; None if the client did not request them."""
        return self.raw.get("progressToken")

    @property
    def client_info(self) -> dict[str, Any]:
        """The client's description of itself: name, version and so on."""
        return self.raw.get("clientInfo") or {}

    @property
    def client_capabilities(self) -> dict[str, Any]:
        """The client's capabilities."""
        return self.raw.get("clientCapabilities") or {}

    @property
    def meta(self) -> dict[str, Any]:
        """The entries of the request's metadata."""
        return self.raw.get("meta") or {}

    def __repr__(self) -> str:
        return f"RequestInfo({self.raw!r})"


class Context:
    """The request of a handler. Annotate any parameter with this class to receive it.

    It works alike in `def` and `async def` handlers, on any thread: a message has been handed to the engine
    when the call returns, and may be awaited or not. An input request to the client has been sent when the
    call returns; the answer is awaited, or in a `def` handler returned by `result()`.

    A client of the modern era answers by retrying its request, and the handler runs again from its start,
    with the answers so far: an unanswered input request ends the run, as if the client had disconnected. So
    the code before an input request runs again; `once` is for code that must not.
    """

    __slots__ = ("_host", "_id", "_cancelled", "_suspended", "_task", "_info", "_asks", "_asked", "_kept", "_mark", "_waits")

    def __init__(
        self, host: Host, id: int, asks: Mapping[str, Question[Any]] | None = None, waits: bool = False
    ) -> None:
        self._host = host
        self._id = id
        self._cancelled = False
        self._suspended = False
        self._task: Any = None
        self._info: RequestInfo | None = None
        self._asks = asks
        self._asked = 0
        self._kept: dict[str, Any] | None = None
        self._mark: str | None = None
        # A `def` handler on a worker thread: a stored value is stored when the call returns.
        self._waits = waits

    def progress(self, progress: float, total: float | None = None, message: str | None = None) -> Sent:
        """Reports progress.

        Args:
            progress: grows with every call; a share of `total`, if that is known.
            total: the value of `progress` at the end.
            message: one line for a person.

        Returns:
            True if it was sent: false if the client did not request progress or has disconnected.
        """
        body: dict[str, Any] = {"progress": progress}
        if total is not None:
            body["total"] = total
        if message is not None:
            body["message"] = message
        return Sent(self._host.call("progress", self._id, dumps(body)))

    def log(self, level: Level, data: Any, logger: str | None = None) -> Sent:
        """Sends a log message to the client.

        Args:
            level: the severity.
            data: text, or any value with a JSON form.
            logger: the name of the logger.

        Returns:
            True if the engine accepted it: false if the request is over. The client receives it if it
            requested messages of this level.
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

    @overload
    def elicit(
        self, message: str, schema: type[R], *, key: str | None = ...
    ) -> Asking[FormResult[R]]: ...
    @overload
    def elicit(
        self, message: str, schema: Form | Mapping[str, Any], *, key: str | None = ...
    ) -> Asking[FormResult[dict[str, Any]]]: ...
    def elicit(self, message: str, schema: Any, *, key: str | None = None) -> Any:
        """Elicits a form from the user.

        Args:
            message: the requested information and the reason.
            schema: a dataclass, `TypedDict`, `NamedTuple` or pydantic model with fields of texts, numbers,
                booleans, and choices of texts; a `Form`; or the JSON Schema of one.
            key: the key of the input request in this call; by default `q1`, `q2` and so on, in order. Runs of
                a handler with different input requests need keys.

        Returns:
            An awaitable answer: `action`, and `data` if it was accepted.

        Raises:
            TypeError: the type does not fit a form.
            MissingCapabilityError: when the answer is waited for: the client does not support it.
        """
        return self._ask_one(key, Question.form(message, schema))

    def elicit_url(
        self, message: str, url: str, *, elicitation_id: str | None = None, key: str | None = None
    ) -> Asking[ElicitResult]:
        """Elicits a visit to a page. The interaction there does not pass through the client.

        Args:
            message: the reason for the visit.
            url: the page.
            elicitation_id: a name for the visit in `Server.notify_elicitation_complete`: unique in the
                server, and the same in every run of the handler. By default the engine generates one if the
                revision requires it (2025-11-25).
            key: as of `elicit`.
        """
        return self._ask_one(key, Question.url(message, url, elicitation_id=elicitation_id))

    def sample(
        self,
        messages: Messages,
        max_tokens: int,
        *,
        model_preferences: ModelPreferences | Mapping[str, Any] | None = None,
        system_prompt: str | None = None,
        include_context: IncludeContext | None = None,
        temperature: float | None = None,
        stop_sequences: Sequence[str] | None = None,
        metadata: dict[str, Any] | None = None,
        tools: Sequence[ToolInfo | Mapping[str, Any]] | None = None,
        tool_choice: ToolChoice | Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> Asking[CreateMessageResult]:
        """Samples the client's model.

        Args:
            messages: the conversation: a text, a `SamplingMessage`, or a list of these; texts are the user's.
            max_tokens: the maximum number of tokens.
            model_preferences: preferences for the choice of the model.
            system_prompt: the system prompt; the client may change or omit it.
            include_context: the servers from which context is added.
            temperature: randomness, in the model's own scale.
            stop_sequences: texts that end the answer.
            metadata: for the model's provider, in its own format.
            tools: tools that the model may use.
            tool_choice: the model's use of the tools.
            key: as of `elicit`.
        """
        question = Question.sample(
            messages,
            max_tokens,
            model_preferences=model_preferences,
            system_prompt=system_prompt,
            include_context=include_context,
            temperature=temperature,
            stop_sequences=stop_sequences,
            metadata=metadata,
            tools=tools,
            tool_choice=tool_choice,
        )
        return self._ask_one(key, question)

    def list_roots(self, *, key: str | None = None) -> Asking[list[Root]]:
        """Lists the client's roots: the places that the server may work in."""
        return self._ask_one(key, Question.roots())

    def ask(self, questions: Mapping[str, Question[Any]]) -> Asking[dict[str, Any]]:
        """Sends several input requests together.

        Args:
            questions: input requests by key: `Question.form(...)`, `.url(...)`, `.sample(...)`, `.roots()`.

        Returns:
            Awaitable answers, by key.
        """
        questions = dict(questions)
        self._asked += len(questions)

        def read(raw: Any) -> dict[str, Any]:
            return {key: question.answer(raw.get(key)) for key, question in questions.items()}

        return self._ask(questions, read)

    @property
    def answers(self) -> dict[str, Any]:
        """The answers to the option `asks` of a tool, prompt or resource, by key.

        Raises:
            ClosedError: the request is over.
        """
        raw = self.request.raw.get("answers") or {}
        return {key: question.answer(raw.get(key)) for key, question in (self._asks or {}).items()}

    @overload
    def once(self, key: str, fn: Callable[[], Awaitable[R]]) -> Once[R]: ...
    @overload
    def once(self, key: str, fn: Callable[[], R]) -> Once[R]: ...
    def once(self, key: str, fn: Callable[[], Any]) -> Any:
        """Runs something once per call, however often the handler runs. In a task its value outlives the
        process once it has been awaited or its `result()` has returned.

        Args:
            key: a name within this call.
            fn: the function to run; may be `async def` in an `async def` handler. It runs when the value is
                awaited, unless an earlier run has done it.

        Returns:
            An awaitable value, in the JSON form in which it is stored: `await` it, or call its `result()`.

        Raises:
            TypeError: when the value is waited for: it has no JSON form.
            LimitError: when the value is waited for: a call can store 256 KiB.
        """
        return Once(self, key, fn)

    def checkpoint(self, value: Any) -> Asking[None]:
        """Stores the progress of the work; replaces the last checkpoint. In a task it outlives the process: a
        tool that is `resumable` finds it as `last_checkpoint` when it runs again. A `def` handler continues
        when it is stored; an `async def` handler awaits that.

        Args:
            value: any value with a JSON form.

        Raises:
            TypeError: it has no JSON form.
            LimitError: a call can store 256 KiB.
            McpError: the store failed.
            Cancelled: in a `def` handler: this run is over.
        """
        text = dumps(value)
        if self._waits:
            self.raise_if_cancelled()

        def stored(_: Any) -> None:
            self._mark = text

        storing = Asking(self._host.ask(self._id, "checkpoint", f'{{"value":{text}}}'), stored)
        if self._waits:
            storing.result()
        return storing

    @property
    def last_checkpoint(self) -> Any:
        """The value of the last checkpoint of this call, in its JSON form; None if there is none.

        Raises:
            ClosedError: the request is over.
        """
        return loads(self._mark) if self._mark is not None else self.request.raw.get("checkpoint")

    @property
    def task(self) -> TaskRun | None:
        """The task of this run; None if the client waits for the call.

        Raises:
            ClosedError: the request is over.
        """
        raw = self.request.raw.get("task")
        return None if raw is None else TaskRun(raw["taskId"], raw["run"])

    @property
    def claims(self) -> dict[str, Any] | None:
        """The verified claims of the caller's token; None if the server checks no tokens, or the caller is
        local (standard streams, or the same process).

        Raises:
            ClosedError: the request is over.
        """
        return self.request.raw.get("claims")

    @property
    def principal(self) -> str | None:
        """The caller's identity, as one text that is unique among all issuers; None if `claims` is.

        Raises:
            ClosedError: the request is over.
        """
        return self.request.raw.get("principal")

    def close_stream(self) -> Sent:
        """Closes the response stream of this request while the work continues; the client reconnects for the
        rest.

        Returns:
            True if there was one: a client of the legacy era, from 2025-11-25, over HTTP.
        """
        return Sent(self._host.call("close_stream", self._id))

    @property
    def cancelled(self) -> bool:
        """True if this run is over: the client has cancelled the request, or has got an input request to
        answer."""
        return self._cancelled

    def raise_if_cancelled(self) -> None:
        """Leaves a `def` handler whose run is over. (In `async def` the task is cancelled anyway.)

        Raises:
            Cancelled: it is over; `except Exception` does not catch this.
        """
        if self._cancelled:
            raise Cancelled("the request was cancelled")

    @property
    def request(self) -> RequestInfo:
        """Facts about the request.

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

    def _cancel(self, reason: str | None = None) -> None:
        self._suspended = reason == "input_required"
        self._cancelled = True
        if self._task is not None:
            self._task.cancel()

    def _ask_one(self, key: str | None, question: Question[R]) -> Asking[R]:
        self._asked += 1
        name = f"q{self._asked}" if key is None else key
        return self._ask({name: question}, lambda raw: question.answer(raw.get(name)))

    def _ask(self, questions: Mapping[str, Question[Any]], read: Callable[[Any], R]) -> Asking[R]:
        return Asking(self._host.ask(self._id, "ask", questions_json(questions)), read)

    def _memory(self) -> dict[str, Any]:
        if self._kept is None:
            self._kept = dict(self.request.raw.get("memory") or {})
        return self._kept

    def _keep(self, key: str, text: str) -> Asking[None] | None:
        """Stores a value. In a task that takes a while."""
        if self.request.raw.get("task") is None:
            self._host.call("remember", self._id, key, text)
            return None
        return Asking(self._host.ask(self._id, "store", f'{{"key":{dumps(key)},"value":{text}}}'), _nothing)

    def _kept_value(self, key: str, text: str) -> Any:
        value = self._memory()[key] = loads(text)
        return value


def _nothing(_: Any) -> None:
    return None
