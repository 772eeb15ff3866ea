// An npm registry of the packages in a folder, on the loopback address: registry.mjs FOLDER. Its URL is the
// first line of its output. Packages outside the folder do not exist.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";

const folder = process.argv[2];

/** The manifest in a package, which is a tar archive. */
function manifest(archive) {
  const bytes = gunzipSync(archive);
  for (let at = 0; at < bytes.length; ) {
    const text = (from, length) => bytes.toString("utf8", at + from, at + from + length).replace(/\0.*$/s, "");
    const size = parseInt(text(124, 12), 8) || 0;
    if (text(0, 100) === "package/package.json") return JSON.parse(bytes.toString("utf8", at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  throw new Error("a package without package.json");
}

const packages = new Map();
for (const file of readdirSync(folder).filter((file) => file.endsWith(".tgz"))) {
  const archive = readFileSync(join(folder, file));
  packages.set(manifest(archive).name, { file, archive, manifest: manifest(archive) });
}

const registry = createServer((request, response) => {
  const path = decodeURIComponent(new URL(request.url, "http://localhost").pathname).slice(1);
  const file = [...packages.values()].find((known) => path === `-/${known.file}`);
  if (file) return response.end(file.archive);
  const known = packages.get(path);
  if (!known) return response.writeHead(404).end("{}");
  const { version } = known.manifest;
  const integrity = `sha512-${createHash("sha512").update(known.archive).digest("base64")}`;
  const dist = { tarball: `http://${request.headers.host}/-/${known.file}`, integrity };
  response.setHeader("content-type", "application/json");
  response.end(
    JSON.stringify({
      name: path,
      "dist-tags": { latest: version },
      versions: { [version]: { ...known.manifest, dist } },
    }),
  );
});
registry.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${registry.address().port}/`));
