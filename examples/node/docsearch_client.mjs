// Asks a docsearch server. Usage: docsearch_client.mjs URL search "query"
import { connect } from "trunnion";

const [url, verb, query] = process.argv.slice(2);
if (url === undefined || verb !== "search" || query === undefined) {
  console.error('usage: docsearch_client.mjs URL search "query"');
  process.exit(2);
}

const client = await connect(url);
try {
  const { isError, text, structuredContent } = await client.callTool("search", { query });
  if (isError) throw new Error(text);
  console.log(JSON.stringify({ hits: structuredContent.hits }));
} finally {
  await client.close();
}
