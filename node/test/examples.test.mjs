// The examples, run with the unchanged documents of examples/.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { connect, Server } from "trunnion";
import { example, object, run } from "./helpers.mjs";

const TOUR = {
  tools: true,
  sum: 5,
  echo: 'héllo ✓ 😀\n"q"',
  progress: [1, 2, 3],
  slow: "done",
  fail: "boom",
  unknown: -32602,
  invalid: "isError",
  cancel: "cancelled",
  resource: "This is the content of the static text resource.",
  prompt: "Prompt with arguments: arg1='hello', arg2='world'",
  completion: ["paris", "park", "party"],
  after: "still here",
};

async function httpExample(name, env = {}) {
  const child = spawn(process.execPath, [example(name), "--http", "0"], { env: { ...process.env, ...env } });
  const [line] = await once(child.stderr.setEncoding("utf8"), "data");
  return { child, url: line.trim().split(" ").at(-1) };
}

async function tour(target) {
  const { code, stdout, stderr } = await run([example("everything_client.mjs"), target]);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
  const { template, revision, ...rest } = JSON.parse(stdout);
  assert.deepEqual(rest, TOUR);
  assert.match(template, /42/);
  assert.equal(revision, "2026-07-28");
}

describe("examples", { timeout: 60_000 }, () => {
  test("the tour over stdio", () => tour(`stdio:${process.execPath} ${example("everything_server.mjs")} --stdio`));

  test("the tour over HTTP", async () => {
    const { child, url } = await httpExample("everything_server.mjs");
    await tour(url);
    child.kill("SIGTERM");
    assert.deepEqual(await once(child, "close"), [0, null]);
  });

  test("the client fails with a message", async () => {
    const { code, stdout, stderr } = await run([example("everything_client.mjs"), "http://127.0.0.1:9/mcp"]);
    assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
    assert.match(stderr, /TransportError/);
  });

  test("the conformance scenarios", async () => {
    const server = new Server({ name: "mock", version: "1" });
    const calls = [];
    const input = object({ a: { type: "number" }, b: { type: "number" } });
    server.tool("add_numbers", { input }, (args) => void calls.push(args));
    const { url } = await server.listen();
    for (const scenario of ["initialize", "tools_call"]) {
      const env = { MCP_CONFORMANCE_SCENARIO: scenario };
      const { code, stdout } = await run([example("everything_client.mjs"), url], { env });
      assert.deepEqual({ code, stdout }, { code: 0, stdout: "" });
    }
    assert.equal(calls.length, 1);
    await server.close();
  });

  test("the bench server", async () => {
    const folder = mkdtempSync(join(tmpdir(), "trunnion-"));
    const [tools, big] = [join(folder, "tools.json"), join(folder, "big.txt")];
    writeFileSync(tools, JSON.stringify([{ name: "extra", description: "Extra.", inputSchema: { type: "object" } }]));
    writeFileSync(big, "long ".repeat(100_000));
    const { child, url } = await httpExample("bench_server.mjs", { BENCH_TOOLS: tools, BENCH_BIG: big });
    const client = await connect(url);
    assert.equal((await client.callTool("echo", { text: "hi" })).text, "hi");
    assert.deepEqual((await client.callTool("add", { a: 1, b: 2 })).structuredContent, { sum: 3 });
    assert.equal((await client.callTool("extra")).text, "ok");
    assert.equal((await client.readResource("bench://big")).text.length, 500_000);
    await client.close();
    child.kill("SIGTERM");
    assert.deepEqual(await once(child, "close"), [0, null]);
  });

  test("the docsearch client", async () => {
    const server = new Server({ name: "docsearch", version: "1" });
    const input = object({ query: { type: "string" } });
    server.tool("search", { input, output: object({ hits: { type: "array" } }) }, ({ query }) => ({ hits: [{ query }] }));
    const { url } = await server.listen();
    const { code, stdout } = await run([example("docsearch_client.mjs"), url, "search", "two words"]);
    assert.deepEqual({ code, stdout }, { code: 0, stdout: '{"hits":[{"query":"two words"}]}\n' });
    await server.close();
  });
});
