// Change subscriptions, the level of log messages, and options of clients.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ClosedError, connect, MethodNotFoundError, Server, TimeoutError, UsageError } from "trunnion";
import { awaited, deferred, ENGINES, title, TRANSPORTS, withEngine, withPair } from "./helpers.mjs";

const define = (server) =>
  server
    .tool("hello", {}, () => "hello")
    .prompt("hello", {}, () => "hello")
    .resource("test://a", { name: "a" }, () => "a")
    .resource("test://b", { name: "b" }, () => "b");

for (const options of ENGINES) {
  for (const transport of TRANSPORTS) {
    for (const era of ["modern", "legacy"]) {
      describe(`listening: ${title(options)}, ${transport}, ${era}`, { timeout: 60_000 }, () => {
        const check = (name, body, clientOptions = {}) =>
          test(name, () =>
            withEngine(options, (engine) => withPair(engine, transport, define, body, {}, { era, ...clientOptions })),
          );

        check("changes come as they happen; leaving the loop ends it", async (client, server) => {
          const changes = client.listen({ tools: true, resourceUris: ["test://a"] });
          const granted = await changes.ready;
          assert.equal(granted.tools, true);
          assert.deepEqual(granted.resourceUris, ["test://a"]);
          server.notifyResourceUpdated("test://b");
          server.notifyResourceUpdated("test://a");
          const seen = [];
          for await (const change of changes) {
            seen.push(change);
            if (seen.length === 1) server.tool("new", {}, () => "new");
            if (seen.length === 2) break;
          }
          assert.deepEqual(seen, [{ event: "resource_updated", uri: "test://a" }, { event: "tools_changed" }]);
          assert.equal((await client.callTool("new")).text, "new");
        });

        check("two who listen, and one who stops", async (client, server) => {
          const [one, two] = [client.listen({ prompts: true }), client.listen({ resources: true, prompts: true })];
          await Promise.all([one.ready, two.ready]);
          await one.close();
          server.prompt("new", {}, () => "new");
          for await (const { event } of two) {
            assert.equal(event, "prompts_changed");
            break;
          }
          for await (const change of one) assert.fail(`${change.event} after the end`);
        });

        check("it ends with its client, and by its signal", async (client) => {
          const controller = new AbortController();
          const aborted = client.listen({ tools: true }, { signal: controller.signal });
          const closed = client.listen({ tools: true });
          await Promise.all([aborted.ready, closed.ready]);
          controller.abort();
          await assert.rejects(aborted[Symbol.asyncIterator]().next(), { kind: "cancelled" });
          const next = closed[Symbol.asyncIterator]().next();
          await client.close();
          assert.deepEqual(await next, { value: undefined, done: true });
          await assert.rejects(client.listen({ tools: true }).ready, ClosedError);
        });
      });
    }
  }
}

describe("options of clients", { timeout: 60_000 }, () => {
  for (const transport of TRANSPORTS) {
    for (const era of ["modern", "legacy"]) {
      const check = (name, define, body, clientOptions = {}, serverOptions = {}) =>
        test(`${name}: ${transport}, ${era}`, () =>
          withEngine({}, (engine) => withPair(engine, transport, define, body, serverOptions, { era, ...clientOptions })),
        );

      const logs = (server) =>
        server.tool("log", {}, (_, ctx) => {
          for (const level of ["debug", "warning", "error"]) ctx.log(level, level);
          return "done";
        });
      const heard = (client) => {
        const levels = [];
        client.on("log", ({ level }) => levels.push(level));
        return levels;
      };
      check("logLevel and setLogLevel", logs, async (client) => {
        const levels = heard(client);
        await client.callTool("log");
        assert.deepEqual(levels.splice(0), ["warning", "error"]);
        await client.setLogLevel("error");
        await client.callTool("log");
        assert.deepEqual(levels, ["error"]);
      }, { logLevel: "warning" });

      check(
        "totalMs is not put off by progress",
        (server) =>
          server.tool("busy", {}, async (_, ctx) => {
            for (let step = 1; !ctx.cancelled; step++) {
              ctx.progress(step);
              await new Promise((resolve) => setImmediate(resolve));
            }
          }),
        async (client) => {
          const onProgress = () => {};
          await assert.rejects(client.callTool("busy", {}, { totalMs: 50, onProgress }), TimeoutError);
        },
      );
    }
  }

  test("lists are kept for as long as the server says, unless they are not wanted", () =>
    withEngine({}, async (engine) => {
      const server = new Server({ name: "cached", version: "1", engine, ttlMs: 600_000 });
      define(server);
      const names = async (client, options) => (await client.listTools(options)).map(({ name }) => name);
      const [keeps, asks] = [await connect(server, { engine }), await connect(server, { engine, cache: false })];
      assert.deepEqual([await names(keeps), await names(asks)], [["hello"], ["hello"]]);
      server.tool("new", {}, () => "new");
      assert.deepEqual(await names(keeps), ["hello"]);
      assert.deepEqual(await names(asks), ["hello", "new"]);
      assert.deepEqual(await names(keeps, { cache: false }), ["hello", "new"]);
      await Promise.all([keeps.close(), asks.close()]);
      await server.close();
    }));

  test("revision, transport and elicitModes", () =>
    withEngine({}, async (engine) => {
      const server = new Server({ name: "options", version: "1", engine });
      server.tool("who", {}, (_, ctx) => JSON.stringify([ctx.request.revision, ctx.request.clientCapabilities]));
      const { url } = await server.listen();
      const who = async (options) => {
        const client = await connect(url, { engine, tasks: false, ...options });
        const { text } = await client.callTool("who");
        await client.close();
        return JSON.parse(text);
      };
      const onElicit = () => ({ action: "decline" });
      assert.deepEqual(await who({ revision: "2025-06-18", transport: "http" }), ["2025-06-18", {}]);
      assert.deepEqual((await who({ onElicit }))[1], { elicitation: {} });
      assert.deepEqual((await who({ onElicit, elicitModes: ["url"] }))[1], { elicitation: { url: {} } });
      const onSample = () => {};
      assert.deepEqual((await who({ onSample, capabilities: { sampling: { tools: {} } } }))[1], { sampling: { tools: {} } });
      await assert.rejects(connect(url, { engine, transport: "fax" }), UsageError);
      await server.close();
    }));

  test("sessions can be refused; then nobody can be asked", () =>
    withEngine({}, async (engine) => {
      const server = new Server({ name: "plain", version: "1", engine });
      server.tool("ask", {}, (_, ctx) => ctx.listRoots().catch((error) => error.kind));
      const { url } = await server.listen({ sessions: false });
      const client = await connect(url, { engine, era: "legacy", roots: [] });
      assert.equal((await client.callTool("ask")).text, "missing_capability");
      assert.equal(engine.live().sessions, 0);
      await client.close();
      await server.close();
    }));
});
