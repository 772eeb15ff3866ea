// The benchmark server on the official TypeScript SDK's McpServer, as its documentation serves it.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler, fromJsonSchema, McpServer } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { z } from 'zod';

const more = JSON.parse(readFileSync(process.env.BENCH_TOOLS, 'utf8'));
const big = readFileSync(process.env.BENCH_BIG, 'utf8');

const echoInput = z.object({ text: z.string() });
const addInput = z.object({ a: z.number(), b: z.number() });
const addOutput = z.object({ sum: z.number() });
const schemas = more.map((tool) => fromJsonSchema(tool.inputSchema));
const text = (value) => ({ content: [{ type: 'text', text: value }] });

function build() {
  const server = new McpServer({ name: 'bench-typescript-official', version: '1.0.0' });
  server.registerTool('echo', { description: 'Returns the text.', inputSchema: echoInput }, async (args) =>
    text(args.text),
  );
  server.registerTool(
    'add',
    { description: 'Adds two numbers.', inputSchema: addInput, outputSchema: addOutput },
    async ({ a, b }) => ({ ...text(JSON.stringify({ sum: a + b })), structuredContent: { sum: a + b } }),
  );
  more.forEach(({ name, description }, i) => {
    server.registerTool(name, { description, inputSchema: schemas[i] }, async () => text('ok'));
  });
  server.registerResource('big', 'bench://big', { mimeType: 'text/plain' }, async (uri) => ({
    contents: [{ uri: uri.href, mimeType: 'text/plain', text: big }],
  }));
  return server;
}

const [how, port] = process.argv.slice(2);
if (how === '--stdio') {
  serveStdio(build);
} else if (how === '--http' && port) {
  createServer(toNodeHandler(createMcpHandler(build))).listen(Number(port), '127.0.0.1');
} else {
  console.error('usage: bench_server.mjs --stdio | --http PORT');
  process.exit(2);
}
