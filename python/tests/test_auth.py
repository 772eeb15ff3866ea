"""Clients that sign in, against an authorization server of the tests (core/engine/examples/auth_world.rs)."""

import asyncio
import json
import logging
import stat
import sys
import threading
import urllib.request

import pytest

from trunnion import Client, SyncClient, UnauthorizedError, UsageError
from trunnion.auth import AuthorizationCode, ClientCredentials, Enterprise, JwtBearer, MemoryStore

REDIRECT_URI = "http://localhost:3000/callback"
# Made for these tests.
P256 = """-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQghb/L5tuT1Pb4ZB99
jHw2dLBlFI5zKDUHqkBkHgIQ3R2hRANCAASDRg6E5mauEpZuYm55p5OczDccVT9Y
+Purw1W1NC6kAL6KA+bcdGqctLuGFrxW9d/ouvNmUGAjsDTcehrotnsP
-----END PRIVATE KEY-----
"""


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def agree(page):
    """The user agrees: the page is a redirect to the callback."""
    try:
        urllib.request.build_opener(Stay).open(page)
    except urllib.error.HTTPError as error:
        with error:
            return error.headers["location"]
    raise AssertionError("the page leads nowhere")


async def agree_later(page):
    return await asyncio.to_thread(agree, page)


async def hello(client):
    return (await client.call_tool("hello")).text


def refused(world, auth, reason):
    """The way in fails for this reason; the error."""

    async def connect():
        async with Client(world.mcp, auth=auth):
            pass

    with pytest.raises(UnauthorizedError) as caught:
        asyncio.run(connect())
    assert caught.value.data["reason"] == reason
    assert not any(secret in repr(caught.value) for secret in ("s3cret", "acc3ss", "c0de"))
    return caught.value


@pytest.mark.parametrize("redirect", [agree, agree_later])
def test_the_user_agrees_once(world, redirect):
    async def main():
        auth = AuthorizationCode(redirect, REDIRECT_URI, client_name="Shop assistant")
        async with Client(world.mcp, auth=auth) as client:
            assert await hello(client) == "hello"
            # More scopes are asked for when a call needs them.
            assert (await client.call_tool("admin")).text == "done"

    asyncio.run(main())
    seen = world.seen()
    assert [page["scope"] for page in seen["pages"]] == ["basic", "basic admin"]
    assert [page["redirect_uri"] for page in seen["pages"]] == [REDIRECT_URI] * 2
    assert seen["log"].count("register") == 1


@pytest.mark.parametrize("redirect", [agree, agree_later])
def test_without_a_loop(world, redirect):
    with SyncClient(world.mcp, auth=AuthorizationCode(redirect, REDIRECT_URI)) as client:
        assert client.call_tool("hello").text == "hello"


def test_the_browser_of_this_machine(world, tmp_path, monkeypatch):
    opener = tmp_path / ("open" if sys.platform == "darwin" else "xdg-open")
    # urllib follows the redirect to the port of this process.
    opener.write_text(f"#!{sys.executable}\nimport sys, urllib.request\nurllib.request.urlopen(sys.argv[1]).close()\n")
    opener.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with SyncClient(world.mcp, auth=AuthorizationCode()) as client:
        assert client.call_tool("hello").text == "hello"
    assert world.seen()["pages"][0]["redirect_uri"].startswith("http://127.0.0.1:")


def test_clients_act_for_themselves(world):
    async def main():
        for auth in (
            ClientCredentials("me", "s3cret", trust_first_issuer=True),
            ClientCredentials("me", "s3cret", client_auth_method="client_secret_post", trust_first_issuer=True),
            ClientCredentials("me", signing_key=P256, signing_key_id="k1", trust_first_issuer=True),
            JwtBearer("me", "h.e.y", trust_first_issuer=True),
        ):
            async with Client(world.mcp, auth=auth) as client:
                assert await hello(client) == "hello"

    asyncio.run(main())
    basic, post, signed, bearer = world.seen()["forms"]
    assert basic["basic"] == "me:s3cret"
    assert post["client_secret"] == "s3cret"
    assert len(signed["client_assertion"].split(".")) == 3
    assert bearer["assertion"] == "h.e.y"


def test_files_are_shared(world, tmp_path):
    async def main():
        for _ in range(2):
            auth = AuthorizationCode(agree, REDIRECT_URI, store=tmp_path / "credentials")
            async with Client(world.mcp, auth=auth) as client:
                assert await hello(client) == "hello"

    asyncio.run(main())
    assert len(world.seen()["pages"]) == 1
    files = list((tmp_path / "credentials").iterdir())
    assert files and all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)


def test_one_object_is_one_user(world):
    async def main():
        auth = AuthorizationCode(agree, REDIRECT_URI)
        async with Client(world.mcp, auth=auth) as one, Client(world.mcp, auth=auth) as two:
            for round in range(1, 6):
                world.change(revoke=True)
                assert await asyncio.gather(hello(one), hello(two)) == ["hello", "hello"]
                assert world.granted("refresh_token") == round, "one refresh for both"
        async with Client(world.mcp, auth=auth) as later:
            assert await hello(later) == "hello"
        # Another object knows nothing of it.
        async with Client(world.mcp, auth=AuthorizationCode(agree, REDIRECT_URI)):
            pass

    asyncio.run(main())
    assert len(world.seen()["pages"]) == 2


class Keychain:
    """A store of the user's own: texts by server."""

    def __init__(self):
        self.kept = {}

    async def load(self, server):
        await asyncio.sleep(0)
        return json.loads(self.kept[server][1]) if server in self.kept else None

    async def swap(self, server, expected, record):
        version, _ = self.kept.get(server, (0, ""))
        if version != expected:
            return False
        self.kept[server] = (record["version"], json.dumps(record))
        return True


class PlainKeychain(MemoryStore):
    pass


@pytest.mark.parametrize("make", [Keychain, PlainKeychain])
def test_a_store_of_ones_own(world, make):
    store = make()

    async def main():
        for _ in range(2):
            async with Client(world.mcp, auth=AuthorizationCode(agree, REDIRECT_URI, store=store)) as client:
                assert await hello(client) == "hello"

    asyncio.run(main())
    assert len(world.seen()["pages"]) == 1
    if make is Keychain:
        assert list(store.kept) == [world.mcp] and "acc3ss" in store.kept[world.mcp][1]


def test_a_store_that_fails(world, caplog):
    class Locked(MemoryStore):
        def load(self, server):
            raise OSError("the keychain is locked")

    error = refused(world, AuthorizationCode(agree, REDIRECT_URI, store=Locked()), "store")
    assert "locked" not in str(error) and "store failed" in str(error)
    assert "the keychain is locked" in caplog.text


def test_why_there_is_no_way_in(world, caplog):
    def lost(page):
        raise RuntimeError("no display")

    def mistaken(page):
        return 7

    error = refused(world, AuthorizationCode(lost, REDIRECT_URI), "redirect")
    assert "redirect failed" in str(error) and "no display" in caplog.text
    refused(world, AuthorizationCode(mistaken, REDIRECT_URI), "redirect")
    refused(world, AuthorizationCode(agree_never, REDIRECT_URI, user_timeout=0.001), "user_timeout")
    world.change(iss="https://evil.example")
    refused(world, AuthorizationCode(agree, REDIRECT_URI), "wrong_iss")
    # Without a way in, the refusal is the error.
    with pytest.raises(Exception) as caught, SyncClient(world.mcp):
        pass
    assert caught.value.kind == "unauthorized"


async def agree_never(page):
    await asyncio.Event().wait()


def test_given_up_while_the_user_decides(world):
    async def main():
        asked, ended = asyncio.Event(), asyncio.Event()

        async def redirect(page):
            asked.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        client = Client(world.mcp, auth=AuthorizationCode(redirect, REDIRECT_URI))
        connecting = asyncio.ensure_future(client.connect())
        await asked.wait()
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        await ended.wait()

        # A cancelled call closes its page, and others continue.
        asked.clear()
        ended.clear()
        pages = iter([agree_later, redirect])
        auth = AuthorizationCode(lambda page: None, REDIRECT_URI)

        async def in_turn(page):
            return await next(pages)(page)

        auth.redirect = in_turn
        async with Client(world.mcp, auth=auth) as client:
            call = asyncio.ensure_future(client.call_tool("admin"))
            await asked.wait()
            call.cancel()
            await ended.wait()
            assert await hello(client) == "hello"

    asyncio.run(main())


def test_tokens_are_bound_to_a_key(world):
    world.change(dpop=True)
    with SyncClient(world.mcp, auth=AuthorizationCode(agree, REDIRECT_URI, dpop=P256)) as client:
        assert client.call_tool("hello").text == "hello"
    assert world.seen()["shown"][-1].startswith("DPoP ")


@pytest.mark.parametrize(
    ("auth", "told"),
    [
        (AuthorizationCode(signing_key="s3cret", client_id="me"), "auth.signingKey"),
        (AuthorizationCode(dpop="s3cret"), "auth.dpop"),
        (AuthorizationCode(dpop=True, store="credentials"), "dpop must be a key"),
        (AuthorizationCode(client_secret="s3cret"), "clientId"),
        (AuthorizationCode(client_auth_method="s3cret", client_id="me"), "auth.clientAuthMethod"),
        (AuthorizationCode(addresses="all"), "auth.addresses"),
        (ClientCredentials("me"), "clientSecret or a signingKey"),
        (ClientCredentials("", "s3cret"), "clientId"),
        (AuthorizationCode(lambda page: page, "http://app.example/back"), "redirect_uri"),
        (AuthorizationCode(loopback_port=70000), "auth.loopbackPort"),
    ],
)
def test_options_that_are_wrong(auth, told):
    with pytest.raises(UsageError) as caught:
        SyncClient("http://127.0.0.1:9/mcp", auth=auth).connect()
    assert told in str(caught.value) and "s3cret" not in repr(caught.value).replace("unknown variant `s3cret`", "")


def test_what_python_itself_refuses():
    with pytest.raises(TypeError, match="redirect_uri"):
        AuthorizationCode(agree)
    with pytest.raises(TypeError, match="not a dict"):
        Client("http://127.0.0.1:9/mcp", auth={"grant": "client_credentials"})
    with pytest.raises(UsageError, match="over HTTP"):
        SyncClient([sys.executable, "-c", ""], auth=ClientCredentials("me", "s3cret")).connect()


def test_nothing_secret_is_shown(world, caplog):
    caplog.set_level(logging.DEBUG)
    provider = {"token_endpoint": "https://idp.example/token", "idp_issuer": "https://idp.example", "idp_client_id": "us"}
    for auth in (
        AuthorizationCode(client_id="me", client_secret="s3cret", dpop=P256, signing_key=P256),
        ClientCredentials("me", "s3cret"),
        JwtBearer("me", "s3cret"),
        Enterprise("me", "s3cret", subject="s3cret", **provider),
    ):
        assert "'me'" in repr(auth) and "s3cret" not in repr(auth) and "PRIVATE" not in repr(auth)
    auth = AuthorizationCode(agree, REDIRECT_URI)
    with SyncClient(world.mcp, auth=auth) as client:
        client.call_tool("hello")
        shown = repr(client) + repr(auth) + repr(auth.store)
    assert not any(secret in shown + caplog.text for secret in ("acc3ss", "r3fresh", "c0de"))


def test_threads_share_one_object(world):
    auth = AuthorizationCode(agree, REDIRECT_URI)
    answers = []

    def work():
        with SyncClient(world.mcp, auth=auth) as client:
            answers.append(client.call_tool("hello").text)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["hello"] * 4 and len(world.seen()["pages"]) == 1
