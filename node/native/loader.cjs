"use strict";
// Finds and loads the native module; shared by the ESM and the CommonJS build.

const { existsSync } = require("node:fs");
const { join, resolve, toNamespacedPath } = require("node:path");

let loaded;

/** The name of this platform's module, as in `trunnion.<platform>.node` and `@trunnion/<platform>`. */
function platform() {
  const { platform, arch } = process;
  if (platform === "linux") return `linux-${arch}-${isMusl() ? "musl" : "gnu"}`;
  if (platform === "win32") return `win32-${arch}-msvc`;
  return `${platform}-${arch}`;
}

function isMusl() {
  const report = typeof process.report?.getReport === "function" ? process.report.getReport() : undefined;
  const header = typeof report === "string" ? JSON.parse(report).header : report?.header;
  return header !== undefined && !header.glibcVersionRuntime;
}

/**
 * Load the native module: the file named by TRUNNION_NATIVE, else the one beside this file, else the package
 * `@trunnion/<platform>`.
 */
function load() {
  if (loaded) return loaded;
  const override = process.env.TRUNNION_NATIVE;
  if (override) return (loaded = open(resolve(override), "named by the environment variable TRUNNION_NATIVE"));

  // The report that tells the C library apart is slow: first try what needs no telling.
  const here = (name) => join(__dirname, `trunnion.${name}.node`);
  if (process.platform === "linux" && existsSync(here(`linux-${process.arch}-gnu`))) {
    return (loaded = open(here(`linux-${process.arch}-gnu`), "built beside the package"));
  }
  const name = platform();
  if (existsSync(here(name))) return (loaded = open(here(name), "built beside the package"));

  let found;
  try {
    found = require.resolve(`@trunnion/${name}`);
  } catch {
    throw new Error(
      `trunnion: the native module for ${name} is missing. Looked for the package @trunnion/${name} and for the ` +
        `file ${here(name)}. If the platform is supported, install again without omitting optional dependencies ` +
        `(npm install --include=optional). In a clone of the repository run "npm run build:native" in node/. ` +
        `Or set TRUNNION_NATIVE to the file's path.`,
    );
  }
  return (loaded = open(found, `from the package @trunnion/${name}`));
}

function open(file, whence) {
  try {
    if (file.endsWith(".node")) return require(file);
    // `require` would read it as JavaScript: a build of cargo ends in .so, .dylib or .dll.
    const library = { exports: {} };
    process.dlopen(library, toNamespacedPath(file));
    return library.exports;
  } catch (cause) {
    const gone = existsSync(file) ? "cannot be loaded" : "does not exist";
    throw new Error(`trunnion: the native module ${file} (${whence}) ${gone}: ${cause.message}`, { cause });
  }
}

module.exports = { load, platform };
