"""The roots of the error family; the classes by kind are generated (`_generated.py`)."""

from __future__ import annotations

import json
from typing import Any


class McpError(Exception):
    """A failure with the protocol's or the engine's code.

    Attributes:
        code: a JSON-RPC code (negative, or the peer's own), or a local code (1 and up) that never
            travels: see the error table in `bindings/surface.toml`.
        kind: the stable name of the failure, for example `invalid_params`.
        message: one sentence for a person.
        data: the error's data, any JSON value, or None.
    """

    code: int = -32603
    kind: str = "remote"

    def __init__(self, code: int, message: str = "", data: Any = None) -> None:
        super().__init__(code, message, data)
        self.code = code
        self.message = message
        self.data = data

    def __str__(self) -> str:
        return self.message


class KindError(McpError):
    """An error of one kind: the code is the kind's own unless the peer sent another."""

    def __init__(self, message: str = "", data: Any = None, *, code: int | None = None) -> None:
        super().__init__(type(self).code if code is None else code, message, data)
        self.args = (message, data)


class ToolError(Exception):
    """A failure that the model should read.

    Raised in a tool handler, its text becomes the content of a result marked as an error. Raised by
    `Client.call_tool`, it carries such a result.

    Attributes:
        message: the text.
        result: the `CallResult` that the server sent, in a client; else None.
    """

    def __init__(self, message: str, result: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.result = result


def make(code: int, kind: str, message: str, data: Any = None) -> McpError:
    """The error of a kind as an instance of its class."""
    from ._generated import ERRORS

    cls: Any = ERRORS.get(kind)
    if cls is None:
        return McpError(code, message, data)
    error: McpError = cls(message, data, code=code)
    return error


def from_event(payload: str) -> McpError:
    """The error of an ERROR event."""
    body = json.loads(payload)
    return make(body["code"], body["kind"], body["message"], body.get("data"))


def from_native(error: BaseException) -> McpError:
    """The error of a `NativeError`."""
    code, kind, message, data = error.args
    return make(code, kind, message, None if data is None else json.loads(data))
