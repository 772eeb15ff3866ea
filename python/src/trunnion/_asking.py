"""Input requests to the client: elicitation, sampling and roots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Generator, Generic, TypeVar, Union, overload

from ._errors import McpError
from ._forms import form_of
from ._generated import ProtocolError
from ._json import dumps, loads
from ._models import (
    CreateMessageRequest,
    CreateMessageResult,
    ElicitResult,
    Form,
    IncludeContext,
    ModelPreferences,
    Root,
    SamplingContent,
    SamplingMessage,
    Text,
    ToolChoice,
    ToolInfo,
)

if TYPE_CHECKING:
    from ._context import Context

T = TypeVar("T")
R = TypeVar("R")

Messages = Union[str, SamplingMessage, Sequence[Union[str, SamplingMessage, Mapping[str, Any]]]]


class Cancelled(BaseException):
    """Leaves a `def` handler whose run is over: the client has disconnected, or has got the input request and
    retries with the answer, which runs the handler again. Do not catch it; it is not logged."""


class FormResult(ElicitResult, Generic[T]):
    """The result of an elicited form.

    Attributes:
        data: the accepted form, as a value of the type that the form was made of, or as a dict; None if it
            was not accepted.
    """

    __slots__ = ("data",)
    data: T | None

    @property
    def accepted(self) -> bool:
        """True if the user accepted the form."""
        return self.action == "accept"


class Question(Generic[T]):
    """One input request to the client. Made by `form`, `url`, `sample` and `roots`."""

    __slots__ = ("op", "params", "read")

    def __init__(self, op: str, params: dict[str, Any], read: Callable[[Any], T]) -> None:
        self.op = op
        self.params = params
        self.read = read

    @overload
    @staticmethod
    def form(message: str, schema: type[R]) -> Question[FormResult[R]]: ...
    @overload
    @staticmethod
    def form(message: str, schema: Form | Mapping[str, Any]) -> Question[FormResult[dict[str, Any]]]: ...
    @staticmethod
    def form(message: str, schema: Any) -> Any:
        """Elicits a form from the user: see `Context.elicit`."""
        requested, load = form_of(schema)
        return Question("elicit", {"message": message, "requestedSchema": requested}, _form_reader(load))

    @staticmethod
    def url(message: str, url: str, *, elicitation_id: str | None = None) -> Question[ElicitResult]:
        """Elicits a visit to a page: see `Context.elicit_url`."""
        params = {"mode": "url", "message": message, "url": url}
        if elicitation_id is not None:
            params["elicitationId"] = elicitation_id
        return Question("elicit", params, ElicitResult.from_json)

    @staticmethod
    def sample(
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
    ) -> Question[CreateMessageResult]:
        """Samples the client's model: see `Context.sample`."""
        request = CreateMessageRequest(
            _conversation(messages),
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
        return Question("sample", request.to_json(), CreateMessageResult.from_json)

    @staticmethod
    def roots() -> Question[list[Root]]:
        """Lists the roots of the client: see `Context.list_roots`."""
        return Question("list_roots", {}, _roots)

    def to_json(self) -> dict[str, Any]:
        """The engine's form of it."""
        return {"op": self.op, "params": self.params}

    def answer(self, raw: Any) -> T:
        """The answer from its JSON form.

        Raises:
            ProtocolError: it has the wrong shape.
        """
        try:
            return self.read(raw)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ProtocolError(f"the client's answer does not fit the question: {error}") from error


class Asking(Generic[T]):
    """The future of a handler's request: an answer of the client, or the confirmation of a store. `await` it
    in an `async def` handler, call its `result()` in a `def` one."""

    __slots__ = ("_operation", "_read")

    def __init__(self, operation: Any, read: Callable[[Any], T]) -> None:
        self._operation = operation
        self._read = read

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            hint = "`await` it, or in a `def` handler take its result()"
            raise AttributeError(f"an answer that has not come yet has no {name!r}: {hint}")

    def __await__(self) -> Generator[Any, None, T]:
        return self._answer().__await__()

    async def _answer(self) -> T:
        try:
            payload = await self._operation.wait()
        except McpError as error:
            if error.kind != "cancelled":
                raise
            from asyncio import CancelledError

            raise CancelledError(error.message) from None
        return self._read(loads(payload))

    def result(self) -> T:
        """Waits for the answer, in a `def` handler that runs on a worker thread.

        Raises:
            McpError: the client does not support it, or has refused.
            Cancelled: this run is over; the answer comes to the next one.
            RuntimeError: on the thread that must fetch the answer: in an `inline` handler.
        """
        try:
            payload = self._operation.block()
        except McpError as error:
            if error.kind != "cancelled":
                raise
            raise Cancelled(error.message) from None
        return self._read(loads(payload))


class Once(Generic[T]):
    """The value of an effect that runs once per call. `await` it in an `async def` handler, call its
    `result()` in a `def` one."""

    __slots__ = ("_context", "_key", "_fn")

    def __init__(self, context: Context, key: str, fn: Callable[[], Any]) -> None:
        self._context = context
        self._key = key
        self._fn = fn

    def __await__(self) -> Generator[Any, None, T]:
        return self._value().__await__()

    async def _value(self) -> T:
        kept = self._context._memory()
        if self._key in kept:
            return kept[self._key]  # type: ignore[no-any-return]
        value = self._fn()
        if isinstance(value, Awaitable):
            value = await value
        text = dumps(value)
        storing = self._context._keep(self._key, text)
        if storing is not None:
            await storing
        return self._context._kept_value(self._key, text)  # type: ignore[no-any-return]

    def result(self) -> T:
        """The value, in a `def` handler."""
        kept = self._context._memory()
        if self._key in kept:
            return kept[self._key]  # type: ignore[no-any-return]
        text = dumps(self._fn())
        storing = self._context._keep(self._key, text)
        if storing is not None:
            storing.result()
        return self._context._kept_value(self._key, text)  # type: ignore[no-any-return]


def questions_json(questions: Mapping[str, Question[Any]]) -> str:
    """The engine's form of several input requests."""
    return dumps({key: question.to_json() for key, question in questions.items()})


def _form_reader(load: Callable[[Any], Any] | None) -> Callable[[Any], FormResult[Any]]:
    def read(raw: Any) -> FormResult[Any]:
        result: FormResult[Any] = FormResult.from_json(raw)
        result.data = None
        if result.action == "accept":
            content = result.content or {}
            result.data = content if load is None else load(content)
        return result

    return read


def _roots(raw: Any) -> list[Root]:
    return [Root.from_json(root) for root in raw["roots"]]


def _conversation(messages: Any) -> list[SamplingMessage]:
    if isinstance(messages, (str, SamplingMessage)):
        messages = [messages]
    return [_message(message) for message in messages]


def _message(message: Any) -> SamplingMessage:
    if isinstance(message, str):
        content: SamplingContent = Text(message)
        return SamplingMessage("user", content)
    return message if isinstance(message, SamplingMessage) else SamplingMessage.from_json(message)
