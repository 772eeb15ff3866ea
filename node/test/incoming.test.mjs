// `server.node()`: requests of Node's own HTTP server, passed on by node:http, Express and Fastify.
import assert from "node:assert/strict";
import { createServer, request as send } from "node:http";
import { once } from "node:events";
import { describe, test } from "node:test";
import { CancelledError, connect, Server } from "trunnion";
import { awaited, deferred, ENGINES, title, withEngine } from "./helpers.mjs";

const META = { "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {} };
const HEADERS = {
  accept: "application/json, text/event-stream",
  "content-type": "application/json",
  "mcp-protocol-version": "2026-07-28",
  "mcp-method": "tools/call",
};

async function host(handler) {
  // A test that fails must not keep the process alive.
  const http = createServer(handler).unref();
  http.on("connection", (socket) => socket.unref());
  await once(http.listen(0, "127.0.0.1"), "listening");
  const { port } = http.address();
  return { port, url: `http://127.0.0.1:${port}/mcp`, close: () => http.close().closeAllConnections() };
}

const bodyOf = (name, meta = {}) =>
  JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name, arguments: {}, _meta: { ...META, ...meta } } });

const post = (url, name, { headers = {}, ...init } = {}) =>
  fetch(url, { method: "POST", headers: { ...HEADERS, "mcp-name": name, ...headers }, body: bodyOf(name), ...init });

function made(engine) {
  const [begun, ended] = [deferred(), deferred()];
  const server = new Server({ name: "node", version: "1", engine, onError: () => {} });
  server
    .tool("hello", {}, (_, ctx) => `hello over ${ctx.request.transport}`)
    .tool("large", {}, () => "ü".repeat(500_000))
    .tool("steps", {}, async (_, ctx) => {
      for (const step of [1, 2, 3]) {
        await new Promise((resolve) => setImmediate(resolve));
        ctx.progress(step);
      }
      return "done";
    })
    .tool("ask", {}, async (_, ctx) => (await ctx.elicit("Who?", { type: "object", properties: { name: { type: "string" } } })).content.name)
    .tool("wait", {}, (_, ctx) => {
      ctx.progress(1);
      begun.resolve();
      return new Promise((_, reject) => {
        ctx.signal.addEventListener("abort", () => (ended.resolve(ctx.signal.reason), reject(ctx.signal.reason)));
      });
    });
  return { server, begun: begun.promise, ended: ended.promise };
}

for (const options of ENGINES) {
  describe(`node's HTTP server: ${title(options)}`, { timeout: 60_000 }, () => {
    const check = (name, body) => test(name, () => withEngine(options, body));

    for (const era of ["modern", "legacy"]) {
      check(`carries a client, ${era}`, async (engine) => {
        const { server } = made(engine);
        const carrier = await host(server.node());
        const onElicit = () => ({ action: "accept", content: { name: "anna" } });
        const client = await connect(carrier.url, { engine, era, onElicit });
        const seen = [];
        const steps = await client.callTool("steps", {}, { onProgress: ({ progress }) => seen.push(progress) });
        assert.deepEqual([steps.text, seen], ["done", [1, 2, 3]]);
        assert.equal((await client.callTool("hello")).text, "hello over http");
        assert.equal((await client.callTool("ask")).text, "anna");
        assert.equal((await client.callTool("large")).text.length, 500_000);
        await client.close();
        await server.close();
        carrier.close();
      });
    }

    check("takes a body that was parsed before, from either place", async (engine) => {
      const { server } = made(engine);
      const handler = server.node();
      const parsers = [
        // Express: the parser leaves the value, and the third argument is `next`.
        (value, request, response) => handler(Object.assign(request, { body: value }), response, () => assert.fail("next")),
        // Fastify: the value of the JSON, or the bytes.
        (value, request, response) => handler(request, response, value),
        (value, request, response) => handler(request, response, Buffer.from(JSON.stringify(value))),
        (value, request, response) => handler(request, response, JSON.stringify(value)),
      ];
      for (const parser of parsers) {
        const carrier = await host(async (request, response) => {
          const pieces = [];
          for await (const piece of request) pieces.push(piece);
          parser(JSON.parse(Buffer.concat(pieces).toString()), request, response);
        });
        const response = await post(carrier.url, "hello");
        assert.equal((await response.json()).result.content[0].text, "hello over http");
        carrier.close();
      }
      await server.close();
    });

    check("answers at the place where Express has mounted it", async (engine) => {
      const { server } = made(engine);
      const handler = server.node({ path: "/own" });
      const mounted = (mount) => host((request, response) => {
        const url = request.url.slice(mount.length);
        handler(Object.assign(request, { baseUrl: mount, url: url.startsWith("/") ? url : `/${url}` }), response);
      });
      for (const [mount, path, status] of [["/api", "/api", 200], ["/api", "/api/", 200], ["/api", "/api?x=1", 200], ["/api", "/api/own", 200], ["/api", "/api/other", 404], ["", "/own", 200]]) {
        const carrier = await mounted(mount);
        const response = await post(carrier.url.replace("/mcp", path), "hello");
        assert.equal(response.status, status, path);
        await response.text();
        carrier.close();
      }
      await server.close();
    });

    check("refuses what the endpoint refuses", async (engine) => {
      const { server } = made(engine);
      const handler = server.node();
      const carrier = await host(handler);
      const status = async (url, init) => {
        const response = await post(url, "hello", init);
        await response.text();
        return response.status;
      };
      assert.equal(await status(`http://127.0.0.1:${carrier.port}/other`), 404);
      assert.equal(await status(carrier.url, { method: "PUT" }), 405);
      assert.equal(await status(carrier.url, { headers: { origin: "https://evil.example" } }), 403);
      await handler.close();
      assert.equal(await status(carrier.url), 503);
      carrier.close();
      await server.close();
    });

    check("a body that is too large is answered, and not read to its end", async (engine) => {
      const { server } = made(engine);
      const carrier = await host(server.node());
      const request = send(carrier.url, { method: "POST", headers: { ...HEADERS, "mcp-name": "hello" } });
      request.on("error", () => {});
      const responded = new Promise((resolve) => request.on("response", resolve));
      // A little more than may be, and the end of it never comes.
      request.write(Buffer.alloc((4 << 20) + (1 << 16), 32));
      const response = await responded;
      assert.deepEqual([response.statusCode, response.headers.connection], [413, "close"]);
      request.destroy();
      carrier.close();
      await server.close();
    });

    check("a caller who leaves cancels the call", async (engine) => {
      const { server, begun, ended } = made(engine);
      const carrier = await host(server.node());
      const leaving = new AbortController();
      const response = post(carrier.url, "wait", { signal: leaving.signal });
      response.catch(() => {});
      await awaited(begun);
      leaving.abort();
      assert.ok((await awaited(ended)) instanceof CancelledError);
      // Nor is anything left of one who leaves while it writes.
      const half = send(carrier.url, { method: "POST", headers: { ...HEADERS, "mcp-name": "hello", "content-length": 100 } });
      half.on("error", () => {});
      half.write("{");
      half.destroy();
      await server.close();
      carrier.close();
    });
  });
}
