"""The snippets of the guide, run."""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from trunnion import Server, SyncClient

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "python.md"


def snippets(page):
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


SNIPPETS = snippets(GUIDE)

# The call of each snippet's server: a tool, its arguments and the expected data of the result.
CALLS = {
    "weather": ("forecast", {"city": "Oslo", "days": 1}, {"day 0": 20.0}),
    "shop": ("order", {"item": "tea", "count": 2}, {"item": "tea", "count": 2}),
    "slow": ("count", {"to": 2}, "trunnion made me count to 2"),
    "adder": ("add", {"a": 1, "b": 2}, 3),
    "talker": ("talk", {}, "done"),
    "hosted": ("ok", {}, "ok"),
    "inn": ("book", {"guests": 1}, "nobody is coming"),
    "desk": ("close_account", {}, "closed: bored"),
    "traced": ("trace", {}, "none"),
    "importer": ("load", {"pages": 1}, "1 pages, receipt 7"),
    "guarded": ("whoami", {}, "somebody of this machine"),
    "sunny": ("shine", {}, "it shines"),
}
PRINTED = {
    "adder": "3\n",
    "talker": "log warning mind the step\n",
    "inn": "room 1 for Ada, 2 nights\n1\n",
    "desk": "closed: moved\nglobe: a small model of the world\n",
    "news": "read again news://today\n",
    "traced": "True\n",
    "importer": "2 pages, receipt 7\ncompleted 3 pages, receipt 7\n",
    "guarded": "ann\n['whoami', 'delete']\nscope\n",
    "shelf": "nothing stands at left {'uri': 'shelf://left'}\n",
}
ANSWERS = {"inn": lambda request: "decline", "desk": lambda request: {"reason": "bored"}}


def test_there_are_snippets():
    assert len(SNIPPETS) >= 7


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_snippet(snippet, monkeypatch, request):
    monkeypatch.chdir(ROOT)
    if "SHOP_URL" in snippet:
        shop = {"SHOP_URL": request.getfixturevalue("world").mcp, "SHOP_ID": "shop", "SHOP_SECRET": "s3cret"}
        shop["SHOP_ISSUER"] = request.getfixturevalue("world").issuer
        for name, value in shop.items():
            monkeypatch.setenv(name, value)
    out = io.StringIO()
    names = {"__name__": "snippet"}
    with contextlib.redirect_stdout(out):
        exec(compile(snippet, str(GUIDE), "exec"), names)
    server = names.get("server")
    if not isinstance(server, Server):
        assert out.getvalue()
        assert "SHOP_URL" not in snippet or out.getvalue() == "hello\n"
        return
    assert out.getvalue() == PRINTED.get(server.name, "")
    with SyncClient(server, on_elicit=ANSWERS.get(server.name)) as client:
        if server.name == "news":
            assert client.read_resource("news://today").text == "nothing"
        elif server.name == "shelf":
            assert [template.uri_template for template in client.list_resource_templates()] == ["shelf://{place}"]
        elif server.name in CALLS:
            if server.name == "hosted":
                assert "/mcp" in [route.path for route in names["app"].routes]
            if server.name == "sunny":
                assert [icon.src for icon in client.list_tools()[0].icons] == ["https://example.com/sun.png"]
            tool, arguments, data = CALLS[server.name]
            assert client.call_tool(tool, arguments).data == data
        else:
            assert client.read_resource("book://list").text == '["emma"]'
            assert "Woodhouse" in client.read_resource("book://emma/text").text
            assert "4 stars" in client.get_prompt("review", {"title": "emma", "stars": 4}).text
            assert client.complete("title", "e", prompt="review").values == ["emma"]


def test_the_readme(tmp_path):
    shop, client = snippets(ROOT / "README.md")
    assert shop.startswith("# shop.py\n")
    (tmp_path / "shop.py").write_text(shop, encoding="utf-8")
    (tmp_path / "client.py").write_text(client, encoding="utf-8")
    command = [sys.executable, "-W", "error", "client.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("{'total': 6.0}\n", "", 0)
    with SyncClient([sys.executable, "shop.py"], cwd=tmp_path) as shop_client:
        assert shop_client.call_tool("order", {"item": "cake"}).data == {"total": 5.0}


def test_the_readme_of_the_package():
    (snippet,) = snippets(ROOT / "python" / "README.md")
    assert snippet.rstrip().endswith("server.run()")
    names = {}
    exec(snippet.replace("server.run()", ""), names)
    with SyncClient(names["server"]) as client:
        assert client.call_tool("add", {"a": 1, "b": 2}).data == 3


def test_no_paths_of_one_machine():
    assert os.sep + "home" not in GUIDE.read_text(encoding="utf-8")
