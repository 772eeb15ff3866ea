// Before `npm pack` and `npm publish`: a package without the engine, or without its own code, is of no use to anybody.
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const node = dirname(dirname(fileURLToPath(import.meta.url)));
const missing = [];
if (!readdirSync(join(node, "native")).some((file) => /^trunnion\..*\.node$/.test(file))) {
  missing.push("the native module (native/trunnion.<platform>.node): run  npm run build:native -- --release");
}
if (!["esm", "cjs"].every((folder) => existsSync(join(node, folder, "index.js")))) {
  missing.push("the compiled code (esm/ and cjs/): run  npm run build:ts");
}
for (const what of missing) console.error(`trunnion: cannot be packed without ${what}`);
process.exitCode = missing.length === 0 ? 0 : 1;
