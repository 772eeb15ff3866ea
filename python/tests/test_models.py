"""Model types against tests/vectors/models.json, and against the official examples if MCP_SPEC_DIR has
them."""

import copy
import json
import os
import pickle
from pathlib import Path

import pytest

import trunnion
from trunnion import (
    Annotations,
    CallResult,
    CreateMessageRequest,
    ElicitForm,
    ElicitUrl,
    Form,
    Message,
    NumberField,
    ResourceContents,
    SamplingMessage,
    Text,
    TextField,
    ToolInfo,
    ToolUseContent,
    UnknownContent,
    _models,
)

MODELS = json.loads((Path(__file__).parents[2] / "tests/vectors/models.json").read_text("utf-8"))["models"]
TYPES = {
    "AudioContent": trunnion.Audio.from_json,
    "BlobResourceContents": trunnion.ResourceContents.from_json,
    "BooleanSchema": trunnion.BooleanField.from_json,
    "CallToolResult": trunnion.CallResult.from_json,
    "CompletionValues": trunnion.Completion.from_json,
    "ContentBlock": _models.content_from_json,
    "CreateMessageRequestParams": trunnion.CreateMessageRequest.from_json,
    "CreateMessageResult": trunnion.CreateMessageResult.from_json,
    "ElicitRequestFormParams": trunnion.ElicitForm.from_json,
    "ElicitRequestParams": _models.elicit_request_from_json,
    "ElicitRequestURLParams": trunnion.ElicitUrl.from_json,
    "ElicitResult": trunnion.ElicitResult.from_json,
    "EmbeddedResource": trunnion.EmbeddedResource.from_json,
    "GetPromptResult": trunnion.PromptResult.from_json,
    "Icon": trunnion.Icon.from_json,
    "ImageContent": trunnion.Image.from_json,
    "Implementation": trunnion.Implementation.from_json,
    "LegacyTitledEnumSchema": trunnion.NamedChoiceField.from_json,
    "ModelPreferences": trunnion.ModelPreferences.from_json,
    "NumberSchema": trunnion.NumberField.from_json,
    "PrimitiveSchemaDefinition": _models.form_field_from_json,
    "Progress": trunnion.Progress.from_json,
    "Prompt": trunnion.PromptInfo.from_json,
    "ReadResourceResult": trunnion.ReadResult.from_json,
    "Resource": trunnion.ResourceInfo.from_json,
    "ResourceContents": trunnion.ResourceContents.from_json,
    "ResourceLink": trunnion.ResourceLink.from_json,
    "ResourceTemplate": trunnion.ResourceTemplateInfo.from_json,
    "Root": trunnion.Root.from_json,
    "SamplingMessage": trunnion.SamplingMessage.from_json,
    "StringSchema": trunnion.TextField.from_json,
    "TextContent": trunnion.Text.from_json,
    "TextResourceContents": trunnion.ResourceContents.from_json,
    "TitledMultiSelectEnumSchema": trunnion.TitledChoicesField.from_json,
    "TitledSingleSelectEnumSchema": trunnion.TitledChoiceField.from_json,
    "Tool": trunnion.ToolInfo.from_json,
    "ToolChoice": trunnion.ToolChoice.from_json,
    "ToolResultContent": trunnion.ToolResultContent.from_json,
    "ToolUseContent": trunnion.ToolUseContent.from_json,
    "UntitledMultiSelectEnumSchema": trunnion.ChoicesField.from_json,
    "UntitledSingleSelectEnumSchema": trunnion.ChoiceField.from_json,
}
SPEC = os.environ.get("MCP_SPEC_DIR")


def vectors():
    for name, values in MODELS.items():
        for index, value in enumerate(values):
            yield pytest.param(name, value, id=f"{name} {index}")


def examples():
    folder = Path(SPEC or ".") / "2026-07-28" / "examples"
    for name in TYPES:
        for file in sorted((folder / name).glob("*.json")):
            yield pytest.param(name, file, id=f"{name}/{file.name}")


@pytest.mark.parametrize(("name", "value"), vectors())
def test_models_are_written_as_they_were_read(name, value):
    before = copy.deepcopy(value)
    model = TYPES[name](value)
    assert model.to_json() == value == before
    again = pickle.loads(pickle.dumps(copy.deepcopy(model)))
    assert again == model and repr(again) == repr(model)


@pytest.mark.skipif(SPEC is None, reason="MCP_SPEC_DIR is not set")
@pytest.mark.parametrize(("name", "file"), examples())
def test_official_examples_are_written_as_they_were_read(name, file):
    value = json.loads(file.read_text("utf-8"))
    assert TYPES[name](value).to_json() == value


def test_official_examples_are_there():
    assert SPEC is None or len(list(examples())) > 20


def test_members_are_typed():
    tool = ToolInfo.from_json(MODELS["Tool"][0])
    assert (tool.name, tool.annotations.read_only_hint, tool.icons[0].sizes) == ("t", True, ["48x48", "any"])
    assert tool.extra == {"execution": {"taskSupport": "optional"}, "later": [None]}
    form = ElicitForm.from_json(MODELS["ElicitRequestFormParams"][0])
    kinds = [type(field).__name__ for field in form.requested_schema.properties.values()]
    assert kinds == [
        "TextField",
        "NumberField",
        "NumberField",
        "BooleanField",
        "ChoiceField",
        "NamedChoiceField",
        "TitledChoiceField",
        "ChoicesField",
        "TitledChoicesField",
        "Unknown",
    ]
    asked = CreateMessageRequest.from_json(MODELS["CreateMessageRequestParams"][0])
    assert isinstance(asked.messages[0].content, Text)
    assert [type(item).__name__ for item in asked.messages[1].content] == [
        "ToolUseContent",
        "Text",
        "Image",
        "Audio",
        "UnknownContent",
    ]
    assert isinstance(_models.elicit_request_from_json(MODELS["ElicitRequestURLParams"][0]), ElicitUrl)


def test_models_are_made_from_members_or_from_json():
    asked = CreateMessageRequest(
        [SamplingMessage("user", Text("hi", annotations=Annotations(priority=0.5)))],
        100,
        tools=[{"name": "t", "inputSchema": {}}],
        model_preferences={"hints": [{"name": "small"}]},
    )
    assert asked.tools[0].name == "t" and asked.model_preferences.hints[0].name == "small"
    assert asked.to_json() == {
        "messages": [
            {"role": "user", "content": {"type": "text", "text": "hi", "annotations": {"priority": 0.5}}}
        ],
        "maxTokens": 100,
        "modelPreferences": {"hints": [{"name": "small"}]},
        "tools": [{"name": "t", "inputSchema": {}}],
    }
    use = ToolUseContent("u", "t", {"a": 1}, extra={"later": 1})
    assert SamplingMessage("assistant", [use]).to_json()["content"][0]["later"] == 1
    form = Form({"name": TextField(min_length=1), "age": NumberField("integer", minimum=0)}, required=["name"])
    assert ElicitForm("who?", form).to_json()["requestedSchema"] == {
        "type": "object",
        "properties": {"name": {"type": "string", "minLength": 1}, "age": {"type": "integer", "minimum": 0}},
        "required": ["name"],
    }


def test_what_is_not_of_the_shape():
    assert isinstance(_models.content_from_json({"type": "image", "data": "A", "mimeType": "a/b"}), UnknownContent)
    for value in ({}, {"name": "t"}, None, 3, [1]):
        with pytest.raises((KeyError, TypeError, ValueError)):
            ToolInfo.from_json(value)
    with pytest.raises(TypeError):
        ResourceContents("x://", text="a", blob=b"b")
    assert CallResult.from_json({"isError": True}).content == []
    assert Message("a") == Message(Text("a"), "user") != Message("a", "assistant")
