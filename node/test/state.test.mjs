// The state that a call stores with a modern client during an input request.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Server } from "trunnion";
import { withEngine } from "./helpers.mjs";

test("the state that a call leaves is read by every process that has its keys", () =>
  withEngine({}, async (engine) => {
    const key = Buffer.alloc(32, 7).toString("base64");
    const servers = [[key], [Buffer.alloc(32, 8).toString("base64"), key], []].map((stateKeys) =>
      new Server({ name: "replica", version: "1", engine, stateKeys }).tool("ask", {}, async (_, ctx) =>
        `${await ctx.once("by", () => "first")} ${(await ctx.elicitUrl("?", "https://example.com/")).action}`,
      ),
    );
    const ask = async (server, more = {}) => {
      const _meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": { elicitation: { url: {} } },
      };
      const headers = {
        accept: "application/json, text/event-stream",
        "content-type": "application/json",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "ask",
      };
      const params = { name: "ask", arguments: {}, _meta, ...more };
      const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params });
      return (await server.fetch(new Request("http://localhost/mcp", { method: "POST", headers, body }))).json();
    };
    const { requestState } = (await ask(servers[0])).result;
    const answers = { requestState, inputResponses: { q1: { action: "accept" } } };
    assert.equal((await ask(servers[1], answers)).result.content[0].text, "first accept");
    assert.equal((await ask(servers[2], answers)).error.code, -32602);
    for (const server of servers) await server.close();
  }));
