"""A client that tries one of everything and prints the results as one line of JSON.

    python everything_client.py http://127.0.0.1:8000/mcp
    python everything_client.py "stdio:python everything_server.py --stdio"
"""

import asyncio
import http.client
import json
import os
import sys
from typing import Any
from urllib.parse import urlsplit

from trunnion import (
    BooleanField,
    Client,
    CreateMessageRequest,
    CreateMessageResult,
    ElicitForm,
    ElicitResult,
    McpError,
    Root,
    Text,
    ToolError,
)
from trunnion.auth import Auth, AuthorizationCode, ClientCredentials, Enterprise, JwtBearer

REDIRECT_URI = "http://localhost:3000/callback"
CONTEXT = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")


async def tour(client: Client) -> dict[str, Any]:
    """Use every kind of request once."""
    seen: dict[str, Any] = {"revision": client.info.raw["revision"]}
    names = {tool.name for tool in await client.list_tools()}
    seen["tools"] = {"add", "echo", "slow", "fail"} <= names
    added = await client.call_tool("add", {"a": 2, "b": 3})
    # Before 2025-06-18 there is only the text.
    seen["sum"] = (added.data if isinstance(added.data, dict) else json.loads(added.text))["sum"]
    seen["echo"] = (await client.call_tool("echo", {"text": 'héllo ✓ 😀\n"q"'})).text

    steps: list[float] = []
    slow = await client.call_tool(
        "slow", {"steps": 3, "delayMs": 5}, progress=lambda done, total, message: steps.append(done)
    )
    seen["progress"] = steps
    seen["slow"] = slow.text

    try:
        await client.call_tool("fail", {"message": "boom"})
    except ToolError as error:
        seen["fail"] = error.message
    seen["unknown"] = await outcome(client, "nope", {})
    seen["invalid"] = await outcome(client, "add", {"a": "x"})
    seen["cancel"] = await cancelled(client)

    seen["resource"] = (await client.read_resource("test://static-text")).text
    seen["template"] = (await client.read_resource("test://template/42/data")).text
    seen["prompt"] = (
        await client.get_prompt("test_prompt_with_arguments", {"arg1": "hello", "arg2": "world"})
    ).text
    seen["completion"] = (
        await client.complete("arg1", "pa", prompt="test_prompt_with_arguments")
    ).values
    seen["after"] = (await client.call_tool("echo", {"text": "still here"})).text
    return seen


async def outcome(client: Client, tool: str, arguments: dict[str, Any]) -> int | str:
    """Return the code of the protocol error, or that the tool's result is an error."""
    try:
        result = await client.call_tool(tool, arguments, raise_on_error=False)
    except McpError as error:
        return error.code
    return "isError" if result.is_error else "ok"


async def cancelled(client: Client) -> str:
    """Cancel a long call as soon as it shows progress."""
    moving = asyncio.Event()
    call = asyncio.ensure_future(
        client.call_tool(
            "slow", {"steps": 100_000, "delayMs": 1}, progress=lambda done, total, message: moving.set()
        )
    )
    started = asyncio.ensure_future(moving.wait())
    await asyncio.wait([call, started], return_when=asyncio.FIRST_COMPLETED)
    started.cancel()
    call.cancel()
    try:
        await call
    except asyncio.CancelledError:
        return "cancelled"
    return "finished"


def agree(page: str) -> str:
    """The suite's user agrees at once: its page is a redirect to the callback."""
    parts = urlsplit(page)
    connection = http.client.HTTPConnection(parts.netloc)
    connection.request("GET", f"{parts.path}?{parts.query}")
    location = connection.getresponse().headers["location"]
    connection.close()
    return location


def auth_of(scenario: str) -> Auth:
    """Return the authorization for the server of a scenario, as its users would configure it.

    The suite says of few clients where they belong, and runs servers of its own: the first one they name is trusted.
    """
    if scenario == "auth/client-credentials-basic":
        return ClientCredentials(CONTEXT["client_id"], CONTEXT["client_secret"], trust_first_issuer=True)
    if scenario == "auth/client-credentials-jwt":
        return ClientCredentials(CONTEXT["client_id"], signing_key=CONTEXT["private_key_pem"], trust_first_issuer=True)
    if scenario == "auth/wif-jwt-bearer":
        return JwtBearer(CONTEXT["client_id"], CONTEXT["valid_jwt"], trust_first_issuer=True)
    if scenario == "auth/enterprise-managed-authorization":
        return Enterprise(
            CONTEXT["client_id"],
            CONTEXT["client_secret"],
            token_endpoint=CONTEXT["idp_token_endpoint"],
            idp_issuer=CONTEXT["idp_issuer"],
            idp_client_id=CONTEXT["idp_client_id"],
            subject=CONTEXT["idp_id_token"],
            trust_first_issuer=True,
        )
    if scenario == "auth/pre-registration":
        return AuthorizationCode(
            agree,
            REDIRECT_URI,
            client_id=CONTEXT["client_id"],
            client_secret=CONTEXT["client_secret"],
            issuer=CONTEXT.get("issuer"),
            trust_first_issuer="issuer" not in CONTEXT,
        )
    if scenario in ("auth/dpop", "auth/dpop-nonce"):
        return AuthorizationCode(agree, REDIRECT_URI, dpop=True)
    url = "https://conformance-test.local/client-metadata.json"
    return AuthorizationCode(agree, REDIRECT_URI, client_metadata_url=url)


async def conform(client: Client, scenario: str) -> None:
    """Do what a scenario of the conformance suite asks."""
    tools = {tool.name: tool for tool in await client.list_tools()}
    calls: list[tuple[str, dict[str, Any]]] = []
    if scenario == "tools_call":
        calls = [("add_numbers", {"a": 5, "b": 3})]
    elif scenario.startswith("auth/"):
        calls = [(name, {}) for name in list(tools)[:1]]
    elif scenario == "http-custom-headers":
        calls = [(call["name"], call["arguments"]) for call in CONTEXT["toolCalls"]]
    elif scenario == "http-invalid-tool-headers":
        calls = [(name, {}) for name in tools]
    elif scenario == "json-schema-2020-12-preservation":
        calls = [("json_schema_echo", {"schema": tools["json_schema_2020_12_tool"].input_schema})]
    elif scenario == "http-standard-headers":
        calls = [(name, {}) for name in tools]
        for resource in await client.list_resources():
            await client.read_resource(resource.uri)
        for prompt in await client.list_prompts():
            await client.get_prompt(prompt.name)
    elif scenario == "elicitation-sep1034-client-defaults":
        calls = [("test_client_elicitation_defaults", {})]
    elif scenario == "sse-retry":
        calls = [("test_reconnection", {})]
    elif scenario == "sep-2322-client-request-state":
        names = ("echo_state", "unrelated", "no_state", "no_result_type")
        calls = [(f"test_mrtr_{name}", {}) for name in names]
    elif scenario not in ("initialize", "request-metadata", "json-schema-ref-no-deref"):
        raise ValueError(f"unknown scenario {scenario!r}")
    for name, arguments in calls:
        await client.call_tool(name, arguments, raise_on_error=False)


def elicited(request: ElicitForm) -> ElicitResult:
    """Accept every form; fields with defaults are filled in by the client."""
    content: dict[str, Any] = {}
    for name, field in request.requested_schema.properties.items():
        if name in (request.requested_schema.required or ()) and getattr(field, "default", None) is None:
            content[name] = True if isinstance(field, BooleanField) else "test"
    return ElicitResult("accept", content=content)


def sampled(request: CreateMessageRequest) -> CreateMessageResult:
    """Be a model of few words."""
    return CreateMessageResult("assistant", Text("hello"), "test-model", stop_reason="endTurn")


async def main(target: str) -> None:
    command = target.removeprefix("stdio:")
    scenario = os.environ.get("MCP_CONFORMANCE_SCENARIO")
    client = Client(
        target if command == target else command.split(),
        name="everything-client",
        version="0.1.0",
        era=os.environ.get("MCP_INTEROP_ERA"),
        revision=os.environ.get("MCP_INTEROP_REVISION"),
        transport=os.environ.get("MCP_INTEROP_TRANSPORT"),
        on_elicit=elicited,
        on_sample=sampled,
        roots=[Root("file:///workspace", name="workspace")],
        auth=auth_of(scenario) if scenario is not None and scenario.startswith("auth/") else None,
    )
    async with client:
        if scenario:
            await conform(client, scenario)
        else:
            print(json.dumps(await tour(client), ensure_ascii=False))


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[-1]))
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
