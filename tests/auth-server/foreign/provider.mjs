// A certified authorization server (oidc-provider) for one end-to-end test. Arguments: none; it prints its
// issuer, and ends with its standard input. It accepts every user name without a password.
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const server = createServer();
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;

const secret = "client-secret-of-the-test";
const client = (id, more) => ({
  client_id: id,
  client_secret: secret,
  redirect_uris: [],
  response_types: [],
  grant_types: ["client_credentials"],
  ...more,
});
const format = (audience, opaque) => ({
  scope: "files:read files:write",
  audience,
  accessTokenFormat: opaque ? "opaque" : "jwt",
  ...(opaque ? {} : { jwt: { sign: { alg: "RS256" } } }),
});
const provider = new Provider(issuer, {
  clients: [
    client("machine"),
    client("opaque"),
    client("resource", { grant_types: [] }),
    client("browser", {
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
      redirect_uris: ["http://127.0.0.1:3999/callback"],
      application_type: "native",
    }),
  ],
  scopes: ["openid", "offline_access", "files:read", "files:write"],
  features: {
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    dPoP: { enabled: true },
    devInteractions: { enabled: true },
    registration: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, indicator, client) => format(indicator, client.clientId === "opaque"),
      useGrantedResource: () => true,
    },
  },
});
server.on("request", provider.callback());
console.log(issuer);
process.stdin.on("end", () => process.exit(0)).resume();
