// Tasks: calls that outlive their request, their connection and their process.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { CancelledError, connect, InvalidParamsError, LimitError, MethodNotFoundError, MissingCapabilityError, Server, ToolError, UsageError } from "trunnion";
import { deferred, ENGINES, fixture, object, title, TRANSPORTS, withEngine, withPair } from "./helpers.mjs";

const NAME = object({ name: { type: "string" } });

async function all(updates) {
  const states = [];
  for await (const state of updates) states.push(state);
  return states;
}

for (const options of ENGINES) {
  for (const transport of TRANSPORTS) {
    describe(`tasks: ${title(options)}, ${transport}`, { timeout: 60_000 }, () => {
      const check = (name, define, body, clientOptions) =>
        test(name, () =>
          withEngine(options, (engine) => withPair(engine, transport, define, body, { taskPollMs: 10 }, clientOptions)),
        );

      for (const era of ["modern", "legacy"]) {
        const gate = deferred();
        check(
          `from end to end, ${era}`,
          (server) =>
            server.tool("bake", { input: object({ what: { type: "string" } }), task: "optional" }, async ({ what }, ctx) => {
              ctx.progress(1, 2, "in the oven");
              await gate.promise;
              return { baked: what, ...ctx.task };
            }),
          async (client) => {
            const task = await client.startTask("bake", { what: "bread" });
            assert.equal(task.created.taskId, task.id);
            assert.deepEqual([task.created.status, task.created.ttlMs, task.created.pollIntervalMs], ["working", 86_400_000, 10]);
            const seen = [];
            for await (const state of task.updates()) {
              seen.push(state.status);
              if (state.statusMessage === "in the oven (1 of 2)") gate.resolve();
            }
            assert.equal(seen.pop(), "completed");
            assert.ok(seen.every((status) => status === "working"));
            assert.deepEqual((await task.result()).structuredContent, { baked: "bread", id: task.id, run: 1 });
            // Another handle of the same task, by its id.
            const again = client.task(task.id);
            assert.equal(again.created, undefined);
            assert.equal((await again.status()).status, "completed");
            assert.equal((await again.result()).structuredContent.id, task.id);
            assert.deepEqual((await all(again.updates())).map(({ status }) => status), ["completed"]);
            // A plain call follows the task by itself.
            assert.equal((await client.callTool("bake", { what: "cake" })).structuredContent.baked, "cake");
            if (era === "legacy") assert.ok((await client.listTasks()).some(({ taskId }) => taskId === task.id));
            else await assert.rejects(client.listTasks().then(), MethodNotFoundError);
            await assert.rejects(client.task("none").status(), InvalidParamsError);
          },
          { era },
        );
      }

      check(
        "clients that know of no tasks",
        (server) =>
          server
            .tool("maybe", { task: "optional" }, (_, ctx) => String(ctx.task))
            .tool("always", { task: "required" }, () => "done"),
        async (client) => {
          assert.equal((await client.callTool("maybe")).text, "undefined");
          await assert.rejects(client.callTool("always"), MissingCapabilityError);
          const task = await client.startTask("maybe");
          assert.equal(task.id, undefined);
          assert.equal((await task.status()).status, "completed");
          assert.deepEqual((await all(task.updates())).map(({ status }) => status), ["completed"]);
          assert.equal((await task.result()).text, "undefined");
          await task.cancel();
          await task.answer("q1", { action: "cancel" });
        },
        { tasks: false },
      );

      check(
        "failures come as those of the call",
        (server) =>
          server
            .tool("fails", { task: "required" }, () => {
              throw new ToolError("no flour");
            })
            .tool("breaks", { task: "required" }, () => {
              throw new LimitError("too much flour");
            }),
        async (client) => {
          const failed = await (await client.startTask("fails")).result();
          assert.deepEqual([failed.isError, failed.text], [true, "no flour"]);
          const task = await client.startTask("breaks");
          assert.equal((await all(task.updates())).at(-1).status, "failed");
          await assert.rejects(task.result(), /too much flour/);
        },
      );

      check(
        "what a task asks goes to the client's handlers",
        (server) =>
          server.tool("bake", { task: "optional" }, async (_, ctx) => {
            const { content } = await ctx.elicit("For whom?", NAME);
            return `bread for ${content.name}`;
          }),
        async (client) => {
          const steps = [];
          assert.equal((await client.callTool("bake", {}, { onProgress: (step) => steps.push(step) })).text, "bread for Ann");
          assert.equal((await (await client.startTask("bake")).result()).text, "bread for Ann");
        },
        { onElicit: () => ({ action: "accept", content: { name: "Ann" } }) },
      );

      check(
        "what a task asks is answered by its handle",
        (server) =>
          server.tool("bake", { task: "optional" }, async (_, ctx) => {
            const first = await ctx.elicit("For whom?", NAME, { key: "who" });
            const second = await ctx.elicit("And for whom?", NAME, { key: "whom" });
            return `bread for ${first.content.name} and ${second.action}`;
          }),
        async (client) => {
          const task = await client.startTask("bake");
          const answers = new Map([
            ["who", { action: "accept", content: { name: "Ann" } }],
            ["whom", { action: "decline" }],
          ]);
          for await (const { status, inputRequests = {} } of task.updates()) {
            for (const [key, { params }] of Object.entries(inputRequests)) {
              assert.equal(status, "input_required");
              assert.match(params.message, /whom\?/);
              if (answers.has(key)) await task.answer(key, answers.get(key));
              answers.delete(key);
            }
          }
          assert.equal((await task.result()).text, "bread for Ann and decline");
        },
        { onElicit: () => assert.fail("the handle answers") },
      );

      const [began, ended] = [deferred(), deferred()];
      check(
        "cancelling reaches the handler",
        (server) =>
          server.tool("bake", { task: "optional" }, async (_, ctx) => {
            ctx.signal.addEventListener("abort", () => ended.resolve(ctx.cancelled));
            began.resolve();
            await ended.promise;
          }),
        async (client) => {
          const task = await client.startTask("bake");
          await began.promise;
          await task.cancel();
          assert.equal(await ended.promise, true);
          assert.equal((await all(task.updates())).at(-1).status, "cancelled");
          await assert.rejects(task.result(), CancelledError);
        },
      );

      const gate = deferred();
      check(
        "leaving the updates, or the wait, ends nothing",
        (server) => server.tool("bake", { task: "optional" }, () => gate.promise),
        async (client) => {
          const task = await client.startTask("bake");
          for await (const { status } of task.updates()) {
            assert.equal(status, "working");
            break;
          }
          const leaving = new AbortController();
          const waiting = task.result({ signal: leaving.signal });
          leaving.abort();
          await assert.rejects(waiting, CancelledError);
          const watching = all(task.updates({ signal: AbortSignal.abort() }));
          await assert.rejects(watching, CancelledError);
          gate.resolve("bread");
          assert.equal((await task.result()).text, "bread");
        },
      );

      check(
        "checkpoints, in tasks and outside",
        (server) => {
          const bake = async (_, ctx) => {
            const before = ctx.lastCheckpoint ?? null;
            await ctx.checkpoint({ loaf: 1 });
            const once = [await ctx.once("key", () => [1]), await ctx.once("key", () => [2])];
            return { before, after: ctx.lastCheckpoint, once, known: Object.keys(ctx.request).includes("checkpoint") };
          };
          server.tool("now", {}, bake).tool("later", { task: "required" }, bake);
          server.tool("too_much", {}, async (_, ctx) => {
            await assert.rejects(ctx.checkpoint(() => {}), TypeError);
            await ctx.checkpoint("x".repeat(300 << 10));
          });
        },
        async (client) => {
          const expected = { before: null, after: { loaf: 1 }, once: [[1], [1]], known: false };
          assert.deepEqual((await client.callTool("now")).structuredContent, expected);
          assert.deepEqual((await client.callTool("later")).structuredContent, expected);
          await assert.rejects(client.callTool("too_much"), /store/);
        },
      );
    });
  }
}

test("options are checked", () =>
  withEngine({}, async (engine) => {
    const server = new Server({ name: "x", version: "1", engine, taskTtlMs: null });
    assert.throws(() => server.tool("x", { task: "sometimes" }, () => ""), UsageError);
    assert.throws(() => server.tool("x", { task: "optional", taskConcurrency: 0 }, () => ""), UsageError);
    assert.throws(() => new Server({ name: "x", version: "1", engine, taskLeaseMs: 0 }), /taskLeaseMs/);
    server.tool("seven", { task: "required", taskTtlMs: 7000, taskConcurrency: 1 }, () => "").tool("ever", { task: "required" }, () => "");
    const client = await connect(server, { engine });
    assert.equal((await client.startTask("seven")).created.ttlMs, 7000);
    assert.equal((await client.startTask("ever")).created.ttlMs, null);
    await client.close();
    await server.close();
  }));

test("a task outlives its process", { timeout: 60_000 }, () =>
  withEngine({}, async (engine) => {
    const folder = mkdtempSync(join(tmpdir(), "trunnion-"));
    const marks = join(folder, "marks");
    mkdirSync(marks);
    const probe = createServer().listen(0, "127.0.0.1");
    await once(probe, "listening");
    const { port } = probe.address();
    probe.close();
    await once(probe, "close");
    const start = async () => {
      const child = spawn(process.execPath, [fixture("task_server.mjs"), port, join(folder, "store.db"), marks], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      await once(child.stdout, "data");
      return child;
    };
    const stop = async (child, signal) => {
      child.kill(signal);
      await once(child, "close");
    };
    const done = (what) => readdirSync(marks).filter((mark) => mark.startsWith(what));
    const url = `http://127.0.0.1:${port}/mcp`;

    const first = await start();
    let client = await connect(url, { engine });
    const task = await client.startTask("grind");
    for await (const { statusMessage } of task.updates()) if (statusMessage === "ground once (1 of 2)") break;
    await stop(first, "SIGKILL");
    await client.close();

    const second = await start();
    writeFileSync(join(marks, "go"), "");
    client = await connect(url, { engine });
    const { run, ...result } = (await client.task(task.id).result()).structuredContent;
    await client.close();
    await stop(second, "SIGTERM");
    assert.ok(run > 1);
    assert.deepEqual([result, done("paid").length, done("first").length], [{ begun: { step: 1 }, paid: done("paid")[0] }, 1, 1]);
    rmSync(folder, { recursive: true });
  }));
