// Schemas of zod, arktype and valibot: the definitions that clients see, and the values that handlers get.
import assert from "node:assert/strict";
import { test } from "node:test";
import { toStandardJsonSchema } from "@valibot/to-json-schema";
import { type } from "arktype";
import { UsageError } from "trunnion";
import * as v from "valibot";
import { z } from "zod";
import { withEngine, withPair } from "./helpers.mjs";

const check = (name, define, body) =>
  test(name, { timeout: 60_000 }, () => withEngine({}, (engine) => withPair(engine, "memory", define, body)));

const libraries = {
  zod: z.object({ a: z.number(), b: z.number() }),
  arktype: type({ a: "number", b: "number" }),
  valibot: toStandardJsonSchema(v.object({ a: v.number(), b: v.number() })),
};

for (const [library, input] of Object.entries(libraries)) {
  check(
    `${library}: JSON Schema out, values in`,
    (server) => server.tool("add", { input, output: z.object({ sum: z.number() }) }, ({ a, b }) => ({ sum: a + b })),
    async (client) => {
      const [{ inputSchema, outputSchema }] = await client.listTools();
      assert.deepEqual(inputSchema.properties, { a: { type: "number" }, b: { type: "number" } });
      assert.deepEqual([...inputSchema.required].sort(), ["a", "b"]);
      assert.equal(outputSchema.properties.sum.type, "number");
      assert.deepEqual((await client.callTool("add", { a: 2, b: 3 })).structuredContent, { sum: 5 });
      assert.equal((await client.callTool("add", { a: "2", b: 3 })).isError, true);
    },
  );
}

const input = z.object({
  word: z.string().transform((word) => word.toUpperCase()),
  times: z.number().int().default(2),
  even: z.number().refine((n) => n % 2 === 0, "must be even").optional(),
  known: z.string().optional().refine(async (name) => name !== "nobody", "is not known"),
});

check(
  "defaults, transforms and refinements reach the handler",
  (server) => server.tool("repeat", { input }, ({ word, times }) => word.repeat(times)),
  async (client) => {
    const [{ inputSchema }] = await client.listTools();
    assert.deepEqual(inputSchema.required, ["word"]);
    assert.equal((await client.callTool("repeat", { word: "ab" })).text, "ABAB");
    const odd = await client.callTool("repeat", { word: "ab", even: 3 });
    assert.deepEqual([odd.isError, odd.text], [true, "invalid arguments: even: must be even"]);
    const nobody = await client.callTool("repeat", { word: "ab", known: "nobody" });
    assert.deepEqual([nobody.isError, nobody.text], [true, "invalid arguments: known: is not known"]);
  },
);

check(
  "a schema that cannot be written as JSON Schema is refused with the fix",
  (server) => {
    const refused = (input, message) =>
      assert.throws(() => server.tool("x", { input }, () => ""), (error) => {
        assert.ok(error instanceof UsageError);
        assert.match(error.message, message);
        return true;
      });
    refused(v.object({ a: v.number() }), /tool "x".*valibot.*toStandardJsonSchema/);
    refused(z.object({ a: z.date() }), /tool "x".*zod.*JSON Schema/);
    refused({ a: z.number() }, /tool "x": input is one schema.*z\.object/);
  },
  async () => {},
);
