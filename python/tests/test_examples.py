"""The examples, run as a user runs them."""

import json
import subprocess
import sys

import pytest

from trunnion import McpError, SyncClient, ToolError

TOUR = {
    "tools": True,
    "sum": 5,
    "echo": 'héllo ✓ 😀\n"q"',
    "progress": [1, 2, 3],
    "slow": "done",
    "fail": "boom",
    "unknown": -32602,
    "invalid": "isError",
    "cancel": "cancelled",
    "resource": "This is the content of the static text resource.",
    "prompt": "Prompt with arguments: arg1='hello', arg2='world'",
    "completion": ["paris", "park", "party"],
    "after": "still here",
}


@pytest.fixture
def serve(examples):
    """Starts an example over HTTP; returns its URL."""
    started = []

    def start(*command, env=None):
        process = subprocess.Popen(
            [sys.executable, *map(str, command), "--http", "0"], stderr=subprocess.PIPE, text=True, env=env
        )
        started.append(process)
        return process.stderr.readline().split()[-1]

    yield start
    for process in started:
        process.terminate()
        assert process.wait(30) == 0
        process.stderr.close()


def run(*command):
    """Runs a program and returns its output."""
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_everything(examples, serve, transport):
    server = examples / "everything_server.py"
    target = serve(server) if transport == "http" else f"stdio:{sys.executable} {server} --stdio"
    out, _ = run(examples / "everything_client.py", target)
    seen = json.loads(out)
    assert "42" in seen.pop("template")
    assert seen.pop("revision") == "2026-07-28"
    assert seen == TOUR
    assert out.count("\n") == 1


def test_the_tour_fails_without_a_server(examples):
    command = [sys.executable, str(examples / "everything_client.py"), "http://127.0.0.1:9/mcp"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "") and done.stderr


def test_everything_there_is(examples):
    with SyncClient([sys.executable, str(examples / "everything_server.py"), "--stdio"]) as client:
        tools = client.list_tools()
        assert tools[0].name == "test_simple_text" and all(tool.description for tool in tools)
        kinds = {
            "test_image_content": ["image"],
            "test_audio_content": ["audio"],
            "test_embedded_resource": ["resource"],
            "test_multiple_content_types": ["text", "image", "resource"],
        }
        for tool, expected in kinds.items():
            assert [item["type"] for item in client.call_tool(tool).raw["content"]] == expected
        assert client.call_tool("test_error_handling", raise_on_error=False).is_error
        seen = []
        client.call_tool("test_tool_with_progress", progress=lambda *what: seen.append(what[:2]))
        assert seen == [(0, 100), (50, 100), (100, 100)]
        crash = client.call_tool("crash", {"message": "m"}, raise_on_error=False)
        assert crash.is_error and "Traceback" not in crash.text
        assert all(prompt.description for prompt in client.list_prompts())
        embedded = client.get_prompt("test_prompt_with_embedded_resource", {"resourceUri": "x://y"})
        assert embedded.messages[0].content.resource.uri == "x://y"
        assert client.get_prompt("test_prompt_with_image").messages[0].content.mime_type == "image/png"
        assert client.read_resource("test://static-binary").blob.startswith(b"\x89PNG")


def test_bench_server(examples, tmp_path):
    tools = [{"name": f"t{i}", "description": "d", "inputSchema": {"type": "object"}} for i in range(48)]
    (tmp_path / "tools.json").write_text(json.dumps(tools))
    (tmp_path / "big.txt").write_text("big " * 1000)
    env = {"BENCH_TOOLS": str(tmp_path / "tools.json"), "BENCH_BIG": str(tmp_path / "big.txt")}
    with SyncClient([sys.executable, str(examples / "bench_server.py"), "--stdio"], env=env) as client:
        assert len(client.list_tools()) == 50
        assert client.call_tool("t7", {"any": 1}).text == "ok"
        assert client.call_tool("echo", {"text": "e"}).text == "e"
        assert client.call_tool("add", {"a": 2, "b": 3}).structured == {"sum": 5}
        assert client.read_resource("bench://big").text == "big " * 1000


@pytest.fixture
def library(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "sea.md").write_text("# Sea\n" + "water\n" * 15 + "the quick whale dives\n")
    (tmp_path / "land.txt").write_text("the quick fox jumps over the lazy dog\n")
    (tmp_path / "image.bin").write_bytes(b"\x00quick")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("quick")
    (tmp_path.parent / "secret.txt").write_text("quick secret")
    return tmp_path


def test_docsearch(examples, serve, library):
    url = serve(examples / "docsearch_server.py", "--root", library)
    client = examples / "docsearch_client.py"
    out, err = run(client, url, "index", ".")
    assert json.loads(out) == {"files": 3, "passages": 3}
    task, *progress, last = err.splitlines()
    assert last == "progress 3 3"
    # Progress that arrives faster than the client polls is skipped.
    known = ["progress 1 3 docs/sea.md", "progress 2 3 image.bin", "progress 3 3 land.txt"]
    assert [line for line in known if line in progress] == progress
    out, err = run(client, url, "resume", task.removeprefix("task "))
    assert json.loads(out) == {"files": 3, "passages": 3}
    hits = json.loads(run(client, url, "search", "quick")[0])["hits"]
    assert {(hit["path"], hit["line"]) for hit in hits} == {("docs/sea.md", 13), ("land.txt", 1)}
    assert all("[quick]" in hit["snippet"] for hit in hits)
    assert json.loads(run(client, url, "search", "quick", "1")[0])["hits"] == hits[:1]
    assert json.loads(run(client, url, "search", 'NEAR( "odd')[0]) == {"hits": []}


def test_docsearch_stays_inside_its_root(examples, library):
    command = [sys.executable, str(examples / "docsearch_server.py"), "--stdio", "--root", str(library)]
    with SyncClient(command) as client:
        assert client.call_tool("index", {"path": "docs"}).data == {"files": 1, "passages": 2}
        assert client.call_tool("index", {"path": str(library)}).data["files"] == 3
        assert client.call_tool("index").data["files"] == 3
        for outside in ("..", "/", "docs/../..", str(library.parent)):
            with pytest.raises(ToolError):
                client.call_tool("index", {"path": outside})
        assert "whale" in client.read_resource("doc://docs/sea.md").text
        for uri in (
            "doc://../secret.txt",
            "doc://docs/../../secret.txt",
            "doc://%2e%2e%2fsecret.txt",
            f"doc://{library.parent}/secret.txt",
            "doc://none.txt",
            "doc://image.bin",
            "doc://docs",
        ):
            with pytest.raises(McpError) as caught:
                client.read_resource(uri)
            assert "quick" not in caught.value.message
        assert "lazy dog" in client.get_prompt("summarise", {"path": "land.txt"}).text
        with pytest.raises(McpError):
            client.get_prompt("summarise", {"path": "../secret.txt"})
        with pytest.raises(ToolError):
            client.call_tool("search", {"query": "quick", "limit": 0})
