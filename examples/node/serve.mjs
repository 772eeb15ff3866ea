// Shared serving code of the examples: `--stdio` or `--http PORT`; with HTTP, the older transport, HTTP+SSE,
// is at /sse.

/** Serves as the command line requires; the process ends when the peer has closed (stdio) or by a signal
 * (HTTP). */
export async function serve(server, args = process.argv.slice(2)) {
  if (args[0] === "--stdio") return server.serveStdio();
  const port = Number(args[1]);
  if (args[0] !== "--http" || !Number.isInteger(port)) throw new Error("usage: --stdio | --http PORT");
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => server.close());
  const http = await server.listen({ port, ssePath: "/sse" });
  console.error(`serving ${http.url}`);
}
