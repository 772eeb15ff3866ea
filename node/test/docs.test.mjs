// The snippets of docs/typescript.md, compiled and run.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { connect } from "trunnion";
import { run, withWorld } from "./helpers.mjs";

// Inside the package, so that the snippets resolve `trunnion` and `zod` as a user's would.
const folder = fileURLToPath(new URL("docs/", import.meta.url));
const page = readFileSync(new URL("../../docs/typescript.md", import.meta.url), "utf8");
const snippets = [...page.matchAll(/^```ts file=(\S+)\n(.*?)^```$/gms)].map(([, name, code]) => ({ name, code }));

describe("docs/typescript.md", { timeout: 120_000 }, () => {
  before(() => {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    for (const { name, code } of snippets) writeFileSync(join(folder, name), code);
    const compilerOptions = { noEmit: false, declaration: false, rootDir: ".", outDir: "build" };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ extends: "../../tsconfig.json", compilerOptions, include: ["*.ts"] }));
    const typescript = dirname(createRequire(import.meta.url).resolve("typescript/package.json"));
    execFileSync(process.execPath, [join(typescript, "bin", "tsc"), "-p", folder], { stdio: "inherit" });
  });

  test("has a file name on every TypeScript block", () => {
    assert.equal(snippets.length, page.match(/^```ts/gm).length);
  });

  const expected = {
    "context.js": "info begun\n1 3\n2 3\n3 3\ndone, for trunnion\n",
    "client.js": "order\n1\n10\n3\nI feel hungry. What should I order?\n[ 'hungry' ]\ncancelled 3 aborted by the caller\n",
    "stdio.js": "",
    "icons.js": "https://example.com/sun.png\nshine Error: no sun today\nshine failed\n",
    "fetch.js": "200 true\n",
    "node-http.js": "{ total: 5 }\n",
    "asking.js":
      "form Where do you want to go? false\nBooked Rome-2-1: 2 nights. Old, warm, loud.\n" +
      "form Where to? false\naccept, 1 roots\n",
    "traces.js": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\n",
    "tasks.js": "2 pages, receipt 7\ncompleted\n3 pages, receipt 7\n",
    "guarded.js": "ann 2\nscope\n",
    "changes.js": "[ 'news://today' ]\nnews://today it rains\n",
  };
  // server.ts is imported by the others; http.js has a test of its own.
  test("runs every block", () => {
    const run = [...Object.keys(expected), "server.js", "http.js", "signing-in.js"].sort();
    assert.deepEqual(run, snippets.map(({ name }) => name.replace(/ts$/, "js")).sort());
  });

  for (const [name, output] of Object.entries(expected)) {
    test(name, async () => {
      const { code, stdout, stderr } = await run([join(folder, "build", name)]);
      assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: output, stderr: "" });
    });
  }

  test("signing-in.js", () =>
    withWorld(async ({ mcp, issuer }) => {
      const env = { SHOP_URL: mcp, SHOP_ID: "shop", SHOP_SECRET: "s3cret", SHOP_ISSUER: issuer };
      const { code, stdout, stderr } = await run([join(folder, "build", "signing-in.js")], { env });
      assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: "hello 2\n", stderr: "" });
    }));

  test("the package's README", async () => {
    const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
    writeFileSync(join(folder, "readme.mjs"), /^```js\n(.*?)^```$/ms.exec(readme)[1]);
    const client = await connect([process.execPath, join(folder, "readme.mjs")]);
    assert.deepEqual((await client.callTool("add", { a: 1, b: 2 })).structuredContent, { sum: 3 });
    await client.close();
  });

  test("http.js", async () => {
    const child = spawn(process.execPath, [join(folder, "build", "http.js")], { stdio: ["ignore", "pipe", "inherit"] });
    const [url] = await new Promise((resolve) => child.stdout.setEncoding("utf8").once("data", (text) => resolve(text.split("\n"))));
    const client = await connect(url);
    assert.deepEqual((await client.callTool("order", { item: "tea" })).structuredContent, { total: 3 });
    await client.close();
    child.kill("SIGKILL");
  });
});
