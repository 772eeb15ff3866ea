// HTTP over a Unix socket.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connect, Server, UsageError } from "trunnion";
import { ENGINES, title, withEngine } from "./helpers.mjs";

for (const options of ENGINES) {
  test(`a Unix socket in place of host and port, ${title(options)}`, () =>
    withEngine(options, async (engine) => {
      const folder = mkdtempSync(join(tmpdir(), "trunnion-"));
      const path = join(folder, "socket");
      const server = new Server({ name: "unix", version: "1", engine });
      server.tool("ok", {}, () => "ok");
      await assert.rejects(server.listen({ unixSocket: path, port: 0 }), UsageError);
      const http = await server.listen({ unixSocket: path });
      assert.ok(http.url.startsWith("http+unix://"), http.url);
      const client = await connect(http.url, { engine });
      assert.equal((await client.callTool("ok")).text, "ok");
      await client.close();
      await server.close();
      assert.ok(!existsSync(path), "the file goes with the listener");
      rmSync(folder, { recursive: true });
    }));
}
