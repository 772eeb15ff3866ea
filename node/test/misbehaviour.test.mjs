// Isolation of faulty user code: it fails its own call and no other.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Worker } from "node:worker_threads";
import { connect, McpError, Server } from "trunnion";
import { awaited, deferred, ENGINES, fixture, run, settled, title, withEngine, withPair } from "./helpers.mjs";

const nested = (depth) => (depth === 0 ? [] : [nested(depth - 1)]);
const cycle = () => {
  const ring = {};
  ring.ring = ring;
  return ring;
};
const thrown = (value) => () => {
  throw value;
};
const getter = (name, object = {}) =>
  Object.defineProperty(object, name, {
    get() {
      throw new Error("a getter threw");
    },
  });

/** Faulty tools and the text that the caller reads: that of the error, or of a result that is not an error. */
const TOOLS = {
  function: [() => () => 1, /no JSON form/],
  symbol: [() => Symbol("s"), /no JSON form/],
  toJSON: [() => ({ toJSON: () => undefined }), /no JSON form/],
  bigint: [() => 10n, /BigInt/],
  cycle: [cycle, /circular/],
  nested: [() => nested(3000), /./],
  surrogate: [() => "a\ud800b", /^a\ufffdb$/],
  "surrogate-thrown": [thrown(new Error("\udfff")), /^\ufffd$/],
  null: [thrown(null), /the handler failed/],
  "rejects-with-nothing": [() => Promise.reject(), /the handler failed/],
  "message-is-no-text": [thrown(Object.assign(new Error(), { message: 5 })), /the handler failed/],
  "message-throws": [thrown(getter("message", new Error())), /the handler failed/],
  "then-throws": [() => ({ then: thrown(new Error("then threw")) }), /then threw/],
  "then-cannot-be-read": [() => getter("then"), /a getter threw/],
  "then-settles-twice": [
    () => ({
      then(yes, no) {
        yes("first");
        yes("second");
        no(new Error("third"));
      },
    }),
    /^first$/,
  ],
};

for (const options of ENGINES) {
  describe(`misbehaviour (${title(options)})`, { timeout: 60_000 }, () => {
    test("a handler fails alone", () =>
      withEngine(options, (engine) =>
        withPair(
          engine,
          "memory",
          (server) => {
            for (const [name, [handler]] of Object.entries(TOOLS)) server.tool(name, {}, handler);
            server.tool("data", {}, thrown(new McpError("odd data", { code: -32000, data: 1n })));
            server.tool("fine", {}, () => "ok");
            server.resource("odd://function", { name: "function" }, () => () => 1);
            server.resource("odd://nothing", { name: "nothing" }, () => undefined);
            for (const [name, value] of [["odd", () => 1], ["nothing", undefined]]) {
              server.prompt(name, {}, () => value);
              server.completion({ prompt: name }, () => value);
            }
          },
          async (client) => {
            // One batch: those that come after one that failed must be answered too.
            const calls = Object.entries(TOOLS).map(async ([name, [, expected]]) => {
              assert.match((await client.callTool(name)).text, expected, name);
              assert.equal((await client.callTool("fine")).text, "ok");
            });
            const refused = [
              assert.rejects(client.callTool("data"), { message: "odd data", code: -32000 }),
              assert.rejects(client.readResource("odd://function"), /no JSON form/),
              assert.rejects(client.readResource("odd://nothing"), /returned nothing/),
              ...["odd", "nothing"].flatMap((prompt) => [
                assert.rejects(client.getPrompt(prompt), /returned no messages/),
                assert.rejects(client.complete({ prompt }, { name: "x", value: "" }), /returned no values/),
              ]),
            ];
            await Promise.all([...calls, ...refused]);
          },
        ),
      ));

    test("a handler that ends after its caller left answers nobody", () =>
      withEngine(options, (engine) => {
        const [started, finish] = [deferred(), deferred()];
        return withPair(
          engine,
          "memory",
          (server) => {
            server.tool("late", {}, async (_, ctx) => {
              started.resolve(ctx);
              await finish.promise;
              return "late";
            });
            server.tool("fine", {}, () => "ok");
          },
          async (client) => {
            const controller = new AbortController();
            const call = client.callTool("late", {}, { signal: controller.signal });
            const ctx = await started.promise;
            controller.abort(new Error("my reason"));
            await assert.rejects(call, (error) => error.kind === "cancelled" && error.cause.message === "my reason");
            await awaited(new Promise((resolve) => (ctx.cancelled ? resolve() : ctx.signal.addEventListener("abort", resolve))));
            finish.resolve();
            assert.equal((await client.callTool("fine")).text, "ok");
            assert.equal(ctx.progress(1), false);
          },
        );
      }));

    test("closing inside a handler", () =>
      withEngine(options, async (engine) => {
        const server = new Server({ name: "t", version: "1", engine });
        server.tool("close", {}, async () => {
          await client.close();
          await server.close();
          return "closed";
        });
        const client = await connect(server, { engine });
        await assert.rejects(client.callTool("close"), McpError);
        await settled(engine);
      }));

    test("an exception of a progress listener is the program's, and the call goes on", async () => {
      const { code, stdout } = await run([fixture("throwing_listener.mjs"), JSON.stringify(options)]);
      assert.deepEqual({ code, stdout }, { code: 0, stdout: "caught mine\ncaught mine\ndone\n" });
    });
  });
}

test("what is no target and no handler", async () => {
  for (const target of ["python server.py", undefined, null, 5, {}]) {
    await assert.rejects(async () => connect(target), { kind: "usage", message: /a URL, a command as an array/ });
  }
  const server = new Server({ name: "t", version: "1" });
  for (const add of [() => server.tool("x", () => ""), () => server.tool("x", {}), () => server.prompt("x", {})]) {
    assert.throws(add, { kind: "usage", message: /the handler is no function/ });
  }
  const named = (options) => () => server.tool("x", options, () => "");
  assert.throws(named({ inputSchema: { type: "object" } }), { kind: "usage", message: /tool "x": the option is input, not/ });
  assert.throws(named({ outputSchema: { type: "object" } }), { kind: "usage", message: /the option is output, not/ });
  for (const options of [undefined, null, "shop"]) {
    assert.throws(() => new Server(options), { kind: "usage", message: /new Server\(\{ name/ });
  }
  await server.close();
});

test("a closed client says so", async () => {
  const server = new Server({ name: "t", version: "1" });
  const client = await connect(server);
  await client.close();
  await assert.rejects(client.ping(), { kind: "closed", message: /the client (is|was) closed/ });
  await server.close();
});

test("a worker that ends by itself, with a server and a client inside", { timeout: 60_000 }, async () => {
  for (const options of ENGINES) {
    const worker = new Worker(fixture("leaving_worker.mjs"), { workerData: options });
    const code = await new Promise((resolve, reject) => worker.on("exit", resolve).on("error", reject));
    assert.equal(code, 5);
  }
});
