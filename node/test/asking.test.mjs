// Handlers that send input requests and clients that answer, over every engine, transport and era.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CancelledError, InvalidParamsError, McpError, MissingCapabilityError, Question, UsageError } from "trunnion";
import { z } from "zod";
import { deferred, ENGINES, object, title, TRANSPORTS, withEngine, withPair } from "./helpers.mjs";

const STRING = { type: "string" };
const Person = z.object({ name: z.string().min(2), age: z.number().int().default(30) });
const answer = (text) => ({ role: "assistant", content: { type: "text", text }, model: "parrot", stopReason: "endTurn" });
const accept = (content) => ({ action: "accept", content });

/** A client that says yes to everything. */
const ANSWERS = {
  onElicit: ({ message, mode }) => (mode === "url" ? { action: "accept" } : accept({ name: message.toUpperCase() })),
  onSample: ({ messages }) => answer(`you said ${messages[0].content.text}`),
  roots: [{ uri: "file:///work", name: "work" }],
  elicitModes: ["form", "url"],
};

for (const options of ENGINES) {
  for (const transport of TRANSPORTS) {
    for (const era of ["modern", "legacy"]) {
      describe(`asking: ${title(options)}, ${transport}, ${era}`, { timeout: 60_000 }, () => {
        const check = (name, define, body, clientOptions = ANSWERS, serverOptions = {}) =>
          test(name, () =>
            withEngine(options, (engine) =>
              withPair(engine, transport, define, body, serverOptions, { era, ...clientOptions }),
            ),
          );

        check(
          "a form, a page, a model and the roots, one after the other",
          (server) =>
            server.tool("all", {}, async (_, ctx) => {
              const form = await ctx.elicit("anna", Person);
              const page = await ctx.elicitUrl("pay", "https://example.com/pay");
              const said = await ctx.sample("hello", 20, { systemPrompt: "Be brief." });
              const roots = await ctx.listRoots();
              return JSON.stringify([form, page.action, said.content.text, said.model, roots]);
            }),
          async (client) => {
            const result = await client.callTool("all");
            assert.deepEqual(JSON.parse(result.text), [
              { action: "accept", content: { name: "ANNA", age: 30 } },
              "accept",
              "you said hello",
              "parrot",
              [{ uri: "file:///work", name: "work" }],
            ]);
          },
        );

        check(
          "several together, by key, and what is asked side by side",
          (server) =>
            server
              .tool("keys", {}, async (_, ctx) => {
                const { who, what } = await ctx.ask({
                  who: Question.elicit("bob", Person),
                  what: Question.sample("hm", 5),
                });
                return `${who.content.name} ${what.content.text}`;
              })
              .tool("side", {}, async (_, ctx) => {
                const [one, two] = await Promise.all([ctx.elicit("one", Person), ctx.elicit("two", Person)]);
                return `${one.content.name} ${two.content.name}`;
              }),
          async (client) => {
            assert.equal((await client.callTool("keys")).text, "BOB you said hm");
            assert.equal((await client.callTool("side")).text, "ONE TWO");
          },
        );

        check(
          "prompts and resources ask too",
          (server) =>
            server
              .prompt("greet", {}, async (_, ctx) => `Greet ${(await ctx.elicit("carl", Person)).content.name}.`)
              .resource("test://who", { name: "who" }, async (uri, _, ctx) => (await ctx.elicit("dora", Person)).content.name),
          async (client) => {
            assert.equal((await client.getPrompt("greet")).text, "Greet CARL.");
            assert.equal((await client.readResource("test://who")).text, "DORA");
          },
        );

        check(
          "the declarative form asks before the handler runs",
          (server) =>
            server
              .tool("tool", { asks: { who: Question.elicit("emil", Person) } }, (_, { answers }) => ({ ...answers.who.content }))
              .prompt("prompt", { asks: { said: Question.sample("x", 1) } }, (_, { answers }) => answers.said.content.text)
              .resource("test://{id}", { name: "r", asks: { roots: Question.listRoots() } }, (uri, { id }, { answers }) =>
                `${id} ${answers.roots[0].uri}`,
              ),
          async (client) => {
            assert.deepEqual((await client.callTool("tool")).structuredContent, { name: "EMIL", age: 30 });
            assert.equal((await client.getPrompt("prompt")).text, "you said x");
            assert.equal((await client.readResource("test://7")).text, "7 file:///work");
          },
        );

        const effects = [];
        check(
          "once: an effect happens once, however often the handler runs",
          (server) =>
            server.tool("order", {}, async (_, ctx) => {
              const id = await ctx.once("charge", async () => effects.push("charged") && { id: 7, at: new Date(0) });
              const again = await ctx.once("charge", () => effects.push("charged twice"));
              await ctx.elicit("fred", Person);
              await ctx.elicit("gina", Person);
              return JSON.stringify([id, again]);
            }),
          async (client) => {
            const id = { id: 7, at: "1970-01-01T00:00:00.000Z" };
            assert.deepEqual(JSON.parse((await client.callTool("order")).text), [id, id]);
            assert.deepEqual(effects.splice(0), ["charged"]);
          },
        );

        const failures = [];
        check(
          "once: an effect that fails is not remembered",
          (server) =>
            server.tool("flaky", {}, async (_, ctx) => {
              const flaky = () => {
                if (failures.push("tried") < 2) throw new Error("not yet");
              };
              await ctx.once("flaky", flaky).catch(() => {});
              return String(await ctx.once("flaky", flaky));
            }),
          async (client) => {
            assert.equal((await client.callTool("flaky")).text, "null");
            assert.equal(failures.splice(0).length, 2);
          },
        );

        check(
          "declining and cancelling are answers",
          (server) => server.tool("ask", {}, async (_, ctx) => JSON.stringify(await ctx.elicit("x", Person))),
          async (client) => assert.deepEqual(JSON.parse((await client.callTool("ask")).text), { action: "decline" }),
          { onElicit: async () => ({ action: "decline" }) },
        );

        check(
          "what the client cannot be asked is an error of its own",
          (server) =>
            server
              .tool("uncaught", {}, (_, ctx) => ctx.sample("x", 1))
              .tool("caught", {}, (_, ctx) => ctx.sample("x", 1).catch((error) => `${error.kind}`)),
          async (client) => {
            assert.equal((await client.callTool("caught")).text, "missing_capability");
            await assert.rejects(client.callTool("uncaught"), (error) => {
              // Older revisions have no code of their own for it.
              assert.equal(error.code, era === "modern" ? -32021 : -32600);
              assert.equal(error instanceof MissingCapabilityError, era === "modern");
              assert.deepEqual(error.data.requiredCapabilities, { sampling: {} });
              return true;
            });
          },
          { onElicit: () => accept({}) },
        );

        check(
          "a form that is no form is refused when it is asked",
          (server) =>
            server.tool("deep", {}, (_, ctx) =>
              ctx.elicit("x", object({ deep: object() })).catch((error) => `${error instanceof UsageError} ${error.message}`),
            ),
          async (client) => assert.match((await client.callTool("deep")).text, /^true .*deep/),
        );

        check(
          "a refinement of the schema is checked when the answer comes",
          (server) =>
            server.tool("even", {}, async (_, ctx) => {
              const Even = z.object({ n: z.number().refine((n) => n % 2 === 0, "must be even") });
              return ctx.elicit("n", Even).then(
                ({ content }) => String(content.n),
                (error) => {
                  // The end of this run is not ours to judge.
                  if (error instanceof CancelledError) throw error;
                  return `${error instanceof InvalidParamsError} ${error.message}`;
                },
              );
            }),
          async (client) => assert.match((await client.callTool("even")).text, /^true .*n: must be even/),
          { onElicit: () => accept({ n: 3 }) },
        );

        const withdrawn = deferred();
        check(
          "a call that is given up withdraws its question",
          (server) => server.tool("ask", {}, (_, ctx) => ctx.elicit("x", Person)),
          async (client) => {
            const controller = new AbortController();
            const call = client.callTool("ask", {}, { signal: controller.signal });
            const question = await withdrawn.promise;
            controller.abort();
            await assert.rejects(call, CancelledError);
            await question.aborted;
            assert.equal(question.cancelled(), true);
          },
          {
            onElicit: (_, question) =>
              new Promise((resolve) => {
                const aborted = new Promise((done) => question.signal.addEventListener("abort", done));
                aborted.then(() => resolve({ action: "cancel" }));
                withdrawn.resolve({ aborted, cancelled: () => question.cancelled });
              }),
          },
        );

        const errors = [];
        check(
          "a client's handler that fails",
          (server) =>
            server
              .tool("protocol", {}, (_, ctx) => ctx.elicit("protocol", Person))
              .tool("crash", {}, (_, ctx) => ctx.elicit("crash", Person)),
          async (client) => {
            await assert.rejects(client.callTool("protocol"), /not now/);
            assert.equal(errors.length, 0);
            await assert.rejects(client.callTool("crash"), /unforeseen/);
            assert.deepEqual(errors.map(({ error, origin }) => [error.name, origin.name]), [["TypeError", "onElicit"]]);
          },
          {
            onElicit: ({ message }) => {
              if (message === "crash") throw new TypeError("unforeseen");
              throw new McpError("not now", { code: -32050 });
            },
            onError: (error, origin) => errors.push({ error, origin }),
          },
        );

        const told = deferred();
        check(
          "roots that change",
          (server) =>
            server.tool("roots", {}, async (_, ctx) => (await ctx.listRoots()).map(({ uri }) => uri).join(" ")),
          async (client) => {
            assert.equal((await client.callTool("roots")).text, "file:///a");
            assert.equal(client.setRoots([{ uri: "file:///b" }, { uri: "file:///c" }]), true);
            assert.equal((await client.callTool("roots")).text, "file:///b file:///c");
            if (era === "legacy") await told.promise;
          },
          { roots: [{ uri: "file:///a" }] },
          { onRootsChanged: () => told.resolve() },
        );
      });
    }
  }
}

test("the runs of a handler: they end as if cancelled, and nothing is reported", { timeout: 30_000 }, () =>
  withEngine({}, async (engine) => {
    const [runs, reported] = [[], []];
    const define = (server) =>
      server
        .tool("watched", { input: object({ text: STRING }) }, async ({ text }, ctx) => {
          const run = { text, signal: ctx.signal };
          runs.push(run);
          const [one, two] = [ctx.elicit("one", Person), ctx.elicit("two", Person)];
          try {
            await one;
            await two;
          } catch (error) {
            run.error = error;
            throw new TypeError("what it does then is ignored");
          }
          return "done";
        });
    await withPair(
      engine,
      "http",
      define,
      async (client) => {
        assert.equal((await client.callTool("watched", { text: "hi" })).text, "done");
        assert.equal(runs.length, 2, "both were asked together");
        assert.ok(runs[0].error instanceof CancelledError);
        assert.equal(runs[0].signal.aborted, true);
        assert.equal(runs[1].error, undefined);
        assert.equal(runs[1].signal.aborted, false);
        assert.deepEqual(runs.map(({ text }) => text), ["hi", "hi"]);
        assert.deepEqual(reported, []);
      },
      { onError: (error) => reported.push(error) },
      { era: "modern", ...ANSWERS },
    );
  }),
);

test("questions keep to what a form may say", () => {
  const Form = z.object({ mail: z.email().optional(), id: z.uuid(), tags: z.array(z.enum(["a", "b"])) });
  const { op, params } = JSON.parse(JSON.stringify(Question.elicit("?", Form)));
  assert.equal(op, "elicit");
  assert.deepEqual(params.requestedSchema, {
    type: "object",
    properties: {
      mail: { type: "string", format: "email" },
      id: { type: "string" },
      tags: { type: "array", items: { type: "string", enum: ["a", "b"] } },
    },
    required: ["id", "tags"],
  });
});
