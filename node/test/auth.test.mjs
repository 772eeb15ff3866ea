// Clients that sign in, against an authorization server of the tests (core/engine/examples/auth_world.rs).
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { inspect } from "node:util";
import { CancelledError, connect, McpError, MemoryStore, UnauthorizedError, UsageError } from "trunnion";
import { deferred, ENGINES, title, withEngine, withWorld } from "./helpers.mjs";

const REDIRECT_URI = "http://localhost:3000/callback";
const SECRETS = ["acc3ss", "r3fresh", "c0de", "s3cret"];
// Made for these tests.
const P256 = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQghb/L5tuT1Pb4ZB99
jHw2dLBlFI5zKDUHqkBkHgIQ3R2hRANCAASDRg6E5mauEpZuYm55p5OczDccVT9Y
+Purw1W1NC6kAL6KA+bcdGqctLuGFrxW9d/ouvNmUGAjsDTcehrotnsP
-----END PRIVATE KEY-----
`;

/** The user agrees: the page is a redirect to the callback. */
const agree = async (page) => {
  const response = await fetch(page, { redirect: "manual", headers: { connection: "close" } });
  return response.headers.get("location");
};
const user = { redirectUri: REDIRECT_URI, redirect: agree };
const hello = async (client) => (await client.callTool("hello")).text;

for (const options of ENGINES) {
  describe(`signing in: ${title(options)}`, { timeout: 60_000 }, () => {
    const check = (name, body) =>
      test(name, () =>
        withEngine(options, (engine) =>
          withWorld((world) => body(world, (auth, more) => connect(world.mcp, { engine, auth, ...more }))),
        ),
      );

    check("the user agrees once", async (world, connected) => {
      const client = await connected({ ...user, clientName: "Shop assistant" });
      assert.equal(await hello(client), "hello");
      // More scopes are asked for when a call needs them.
      assert.equal((await client.callTool("admin")).text, "done");
      await client.close();
      const { pages, log } = await world.seen();
      assert.deepEqual(pages.map(({ scope, redirect_uri }) => [scope, redirect_uri]), [
        ["basic", REDIRECT_URI],
        ["basic admin", REDIRECT_URI],
      ]);
      assert.equal(log.filter((line) => line === "register").length, 1);
    });

    check("clients act for themselves", async (world, connected) => {
      const trustFirstIssuer = true;
      const me = { clientId: "me", clientSecret: "s3cret", trustFirstIssuer };
      for (const auth of [
        { grant: "client_credentials", ...me },
        { grant: "client_credentials", ...me, clientAuthMethod: "client_secret_post" },
        { grant: "client_credentials", clientId: "me", signingKey: P256, signingKeyId: "k1", trustFirstIssuer },
        { grant: "jwt_bearer", clientId: "me", assertion: "h.e.y", trustFirstIssuer },
      ]) {
        const client = await connected(auth);
        assert.equal(await hello(client), "hello");
        await client.close();
      }
      const [basic, post, signed, bearer] = (await world.seen()).forms;
      assert.equal(basic.basic, "me:s3cret");
      assert.equal(post.client_secret, "s3cret");
      assert.equal(signed.client_assertion.split(".").length, 3);
      assert.equal(bearer.assertion, "h.e.y");
    });

    check("files and stores are shared", async (world, connected) => {
      const folder = mkdtempSync(join(tmpdir(), "trunnion-"));
      const store = join(folder, "credentials");
      for (const kept of [store, new MemoryStore()]) {
        const clients = [await connected({ ...user, store: kept }), await connected({ ...user, store: kept })];
        const before = await world.granted("refresh_token");
        for (let round = 1; round <= 3; round++) {
          await world.change({ revoke: true });
          assert.deepEqual(await Promise.all(clients.map(hello)), ["hello", "hello"]);
          assert.equal((await world.granted("refresh_token")) - before, round, "one refresh for both");
        }
        await Promise.all(clients.map((client) => client.close()));
      }
      assert.equal((await world.seen()).pages.length, 2);
      for (const file of readdirSync(store)) assert.equal(statSync(join(store, file)).mode & 0o777, 0o600);
      rmSync(folder, { recursive: true });
    });

    check("clients that are given one object share its credentials", async (world, connected) => {
      const auth = { ...user };
      for (let round = 0; round < 2; round++) {
        const clients = await Promise.all([connected(auth), connected(auth)]);
        assert.deepEqual(await Promise.all(clients.map(hello)), ["hello", "hello"]);
        await Promise.all(clients.map((client) => client.close()));
      }
      assert.equal((await world.seen()).pages.length, 1);
      // Another object is another user, and a key of the connection's own cannot be shared.
      const own = { ...user, dpop: true };
      for (const given of [{ ...user }, own, own]) {
        const client = await connected(given);
        assert.equal(await hello(client), "hello");
        await client.close();
      }
      assert.equal((await world.seen()).pages.length, 4);
    });

    check("a store of one's own", async (world, connected) => {
      const kept = new Map();
      const store = {
        load: async (server) => (kept.has(server) ? JSON.parse(kept.get(server)) : undefined),
        swap: async (server, expected, record) => {
          const { version } = JSON.parse(kept.get(server) ?? '{"version":0}');
          if (version === expected) kept.set(server, JSON.stringify(record));
          return version === expected;
        },
      };
      for (let round = 0; round < 2; round++) {
        const client = await connected({ ...user, store });
        assert.equal(await hello(client), "hello");
        await client.close();
      }
      assert.equal((await world.seen()).pages.length, 1);
      assert.ok([...kept.keys()].includes(world.mcp) && kept.get(world.mcp).includes("acc3ss"));
    });

    check("why there is no way in", async (world, connected) => {
      const refused = async (auth, reason, told = []) => {
        const errors = [];
        const error = await connected(auth, { onError: (error) => errors.push(error.message) }).catch((error) => error);
        assert.ok(error instanceof UnauthorizedError, inspect(error));
        assert.equal(error.data.reason, reason);
        assert.deepEqual([...new Set(errors)], told);
        for (const secret of SECRETS) assert.ok(!inspect(error).includes(secret), inspect(error));
        return error.message;
      };
      const lost = () => {
        throw new Error("no display");
      };
      assert.match(await refused({ ...user, redirect: lost }, "redirect", ["no display"]), /no display/);
      const chosen = () => {
        throw new McpError("not now");
      };
      assert.match(await refused({ ...user, redirect: chosen }, "redirect"), /not now/);
      const mistaken = ["redirect gives the URL of the callback, not a number"];
      await refused({ ...user, redirect: () => 7 }, "redirect", mistaken);
      await refused({ ...user, redirect: () => new Promise(() => {}), userTimeoutMs: 1 }, "user_timeout");
      const locked = { load: () => Promise.reject(new Error("acc3ss")), swap: () => false };
      assert.match(await refused({ ...user, store: locked }, "store", ["acc3ss"]), /store failed/);
      await refused({ ...user, store: { load: () => "acc3ss", swap: () => true } }, "store");
      await world.change({ iss: "https://evil.example" });
      await refused(user, "wrong_iss");
      // Without a way in, the refusal is the error.
      await assert.rejects(connected(undefined), UnauthorizedError);
    });

    check("given up while the user decides", async (world, connected) => {
      const pages = [];
      const redirect = (page, { signal }) => {
        const over = deferred();
        signal.addEventListener("abort", () => over.resolve());
        pages.push(over.promise);
        asked.resolve();
        return new Promise(() => {});
      };
      let asked = deferred();
      const leaving = new AbortController();
      const connecting = connected({ ...user, redirect }, { signal: leaving.signal });
      await asked.promise;
      leaving.abort();
      await assert.rejects(connecting, CancelledError);
      await pages[0];

      // A cancelled call closes its page, and others continue.
      asked = deferred();
      let agreed = 0;
      const client = await connected({ ...user, redirect: (...asks) => (agreed++ === 0 ? agree(...asks) : redirect(...asks)) });
      const going = new AbortController();
      const call = client.callTool("admin", {}, { signal: going.signal });
      await asked.promise;
      going.abort();
      await assert.rejects(call, CancelledError);
      await pages[1];
      assert.equal(await hello(client), "hello");
      await client.close();
    });

    check("tokens are bound to a key", async (world, connected) => {
      await world.change({ dpop: true });
      for (const dpop of [true, P256]) {
        const client = await connected({ ...user, dpop });
        assert.equal(await hello(client), "hello");
        await client.close();
      }
      assert.match((await world.seen()).shown.at(-1), /^DPoP /);
    });
  });
}

test("options that are wrong", async () => {
  const wrong = (auth, told) =>
    assert.rejects(
      async () => connect("http://127.0.0.1:9/mcp", { auth }),
      (error) => error instanceof UsageError && told.test(error.message) && !error.message.includes("s3cret"),
      inspect(told),
    );
  await wrong({ grant: "client_credentials", clientId: "me", clientsecret: "s3cret" }, /unknown field `clientsecret`/);
  await wrong({ grant: "client_credentials", clientId: "me" }, /clientSecret or a signingKey/);
  await wrong({ grant: "jwt_bearer", clientId: "me" }, /assertion/);
  await wrong({ grant: "enterprise", clientId: "me", enterprise: "s3cret" }, /auth.enterprise: it must be/);
  await wrong({ clientId: "me", signingKey: "s3cret" }, /auth.signingKey/);
  await wrong({ dpop: "s3cret" }, /auth.dpop/);
  await wrong({ dpop: true, store: new MemoryStore() }, /dpop must be a key/);
  await wrong({ assertion: "s3cret" }, /assertion is for the grant jwt_bearer/);
  await wrong({ clientSecret: "s3cret" }, /clientSecret needs the clientId/);
  await wrong({ redirect: agree }, /go together/);
  await wrong({ ...user, loopbackPort: 1 }, /exclude each other/);
  await wrong({ store: {} }, /load and swap/);
  await wrong("s3cret", /auth is an object/);
  await assert.rejects(connect(["true"], { auth: user }), /over HTTP/);
  assert.ok(!inspect(new MemoryStore(), { showHidden: true }).includes("records"));
});
