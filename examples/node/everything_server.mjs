// A server with one of everything. Usage: everything_server.mjs --stdio | --http PORT
import { setTimeout as sleep } from "node:timers/promises";
import { Server, ToolError } from "trunnion";
import { addAsking } from "./asking.mjs";
import { serve } from "./serve.mjs";
import { addTasks } from "./tasks.mjs";

// One red pixel, and a tenth of a second of silence.
const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";
const WAV = wav(new Uint8Array(800));

const object = (properties = {}) => ({ type: "object", properties, required: Object.keys(properties) });
const string = { type: "string" };
const number = { type: "number" };
const integer = { type: "integer" };

const server = new Server({ name: "everything-node", version: "1.0.0", title: "One of everything, in Node" });

server
  .tool("test_simple_text", { description: "Returns a fixed text." }, () => "This is a simple text response for testing.")
  .tool(
    "add",
    { description: "Adds two numbers.", input: object({ a: number, b: number }), output: object({ sum: number }) },
    ({ a, b }) => ({ sum: a + b }),
  )
  .tool("echo", { description: "Returns its text.", input: object({ text: string }) }, ({ text }) => text)
  .tool(
    "test_x_mcp_header",
    {
      description: "Returns the region, which proxies can read in the header Mcp-Param-Region.",
      input: object({ region: { type: "string", "x-mcp-header": "Region" } }),
    },
    ({ region }) => region,
  )
  .tool(
    "slow",
    { description: "Takes its time, and says how far it is.", input: object({ steps: integer, delayMs: integer }) },
    async ({ steps, delayMs }, ctx) => {
      for (let i = 1; i <= steps; i++) {
        await sleep(delayMs, undefined, { signal: ctx.signal });
        ctx.progress(i, steps, `step ${i} of ${steps}`);
      }
      return "done";
    },
  )
  .tool("fail", { description: "Fails with a message for the model.", input: object({ message: string }) }, ({ message }) => {
    throw new ToolError(message);
  })
  .tool("crash", { description: "Throws what nobody expects.", input: object({ message: string }) }, ({ message }) => {
    throw new TypeError(message);
  })
  .tool("test_image_content", { description: "Returns an image." }, () => [image()])
  .tool("test_audio_content", { description: "Returns a sound." }, () => [
    { type: "audio", data: WAV, mimeType: "audio/wav" },
  ])
  .tool("test_embedded_resource", { description: "Returns a resource within its result." }, () => [
    embedded("test://embedded-resource", "text/plain", "This is an embedded resource content."),
  ])
  .tool("test_multiple_content_types", { description: "Returns text, an image and a resource." }, () => [
    { type: "text", text: "Multiple content types test:" },
    image(),
    embedded("test://mixed-content-resource", "application/json", JSON.stringify({ test: "data", value: 123 })),
  ])
  .tool("test_error_handling", { description: "Always fails." }, () => {
    throw new ToolError("This tool intentionally returns an error for testing");
  })
  .tool("test_tool_with_progress", { description: "Reports progress." }, async (_, ctx) => {
    for (const progress of [0, 50, 100]) {
      ctx.progress(progress, 100, `Completed step ${progress} of 100`);
      await sleep(50, undefined, { signal: ctx.signal });
    }
    return "done";
  });

server
  .resource(
    "test://static-text",
    { name: "static-text", description: "A fixed text.", mimeType: "text/plain" },
    () => "This is the content of the static text resource.",
  )
  .resource(
    "test://static-binary",
    { name: "static-binary", description: "A fixed image.", mimeType: "image/png" },
    () => Buffer.from(PNG, "base64"),
  )
  .resource(
    "test://template/{id}/data",
    { name: "template", description: "Data by id.", mimeType: "application/json" },
    (_, { id }) => JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }),
  );

server
  .prompt("test_simple_prompt", { description: "A fixed prompt." }, () => "This is a simple prompt for testing.")
  .prompt(
    "test_prompt_with_arguments",
    {
      description: "A prompt that names its arguments.",
      arguments: {
        arg1: { description: "The first argument.", required: true },
        arg2: { description: "The second argument.", required: true },
      },
    },
    ({ arg1, arg2 }) => `Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`,
  )
  .prompt(
    "test_prompt_with_embedded_resource",
    {
      description: "A prompt with a resource.",
      arguments: { resourceUri: { description: "URI of the resource.", required: true } },
    },
    ({ resourceUri }) => [
      { role: "user", content: embedded(resourceUri, "text/plain", "Embedded resource content for testing.") },
      { role: "user", content: { type: "text", text: "Please process the embedded resource above." } },
    ],
  )
  .prompt("test_prompt_with_image", { description: "A prompt with an image." }, () => [
    { role: "user", content: image() },
    { role: "user", content: { type: "text", text: "Please analyze the image above." } },
  ])
  .completion({ prompt: "test_prompt_with_arguments" }, ({ name, value }) =>
    name === "arg1" ? ["paris", "park", "party"].filter((word) => word.startsWith(value)) : [],
  );

addAsking(server);
addTasks(server);

await serve(server);

function image() {
  return { type: "image", data: PNG, mimeType: "image/png" };
}

function embedded(uri, mimeType, text) {
  return { type: "resource", resource: { uri, mimeType, text } };
}

/** 8-bit mono samples at 8 kHz as a WAV file, in base64. */
function wav(samples) {
  const header = Buffer.alloc(44);
  header.write("RIFF", 0);
  header.writeUInt32LE(36 + samples.length, 4);
  header.write("WAVEfmt ", 8);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(8000, 24);
  header.writeUInt32LE(8000, 28);
  header.writeUInt16LE(1, 32);
  header.writeUInt16LE(8, 34);
  header.write("data", 36);
  header.writeUInt32LE(samples.length, 40);
  return Buffer.concat([header, samples]).toString("base64");
}
