// The trace of a request, as its handler sees it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Engine, UsageError } from "trunnion";
import { withEngine, withPair } from "./helpers.mjs";

const TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-";
const SENT = `${TRACE}00f067aa0ba902b7-01`;

for (const telemetry of [undefined, { endpoint: "http://127.0.0.1:9", serviceName: "t" }]) {
  test(`a handler sees the trace, ${telemetry ? "telemetry is on" : "off"}`, () =>
    withEngine({ telemetry }, (engine) =>
      withPair(
        engine,
        "memory",
        (server) => server.tool("trace", {}, (_, ctx) => ctx.request.meta.traceparent),
        async (client) => {
          const { text } = await client.callTool("trace", {}, { meta: { traceparent: SENT } });
          if (telemetry) assert.ok(text.startsWith(TRACE) && text !== SENT, text);
          else assert.equal(text, SENT);
        },
      ),
    ));
}

test("a wrong telemetry option is named", () => {
  assert.throws(() => new Engine({ telemetry: { endpoint: "collector" } }), (error) => {
    return error instanceof UsageError && /telemetry\.endpoint/.test(error.message);
  });
});
