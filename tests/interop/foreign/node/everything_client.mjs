// The everything client on the official TypeScript SDK: makes the interop tour, prints one line of JSON.
import { Client, SSEClientTransport, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

const TRICKY = 'héllo ✓ 😀\n"q"';

function transportOf(target) {
  if (target.startsWith('stdio:')) {
    const [command, ...args] = target.slice('stdio:'.length).split(' ').filter(Boolean);
    return new StdioClientTransport({ command, args });
  }
  if (process.env.MCP_INTEROP_TRANSPORT === 'sse') return new SSEClientTransport(new URL(target));
  return new StreamableHTTPClientTransport(new URL(target));
}

async function outcome(client, name, args) {
  try {
    const result = await client.callTool({ name, arguments: args });
    return result.isError ? 'isError' : 'ok';
  } catch (error) {
    if (typeof error.code === 'number') return error.code;
    throw error;
  }
}

async function cancelled(client) {
  const controller = new AbortController();
  try {
    await client.callTool(
      { name: 'slow', arguments: { steps: 100000, delayMs: 1 } },
      { signal: controller.signal, onprogress: () => controller.abort() },
    );
  } catch (error) {
    if (controller.signal.aborted) return 'cancelled';
    throw error;
  }
  return 'finished';
}

async function tour(client) {
  const names = (await client.listTools()).tools.map((tool) => tool.name);
  const added = await client.callTool({ name: 'add', arguments: { a: 2, b: 3 } });
  const echoed = await client.callTool({ name: 'echo', arguments: { text: TRICKY } });
  const progress = [];
  const slow = await client.callTool(
    { name: 'slow', arguments: { steps: 3, delayMs: 50 } },
    { onprogress: (p) => progress.push(p.progress) },
  );
  const failed = await client.callTool({ name: 'fail', arguments: { message: 'boom' } });
  if (!failed.isError) throw new Error('fail did not fail');
  const unknown = await outcome(client, 'nope', {});
  const invalid = await outcome(client, 'add', { a: 'x' });
  const cancel = await cancelled(client);
  const resource = await client.readResource({ uri: 'test://static-text' });
  const template = await client.readResource({ uri: 'test://template/42/data' });
  const prompt = await client.getPrompt({
    name: 'test_prompt_with_arguments',
    arguments: { arg1: 'hello', arg2: 'world' },
  });
  const completion = await client.complete({
    ref: { type: 'ref/prompt', name: 'test_prompt_with_arguments' },
    argument: { name: 'arg1', value: 'pa' },
  });
  const after = await client.callTool({ name: 'echo', arguments: { text: 'still here' } });
  return {
    revision: client.getNegotiatedProtocolVersion(),
    tools: ['add', 'echo', 'slow', 'fail'].every((name) => names.includes(name)),
    // Before 2025-06-18 there is only the text.
    sum: (added.structuredContent ?? JSON.parse(added.content[0].text)).sum,
    echo: echoed.content[0].text,
    progress,
    slow: slow.content[0].text,
    fail: failed.content[0].text,
    unknown,
    invalid,
    cancel,
    resource: resource.contents[0].text,
    template: template.contents[0].text,
    prompt: prompt.messages[0].content.text,
    completion: completion.completion.values,
    after: after.content[0].text,
  };
}

const revision = process.env.MCP_INTEROP_REVISION;
const client = new Client(
  { name: 'everything-typescript-official', version: '1.0.0' },
  revision
    ? { versionNegotiation: { mode: 'legacy' }, supportedProtocolVersions: [revision] }
    : { versionNegotiation: { mode: 'auto' } },
);
await client.connect(transportOf(process.argv.at(-1)));
console.log(JSON.stringify(await tour(client)));
await client.close();
