// The package: two module formats, the loader, instanceof across copies.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import * as esm from "trunnion";
import { run } from "./helpers.mjs";

const cjs = createRequire(import.meta.url)("trunnion");

test("import and require give the same names", () => {
  assert.deepEqual(Object.keys(cjs).sort(), Object.keys(esm).sort());
});

test("errors of one copy are instances of the other's classes", () => {
  assert.notEqual(cjs.McpError, esm.McpError);
  const error = new cjs.TimeoutError("late");
  assert.ok(error instanceof esm.TimeoutError && error instanceof esm.McpError);
  assert.ok(!(error instanceof esm.ClosedError));
  assert.ok(new cjs.ToolError("no") instanceof esm.ToolError);
  class Mine extends esm.McpError {}
  assert.ok(new Mine("x") instanceof Mine && !(error instanceof Mine));
  assert.ok(!(null instanceof esm.McpError) && !(new Error("x") instanceof esm.McpError));
});

test("a server of one copy is served and called by the other", async () => {
  const server = new cjs.Server({ name: "cjs", version: "1" });
  server.tool("fail", {}, () => {
    throw new esm.ToolError("across");
  });
  const client = await esm.connect(server);
  const { isError, text } = await client.callTool("fail");
  assert.deepEqual([isError, text], [true, "across"]);
  await client.close();
  await server.close();
});

test("a missing native module is named, with what to do", async () => {
  const code = 'import("trunnion").then((t) => t.version()).catch((error) => console.log(error.message))';
  const { stdout } = await run(["-e", code], { env: { TRUNNION_NATIVE: "/nowhere/trunnion.node" } });
  assert.match(stdout, /\/nowhere\/trunnion\.node.*TRUNNION_NATIVE.*does not exist/);
});
