// Errors of the loader when the native module is missing, of another version, or made for another system.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

const source = join(dirname(dirname(fileURLToPath(import.meta.url))), "native", "loader.cjs");
const name = createRequire(import.meta.url)(source).platform();
let root;
let loader;

before(() => {
  root = mkdtempSync(join(tmpdir(), "trunnion-loader-"));
  const folder = join(root, "node_modules", "trunnion");
  mkdirSync(join(folder, "native"), { recursive: true });
  loader = join(folder, "native", "loader.cjs");
  copyFileSync(source, loader);
  const optionalDependencies = { [`@trunnion/${name}`]: "1.2.3", "@trunnion/plan9-mips": "1.2.3" };
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "trunnion", version: "1.2.3", optionalDependencies }));
});
after(() => rmSync(root, { recursive: true, force: true }));

/** Put a platform package beside the main one; it goes after `run`. */
function withPackage(platform, version, content, run) {
  const folder = join(root, "node_modules", "@trunnion", platform);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: `@trunnion/${platform}`, version, main: "x.node" }));
  writeFileSync(join(folder, "x.node"), content);
  try {
    return run(folder);
  } finally {
    rmSync(join(root, "node_modules", "@trunnion"), { recursive: true });
  }
}

function load(prelude = "", env = {}) {
  const code = `${prelude}; require(${JSON.stringify(loader)}).load();`;
  const options = { encoding: "utf8", env: { ...process.env, TRUNNION_NATIVE: "", ...env } };
  const { status, stderr } = spawnSync(process.execPath, ["-e", code], options);
  assert.equal(status, 1, stderr);
  return stderr;
}

test("a missing platform package is named with the cure", () => {
  const error = load();
  assert.match(error, new RegExp(`Looked for the package @trunnion/${name} and for the file .*trunnion\\.${name}\\.node`));
  assert.match(error, /npm install --include=optional/);
});

test("unsupported platform is named, with the supported ones", () => {
  const error = load('Object.defineProperty(process, "platform", { value: "sunos" })');
  assert.match(error, /the native module for sunos-/);
  assert.match(error, new RegExp(`There are packages for ${name}, plan9-mips`));
  assert.match(error, /build:native .*TRUNNION_NATIVE/);
});

test("a platform package of another system is named", () => {
  withPackage("plan9-mips", "1.2.3", "", (folder) => {
    const error = load();
    assert.ok(error.includes(`Found @trunnion/plan9-mips (${folder}), for another platform`), error);
    assert.ok(error.includes(`Install again with this Node (${process.platform} ${process.arch}`), error);
  });
});

test("a platform package of another version is refused", () => {
  withPackage(name, "1.2.4", "", (folder) => {
    const error = load();
    assert.ok(error.includes(`trunnion 1.2.3 found @trunnion/${name} 1.2.4 in ${folder}`), error);
    assert.match(error, /npm install trunnion@1\.2\.3/);
  });
});

test("a module that is not for this system is named", { skip: process.platform === "win32" }, () => {
  withPackage(name, "1.2.3", "MZ of another system", (folder) => {
    const error = load();
    assert.ok(error.includes(join(folder, "x.node")), error);
    assert.match(error, /damaged, or was built for another platform than this Node .*: install again with this Node/);
  });
});

test("an older C library than the module wants is named", () => {
  withPackage(name, "1.2.3", "", () => {
    const message = "/lib/libc.so.6: version `GLIBC_2.99' not found (required by x.node)";
    const prelude = `require("node:module")._extensions[".node"] = () => { throw new Error(${JSON.stringify(message)}) }`;
    const error = load(prelude);
    assert.match(error, /wants the GNU C library 2\.99 or later, and this system has/);
    assert.match(error, /build:native/);
  });
});
