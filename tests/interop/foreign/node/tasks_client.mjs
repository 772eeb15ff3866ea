// A client of the core tasks of 2025-11-25, which later revisions have replaced, on the official TypeScript
// SDK of that time (`client.experimental.tasks`). The argument is the target: a URL, or stdio:COMMAND. It
// prints a line for each check; the first one that fails ends the program with 1. Results are compared with
// those of plain calls, because every language has its own texts.
import { isDeepStrictEqual } from 'node:util';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
  CallToolResultSchema,
  CreateTaskResultSchema,
  ElicitRequestSchema,
  RELATED_TASK_META_KEY,
  TaskStatusNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';

const TTL = 60_000;
const ENDS = ['completed', 'failed', 'cancelled'];
const target = process.argv.at(-1);

function fail(why) {
  console.error(why);
  process.exit(1);
}

function check(what, actual, expected = true) {
  if (!isDeepStrictEqual(actual, expected)) {
    fail(`${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`);
  }
  console.log(`ok: ${what}`);
}

// An event that never arrives is named, before the caller of this program times out.
let awaited = 'the connection';
setTimeout(() => fail(`waited in vain for ${awaited}`), 50_000).unref();

/** A connected client, and the notifications that it has received. */
async function connect() {
  const seen = { revision: undefined, questions: [], statuses: new Map(), errors: [], answer: undefined };
  let standing = Promise.resolve();
  let transport;
  if (target.startsWith('stdio:')) {
    const [command, ...args] = target.slice('stdio:'.length).split(' ').filter(Boolean);
    transport = new StdioClientTransport({ command, args });
  } else {
    // The SDK opens the stream for notifications on its own and does not wait for it. A notification that is
    // sent before would be missed.
    let opened;
    standing = new Promise((resolve) => (opened = resolve));
    transport = new StreamableHTTPClientTransport(new URL(target), {
      fetch: async (url, init) => {
        const response = await fetch(url, init);
        if (init?.method === 'GET') opened();
        return response;
      },
    });
  }
  const agreed = transport.setProtocolVersion?.bind(transport);
  transport.setProtocolVersion = (version) => {
    seen.revision = version;
    agreed?.(version);
  };
  const client = new Client(
    { name: 'tasks-typescript-official', version: '1.0.0' },
    // Strict: it refuses to send what the server has not declared.
    { capabilities: { elicitation: { form: {} } }, enforceStrictCapabilities: true },
  );
  client.onerror = (error) => seen.errors.push(String(error));
  client.setRequestHandler(ElicitRequestSchema, ({ params }) => {
    seen.questions.push(params);
    return seen.answer(params.message);
  });
  client.setNotificationHandler(TaskStatusNotificationSchema, ({ params }) => {
    const known = of(params.taskId);
    known.told.push(params);
    if (ENDS.includes(params.status)) known.end(params);
  });
  function of(taskId) {
    if (!seen.statuses.has(taskId)) {
      const entry = { told: [] };
      entry.ended = new Promise((resolve) => (entry.end = resolve));
      seen.statuses.set(taskId, entry);
    }
    return seen.statuses.get(taskId);
  }
  /** The notification that the task is over. */
  seen.toldOf = async (taskId) => {
    awaited = `the notification that task ${taskId} is over`;
    return of(taskId).ended;
  };
  await client.connect(transport);
  awaited = 'the stream for notifications';
  await standing;
  return { client, tasks: client.experimental.tasks, seen };
}

const call = (name, args = {}) => ({ method: 'tools/call', params: { name, arguments: args } });
const related = (message) => message?._meta?.[RELATED_TASK_META_KEY];

/** The code of the error that it ends with. */
async function refused(promise) {
  return promise.then(
    (result) => `no error but ${JSON.stringify(result)}`,
    (error) => error.code ?? fail(`no protocol error: ${error.stack}`),
  );
}

/** The task that a call makes. */
async function create(client, name, args) {
  awaited = `the task of ${name}`;
  return (await client.request(call(name, args), CreateTaskResultSchema, { task: { ttl: TTL } })).task;
}

/** Everything that the SDK's own loop of polling yields. */
async function drive(tasks, name, args, onCreated) {
  awaited = `the end of ${name}`;
  const statuses = [];
  let created;
  for await (const message of tasks.callToolStream({ name, arguments: args }, undefined, { task: { ttl: TTL } })) {
    switch (message.type) {
      case 'taskCreated':
        created = message.task;
        await onCreated?.(created);
        break;
      case 'taskStatus':
        if (message.task.taskId !== created.taskId) fail(`${name}: the state of another task: ${message.task.taskId}`);
        statuses.push(message.task.status);
        break;
      default:
        return { created, statuses, result: message.result, error: message.error };
    }
  }
  return fail(`${name}: neither a result nor an error`);
}

async function declarations({ client, seen }) {
  check('the revision is 2025-11-25', seen.revision, '2025-11-25');
  check('the capability of tasks', client.getServerCapabilities().tasks, {
    list: {},
    cancel: {},
    requests: { tools: { call: {} } },
  });
  const { tools } = await client.listTools();
  const support = (name) => tools.find((tool) => tool.name === name)?.execution?.taskSupport ?? 'forbidden';
  check('what tools say of tasks', ['greet', 'slow_compute', 'failing_job'].map(support), [
    'forbidden',
    'optional',
    'required',
  ]);
  const greet = client.request(call('greet', { name: 'Ada' }), CreateTaskResultSchema, { task: {} });
  check('a tool without tasks refuses one', await refused(greet), -32601);
  const plain = client.request(call('failing_job'), CallToolResultSchema);
  check('a tool with tasks only refuses a plain call', await refused(plain), -32601);
}

async function success({ client, tasks, seen }) {
  const args = { seconds: 1, label: 'work' };
  const done = await drive(tasks, 'slow_compute', args);
  const { taskId, status, ttl, pollInterval, createdAt, lastUpdatedAt } = done.created;
  check('a task is created', [status, ttl, taskId.length > 0], ['working', TTL, true]);
  check('it says when to look', Number.isInteger(pollInterval) && pollInterval > 0);
  check(
    'its times are ISO 8601',
    [createdAt, lastUpdatedAt].map((time) => new Date(time).toISOString()),
    [createdAt, lastUpdatedAt],
  );
  check('polling sees it working, then completed', [...new Set(done.statuses)], ['working', 'completed']);
  const plain = await client.callTool({ name: 'slow_compute', arguments: args });
  check('its result is that of a plain call', done.result?.content, plain.content);
  check('its result names the task', related(done.result), { taskId });
  const again = await tasks.getTaskResult(taskId, CallToolResultSchema);
  check('its result can be had again', again, done.result);
  check('a notification says that it is completed', (await seen.toldOf(taskId)).status, 'completed');
}

async function failures({ tasks, seen }) {
  const failed = await drive(tasks, 'failing_job', {});
  check('a tool that fails makes a failed task', failed.statuses.at(-1), 'failed');
  const result = await tasks.getTaskResult(failed.created.taskId, CallToolResultSchema);
  check('its result is the error of the tool', [result.isError, result.content[0].text], [true, 'the job has failed']);
  check('a notification says that it has failed', (await seen.toldOf(failed.created.taskId)).status, 'failed');

  const broken = await drive(tasks, 'protocol_error_job', {});
  check('a protocol error makes a failed task', broken.statuses.at(-1), 'failed');
  const refusal = await refused(tasks.getTaskResult(broken.created.taskId, CallToolResultSchema));
  check('its result is that error', refusal, -32603);
  check('no such task to get', await refused(tasks.getTask('nothing')), -32602);
  check('no such task to have the result of', await refused(tasks.getTaskResult('nothing', CallToolResultSchema)), -32602);
  check('no such task to cancel', await refused(tasks.cancelTask('nothing')), -32602);
}

async function cancelling({ client, tasks, seen }) {
  let cancelled;
  const ended = await drive(tasks, 'slow_compute', { seconds: 600 }, async ({ taskId }) => {
    cancelled = await tasks.cancelTask(taskId);
  });
  const { taskId } = ended.created;
  check('cancelling answers with the cancelled task', [cancelled.taskId, cancelled.status], [taskId, 'cancelled']);
  check('polling sees it cancelled', ended.statuses, ['cancelled']);
  check('it is cancelled once only', await refused(tasks.cancelTask(taskId)), -32602);
  check('a notification says that it is cancelled', (await seen.toldOf(taskId)).status, 'cancelled');

  // A client that waits for the result while the task is cancelled must get an error of the protocol. The
  // code is the SDK's own.
  const task = await create(client, 'slow_compute', { seconds: 600 });
  const waiting = refused(tasks.getTaskResult(task.taskId, CallToolResultSchema));
  await tasks.cancelTask(task.taskId);
  awaited = 'the result of a cancelled task';
  check('who waits for the result of a cancelled task gets an error', await waiting, -32600);
}

const NAMES = { first: 'Ada', second: 'Bob' };
const accept = (message) => ({
  action: 'accept',
  content: message.startsWith('Delete')
    ? { confirm: true }
    : { name: NAMES[Object.keys(NAMES).find((key) => message.includes(key))] },
});

async function asking({ client, tasks, seen }) {
  const file = { filename: 'notes.txt' };
  seen.answer = accept;
  const polled = await drive(tasks, 'confirm_delete', file);
  check('polling sees that a task needs input', polled.statuses.at(-1), 'input_required');
  check('the user was asked', seen.questions.map((question) => question.message), ['Delete notes.txt?']);
  check('the question names the task', related(seen.questions[0]), { taskId: polled.created.taskId });
  const accepted = await client.callTool({ name: 'confirm_delete', arguments: file });
  check('the task goes on with the answer', polled.result?.content, accepted.content);
  check('it is completed', (await tasks.getTask(polled.created.taskId)).status, 'completed');
  check('a notification says so', (await seen.toldOf(polled.created.taskId)).status, 'completed');

  // The state is not polled before: the question comes while the result is waited for.
  seen.answer = () => ({ action: 'decline' });
  const task = await create(client, 'confirm_delete', file);
  awaited = 'the result of a task whose question is declined';
  const result = await tasks.getTaskResult(task.taskId, CallToolResultSchema);
  const declined = await client.callTool({ name: 'confirm_delete', arguments: file });
  check('a question can be declined', [result.content, result.isError], [declined.content, declined.isError]);
  check('that is another result', isDeepStrictEqual(declined.content, accepted.content), false);

  seen.answer = accept;
  seen.questions.length = 0;
  const two = await create(client, 'multi_input', {});
  awaited = 'the result of a task that asks two things';
  const both = await tasks.getTaskResult(two.taskId, CallToolResultSchema);
  const messages = seen.questions.map((question) => question.message).sort();
  check('two questions at once are both asked', messages, ['Who is first?', 'Who is second?']);
  check('both name the task', seen.questions.map(related), [{ taskId: two.taskId }, { taskId: two.taskId }]);
  const plain = await client.callTool({ name: 'multi_input', arguments: {} });
  check('both answers arrive', both.content, plain.content);
}

async function listing({ tasks, seen }) {
  const listed = new Map();
  let cursor;
  do {
    const page = await tasks.listTasks(cursor);
    for (const task of page.tasks) listed.set(task.taskId, task.status);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  const told = [...seen.statuses].map(([taskId, { told }]) => [taskId, told.at(-1).status]);
  check('the list has the tasks of the session', [...listed].sort(), told.sort());
  check('it knows no such page', await refused(tasks.listTasks('nothing')), -32602);
  if (target.startsWith('stdio:')) return;
  const other = await connect();
  check('another session has a list of its own', (await other.tasks.listTasks()).tasks, []);
  await other.client.close();
}

const connected = await connect();
const { client, seen } = connected;
try {
  for (const part of [declarations, success, failures, cancelling, asking, listing]) await part(connected);
} catch (error) {
  fail(error.stack);
}
check('the SDK takes offence at nothing', seen.errors, []);
await client.close();
