// Every feature of server and client, over every engine and transport.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  CancelledError,
  ClosedError,
  connect,
  InvalidParamsError,
  McpError,
  ResourceNotFoundError,
  ToolError,
  ToolResult,
  UsageError,
} from "trunnion";
import { awaited, deferred, ENGINES, fixture, object, title, TRANSPORTS, withEngine, withPair } from "./helpers.mjs";

const STRING = { type: "string" };
const NUMBER = { type: "number" };
const add = { description: "Adds.", input: object({ a: NUMBER, b: NUMBER }), output: object({ sum: NUMBER }) };

for (const options of ENGINES) {
  for (const transport of TRANSPORTS) {
    describe(`${title(options)}, ${transport}`, { timeout: 60_000 }, () => {
      const check = (name, define, body, serverOptions) =>
        test(name, () => withEngine(options, (engine) => withPair(engine, transport, define, body, serverOptions)));

      check(
        "tools: listing, typed output, sync and async handlers",
        (server) =>
          server
            .tool("add", add, ({ a, b }) => ({ sum: a + b }))
            .tool("later", add, async ({ a, b }) => {
              await new Promise((resolve) => setImmediate(resolve));
              return { sum: a + b };
            }),
        async (client) => {
          const tools = await client.listTools();
          assert.deepEqual(tools.map(({ name }) => name), ["add", "later"]);
          assert.deepEqual(tools[0].inputSchema, add.input);
          assert.deepEqual(tools[0].outputSchema, add.output);
          for (const name of ["add", "later"]) {
            const result = await client.callTool(name, { a: 2, b: 3 });
            assert.deepEqual(result.structuredContent, { sum: 5 });
            assert.equal(result.isError, false);
            assert.deepEqual(JSON.parse(result.text), { sum: 5 });
          }
        },
      );

      check(
        "tools: every kind of return value",
        (server) =>
          server
            .tool("text", {}, () => 'héllo ✓ 😀\n"q"')
            .tool("nothing", {}, () => undefined)
            .tool("content", {}, () => [{ type: "text", text: "one" }, { type: "text", text: "two" }])
            .tool("number", {}, () => 42)
            .tool("object", {}, () => ({ answer: 42 }))
            .tool("plain", {}, () => ({ content: [{ type: "text", text: "all" }], _meta: { "x/y": 1 } }))
            .tool("whole", add, () => new ToolResult({ content: [], structuredContent: { sum: 1 }, _meta: { "x/y": 2 } })),
        async (client) => {
          assert.equal((await client.callTool("text")).text, 'héllo ✓ 😀\n"q"');
          assert.deepEqual((await client.callTool("nothing")).content, []);
          assert.equal((await client.callTool("content")).text, "one\ntwo");
          assert.equal((await client.callTool("number")).text, "42");
          assert.deepEqual((await client.callTool("object")).structuredContent, { answer: 42 });
          const plain = await client.callTool("plain");
          assert.equal(plain.text, "all");
          assert.equal(plain._meta["x/y"], 1);
          const whole = await client.callTool("whole", { a: 1, b: 1 });
          assert.deepEqual(whole.structuredContent, { sum: 1 });
          assert.equal(whole._meta["x/y"], 2);
        },
      );

      const reported = [];
      check(
        "tools: failures harm their own call only",
        (server) =>
          server
            .tool("add", add, ({ a, b }) => ({ sum: a + b }))
            .tool("refuse", {}, () => {
              throw new ToolError("not today");
            })
            .tool("crash", {}, async () => {
              throw new TypeError("what nobody expected");
            })
            .tool("protocol", {}, () => {
              throw new McpError("teapot", { code: 418, data: { short: "stout" } });
            })
            .tool("cyclic", {}, () => {
              const loop = {};
              loop.loop = loop;
              return loop;
            }),
        async (client) => {
          const refused = await client.callTool("refuse");
          assert.deepEqual([refused.isError, refused.text], [true, "not today"]);
          const crashed = await client.callTool("crash");
          assert.deepEqual([crashed.isError, crashed.text], [true, "what nobody expected"]);
          assert.ok(!JSON.stringify(crashed).includes("features.test.mjs"), "no stack trace leaves the process");
          assert.equal(reported.length, 1);
          assert.deepEqual(reported[0].origin, { item: "tool", name: "crash" });
          await assert.rejects(client.callTool("protocol"), (error) => {
            assert.ok(error instanceof McpError);
            assert.deepEqual([error.code, error.message, error.data], [418, "teapot", { short: "stout" }]);
            return true;
          });
          assert.equal((await client.callTool("cyclic")).isError, true);
          await assert.rejects(client.callTool("nope"), InvalidParamsError);
          assert.equal((await client.callTool("add", { a: "x" })).isError, true);
          assert.deepEqual((await client.callTool("add", { a: 1, b: 1 })).structuredContent, { sum: 2 });
        },
        { onError: (error, origin) => reported.push({ error, origin }) },
      );

      check(
        "context: progress, request, and calls that run side by side",
        (server) =>
          server.tool("steps", { input: object({ steps: NUMBER }) }, async ({ steps }, ctx) => {
            for (let i = 1; i <= steps; i++) {
              await new Promise((resolve) => setImmediate(resolve));
              ctx.progress(i, steps, `step ${i}`);
            }
            return JSON.stringify(ctx.request);
          }),
        async (client) => {
          const seen = [];
          const calls = [2, 3].map((steps) =>
            client.callTool("steps", { steps }, { onProgress: (report) => seen.push({ steps, ...report }) }),
          );
          const [two] = await Promise.all(calls);
          for (const steps of [2, 3]) {
            const mine = seen.filter((report) => report.steps === steps);
            assert.deepEqual(mine.map(({ progress }) => progress), [1, 2, 3].slice(0, steps));
            assert.deepEqual([mine[0].total, mine[0].message], [steps, "step 1"]);
          }
          const request = JSON.parse(two.text);
          assert.equal(typeof request.revision, "string");
          assert.equal(request.clientInfo.name, "trunnion");
        },
      );

      const aborted = deferred();
      check(
        "cancelling by AbortSignal reaches the handler's signal",
        (server) =>
          server.tool("wait", {}, (_, ctx) => {
            ctx.progress(1);
            return new Promise((_, reject) => {
              ctx.signal.addEventListener("abort", () => {
                aborted.resolve(ctx);
                reject(ctx.signal.reason);
              });
            });
          }),
        async (client) => {
          const controller = new AbortController();
          const reason = new Error("changed my mind");
          const call = client.callTool("wait", {}, {
            signal: controller.signal,
            onProgress: () => controller.abort(reason),
          });
          await assert.rejects(call, (error) => {
            assert.ok(error instanceof CancelledError);
            assert.equal(error.cause, reason);
            return true;
          });
          const ctx = await awaited(aborted.promise);
          assert.equal(ctx.cancelled, true);
          assert.ok(ctx.signal.reason instanceof CancelledError);
          await assert.rejects(client.callTool("wait", {}, { signal: controller.signal }), CancelledError);
        },
      );

      check(
        "resources and templates",
        (server) =>
          server
            .resource("test://text", { name: "text", mimeType: "text/plain" }, () => "some text")
            .resource("test://bytes", { name: "bytes", mimeType: "image/png" }, () => new Uint8Array([0, 255, 7]))
            .resource("test://json", { name: "json" }, async () => ({ a: [1] }))
            .resource("test://own", { name: "own" }, (uri) => [{ text: "a" }, { uri: `${uri}/b`, text: "b" }])
            .resource("test://{kind}/{id}", { name: "template" }, (uri, { kind, id }) => `${uri} ${kind} ${id}`)
            .resource("gone://{id}", { name: "gone" }, (uri) => {
              throw new ResourceNotFoundError(`no ${uri}`);
            }),
        async (client) => {
          assert.equal((await client.listResources()).length, 4);
          assert.deepEqual((await client.listResourceTemplates()).map(({ name }) => name), ["template", "gone"]);
          const { contents } = await client.readResource("test://text");
          assert.deepEqual(contents, [{ uri: "test://text", mimeType: "text/plain", text: "some text" }]);
          const bytes = await client.readResource("test://bytes");
          assert.deepEqual([...bytes.bytes], [0, 255, 7]);
          assert.equal(bytes.contents[0].mimeType, "image/png");
          assert.deepEqual(JSON.parse((await client.readResource("test://json")).text), { a: [1] });
          assert.deepEqual((await client.readResource("test://own")).contents.map(({ uri }) => uri), [
            "test://own",
            "test://own/b",
          ]);
          assert.equal((await client.readResource("test://thing/42")).text, "test://thing/42 thing 42");
          await assert.rejects(client.readResource("gone://1"), McpError);
          await assert.rejects(client.readResource("other://1"), McpError);
        },
      );

      check(
        "prompts and completion",
        (server) =>
          server
            .prompt("plain", { description: "Plain." }, () => "just this")
            .prompt(
              "greet",
              { arguments: { name: { description: "Who.", required: true }, tone: {} } },
              async ({ name, tone = "kind" }) => ({
                description: "A greeting",
                messages: [{ role: "assistant", content: { type: "text", text: `${tone} ${name}` } }],
              }),
            )
            .completion({ prompt: "greet" }, ({ name, value, arguments: others }) =>
              name === "name" ? ["ann", "anton"].filter((word) => word.startsWith(value)) : [others.name ?? "none"],
            )
            .resource("file://{path}", { name: "file" }, () => "")
            .completion({ resource: "file://{path}" }, ({ value }) => ({ values: [`${value}.txt`], total: 7, hasMore: true })),
        async (client, server) => {
          const prompts = await client.listPrompts();
          assert.deepEqual(prompts[1].arguments, [{ name: "name", description: "Who.", required: true }, { name: "tone" }]);
          const plain = await client.getPrompt("plain");
          assert.deepEqual([plain.text, plain.messages[0].role], ["just this", "user"]);
          const greeting = await client.getPrompt("greet", { name: "ann" });
          assert.deepEqual([greeting.description, greeting.text], ["A greeting", "kind ann"]);
          await assert.rejects(client.getPrompt("greet", {}), InvalidParamsError);
          await assert.rejects(client.getPrompt("nope"), InvalidParamsError);
          const ref = { prompt: "greet" };
          assert.deepEqual((await client.complete(ref, { name: "name", value: "ant" })).values, ["anton"]);
          assert.deepEqual((await client.complete(ref, { name: "tone", value: "" }, { name: "bob" })).values, ["bob"]);
          const file = await client.complete({ resource: "file://{path}" }, { name: "path", value: "a" });
          assert.deepEqual(file, { values: ["a.txt"], total: 7, hasMore: true });
          assert.equal(server.remove("completion", ref), true);
          assert.equal(server.remove("completion", ref), false);
          await assert.rejects(client.complete(ref, { name: "name", value: "a" }), McpError);
          server.completion(ref, () => ["again"]);
          assert.deepEqual((await client.complete(ref, { name: "name", value: "a" })).values, ["again"]);
        },
      );

      const aborts = Object.fromEntries(["tool", "resource", "template", "prompt", "completion"].map((what) => [what, deferred()]));
      check(
        "every kind of handler has a time limit",
        (server) => {
          const never = (what) => (...args) =>
            new Promise((_, reject) => {
              const { signal } = args.at(-1);
              signal.addEventListener("abort", () => (aborts[what].resolve(what), reject(signal.reason)));
            });
          const timeoutMs = 20;
          server
            .tool("tool", { timeoutMs }, never("tool"))
            .resource("test://a", { name: "a", timeoutMs }, never("resource"))
            .resource("test://{a}/b", { name: "b", timeoutMs }, never("template"))
            .prompt("prompt", { timeoutMs, arguments: { a: {} } }, never("prompt"))
            .completion({ prompt: "prompt" }, never("completion"), { timeoutMs });
        },
        async (client) => {
          const tool = await client.callTool("tool").catch(() => undefined);
          assert.notEqual(tool?.isError, false);
          await assert.rejects(client.readResource("test://a"), McpError);
          await assert.rejects(client.readResource("test://1/b"), McpError);
          await assert.rejects(client.getPrompt("prompt"), McpError);
          await assert.rejects(client.complete({ prompt: "prompt" }, { name: "a", value: "" }), McpError);
          const aborted = await awaited(Promise.all(Object.values(aborts).map(({ promise }) => promise)));
          assert.deepEqual(aborted, Object.keys(aborts));
        },
      );

      const hidden = [];
      check(
        "what a handler throws can be hidden",
        (server) =>
          server
            .tool("crash", {}, () => {
              throw new TypeError("the password is s3cret");
            })
            .tool("refuse", {}, async () => {
              throw new ToolError("not today");
            })
            .prompt("ask", {}, () => {
              throw new Error("the password is s3cret");
            })
            .resource("test://a", { name: "a" }, () => {
              throw new ResourceNotFoundError("no such thing");
            }),
        async (client) => {
          assert.equal((await client.callTool("crash")).text, "crash failed");
          assert.equal((await client.callTool("refuse")).text, "not today");
          await assert.rejects(client.getPrompt("ask"), (error) => !error.message.includes("s3cret"));
          await assert.rejects(client.readResource("test://a"), /no such thing/);
          assert.deepEqual(hidden.splice(0), ["crash", "ask"]);
        },
        { maskErrors: true, onError: (_, { name }) => hidden.push(name) },
      );

      check(
        "lists come page by page",
        (server) => {
          for (let i = 0; i < 25; i++) server.tool(`tool-${i}`, {}, () => "ok");
        },
        async (client) => {
          const pages = [];
          for await (const page of client.listTools().pages()) pages.push(page.length);
          assert.deepEqual(pages, [10, 10, 5]);
          const { items, nextCursor } = await client.listTools().page();
          assert.deepEqual([items.length, items[0].name], [10, "tool-0"]);
          assert.equal((await client.listTools().page(nextCursor)).items[0].name, "tool-10");
          const names = [];
          for await (const { name } of client.listTools()) {
            names.push(name);
            if (names.length === 12) break;
          }
          assert.equal(names.at(-1), "tool-11");
          assert.equal((await client.listTools()).length, 25);
        },
        { pageSize: 10 },
      );

      check(
        "many calls at once",
        (server) => server.tool("echo", { input: object({ text: STRING }) }, async ({ text }) => text),
        async (client) => {
          const texts = Array.from({ length: 300 }, (_, i) => `${i} ${"x".repeat(i)}`);
          const results = await Promise.all(texts.map((text) => client.callTool("echo", { text })));
          assert.deepEqual(results.map(({ text }) => text), texts);
          await client.ping();
        },
      );

      check(
        "the server's description; registration can change; wrong use is told",
        (server) => server.tool("one", {}, () => "1"),
        async (client, server) => {
          assert.deepEqual(client.server.serverInfo?.name, "test");
          assert.deepEqual(client.server.serverInfo?.description, "Is tested.");
          assert.throws(() => server.tool("one", {}, () => "2"), UsageError);
          assert.equal(server.remove("tool", "one"), true);
          assert.equal(server.remove("tool", "one"), false);
          server.tool("one", {}, () => "3");
          assert.equal((await client.callTool("one")).text, "3");
        },
        { description: "Is tested." },
      );

      check(
        "closing fails the calls in flight, and is done once",
        (server) => server.tool("never", {}, () => new Promise(() => {})),
        async (client) => {
          const call = client.callTool("never");
          call.catch(() => {});
          await Promise.all([client.close(), client.close()]);
          await assert.rejects(call, ClosedError);
          await assert.rejects(client.ping(), ClosedError);
        },
      );
    });
  }
}

test("a cursor that comes again ends the list with an error that has what there was", { timeout: 60_000 }, () =>
  withEngine({}, async (engine) => {
    const client = await connect([process.execPath, fixture("repeating_server.mjs")], { engine, era: "legacy" });
    const endless = { name: "ProtocolError", message: /gave the cursor .again. twice/ };
    await assert.rejects(async () => client.listTools(), endless);
    const pages = [];
    await assert.rejects(async () => {
      for await (const page of client.listTools().pages()) pages.push(page.length);
    }, endless);
    assert.deepEqual(pages, [1, 1]);
    await client.close();
  }),
);
