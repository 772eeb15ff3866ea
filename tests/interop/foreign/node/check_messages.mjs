// A check of recorded messages (tests/vectors/schema.rs) by the Zod schemas of the official TypeScript SDK,
// which has one set for all revisions.
import { readFileSync } from 'node:fs';
import * as core from '@modelcontextprotocol/core';

/** Schema names by method: `{ 'tools/call': 'CallToolRequest' }`. */
const named = Object.fromEntries(
  Object.entries(core)
    .filter(([name]) => /(Request|Notification)Schema$/.test(name))
    .map(([name, schema]) => [schema.shape?.method?.value, name.replace(/Schema$/, '')]),
);

/** Returns true for messages of tasks, for which the SDK has no schemas; the Rust tests check them. */
function ofTasks({ kind, method, message }) {
  const result = kind === 'result' ? message.result : {};
  return result.resultType === 'task' || 'task' in result || /^(notifications\/)?tasks\b/.test(method);
}

/** The schemas for a recorded message: only the envelope for those of tasks. */
function* schemasOf(entry) {
  if (ofTasks(entry) && entry.kind !== 'error') yield [ENVELOPES[entry.kind], entry.message];
  else yield* allSchemasOf(entry);
}

const ENVELOPES = {
  request: core.JSONRPCRequestSchema,
  notification: core.JSONRPCNotificationSchema,
  result: core.JSONRPCResultResponseSchema,
};

/** The schemas that a recorded message must fit, and the part of it. */
function* allSchemasOf({ kind, method, message }) {
  const name = named[method];
  if (!name && kind !== 'error') throw new Error(`no schema for ${method}`);
  switch (kind) {
    case 'request':
      yield [core.JSONRPCRequestSchema, message];
      yield [core[`${name}Schema`], message];
      break;
    case 'notification':
      yield [core.JSONRPCNotificationSchema, message];
      yield [core[`${name}Schema`], message];
      break;
    case 'result':
      yield [core.JSONRPCResultResponseSchema, message];
      yield [core[`${name.replace(/Request$/, 'Result')}Schema`] ?? core.EmptyResultSchema, message.result];
      break;
    case 'error':
      yield [core.JSONRPCErrorResponseSchema, message];
      break;
    default:
      throw new Error(`no such kind: ${kind}`);
  }
}

const checked = {};
let wrong = 0;
for (const line of readFileSync(process.argv[2], 'utf8').trim().split('\n')) {
  const entry = JSON.parse(line);
  try {
    for (const [schema, part] of schemasOf(entry)) schema.parse(part);
  } catch (error) {
    wrong += 1;
    console.log(`${line}: ${error.message}`);
  }
  checked[entry.kind] = (checked[entry.kind] ?? 0) + 1;
}
const all = Object.values(checked).reduce((sum, count) => sum + count, 0);
console.log(`typescript schemas: ${all - wrong} messages passed, ${wrong} failed: ${JSON.stringify(checked)}`);
process.exitCode = wrong || Object.keys(checked).length < 4 ? 1 : 0;
