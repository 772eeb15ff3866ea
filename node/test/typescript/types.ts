// Type tests, compiled and never run: code that TypeScript must accept, and code that it must refuse.
import { createServer } from "node:http";
import { connect, type Context, jsonSchema, MemoryStore, Question, Server, ToolResult, Visibility } from "trunnion";
import { z } from "zod";

const server = new Server({ name: "types", version: "1", driver: "hosted" });

const input = z.object({ a: z.number(), b: z.string().default("x") });
const output = z.object({ sum: z.number() });

server.tool("typed", { input, output }, async ({ a, b }, ctx) => {
  const number: number = a;
  const text: string = b;
  const sent: boolean = ctx.progress(1, 2, text);
  const signal: AbortSignal = ctx.signal;
  return { sum: signal.aborted || sent ? number : 0 };
});
server.tool("whole", { input, output }, () => new ToolResult({ content: [], structuredContent: { sum: 1 } }));
// @ts-expect-error: the output is not what the schema says
server.tool("wrong-output", { input, output }, () => ({ sum: "1" }));
// @ts-expect-error: with an output schema, text is not enough
server.tool("text-output", { input, output }, () => "1");
// @ts-expect-error: there is no argument c
server.tool("wrong-input", { input }, ({ c }) => String(c));

const typed = jsonSchema<{ a: number }>({ type: "object", properties: { a: { type: "number" } }, required: ["a"] });
server.tool("json", { input: typed }, ({ a }) => a.toFixed(2));
// @ts-expect-error: a is a number
server.tool("json-wrong", { input: typed }, ({ a }) => a.toUpperCase());
server.tool("untyped", { input: { type: "object" } }, ({ anything }) => `${anything}`);
server.tool("none", {}, () => undefined);
// @ts-expect-error: misspelt
server.tool("misspelt", { descripton: "x" }, () => "");

// @ts-expect-error: a schema goes into { input }
server.tool("schema", z.object({ a: z.string() }), ({ a }) => String(a));
// @ts-expect-error: one schema, not an object of schemas
server.tool("schemas", { input: { a: z.string() } }, () => "");
// @ts-expect-error: one schema, not an object of schemas
server.tool("schemas", { output: { a: z.string() } }, () => ({}));
const loose: Record<string, unknown> = { type: "object" };
server.tool("loose", { input: loose, output: loose }, ({ anything }) => ({ anything }));
server.tool("literal", { input: { type: "object", properties: { a: { type: "string" } }, required: ["a"] } as const }, ({ a }) => `${a}`);
server.tool("union", { input: z.discriminatedUnion("k", [z.object({ k: z.literal("a"), n: z.number() }), z.object({ k: z.literal("b") })]) }, (shape) =>
  shape.k === "a" ? shape.n.toFixed(1) : shape.k,
);
// @ts-expect-error: a schema goes into { arguments }
server.prompt("schema", z.object({ a: z.string() }), () => "");
// @ts-expect-error: a resource takes none
server.resource("test://schema", z.object({ a: z.string() }), () => "");
// @ts-expect-error: a completion takes none
server.completion({ prompt: "p" }, () => [], z.object({ a: z.string() }));
server.prompt("trip", { arguments: z.object({ city: z.enum(["Rome", "Oslo"]), nights: z.number().default(2) }) }, ({ city, nights }) => {
  const where: "Rome" | "Oslo" = city;
  const many: number = nights;
  // @ts-expect-error: it is a number
  const text: string = nights;
  return where + many + text;
});

server.prompt("p", { arguments: { must: { required: true }, may: {} } }, ({ must, may }) => {
  const there: string = must;
  // @ts-expect-error: it may be missing
  const missing: string = may;
  return there + missing;
});
server.resource("test://{id}", { name: "r" }, (_uri, { id }) => `${id}`);
server.resource("test://{id}/{+path}/{a,b:3}{?page,size*}", { name: "r" }, (_uri, { id, path, a, b, page, size }) => {
  const there: string = id + path + a + b;
  // @ts-expect-error: it may be missing
  const missing: string = page;
  const may: string | undefined = size;
  return there + missing + may;
});
// @ts-expect-error: there is no such variable
server.resource("test://{id}/only", { name: "r" }, (_uri, { other }) => `${other}`);
const anyTemplate: string = "test://{x}";
server.resource(anyTemplate, { name: "r" }, (_uri, params: Record<string, string>) => params["x"] ?? "");
server.resource("test://y", { name: "r" }, (uri) => uri);
// @ts-expect-error: a resource needs a name
server.resource("test://x", {}, () => "");
server.completion({ prompt: "p" }, ({ value }) => [value]);
// @ts-expect-error: neither a prompt nor a resource
server.completion({ tool: "x" }, () => []);
// @ts-expect-error: no such driver
new Server({ name: "x", version: "1", driver: "magic" });
// @ts-expect-error: a server has a version
new Server({ name: "x" });

const form = z.object({ city: z.string(), nights: z.number().default(2) });
server.tool("asks", { asks: { trip: Question.elicit("Where to?", form), roots: Question.listRoots() } }, async (_, ctx) => {
  const { trip, roots } = ctx.answers;
  const uris: string[] = roots.map(({ uri }) => uri);
  // @ts-expect-error: not before it is accepted
  trip.content.city;
  const again = await ctx.elicit("And then?", form, { key: "then" });
  const nights: number = trip.action === "accept" && again.action === "accept" ? trip.content.nights + again.content.nights : 0;
  const { one, two } = await ctx.ask({ one: Question.sample("x", 1, { temperature: 0 }), two: Question.elicitUrl("x", "https://x.example") });
  const model: string = one.model + two.action;
  const id: number = await ctx.once("id", async () => 7);
  // @ts-expect-error: nothing was asked under that key
  ctx.answers.other;
  return { uris, nights, model, id };
});
server.tool("helper", {}, (_, ctx) => helper(ctx));
async function helper(ctx: Context): Promise<string> {
  return (await ctx.listRoots()).map(({ name }) => name ?? "").join();
}
export const handler: (request: Request) => Promise<Response> = server.fetch;
createServer(server.node({ publicUrl: "https://x.example/mcp" }));
createServer((request, response) => server.node()(request, response, { parsed: true }));
// @ts-expect-error: a carried endpoint binds no port
server.node({ port: 1 });
// @ts-expect-error: a carried endpoint binds no port
server.handler({ port: 1 });

const client = await connect(server, {
  timeoutMs: 1000,
  onElicit: (request) => (request.mode === "url" ? { action: "cancel" } : { action: "accept", content: { fields: request.requestedSchema.required } }),
  // @ts-expect-error: a sample has a model
  onSample: async () => ({ role: "assistant", content: { type: "text", text: "x" } }),
  roots: [{ uri: "file:///x" }],
  logLevel: "info",
});
for await (const change of client.listen({ tools: true })) {
  const uri: string | undefined = change.event === "resource_updated" ? change.uri : undefined;
  console.log(uri);
}
const { structuredContent } = await client.callTool<{ sum: number }>("typed", { a: 1 });
export const sum: number | undefined = structuredContent?.sum;
for await (const { name, inputSchema } of client.listTools()) console.log(name.length, inputSchema["type"]);
const tools = await client.listTools();
export const names: string[] = tools.map(({ name }) => name);
client.on("log", ({ level }) => console.log(level));
// @ts-expect-error: no such event
client.on("nothing", () => {});
// @ts-expect-error: a number is no target
await connect(42);

const url = "https://mcp.example.com/mcp";
await connect(url, { auth: { clientName: "types", store: "credentials" } });
await connect(url, {
  auth: { redirectUri: url, redirect: async (page, { signal }) => (signal.aborted ? "" : page), store: new MemoryStore() },
});
await connect(url, { auth: { grant: "client_credentials", clientId: "me", signingKey: "pem", addresses: "private" } });
// @ts-expect-error: a program for itself is known by an id
await connect(url, { auth: { grant: "client_credentials", clientSecret: "x" } });
// @ts-expect-error: nothing is asserted
await connect(url, { auth: { grant: "jwt_bearer", clientId: "me" } });
// @ts-expect-error: misspelt
await connect(url, { auth: { clientname: "types" } });
// @ts-expect-error: half a store
await connect(url, { auth: { store: { load: () => null } } });

const guarded = new Server({
  name: "guarded",
  version: "1",
  taskTtlMs: null,
  auth: {
    jwt: { issuer: "https://as.example" },
    dpop: "required",
    verify: async (token, { signal }) => (signal.aborted || token === "" ? null : { sub: token }),
  },
});
guarded.tool("job", { task: "required", resumable: true, visibleTo: Visibility.scope("a", "b"), scopes: ["a"] }, async (_, ctx) => {
  const subject: string = ctx.claims?.["sub"] ?? "nobody";
  await ctx.checkpoint({ subject });
  return `${ctx.task?.run} ${ctx.principal} ${ctx.lastCheckpoint}`;
});
// @ts-expect-error: no such way
guarded.tool("never", { task: "perhaps" }, () => "");
// @ts-expect-error: no such predicate
guarded.resource("x://y", { name: "y", visibleTo: { colour: "red" } }, () => "");
// @ts-expect-error: an issuer has a name
new Server({ name: "guarded", version: "1", auth: { jwt: {} } });
const started = await client.startTask<{ sum: number }>("typed", { a: 1 }, { taskTtlMs: 1000 });
for await (const { status, inputRequests } of started.updates()) {
  // @ts-expect-error: no such status
  if (status === "lost") break;
  for (const key of Object.keys(inputRequests ?? {})) await started.answer(key, { action: "accept", content: { x: 1 } });
}
export const total: number | undefined = (await started.result()).structuredContent?.sum;
export const ids: string[] = (await client.listTasks()).map(({ taskId }) => taskId);
// @ts-expect-error: that is what startTask is for
await client.callTool("typed", {}, { task: true });
