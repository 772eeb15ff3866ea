// The TypeScript example, as compiled by `npm run test:types`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "trunnion";

test("a server in TypeScript with zod", { timeout: 60_000 }, async () => {
  const { server } = await import("./typescript/build/zod_server.js");
  const client = await connect(server);
  assert.deepEqual((await client.callTool("weather", { city: "Berlin" })).structuredContent, {
    degrees: 21,
    unit: "celsius",
  });
  const { structuredContent } = await client.callTool("weather", { city: "oslo", unit: "fahrenheit" });
  assert.equal(structuredContent.degrees, 53.6);
  assert.equal((await client.callTool("weather", { city: "Atlantis" })).text, "no weather for Atlantis");
  assert.equal((await client.callTool("weather", { city: "" })).isError, true);
  await client.close();
  await server.close();
});
