"""Model Context Protocol servers and clients, on one fast engine.

```python
from trunnion import Server

server = Server("demo")

@server.tool
def add(a: int, b: int) -> int:
    "Add two numbers."
    return a + b

server.run()
```
"""

from __future__ import annotations

from . import _loading as _loading
from ._asking import Cancelled, FormResult, Question
from ._content import ToolResult
from ._context import Context, RequestInfo, TaskRun
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
    UnauthorizedError,
    UnsupportedVersionError,
    UsageError,
)
from ._model import UnknownContent
from ._models import (
    Annotations,
    Audio,
    BooleanField,
    CallResult,
    ChoiceField,
    Choices,
    ChoicesField,
    Completion,
    Content,
    CreateMessageRequest,
    CreateMessageResult,
    ElicitAction,
    ElicitForm,
    ElicitRequest,
    ElicitResult,
    ElicitUrl,
    EmbeddedResource,
    Form,
    FormField,
    Icon,
    Image,
    Implementation,
    Message,
    ModelHint,
    ModelPreferences,
    NamedChoiceField,
    NumberField,
    Progress,
    PromptArgument,
    PromptInfo,
    PromptResult,
    ReadResult,
    ResourceContents,
    ResourceInfo,
    ResourceLink,
    ResourceTemplateInfo,
    Role,
    Root,
    SamplingContent,
    SamplingMessage,
    Text,
    TextField,
    TitledChoiceField,
    TitledChoices,
    TitledChoicesField,
    TitledValue,
    ToolAnnotations,
    ToolChoice,
    ToolInfo,
    ToolResultContent,
    ToolUseContent,
)
from ._native import version as _version
from ._schema import Field
from .server import Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._results import ServerInfo
    from ._asgi import AsgiApp
    from ._asking import Asking, Once
    from ._guard import Introspection, JwtVerifier, ServerAuth, Visibility
    from ._changes import (
        Change,
        Granted,
        Listening,
        PromptsChanged,
        ResourcesChanged,
        ResourceUpdated,
        SyncListening,
        ToolsChanged,
    )
    from ._serve import Serving
    from ._tasks import SyncTask, Task, TaskState
    from .client import Client, SyncClient

__version__ = _version()

__all__ = [
    "Annotations",
    "AsgiApp",
    "Asking",
    "Audio",
    "BooleanField",
    "CallResult",
    "Cancelled",
    "CancelledError",
    "Change",
    "ChoiceField",
    "Choices",
    "ChoicesField",
    "Client",
    "ClosedError",
    "Completion",
    "Content",
    "Context",
    "CreateMessageRequest",
    "CreateMessageResult",
    "ElicitAction",
    "ElicitForm",
    "ElicitRequest",
    "ElicitResult",
    "ElicitUrl",
    "EmbeddedResource",
    "Field",
    "ForkedError",
    "Form",
    "FormField",
    "FormResult",
    "Granted",
    "HeaderMismatchError",
    "Icon",
    "Image",
    "Implementation",
    "InternalError",
    "Introspection",
    "InvalidParamsError",
    "InvalidRequestError",
    "JwtVerifier",
    "LimitError",
    "Listening",
    "McpError",
    "Message",
    "MethodNotFoundError",
    "MissingCapabilityError",
    "ModelHint",
    "ModelPreferences",
    "NamedChoiceField",
    "NumberField",
    "Once",
    "PanicError",
    "ParseError",
    "Progress",
    "PromptArgument",
    "PromptInfo",
    "PromptResult",
    "PromptsChanged",
    "ProtocolError",
    "Question",
    "ReadResult",
    "RemoteError",
    "RequestInfo",
    "ResourceContents",
    "ResourceInfo",
    "ResourceLink",
    "ResourceNotFoundError",
    "ResourceTemplateInfo",
    "ResourceUpdated",
    "ResourcesChanged",
    "Role",
    "Root",
    "SamplingContent",
    "SamplingMessage",
    "Server",
    "ServerAuth",
    "ServerInfo",
    "Serving",
    "SyncClient",
    "SyncListening",
    "SyncTask",
    "Task",
    "TaskRun",
    "TaskState",
    "Text",
    "TextField",
    "TimeoutError",
    "TitledChoiceField",
    "TitledChoices",
    "TitledChoicesField",
    "TitledValue",
    "ToolAnnotations",
    "ToolChoice",
    "ToolError",
    "ToolInfo",
    "ToolResult",
    "ToolResultContent",
    "ToolUseContent",
    "ToolsChanged",
    "TransportError",
    "UnauthorizedError",
    "UnknownContent",
    "UnsupportedVersionError",
    "UsageError",
    "Visibility",
]

# A server that starts from cold does not load the modules that only clients and asyncio programs use.
_LAZY = {
    "AsgiApp": "_asgi",
    "Asking": "_asking",
    "Once": "_asking",
    "Change": "_changes",
    "Granted": "_changes",
    "Listening": "_changes",
    "PromptsChanged": "_changes",
    "ResourcesChanged": "_changes",
    "ResourceUpdated": "_changes",
    "SyncListening": "_changes",
    "ToolsChanged": "_changes",
    "Client": "client",
    "SyncClient": "client",
    "Serving": "_serve",
    "Introspection": "_guard",
    "JwtVerifier": "_guard",
    "ServerAuth": "_guard",
    "Visibility": "_guard",
    "SyncTask": "_tasks",
    "Task": "_tasks",
    "TaskState": "_tasks",
    "ServerInfo": "_results",
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
