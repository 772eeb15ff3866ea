// Model types against tests/vectors/models.json, and against the official examples if MCP_SPEC_DIR has them.
// Unknown members pass through unchanged.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Engine, PromptResult, ReadResult, ToolResult } from "trunnion";
import { withPair } from "./helpers.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const { models } = JSON.parse(readFileSync(join(here, "../../tests/vectors/models.json"), "utf8"));
const specification = process.env.MCP_SPEC_DIR;

/** Official names and those of the SDK, where they differ. */
const OWN = {
  BlobResourceContents: "ResourceContents",
  BooleanSchema: "BooleanField",
  CreateMessageRequestParams: "CreateMessageRequest",
  ElicitRequestFormParams: "ElicitForm",
  ElicitRequestParams: "ElicitRequest",
  ElicitRequestURLParams: "ElicitUrl",
  LegacyTitledEnumSchema: "NamedChoiceField",
  NumberSchema: "NumberField",
  PrimitiveSchemaDefinition: "FormField",
  StringSchema: "TextField",
  TextResourceContents: "ResourceContents",
  TitledMultiSelectEnumSchema: "TitledChoicesField",
  TitledSingleSelectEnumSchema: "TitledChoiceField",
  UntitledMultiSelectEnumSchema: "ChoicesField",
  UntitledSingleSelectEnumSchema: "ChoiceField",
};

/** The types of unknown objects are not part of TypeScript's unions, so that one can switch over these. */
const KNOWN = /"type":"(video|object)"|"mode":"voice"|^{"(later|type":"text","words)"/;

const declared = (name) => OWN[name] ?? name;

function check(lines) {
  const folder = mkdtempSync(join(here, "typescript/models-"));
  try {
    const head = `import type * as t from "trunnion";\ndeclare function fits<T>(): <V extends T>(value: V) => void;\n`;
    writeFileSync(join(folder, "models.ts"), head + lines.join("\n"));
    const config = { extends: "../../../tsconfig.json", compilerOptions: { rootDir: "." }, include: ["models.ts"] };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
    const typescript = dirname(createRequire(import.meta.url).resolve("typescript/package.json"));
    execFileSync(process.execPath, [join(typescript, "bin/tsc"), "-p", folder], { encoding: "utf8" });
    return "";
  } catch (error) {
    return error.stdout;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const line = (name, value) => `fits<t.${declared(name)}>()(${JSON.stringify(value)});`;

test("the types fit the vectors", { timeout: 120_000 }, () => {
  const lines = Object.entries(models).flatMap(([name, values]) =>
    values.filter((value) => !KNOWN.test(JSON.stringify(value))).map((value) => line(name, value)),
  );
  assert.ok(lines.length > 40, `only ${lines.length} vectors`);
  assert.equal(check(lines), "");
});

test("what does not fit is refused", { timeout: 120_000 }, () => {
  const wrong = [
    line("Tool", { name: "t" }),
    line("ContentBlock", { type: "image", data: "AA==" }),
    line("ElicitResult", { action: "perhaps" }),
    line("CreateMessageRequestParams", { messages: [{ role: "system", content: [] }], maxTokens: 1 }),
    line("PrimitiveSchemaDefinition", { type: "object" }),
  ];
  assert.equal(check(wrong).match(/error TS/g)?.length, wrong.length);
});

test("the types fit the official examples", { skip: !specification && "MCP_SPEC_DIR is not set", timeout: 120_000 }, () => {
  const folder = join(specification, "2026-07-28/examples");
  const extra = ["BlobResourceContents", "TextResourceContents"];
  const lines = readdirSync(folder)
    .filter((name) => name in models || extra.includes(name))
    .flatMap((name) =>
      readdirSync(join(folder, name)).map((file) => line(name, JSON.parse(readFileSync(join(folder, name, file), "utf8")))),
    );
  assert.ok(lines.length > 20, `only ${lines.length} examples`);
  assert.equal(check(lines), "");
});

test("results keep what is not known", async () => {
  const engine = new Engine();
  try {
    const [tool] = models.CallToolResult;
    const [read] = models.ReadResourceResult;
    const [prompt] = models.GetPromptResult;
    const define = (server) => {
      server.tool("t", {}, () => new ToolResult(tool));
      server.resource("test://r", { name: "r" }, () => new ReadResult(read));
      server.prompt("p", {}, () => new PromptResult(prompt));
    };
    await withPair(engine, "memory", define, async (client) => {
      assert.deepEqual((await client.callTool("t")).content, tool.content);
      assert.deepEqual((await client.readResource("test://r")).contents, read.contents);
      assert.deepEqual((await client.getPrompt("p")).messages, prompt.messages);
    });
  } finally {
    engine.close();
  }
});
