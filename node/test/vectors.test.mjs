// The golden transcripts of tests/vectors/, against a server of this language over its standard streams.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { describe, test } from "node:test";
import { fixture } from "./helpers.mjs";

const folder = new URL("../../tests/vectors/", import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith(".json"));
assert.notEqual(files.length, 0);

for (const file of files) {
  const { cases } = JSON.parse(readFileSync(new URL(file, folder), "utf8"));
  describe(`vectors/${file}`, { timeout: 120_000 }, () => {
    for (const { name, server, steps } of cases) test(name, () => play(steps, server));
  });
}

async function play(steps, definition = { name: "vectors", version: "1.0.0" }) {
  const child = spawn(process.execPath, [fixture("vectors_server.mjs"), JSON.stringify(definition)]);
  const closed = once(child, "close");
  const [messages, notes] = [lines(child.stdout), lines(child.stderr)];
  try {
    for (const [index, step] of steps.entries()) {
      if ("send" in step) {
        child.stdin.write(`${typeof step.send === "string" ? step.send : JSON.stringify(step.send)}\n`);
      } else if ("repeat" in step) {
        const [[text, times], [before, after]] = [step.repeat, step.around];
        child.stdin.write(`${before}${text.repeat(times)}${after}\n`);
      } else if ("expect" in step) {
        fits(JSON.parse(await messages.next()), step.expect, `step ${index + 1}`);
      } else {
        assert.deepEqual([step.handler, step.is], ["hang", "cancelled"], `unknown step ${index + 1}`);
        assert.equal(await notes.next(), "hang cancelled");
      }
    }
    child.stdin.end();
    assert.deepEqual(await closed, [0, null]);
    assert.deepEqual(messages.rest(), [], "nothing more was said");
  } finally {
    child.kill("SIGKILL");
  }
}

/** The lines of a stream, one after the other. */
function lines(stream) {
  const [arrived, waiting] = [[], []];
  let over = false;
  createInterface({ input: stream })
    .on("line", (line) => (waiting.length > 0 ? waiting.shift().resolve(line) : arrived.push(line)))
    .on("close", () => {
      over = true;
      for (const { reject } of waiting) reject(new Error("the server ended"));
    });
  return {
    next() {
      if (arrived.length > 0) return Promise.resolve(arrived.shift());
      if (over) return Promise.reject(new Error("the server ended"));
      return new Promise((resolve, reject) => waiting.push({ resolve, reject }));
    },
    rest: () => arrived,
  };
}

function fits(actual, pattern, where) {
  if (pattern === "*") return;
  if (typeof pattern !== "object" || pattern === null) return assert.deepEqual(actual, pattern, where);
  if (Array.isArray(pattern)) {
    assert.ok(Array.isArray(actual) && actual.length === pattern.length, `${where}: ${JSON.stringify(actual)}`);
    return pattern.forEach((item, index) => fits(actual[index], item, `${where}[${index}]`));
  }
  if (typeof pattern.contains === "string" && Object.keys(pattern).length === 1) {
    return assert.ok(typeof actual === "string" && actual.includes(pattern.contains), `${where}: ${JSON.stringify(actual)}`);
  }
  assert.ok(typeof actual === "object" && actual !== null, `${where}: ${JSON.stringify(actual)}`);
  for (const [key, value] of Object.entries(pattern)) {
    if (key === "absent" && Array.isArray(value)) {
      for (const name of value) assert.ok(!(name in actual), `${where}.${name} must be absent`);
    } else {
      assert.ok(key in actual, `${where}.${key} is missing in ${JSON.stringify(actual)}`);
      fits(actual[key], value, `${where}.${key}`);
    }
  }
}
