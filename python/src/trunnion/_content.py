"""Content: what tools, prompts and resources return, and what clients get back."""

from __future__ import annotations

from binascii import a2b_base64
from typing import Any, Literal, Sequence, Union

from ._json import base64, dumps

Role = Literal["user", "assistant"]


class _Part:
    """Equality, repr and the members every content item has."""

    __slots__ = ("annotations", "meta")
    annotations: dict[str, Any] | None
    meta: dict[str, Any] | None

    def to_wire(self) -> dict[str, Any]:
        """The protocol's JSON object."""
        raise NotImplementedError

    def _finish(self, wire: dict[str, Any]) -> dict[str, Any]:
        if self.annotations is not None:
            wire["annotations"] = self.annotations
        if self.meta is not None:
            wire["_meta"] = self.meta
        return wire

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.to_wire() == other.to_wire()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        text = dumps(self.to_wire())
        return f"{type(self).__name__}({text if len(text) <= 120 else text[:117] + '...'})"


class Text(_Part):
    """A text item."""

    __slots__ = ("text",)

    def __init__(
        self, text: str, *, annotations: dict[str, Any] | None = None, meta: dict[str, Any] | None = None
    ) -> None:
        self.text = text
        self.annotations = annotations
        self.meta = meta

    def to_wire(self) -> dict[str, Any]:
        return self._finish({"type": "text", "text": self.text})


class _Binary(_Part):
    __slots__ = ("data", "mime_type")
    _type = ""

    def __init__(
        self,
        data: bytes,
        mime_type: str,
        *,
        annotations: dict[str, Any] | None = None,
        meta: dict[str, Any] | None = None,
    ) -> None:
        self.data = data
        self.mime_type = mime_type
        self.annotations = annotations
        self.meta = meta

    def to_wire(self) -> dict[str, Any]:
        return self._finish({"type": self._type, "data": base64(self.data), "mimeType": self.mime_type})


class Image(_Binary):
    """An image: its bytes (not base64) and media type, for example `image/png`."""

    __slots__ = ()
    _type = "image"


class Audio(_Binary):
    """A sound: its bytes (not base64) and media type, for example `audio/wav`."""

    __slots__ = ()
    _type = "audio"


class ResourceContents(_Part):
    """What a resource holds: `text`, or `blob` as bytes (not base64)."""

    __slots__ = ("uri", "text", "blob", "mime_type")

    def __init__(
        self,
        uri: str,
        *,
        text: str | None = None,
        blob: bytes | None = None,
        mime_type: str | None = None,
        meta: dict[str, Any] | None = None,
    ) -> None:
        if (text is None) == (blob is None):
            raise TypeError("resource contents have either text or blob")
        self.uri = uri
        self.text = text
        self.blob = blob
        self.mime_type = mime_type
        self.annotations = None
        self.meta = meta

    def to_wire(self) -> dict[str, Any]:
        wire: dict[str, Any] = {"uri": self.uri}
        if self.mime_type is not None:
            wire["mimeType"] = self.mime_type
        if self.text is not None:
            wire["text"] = self.text
        elif self.blob is not None:
            wire["blob"] = base64(self.blob)
        return self._finish(wire)

    @classmethod
    def from_wire(cls, wire: dict[str, Any]) -> ResourceContents:
        """Read the protocol's JSON object."""
        blob = wire.get("blob")
        text = wire.get("text")
        if text is None and blob is None:
            text = ""
        return cls(
            wire.get("uri", ""),
            text=text,
            blob=None if text is not None else a2b_base64(blob or ""),
            mime_type=wire.get("mimeType"),
            meta=wire.get("_meta"),
        )


class EmbeddedResource(_Part):
    """A resource carried inside a result or a message."""

    __slots__ = ("resource",)

    def __init__(
        self,
        resource: ResourceContents,
        *,
        annotations: dict[str, Any] | None = None,
        meta: dict[str, Any] | None = None,
    ) -> None:
        self.resource = resource
        self.annotations = annotations
        self.meta = meta

    def to_wire(self) -> dict[str, Any]:
        return self._finish({"type": "resource", "resource": self.resource.to_wire()})


class ResourceLink(_Part):
    """A pointer to a resource that the client may read."""

    __slots__ = ("uri", "name", "title", "description", "mime_type", "size")

    def __init__(
        self,
        uri: str,
        name: str,
        *,
        title: str | None = None,
        description: str | None = None,
        mime_type: str | None = None,
        size: int | None = None,
        annotations: dict[str, Any] | None = None,
        meta: dict[str, Any] | None = None,
    ) -> None:
        self.uri = uri
        self.name = name
        self.title = title
        self.description = description
        self.mime_type = mime_type
        self.size = size
        self.annotations = annotations
        self.meta = meta

    def to_wire(self) -> dict[str, Any]:
        wire: dict[str, Any] = {"type": "resource_link", "uri": self.uri, "name": self.name}
        for key, value in (
            ("title", self.title),
            ("description", self.description),
            ("mimeType", self.mime_type),
            ("size", self.size),
        ):
            if value is not None:
                wire[key] = value
        return self._finish(wire)


class UnknownContent(_Part):
    """An item of a type this version does not know; `raw` is its JSON object."""

    __slots__ = ("raw",)

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw
        self.annotations = None
        self.meta = None

    def to_wire(self) -> dict[str, Any]:
        return self.raw


Content = Union[Text, Image, Audio, EmbeddedResource, ResourceLink, UnknownContent]
CONTENT = (Text, Image, Audio, EmbeddedResource, ResourceLink, UnknownContent)


def content_from_wire(wire: dict[str, Any]) -> Content:
    """Read one content item of the protocol."""
    kind = wire.get("type")
    more: dict[str, Any] = {"annotations": wire.get("annotations"), "meta": wire.get("_meta")}
    try:
        if kind == "text":
            return Text(wire["text"], **more)
        if kind == "image":
            return Image(a2b_base64(wire["data"]), wire["mimeType"], **more)
        if kind == "audio":
            return Audio(a2b_base64(wire["data"]), wire["mimeType"], **more)
        if kind == "resource":
            return EmbeddedResource(ResourceContents.from_wire(wire["resource"]), **more)
        if kind == "resource_link":
            return ResourceLink(
                wire["uri"],
                wire["name"],
                title=wire.get("title"),
                description=wire.get("description"),
                mime_type=wire.get("mimeType"),
                size=wire.get("size"),
                **more,
            )
    except (KeyError, ValueError):
        pass
    return UnknownContent(wire)


def to_content(value: Any) -> dict[str, Any]:
    """One item of content as the protocol has it: content objects as they are, text as text."""
    if isinstance(value, CONTENT):
        return value.to_wire()
    if isinstance(value, ResourceContents):
        return EmbeddedResource(value).to_wire()
    return {"type": "text", "text": value if isinstance(value, str) else dumps(value)}


class ToolResult:
    """The whole result of a tool, for when a plain return value does not say enough.

    Args:
        content: what the model reads: text, a content object, or a list of these.
        structured: the structured content, any value with a JSON object form.
        is_error: whether the model should see this as a failure.
        meta: entries of the result's `_meta`.
    """

    __slots__ = ("content", "structured", "is_error", "meta")

    def __init__(
        self,
        content: str | Content | Sequence[str | Content] | None = None,
        *,
        structured: Any = None,
        is_error: bool = False,
        meta: dict[str, Any] | None = None,
    ) -> None:
        self.content = content
        self.structured = structured
        self.is_error = is_error
        self.meta = meta

    def to_wire(self) -> dict[str, Any]:
        """The protocol's JSON object."""
        if self.content is None:
            items = [] if self.structured is None else [to_content(dumps(self.structured))]
        elif isinstance(self.content, (list, tuple)):
            items = [to_content(item) for item in self.content]
        else:
            items = [to_content(self.content)]
        wire: dict[str, Any] = {"content": items}
        if self.structured is not None:
            wire["structuredContent"] = self.structured
        if self.is_error:
            wire["isError"] = True
        if self.meta is not None:
            wire["_meta"] = self.meta
        return wire


class Message:
    """One message of a prompt.

    Args:
        content: text or a content object.
        role: who speaks, `user` or `assistant`.
    """

    __slots__ = ("content", "role")

    def __init__(self, content: str | Content, role: Role = "user") -> None:
        self.content: Content = Text(content) if isinstance(content, str) else content
        self.role: Role = role

    @property
    def text(self) -> str:
        """The text, if the content is text; else empty."""
        return self.content.text if isinstance(self.content, Text) else ""

    def to_wire(self) -> dict[str, Any]:
        """The protocol's JSON object."""
        return {"role": self.role, "content": to_content(self.content)}

    def __repr__(self) -> str:
        return f"Message({self.content!r}, role={self.role!r})"


class PromptResult:
    """The messages of a prompt, with a description.

    Args:
        messages: texts (of the user), content objects, or `Message`s.
        description: what the prompt is for.
    """

    __slots__ = ("messages", "description", "raw")

    def __init__(
        self,
        messages: str | Content | Message | Sequence[str | Content | Message],
        description: str | None = None,
        *,
        raw: dict[str, Any] | None = None,
    ) -> None:
        parts: Sequence[Any] = messages if isinstance(messages, (list, tuple)) else [messages]
        self.messages: list[Message] = [m if isinstance(m, Message) else Message(m) for m in parts]
        self.description = description
        self.raw: dict[str, Any] = raw or {}

    @property
    def text(self) -> str:
        """The texts of all messages, joined by line breaks."""
        return "\n".join(m.text for m in self.messages if isinstance(m.content, Text))

    def to_wire(self) -> dict[str, Any]:
        """The protocol's JSON object."""
        wire: dict[str, Any] = {"messages": [m.to_wire() for m in self.messages]}
        if self.description is not None:
            wire["description"] = self.description
        return wire


class Completion:
    """Values that complete an argument.

    Args:
        values: at most 100 of them; `total` says how many there are in all, `has_more` that there are more.
    """

    __slots__ = ("values", "total", "has_more")

    def __init__(
        self, values: Sequence[str], total: int | None = None, has_more: bool | None = None
    ) -> None:
        self.values = list(values)
        self.total = total
        self.has_more = has_more

    def to_wire(self) -> dict[str, Any]:
        """The protocol's JSON object."""
        body: dict[str, Any] = {"values": self.values}
        if self.total is not None:
            body["total"] = self.total
        if self.has_more is not None:
            body["hasMore"] = self.has_more
        return {"completion": body}
