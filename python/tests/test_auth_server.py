"""Servers that require a valid token, with the authorization server of tests/auth-server."""

import asyncio
import json
import logging
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from trunnion import (
    Client,
    Context,
    Introspection,
    InvalidParamsError,
    JwtVerifier,
    McpError,
    Server,
    ServerAuth,
    SyncClient,
    UsageError,
    Visibility,
)

AUTH_SERVER = Path(__file__).resolve().parents[2] / "target/debug/trunnion-auth-server"
TOKENS = {
    "ann": {"sub": "ann", "scope": "read write", "groups": ["staff"], "realm": {"roles": ["boss"]}},
    "bob": {"sub": "bob", "scope": "read"},
}


class Issuer:
    """An authorization server that mints whatever it is asked for."""

    def __init__(self):
        self.process = subprocess.Popen([AUTH_SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()

    def close(self):
        self.process.stdin.close()
        assert self.process.wait() == 0
        self.process.stdout.close()

    def token(self, **how):
        request = urllib.request.Request(f"{self.url}/admin/token", json.dumps(how).encode(), method="POST")
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["token"]


@pytest.fixture
def issuer():
    issuer = Issuer()
    yield issuer
    issuer.close()


def make(auth, **options):
    server = Server("files", auth=auth, **options)

    @server.tool
    def whoami(ctx: Context) -> dict[str, object]:
        return {"sub": (ctx.claims or {}).get("sub"), "principal": ctx.principal}

    return server


def bearer(token):
    return {"headers": {"authorization": f"Bearer {token}"}}


async def who(url, token):
    async with Client(url, **bearer(token)) as client:
        return (await client.call_tool("whoami")).structured


def status_of(url, token=None):
    """The status of a request, and the reason in it."""
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, b"{}", headers, method="POST")
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, None
    except urllib.error.HTTPError as error:
        with error:
            body = json.loads(error.read() or b"{}")
            return error.code, body.get("error", {}).get("data", {}).get("reason")


async def looked(url, token=None):
    return await asyncio.to_thread(status_of, url, token)


def serving(server, body):
    async def main():
        async with server.serve_http() as serving:
            await asyncio.wait_for(body(serving.url), 60)

    asyncio.run(main())


@pytest.mark.parametrize("driver", ["hosted", "threaded"])
def test_fixed_tokens(driver):
    async def body(url):
        ann = await who(url, "ann")
        assert ann["sub"] == "ann" and "ann" in ann["principal"]
        assert (await who(url, "bob"))["principal"] != ann["principal"]
        assert await looked(url) == (401, "no_token")
        assert (await looked(url, "eve"))[0] == 401
        with pytest.raises(McpError):
            await who(url, "eve")

    serving(make(ServerAuth(tokens=TOKENS), driver=driver), body)


def test_signed_tokens(issuer):
    async def body(url):
        good = issuer.token(claims={"sub": "ann", "aud": url, "scope": "read"})
        assert (await who(url, good))["sub"] == "ann"
        for how, reason in (
            ({"claims": {"sub": "ann", "aud": "https://other.example"}}, "audience"),
            ({"claims": {"sub": "ann", "aud": url, "exp": 1}}, "expired"),
            ({"claims": {"sub": "ann", "aud": url}, "key": "unknown"}, "unknown_key"),
            ({"claims": {"sub": "ann", "aud": url}, "key": "none"}, "algorithm"),
        ):
            assert await looked(url, issuer.token(**how)) == (401, reason)
        status, said = await looked(url, issuer.token(claims={"sub": "ann", "aud": url, "scope": "none"}))
        assert (status, said) == (403, "scope")

    serving(make(ServerAuth(jwt=JwtVerifier(issuer.url, timeout=30), required_scopes=["read"], leeway=0)), body)


def test_introspection(issuer):
    auth = ServerAuth(introspection=Introspection(f"{issuer.url}/introspect", "resource", "resource-secret", cache=1))

    async def body(url):
        assert (await who(url, issuer.token(claims={"sub": "ann", "aud": url})))["sub"] == "ann"
        assert await looked(url, "made-up") == (401, "inactive")

    serving(make(auth), body)
    assert "secret" not in repr(auth.introspection)


def checks(kind, url_of):
    """A verifier: tokens are the subject; `broken` breaks it."""

    def check(token):
        if token == "broken":
            raise OSError("the database is away")
        return {"sub": token, "aud": url_of()} if token.startswith("user-") else None

    async def check_later(token):
        await asyncio.sleep(0)
        return check(token)

    return check if kind == "def" else check_later


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_check_of_ones_own(kind, caplog):
    where = []

    async def body(url):
        where.append(url)
        assert (await who(url, "user-1"))["sub"] == "user-1"
        assert await looked(url, "eve") == (401, "rejected")
        # A token that cannot be checked is no reason to request another one.
        with caplog.at_level(logging.CRITICAL, logger="trunnion"):
            assert (await looked(url, "broken"))[0] == 503

    serving(make(ServerAuth(verify=checks(kind, lambda: where[0]))), body)


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_check_in_a_program_without_a_loop(kind, tmp_path):
    program = tmp_path / "server.py"
    prefix = "" if kind == "def" else "async "
    program.write_text(
        "from trunnion import Context, Server, ServerAuth\n"
        f"{prefix}def verify(token):\n"
        "    return {'sub': token, 'aud': 'https://files.example'} if token == 'ann' else None\n"
        "server = Server('files', auth=ServerAuth(verify=verify, resource='https://files.example'))\n"
        "@server.tool\n"
        "def whoami(ctx: Context) -> str:\n"
        "    return ctx.claims['sub']\n"
        "server.run('http')\n"
    )
    process = subprocess.Popen([sys.executable, str(program)], stderr=subprocess.PIPE, text=True)
    try:
        url = process.stderr.readline().split()[-1]
        with SyncClient(url, **bearer("ann")) as client:
            assert client.call_tool("whoami").text == "ann"
        assert status_of(url, "eve") == (401, "rejected")
    finally:
        process.terminate()
        process.communicate()


def test_scopes_and_visibility():
    server = make(ServerAuth(tokens=TOKENS))

    @server.tool(scopes=["write"])
    def delete() -> str:
        return "deleted"

    @server.tool(visible_to=Visibility.scope("admin") | Visibility.claim("groups", "staff"))
    def audit() -> str:
        return "all is well"

    @server.resource("file://secret", visible_to={"claim": ["realm", "roles"], "is": "boss"})
    def secret() -> str:
        return "hush"

    @server.prompt(visible_to=~Visibility.claim("sub", "ann") & Visibility.scope("read"))
    def ask() -> str:
        return "who?"

    @server.resource("file://{name}")
    def file(name: str) -> str:
        return name

    @server.completion("name", resource=file, scopes=["write"], visible_to=Visibility.scope("read"))
    def names(value: str) -> list:
        return ["secret"]

    async def body(url):
        async with Client(url, **bearer("ann")) as client:
            assert [tool.name for tool in await client.list_tools()] == ["whoami", "delete", "audit"]
            assert (await client.call_tool("delete")).text == "deleted"
            assert (await client.call_tool("audit")).text == "all is well"
            assert (await client.read_resource("file://secret")).text == "hush"
            assert await client.list_prompts() == []
            assert (await client.complete("name", "", resource="file://{name}")).values == ["secret"]
        async with Client(url, **bearer("bob")) as client:
            assert [tool.name for tool in await client.list_tools()] == ["whoami", "delete"]
            with pytest.raises(McpError) as refused:
                await client.call_tool("delete")
            assert refused.value.data["reason"] == "scope"
            with pytest.raises(McpError) as refused:
                await client.complete("name", "", resource="file://{name}")
            assert refused.value.data["reason"] == "scope"
            with pytest.raises(InvalidParamsError):
                await client.call_tool("audit")
            assert await client.list_resources() == []
            assert [prompt.name for prompt in await client.list_prompts()] == ["ask"]

    serving(server, body)

    async def local():
        # A local client sees everything.
        async with Client(server) as client:
            assert len(await client.list_tools()) == 3
            assert (await client.call_tool("whoami")).structured == {"sub": None, "principal": None}

    asyncio.run(local())


def test_tasks_belong_to_who_began_them():
    server = make(ServerAuth(tokens=TOKENS))

    @server.tool(task="required")
    async def slow(ctx: Context) -> str:
        return ctx.claims["sub"]

    async def body(url):
        async with Client(url, **bearer("ann")) as ann, Client(url, **bearer("bob")) as bob:
            task = await ann.start_task("slow")
            assert (await task.result()).text == "ann"
            with pytest.raises(InvalidParamsError):
                await bob.task(task.id).status()

    serving(server, body)


def test_what_is_wrong_is_said():
    async def serve(auth):
        async with make(auth).serve_http():
            pass

    with pytest.raises(UsageError):
        asyncio.run(serve(ServerAuth()))
    with pytest.raises(UsageError, match="algorithm"):
        asyncio.run(serve(ServerAuth(jwt=JwtVerifier("https://as.example", algorithms=["HS256"]))))
    with pytest.raises(TypeError, match="ServerAuth"):
        make({"tokens": TOKENS})
    with pytest.raises(TypeError, match="list"):
        make(ServerAuth(tokens=TOKENS, required_scopes="read"))
    with pytest.raises(TypeError, match="neither true nor false"):
        Visibility.scope("a") or Visibility.scope("b")
    server = make(None)
    with pytest.raises(TypeError, match="list"):
        server.add_tool(lambda: "x", name="x", scopes="read")
    with pytest.raises(TypeError, match="visible_to"):
        server.add_tool(lambda: "x", name="x", visible_to="admin")
    assert "ann" not in repr(ServerAuth(tokens=TOKENS))
    assert repr(Visibility.scope("a")) == "Visibility({'scope': ['a']})"
