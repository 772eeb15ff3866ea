// The native module and the generated file, compared with bindings/surface.toml.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import * as trunnion from "trunnion";
import * as generated from "../esm/generated.js";

const native = createRequire(import.meta.url)("../native/loader.cjs").load();
const surface = tables(readFileSync(new URL("../../bindings/surface.toml", import.meta.url), "utf8"));
const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());

test("the native module has every function, and beside them only the waking", () => {
  const expected = surface.function
    .map(({ name }) => name)
    .filter((name) => name !== "engine_new" && name !== "version")
    .map((name) => (name === "drain" ? "drainJson" : camel(name)));
  const actual = Object.getOwnPropertyNames(native.Engine.prototype).filter((name) => name !== "constructor");
  assert.deepEqual(actual.sort(), [...expected, "watch", "unwatch", "keepAlive"].sort());
  assert.deepEqual(Object.keys(native).sort(), ["Engine", "version"]);
  assert.equal(native.version(), trunnion.version());
});

test("events, outcomes, requests and options", () => {
  const numbers = (items) => Object.fromEntries(items.map(({ name, value }) => [camel(name), value]));
  assert.deepEqual({ ...generated.EVENT }, numbers(surface.event));
  assert.deepEqual({ ...generated.OUTCOME }, numbers(surface.outcome));
  assert.deepEqual([...generated.OPS], surface.op.map(({ name }) => name));
  assert.deepEqual([...generated.FUNCTIONS], surface.function.map(({ name }) => name));
  const options = {};
  for (const { scope, key } of surface.option) (options[scope] ??= []).push(key);
  assert.deepEqual(JSON.parse(JSON.stringify(generated.OPTION_KEYS)), options);
});

test("every error has a class, exported, derived from McpError, told apart by kind", () => {
  assert.deepEqual({ ...trunnion.ERROR_CODES }, Object.fromEntries(surface.error.map(({ kind, code }) => [kind, code])));
  for (const { kind, code } of surface.error) {
    const Class = trunnion.ERROR_CLASSES[kind];
    assert.equal(trunnion[Class.name], Class, `${Class.name} is exported`);
    const error = new Class("why", { data: [1] });
    assert.deepEqual([error.kind, error.code, error.message, error.data, error.name], [kind, code, "why", [1], Class.name]);
    assert.ok(error instanceof trunnion.McpError && error instanceof Error);
    for (const Other of Object.values(trunnion.ERROR_CLASSES)) assert.equal(error instanceof Other, Other === Class);
  }
});

test("an unknown option is refused by name", () => {
  assert.throws(() => new trunnion.Engine({ colour: "red" }), (error) => {
    assert.ok(error instanceof trunnion.UsageError);
    assert.match(error.message, /colour/);
    return true;
  });
});

for (const end of ["close", "unwatch"]) {
  test(`no callback after ${end} has returned, also of a wake-up that is queued already`, async () => {
    let calls = 0;
    let late = 0;
    for (let round = 0; round < 20; round++) {
      let ended = false;
      const engine = new native.Engine('{"driver":"threaded"}');
      engine.setWake(() => (ended ? late++ : calls++));
      engine.serveHttp(engine.serverNew('{"name":"x","version":"1"}'), "{}");
      // Blocks the event loop until the event is there, so that the wake-up waits in the loop's queue or is under way.
      assert.equal(engine.wait(30_000), true);
      if (round === 0) while (calls === 0) await new Promise(setImmediate);
      if (end === "close") engine.close(0);
      else engine.unwatch();
      ended = true;
      for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
      engine.close(0);
    }
    assert.deepEqual({ calls, late }, { calls: 1, late: 0 });
  });
}

/** The arrays of tables of a TOML file whose values are strings, numbers and arrays of strings. */
function tables(text) {
  const found = {};
  let table;
  for (const line of text.split("\n")) {
    const [, name] = /^\[\[(\w+)\]\]$/.exec(line) ?? [];
    if (name) (found[name] ??= []).push((table = {}));
    else if (/^\[/.test(line)) table = undefined;
    const [, key, value] = /^(\w+) = (.*)$/.exec(line) ?? [];
    if (key && table) table[key] = value.startsWith("'") ? value.slice(1, -1) : JSON.parse(value);
  }
  return found;
}
