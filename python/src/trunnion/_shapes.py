"""Constructors and properties of protocol objects beyond their members. `_models` builds on these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._models import Content, Message, Role


def _texts(content: Sequence[Any]) -> str:
    return "\n".join(item.text for item in content if getattr(item, "type", None) == "text")


class CallShape:
    """The base of the result of a tool call."""

    if not TYPE_CHECKING:
        __slots__ = ()
    content: Sequence[Content]
    structured: Any

    @property
    def text(self) -> str:
        """The text items, joined by line breaks."""
        return _texts(self.content)

    @property
    def data(self) -> Any:
        """The value that the tool returned: its structured content, else its text.

        Servers wrap a value that is not an object as `{"result": value}`; that wrapper is removed.
        """
        structured = self.structured
        if structured is None:
            return self.text
        if isinstance(structured, dict) and len(structured) == 1 and "result" in structured:
            return structured["result"]
        return structured


class ReadShape:
    """The base of the contents of a resource."""

    if not TYPE_CHECKING:
        __slots__ = ()
    contents: Sequence[Any]

    @property
    def text(self) -> str:
        """The texts, joined by line breaks."""
        return "\n".join(item.text for item in self.contents if item.text is not None)

    @property
    def blob(self) -> bytes | None:
        """The bytes of the first binary part, or None."""
        return next((item.blob for item in self.contents if item.blob is not None), None)


class ContentsShape:
    """The base of one part of a resource: text or bytes."""

    if not TYPE_CHECKING:
        __slots__ = ()

    def __init__(
        self,
        uri: str,
        *,
        text: str | None = None,
        blob: bytes | None = None,
        mime_type: str | None = None,
        meta: dict[str, Any] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        if (text is None) == (blob is None):
            raise TypeError("resource contents have either text or blob")
        self.uri = uri
        self.text = text
        self.blob = blob
        self.mime_type = mime_type
        self.meta = meta
        self.extra = {} if extra is None else extra


class MessageShape:
    """The base of a message of a prompt."""

    if not TYPE_CHECKING:
        __slots__ = ()

    def __init__(
        self, content: str | Content, role: Role = "user", *, extra: dict[str, Any] | None = None
    ) -> None:
        from ._models import Text

        self.content: Content = Text(content) if isinstance(content, str) else content
        self.role: Role = role
        self.extra = {} if extra is None else extra

    @property
    def text(self) -> str:
        """The text, if the content is text; else empty."""
        return _texts([self.content])


class PromptShape:
    """The base of the messages of a prompt. Texts and content objects become messages of the user."""

    if not TYPE_CHECKING:
        __slots__ = ()

    def __init__(
        self,
        messages: str | Content | Message | Sequence[str | Content | Message],
        description: str | None = None,
        *,
        meta: dict[str, Any] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        from ._models import Message

        parts: Sequence[Any] = messages if isinstance(messages, (list, tuple)) else [messages]
        self.messages: Sequence[Message] = [m if isinstance(m, Message) else Message(m) for m in parts]
        self.description = description
        self.meta = meta
        self.extra = {} if extra is None else extra

    @property
    def text(self) -> str:
        """The texts of all messages, joined by line breaks."""
        return _texts([message.content for message in self.messages])


class CompletionShape:
    """The base of the values that complete an argument: at most 100 of them."""

    if not TYPE_CHECKING:
        __slots__ = ()

    def __init__(
        self,
        values: Sequence[str],
        total: int | None = None,
        has_more: bool | None = None,
        *,
        extra: dict[str, Any] | None = None,
    ) -> None:
        self.values: Sequence[str] = list(values)
        self.total = total
        self.has_more = has_more
        self.extra = {} if extra is None else extra
