// Endpoints mounted in the host's web server: web-standard requests and responses.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import { Readable } from "node:stream";
import { describe, test } from "node:test";
import { CancelledError, ClosedError, connect, Server } from "trunnion";
import { awaited, deferred, ENGINES, title, withEngine } from "./helpers.mjs";

const FORM = { type: "object", properties: { name: { type: "string" } }, required: ["name"] };
const META = { "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {} };

/** A modern call as a web-standard request. */
function call(name, { url = "http://localhost/mcp", meta = {}, ...init } = {}) {
  const params = { name, arguments: {}, _meta: { ...META, ...meta } };
  const headers = {
    accept: "application/json, text/event-stream",
    "content-type": "application/json",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/call",
    "mcp-name": name,
  };
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params });
  return new Request(url, { method: "POST", headers, body, ...init });
}

/** A server with a tool that works until it is cancelled. */
function waiting(engine) {
  const [begun, ended] = [deferred(), deferred()];
  const server = new Server({ name: "carried", version: "1", engine, onError: () => {} });
  server.tool("hello", {}, () => "hello").tool("wait", {}, (_, ctx) => {
    ctx.progress(1);
    begun.resolve();
    return new Promise((_, reject) => {
      ctx.signal.addEventListener("abort", () => (ended.resolve(ctx.signal.reason), reject(ctx.signal.reason)));
    });
  });
  return { server, begun: begun.promise, ended: ended.promise };
}

/** Node's own HTTP server as the host. */
async function host(handler) {
  const http = createServer(async (incoming, outgoing) => {
    const leaving = new AbortController();
    outgoing.on("close", () => leaving.abort());
    const { method, headers, url } = incoming;
    const body = method === "POST" ? Readable.toWeb(incoming) : undefined;
    const request = new Request(`http://${headers.host}${url}`, { method, headers, body, duplex: "half", signal: leaving.signal });
    try {
      const response = await handler(request, { peer: incoming.socket.remoteAddress });
      outgoing.writeHead(response.status, Object.fromEntries(response.headers));
      outgoing.flushHeaders();
      for await (const piece of response.body ?? []) outgoing.write(piece);
      outgoing.end();
    } catch {
      outgoing.destroy();
    }
  });
  await once(http.listen(0, "127.0.0.1"), "listening");
  return { url: `http://127.0.0.1:${http.address().port}/mcp`, close: () => http.close().closeAllConnections() };
}

for (const options of ENGINES) {
  describe(`carried: ${title(options)}`, { timeout: 60_000 }, () => {
    const check = (name, body) => test(name, () => withEngine(options, body));

    for (const era of ["modern", "legacy"]) {
      check(`a client of a carried server, ${era}`, async (engine) => {
        const server = new Server({ name: "carried", version: "1", engine });
        server
          .tool("steps", {}, async (_, ctx) => {
            for (const step of [1, 2, 3]) {
              await new Promise((resolve) => setImmediate(resolve));
              ctx.progress(step);
            }
            return ctx.request.transport;
          })
          .tool("ask", {}, async (_, ctx) => (await ctx.elicit("Who?", FORM)).content.name)
          .tool("large", {}, () => "x".repeat(1_000_000));
        const carrier = await host(server.fetch);
        const onElicit = () => ({ action: "accept", content: { name: "anna" } });
        const client = await connect(carrier.url, { engine, era, onElicit });
        const seen = [];
        const steps = await client.callTool("steps", {}, { onProgress: ({ progress }) => seen.push(progress) });
        assert.deepEqual([steps.text, seen], ["http", [1, 2, 3]]);
        assert.equal((await client.callTool("ask")).text, "anna");
        assert.equal((await client.callTool("large")).text.length, 1_000_000);
        await client.close();
        await server.close();
        carrier.close();
      });
    }

    check("a response, whole", async (engine) => {
      const { server } = waiting(engine);
      const response = await server.fetch(call("hello"));
      assert.equal(response.status, 200);
      assert.equal(response.headers.get("content-type"), "application/json");
      assert.deepEqual((await response.json()).result.content, [{ type: "text", text: "hello" }]);
      await server.close();
      await assert.rejects(server.fetch(call("hello")), ClosedError);
    });

    check("what is refused", async (engine) => {
      const { server } = waiting(engine);
      const status = async (request, handler = server.fetch) => (await handler(request)).status;
      assert.equal(await status(call("hello", { url: "http://localhost/other" })), 404);
      assert.equal(await status(call("hello", { url: "http://mcp.example.com/mcp" })), 403);
      assert.equal(await status(new Request("http://localhost/mcp", { method: "PUT" })), 405);
      const handler = server.handler({ publicUrl: "https://mcp.example.com/api", path: "/api" });
      assert.equal(await status(call("hello", { url: "http://mcp.example.com/api" }), handler), 200);
      await handler.close();
      await assert.rejects(handler(call("hello")), ClosedError);
      assert.throws(() => server.handler({ colour: "red" }), /colour/);
      await server.close();
    });

    check("a body that is too large is not read to its end", async (engine) => {
      const { server } = waiting(engine);
      let pulled = 0;
      const endless = new ReadableStream({ pull: (controller) => void controller.enqueue(new Uint8Array(1 << 16).fill(32), pulled++) });
      const { status } = await server.fetch(call("hello", { body: endless, duplex: "half" }));
      assert.equal(status, 413);
      assert.ok(pulled < 100, `${pulled}`);
      await server.close();
    });

    check("aborting the request cancels its call", async (engine) => {
      const { server, begun, ended } = waiting(engine);
      const controller = new AbortController();
      const response = server.fetch(call("wait", { signal: controller.signal }));
      response.catch(() => {});
      await awaited(begun);
      controller.abort();
      await assert.rejects(response, CancelledError);
      assert.ok((await awaited(ended)) instanceof CancelledError);
      await assert.rejects(server.fetch(call("hello", { signal: controller.signal })));
      await server.close();
    });

    check("leaving the body of a response cancels its call", async (engine) => {
      const { server, ended } = waiting(engine);
      const { body } = await server.fetch(call("wait", { meta: { progressToken: 1 } }));
      const reader = body.getReader();
      assert.match(new TextDecoder().decode((await reader.read()).value), /progress/);
      await reader.cancel();
      assert.ok((await awaited(ended)) instanceof CancelledError);
      await server.close();
    });
  });
}
