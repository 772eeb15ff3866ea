// A server and a client of the installed npm package, over standard streams and HTTP, as an ES module.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

import { connect, Server } from "trunnion";

const server = new Server({ name: "installed", version: "1.0.0" });
const number = { type: "number" };
const input = { type: "object", properties: { a: number, b: number }, required: ["a", "b"] };
server.tool("add", { input }, ({ a, b }) => String(a + b));

if (process.argv.includes("--serve")) {
  await server.serveStdio();
} else {
  const http = await server.listen({ port: 0 });
  for (const [transport, target] of [
    ["stdio", [process.execPath, fileURLToPath(import.meta.url), "--serve"]],
    ["http", http.url],
  ]) {
    const client = await connect(target);
    assert.equal((await client.callTool("add", { a: 19, b: 23 })).text, "42");
    await client.close();
    console.log(transport, "ok");
  }
  await server.close();
}
