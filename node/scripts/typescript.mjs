// Compiles src/ twice: esm/ and cjs/.
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const node = dirname(dirname(fileURLToPath(import.meta.url)));
const typescript = dirname(createRequire(import.meta.url).resolve("typescript/package.json"));

for (const [format, type] of [["esm", "module"], ["cjs", "commonjs"]]) {
  mkdirSync(join(node, format), { recursive: true });
  // Tells both the compiler and Node which of the two formats the folder holds.
  writeFileSync(join(node, format, "package.json"), `${JSON.stringify({ type })}\n`);
  execFileSync(process.execPath, [join(typescript, "bin", "tsc"), "-p", join(node, `tsconfig.${format}.json`)], {
    stdio: "inherit",
  });
}
