// Shared code of the tests. Every test makes an engine of its own and leaves nothing alive in it.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { connect, Engine, Server } from "trunnion";

/** The ways to run an engine: the owner of the I/O, and the notification of the event loop. */
export const ENGINES = [
  { driver: "hosted" },
  { driver: "threaded" },
  { driver: "threaded", wake: "callback" },
];

export const title = ({ driver, wake = "poll" }) => `${driver}, ${wake}`;

export const NOTHING_LIVE = { servers: 0, clients: 0, exchanges: 0, operations: 0, connections: 0, sessions: 0 };

/** Runs a test with an engine; afterwards nothing may be alive in it. */
export async function withEngine(options, body) {
  const engine = new Engine(options);
  try {
    await body(engine);
    await settled(engine);
  } finally {
    engine.close();
  }
  assert.deepEqual(engine.live(), NOTHING_LIVE);
}

/** Waits until nothing is alive: a connection may outlive its last answer by a moment. */
export async function settled(engine) {
  while (Object.values(engine.live()).some((count) => count !== 0)) await sleep(1);
}

export const TRANSPORTS = ["memory", "http"];

/** Makes a server and a client of it, over memory or HTTP; closes both afterwards. */
export async function withPair(engine, transport, define, body, serverOptions = {}, clientOptions = {}) {
  const server = new Server({ name: "test", version: "1.2.3", engine, onError: () => {}, ...serverOptions });
  define(server);
  const http = transport === "http" ? await server.listen() : undefined;
  const client = await connect(http?.url ?? server, { engine, ...clientOptions });
  // A task that is about to start in this process does not keep it alive, and a body may wait for nothing else.
  const release = engine.hold();
  try {
    await body(client, server);
  } finally {
    release();
    await client.close();
    await server.close();
  }
}

export const object = (properties = {}) => ({ type: "object", properties, required: Object.keys(properties) });

export const fixture = (name) => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));
export const example = (name) => fileURLToPath(new URL(`../../examples/node/${name}`, import.meta.url));

/** Runs a program to its end and returns its output and exit status. The test's own time limit is the
 * limit. */
export async function run(args, { input = "", env = {}, signal } = {}) {
  const child = spawn(process.execPath, args, { env: { ...process.env, ...env }, stdio: "pipe", signal });
  const out = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text) => (out.stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text) => (out.stderr += text));
  child.stdin.end(input);
  const [code, killed] = await once(child, "close");
  return { ...out, code, killed };
}

/** Waits for a notification to an idle client, which does not keep the process alive itself. */
export async function awaited(promise) {
  const alive = setInterval(() => {}, 1000);
  return promise.finally(() => clearInterval(alive));
}

/** A promise and what settles it. */
export function deferred() {
  let resolve;
  let reject;
  const promise = new Promise((yes, no) => ([resolve, reject] = [yes, no]));
  return { promise, resolve, reject };
}

/** Runs a test with an MCP server that requires tokens, and the authorization server that issues them. */
export async function withWorld(body) {
  const child = spawn(fileURLToPath(new URL("../../target/debug/examples/auth_world", import.meta.url)), { stdio: ["pipe", "pipe", "inherit"] });
  const [line] = await once(createInterface(child.stdout), "line");
  const { mcp, issuer, control } = JSON.parse(line);
  const headers = { connection: "close" };
  const seen = async () => (await fetch(control, { headers })).json();
  try {
    await body({
      mcp,
      issuer,
      seen,
      change: (what) => fetch(control, { method: "PUT", headers, body: JSON.stringify(what) }),
      granted: async (grant) => (await seen()).log.filter((line) => line === `token ${grant}`).length,
    });
  } finally {
    child.stdin.end();
    await once(child, "exit");
  }
}
