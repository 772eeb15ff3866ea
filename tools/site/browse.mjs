// A browser check of the built site: browse.mjs SITE SHOTS BROWSER
//
// Every page of the site itself, and the first page of each API reference, is opened at desktop and at phone
// width; pages of source files and of Swift types at phone width only. A page must not scroll sideways, must not
// write an error to the console, must not request anything that fails or lies elsewhere, and its navigation must
// be reachable. Screenshots of some pages go into SHOTS.
import { createReadStream, existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize, relative } from "node:path";

import { chromium } from "playwright-core";

const [site, shots, executablePath] = process.argv.slice(2);
const TYPES = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".json": "application/json",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
};
const REFERENCES = [
  "api/rust/trunnion/index.html",
  "api/python/trunnion.html",
  "api/typescript/index.html",
  "api/typescript/classes/Server.html",
  "api/c/index.html",
  "api/c/trunnion_8h.html",
];
const SHOTS = new Map([
  ["", "start"],
  ["docs/python/", "guide"],
  ["docs/features/", "features"],
  ["docs/adr/0012-shared-sessions/", "decision"],
  ["api/", "api"],
  ["api/swift/Server/", "api-swift"],
  ["api/rust/trunnion/index.html", "api-rust"],
  ["api/python/trunnion.html", "api-python"],
  ["api/typescript/classes/Server.html", "api-typescript"],
  ["api/c/trunnion_8h.html", "api-c"],
]);
const SIZES = { desktop: { width: 1280, height: 900 }, phone: { width: 390, height: 844 } };

/** Serves the files of a folder; an address that ends in a slash is its `index.html`. */
function serve(folder) {
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
    let file = join(folder, normalize(path));
    if (existsSync(file) && statSync(file).isDirectory()) file = join(file, "index.html");
    // Browsers ask the host for it where a page names no icon.
    if (path === "/favicon.ico") return response.writeHead(204).end();
    if (!existsSync(file)) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" });
    createReadStream(file).pipe(response);
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

/** The addresses of the site's own pages, without those of the references that other programs wrote. */
function pages(folder, at = "") {
  const found = existsSync(join(folder, at, "index.html")) ? [at] : [];
  for (const entry of readdirSync(join(folder, at), { withFileTypes: true })) {
    const path = `${at}${entry.name}/`;
    if (entry.isDirectory() && !/^(assets|search|api\/(rust|python|typescript|c))\/$/.test(path)) {
      found.push(...pages(folder, path));
    }
  }
  return found;
}

/** Faults of one page at one width. */
async function faults(page, origin, address) {
  const found = [];
  const heard = {
    console: (message) => message.type() === "error" && found.push(`console: ${message.text()}`),
    pageerror: (error) => found.push(`exception: ${error.message}`),
    // Those that the browser gave up because the next page was opened did not fail.
    requestfailed: (request) =>
      request.failure()?.errorText !== "net::ERR_ABORTED" &&
      found.push(`failed request: ${request.url()} ${request.failure()?.errorText}`),
    response: (response) => response.status() >= 400 && found.push(`${response.status()}: ${response.url()}`),
    request: (request) =>
      /^https?:/.test(request.url()) &&
      !request.url().startsWith(`${origin}/`) &&
      found.push(`request to another site: ${request.url()}`),
  };
  for (const [event, listener] of Object.entries(heard)) page.on(event, listener);
  try {
    await page.goto(`${origin}/${address}`, { waitUntil: "load" });
    await page.evaluate(() => document.fonts.ready);
    // A page that can be scrolled sideways keeps the offset that it was given; a phone may show it smaller instead.
    const [offset, widest] = await page.evaluate((width) => {
      window.scrollTo({ left: 10_000, behavior: "instant" });
      const offset = Math.max(window.scrollX, window.innerWidth - width);
      window.scrollTo({ left: 0, behavior: "instant" });
      const right = (element) => element.getBoundingClientRect().right;
      const all = [...document.querySelectorAll("body *")];
      const widest = all.reduce((most, element) => (right(element) > right(most) ? element : most), document.body);
      return [offset, `${widest.tagName.toLowerCase()}.${widest.className}: ${widest.textContent.slice(0, 60)}`];
    }, page.viewportSize().width);
    if (offset > 0) found.push(`scrolls sideways by ${offset} px; the widest element is ${widest}`);
  } catch (error) {
    found.push(String(error));
  } finally {
    for (const [event, listener] of Object.entries(heard)) page.off(event, listener);
  }
  return found;
}

/** Goes from the start page to a guide by the navigation alone, as a person at this width would. */
async function walkNavigation(page, origin, phone) {
  await page.goto(`${origin}/`, { waitUntil: "load" });
  if (phone) {
    await page.locator("label.md-header__button[for=__drawer]").click();
    const drawer = page.locator(".md-sidebar--primary");
    await drawer.locator("label.md-nav__link:visible", { hasText: "Guides" }).first().click();
    await drawer.locator("a.md-nav__link:visible", { hasText: /^\s*Python\s*$/ }).first().click();
  } else {
    await page.locator(".md-tabs a", { hasText: "Guides" }).click();
    await page.waitForURL("**/docs/rust/");
    await page.locator(".md-sidebar--primary a.md-nav__link:visible", { hasText: /^\s*Python\s*$/ }).first().click();
  }
  await page.waitForURL("**/docs/python/");
  await page.locator("h1", { hasText: "Python" }).waitFor();
}

/** Finds a page by the search box. */
async function search(page, origin) {
  await page.goto(`${origin}/`, { waitUntil: "load" });
  await page.locator("label[for=__search]:visible").or(page.locator("input.md-search__input:visible")).first().click();
  // Until its index is there, the box says that it is not ready.
  await page.locator(".md-search-result__meta", { hasText: "Type to start" }).waitFor();
  await page.locator("input.md-search__input").pressSequentially("elicitation");
  await page.locator(".md-search-result__item a").first().waitFor();
}

const server = await serve(site);
const origin = `http://127.0.0.1:${server.address().port}`;
const browser = await chromium.launch({
  executablePath,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
mkdirSync(shots, { recursive: true });
const addresses = [...pages(site), ...REFERENCES];
let [passed, failed] = [0, 0];
const report = (name, found) => {
  for (const fault of found) console.log(`${name}: ${fault}`);
  found.length === 0 ? passed++ : failed++;
};
for (const address of SHOTS.keys()) {
  if (!addresses.includes(address)) report(address, ["there is no such page to take a screenshot of"]);
}
for (const [size, viewport] of Object.entries(SIZES)) {
  const phone = size === "phone";
  const context = await browser.newContext({ viewport, hasTouch: phone, isMobile: phone });
  const page = await context.newPage();
  // Pages that one template makes of many files are opened where they have the least room.
  const opened = (address) => phone || SHOTS.has(address) || !/^(source|api\/swift)\/./.test(address);
  for (const address of addresses.filter(opened)) {
    report(`${size} /${address}`, await faults(page, origin, address));
    const name = SHOTS.get(address);
    if (name) await page.screenshot({ path: join(shots, `${name}-${size}.png`) });
  }
  const walks = { navigation: () => walkNavigation(page, origin, phone), search: () => search(page, origin) };
  for (const [name, walk] of Object.entries(walks)) {
    report(`${size} ${name}`, await walk().then(() => [], (error) => [String(error)]));
    await page.screenshot({ path: join(shots, `${name}-${size}.png`) });
  }
  await context.close();
}
await browser.close();
server.close();
console.log(`screenshots in ${relative(process.cwd(), shots) || "."}`);
console.log(`site: ${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
