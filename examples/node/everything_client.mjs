// A client that uses one of everything of an everything server and prints the results as one line of JSON.
// Usage: everything_client.mjs URL | "stdio:COMMAND LINE"
import { connect, McpError } from "trunnion";

const target = process.argv.at(-1);
const context = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT || "{}");

try {
  const scenario = process.env.MCP_CONFORMANCE_SCENARIO;
  const client = await connect(target.startsWith("stdio:") ? target.slice(6).split(" ") : target, {
    clientInfo: { name: "everything-client-node", version: "1.0.0" },
    era: process.env.MCP_INTEROP_ERA,
    revision: process.env.MCP_INTEROP_REVISION,
    transport: process.env.MCP_INTEROP_TRANSPORT,
    ...(scenario === undefined ? {} : answers()),
    ...(scenario?.startsWith("auth/") ? { auth: authOf(scenario) } : {}),
  });
  if (scenario === undefined) console.log(JSON.stringify(await tour(client)));
  else await conformance(client, scenario);
  await client.close();
} catch (error) {
  console.error(error);
  process.exitCode = 1;
}

/** Answers to whatever a server asks. What a form leaves open gets its defaults. */
function answers() {
  return {
    onElicit: () => ({ action: "accept", content: {} }),
    onSample: () => ({
      role: "assistant",
      content: { type: "text", text: "This is a test response." },
      model: "test-model",
      stopReason: "endTurn",
    }),
    roots: [{ uri: "file:///workspace", name: "workspace" }],
  };
}

/** The authorization for the server of a scenario, as its users would configure it. */
function authOf(scenario) {
  const user = {
    redirectUri: "http://localhost:3000/callback",
    // The suite's user agrees at once: its page is a redirect to the callback.
    redirect: async (page) => (await fetch(page, { redirect: "manual" })).headers.get("location"),
  };
  const client = { clientId: context.client_id, clientSecret: context.client_secret };
  // The suite says of few clients where they belong, and runs servers of its own.
  const trustFirstIssuer = true;
  switch (scenario) {
    case "auth/client-credentials-basic":
      return { grant: "client_credentials", ...client, trustFirstIssuer };
    case "auth/client-credentials-jwt":
      return { grant: "client_credentials", clientId: context.client_id, signingKey: context.private_key_pem, trustFirstIssuer };
    case "auth/wif-jwt-bearer":
      return { grant: "jwt_bearer", clientId: context.client_id, assertion: context.valid_jwt, trustFirstIssuer };
    case "auth/enterprise-managed-authorization":
      return {
        grant: "enterprise",
        ...client,
        trustFirstIssuer,
        enterprise: {
          tokenEndpoint: context.idp_token_endpoint,
          issuer: context.idp_issuer,
          clientId: context.idp_client_id,
          subject: context.idp_id_token,
        },
      };
    case "auth/pre-registration":
      return { ...user, ...client, ...(context.issuer ? { issuer: context.issuer } : { trustFirstIssuer }) };
    case "auth/dpop":
    case "auth/dpop-nonce":
      return { ...user, dpop: true };
    default:
      return { ...user, clientMetadataUrl: "https://conformance-test.local/client-metadata.json" };
  }
}

async function tour(client) {
  const names = new Set((await client.listTools()).map(({ name }) => name));
  const added = await client.callTool("add", { a: 2, b: 3 });
  const progress = [];
  const slow = await client.callTool(
    "slow",
    { steps: 3, delayMs: 5 },
    { onProgress: (report) => progress.push(report.progress) },
  );
  const prompt = await client.getPrompt("test_prompt_with_arguments", { arg1: "hello", arg2: "world" });
  const completion = await client.complete({ prompt: "test_prompt_with_arguments" }, { name: "arg1", value: "pa" });
  return {
    revision: client.server.revision,
    tools: ["add", "echo", "slow", "fail"].every((name) => names.has(name)),
    // Before 2025-06-18 there is only the text.
    sum: (added.structuredContent ?? JSON.parse(added.text)).sum,
    echo: (await client.callTool("echo", { text: 'héllo ✓ 😀\n"q"' })).text,
    progress,
    slow: slow.text,
    fail: await failure(client.callTool("fail", { message: "boom" }), (result) => result.text),
    unknown: await failure(client.callTool("nope")),
    invalid: await failure(client.callTool("add", { a: "x" })),
    cancel: await cancelled(client),
    resource: (await client.readResource("test://static-text")).text,
    template: (await client.readResource("test://template/42/data")).text,
    prompt: prompt.text,
    completion: completion.values,
    after: (await client.callTool("echo", { text: "still here" })).text,
  };
}

/** The code of an error, or what `describe` says of a result that is one. */
async function failure(call, describe = () => "isError") {
  try {
    const result = await call;
    return result.isError ? describe(result) : "no error";
  } catch (error) {
    if (error instanceof McpError) return error.code;
    throw error;
  }
}

/** Cancel a long call as soon as it has reported progress. */
async function cancelled(client) {
  const controller = new AbortController();
  try {
    await client.callTool(
      "slow",
      { steps: 100000, delayMs: 1 },
      { signal: controller.signal, onProgress: () => controller.abort() },
    );
    return "finished";
  } catch (error) {
    if (error instanceof McpError) return error.kind;
    throw error;
  }
}

/** Plays a scenario of the conformance suite. */
async function conformance(client, scenario) {
  const tools = await client.listTools();
  const calls = [];
  if (scenario === "tools_call") {
    calls.push(["add_numbers", { a: 5, b: 3 }]);
  } else if (scenario.startsWith("auth/")) {
    calls.push(...tools.slice(0, 1).map((tool) => [tool.name, {}]));
  } else if (scenario === "http-custom-headers") {
    calls.push(...context.toolCalls.map((call) => [call.name, call.arguments]));
  } else if (scenario === "http-invalid-tool-headers") {
    calls.push(...tools.map((tool) => [tool.name, {}]));
  } else if (scenario === "json-schema-2020-12-preservation") {
    const { inputSchema } = tools.find((tool) => tool.name === "json_schema_2020_12_tool");
    calls.push(["json_schema_echo", { schema: inputSchema }]);
  } else if (scenario === "http-standard-headers") {
    calls.push(...tools.map((tool) => [tool.name, {}]));
    for (const { uri } of await client.listResources()) await client.readResource(uri);
    for (const { name } of await client.listPrompts()) await client.getPrompt(name);
  } else if (scenario === "elicitation-sep1034-client-defaults") {
    calls.push(["test_client_elicitation_defaults", {}]);
  } else if (scenario === "sse-retry") {
    calls.push(["test_reconnection", {}]);
  } else if (scenario === "sep-2322-client-request-state") {
    const names = ["test_mrtr_echo_state", "test_mrtr_unrelated", "test_mrtr_no_state", "test_mrtr_no_result_type"];
    calls.push(...names.map((name) => [name, {}]));
  } else if (!["initialize", "request-metadata", "json-schema-ref-no-deref"].includes(scenario)) {
    throw new Error(`unknown scenario ${scenario}`);
  }
  for (const [name, args] of calls) await client.callTool(name, args);
}
