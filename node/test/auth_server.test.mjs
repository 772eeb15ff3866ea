// Servers that require a valid token, with the authorization server of tests/auth-server.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { connect, InvalidParamsError, McpError, Server, UsageError, Visibility } from "trunnion";
import { ENGINES, title, withEngine } from "./helpers.mjs";

const TOKENS = {
  ann: { sub: "ann", scope: "read write", groups: ["staff"], realm: { roles: ["boss"] } },
  bob: { sub: "bob", scope: "read" },
};

/** Runs a test with an authorization server that mints every requested token. */
async function withIssuer(body) {
  const program = fileURLToPath(new URL("../../target/debug/trunnion-auth-server", import.meta.url));
  const child = spawn(program, { stdio: ["pipe", "pipe", "inherit"] });
  const [url] = await once(createInterface(child.stdout), "line");
  const token = async (how) => {
    const response = await fetch(`${url}/admin/token`, { method: "POST", headers: { connection: "close" }, body: JSON.stringify(how) });
    return (await response.json()).token;
  };
  try {
    await body({ url, token });
  } finally {
    child.stdin.end();
    await once(child, "exit");
  }
}

/** Returns the status and the reason of a refused token. */
async function refusal(url, token) {
  const headers = { "content-type": "application/json", accept: "application/json, text/event-stream", connection: "close" };
  if (token !== undefined) headers.authorization = `Bearer ${token}`;
  const response = await fetch(url, { method: "POST", headers, body: "{}" });
  return [response.status, (await response.json()).error?.data?.reason];
}

for (const options of ENGINES) {
  describe(`servers that check tokens: ${title(options)}`, { timeout: 60_000 }, () => {
    const check = (name, auth, body, define = () => {}) =>
      test(name, () =>
        withEngine(options, async (engine) => {
          const thrown = [];
          const server = new Server({ name: "files", version: "1", engine, auth, onError: (error, origin) => thrown.push([error, origin]) });
          server.tool("whoami", {}, (_, ctx) => ({ sub: ctx.claims?.sub ?? null, principal: ctx.principal ?? null }));
          define(server);
          const { url } = await server.listen();
          const as = (token) => connect(url, { engine, headers: { authorization: `Bearer ${token}` } });
          const who = async (token) => {
            const client = await as(token);
            return (await client.callTool("whoami").finally(() => client.close())).structuredContent;
          };
          try {
            await body({ url, who, as, server, thrown, engine });
          } finally {
            await server.close();
          }
        }),
      );

    check("fixed tokens", { tokens: TOKENS }, async ({ url, who }) => {
      const ann = await who("ann");
      assert.equal(ann.sub, "ann");
      assert.notEqual((await who("bob")).principal, ann.principal);
      assert.deepEqual(await refusal(url), [401, "no_token"]);
      assert.equal((await refusal(url, "eve"))[0], 401);
      await assert.rejects(who("eve"), McpError);
    });

    test("signed tokens, and introspection", () =>
      withIssuer((issuer) =>
        withEngine(options, async (engine) => {
          const introspection = {
            endpoint: `${issuer.url}/introspect`,
            clientId: "resource",
            clientSecret: "resource-secret",
          };
          for (const way of [{ jwt: { issuer: issuer.url } }, { jwt: [{ issuer: issuer.url, algorithms: ["ES256"] }] }, { introspection }]) {
            const server = new Server({ name: "files", version: "1", engine, auth: { ...way, requiredScopes: ["read"], leewayMs: 0 } });
            server.tool("whoami", {}, (_, ctx) => ctx.claims.sub);
            const { url } = await server.listen();
            const good = await issuer.token({ claims: { sub: "ann", aud: url, scope: "read" } });
            const client = await connect(url, { engine, headers: { authorization: `Bearer ${good}` } });
            assert.equal((await client.callTool("whoami")).text, "ann");
            await client.close();
            const other = await issuer.token({ claims: { sub: "ann", aud: "https://other.example" } });
            assert.deepEqual(await refusal(url, other), [401, "audience"]);
            const little = await issuer.token({ claims: { sub: "ann", aud: url, scope: "none" } });
            assert.deepEqual(await refusal(url, little), [403, "scope"]);
            await server.close();
          }
        }),
      ));

    let here;
    const verify = (token) => {
      if (token === "broken") throw new Error("the database is away");
      if (token === "worse") throw new InvalidParamsError("neither good nor bad");
      return token.startsWith("user-") ? { sub: token, aud: here } : token === "null" ? null : undefined;
    };
    for (const [name, checks] of Object.entries({ plain: verify, async: async (token) => verify(token) })) {
      check(`a check of one's own, ${name}`, { verify: checks }, async ({ url, who, thrown }) => {
        here = url;
        assert.equal((await who("user-1")).sub, "user-1");
        for (const bad of ["eve", "null"]) assert.deepEqual(await refusal(url, bad), [401, "rejected"]);
        // A token that cannot be checked is no reason to request another one.
        for (const bad of ["broken", "worse"]) assert.deepEqual((await refusal(url, bad))[0], 503);
        assert.deepEqual(thrown.map(([error, { name }]) => [error.message, name]), [
          ["the database is away", "verify"],
          ["neither good nor bad", "verify"],
        ]);
      });
    }

    check(
      "scopes and visibility",
      { tokens: TOKENS },
      async ({ as, server, engine }) => {
        const ann = await as("ann");
        assert.deepEqual((await ann.listTools()).map(({ name }) => name), ["whoami", "delete", "audit"]);
        assert.equal((await ann.callTool("delete")).text, "deleted");
        assert.equal((await ann.callTool("audit")).text, "all is well");
        assert.equal((await ann.readResource("file://secret")).text, "hush");
        assert.deepEqual(await ann.listPrompts(), []);
        await ann.close();
        const bob = await as("bob");
        assert.deepEqual((await bob.listTools()).map(({ name }) => name), ["whoami", "delete"]);
        await assert.rejects(bob.callTool("delete"), ({ data }) => data.reason === "scope");
        await assert.rejects(bob.callTool("audit"), InvalidParamsError);
        assert.deepEqual(await bob.listResources(), []);
        assert.deepEqual((await bob.listPrompts()).map(({ name }) => name), ["ask"]);
        assert.deepEqual((await bob.complete({ prompt: "ask" }, { name: "what", value: "" })).values, ["why"]);
        await bob.close();
        // A local client sees everything.
        const local = await connect(server, { engine });
        assert.equal((await local.listTools()).length, 3);
        assert.deepEqual((await local.callTool("whoami")).structuredContent, { sub: null, principal: null });
        await local.close();
      },
      (server) => {
        const { scope, claim, any, all, not } = Visibility;
        server
          .tool("delete", { scopes: ["write"] }, () => "deleted")
          .tool("audit", { visibleTo: any(scope("admin"), claim("groups", "staff")) }, () => "all is well")
          .resource("file://secret", { name: "secret", visibleTo: { claim: ["realm", "roles"], is: "boss" } }, () => "hush")
          .prompt("ask", { arguments: { what: {} }, visibleTo: all(not(claim("sub", "ann")), { scope: "read" }) }, () => "who?")
          .completion({ prompt: "ask" }, () => ["why"], { scopes: ["read"], visibleTo: scope("read") });
      },
    );

    check(
      "tasks belong to who began them",
      { tokens: TOKENS },
      async ({ as }) => {
        const [ann, bob] = [await as("ann"), await as("bob")];
        const task = await ann.startTask("slow");
        assert.equal((await task.result()).text, "ann");
        await assert.rejects(bob.task(task.id).status(), InvalidParamsError);
        await Promise.all([ann.close(), bob.close()]);
      },
      (server) => server.tool("slow", { task: "required" }, (_, ctx) => ctx.claims.sub),
    );
  });
}

test("what is wrong is said", () =>
  withEngine({}, async (engine) => {
    const make = (auth) => new Server({ name: "files", version: "1", engine, auth });
    for (const [auth, why] of [
      [{}, /auth/],
      ["jwt", /object/],
      [{ verify: true }, /function/],
      [{ host: true }, /verify/],
      [{ colour: "red" }, /colour/],
      [{ jwt: { issuer: "https://as.example", algorithms: ["HS256"] } }, /HS256/],
    ]) {
      assert.throws(() => make(auth), (error) => error instanceof UsageError && why.test(error.message), JSON.stringify(auth));
    }
    const server = make(undefined);
    assert.throws(() => server.tool("x", { visibleTo: { colour: "red" } }, () => ""), McpError);
    assert.deepEqual(JSON.parse(JSON.stringify(Visibility.claim(["a", "b"], 1, 2))), { claim: ["a", "b"], is: [1, 2] });
    await server.close();
  }));
