// Builds the native module with cargo and puts it where the loader looks.
// Usage: node scripts/native.mjs [--release]
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, renameSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const node = dirname(dirname(fileURLToPath(import.meta.url)));
const root = dirname(node);
const { platform } = createRequire(import.meta.url)("../native/loader.cjs");

const release = process.argv.includes("--release");
const build = ["build", "--package", "trunnion-node", "--message-format", "json-render-diagnostics"];
const messages = execFileSync("cargo", release ? [...build, "--release"] : build, {
  cwd: root,
  encoding: "utf8",
  maxBuffer: 1 << 28,
  stdio: ["ignore", "pipe", "inherit"],
});
const library = messages
  .split("\n")
  .filter((line) => line.startsWith("{"))
  .map((line) => JSON.parse(line))
  .filter((message) => message.reason === "compiler-artifact" && message.target.name === "trunnion_node")
  .flatMap((message) => message.filenames)
  .find((file) => /\.(so|dylib|dll)$/.test(file));
if (library === undefined) throw new Error("cargo built no library for trunnion-node");

const target = join(node, "native", `trunnion.${platform()}.node`);
mkdirSync(dirname(target), { recursive: true });
// A new file, then a rename: overwriting a library that a running process has mapped would crash it.
copyFileSync(library, `${target}.new`);
renameSync(`${target}.new`, target);
console.error(`${target}`);
