"""What a client gets back. Every object keeps the protocol's JSON object in `raw`, unknown fields included."""

from __future__ import annotations

from typing import Any

from ._content import Completion, Content, Message, PromptResult, ResourceContents, Text, content_from_wire


class _Raw:
    __slots__ = ("raw",)

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.raw == other.raw

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.raw!r})"

    @property
    def meta(self) -> dict[str, Any]:
        """The entries of `_meta`."""
        return self.raw.get("_meta") or {}


class _Named(_Raw):
    __slots__ = ()

    @property
    def name(self) -> str:
        """The name that identifies it."""
        return self.raw["name"]  # type: ignore[no-any-return]

    @property
    def title(self) -> str | None:
        """The name for people."""
        return self.raw.get("title")

    @property
    def description(self) -> str | None:
        """What it is for."""
        return self.raw.get("description")

    @property
    def annotations(self) -> dict[str, Any]:
        """Hints of its author."""
        return self.raw.get("annotations") or {}

    @property
    def icons(self) -> list[dict[str, Any]]:
        """Icons, as the protocol's objects."""
        return self.raw.get("icons") or []


class ToolInfo(_Named):
    """A tool of a server."""

    __slots__ = ()

    @property
    def input_schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments."""
        return self.raw["inputSchema"]  # type: ignore[no-any-return]

    @property
    def output_schema(self) -> dict[str, Any] | None:
        """JSON Schema of the structured content."""
        return self.raw.get("outputSchema")


class ResourceInfo(_Named):
    """A resource of a server."""

    __slots__ = ()

    @property
    def uri(self) -> str:
        """The URI to read it by."""
        return self.raw["uri"]  # type: ignore[no-any-return]

    @property
    def mime_type(self) -> str | None:
        """Its media type."""
        return self.raw.get("mimeType")

    @property
    def size(self) -> int | None:
        """Its size in bytes."""
        return self.raw.get("size")


class ResourceTemplateInfo(_Named):
    """A family of resources of a server."""

    __slots__ = ()

    @property
    def uri_template(self) -> str:
        """The URI with variables (RFC 6570)."""
        return self.raw["uriTemplate"]  # type: ignore[no-any-return]

    @property
    def mime_type(self) -> str | None:
        """The media type of all of them."""
        return self.raw.get("mimeType")


class PromptInfo(_Named):
    """A prompt of a server."""

    __slots__ = ()

    @property
    def arguments(self) -> list[dict[str, Any]]:
        """Its arguments: objects with name, description and required."""
        return self.raw.get("arguments") or []


class CallResult(_Raw):
    """The result of a tool call."""

    __slots__ = ("_content",)

    def __init__(self, raw: dict[str, Any]) -> None:
        super().__init__(raw)
        self._content: list[Content] | None = None

    @property
    def content(self) -> list[Content]:
        """What the model reads."""
        if self._content is None:
            self._content = [content_from_wire(item) for item in self.raw.get("content") or []]
        return self._content

    @property
    def text(self) -> str:
        """The text items, joined by line breaks."""
        return "\n".join(item.text for item in self.content if isinstance(item, Text))

    @property
    def structured(self) -> Any:
        """The structured content as it was sent, or None."""
        return self.raw.get("structuredContent")

    @property
    def data(self) -> Any:
        """The value the tool returned: its structured content, else its text.

        Servers wrap a value that is not an object as `{"result": value}`; that wrapping is taken off.
        """
        structured = self.structured
        if structured is None:
            return self.text
        if isinstance(structured, dict) and len(structured) == 1 and "result" in structured:
            return structured["result"]
        return structured

    @property
    def is_error(self) -> bool:
        """Whether the tool failed; the content then says why."""
        return bool(self.raw.get("isError"))


class ReadResult(_Raw):
    """The contents of a resource."""

    __slots__ = ("contents",)

    def __init__(self, raw: dict[str, Any]) -> None:
        super().__init__(raw)
        self.contents = [ResourceContents.from_wire(item) for item in raw.get("contents") or []]

    @property
    def text(self) -> str:
        """The texts, joined by line breaks."""
        return "\n".join(item.text for item in self.contents if item.text is not None)

    @property
    def blob(self) -> bytes | None:
        """The bytes of the first binary part, or None."""
        return next((item.blob for item in self.contents if item.blob is not None), None)


class ServerInfo(_Raw):
    """What a server said of itself when the client connected."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The server's name."""
        return (self.raw.get("serverInfo") or {}).get("name", "")  # type: ignore[no-any-return]

    @property
    def version(self) -> str:
        """The server's version."""
        return (self.raw.get("serverInfo") or {}).get("version", "")  # type: ignore[no-any-return]

    @property
    def instructions(self) -> str | None:
        """How a model should use the server."""
        return self.raw.get("instructions")

    @property
    def capabilities(self) -> dict[str, Any]:
        """What the server can do."""
        return self.raw.get("capabilities") or {}

    @property
    def era(self) -> str | None:
        """`modern` or `legacy`."""
        return self.raw.get("era")

    @property
    def revision(self) -> str | None:
        """The protocol revision in use, a date."""
        return self.raw.get("revision")


def prompt_from_wire(raw: dict[str, Any]) -> PromptResult:
    """Read the messages of a prompt."""
    messages = [Message(content_from_wire(m["content"]), m["role"]) for m in raw.get("messages") or []]
    return PromptResult(messages, raw.get("description"), raw=raw)


def completion_from_wire(raw: dict[str, Any]) -> Completion:
    """Read a completion."""
    body = raw.get("completion") or {}
    return Completion(body.get("values") or [], body.get("total"), body.get("hasMore"))
