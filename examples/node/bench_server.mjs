// The server that benchmarks measure. Usage: bench_server.mjs --stdio | --http PORT
// BENCH_TOOLS: JSON file of more tools, [{name, description, inputSchema}]. BENCH_BIG: file served as bench://big.
// BENCH_DRIVER: hosted (the default) or threaded.
import { readFileSync } from "node:fs";
import { Server } from "trunnion";
import { serve } from "./serve.mjs";

const { BENCH_TOOLS, BENCH_BIG, BENCH_DRIVER } = process.env;

const server = new Server({ name: "bench-node", version: "1.0.0", driver: BENCH_DRIVER });
server
  .tool(
    "echo",
    {
      description: "Returns its text.",
      input: { type: "object", properties: { text: { type: "string" } }, required: ["text"] },
    },
    async ({ text }) => text,
  )
  .tool(
    "add",
    {
      description: "Adds two numbers.",
      input: {
        type: "object",
        properties: { a: { type: "number" }, b: { type: "number" } },
        required: ["a", "b"],
      },
      output: { type: "object", properties: { sum: { type: "number" } }, required: ["sum"] },
    },
    async ({ a, b }) => ({ sum: a + b }),
  );

if (BENCH_TOOLS) {
  for (const { name, description, inputSchema } of JSON.parse(readFileSync(BENCH_TOOLS, "utf8"))) {
    server.tool(name, { description, input: inputSchema }, () => "ok");
  }
}
if (BENCH_BIG) {
  const text = readFileSync(BENCH_BIG, "utf8");
  server.resource("bench://big", { name: "big", description: "A large text.", mimeType: "text/plain" }, () => text);
}

await serve(server);
