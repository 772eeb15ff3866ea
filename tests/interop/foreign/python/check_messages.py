"""Checks recorded messages (tests/vectors/schema.rs) through the types of the official Python SDK."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

from mcp_types import jsonrpc, methods
from pydantic import TypeAdapter, ValidationError

REQUESTS = {"client": methods.CLIENT_REQUESTS, "server": methods.SERVER_REQUESTS}
NOTIFICATIONS = {"client": methods.CLIENT_NOTIFICATIONS, "server": methods.SERVER_NOTIFICATIONS}
RESULTS = {"client": methods.CLIENT_RESULTS, "server": methods.SERVER_RESULTS}


def of_tasks(entry: dict[str, Any]) -> bool:
    """Return whether it is a message of tasks, for which the SDK has no types; the Rust tests check those."""
    result = entry["message"]["result"] if entry["kind"] == "result" else {}
    created = result.get("resultType") == "task" or "task" in result
    return created or entry["method"].startswith(("tasks/", "notifications/tasks"))


def types_of(entry: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """The types that a recorded message must fit, and the part of it."""
    sender, message, key = entry["from"], entry["message"], (entry["method"], entry["revision"])
    match entry["kind"]:
        case "request":
            yield jsonrpc.JSONRPCRequest, message
            if not of_tasks(entry):
                yield REQUESTS[sender][key], message
        case "notification":
            yield jsonrpc.JSONRPCNotification, message
            if not of_tasks(entry):
                yield NOTIFICATIONS[sender][key], message
        case "result":
            yield jsonrpc.JSONRPCResponse, message
            if not of_tasks(entry):
                yield RESULTS[sender][key], message["result"]
        case "error" if "id" in message:
            yield jsonrpc.JSONRPCError, message
        case "error":
            # The SDK knows only null where the schema wants no id.
            yield jsonrpc.JSONRPCError, {**message, "id": None}
        case other:
            raise KeyError(other)


def main() -> int:
    checked: Counter[str] = Counter()
    wrong = 0
    with open(sys.argv[1], encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            # An id of 5.0 is an integer, and goes back as the client wrote it; the SDK wants it without the fraction.
            if isinstance(number := entry["message"].get("id"), float) and number.is_integer():
                entry["message"]["id"] = int(number)
            try:
                for kind, part in types_of(entry):
                    TypeAdapter(kind).validate_python(part)
            except (ValidationError, KeyError) as error:
                wrong += 1
                print(f"{entry}: {error!r}")
            checked[entry["kind"]] += 1
    print(f"python types: {sum(checked.values()) - wrong} messages passed, {wrong} failed: {dict(checked)}")
    return 1 if wrong or len(checked) < 4 else 0


if __name__ == "__main__":
    sys.exit(main())
