// Refused registrations, and the effect of schemas on the arguments of prompts and on unions.
import assert from "node:assert/strict";
import { test } from "node:test";
import { toStandardJsonSchema } from "@valibot/to-json-schema";
import { type } from "arktype";
import { connect, InvalidParamsError } from "trunnion";
import * as v from "valibot";
import { z } from "zod";
import { withEngine, withPair } from "./helpers.mjs";

const check = (name, define, body) =>
  test(name, { timeout: 60_000 }, () => withEngine({}, (engine) => withPair(engine, "memory", define, body)));

const schemas = {
  zod: z.object({ a: z.string() }),
  arktype: type({ a: "string" }),
  valibot: v.object({ a: v.string() }),
};

for (const [library, schema] of Object.entries(schemas)) {
  check(
    `${library}: a schema in the place of the options is refused`,
    (server) => {
      const refused = (add, message) => assert.throws(add, { kind: "usage", message });
      refused(() => server.tool("y", schema, ({ a }) => a), 'tool "y": a schema goes into { input: … }');
      refused(() => server.prompt("p", schema, ({ a }) => a), 'prompt "p": a schema goes into { arguments: … }');
      refused(() => server.resource("x://y", schema, () => ""), 'resource "x://y": a resource takes no schema, but { name: … }');
      refused(
        () => server.completion({ prompt: "p" }, () => [], schema),
        'completion "prompt p": a completion takes no schema',
      );
      refused(
        () => server.prompt("p", { arguments: { a: schema } }, ({ a }) => a),
        'prompt "p": arguments is one schema, not an object of schemas (a); with zod: z.object({ … })',
      );
      server.tool("y", { input: { type: "object" } }, () => "");
    },
    async (client) => assert.deepEqual((await client.listTools()).map(({ name }) => name), ["y"]),
  );
}

const unions = {
  "z.discriminatedUnion": z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("circle"), radius: z.number() }),
    z.object({ kind: z.literal("square"), side: z.number() }),
  ]),
  "z.union": z.union([
    z.object({ kind: z.literal("circle"), radius: z.number() }),
    z.object({ kind: z.literal("square"), side: z.number() }),
  ]),
  "z.intersection": z.intersection(z.object({ kind: z.enum(["circle"]) }), z.object({ radius: z.number() })),
  "v.variant": toStandardJsonSchema(
    v.variant("kind", [
      v.object({ kind: v.literal("circle"), radius: v.number() }),
      v.object({ kind: v.literal("square"), side: v.number() }),
    ]),
  ),
  "v.union": toStandardJsonSchema(
    v.union([
      v.object({ kind: v.literal("circle"), radius: v.number() }),
      v.object({ kind: v.literal("square"), side: v.number() }),
    ]),
  ),
  "type.or": type({ kind: "'circle'", radius: "number" }).or({ kind: "'square'", side: "number" }),
};

for (const [kind, input] of Object.entries(unions)) {
  check(
    `${kind} of objects is the input and the output of a tool`,
    (server) => server.tool("draw", { input, output: input }, (shape) => shape),
    async (client) => {
      const [{ inputSchema, outputSchema }] = await client.listTools();
      assert.deepEqual([inputSchema.type, outputSchema.type], ["object", "object"]);
      const circle = { kind: "circle", radius: 1 };
      assert.deepEqual((await client.callTool("draw", circle)).structuredContent, circle);
      assert.equal((await client.callTool("draw", { kind: "circle", side: 1 })).isError, true);
    },
  );
}

check(
  "a union with something that is no object is refused",
  (server) =>
    assert.throws(() => server.tool("x", { input: z.union([z.object({}), z.string()]) }, () => ""), {
      kind: "usage",
      message: /tool "x": inputSchema must have "type": "object", or branches that all describe objects/,
    }),
  async () => {},
);

const Trip = z.object({
  city: z.enum(["Rome", "Oslo"]).describe("where to"),
  nights: z.number().int().min(1).default(2),
  early: z.boolean().optional(),
  note: z.string().optional().meta({ title: "Note" }),
  tags: z.array(z.string()).optional(),
});

check(
  "a schema of a prompt's arguments describes, checks and types them",
  (server) => server.prompt("trip", { arguments: Trip }, (trip) => JSON.stringify(trip)),
  async (client) => {
    const [{ arguments: listed }] = await client.listPrompts();
    assert.deepEqual(listed, [
      { name: "city", description: "where to", required: true },
      { name: "nights", required: false },
      { name: "early", required: false },
      { name: "note", title: "Note", required: false },
      { name: "tags", required: false },
    ]);
    const filled = async (given) => JSON.parse((await client.getPrompt("trip", given)).text);
    assert.deepEqual(await filled({ city: "Rome" }), { city: "Rome", nights: 2 });
    assert.deepEqual(await filled({ city: "Oslo", nights: "3", early: "true", note: "7", tags: '["a"]' }), {
      city: "Oslo",
      nights: 3,
      early: true,
      note: "7",
      tags: ["a"],
    });
    const wrong = (given, message) => assert.rejects(client.getPrompt("trip", given), (error) => {
      assert.ok(error instanceof InvalidParamsError);
      assert.match(error.message, message);
      return true;
    });
    await wrong({ city: "Paris" }, /prompt "trip": city: /);
    await wrong({ city: "Rome", nights: "many" }, /prompt "trip": nights: /);
    await wrong({}, /city/);
  },
);

check(
  "other libraries describe a prompt's arguments too",
  (server) => {
    server.prompt("arktype", { arguments: type({ count: "number", "word?": "'a' | 'b'" }) }, (args) => JSON.stringify(args));
    server.prompt("valibot", { arguments: toStandardJsonSchema(v.object({ count: v.number() })) }, (args) => JSON.stringify(args));
    assert.throws(() => server.prompt("x", { arguments: z.string() }, () => ""), {
      kind: "usage",
      message: 'prompt "x": arguments is the schema of an object with properties; with zod: z.object({ … })',
    });
    assert.throws(() => server.prompt("x", { arguments: v.object({}) }, () => ""), { kind: "usage", message: /toStandardJsonSchema/ });
  },
  async (client) => {
    assert.equal((await client.getPrompt("arktype", { count: "1", word: "a" })).text, '{"count":1,"word":"a"}');
    assert.equal((await client.getPrompt("valibot", { count: "2" })).text, '{"count":2}');
  },
);

test("a string is not a target, and the message says so", async () => {
  await assert.rejects(async () => connect("shop.js"), { kind: "usage", message: /^"shop\.js" is not a target: give a URL/ });
});
