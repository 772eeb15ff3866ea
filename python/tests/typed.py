"""Type tests, checked by mypy and never run: code that a type checker must accept, and code that it must
refuse (`type: ignore`, which has to be needed)."""

from __future__ import annotations

from dataclasses import dataclass

from trunnion import CallResult, Client, Server, SyncClient


@dataclass
class Receipt:
    total: float


server = Server("typed", ttl=60, ttl_ms=60_000, page_size=50, eras=["modern"], max_message_bytes=1 << 20, task_ttl=None)
Server("typed", driver="hosted", store="x.db", state_keys=[b"0" * 32], telemetry=None)
Server("typed", ttl="no")  # type: ignore[arg-type]
Server("typed", pagesize=50)  # type: ignore[call-arg]

app = server.asgi(path="/x", allowed_hosts=["x"], session_idle=1.5)
server.asgi(port=1)  # type: ignore[call-arg]
server.run("http", port=8000, sessions=False, unix_socket="x")
server.run("http", ports=8000)  # type: ignore[call-arg]


async def main() -> None:
    async with server.serve_http(port=0, public_url="https://x.example") as serving:
        url: str = serving.url
    Client(url, max_depth="deep")  # type: ignore[arg-type]
    SyncClient(url, maxdepth=1)  # type: ignore[call-arg]
    server.serve_http(colour="red")  # type: ignore[call-arg]
    async with Client(url, max_depth=10, timeout=1.5) as client:
        plain: CallResult = await client.call_tool("x")
        print(plain.text)
        receipt: Receipt = await client.call_tool("x", {"a": 1}, returns=Receipt)
        print(receipt.total, (await client.call_tool("x", returns=list[int]))[0] + 1)
        await client.call_tool("x", returns=Receipt).text  # type: ignore[attr-defined]
        late: Receipt = await client.task("x").result(returns=Receipt)
        print(late)


def sync() -> int:
    with SyncClient(server) as client:
        print(client.call_tool("x", timeout=1).structured, client.task("x").result(returns=Receipt).total)
        number: int = client.call_tool("x", returns=int)
        return number
