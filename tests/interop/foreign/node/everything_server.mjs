// The everything server on the official TypeScript SDK: the foreign side of the interop matrix.
import { createServer } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { completable, createMcpHandler, McpServer, ResourceTemplate } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { z } from 'zod';

const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==';
const WAV = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=';

const text = (value) => ({ content: [{ type: 'text', text: value }] });
const image = { type: 'image', data: PNG, mimeType: 'image/png' };
const embedded = (uri, value) => ({ type: 'resource', resource: { uri, mimeType: 'text/plain', text: value } });
const user = (content) => ({ role: 'user', content });

async function progress(ctx, done, total, message) {
  const progressToken = ctx.mcpReq._meta?.progressToken;
  if (progressToken === undefined) return;
  await ctx.mcpReq.notify({
    method: 'notifications/progress',
    params: { progressToken, progress: done, total, message },
  });
}

function build() {
  const server = new McpServer({ name: 'everything-typescript-official', version: '1.0.0' });
  server.registerTool('test_simple_text', { description: 'Returns one text.' }, async () =>
    text('This is a simple text response for testing.'),
  );
  server.registerTool(
    'add',
    {
      description: 'Adds two numbers.',
      inputSchema: z.object({ a: z.number(), b: z.number() }),
      outputSchema: z.object({ sum: z.number() }),
    },
    async ({ a, b }) => ({ ...text(JSON.stringify({ sum: a + b })), structuredContent: { sum: a + b } }),
  );
  server.registerTool(
    'echo',
    { description: 'Returns the text it was given.', inputSchema: z.object({ text: z.string() }) },
    async (args) => text(args.text),
  );
  server.registerTool(
    'slow',
    {
      description: 'Works in steps and reports progress.',
      inputSchema: z.object({ steps: z.number().int(), delayMs: z.number().int() }),
    },
    async ({ steps, delayMs }, ctx) => {
      for (let i = 1; i <= steps; i++) {
        await delay(delayMs, undefined, { signal: ctx.mcpReq.signal });
        await progress(ctx, i, steps, `step ${i} of ${steps}`);
      }
      return text('done');
    },
  );
  server.registerTool(
    'fail',
    { description: 'Fails as a tool.', inputSchema: z.object({ message: z.string() }) },
    async ({ message }) => ({ ...text(message), isError: true }),
  );
  server.registerTool(
    'crash',
    { description: 'Throws an unexpected error.', inputSchema: z.object({ message: z.string() }) },
    async ({ message }) => {
      throw new Error(message);
    },
  );
  server.registerTool('test_image_content', { description: 'Returns an image.' }, async () => ({ content: [image] }));
  server.registerTool('test_audio_content', { description: 'Returns a sound.' }, async () => ({
    content: [{ type: 'audio', data: WAV, mimeType: 'audio/wav' }],
  }));
  server.registerTool('test_embedded_resource', { description: 'Returns a resource.' }, async () => ({
    content: [embedded('test://embedded-resource', 'This is an embedded resource content.')],
  }));
  server.registerTool('test_multiple_content_types', { description: 'Returns three kinds.' }, async () => ({
    content: [...text('Multiple content types test:').content, image, embedded('test://mixed-content-resource', 'mixed')],
  }));
  server.registerTool('test_error_handling', { description: 'Returns an error result.' }, async () => ({
    ...text('This tool intentionally returns an error for testing'),
    isError: true,
  }));
  server.registerTool('test_tool_with_progress', { description: 'Reports 0, 50 and 100 of 100.' }, async (ctx) => {
    for (const done of [0, 50, 100]) {
      await progress(ctx, done, 100, `${done} of 100`);
      await delay(50);
    }
    return text('done');
  });

  server.registerResource('static-text', 'test://static-text', { mimeType: 'text/plain' }, async (uri) => ({
    contents: [{ uri: uri.href, mimeType: 'text/plain', text: 'This is the content of the static text resource.' }],
  }));
  server.registerResource('static-binary', 'test://static-binary', { mimeType: 'image/png' }, async (uri) => ({
    contents: [{ uri: uri.href, mimeType: 'image/png', blob: PNG }],
  }));
  server.registerResource(
    'template',
    new ResourceTemplate('test://template/{id}/data', { list: undefined }),
    { mimeType: 'application/json' },
    async (uri, { id }) => ({
      contents: [
        {
          uri: uri.href,
          mimeType: 'application/json',
          text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }),
        },
      ],
    }),
  );

  server.registerPrompt('test_simple_prompt', { description: 'A prompt without arguments.' }, async () => ({
    messages: [user({ type: 'text', text: 'This is a simple prompt for testing.' })],
  }));
  server.registerPrompt(
    'test_prompt_with_arguments',
    {
      description: 'A prompt with two arguments.',
      argsSchema: z.object({
        arg1: completable(z.string(), (value) => ['paris', 'park', 'party'].filter((v) => v.startsWith(value))),
        arg2: z.string(),
      }),
    },
    async ({ arg1, arg2 }) => ({
      messages: [user({ type: 'text', text: `Prompt with arguments: arg1='${arg1}', arg2='${arg2}'` })],
    }),
  );
  server.registerPrompt(
    'test_prompt_with_embedded_resource',
    { description: 'A prompt with a resource inside.', argsSchema: z.object({ resourceUri: z.string() }) },
    async ({ resourceUri }) => ({
      messages: [user(embedded(resourceUri, 'embedded')), user({ type: 'text', text: 'Please process it.' })],
    }),
  );
  server.registerPrompt('test_prompt_with_image', { description: 'A prompt with an image.' }, async () => ({
    messages: [user(image)],
  }));
  return server;
}

const [how, port] = process.argv.slice(2);
if (how === '--stdio') {
  serveStdio(build);
} else if (how === '--http' && port) {
  createServer(toNodeHandler(createMcpHandler(build))).listen(Number(port), '127.0.0.1');
} else {
  console.error('usage: everything_server.mjs --stdio | --http PORT');
  process.exit(2);
}
