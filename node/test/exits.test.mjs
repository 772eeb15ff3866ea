// Clean exits: no hang, no crash, no live handle.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, test } from "node:test";
import { Worker } from "node:worker_threads";
import { CancelledError, Client, ClosedError, connect, Engine, McpError, Server, TransportError } from "trunnion";
import { awaited, deferred, ENGINES, example, fixture, NOTHING_LIVE, run, settled, title, withEngine } from "./helpers.mjs";

describe("exits", { timeout: 60_000 }, () => {
  for (const how of ["memory", "http"]) {
    test(`a process with an idle client ends by itself (${how})`, async () => {
      const { code, stdout, stderr } = await run([fixture("idle_client.mjs"), how]);
      assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: "hi\n", stderr: "" });
    });
  }

  test("process.exit with a call in flight", async () => {
    const { code, stdout } = await run([fixture("call_in_flight.mjs"), "exit"]);
    assert.deepEqual({ code, stdout }, { code: 7, stdout: "in flight\n" });
  });

  test("an exception in a listener is an uncaught exception", async () => {
    const { code, stdout, stderr } = await run([fixture("call_in_flight.mjs"), "throw"]);
    assert.deepEqual({ code, stdout }, { code: 1, stdout: "in flight\n" });
    assert.match(stderr, /a listener threw/);
  });

  for (const options of ENGINES) {
    test(`a worker thread is terminated in the middle of its work (${title(options)})`, async () => {
      for (let round = 0; round < 3; round++) {
        const worker = new Worker(fixture("worker.mjs"), { workerData: options });
        worker.on("error", (error) => assert.fail(error));
        assert.deepEqual(await once(worker, "message"), ["hi"]);
        assert.equal(await worker.terminate(), 1);
      }
    });

    test(`closing twice, in any order (${title(options)})`, () =>
      withEngine(options, async (engine) => {
        const server = new Server({ name: "twice", version: "1", engine });
        const http = await server.listen();
        const client = await connect(http.url, { engine });
        await Promise.all([http.close(), http.close(), client.close(), server.close()]);
        await Promise.all([server.close(), client.close(), http.close()]);
        await http.ended;
        assert.throws(() => server.tool("late", {}, () => ""), ClosedError);
        engine.close();
        engine.close();
        assert.deepEqual(engine.live(), NOTHING_LIVE);
        await assert.rejects(connect(http.url, { engine }), McpError);
      }));

    test(`closing the engine fails what is in flight at once (${title(options)})`, async () => {
      const engine = new Engine(options);
      const server = new Server({ name: "close", version: "1", engine });
      server.tool("never", {}, (_, ctx) => {
        ctx.progress(1);
        return new Promise(() => {});
      });
      const client = await connect(server, { engine });
      const running = deferred();
      const call = client.callTool("never", {}, { onProgress: running.resolve });
      call.catch(() => {});
      await running.promise;
      engine.close();
      // The engine has both ends: the one that reports it first is not determined.
      await assert.rejects(call, McpError);
      await settled(engine);
    });

    test(`a server that dies fails the calls in flight at once (${title(options)})`, () =>
      withEngine(options, async (engine) => {
        const client = await connect([process.execPath, fixture("dying_server.mjs")], { engine });
        const closed = new Promise((resolve) => client.on("closed", resolve));
        await assert.rejects(client.callTool("die"), (error) => {
          assert.ok(error instanceof TransportError || error instanceof ClosedError, `${error}`);
          return true;
        });
        await awaited(closed);
        await client.close();
      }));

    test(`closing gives up connecting (${title(options)})`, () =>
      withEngine(options, async (engine) => {
        // A program that never writes anything.
        const client = new Client([process.execPath, "-e", "process.stdin.resume()"], { engine });
        const connecting = client.connect();
        connecting.catch(() => {});
        await client.close();
        await assert.rejects(connecting, CancelledError);
        const controller = new AbortController();
        const other = connect([process.execPath, "-e", "process.stdin.resume()"], { engine, signal: controller.signal });
        controller.abort();
        await assert.rejects(other, CancelledError);
      }));

    test(`nobody listens there (${title(options)})`, () =>
      withEngine(options, async (engine) => {
        const client = connect("http://127.0.0.1:9/mcp", { engine });
        await assert.rejects(client, TransportError);
      }));
  }

  test("a stdio server ends when its peer closes the streams", async () => {
    const { code, stdout } = await run([example("everything_server.mjs"), "--stdio"]);
    assert.deepEqual({ code, stdout }, { code: 0, stdout: "" });
  });

  test("an HTTP server ends on SIGTERM", async () => {
    const child = spawn(process.execPath, [example("everything_server.mjs"), "--http", "0"]);
    const [line] = await once(child.stderr.setEncoding("utf8"), "data");
    assert.match(line, /^serving http:/);
    child.kill("SIGTERM");
    assert.deepEqual(await once(child, "close"), [0, null]);
  });
});
