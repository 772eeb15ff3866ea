"""Model Context Protocol servers and clients, on one fast engine.

    from trunnion import Server

    server = Server("demo")

    @server.tool
    def add(a: int, b: int) -> int:
        "Add two numbers."
        return a + b

    server.run()
"""

from __future__ import annotations

from ._content import (
    Audio,
    Completion,
    Content,
    EmbeddedResource,
    Image,
    Message,
    PromptResult,
    ResourceContents,
    ResourceLink,
    Text,
    ToolResult,
    UnknownContent,
)
from ._context import Context, RequestInfo
from ._errors import McpError, ToolError
from ._generated import (
    CancelledError,
    ClosedError,
    ForkedError,
    HeaderMismatchError,
    InternalError,
    InvalidParamsError,
    InvalidRequestError,
    LimitError,
    MethodNotFoundError,
    MissingCapabilityError,
    PanicError,
    ParseError,
    ProtocolError,
    RemoteError,
    ResourceNotFoundError,
    TimeoutError,
    TransportError,
    UnsupportedVersionError,
    UsageError,
)
from ._native import version as _version
from ._schema import Field
from .server import Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._results import (
        CallResult,
        PromptInfo,
        ReadResult,
        ResourceInfo,
        ResourceTemplateInfo,
        ServerInfo,
        ToolInfo,
    )
    from ._serve import Serving
    from .client import Client, SyncClient

__version__ = _version()

__all__ = [
    "Audio",
    "CallResult",
    "CancelledError",
    "Client",
    "ClosedError",
    "Completion",
    "Content",
    "Context",
    "EmbeddedResource",
    "Field",
    "ForkedError",
    "HeaderMismatchError",
    "Image",
    "InternalError",
    "InvalidParamsError",
    "InvalidRequestError",
    "LimitError",
    "McpError",
    "Message",
    "MethodNotFoundError",
    "MissingCapabilityError",
    "PanicError",
    "ParseError",
    "PromptInfo",
    "PromptResult",
    "ProtocolError",
    "ReadResult",
    "RemoteError",
    "RequestInfo",
    "ResourceContents",
    "ResourceInfo",
    "ResourceLink",
    "ResourceNotFoundError",
    "ResourceTemplateInfo",
    "Server",
    "ServerInfo",
    "Serving",
    "SyncClient",
    "Text",
    "TimeoutError",
    "ToolError",
    "ToolInfo",
    "ToolResult",
    "TransportError",
    "UnknownContent",
    "UnsupportedVersionError",
    "UsageError",
]

# A server that starts from cold need not load what only clients and asyncio programs use.
_LAZY = {
    "Client": "client",
    "SyncClient": "client",
    "Serving": "_serve",
    "CallResult": "_results",
    "PromptInfo": "_results",
    "ReadResult": "_results",
    "ResourceInfo": "_results",
    "ResourceTemplateInfo": "_results",
    "ServerInfo": "_results",
    "ToolInfo": "_results",
}


def __getattr__(name: str) -> object:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
