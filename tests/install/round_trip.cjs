// The same as round_trip.mjs, as CommonJS.
const assert = require("node:assert/strict");

const { connect, Server } = require("trunnion");

async function main() {
  const server = new Server({ name: "installed", version: "1.0.0" });
  const number = { type: "number" };
  const input = { type: "object", properties: { a: number, b: number }, required: ["a", "b"] };
  server.tool("add", { input }, ({ a, b }) => String(a + b));
  if (process.argv.includes("--serve")) {
    await server.serveStdio();
    return;
  }
  const http = await server.listen({ port: 0 });
  const targets = { stdio: [process.execPath, __filename, "--serve"], http: http.url };
  for (const [transport, target] of Object.entries(targets)) {
    const client = await connect(target);
    assert.equal((await client.callTool("add", { a: 19, b: 23 })).text, "42");
    await client.close();
    console.log(transport, "ok");
  }
  await server.close();
}

main();
