// The package: two module formats, the loader, instanceof across copies.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
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

const folder = fileURLToPath(new URL("..", import.meta.url));

/** A folder that is removed when the test ends. */
function temporary(context) {
  const path = mkdtempSync(join(tmpdir(), "trunnion-"));
  context.after(() => rmSync(path, { recursive: true }));
  return path;
}

test("TRUNNION_NATIVE takes a library as cargo names it, and a path from here", async (context) => {
  const place = temporary(context);
  const [built] = readdirSync(join(folder, "native")).filter((name) => name.endsWith(".node"));
  const library = join(place, "libtrunnion_node.so");
  copyFileSync(join(folder, "native", built), library);
  const code = 'import("trunnion").then((t) => t.version()).then(console.log, (error) => console.log(error.message))';
  for (const file of [library, relative(process.cwd(), library)]) {
    const { stdout } = await run(["-e", code], { env: { TRUNNION_NATIVE: file } });
    assert.equal(stdout.trim(), esm.version());
  }
  writeFileSync(library, "no library");
  const { stdout } = await run(["-e", code], { env: { TRUNNION_NATIVE: library } });
  assert.match(stdout, /libtrunnion_node\.so \(named by the environment variable TRUNNION_NATIVE\) cannot be loaded/);
});

test("a package is packed with its engine and its code, or not at all", { timeout: 60_000 }, async (context) => {
  const place = temporary(context);
  for (const name of ["package.json", "scripts"]) cpSync(join(folder, name), join(place, name), { recursive: true });
  mkdirSync(join(place, "native"));
  const pack = () =>
    new Promise((resolve) => {
      const shell = process.platform === "win32";
      execFile("npm", ["pack", "--silent"], { cwd: place, shell }, (error, _, stderr) => resolve({ failed: error !== null, stderr }));
    });
  const tarballs = () => readdirSync(place).filter((name) => name.endsWith(".tgz"));
  const bare = await pack();
  assert.match(bare.stderr, /without the native module.*npm run build:native/);
  assert.match(bare.stderr, /without the compiled code.*npm run build:ts/);
  assert.deepEqual([bare.failed, tarballs()], [true, []]);

  writeFileSync(join(place, "native", "trunnion.linux-x64-gnu.node"), "");
  for (const format of ["esm", "cjs"]) symlinkSync(join(folder, format), join(place, format), "junction");
  assert.equal((await pack()).failed, false);
  assert.equal(tarballs().length, 1);
  const ignored = readFileSync(join(folder, "../.gitignore"), "utf8").split("\n");
  assert.ok(ignored.includes("*.tgz"));
});
