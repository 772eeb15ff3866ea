"""Content: the results of tools, prompts and resources."""

from __future__ import annotations

from typing import Any, Sequence

from ._json import dumps
from ._model import UnknownContent
from ._models import Audio, CallResult, Content, EmbeddedResource, Image, ResourceContents, ResourceLink, Text

CONTENT = (Text, Image, Audio, EmbeddedResource, ResourceLink, UnknownContent)


def content_of(value: Any) -> Content:
    """One item of content: content objects unchanged, resource contents embedded, everything else as text."""
    if isinstance(value, CONTENT):
        return value
    if isinstance(value, ResourceContents):
        return EmbeddedResource(value)
    return Text(value if isinstance(value, str) else dumps(value))


def to_content(value: Any) -> dict[str, Any]:
    """The same in the protocol's form."""
    if isinstance(value, str):
        return {"type": "text", "text": value}
    return content_of(value).to_json()


class ToolResult(CallResult):
    """The whole result of a tool, for results that a plain return value does not cover.

    Args:
        content: the content for the model: text, a content object, or a list of these.
        structured: the structured content, any value with a JSON object form.
        is_error: true to show this as a failure to the model.
        meta: entries of the result's `_meta`.
    """

    __slots__ = ()

    def __init__(
        self,
        content: str | Content | Sequence[str | Content] | None = None,
        *,
        structured: Any = None,
        is_error: bool = False,
        meta: dict[str, Any] | None = None,
    ) -> None:
        if content is None:
            content = [] if structured is None else dumps(structured)
        parts = content if isinstance(content, (list, tuple)) else [content]
        super().__init__(
            [content_of(part) for part in parts], structured=structured, is_error=is_error or None, meta=meta
        )
