// In a clone: lets the examples import `trunnion` as an installed package.
import { existsSync, mkdirSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const node = dirname(dirname(fileURLToPath(import.meta.url)));
const examples = join(dirname(node), "examples", "node");
if (existsSync(examples)) {
  const link = join(examples, "node_modules", "trunnion");
  mkdirSync(dirname(link), { recursive: true });
  rmSync(link, { recursive: true, force: true });
  symlinkSync(node, link, "junction");
}
