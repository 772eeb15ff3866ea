// Servers that share a store, as the processes of one machine do.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connect, Server, TransportError } from "trunnion";
import { awaited, ENGINES, title, withEngine } from "./helpers.mjs";

const INITIALIZE = {
  id: 0,
  method: "initialize",
  params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "test", version: "1" } },
};
const CALL = { id: 1, method: "tools/call", params: { name: "hello" } };

function send(url, session, message, method = "POST") {
  const headers = {
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
    "mcp-protocol-version": "2025-11-25",
    connection: "close",
  };
  if (session) headers["mcp-session-id"] = session;
  return fetch(url, { method, headers, body: message && JSON.stringify({ jsonrpc: "2.0", ...message }) });
}

for (const options of ENGINES) {
  test(`servers share sessions and changes, ${title(options)}`, { timeout: 60_000 }, () =>
    withEngine(options, async (engine) => {
      const folder = mkdtempSync(join(tmpdir(), "trunnion-"));
      const make = (store) => new Server({ name: "shared", version: "1", engine, store }).tool("hello", {}, () => "hello");
      const servers = [make(join(folder, "store.db")), make(join(folder, "store.db"))];
      const [first, second] = await Promise.all(servers.map((server) => server.listen()));

      const session = (await send(first.url, undefined, INITIALIZE)).headers.get("mcp-session-id");
      const answer = await (await send(second.url, session, CALL)).json();
      assert.equal(answer.result.content[0].text, "hello");
      assert.equal((await send(second.url, session, undefined, "DELETE")).status, 204);
      while ((await send(first.url, session, CALL)).status !== 404);

      const client = await connect(first.url, { engine });
      const changes = client.listen({ tools: true });
      await changes.ready;
      servers[1].tool("new", {}, () => "new");
      const { value } = await awaited(changes[Symbol.asyncIterator]().next());
      assert.deepEqual(value, { event: "tools_changed" });
      await changes.close();
      await client.close();
      await Promise.all(servers.map((server) => server.close()));
      rmSync(folder, { recursive: true });

      assert.throws(() => make(join(folder, "store.db")), TransportError);
    }));
}
