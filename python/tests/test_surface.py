"""The Python API and stub, compared with bindings/surface.toml and with the native module."""

import ast
import inspect
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import trunnion
from trunnion import _generated, _native
from trunnion._native import Engine

ROOT = Path(__file__).resolve().parents[2]


def surface():
    if sys.version_info >= (3, 11):
        import tomllib

        return tomllib.loads((ROOT / "bindings" / "surface.toml").read_text(encoding="utf-8"))
    pytest.skip("tomllib is there from 3.11 on")


def test_functions():
    names = {f["name"] for f in surface()["function"]}
    methods = {name for name in dir(Engine) if not name.startswith("_")}
    assert methods == names - {"engine_new", "version"}
    assert set(_generated.FUNCTIONS) == names
    assert _native.version() == trunnion.__version__


def test_events_outcomes_and_requests():
    assert _generated.EVENTS == {e["name"]: e["value"] for e in surface()["event"]}
    assert _generated.OUTCOMES == {o["name"]: o["value"] for o in surface()["outcome"]}
    assert list(_generated.OPS) == [o["name"] for o in surface()["op"]]


def test_errors():
    listed = {e["kind"]: e["code"] for e in surface()["error"]}
    assert {kind: cls.code for kind, cls in _generated.ERRORS.items()} == listed
    for kind, cls in _generated.ERRORS.items():
        assert issubclass(cls, trunnion.McpError) and cls.kind == kind
        assert getattr(trunnion, cls.__name__) is cls
        error = cls("what", {"d": 1})
        assert (error.message, error.data, error.code, str(error)) == ("what", {"d": 1}, cls.code, "what")
        assert cls.__name__ in trunnion.__all__


def test_options():
    listed = {}
    for option in surface()["option"]:
        snake = re.sub("([A-Z])", lambda m: "_" + m[1].lower(), option["key"])
        listed.setdefault(option["scope"], {})[snake] = option["key"]
    assert _generated.OPTIONS == listed


def test_every_client_request_has_a_method():
    # A task is asked for by its handle.
    handle = {"get_task": "status", "update_task": "answer", "cancel_task": "cancel", "task_result": "result"}
    for op in surface()["op"]:
        if op["name"] in handle:
            owners, name = (trunnion.Task, trunnion.SyncTask), handle[op["name"]]
        else:
            owners, name = (trunnion.Client, trunnion.SyncClient), op["name"]
        for owner in owners:
            assert callable(getattr(owner, name))


def test_the_stub():
    tree = ast.parse(Path(_native.__file__).with_name("_native.pyi").read_text(encoding="utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    public = {name for name in dir(_native) if not name.startswith("_")}
    assert public == {*classes, *functions}
    engine = {node.name: node for node in classes["Engine"].body if isinstance(node, ast.FunctionDef)}
    assert {name for name in engine if name != "__new__"} == {
        name for name in dir(Engine) if not name.startswith("_")
    }
    for name, node in engine.items():
        if name == "__new__":
            continue
        signature = getattr(Engine, name).__text_signature__
        real = [part.partition("=")[0] for part in signature.strip("()").split(", ")][1:]
        assert [a.arg for a in node.args.args] == ["self", *(part for part in real if part != "/")], name


def test_usage_errors_of_the_native_module():
    with pytest.raises(_native.NativeError) as caught:
        _native.Engine('{"nonsense": 1}')
    code, kind, message, data = caught.value.args
    assert (code, kind, data) == (6, "usage", None) and "nonsense" in message
    engine = _native.Engine()
    for bad in ([(1, 2)], [1], [("1", 2, "x")]):
        with pytest.raises(TypeError):
            engine.drain(bad)
    assert engine.complete(99, 1, "x") is False
    assert engine.drain([(99, 1, "x")]) == []
    assert engine.wait(0) is False
    counted = {"servers", "clients", "exchanges", "operations", "connections", "sessions"}
    assert set(json.loads(engine.live())) == counted
    engine.close()


def test_a_wake_descriptor_is_written_to():
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    engine = _native.Engine('{"driver": "threaded"}')
    engine.set_wake(theirs.fileno())
    server = engine.server_new('{"name": "x", "version": "1"}')
    operation = engine.serve_http(server)
    ours.settimeout(30)
    assert len(ours.recv(8)) == 8
    assert [(event[0], event[1]) for event in engine.drain([])] == [(_generated.EVENT_LISTENING, operation)]
    engine.close()
    ours.close()
    theirs.close()


def test_no_descriptor_is_written_to_after_close():
    # The number of a closed descriptor goes to what is opened next: a late write would land there.
    others = []
    for index in range(100):
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        engine = Engine('{"driver": "threaded"}')
        engine.set_wake(theirs.fileno())
        engine.serve_http(engine.server_new('{"name": "x", "version": "1"}'))
        # Half of them while the first event is on its way.
        if index % 2:
            engine.wait(-1)
        if index % 4 < 2:
            engine.close(0)
        else:
            del engine
        reader, writer = socket.socketpair()
        os.dup2(writer.fileno(), theirs.fileno())
        ours.close()
        others.append((reader, writer, theirs))
    for reader, *writers in others:
        reader.setblocking(False)
        with pytest.raises(BlockingIOError):
            reader.recv(1)
        for each in (reader, *writers):
            each.close()


def test_importing_is_light():
    code = "import sys, trunnion; print([m for m in ('asyncio', 'inspect', 'logging') if m in sys.modules])"
    path = os.pathsep.join(p for p in sys.path if p)
    out = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, env={"PYTHONPATH": path}
    )
    assert out.stdout.strip() == "[]", out.stderr


def test_the_options_page_has_names_that_exist():
    from trunnion import Client, Server, auth
    from trunnion.server import take_options

    ways = (auth.AuthorizationCode, auth.ClientCredentials, auth.JwtBearer, auth.Enterprise)
    functions = {
        "Tool": [Server.add_tool],
        "Client": [Client.__init__],
        "Request": [Client.call_tool, Client.read_resource],
        "Authorization of a client (`auth`)": [way.__init__ for way in ways],
    }
    scopes = {"Engine": "engine", "Server": "server", "Serving HTTP": "serve_http"}
    page = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    sections = page.split("\n## ")[1:]
    assert len(sections) == len(functions) + len(scopes)
    for section in sections:
        heading = section.partition("\n")[0]
        names = [name for row in re.findall(r"^\| `\w+` \| (.*?) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)]
        assert names, heading
        if heading in scopes:
            left = dict.fromkeys(names)
            take_options(scopes[heading], left)
            assert not left, heading
        else:
            known = {name for function in functions[heading] for name in inspect.signature(function).parameters}
            assert set(names) <= known, (heading, set(names) - known)
