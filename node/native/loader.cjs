"use strict";
// Finds and loads the native module; shared by the ESM and the CommonJS build.

const { existsSync, readFileSync, readdirSync } = require("node:fs");
const { dirname, join, resolve, toNamespacedPath } = require("node:path");

let loaded;

/** The name of this platform's module, as in `trunnion.<platform>.node` and `@trunnion/<platform>`. */
function platform() {
  const { platform, arch } = process;
  if (platform === "linux") return `linux-${arch}-${isMusl() ? "musl" : "gnu"}`;
  if (platform === "win32") return `win32-${arch}-msvc`;
  return `${platform}-${arch}`;
}

/** The version of the GNU C library of this process; undefined without it. */
function glibc() {
  const report = typeof process.report?.getReport === "function" ? process.report.getReport() : undefined;
  const header = typeof report === "string" ? JSON.parse(report).header : report?.header;
  return header === undefined ? "unknown" : header.glibcVersionRuntime;
}

function isMusl() {
  return glibc() === undefined;
}

/**
 * Loads the native module: the file named by TRUNNION_NATIVE, else the one beside this file, else the package
 * `@trunnion/<platform>`.
 */
function load() {
  if (loaded) return loaded;
  const override = process.env.TRUNNION_NATIVE;
  if (override) return (loaded = open(resolve(override), "named by the environment variable TRUNNION_NATIVE"));

  // The report that identifies the C library is slow: first try names that do not need it.
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
    throw new Error(missing(name, here(name)));
  }
  const [own, theirs] = [manifest(dirname(__dirname)), manifest(dirname(found))];
  if (own.version !== theirs.version) {
    throw new Error(
      `trunnion ${own.version} found @trunnion/${name} ${theirs.version} in ${dirname(found)}: both must have the same ` +
        `version. Install again (npm install trunnion@${own.version} --include=optional); if the lock file holds the ` +
        `other version, remove @trunnion/${name} from it.`,
    );
  }
  return (loaded = open(found, `from the package @trunnion/${name}`));
}

function manifest(folder) {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
}

/**
 * The message for a missing native module: the expected files, the files that exist instead, and the remedy.
 */
function missing(name, beside) {
  const said = [
    `trunnion: the native module for ${name} is missing. Looked for the package @trunnion/${name} and for the file ${beside}.`,
  ];
  // The names in the published package; a clone has none.
  const supported = Object.keys(manifest(dirname(__dirname)).optionalDependencies ?? {});
  const others = neighbours();
  if (others.length > 0) {
    said.push(
      `Found ${others.join(" and ")}, for another platform: node_modules was installed by another system or another ` +
        `build of Node. Install again with this Node (${process.platform} ${process.arch}, ${process.execPath}).`,
    );
  } else if (supported.length > 0 && !supported.includes(`@trunnion/${name}`)) {
    const names = supported.map((known) => known.slice("@trunnion/".length));
    said.push(
      `There are packages for ${names.join(", ")}. For another platform build the module from the repository ` +
        `(npm run build:native in node/, which needs Rust) and set TRUNNION_NATIVE to its file.`,
    );
    return said.join(" ");
  } else {
    said.push(`Install again without omitting optional dependencies (npm install --include=optional).`);
  }
  said.push(`In a clone of the repository run "npm run build:native" in node/. Or set TRUNNION_NATIVE to the file's path.`);
  return said.join(" ");
}

/** The platform packages that are installed, with their folders. */
function neighbours() {
  const found = [];
  for (const folder of module.paths) {
    const scope = join(folder, "@trunnion");
    if (!existsSync(scope)) continue;
    for (const name of readdirSync(scope)) found.push(`@trunnion/${name} (${join(scope, name)})`);
  }
  return found;
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
    const cure = explain(cause.message);
    throw new Error(`trunnion: the native module ${file} (${whence}) ${gone}: ${cause.message}${cure}`, { cause });
  }
}

/** The meaning of the system loader's own messages. */
function explain(message) {
  const wanted = /version [`'"]GLIBC_([\d.]+)['"] not found/.exec(message)?.[1];
  if (wanted !== undefined) {
    return (
      `. The module wants the GNU C library ${wanted} or later, and this system has ${glibc()}: use a newer system, or ` +
      `build the module on this one (npm run build:native in the repository's node/).`
    );
  }
  if (/invalid ELF header|wrong ELF class|file too short|incompatible architecture|not a mach-o file|not a valid Win32/.test(message)) {
    return (
      `. It is damaged, or was built for another platform than this Node (${process.platform} ${process.arch}, ` +
      `${process.execPath}): install again with this Node.`
    );
  }
  return "";
}

module.exports = { load, platform };
