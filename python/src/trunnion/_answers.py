"""The handlers of a client: answers to input requests of servers, and to sign-in events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Callable

from ._asking import Cancelled
from ._errors import McpError
from ._generated import EVENT_ELICIT, EVENT_SAMPLE, OUTCOME_ERROR, OUTCOME_RESULT
from ._handler import Answer, Done, error_json
from ._json import dumps, loads
from ._models import CreateMessageRequest, CreateMessageResult, ElicitResult, elicit_request_from_json
from ._signature import is_async

if TYPE_CHECKING:
    from ._host import Host


class Answerer:
    """One handler of a client. As with handlers of servers, an `async def` runs on the loop, a `def` on a
    worker thread."""

    __slots__ = ("fn", "name", "is_async", "parse", "encode")

    def __init__(
        self, fn: Callable[[Any], Any], name: str, parse: Callable[[Any], Any], encode: Callable[[Any], Answer]
    ) -> None:
        self.fn = fn
        self.name = name
        self.is_async = is_async(fn)
        self.parse = parse
        self.encode = encode

    def start(self, host: Host, id: int, payload: str) -> Done | None:
        """Runs it for one request. Returns the completion, or None if that follows later."""
        try:
            request = self.parse(loads(payload))
            if self.is_async:
                return host.run_async(self, id, None, self.fn(request))
            host.run_thread(self, id, None, {"request": request})
            return None
        except Exception as error:
            return (id, *self.failure(error))

    def run(self, id: int, arguments: dict[str, Any]) -> Done:
        """Runs a `def` handler to its end, on a thread where an exception means only that it failed."""
        try:
            outcome, text = self.encode(self.fn(arguments["request"]))
        except BaseException as error:
            outcome, text = self.failure(error)
        return (id, outcome, text)

    def failure(self, error: BaseException, context: Any = None) -> Answer:
        """The error for the peer: of an unexpected exception, only that there was one."""
        if isinstance(error, McpError):
            return OUTCOME_ERROR, error_json(error)
        if not isinstance(error, Cancelled):
            from logging import getLogger

            getLogger("trunnion").error("%s failed", self.name, exc_info=error)
        return OUTCOME_ERROR, dumps({"message": f"{self.name} failed"})


def answerers(on_elicit: Callable[[Any], Any] | None, on_sample: Callable[[Any], Any] | None) -> dict[int, Answerer]:
    """The registered handlers, by the kind of their events."""
    found = {}
    if on_elicit is not None:
        found[EVENT_ELICIT] = Answerer(on_elicit, "on_elicit", elicit_request_from_json, _elicited)
    if on_sample is not None:
        found[EVENT_SAMPLE] = Answerer(on_sample, "on_sample", CreateMessageRequest.from_json, _sampled)
    return found


def _elicited(value: Any) -> Answer:
    if isinstance(value, ElicitResult):
        return OUTCOME_RESULT, dumps(value.to_json())
    if value in ("accept", "decline", "cancel"):
        return OUTCOME_RESULT, dumps({"action": value})
    if value is None or isinstance(value, (str, bool, int, float, list)):
        raise TypeError(f"on_elicit returns an ElicitResult, an action, or the fields of the form, not {value!r}")
    return OUTCOME_RESULT, dumps({"action": "accept", "content": value})


def _sampled(value: Any) -> Answer:
    if isinstance(value, (CreateMessageResult, Mapping)):
        return OUTCOME_RESULT, dumps(value)
    raise TypeError(f"on_sample returns a CreateMessageResult, not {value!r}")
